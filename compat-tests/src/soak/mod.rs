//! A bad time for a broker and its clients: programs of three client families that write down what they
//! do ([`program`]), a proxy between them and the broker ([`proxy`]), and what goes wrong ([`chaos`]).
//! [`crate::history`] judges.

pub mod chaos;
pub mod program;
pub mod proxy;
pub mod world;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, as in histories.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
