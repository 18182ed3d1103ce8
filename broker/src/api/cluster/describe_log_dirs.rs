//! DescribeLogDirs (key 35): the data directory, how full its disk is, and what each partition takes.
//!
//! A partition's size is that of its record batches from log start to end, wherever they lie now:
//! in the write-ahead log, in a file of its own or in one shared with others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kafka_protocol::messages::DescribeLogDirsResponse;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::newer::{self, DescribeLogDirsRequest};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tracing::warn;

use crate::api::context::{Context, Outcome};

/// Kafka's answer where the size of a disk is not known.
const UNKNOWN_BYTES: i64 = -1;

pub async fn handle(ctx: &Context, request: DescribeLogDirsRequest) -> Outcome {
    let data_dir = ctx.broker.settings().data_dir.clone();
    let disk = ctx
        .broker
        .log()
        .blocking(move || DataDir::look(&data_dir))
        .await;
    let result = DescribeLogDirsResult::default()
        .with_error_code(ErrorCode::None.code())
        .with_log_dir(StrBytes::from_string(disk.path.display().to_string()))
        .with_topics(topics(ctx, request))
        .with_total_bytes(disk.total_bytes)
        .with_usable_bytes(disk.usable_bytes);
    let response = DescribeLogDirsResponse::default().with_results(vec![result]);
    ctx.answer(&newer::DescribeLogDirsResponse::from(response))
}

/// The directory of everything, and the disk it lies on.
struct DataDir {
    path: PathBuf,
    total_bytes: i64,
    usable_bytes: i64,
}

impl DataDir {
    /// Asks the file system; may block.
    fn look(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (total_bytes, usable_bytes) = match rustix::fs::statvfs(path) {
            Ok(disk) => (
                bytes(disk.f_blocks, disk.f_frsize),
                bytes(disk.f_bavail, disk.f_frsize),
            ),
            Err(error) => {
                warn!(path = %path.display(), %error, "the size of the disk is not known");
                (UNKNOWN_BYTES, UNKNOWN_BYTES)
            }
        };
        Self {
            path: absolute,
            total_bytes,
            usable_bytes,
        }
    }
}

fn bytes(blocks: u64, block_bytes: u64) -> i64 {
    i64::try_from(blocks.saturating_mul(block_bytes)).unwrap_or(i64::MAX)
}

/// Partitions that do not exist are left out, as Kafka does.
fn topics(ctx: &Context, request: DescribeLogDirsRequest) -> Vec<DescribeLogDirsTopic> {
    let view = ctx.broker.cluster().view();
    let Some(asked) = request.0.topics else {
        let all = view.image.topics();
        return all
            .map(|topic| described(ctx, topic, 0..topic.partitions))
            .collect();
    };
    let mut wanted: BTreeMap<_, BTreeSet<i32>> = BTreeMap::new();
    for topic in asked {
        wanted
            .entry(topic.topic)
            .or_default()
            .extend(topic.partitions);
    }
    wanted
        .into_iter()
        .filter_map(|(name, partitions)| Some(described(ctx, view.image.topic(&name)?, partitions)))
        .filter(|topic| !topic.partitions.is_empty())
        .collect()
}

fn described(
    ctx: &Context,
    topic: &Topic,
    partitions: impl IntoIterator<Item = i32>,
) -> DescribeLogDirsTopic {
    let existing = partitions.into_iter().filter_map(|index| {
        let size_bytes = ctx.broker.log().partition(topic.id, index)?.size_bytes();
        let partition = DescribeLogDirsPartition::default()
            .with_partition_index(index)
            .with_partition_size(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        Some(partition)
    });
    DescribeLogDirsTopic::default()
        .with_name(StrBytes::from_string(topic.name.clone()).into())
        .with_partitions(existing.collect())
}
