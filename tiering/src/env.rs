//! Time and chance as arguments: everything in this crate that needs a clock or a fresh id asks an
//! [`Env`], so that a test can replay a run from its seed.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The clock and the source of unique ids.
pub trait Env: Debug + Send + Sync {
    /// Wall clock, milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;

    /// A fresh id. Two calls must never give the same one, across processes too: file names and
    /// snapshot ids are made from it.
    fn uuid(&self) -> Uuid;
}

/// The machine's clock and random version 4 ids.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnv;

impl Env for SystemEnv {
    fn now_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| {
                i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
            })
    }

    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// A positive snapshot id drawn from a fresh uuid; Iceberg asks for uniqueness within the table.
pub(crate) fn snapshot_id(uuid: Uuid) -> i64 {
    let (high, low) = uuid.as_u64_pair();
    ((high ^ low) >> 1) as i64
}
