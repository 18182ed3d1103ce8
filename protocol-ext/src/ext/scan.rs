//! Scan (16006): all rows of a keyed table as of one offset for each partition, or totals of them.
//!
//! ```text
//! partition 0, no cursor ─▶ rows, cursor ─▶ rows, cursor ─▶ rows, null     all at the same reflected_offset
//! partition 1, no cursor ─▶ rows, null
//! ```
//!
//! - A cursor is the offset and the last key that was answered for. Whoever hands it back goes on in
//!   the same snapshot, as long as the broker has it or can make it again.
//! - Partitions that an answer had no room for are not in it: ask for them again as they were.
//! - Totals are of the rows that one answer looked at. Add up, or choose from, those of all answers.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;
use crate::rope::Rope;

api!(16006 "Scan" v0..=0: ScanRequest -> ScanResponse);

/// Values of a total's `function`.
pub const COUNT: i8 = 0;
/// Of the values that are not null.
pub const SUM: i8 = 1;
/// The smallest value.
pub const MIN: i8 = 2;
/// The greatest value.
pub const MAX: i8 = 3;

message! {
    /// Rows or totals of some partitions.
    pub struct ScanRequest {
        /// How long to wait for min_offset, and for an index that is being loaded, in milliseconds.
        pub max_wait_ms: i32,
        /// The most rows to answer over all partitions; 0 or less for no limit of their number. Of no
        /// effect with totals.
        pub max_rows: i64,
        /// The most bytes of rows to answer over all partitions; the broker has a limit of its own.
        pub max_bytes: i32,
        /// The id of the topic.
        pub topic_id: Uuid,
        /// The columns wanted, as in ColumnarFetch; null for all, empty to learn only how many rows
        /// there are.
        pub projection: Option<Vec<StrBytes>>,
        /// A predicate on rows, as in ColumnarFetch; null for every row.
        pub filter: Option<Bytes>,
        /// Totals to answer in the place of rows; null for rows.
        pub totals: Option<Vec<ScanTotal>>,
        /// The partitions to read, in this order.
        pub partitions: Vec<ScanPartition>,
    }

    /// A question about all rows together.
    pub struct ScanTotal {
        /// 0 to count, 1 for the sum, 2 for the smallest, 3 for the greatest value.
        pub function: i8,
        /// The column, a dotted name or "#" and a field id; null to count rows.
        pub column: Option<StrBytes>,
    }

    /// Where to read in one partition.
    pub struct ScanPartition {
        /// The partition index.
        pub partition: i32,
        /// Every change below this offset must be reflected; of no effect with a cursor.
        pub min_offset: i64,
        /// Where to go on: what the answer before said; null to begin.
        pub cursor: Option<Bytes>,
    }

    /// Rows, or totals of them.
    pub struct ScanResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error of the whole request, or 0.
        pub error_code: i16,
        /// The error in words (a column that does not exist is named), or null.
        pub error_message: Option<StrBytes>,
        /// The id of the schema all rows are given in.
        pub schema_id: i32,
        /// An encapsulated Arrow IPC schema message: the columns of the totals, one for each, in the
        /// order of the request; empty without totals.
        pub totals_schema: Bytes,
        /// The partitions that were looked at, in the order of the request; the others are to be
        /// asked for again.
        pub partitions: Vec<PartitionScan>,
    }

    /// What was found in one partition.
    pub struct PartitionScan {
        /// The partition index.
        pub partition: i32,
        /// An error of the partition, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The snapshot: every change below this offset is reflected, and none at or above it; -1 on
        /// an error.
        pub reflected_offset: i64,
        /// How many rows were found, also when no column was asked for; with totals, how many they
        /// are of.
        pub row_count: i64,
        /// How many rows were passed over because their values are not of the schema.
        pub undecodable_count: i64,
        /// Encapsulated Arrow IPC record batch messages holding the rows, in the order of their
        /// keys' bytes; empty if there are none, no column was asked for, or with totals.
        pub messages: Rope,
        /// An encapsulated Arrow IPC record batch message of one row, the totals of the rows looked
        /// at for this answer; empty without totals.
        pub totals: Rope,
        /// Where to go on; null at the end of the partition, and on an error.
        pub cursor: Option<Bytes>,
    }
}
