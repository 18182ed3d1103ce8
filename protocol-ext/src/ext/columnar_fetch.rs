//! ColumnarFetch (16000): chosen columns of rows, as Arrow record batches cut out of storage.
//!
//! A read ends at `stable_end`: it is always read-committed and never ahead of what a power cut
//! would leave.
//!
//! ```text
//!   fetch_offset          first .. last    first .. last       next_offset         stable_end
//!        │ (no row matched) └── run ──┘      └── run ──┘  (no match)  │                 │
//!        └───────── looked at, and answered for by this response ─────┘  (not looked at)
//! ```
//!
//! - `next_offset` is exact even if nothing matched: everything below it has been answered for.
//! - A run has one schema id and holds whole Arrow IPC messages: a record batch each, without the
//!   schema message, which DescribeTable gives. Its columns are the projected ones in schema order.
//! - A column that no schema of the table has is an error of the topic that names the column.
//! - The first partition with rows answers at least one record batch, however small the limits.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;
use crate::rope::Rope;

api!(16000 "ColumnarFetch" v0..=0: ColumnarFetchRequest -> ColumnarFetchResponse);

message! {
    /// Rows from an offset on, for some partitions of some tables.
    pub struct ColumnarFetchRequest {
        /// How long to wait for min_rows, in milliseconds.
        pub max_wait_ms: i32,
        /// Answer at once when this many rows are there; 0 or 1 means any row, or an advance of
        /// next_offset.
        pub min_rows: i32,
        /// The most bytes of rows to answer over all partitions.
        pub max_bytes: i32,
        /// What to read, in order of preference.
        pub topics: Vec<FetchTopic>,
    }

    /// One table.
    pub struct FetchTopic {
        /// The id of the topic.
        pub topic_id: Uuid,
        /// The columns wanted, each a dotted name ("address.city") or "#" and a field id ("#17");
        /// null for all, empty for none (rows are still counted).
        pub projection: Option<Vec<StrBytes>>,
        /// A predicate on rows, in the form described under Filters; null for every row.
        pub filter: Option<Bytes>,
        /// The partitions to read.
        pub partitions: Vec<FetchPartition>,
    }

    /// Where to read in one partition.
    pub struct FetchPartition {
        /// The partition index.
        pub partition: i32,
        /// The leader epoch the client knows, to be fenced by; -1 if it knows none.
        pub current_leader_epoch: i32,
        /// The first offset wanted.
        pub fetch_offset: i64,
        /// The most bytes of rows to answer for this partition.
        pub partition_max_bytes: i32,
    }

    /// The rows found.
    pub struct ColumnarFetchResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error of the whole request, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// Answers in the order of the request.
        pub topics: Vec<TopicRows>,
    }

    /// One table.
    pub struct TopicRows {
        /// The id of the topic.
        pub topic_id: Uuid,
        /// An error of the whole topic, such as a column it does not have, or 0.
        pub error_code: i16,
        /// The error in words (a column that does not exist is named), or null.
        pub error_message: Option<StrBytes>,
        /// Answers in the order of the request; empty on an error of the topic.
        pub partitions: Vec<PartitionRows>,
    }

    /// One partition.
    pub struct PartitionRows {
        /// The partition index.
        pub partition: i32,
        /// An error of the partition, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The end of what is durable.
        pub high_watermark: i64,
        /// The end of rows: the smaller of high watermark and last stable offset.
        pub stable_end: i64,
        /// The first offset that Fetch can read.
        pub log_start_offset: i64,
        /// The first offset that ColumnarFetch can read.
        pub rows_start: i64,
        /// The offset to fetch next; the one asked for if nothing could be looked at, -1 on an
        /// error.
        pub next_offset: i64,
        /// The rows, in ascending order of offset.
        pub runs: Vec<Run>,
    }

    /// Rows that share a schema.
    pub struct Run {
        /// The id of the schema the rows were written with.
        pub schema_id: i32,
        /// The first offset the run answers for.
        pub first_offset: i64,
        /// The last offset the run answers for; offsets up to it without a row have none that
        /// matches.
        pub last_offset: i64,
        /// How many rows, also when no column was asked for.
        pub row_count: i32,
        /// Encapsulated Arrow IPC record batch messages, one after the other; empty if no column
        /// was asked for.
        pub messages: Rope,
        /// CRC-32C of each column's buffers as sent: per message, the projected columns in schema
        /// order; empty if the broker has none.
        pub checksums: Vec<u32>,
    }
}
