//! ColumnarFetch (key 16000): chosen columns of rows, as Arrow record batches.
//!
//! ```text
//! request ─▶ topics, columns, filter ─▶ outlook: enough rows? ─▶ wait … ─▶ read ─▶ answer
//!                                                  ▲── no row matched ───┘
//! ```
//! - With a filter, rows that do not match do not end the wait: it goes on behind them, until some
//!   row matches, the time is up, or [`LOOK_BYTES_MAX`] were looked at.
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
use super::filter::{Filter, FilterError, Looked};
use super::source::{Found, Share, Source, SourceError};
use crate::api::context::{Context, Outcome};
use crate::api::data::target::{PartitionError, TopicKey, check_no_view, marks_of, partition_of};
use crate::api::error::{Coded, Failure};
use crate::owners::cluster::View;
use crate::waiter::Waiter;

/// Mark or offset of a partition that has none to tell.
const NONE: i64 = -1;

/// Most bytes that one request looks at for its filters; each partition's first block is looked at
/// in any case.
const LOOK_BYTES_MAX: u64 = 32 << 20;

/// Why a topic is not read.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    Target(#[from] PartitionError),
    #[error(transparent)]
    Filter(#[from] FilterError),
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
    /// Where to read: rows before it did not match.
    at: i64,
    source: Result<Source, PartitionError>,
}

/// What one time of reading came to.
struct Pass {
    topics: Vec<TopicRows>,
    rows: u64,
    looked: Looked,
    /// Whether offsets were passed by because their rows do not match, and nothing else happened.
    only_looked: bool,
}

pub async fn handle(ctx: &Context, request: ColumnarFetchRequest) -> Outcome {
    let limits = limits(ctx, &request);
    let view = ctx.broker.cluster().view();
    let mut topics: Vec<_> = request
        .topics
        .iter()
        .map(|topic| topic_reader(ctx, &view, topic))
        .collect();
    // It holds the frame it came in, and the wait may be long.
    drop((request, view));
    let mut looked_bytes = 0;
    let pass = loop {
        wait(ctx, &topics, limits).await;
        let pass = read(ctx, &mut topics, limits, LOOK_BYTES_MAX - looked_bytes).await;
        count(ctx, &pass.looked);
        looked_bytes += pass.looked.bytes;
        let is_over = Instant::now() >= limits.deadline
            || looked_bytes >= LOOK_BYTES_MAX
            || ctx.broker.shutdown_signal().is_stopping();
        if is_over || !pass.only_looked {
            break pass;
        }
    };
    let response = ColumnarFetchResponse {
        topics: pass.topics,
        ..ColumnarFetchResponse::default()
    };
    ctx.answer_ext::<ColumnarFetchRequest>(&response)
}

fn count(ctx: &Context, looked: &Looked) {
    let metrics = ctx.broker.metrics();
    metrics.filter_blocks_read.inc_by(looked.blocks_read);
    metrics.filter_blocks_skipped.inc_by(looked.blocks_skipped);
    metrics.filter_rows_tested.inc_by(looked.rows_tested);
    metrics.filter_rows_matched.inc_by(looked.rows_matched);
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
    check_no_view(&view.image, topic)?;
    let formats = formats_of(&ctx.broker, view, topic).map_err(ColumnsError::from)?;
    let columns = Arc::new(Columns::select(&formats, wanted.projection.as_deref())?);
    // A table without columns yet has no rows to test.
    let filter = wanted.filter.as_deref().filter(|_| !formats.is_empty());
    let filter = filter
        .map(|bytes| Filter::of(&formats, bytes))
        .transpose()?;
    let filter = filter.map(Arc::new);
    let partitions = wanted.partitions.iter().map(|partition| Reader {
        wanted: partition.clone(),
        at: partition.fetch_offset,
        source: source(ctx, view, topic, partition.partition, &columns, &filter),
    });
    Ok(partitions.collect())
}

