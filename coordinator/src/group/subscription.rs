//! Reads the topics out of a `ConsumerProtocolSubscription`, the metadata that members of protocol
//! type `consumer` send with JoinGroup.
//!
//! Layout: version i16, then topics as an array of strings; later versions only append fields, so
//! the version-0 prefix is all that is needed.

use std::collections::BTreeSet;

use crate::wire::{Reader, WireError};

/// The protocol type whose metadata the coordinator understands.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Topics named by one member's subscription.
///
/// # Errors
/// The bytes are cut short, or not of this layout.
pub fn subscribed_topics(metadata: &[u8]) -> Result<BTreeSet<String>, WireError> {
    let mut reader = Reader::new(metadata);
    let version = reader.i16()?;
    if version < 0 {
        return Err(WireError::UnknownVersion { version });
    }
    let count = reader.array_len()?;
    (0..count).map(|_| reader.string()).collect()
}
