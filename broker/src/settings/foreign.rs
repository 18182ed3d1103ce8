//! Names of a settings file that are not in the table: which of them to pass over with a warning.
//!
//! A `server.properties` written for Apache Kafka holds names this broker has no use for, and names of
//! plug-ins nobody knows. Neither stops the start. A name of ours that does not exist, or one that looks
//! like a mistyped one, does: else a typing error would go unnoticed.

use super::kafka_names::KAFKA_NAMES;

/// Ours begin so.
const OWN_PREFIX: &str = "tidelog.";

/// Kafka's settings of one listener begin so.
const LISTENER_PREFIX: &str = "listener.name.";

/// Why a name may be passed over, if it may; `nearest` is the known name most like it.
pub fn reason(name: &str, nearest: Option<&str>) -> Option<&'static str> {
    let is_kafkas = KAFKA_NAMES.binary_search(&name).is_ok() || name.starts_with(LISTENER_PREFIX);
    if is_kafkas {
        Some("this setting of Apache Kafka has no counterpart here")
    } else if nearest.is_none() && !name.starts_with(OWN_PREFIX) {
        Some("nobody here knows it")
    } else {
        None
    }
}
