//! The body of a DescribeLogDirs v5 answer: v4 and, for each directory, whether it is cordoned (takes
//! no new partitions). The crate's message has no place for that, so it is always false.

use kafka_protocol::messages::DescribeLogDirsResponse;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::StrBytes;
use crate::ext::wire::message;

message! {
    /// See [`DescribeLogDirsResponse`].
    pub struct Body {
        pub throttle_time_ms: i32,
        pub error_code: i16,
        pub results: Vec<Directory>,
    }

    /// A log directory.
    pub struct Directory {
        pub error_code: i16,
        pub log_dir: StrBytes,
        pub topics: Vec<Topic>,
        pub total_bytes: i64,
        pub usable_bytes: i64,
        pub is_cordoned: bool,
    }

    /// A topic with partitions in it.
    pub struct Topic {
        pub name: StrBytes,
        pub partitions: Vec<Partition>,
    }

    /// A partition in it.
    pub struct Partition {
        pub partition_index: i32,
        pub partition_size: i64,
        pub offset_lag: i64,
        pub is_future_key: bool,
    }
}

impl From<DescribeLogDirsResponse> for Body {
    fn from(response: DescribeLogDirsResponse) -> Self {
        let partition = |partition: DescribeLogDirsPartition| Partition {
            partition_index: partition.partition_index,
            partition_size: partition.partition_size,
            offset_lag: partition.offset_lag,
            is_future_key: partition.is_future_key,
        };
        let topic = |topic: DescribeLogDirsTopic| Topic {
            name: topic.name.0,
            partitions: topic.partitions.into_iter().map(partition).collect(),
        };
        let directory = |result: DescribeLogDirsResult| Directory {
            error_code: result.error_code,
            log_dir: result.log_dir,
            topics: result.topics.into_iter().map(topic).collect(),
            total_bytes: result.total_bytes,
            usable_bytes: result.usable_bytes,
            is_cordoned: false,
        };
        Body {
            throttle_time_ms: response.throttle_time_ms,
            error_code: response.error_code,
            results: response.results.into_iter().map(directory).collect(),
        }
    }
}

impl From<Body> for DescribeLogDirsResponse {
    fn from(body: Body) -> Self {
        let partition = |partition: Partition| {
            DescribeLogDirsPartition::default()
                .with_partition_index(partition.partition_index)
                .with_partition_size(partition.partition_size)
                .with_offset_lag(partition.offset_lag)
                .with_is_future_key(partition.is_future_key)
        };
        let topic = |topic: Topic| {
            DescribeLogDirsTopic::default()
                .with_name(topic.name.into())
                .with_partitions(topic.partitions.into_iter().map(partition).collect())
        };
        let result = |directory: Directory| {
            DescribeLogDirsResult::default()
                .with_error_code(directory.error_code)
                .with_log_dir(directory.log_dir)
                .with_topics(directory.topics.into_iter().map(topic).collect())
                .with_total_bytes(directory.total_bytes)
                .with_usable_bytes(directory.usable_bytes)
        };
        DescribeLogDirsResponse::default()
            .with_throttle_time_ms(body.throttle_time_ms)
            .with_error_code(body.error_code)
            .with_results(body.results.into_iter().map(result).collect())
    }
}
