//! ListOffsets (key 2): the offsets at which a partition begins and ends, or of a time.
//!
//! A time is looked for inside batches: the answer is the first record at or after it. Special
//! times stand for places: −1 the end, −2 the start, −3 the record with the greatest time, −4 the
//! start of what is on this broker's disks, −5 the end of what was moved to Kafka's tiered storage and
//! −6 the start of what is still to be moved there, which there is none of here.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::ListOffsetsResponse;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use tidelog_coordinator::cluster::Image;
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::newer::{self, ListOffsetsRequest};
use tidelog_records::{BatchHeader, Record, Records, RecordsError};
use tidelog_storage::{Marks, Partition, ReadError};

use super::admission::DECOMPRESSED_MAX_BYTES;
use super::target::{PartitionError, log_of, marks_of};
use crate::api::context::{Context, Outcome};
use crate::api::error::Coded;
use crate::log::Log;

/// First version with leader epochs in answers.
const EPOCHS_FROM: i16 = 4;

/// Why a partition's offset is not told.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("the request names the partition twice")]
    NamedTwice,
    #[error("version {version} knows no time {timestamp}")]
    UnknownTime { timestamp: i64, version: i16 },
    #[error("the batch at offset {offset} cannot be opened: {error}")]
    Unreadable { offset: i64, error: RecordsError },
}

impl From<ReadError> for ListError {
    fn from(error: ReadError) -> Self {
        Self::Partition(error.into())
    }
}

/// What a timestamp of the request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    End,
    Start,
    Greatest,
    Tiered,
    Time(i64),
}

impl Asked {
    /// Each special time is known from some version on (KIP-734, KIP-405, KIP-1005, KIP-1023).
    fn of(timestamp: i64, version: i16) -> Result<Self, ListError> {
        match timestamp {
            0.. => Ok(Self::Time(timestamp)),
            -1 => Ok(Self::End),
            -2 => Ok(Self::Start),
            -3 if version >= 7 => Ok(Self::Greatest),
            -4 if version >= 8 => Ok(Self::Start),
            -5 if version >= 9 => Ok(Self::Tiered),
            -6 if version >= 11 => Ok(Self::Tiered),
            _ => Err(ListError::UnknownTime { timestamp, version }),
        }
    }
}

/// The answer for one partition; −1 for what there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

impl Place {
    const NONE: Self = Self {
        offset: -1,
        timestamp: -1,
        leader_epoch: -1,
    };
}

pub async fn handle(ctx: &Context, request: ListOffsetsRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let committed = request.isolation_level == 1;
    let (twice, mut refused) = (named_twice(&request), HashSet::new());
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut parts = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let key = (topic.name.to_string(), asked.partition_index);
            let place = match twice.contains(&key) {
                // It is refused once, whatever it was asked for.
                true if !refused.insert(key) => continue,
                true => Err(ListError::NamedTwice),
                false => find(ctx, &view.image, &topic.name, asked, committed).await,
            };
            parts.push(response(asked.partition_index, place, ctx.version()));
        }
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(parts),
        );
    }
    let response = ListOffsetsResponse::default().with_topics(topics);
    ctx.answer(&newer::ListOffsetsResponse::from(response))
}

/// Partitions that a request names more than once.
fn named_twice(request: &ListOffsetsRequest) -> HashSet<(String, i32)> {
    let mut seen = HashSet::new();
    let topics = request.topics.iter();
    let named = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|asked| (topic.name.to_string(), asked.partition_index))
    });
    named.filter(|place| !seen.insert(place.clone())).collect()
}

fn response(
    index: i32,
    place: Result<Place, ListError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let error = place.as_ref().err().map_or(ErrorCode::None, Coded::code);
    let place = place.unwrap_or(Place::NONE);
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_offset(place.offset)
        .with_timestamp(place.timestamp);
    match version >= EPOCHS_FROM {
        true => response.with_leader_epoch(place.leader_epoch),
        false => response,
    }
}

