//! ColumnarFetch (key 16000): chosen columns of rows, as Arrow record batches.
//!
//! ```text
//! request ─▶ topics and columns ─▶ outlook: enough rows? ─▶ wait … ─▶ read once ─▶ answer
//! ```
//! - The wait looks only at what is known without reading. It ends with `min_rows` rows, an error in
//!   a partition, offsets that turned out to hold no row, the deadline, or the broker's stop.
//!   Partitions unknown from the start do not end it while there are others.
//! - Partitions are served in the order of the request within their own limit and the request's; the
//!   first with rows gives its first record batch however large it is.
//! - Everything lies below the stable end, so what is read survives a power cut.

use std::sync::Arc;
use std::time::Duration;

use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::columnar_fetch::{
    ColumnarFetchRequest, ColumnarFetchResponse, FetchPartition, FetchTopic, PartitionRows,
    TopicRows,
};
use tidelog_storage::{Marks, ReadError};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::columns::{Columns, ColumnsError, formats_of};
use super::source::{Found, Share, Source, SourceError};
use crate::api::context::{Context, Outcome};
use crate::api::data::target::{PartitionError, TopicKey, marks_of, partition_of};
use crate::api::error::{Coded, Failure};
use crate::owners::cluster::View;
use crate::waiter::Waiter;

/// Mark or offset of a partition that has none to tell.
const NONE: i64 = -1;

/// Why a topic is not read.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    Target(#[from] PartitionError),
    #[error("filters are not supported yet: leave the filter null and filter the rows you get")]
    Filter,
    #[error(transparent)]
    Columns(#[from] ColumnsError),
}

/// What bounds the answer.
#[derive(Debug, Clone, Copy)]
struct Limits {
    min_rows: u64,
    max_bytes: u64,
    deadline: Instant,
}

/// A topic of the request, with what can be read of it.
struct TopicReader {
    topic_id: Uuid,
    partitions: Result<Vec<Reader>, Failure>,
}

/// A partition of the request, or why it cannot be read.
struct Reader {
    wanted: FetchPartition,
    source: Result<Source, PartitionError>,
}

pub async fn handle(ctx: &Context, request: ColumnarFetchRequest) -> Outcome {
    let limits = limits(ctx, &request);
    let view = ctx.broker.cluster().view();
    let topics: Vec<_> = request
        .topics
        .iter()
        .map(|topic| topic_reader(ctx, &view, topic))
        .collect();
    // It holds the frame it came in, and the wait may be long.
    drop((request, view));
    wait(ctx, &topics, limits).await;
    let response = ColumnarFetchResponse {
        topics: read(ctx, topics, limits).await,
        ..ColumnarFetchResponse::default()
    };
    ctx.answer_ext::<ColumnarFetchRequest>(&response)
}

fn limits(ctx: &Context, request: &ColumnarFetchRequest) -> Limits {
    let max = request
        .max_bytes
        .clamp(0, ctx.broker.settings().fetch_max_bytes);
    let wait_ms = request.max_wait_ms.max(0).unsigned_abs();
    Limits {
        min_rows: u64::from(request.min_rows.max(1).unsigned_abs()),
        max_bytes: u64::from(max.unsigned_abs()),
        deadline: Instant::now() + Duration::from_millis(u64::from(wait_ms)),
    }
}

fn topic_reader(ctx: &Context, view: &View, wanted: &FetchTopic) -> TopicReader {
    let partitions = readers(ctx, view, wanted).map_err(|error| Failure::from(&error));
    TopicReader {
        topic_id: wanted.topic_id,
        partitions,
    }
}

fn readers(ctx: &Context, view: &View, wanted: &FetchTopic) -> Result<Vec<Reader>, TopicError> {
    let topic = TopicKey::Id(wanted.topic_id).find(&view.image)?;
    if wanted.filter.is_some() {
        return Err(TopicError::Filter);
    }
    let formats = formats_of(&ctx.broker, view, topic).map_err(ColumnsError::from)?;
    let columns = Arc::new(Columns::select(&formats, wanted.projection.as_deref())?);
    let partitions = wanted.partitions.iter().map(|partition| Reader {
        wanted: partition.clone(),
        source: source(ctx, view, topic, partition.partition, &columns),
    });
    Ok(partitions.collect())
}

fn source(
    ctx: &Context,
    view: &View,
    topic: &Topic,
    index: i32,
    columns: &Arc<Columns>,
) -> Result<Source, PartitionError> {
    let rows = ctx.broker.rows();
    let settings = view.topic_settings(topic);
    // The columns were made of it a moment ago.
    let format = rows.format(topic, &settings.table);
    Ok(Source {
        partition: partition_of(ctx.broker.log(), topic, index)?,
        live: rows.live(topic.id, index),
        format: format.map_err(|_| PartitionError::Unknown)?,
        columns: Arc::clone(columns),
    })
}

