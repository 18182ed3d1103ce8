//! Lookup (16002): the latest rows of a keyed table for primary keys, many at once, and from version
//! 1 on for the beginnings of keys.
//!
//! A partition's answers reflect all its changes below `reflected_offset`; a client that wants to
//! read its own writes asks for `min_offset` = the offset of its write + 1 and the broker waits.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;
use crate::rope::Rope;

api!(
    16002 "Lookup" v0..=1: LookupRequest -> LookupResponse,
    needs |request| i16::from(!request.prefixes.is_empty())
);

message! {
    /// The rows of some keys.
    pub struct LookupRequest {
        /// How long to wait for min_offset, and for an index that is being loaded, in milliseconds.
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
        /// Beginnings of keys, to look up all keys that have them.
        pub prefixes: Vec<LookupPrefix> = since 1,
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

    /// All keys that begin alike.
    pub struct LookupPrefix {
        /// The partition to look in; -1 for all of them.
        pub partition: i32,
        /// What the bytes of the keys begin with; empty for every key.
        pub prefix: Bytes,
        /// The most rows to answer for this prefix; 0 or less for no limit of its own.
        pub limit: i32,
        /// Where to go on: what the answer before said; null to begin.
        pub cursor: Option<Bytes>,
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
        /// How many rows: as many as results that were found, and those of the prefixes.
        pub row_count: i32,
        /// Encapsulated Arrow IPC record batch messages holding the rows found, in the order of the
        /// results, those of the prefixes behind those of the keys; empty if there are none or no
        /// column was asked for.
        pub messages: Rope,
        /// One per prefix of the request, in its order.
        pub prefix_results: Vec<PrefixResult> = since 1,
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

    /// What became of one prefix. Its rows come by partition, and in each by the bytes of their keys.
    pub struct PrefixResult {
        /// An error of this prefix, such as an index still being loaded (retriable), or 0.
        pub error_code: i16,
        /// How many rows are its.
        pub row_count: i32,
        /// How many rows were passed over because their values are not of the schema.
        pub undecodable_count: i32,
        /// Where to go on; null if there is nothing more.
        pub cursor: Option<Bytes>,
    }
}