async fn find(
    ctx: &Context,
    image: &Image,
    topic: &str,
    asked: &ListOffsetsPartition,
    committed: bool,
) -> Result<Place, ListError> {
    let log = ctx.broker.log();
    let what = Asked::of(asked.timestamp, ctx.version())?;
    let topic = image.topic(topic).ok_or(PartitionError::Unknown)?;
    let partition = log_of(log, topic, asked.partition_index)?;
    let marks = marks_of(&partition, asked.current_leader_epoch)?;
    let end = match committed || topic.view_of.is_some() {
        true => marks.stable_end,
        false => marks.high_watermark,
    };
    match what {
        Asked::End => Ok(Place {
            offset: end,
            leader_epoch: marks.leader_epoch,
            ..Place::NONE
        }),
        Asked::Start => Ok(Place {
            offset: marks.log_start,
            // An empty log has the epoch its next record will have.
            leader_epoch: partition
                .epoch_at(marks.log_start)
                .unwrap_or(marks.leader_epoch),
            ..Place::NONE
        }),
        Asked::Tiered => Ok(Place::NONE),
        Asked::Greatest => search_records(log, &partition, marks, end, None).await,
        Asked::Time(time) => search_records(log, &partition, marks, end, Some(time)).await,
    }
}

/// Looks for a record below `end`: the first at `time` or later, or the one with the greatest time.
async fn search_records(
    log: &Log,
    partition: &Arc<Partition>,
    marks: Marks,
    end: i64,
    time: Option<i64>,
) -> Result<Place, ListError> {
    let partition = Arc::clone(partition);
    let found = log
        .blocking(move || match time {
            Some(time) => first_at_or_after(&partition, marks.log_start, time),
            None => greatest(&partition, marks.log_start),
        })
        .await?;
    Ok(found
        .filter(|place| place.offset < end)
        .unwrap_or(Place::NONE))
}

fn first_at_or_after(
    partition: &Partition,
    log_start: i64,
    time: i64,
) -> Result<Option<Place>, ListError> {
    let Some(hit) = partition.find_timestamp(time)? else {
        return Ok(None);
    };
    // The first batch has it, unless only records below the log start are late enough.
    let mut from = hit.batch_offset.max(log_start);
    while let Some((header, batch)) = batch_at(partition, from)? {
        if header.max_timestamp >= time {
            for record in &opened(&batch, from)? {
                let record = record.map_err(|error| unreadable(from, error.into()))?;
                if record.timestamp >= time && record.offset >= log_start {
                    return Ok(Some(placed(partition, &record)));
                }
            }
        }
        from = header.last_offset() + 1;
    }
    Ok(None)
}

fn greatest(partition: &Partition, log_start: i64) -> Result<Option<Place>, ListError> {
    let Some(hit) = partition.find_max_timestamp()? else {
        return Ok(None);
    };
    let from = hit.batch_offset.max(log_start);
    let Some((_, batch)) = batch_at(partition, from)? else {
        return Ok(None);
    };
    let records = opened(&batch, from)?;
    let mut greatest: Option<Record<'_>> = None;
    for record in &records {
        let record = record.map_err(|error| unreadable(from, error.into()))?;
        let greater = greatest
            .as_ref()
            .is_none_or(|g| record.timestamp > g.timestamp);
        if greater && record.offset >= log_start {
            greatest = Some(record);
        }
    }
    Ok(greatest.map(|record| placed(partition, &record)))
}

fn placed(partition: &Partition, record: &Record<'_>) -> Place {
    Place {
        offset: record.offset,
        timestamp: record.timestamp,
        leader_epoch: partition.epoch_at(record.offset).unwrap_or(-1),
    }
}

/// The batch that holds `offset`; `None` at the end of the log.
fn batch_at(partition: &Partition, offset: i64) -> Result<Option<(BatchHeader, Bytes)>, ListError> {
    let pieces = partition.plan_read(offset, 0, true)?.load()?;
    let batch = pieces.into_iter().next();
    Ok(batch.and_then(|batch| Some((BatchHeader::read(&batch)?, batch))))
}

fn opened(batch: &Bytes, offset: i64) -> Result<Records, ListError> {
    Records::open(batch, DECOMPRESSED_MAX_BYTES).map_err(|error| unreadable(offset, error))
}

fn unreadable(offset: i64, error: RecordsError) -> ListError {
    ListError::Unreadable { offset, error }
}
