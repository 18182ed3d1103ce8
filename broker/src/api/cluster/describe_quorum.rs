//! DescribeQuorum (key 55, KIP-595): who keeps the cluster's metadata. This broker does, alone: it
//! leads a quorum of one voter, itself, and there are no observers.
//!
//! The only partition to ask for is `__cluster_metadata`, 0. The address told for the voter (v2) is
//! that of the listener the client came through: there is none for controllers. As Kafka writes it, no
//! message is an empty one.

use kafka_protocol::messages::describe_quorum_request as asked;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use crate::api::context::{Context, Outcome};
use crate::owners::cluster::METADATA_TOPIC_ID;

const METADATA_TOPIC: &str = "__cluster_metadata";

const NOT_METADATA: &str = "only __cluster_metadata, partition 0, has a quorum: ask for it alone";

/// First version with addresses of the nodes.
const NODES_FROM: i16 = 2;

/// First version that tells when a replica fetched last.
const TIMES_FROM: i16 = 1;

pub async fn handle(ctx: &Context, request: DescribeQuorumRequest) -> Outcome {
    let response = match is_metadata(&request.topics) {
        true => described(ctx),
        false => unknown(request),
    };
    ctx.answer(&response)
}

/// Whether exactly the one partition there is was asked for.
fn is_metadata(topics: &[asked::TopicData]) -> bool {
    let [topic] = topics else {
        return false;
    };
    let partition = |partition: &asked::PartitionData| partition.partition_index;
    topic.topic_name.as_str() == METADATA_TOPIC && topic.partitions.iter().map(partition).eq([0])
}

fn described(ctx: &Context) -> DescribeQuorumResponse {
    let node_id = ctx.broker.node_id().into();
    let partition = ctx.broker.log().partition(METADATA_TOPIC_ID, 0);
    let (end, epoch) = partition.map_or((-1, -1), |partition| {
        let marks = partition.marks();
        (marks.high_watermark, marks.leader_epoch)
    });
    let mut voter = ReplicaState::default()
        .with_replica_id(node_id)
        .with_log_end_offset(end);
    if ctx.version() >= TIMES_FROM {
        // The leader is always up to date with itself.
        let now_ms = ctx.broker.now_ms();
        voter = voter
            .with_last_fetch_timestamp(now_ms)
            .with_last_caught_up_timestamp(now_ms);
    }
    let partition = PartitionData::default()
        .with_error_message(Some(StrBytes::new()))
        .with_leader_id(node_id)
        .with_leader_epoch(epoch)
        .with_high_watermark(end)
        .with_current_voters(vec![voter]);
    let topic = TopicData::default()
        .with_topic_name(StrBytes::from_static_str(METADATA_TOPIC).into())
        .with_partitions(vec![partition]);
    let response = DescribeQuorumResponse::default()
        .with_error_message(Some(StrBytes::new()))
        .with_topics(vec![topic]);
    match ctx.version() >= NODES_FROM {
        true => response.with_nodes(vec![node(ctx)]),
        false => response,
    }
}

fn node(ctx: &Context) -> Node {
    let address = &ctx.listener.advertised;
    let listener = Listener::default()
        .with_name(StrBytes::from_string(ctx.listener.name.clone()))
        .with_host(StrBytes::from_string(address.host.clone()))
        .with_port(address.port);
    Node::default()
        .with_node_id(ctx.broker.node_id().into())
        .with_listeners(vec![listener])
}

/// Every partition asked for, with an error.
fn unknown(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let refused = |partition: asked::PartitionData| {
        PartitionData::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            .with_error_message(Some(StrBytes::from_static_str(NOT_METADATA)))
    };
    let topics = request.topics.into_iter().map(|topic| {
        TopicData::default()
            .with_topic_name(topic.topic_name)
            .with_partitions(topic.partitions.into_iter().map(refused).collect())
    });
    DescribeQuorumResponse::default()
        .with_error_message(Some(StrBytes::new()))
        .with_topics(topics.collect())
}
