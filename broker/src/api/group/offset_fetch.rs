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

use futures::{StreamExt, stream};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use tidelog_coordinator::group::{CommittedOffset, FetchOffsets, FetchedOffset};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::by_topic;
use crate::api::context::{Context, Outcome};
use crate::owners::groups::CoordinatorError;

/// First version with an error code for the group as a whole.
const GROUP_ERROR_FROM: i16 = 2;
/// First version that asks for several groups.
const BATCHED_FROM: i16 = 8;
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

pub async fn handle(ctx: &Context, request: OffsetFetchRequest) -> Outcome {
    let response = if ctx.version() >= BATCHED_FROM {
        let groups = stream::iter(parse_many(request)).map(|fetch| fetch_group(ctx, fetch));
        let groups = groups.buffered(LOOKUPS_MAX).collect().await;
        OffsetFetchResponse::default().with_groups(groups)
    } else {
        let fetch = parse_one(request);
        let asked = fetch.partitions.clone().unwrap_or_default();
        let fetched = ctx.broker.groups().fetch_offsets(fetch).await;
        single(fetched, asked, ctx.version())
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

fn parse_many(request: OffsetFetchRequest) -> Vec<FetchOffsets> {
    let groups = request.groups.into_iter().map(|group| FetchOffsets {
        group: group.group_id.to_string(),
        partitions: group.topics.map(|topics| {
            let topics = topics.into_iter();
            partitions(topics.map(|topic| (topic.name, topic.partition_indexes)))
        }),
    });
    groups.collect()
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
fn single(fetched: Fetched, asked: Vec<(String, i32)>, version: i16) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    match fetched {
        Ok(offsets) => response.with_topics(topics_of_one(positions(offsets))),
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

/// The answer of later versions for one group.
async fn fetch_group(ctx: &Context, fetch: FetchOffsets) -> OffsetFetchResponseGroup {
    let group = GroupId(StrBytes::from_string(fetch.group.clone()));
    let response = OffsetFetchResponseGroup::default().with_group_id(group);
    match ctx.broker.groups().fetch_offsets(fetch).await {
        Ok(offsets) => response.with_topics(topics_of_many(positions(offsets))),
        Err(error) => response.with_error_code(ErrorCode::from(error).code()),
    }
}

fn topics_of_many(
    positions: impl Iterator<Item = (String, Position)>,
) -> Vec<OffsetFetchResponseTopics> {
    let partition = |position: Position| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(position.partition)
            .with_committed_offset(position.offset)
            .with_committed_leader_epoch(position.leader_epoch)
            .with_metadata(Some(position.metadata))
            .with_error_code(position.error.code())
    };
    let topics = by_topic(positions).into_iter().map(|(name, positions)| {
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_partitions(positions.into_iter().map(partition).collect())
    });
    topics.collect()
}

fn positions(offsets: Vec<FetchedOffset>) -> impl Iterator<Item = (String, Position)> {
    offsets.into_iter().map(|fetched| {
        let position = position(fetched.partition, fetched.committed, ErrorCode::None);
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
