//! DescribeTopicPartitions (key 75, KIP-966): topics in pages, in order of name.
//!
//! A page ends at the limit of partitions and names where the next one starts. An empty list of
//! topics asks for all, and then topics that went meanwhile are left out instead of answered with
//! an error.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use tidelog_coordinator::cluster::{INTERNAL_TOPICS, Topic};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::operations;
use super::seat::Seat;
use crate::api::context::{Context, Outcome};
use crate::api::topic::name;

/// Most partitions of one answer; Kafka's `max.request.partition.size.limit`.
const PAGE_PARTITIONS_MAX: i32 = 2000;

pub async fn handle(ctx: &Context, request: DescribeTopicPartitionsRequest) -> Outcome {
    let response = match Page::asked(ctx, &request) {
        Some(page) => page.answer(ctx),
        None => malformed(request),
    };
    ctx.answer(&response)
}

/// A page as a client asked for it.
struct Page {
    /// Ascending; the first is the cursor's topic, if that still exists.
    names: BTreeSet<String>,
    /// The topic to begin within, and its first partition.
    start: Option<(String, i32)>,
    all: bool,
    partitions_max: i32,
}

impl Page {
    /// `None` if the cursor is not one of ours: below partition 0, or of a topic not asked for.
    fn asked(ctx: &Context, request: &DescribeTopicPartitionsRequest) -> Option<Self> {
        let cursor = request.cursor.as_ref();
        let start = cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
        let all = request.topics.is_empty();
        let mut names: BTreeSet<String> = match all {
            true => {
                let view = ctx.broker.cluster().view();
                view.image
                    .topics()
                    .map(|topic| topic.name.clone())
                    .collect()
            }
            false => request
                .topics
                .iter()
                .map(|topic| topic.name.to_string())
                .collect(),
        };
        if let Some((first, partition)) = &start {
            if *partition < 0 || !(all || names.contains(first)) {
                return None;
            }
            names = names.split_off(first);
        }
        Some(Self {
            names,
            start,
            all,
            partitions_max: request
                .response_partition_limit
                .clamp(1, PAGE_PARTITIONS_MAX),
        })
    }

    fn answer(self, ctx: &Context) -> DescribeTopicPartitionsResponse {
        let view = ctx.broker.cluster().view();
        let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
        let mut room = self.partitions_max;
        for name in self.names {
            if room == 0 {
                return response.with_next_cursor(Some(cursor(name, 0)));
            }
            let Some(topic) = view.image.topic(&name) else {
                if !self.all {
                    response.topics.push(missing(name));
                }
                continue;
            };
            let begun = self.start.as_ref().filter(|(first, _)| *first == name);
            let first = begun.map_or(0, |(_, partition)| (*partition).min(topic.partitions));
            let end = topic.partitions.min(first.saturating_add(room));
            response.topics.push(described(ctx, topic, first..end));
            room -= end - first;
            if end < topic.partitions {
                return response.with_next_cursor(Some(cursor(name, end)));
            }
        }
        response
    }
}

fn cursor(topic: String, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(StrBytes::from_string(topic).into())
        .with_partition_index(partition)
}

fn described(
    ctx: &Context,
    topic: &Topic,
    partitions: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.clone()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_topic_authorized_operations(operations::TOPIC)
        .with_partitions(
            partitions
                .map(|index| partition(ctx, topic, index))
                .collect(),
        )
}

fn partition(ctx: &Context, topic: &Topic, index: i32) -> DescribeTopicPartitionsResponsePartition {
    let seat = Seat::of(ctx, topic, index);
    let this_broker = vec![ctx.broker.node_id().into()];
    let partition = DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(seat.error.code())
        .with_partition_index(index)
        .with_leader_id(seat.leader_id.into())
        .with_leader_epoch(seat.leader_epoch)
        .with_replica_nodes(this_broker.clone())
        .with_isr_nodes(this_broker.clone())
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()));
    match seat.offline {
        true => partition.with_offline_replicas(this_broker),
        false => partition,
    }
}

fn missing(name: String) -> DescribeTopicPartitionsResponseTopic {
    let error = match name::is_legal(&name) {
        true => ErrorCode::UnknownTopicOrPartition,
        false => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_is_internal(INTERNAL_TOPICS.contains(&name.as_str()))
        .with_topic_authorized_operations(operations::TOPIC)
        .with_name(Some(StrBytes::from_string(name).into()))
}

fn malformed(request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |name| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(name))
    };
    // Asking for all topics names none; the cursor's is then the only place for the error.
    let cursor = request.cursor.into_iter().map(|cursor| cursor.topic_name);
    let named = request.topics.into_iter().map(|topic| topic.name);
    let mut topics: Vec<_> = named.map(refused).collect();
    if topics.is_empty() {
        topics.extend(cursor.map(refused));
    }
    DescribeTopicPartitionsResponse::default()
        .with_next_cursor(None)
        .with_topics(topics)
}
