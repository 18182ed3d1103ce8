//! OffsetFetch (key 9): how far groups have read. A partition without a committed offset is −1 and
//! no error.
//!
//! | from version | |
//! |---|---|
//! | 1 | one group, named partitions, errors per partition only |
//! | 2 | null topics: all partitions the group has; a code for the whole group |
//! | 7 | the client may ask for stable offsets; all are, without transactions |
//! | 8 | several groups (KIP-709) |
//! | 9 | member id and epoch, for groups of the new protocol only (KIP-848) |
//! | 10 | topics by id |

use futures::{StreamExt, stream};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use tidelog_coordinator::cluster::Image;
use tidelog_coordinator::group::{CommittedOffset, FetchOffsets, FetchedOffset};
use tidelog_protocol_ext::{ErrorCode, StrBytes, newer};

use super::by_topic;
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

/// First version with an error code for the group as a whole.
const GROUP_ERROR_FROM: i16 = 2;
/// First version that asks for several groups.
const BATCHED_FROM: i16 = 8;
/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 10;
/// Groups of one request that are looked up at the same time.
const LOOKUPS_MAX: usize = 16;

/// A partition's position as all versions tell it.
struct Position {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    error: ErrorCode,
}

type Fetched = Result<Vec<FetchedOffset>, CoordinatorError>;

pub async fn handle(ctx: &Context, request: newer::OffsetFetchRequest) -> Outcome {
    let request = request.0;
    let stable = request.require_stable;
    let response = if ctx.version() >= BATCHED_FROM {
        let view = ctx.broker.cluster().view();
        let groups = stream::iter(request.groups);
        let groups = groups.map(|group| fetch_group(ctx, &view.image, group, stable));
        let groups = groups.buffered(LOOKUPS_MAX).collect().await;
        OffsetFetchResponse::default().with_groups(groups)
    } else {
        let fetch = parse_one(request);
        let asked = fetch.partitions.clone().unwrap_or_default();
        let fetched = ctx.broker.groups().fetch_offsets(fetch).await;
        single(fetched, asked, stable, ctx.version())
    };
    ctx.answer(&response)
}

fn parse_one(request: OffsetFetchRequest) -> FetchOffsets {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter();
        partitions(topics.map(|topic| (topic.name, topic.partition_indexes)))
    });
    FetchOffsets {
        group: request.group_id.to_string(),
        partitions: topics,
    }
}

fn partitions(topics: impl Iterator<Item = (TopicName, Vec<i32>)>) -> Vec<(String, i32)> {
    topics
        .flat_map(|(topic, partitions)| {
            let named = move |partition| (topic.to_string(), partition);
            partitions.into_iter().map(named)
        })
        .collect()
}

/// The answer of versions 1–7, which before version 2 repeats an error for each partition.
fn single(
    fetched: Fetched,
    asked: Vec<(String, i32)>,
    stable: bool,
    version: i16,
) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    match fetched {
        Ok(offsets) => response.with_topics(topics_of_one(positions(offsets, stable))),
        Err(error) if version >= GROUP_ERROR_FROM => {
            response.with_error_code(ErrorCode::from(error).code())
        }
        Err(error) => {
            let error = ErrorCode::from(error);
            let failed = asked
                .into_iter()
                .map(|(topic, partition)| (topic, position(partition, None, error)));
            response.with_topics(topics_of_one(failed))
        }
    }
}

fn topics_of_one(
    positions: impl Iterator<Item = (String, Position)>,
) -> Vec<OffsetFetchResponseTopic> {
    let partition = |position: Position| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(position.partition)
            .with_committed_offset(position.offset)
            .with_committed_leader_epoch(position.leader_epoch)
            .with_metadata(Some(position.metadata))
            .with_error_code(position.error.code())
    };
    let topics = by_topic(positions).into_iter().map(|(name, positions)| {
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(positions.into_iter().map(partition).collect())
    });
    topics.collect()
}

