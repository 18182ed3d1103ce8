//! The body of OffsetCommit v10: v9 with a topic's id in the place of its name.

use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use uuid::Uuid;

use crate::StrBytes;
use crate::ext::wire::message;

message! {
    /// See [`OffsetCommitRequest`].
    pub struct Body {
        pub group_id: StrBytes,
        pub generation_id_or_member_epoch: i32,
        pub member_id: StrBytes,
        pub group_instance_id: Option<StrBytes>,
        pub topics: Vec<Topic>,
    }

    /// A topic by id.
    pub struct Topic {
        pub topic_id: Uuid,
        pub partitions: Vec<Partition>,
    }

    /// What to remember of one partition.
    pub struct Partition {
        pub partition_index: i32,
        pub committed_offset: i64,
        pub committed_leader_epoch: i32,
        pub committed_metadata: Option<StrBytes>,
    }
}

impl From<Body> for OffsetCommitRequest {
    fn from(body: Body) -> Self {
        let partition = |partition: Partition| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_committed_metadata(partition.committed_metadata)
        };
        let topic = |topic: Topic| {
            OffsetCommitRequestTopic::default()
                .with_topic_id(topic.topic_id)
                .with_partitions(topic.partitions.into_iter().map(partition).collect())
        };
        OffsetCommitRequest::default()
            .with_group_id(body.group_id.into())
            .with_generation_id_or_member_epoch(body.generation_id_or_member_epoch)
            .with_member_id(body.member_id)
            .with_group_instance_id(body.group_instance_id)
            .with_topics(body.topics.into_iter().map(topic).collect())
    }
}

impl From<OffsetCommitRequest> for Body {
    fn from(request: OffsetCommitRequest) -> Self {
        let partition = |partition: OffsetCommitRequestPartition| Partition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            committed_metadata: partition.committed_metadata,
        };
        let topic = |topic: OffsetCommitRequestTopic| Topic {
            topic_id: topic.topic_id,
            partitions: topic.partitions.into_iter().map(partition).collect(),
        };
        Body {
            group_id: request.group_id.0,
            generation_id_or_member_epoch: request.generation_id_or_member_epoch,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            topics: request.topics.into_iter().map(topic).collect(),
        }
    }
}
