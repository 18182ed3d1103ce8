//! ColumnarProduce (16001): rows in columns, stored as records that any Kafka client reads.

use bytes::Bytes;
use uuid::Uuid;

use super::wire::{api, message};
use crate::{Rope, StrBytes};

api!(16001 "ColumnarProduce" v0..=0: ColumnarProduceRequest -> ColumnarProduceResponse);

message! {
    /// Rows for partitions of topics.
    pub struct ColumnarProduceRequest {
        /// The transaction the rows are part of, by its id; null without one.
        pub transactional_id: Option<StrBytes>,
        /// -1 to be answered when the rows are synced, 1 when they are written.
        pub acks: i16,
        /// How long to wait for room in a key table, in milliseconds.
        pub timeout_ms: i32,
        /// The topics.
        pub topics: Vec<ProduceTopic>,
    }

    /// Rows of one topic.
    pub struct ProduceTopic {
        /// The id of the topic, or the nil id to go by name.
        pub topic_id: Uuid,
        /// The name of the topic; null to go by id.
        pub name: Option<StrBytes>,
        /// The schema whose field ids and names the columns have; -1 to go by the names of now.
        pub schema_id: i32,
        /// An encapsulated Arrow IPC schema message with the columns of all rows here.
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
        /// Encapsulated Arrow IPC record batch messages, one after the other.
        pub rows: Rope,
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
        /// The id of the topic, if the request named it so, else the nil id.
        pub topic_id: Uuid,
        /// The name of the topic, if the request named it so, else null.
        pub name: Option<StrBytes>,
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
        /// The offset of the first row; the others follow without a gap. -1 on an error.
        pub base_offset: i64,
        /// The broker's time that the records got, in milliseconds since 1970; -1 if they kept their own.
        pub log_append_time_ms: i64,
        /// The first offset that Fetch can read; -1 if it is not known.
        pub log_start_offset: i64,
        /// Rows at fault, if single rows are; not more than 100 of them are named.
        pub record_errors: Vec<RecordError>,
    }

    /// A row that is none of the table's.
    pub struct RecordError {
        /// Its place among the rows of the partition, from 0.
        pub row: i32,
        /// What is wrong with it.
        pub message: StrBytes,
    }
}