/// The answer of later versions for one group. A topic that is not known by its id is refused here;
/// one that does not exist any more is left out when all are asked for.
async fn fetch_group(
    ctx: &Context,
    image: &Image,
    group: OffsetFetchRequestGroup,
    stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = ctx.version() >= TOPIC_IDS_FROM;
    let (topics, unknown) = match (by_id, group.topics) {
        (true, Some(topics)) => {
            let (known, unknown) = named(image, topics);
            (Some(known), unknown)
        }
        (_, topics) => (topics, Vec::new()),
    };
    let fetch = FetchOffsets {
        group: group.group_id.to_string(),
        partitions: topics.map(|topics| {
            let topics = topics.into_iter();
            partitions(topics.map(|topic| (topic.name, topic.partition_indexes)))
        }),
    };
    let response = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
    // Without a member id and an epoch it is an outsider's.
    let member_id = group.member_id.map(|id| id.to_string());
    if (member_id.is_some() || group.member_epoch >= 0)
        && let Err(error) = ctx
            .broker
            .groups()
            .check_epoch(
                fetch.group.clone(),
                member_id.unwrap_or_default(),
                group.member_epoch,
            )
            .await
    {
        return response.with_error_code(ErrorCode::from(error).code());
    }
    match ctx.broker.groups().fetch_offsets(fetch).await {
        Ok(offsets) => {
            let mut topics = topics_of_many(positions(offsets, stable));
            if by_id {
                topics.retain_mut(|topic| identify(image, topic));
                topics.extend(unknown.into_iter().map(unknown_id));
            }
            response.with_topics(topics)
        }
        Err(error) => response.with_error_code(ErrorCode::from(error).code()),
    }
}

/// Splits topics that came by id into those there are, with their names, and the others.
fn named(
    image: &Image,
    topics: Vec<OffsetFetchRequestTopics>,
) -> (Vec<OffsetFetchRequestTopics>, Vec<OffsetFetchRequestTopics>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for topic in topics {
        match image.topic_by_id(topic.topic_id) {
            Some(found) => {
                let name = StrBytes::from_string(found.name.clone());
                known.push(topic.with_name(name.into()));
            }
            None => unknown.push(topic),
        }
    }
    (known, unknown)
}

/// Puts a topic's id to its name; false if it has none.
fn identify(image: &Image, topic: &mut OffsetFetchResponseTopics) -> bool {
    let known = image.topic(&topic.name);
    topic.topic_id = known.map_or(topic.topic_id, |known| known.id);
    known.is_some()
}

fn unknown_id(topic: OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.into_iter();
    let refused = partitions.map(|index| batched(position(index, None, ErrorCode::UnknownTopicId)));
    OffsetFetchResponseTopics::default()
        .with_topic_id(topic.topic_id)
        .with_partitions(refused.collect())
}

fn topics_of_many(
    positions: impl Iterator<Item = (String, Position)>,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = by_topic(positions).into_iter().map(|(name, positions)| {
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(positions.into_iter().map(batched).collect())
    });
    topics.collect()
}

fn batched(position: Position) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(position.partition)
        .with_committed_offset(position.offset)
        .with_committed_leader_epoch(position.leader_epoch)
        .with_metadata(Some(position.metadata))
        .with_error_code(position.error.code())
}

/// With `stable`, a position that an open transaction may still change is an error (KIP-447).
fn positions(
    offsets: Vec<FetchedOffset>,
    stable: bool,
) -> impl Iterator<Item = (String, Position)> {
    offsets.into_iter().map(move |fetched| {
        let position = match stable && fetched.unstable {
            true => position(fetched.partition, None, ErrorCode::UnstableOffsetCommit),
            false => position(fetched.partition, fetched.committed, ErrorCode::None),
        };
        (fetched.topic, position)
    })
}

fn position(partition: i32, committed: Option<CommittedOffset>, error: ErrorCode) -> Position {
    let (offset, leader_epoch, metadata) = committed.map_or_else(
        || (-1, -1, String::new()),
        |committed| (committed.offset, committed.leader_epoch, committed.metadata),
    );
    Position {
        partition,
        offset,
        leader_epoch,
        metadata: StrBytes::from_string(metadata),
        error,
    }
}
