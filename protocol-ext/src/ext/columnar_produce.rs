//! ColumnarProduce (16001): rows in columns, stored as records that any Kafka client reads.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;

api!(16001 "ColumnarProduce" v0..=0: ColumnarProduceRequest -> ColumnarProduceResponse);

message! {
    /// Rows for partitions of topics.
    pub struct ColumnarProduceRequest {
        /// -1 to be answered when the rows are synced, 1 when they are written.
        pub acks: i16,
        /// How long to wait for that, in milliseconds.
        pub timeout_ms: i32,
        /// The topics.
        pub topics: Vec<ProduceTopic>,
    }

    /// Rows of one topic.
    pub struct ProduceTopic {
        /// The id of the topic.
        pub topic_id: Uuid,
        /// An Arrow IPC schema message with the columns of all rows here, matched to the table's by name.
        pub arrow_schema: Bytes,
        /// The partitions.
        pub partitions: Vec<ProducePartition>,
    }

    /// Rows of one partition; they become one record batch.
    pub struct ProducePartition {
        /// The partition index.
        pub partition: i32,
        /// The producer id of an idempotent producer (InitProducerId); -1 without.
        pub producer_id: i64,
        /// Its epoch; -1 without.
        pub producer_epoch: i16,
        /// The sequence number of the first row; -1 without.
        pub base_sequence: i32,
        /// One encapsulated Arrow IPC record batch message.
        pub rows: Bytes,
    }

    /// What became of them.
    pub struct ColumnarProduceResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// The topics, in the order of the request.
        pub topics: Vec<ProducedTopic>,
    }

    /// One topic.
    pub struct ProducedTopic {
        /// The id of the topic.
        pub topic_id: Uuid,
        /// The partitions, in the order of the request.
        pub partitions: Vec<ProducedPartition>,
    }

    /// One partition.
    pub struct ProducedPartition {
        /// The partition index.
        pub partition: i32,
        /// An error, or 0.
        pub error_code: i16,
        /// The error in words (the row and column at fault are named), or null.
        pub error_message: Option<StrBytes>,
        /// The offset of the first row; -1 on an error.
        pub base_offset: i64,
        /// The offset after the last row; -1 on an error.
        pub next_offset: i64,
        /// The first offset that Fetch can read; -1 on an error.
        pub log_start_offset: i64,
    }
}
