//! Limits and delays of the transaction coordinator; defaults are Kafka's.

use super::state::TransactionVersion;

/// Settings shared by all transactional ids of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnSettings {
    /// `transaction.max.timeout.ms`
    pub timeout_max_ms: i32,
    /// `transactional.id.expiration.ms`: how long a settled id nobody uses is remembered.
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub id_expiration_interval_ms: i64,
    /// The finalized feature `transaction.version`: rules aborts that no client asked for.
    pub version: TransactionVersion,
}

impl Default for TxnSettings {
    fn default() -> Self {
        Self {
            timeout_max_ms: 900_000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1_000,
            id_expiration_interval_ms: 3_600_000,
            version: TransactionVersion::V2,
        }
    }
}