fn source(
    ctx: &Context,
    view: &View,
    topic: &Topic,
    index: i32,
    columns: &Arc<Columns>,
    filter: &Option<Arc<Filter>>,
) -> Result<Source, PartitionError> {
    let rows = ctx.broker.rows();
    let settings = view.topic_settings(topic);
    // The columns were made of them a moment ago.
    let formats = rows.formats(topic, &settings.table);
    let formats = formats.map_err(|_| PartitionError::Unknown)?;
    Ok(Source {
        partition: partition_of(ctx.broker.log(), topic, index)?,
        live: rows.live(topic.id, index),
        format: formats.current().cloned(),
        columns: Arc::clone(columns),
        filter: filter.clone(),
        is_changelog: settings.table.has_changelog(),
        table: ctx.broker.keyed().table(topic.id, index),
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
        let Ok(marks) = marks(source, reader) else {
            return true;
        };
        let outlook = source.outlook(reader.at, &marks);
        rows += outlook.rows;
        if outlook.rows == 0 && outlook.end > reader.at {
            return true;
        }
    }
    rows >= limits.min_rows
}

/// The marks of a partition that can be read from the offset wanted.
fn marks(source: &Source, reader: &Reader) -> Result<Marks, PartitionError> {
    let marks = marks_of(&source.partition, reader.wanted.current_leader_epoch);
    let marks = marks.map_err(|error| match error {
        PartitionError::Unknown => PartitionError::UnknownId,
        error => error,
    })?;
    let offset = reader.at;
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

/// Reads every partition once from where it is, and moves it on.
async fn read(ctx: &Context, topics: &mut [TopicReader], limits: Limits, look_bytes: u64) -> Pass {
    let mut pass = Pass {
        topics: Vec::with_capacity(topics.len()),
        rows: 0,
        looked: Looked::default(),
        only_looked: false,
    };
    let (mut bytes, mut is_news) = (0, false);
    for topic in topics {
        let mut answer = TopicRows {
            topic_id: topic.topic_id,
            ..TopicRows::default()
        };
        match &mut topic.partitions {
            Err(failure) => {
                answer.error_code = failure.code.code();
                answer.error_message = Some(failure.message.clone());
            }
            Ok(readers) => {
                for reader in readers {
                    let share = Share {
                        max_bytes: limits.max_bytes.saturating_sub(bytes),
                        at_least_one: pass.rows == 0,
                        look_bytes: look_bytes.saturating_sub(pass.looked.bytes),
                    };
                    let found = read_one(ctx, reader, share).await;
                    if let Ok((_, found)) = &found {
                        bytes += found.bytes;
                        pass.rows += found.row_count;
                        pass.looked.add(&found.looked);
                    }
                    match reader.moved(&found) {
                        Moved::Looked => pass.only_looked = true,
                        Moved::News => is_news = true,
                        Moved::Not => {}
                    }
                    answer.partitions.push(told(reader.wanted.partition, found));
                }
            }
        }
        pass.topics.push(answer);
    }
    pass.only_looked &= pass.rows == 0 && !is_news;
    pass
}

/// What reading a partition did to it.
enum Moved {
    Not,
    /// Past rows that do not match.
    Looked,
    /// There is something to tell.
    News,
}

impl Reader {
    fn moved(&mut self, found: &Result<(Marks, Found), Failure>) -> Moved {
        let has_filter = match &self.source {
            Ok(source) => source.filter.is_some(),
            // As it was before the wait.
            Err(_) => return Moved::Not,
        };
        let Ok((_, found)) = found else {
            return Moved::News;
        };
        let was = std::mem::replace(&mut self.at, found.next_offset);
        match found.next_offset > was {
            false => Moved::Not,
            true if has_filter => Moved::Looked,
            true => Moved::News,
        }
    }
}

async fn read_one(ctx: &Context, reader: &Reader, share: Share) -> Result<(Marks, Found), Failure> {
    let source = match &reader.source {
        Ok(source) => source,
        Err(error) => return Err(Failure::from(error)),
    };
    let wanted = &reader.wanted;
    marks(source, reader).map_err(|error| Failure::from(&error))?;
    let own_max = u64::from(wanted.partition_max_bytes.max(0).unsigned_abs());
    let share = Share {
        max_bytes: share.max_bytes.min(own_max),
        ..share
    };
    let (log, budget) = (ctx.broker.log(), ctx.broker.reads());
    let found = source.read(log, budget, reader.at, share).await;
    let found = found.map_err(|error| {
        let (partition, offset) = (source.partition.id, reader.at);
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
            TopicError::Filter(_) | TopicError::Columns(ColumnsError::Unknown(_)) => {
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
            SourceError::Table(_)
            | SourceError::Build(_)
            | SourceError::Project(_)
            | SourceError::Filter(_)
            | SourceError::Pick(_)
            | SourceError::Schema(_) => ErrorCode::KafkaStorageError,
        }
    }
}
