//! DescribeTable (16004): what a client must know of a table: schemas, keys, places, sizes.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;

api!(16004 "DescribeTable" v0..=1: DescribeTableRequest -> DescribeTableResponse);

/// Values of `index_state`.
pub const INDEX_NONE: i8 = 0;
/// Lookups are answered.
pub const INDEX_READY: i8 = 1;
/// Lookups wait, or are told to come again.
pub const INDEX_LOADING: i8 = 2;
/// Neither the index nor a checkpoint to make it from can be read.
pub const INDEX_LOST: i8 = 3;

message! {
    /// Which tables.
    pub struct DescribeTableRequest {
        /// The tables to describe.
        pub topics: Vec<TableName>,
    }

    /// A table by id or by name.
    pub struct TableName {
        /// The id of the topic, or the nil id to go by name.
        pub topic_id: Uuid,
        /// The name of the topic; null to go by id.
        pub name: Option<StrBytes>,
    }

    /// The descriptions, in the order of the request.
    pub struct DescribeTableResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// One per topic of the request.
        pub topics: Vec<Table>,
    }

    /// One table.
    pub struct Table {
        /// An error of this topic, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The name of the topic; null if it is not known.
        pub name: Option<StrBytes>,
        /// The id of the topic.
        pub topic_id: Uuid,
        /// How records become rows: the value of the topic's table mode setting.
        pub mode: StrBytes,
        /// Every schema that rows of the table may carry, in ascending order of id.
        pub schemas: Vec<Schema>,
        /// The id of the schema in force; -1 if there is none yet.
        pub current_schema_id: i32,
        /// The columns of the primary key, in order; empty for a table without one.
        pub key_columns: Vec<StrBytes>,
        /// How changes to one key are merged; null for a table without a key.
        pub merge_engine: Option<StrBytes>,
        /// The rule that gives a key its partition; null while it is not settled, or without a key.
        pub partitioner: Option<StrBytes>,
        /// The namespace of the lake table; null if the topic is not tiered.
        pub lake_namespace: Option<StrBytes>,
        /// The name of the lake table; null if the topic is not tiered.
        pub lake_table: Option<StrBytes>,
        /// One per partition, in ascending order.
        pub partitions: Vec<TablePartition>,
    }

    /// One version of the schema.
    pub struct Schema {
        /// Its id, as in the runs of a ColumnarFetch.
        pub schema_id: i32,
        /// An encapsulated Arrow IPC schema message; field ids are in the metadata of its fields.
        pub arrow_schema: Bytes,
        /// The schema for people, as UTF-8 JSON.
        pub schema_json: Bytes,
    }

    /// One partition.
    pub struct TablePartition {
        /// The partition index.
        pub partition: i32,
        /// The first offset that Fetch can read.
        pub log_start_offset: i64,
        /// The end of rows: the smaller of high watermark and last stable offset.
        pub stable_end: i64,
        /// The end of what has been written as columns; from there on rows are decoded on the fly.
        pub rows_to: i64,
        /// How many rows there are (for a keyed table, live keys); -1 if that is not known.
        pub row_count: i64,
        /// The key index: 0 for none, 1 ready, 2 being loaded, 3 lost.
        pub index_state: i8 = since 1,
        /// What a lookup reflects at least: every change below; -1 while that is not known.
        pub reflected_offset: i64 = since 1,
        /// The index on the disk reflects everything below; -1 while that is not known.
        pub index_offset: i64 = since 1,
        /// How many live keys there are, about: keys that were deleted or written again may still
        /// count. Scan counts exactly. -1 while that is not known.
        pub row_estimate: i64 = since 1,
        /// Memory that changes take which are not in the index on the disk yet, in bytes; -1 while
        /// that is not known.
        pub index_memory_bytes: i64 = since 1,
    }
}