/// Waits until there is enough to read.
async fn wait(ctx: &Context, topics: &[TopicReader], limits: Limits) {
    let readers = || {
        let partitions = topics
            .iter()
            .filter_map(|topic| topic.partitions.as_ref().ok());
        partitions.flatten()
    };
    let sources = || readers().filter_map(|reader| reader.source.as_ref().ok());
    if sources().next().is_none() || is_enough(readers(), limits) {
        return;
    }
    let waiter = Waiter::register(sources().map(|source| &source.partition));
    let mut stop = ctx.broker.shutdown_signal();
    while !is_enough(readers(), limits) && !stop.is_stopping() {
        tokio::select! {
            () = waiter.moved() => {}
            () = stop.stopping() => {}
            () = tokio::time::sleep_until(limits.deadline) => return,
        }
    }
}

fn is_enough<'a>(readers: impl Iterator<Item = &'a Reader>, limits: Limits) -> bool {
    if Instant::now() >= limits.deadline {
        return true;
    }
    let mut rows = 0;
    for reader in readers {
        let Ok(source) = &reader.source else { continue };
        let offset = reader.wanted.fetch_offset;
        let Ok(marks) = marks(source, &reader.wanted) else {
            return true;
        };
        let outlook = source.outlook(offset, &marks);
        rows += outlook.rows;
        if outlook.rows == 0 && outlook.end > offset {
            return true;
        }
    }
    rows >= limits.min_rows
}

/// The marks of a partition that can be read from the offset wanted.
fn marks(source: &Source, wanted: &FetchPartition) -> Result<Marks, PartitionError> {
    let marks = marks_of(&source.partition, wanted.current_leader_epoch);
    let marks = marks.map_err(|error| match error {
        PartitionError::Unknown => PartitionError::UnknownId,
        error => error,
    })?;
    let offset = wanted.fetch_offset;
    if (marks.log_start..=marks.stable_end).contains(&offset) {
        return Ok(marks);
    }
    let out_of_range = ReadError::OutOfRange {
        offset,
        log_start: marks.log_start,
        high_watermark: marks.stable_end,
    };
    Err(out_of_range.into())
}

async fn read(ctx: &Context, topics: Vec<TopicReader>, limits: Limits) -> Vec<TopicRows> {
    let mut answers = Vec::with_capacity(topics.len());
    let (mut bytes, mut rows) = (0, 0);
    for topic in topics {
        let mut answer = TopicRows {
            topic_id: topic.topic_id,
            ..TopicRows::default()
        };
        match topic.partitions {
            Err(failure) => {
                answer.error_code = failure.code.code();
                answer.error_message = Some(failure.message);
            }
            Ok(readers) => {
                for reader in readers {
                    let max_bytes = limits.max_bytes.saturating_sub(bytes);
                    let found = read_one(ctx, &reader, max_bytes, rows == 0).await;
                    if let Ok((_, found)) = &found {
                        bytes += found.bytes;
                        rows += found.row_count;
                    }
                    answer.partitions.push(told(reader.wanted.partition, found));
                }
            }
        }
        answers.push(answer);
    }
    answers
}

async fn read_one(
    ctx: &Context,
    reader: &Reader,
    max_bytes: u64,
    at_least_one: bool,
) -> Result<(Marks, Found), Failure> {
    let source = match &reader.source {
        Ok(source) => source,
        Err(error) => return Err(Failure::from(error)),
    };
    let wanted = &reader.wanted;
    marks(source, wanted).map_err(|error| Failure::from(&error))?;
    let own_max = u64::from(wanted.partition_max_bytes.max(0).unsigned_abs());
    let share = Share {
        max_bytes: max_bytes.min(own_max),
        at_least_one,
    };
    let (log, budget) = (ctx.broker.log(), ctx.broker.reads());
    let found = source.read(log, budget, wanted.fetch_offset, share).await;
    let found = found.map_err(|error| {
        let (partition, offset) = (source.partition.id, wanted.fetch_offset);
        warn!(%partition, offset, %error, "a columnar fetch failed");
        Failure::from(&error)
    })?;
    // After the read, so that nothing in it lies beyond them.
    let marks = source.partition.marks();
    Ok((marks, found))
}

fn told(partition: i32, found: Result<(Marks, Found), Failure>) -> PartitionRows {
    match found {
        Ok((marks, found)) => PartitionRows {
            partition,
            error_code: ErrorCode::None.code(),
            error_message: None,
            high_watermark: marks.high_watermark,
            stable_end: marks.stable_end,
            log_start_offset: marks.log_start,
            rows_start: marks.log_start,
            next_offset: found.next_offset,
            runs: found.runs,
        },
        Err(failure) => PartitionRows {
            partition,
            error_code: failure.code.code(),
            error_message: Some(failure.message),
            high_watermark: NONE,
            stable_end: NONE,
            log_start_offset: NONE,
            rows_start: NONE,
            next_offset: NONE,
            runs: Vec::new(),
        },
    }
}

impl Coded for TopicError {
    fn code(&self) -> ErrorCode {
        match self {
            TopicError::Target(error) => error.code(),
            TopicError::Filter | TopicError::Columns(ColumnsError::Unknown(_)) => {
                ErrorCode::InvalidRequest
            }
            TopicError::Columns(ColumnsError::Format(_)) => ErrorCode::InvalidConfig,
        }
    }
}

impl Coded for SourceError {
    fn code(&self) -> ErrorCode {
        match self {
            SourceError::Read(error) => error.code(),
            SourceError::Build(_) | SourceError::Project(_) | SourceError::Schema(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}
