//! AlterReplicaLogDirs (key 34, KIP-113): move replicas between directories. There is one directory:
//! a partition is in it already, and every other one does not exist.

use std::path::PathBuf;

use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use tidelog_protocol_ext::ErrorCode;

use crate::api::context::{Context, Outcome};

pub async fn handle(ctx: &Context, request: AlterReplicaLogDirsRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let ours = data_dir(ctx);
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in request.dirs {
        let exists = ours == std::path::Path::new(dir.path.as_str());
        for topic in dir.topics {
            let known = view
                .image
                .topic(&topic.name)
                .map_or(0, |topic| topic.partitions);
            let partitions = topic.partitions.into_iter().map(|index| {
                let error = match exists {
                    false => ErrorCode::LogDirNotFound,
                    true if (0..known).contains(&index) => ErrorCode::None,
                    true => ErrorCode::UnknownTopicOrPartition,
                };
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(error.code())
            });
            let partitions: Vec<_> = partitions.collect();
            // One answer for a topic, whatever the number of directories it is named under.
            match results
                .iter_mut()
                .find(|result| result.topic_name == topic.name)
            {
                Some(result) => result.partitions.extend(partitions),
                None => results.push(
                    AlterReplicaLogDirTopicResult::default()
                        .with_topic_name(topic.name)
                        .with_partitions(partitions),
                ),
            }
        }
    }
    ctx.answer(&AlterReplicaLogDirsResponse::default().with_results(results))
}

/// The directory as DescribeLogDirs names it.
fn data_dir(ctx: &Context) -> PathBuf {
    let path = &ctx.broker.settings().data_dir;
    std::path::absolute(path).unwrap_or_else(|_| path.clone())
}
