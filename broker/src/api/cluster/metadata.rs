//! Metadata (key 3): brokers, topics and their partitions, as every client asks first.
//!
//! Which topics: v0 reads an empty list as all, later versions null as all and an empty list as
//! none; from v12 topics may be named by id. Topics that do not exist are created if the client
//! (v4+; before that always) and `auto.create.topics.enable` allow it. As in Kafka the request that
//! creates a topic is still told that there is none; it is complete when the answer leaves, so the
//! next request finds it.

use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use tidelog_coordinator::cluster::{INTERNAL_TOPICS, Reply, Topic};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tracing::warn;
use uuid::Uuid;

use super::operations;
use super::seat::Seat;
use crate::api::context::{Context, Outcome};
use crate::api::topic::name;
use crate::owners::cluster::View;

/// First version in which a request may name topics by id; v10 and v11 carry the field unused.
const IDS_ASKED_FROM: i16 = 12;

pub async fn handle(ctx: &Context, request: MetadataRequest) -> Outcome {
    let MetadataRequest {
        topics,
        allow_auto_topic_creation: may_create,
        include_topic_authorized_operations: topic_operations,
        include_cluster_authorized_operations: cluster_operations,
        ..
    } = request;
    let asked = match Asked::of(ctx.version(), topics) {
        Ok(asked) => asked,
        Err(topics) => return ctx.answer(&refused(topics)),
    };
    let view = ctx.broker.cluster().view();
    if let (true, Asked::These(topics)) = (may_create, &asked) {
        create_missing(ctx, &view, topics).await;
    }
    let mut topics: Vec<_> = match &asked {
        Asked::All => view.image.topics().map(|topic| found(ctx, topic)).collect(),
        Asked::These(topics) => topics.iter().map(|topic| one(ctx, &view, topic)).collect(),
    };
    if topic_operations {
        let existing = topics.iter_mut().filter(|topic| topic.error_code == 0);
        existing.for_each(|topic| topic.topic_authorized_operations = operations::TOPIC);
    }
    let mut response = about_cluster(ctx).with_topics(topics);
    if cluster_operations {
        response.cluster_authorized_operations = operations::CLUSTER;
    }
    ctx.answer(&response)
}

