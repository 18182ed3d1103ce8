//! Lookup (16002): the latest rows of a keyed table for primary keys, many at once.
//!
//! A partition's answers reflect all its changes below `reflected_offset`; a client that wants to
//! read its own writes asks for `min_offset` = the offset of its write + 1 and the broker waits.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;
use crate::rope::Rope;

api!(16002 "Lookup" v0..=0: LookupRequest -> LookupResponse);

message! {
    /// The rows of some keys.
    pub struct LookupRequest {
        /// How long to wait for min_offset, in milliseconds.
        pub max_wait_ms: i32,
        /// The id of the topic.
        pub topic_id: Uuid,
        /// The columns wanted, as in ColumnarFetch; null for all, empty to learn only which keys
        /// exist.
        pub projection: Option<Vec<StrBytes>>,
        /// Partitions that must reflect at least an offset before they answer; null for none.
        pub min_offsets: Option<Vec<MinOffset>>,
        /// The keys to look up.
        pub keys: Vec<LookupKey>,
    }

    /// What one partition must reflect.
    pub struct MinOffset {
        /// The partition index.
        pub partition: i32,
        /// Every change below this offset must be reflected.
        pub min_offset: i64,
    }

    /// One key.
    pub struct LookupKey {
        /// The partition of the key; -1 to let the broker apply the table's partitioner.
        pub partition: i32,
        /// The key as the bytes of a Kafka record key.
        pub key: Bytes,
    }

    /// The rows found.
    pub struct LookupResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error of the whole request, or 0.
        pub error_code: i16,
        /// The error in words (a column that does not exist is named), or null.
        pub error_message: Option<StrBytes>,
        /// One per key of the request, in its order.
        pub results: Vec<LookupResult>,
        /// One per partition that was asked, in ascending order.
        pub partitions: Vec<Reflected>,
        /// The id of the schema all rows are given in.
        pub schema_id: i32,
        /// How many rows: as many as results that were found.
        pub row_count: i32,
        /// Encapsulated Arrow IPC record batch messages holding the rows found, in the order of the
        /// results; empty if there are none or no column was asked for.
        pub messages: Rope,
    }

    /// What became of one key.
    pub struct LookupResult {
        /// An error of this key, such as an index still being rebuilt (retriable), or 0.
        pub error_code: i16,
        /// Whether the key has a row.
        pub found: bool,
        /// The partition the key belongs to; -1 if that is not known.
        pub partition: i32,
        /// The offset of the change that made the row what it is; -1 if there is no row.
        pub offset: i64,
    }

    /// How far one partition's answers reach.
    pub struct Reflected {
        /// The partition index.
        pub partition: i32,
        /// Every change below this offset is reflected.
        pub reflected_offset: i64,
    }
}