/// Which topics a client wants to know of.
enum Asked {
    All,
    These(Vec<Named>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Named {
    Name(StrBytes),
    Id(Uuid),
}

impl Asked {
    /// The topics again for what a version may not ask. A topic named twice is answered once; where
    /// one is asked for by id, those without are not looked at.
    fn of(
        version: i16,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> Result<Self, Vec<MetadataRequestTopic>> {
        let mut topics = match topics {
            None => return Ok(Asked::All),
            Some(topics) if version == 0 && topics.is_empty() => return Ok(Asked::All),
            Some(topics) => topics,
        };
        let is_by_id =
            |topic: &MetadataRequestTopic| !topic.topic_id.is_nil() || topic.name.is_none();
        if version < IDS_ASKED_FROM && topics.iter().any(is_by_id) {
            return Err(topics);
        }
        if topics.iter().any(|topic| !topic.topic_id.is_nil()) {
            topics.retain(|topic| !topic.topic_id.is_nil());
        }
        let mut seen = HashSet::new();
        let mut named = Vec::new();
        for topic in topics {
            let topic = match (topic.topic_id, topic.name) {
                (id, Some(name)) if id.is_nil() => Named::Name(name.0),
                (id, _) => Named::Id(id),
            };
            if seen.insert(topic.clone()) {
                named.push(topic);
            }
        }
        Ok(Asked::These(named))
    }
}

/// Creates what is asked for by a legal name and missing.
async fn create_missing(ctx: &Context, view: &View, topics: &[Named]) {
    if !ctx.broker.settings().auto_create_topics_enable {
        return;
    }
    let missing: Vec<String> = topics
        .iter()
        .filter_map(|topic| match topic {
            Named::Name(name) => Some(name.as_str()),
            Named::Id(_) => None,
        })
        .filter(|name| view.image.topic(name).is_none() && name::is_legal(name))
        // The broker makes these itself when it needs them.
        .filter(|name| !INTERNAL_TOPICS.contains(name))
        .map(str::to_owned)
        .collect();
    if missing.is_empty() {
        return;
    }
    match ctx.broker.cluster().auto_create(missing).await {
        Ok(Reply::Created(created)) => {
            let failed = created
                .into_iter()
                .filter_map(|(name, result)| Some((name, result.err()?)));
            for (topic, error) in failed {
                warn!(peer = %ctx.peer, topic, %error, "a topic that was asked for is not created");
            }
        }
        // The change may or may not have happened: the client asks again.
        Ok(_) | Err(_) => warn!(peer = %ctx.peer, "topics could not be created"),
    }
}

fn one(ctx: &Context, view: &View, asked: &Named) -> MetadataResponseTopic {
    let topic = match asked {
        Named::Name(name) => view.image.topic(name),
        Named::Id(id) => view.image.topic_by_id(*id),
    };
    match (topic, asked) {
        (Some(topic), _) => found(ctx, topic),
        (None, Named::Id(id)) => MetadataResponseTopic::default()
            .with_error_code(ErrorCode::UnknownTopicId.code())
            .with_name(None)
            .with_topic_id(*id),
        (None, Named::Name(name)) => {
            let error = match name::is_legal(name) {
                true => ErrorCode::UnknownTopicOrPartition,
                false => ErrorCode::InvalidTopicException,
            };
            MetadataResponseTopic::default()
                .with_error_code(error.code())
                .with_is_internal(INTERNAL_TOPICS.contains(&name.as_str()))
                .with_name(Some(name.clone().into()))
        }
    }
}

fn found(ctx: &Context, topic: &Arc<Topic>) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.clone()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_partitions(
            (0..topic.partitions)
                .map(|index| partition(ctx, topic, index))
                .collect(),
        )
}

fn partition(ctx: &Context, topic: &Topic, index: i32) -> MetadataResponsePartition {
    let seat = Seat::of(ctx, topic, index);
    let this_broker = vec![ctx.broker.node_id().into()];
    let partition = MetadataResponsePartition::default()
        .with_error_code(seat.error.code())
        .with_partition_index(index)
        .with_leader_id(seat.leader_id.into())
        .with_leader_epoch(seat.leader_epoch)
        .with_replica_nodes(this_broker.clone())
        .with_isr_nodes(this_broker.clone());
    match seat.offline {
        true => partition.with_offline_replicas(this_broker),
        false => partition,
    }
}

/// The part of the answer that does not depend on topics.
fn about_cluster(ctx: &Context) -> MetadataResponse {
    let address = &ctx.listener.advertised;
    let node_id = ctx.broker.node_id().into();
    let this_broker = MetadataResponseBroker::default()
        .with_node_id(node_id)
        .with_host(StrBytes::from_string(address.host.clone()))
        .with_port(address.port.into());
    MetadataResponse::default()
        .with_brokers(vec![this_broker])
        .with_controller_id(node_id)
        .with_cluster_id(Some(StrBytes::from_string(
            ctx.broker.cluster_id().to_owned(),
        )))
        .with_cluster_authorized_operations(operations::NOT_ASKED)
}

/// A name that is null, or an id, in a version that has neither: as in Kafka nothing is told of the
/// cluster, and every topic is refused.
fn refused(topics: Vec<MetadataRequestTopic>) -> MetadataResponse {
    let topics = topics.into_iter().map(|topic| {
        MetadataResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.unwrap_or_default()))
            .with_topic_id(topic.topic_id)
    });
    MetadataResponse::default()
        .with_cluster_id(None)
        .with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: Option<&'static str>, id: u128) -> MetadataRequestTopic {
        MetadataRequestTopic::default()
            .with_name(name.map(|name| StrBytes::from_static_str(name).into()))
            .with_topic_id(Uuid::from_u128(id))
    }

    #[test]
    fn which_topics_a_version_asks_for() {
        let these = |topics: Vec<Named>| Some(Asked::These(topics));
        let name = |name| Named::Name(StrBytes::from_static_str(name));
        let id = |id| Named::Id(Uuid::from_u128(id));
        let cases = [
            (0, Some(vec![]), Some(Asked::All)),
            (1, Some(vec![]), these(vec![])),
            (1, None, Some(Asked::All)),
            (
                9,
                Some(vec![topic(Some("a"), 0), topic(Some("a"), 0)]),
                these(vec![name("a")]),
            ),
            (11, Some(vec![topic(None, 7)]), None),
            (11, Some(vec![topic(Some("a"), 7)]), None),
            (11, Some(vec![topic(None, 0)]), None),
            (
                12,
                Some(vec![topic(None, 7), topic(Some("a"), 0)]),
                these(vec![id(7)]),
            ),
            (12, Some(vec![topic(None, 0)]), these(vec![id(0)])),
        ];
        for (version, topics, expected) in cases {
            let shown = format!("v{version} {topics:?}");
            let same = match (Asked::of(version, topics).ok(), expected) {
                (None, None) | (Some(Asked::All), Some(Asked::All)) => true,
                (Some(Asked::These(a)), Some(Asked::These(b))) => a == b,
                _ => false,
            };
            assert!(same, "{shown}");
        }
    }
}
