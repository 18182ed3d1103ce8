//! Scan (key 16006): all rows of a keyed table, or totals of them, as of one offset for each partition.
//!
//! ```text
//! partition ─▶ snapshot (of now, or the cursor's) ─▶ page by page: decode ─▶ filter ─┬▶ columns wanted
//!                  └── kept for the next request ◀── cursor                          └▶ totals
//! ```
//! - A cursor is the offset its snapshot reflects and the last key answered for. Where the snapshot
//!   is gone and the table has moved on, the answer is FETCH_SESSION_ID_NOT_FOUND: begin again.
//! - Bounded: a request looks at so many bytes of rows and answers so many, however much of the table
//!   is left; what is read and decoded at a time is one page.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidelog_keyed::Page;
use tidelog_keyed::scan::{Cursor, KeyRange};
use tidelog_predicate::{Bound, Function, Predicate, Total, TotalError, Totals, bind};
use tidelog_protocol_ext::ext::scan::{
    self as wire, PartitionScan, ScanPartition, ScanRequest, ScanResponse, ScanTotal,
};
use tidelog_protocol_ext::{ErrorCode, Rope};
use tidelog_storage::arrow_schema_message;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::{Compression, Projection, Shape};
use tokio::time::Instant;

use super::columns::Columns;
use super::filter::FilterError;
use super::key_tables::{self, KeyFault, KeyedTopic, NotKeyed, Part};
use super::rows_of_keys::{self, RowsError};
use super::scanned_page::{Answered, Wanted};
use crate::api::context::{Context, Outcome};
use crate::api::data::compute::compute;
use crate::api::error::{Coded, Failure};
use crate::owners::keyed::{NotReady, Snapshot, Table};

/// Most partitions and totals of one request.
const PARTITIONS_MAX: usize = 10_000;
const TOTALS_MAX: usize = 100;
/// What one request looks at, in bytes of keys and values, about.
const LOOK_BYTES: usize = 32 << 20;
/// What is read and decoded at a time.
const PAGE_ROWS: usize = 4_096;
const PAGE_BYTES: usize = 4 << 20;

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    NotKeyed(#[from] NotKeyed),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("totals: {0}")]
    Totals(#[from] TotalError),
    #[error("totals: there is no function {0}")]
    Function(i8),
    #[error("{0} totals in one request: ask for {TOTALS_MAX} at a time")]
    TooManyTotals(usize),
    #[error("{0} partitions in one request: ask for {PARTITIONS_MAX} at a time")]
    TooManyPartitions(usize),
}

/// Why one partition has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ScanFault {
    #[error(transparent)]
    Table(#[from] KeyFault),
    #[error(
        "the snapshot at offset {at} is gone, and the table has moved on to {now}: begin again"
    )]
    SnapshotGone { at: Offset, now: Offset },
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Totals(#[from] TotalError),
}

impl From<NotReady> for ScanFault {
    fn from(error: NotReady) -> Self {
        Self::Table(error.into())
    }
}

/// One partition of a request.
struct Asked {
    index: i32,
    part: Result<Part, KeyFault>,
    cursor: Option<Bytes>,
}

/// What a request may still do.
struct Left {
    rows: usize,
    bytes: usize,
    look_bytes: usize,
}

impl Left {
    fn is_none(&self) -> bool {
        self.rows == 0 || self.bytes == 0 || self.look_bytes == 0
    }
}

pub async fn handle(ctx: &Context, request: ScanRequest) -> Outcome {
    let response = answer(ctx, request).await.unwrap_or_else(|error| {
        let Failure { code, message } = Failure::from(&error);
        ScanResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..ScanResponse::default()
        }
    });
    ctx.answer_ext::<ScanRequest>(&response)
}

async fn answer(ctx: &Context, request: ScanRequest) -> Result<ScanResponse, ScanError> {
    let wait_ms = request.max_wait_ms.max(0).unsigned_abs();
    let deadline = Instant::now() + Duration::from_millis(wait_ms.into());
    let topic = KeyedTopic::find(ctx, request.topic_id)?;
    let wanted = Arc::new(wanted(&topic, &request)?);
    let asked = request.partitions.len();
    if asked > PARTITIONS_MAX {
        return Err(ScanError::TooManyPartitions(asked));
    }
    let asked = request.partitions.iter();
    let asked: Vec<_> = asked.map(|one| Asked::of(ctx, &topic, one)).collect();
    let mut left = left(ctx, &request);
    // It holds the frame it came in, and the wait may be long.
    drop(request);
    let parts = asked.iter().filter_map(|one| one.part.as_ref().ok());
    let parts: Vec<_> = parts.cloned().collect();
    key_tables::wait(ctx, &parts, deadline).await;
    let mut partitions = Vec::new();
    for one in asked {
        if left.is_none() {
            break;
        }
        let index = one.index;
        let scanned = scan(ctx, &wanted, one, deadline, &mut left).await;
        partitions.push(scanned.unwrap_or_else(|fault| failed(index, &fault)));
    }
    let totals = wanted.totals.as_ref();
    Ok(ScanResponse {
        schema_id: topic.format.schema_id,
        totals_schema: totals.map_or_else(Bytes::new, |totals| {
            arrow_schema_message(totals.schema()).into()
        }),
        partitions,
        ..ScanResponse::default()
    })
}

fn wanted(topic: &KeyedTopic, request: &ScanRequest) -> Result<Wanted, ScanError> {
    let format = &topic.format;
    let projection = request.projection.as_deref();
    let columns = Columns::select(std::slice::from_ref(format), projection);
    let columns = columns.map_err(NotKeyed::from)?;
    let nothing = || Projection::select(&format.shape, &[]).0;
    let filter = |bytes: &Bytes| -> Result<Bound, FilterError> {
        Ok(bind(&Predicate::decode(bytes)?, format.shape.schema())?)
    };
    let totals = |asked: &Vec<ScanTotal>| totals(asked, &format.shape);
    Ok(Wanted {
        columns: columns
            .of(format.schema_id)
            .cloned()
            .unwrap_or_else(nothing),
        filter: request.filter.as_ref().map(filter).transpose()?,
        totals: request.totals.as_ref().map(totals).transpose()?,
        format: Arc::clone(format),
    })
}

fn totals(asked: &[ScanTotal], shape: &Shape) -> Result<Totals, ScanError> {
    if asked.len() > TOTALS_MAX {
        return Err(ScanError::TooManyTotals(asked.len()));
    }
    let total = |asked: &ScanTotal| {
        Ok(Total {
            function: match asked.function {
                wire::COUNT => Function::Count,
                wire::SUM => Function::Sum,
                wire::MIN => Function::Min,
                wire::MAX => Function::Max,
                other => return Err(ScanError::Function(other)),
            },
            column: asked.column.as_ref().map(ToString::to_string),
        })
    };
    let totals: Vec<_> = asked.iter().map(total).collect::<Result<_, _>>()?;
    Ok(Totals::bind(&totals, shape.schema())?)
}

fn left(ctx: &Context, request: &ScanRequest) -> Left {
    let of_broker = usize::try_from(ctx.broker.settings().fetch_max_bytes).unwrap_or(0);
    let of_client = usize::try_from(request.max_bytes).unwrap_or(0);
    let rows = usize::try_from(request.max_rows).ok();
    let rows = rows.filter(|rows| *rows > 0 && request.totals.is_none());
    Left {
        rows: rows.unwrap_or(usize::MAX),
        // However little it may be, something comes.
        bytes: of_client.min(of_broker).max(1),
        look_bytes: LOOK_BYTES,
    }
}

impl Asked {
    fn of(ctx: &Context, topic: &KeyedTopic, asked: &ScanPartition) -> Self {
        let min_offset = match asked.cursor {
            Some(_) => 0,
            None => asked.min_offset,
        };
        Self {
            index: asked.partition,
            part: topic.part(ctx, asked.partition, min_offset),
            cursor: asked.cursor.as_deref().map(Bytes::copy_from_slice),
        }
    }
}

/// Goes on in a partition as far as the request may.
async fn scan(
    ctx: &Context,
    wanted: &Arc<Wanted>,
    asked: Asked,
    deadline: Instant,
    left: &mut Left,
) -> Result<PartitionScan, ScanFault> {
    let part = asked.part?;
    let (snapshot, mut after) = open(ctx, &part, asked.cursor, deadline).await?;
    let mut answered = Answered::new(wanted);
    while !left.is_none() {
        let page = read(ctx, &snapshot, after, left).await?;
        let looked = page
            .rows
            .iter()
            .map(|(key, row)| key.len() + row.value.len());
        // Rows that are nearly nothing are looked at, too.
        let looked = looked.sum::<usize>() + page.rows.len();
        let (rows, bytes) = (answered.rows, answered.messages.len());
        let work = {
            let (wanted, merging) = (Arc::clone(wanted), snapshot.table().merging().cloned());
            let (index, rows_max) = (part.index, left.rows);
            let mut answered = answered;
            move || -> Result<_, ScanFault> {
                let next = answered.take(&wanted, merging.as_deref(), index, page, rows_max)?;
                Ok((answered, next))
            }
        };
        (answered, after) = compute(work).await?;
        left.look_bytes = left.look_bytes.saturating_sub(looked);
        left.rows = left.rows.saturating_sub(answered.rows - rows);
        left.bytes = left.bytes.saturating_sub(answered.messages.len() - bytes);
        if after.is_none() {
            break;
        }
    }
    let totals = answered.totals.as_ref().map(row_of).transpose()?;
    let cursor = after.map(|after| {
        ctx.broker
            .keyed()
            .snapshots()
            .keep(&snapshot, Instant::now());
        let reflects = snapshot.reflects();
        Cursor { reflects, after }.to_bytes()
    });
    let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
    Ok(PartitionScan {
        partition: asked.index,
        error_code: ErrorCode::None.code(),
        error_message: None,
        reflected_offset: snapshot.reflects(),
        row_count: count(answered.rows),
        undecodable_count: count(answered.undecodable),
        messages: answered.messages,
        totals: totals.unwrap_or_default(),
        cursor,
    })
}

/// The snapshot to read, and the key to go on behind.
async fn open(
    ctx: &Context,
    part: &Part,
    cursor: Option<Bytes>,
    deadline: Instant,
) -> Result<(Arc<Snapshot>, Option<Bytes>), ScanFault> {
    let take = || async {
        let taken = key_tables::ask(ctx, part, deadline, Table::snapshot).await;
        taken.map(Arc::new)
    };
    let Some(cursor) = cursor else {
        return Ok((take().await?, None));
    };
    let cursor = Cursor::from_bytes(cursor).ok_or(KeyFault::BadCursor)?;
    let (partition, at) = (part.partition().id, cursor.reflects);
    let snapshots = ctx.broker.keyed().snapshots();
    if let Some(kept) = snapshots.find(partition, at, Instant::now()) {
        return Ok((kept, Some(cursor.after)));
    }
    let snapshot = take().await?;
    match snapshot.reflects() {
        now if now == at => Ok((snapshot, Some(cursor.after))),
        now => Err(ScanFault::SnapshotGone { at, now }),
    }
}

async fn read(
    ctx: &Context,
    snapshot: &Arc<Snapshot>,
    after: Option<Bytes>,
    left: &Left,
) -> Result<Page, ScanFault> {
    let rows_max = left.rows.min(PAGE_ROWS);
    let reader = Arc::clone(snapshot);
    let read = move || reader.page(&KeyRange::all(), after.as_deref(), rows_max, PAGE_BYTES);
    let page = ctx.broker.log().blocking(read).await;
    if page.is_err() {
        ctx.broker.keyed().snapshots().remove(snapshot);
    }
    Ok(page?)
}

/// Totals as a message of one row.
fn row_of(totals: &Totals) -> Result<Rope, ScanFault> {
    let row = totals.finish()?;
    let shape = Shape::shared(Arc::clone(totals.schema())).map_err(RowsError::from)?;
    let all = Projection::all(&shape);
    Ok(rows_of_keys::encode(&all, &row, Compression::None)?)
}

fn failed(partition: i32, fault: &ScanFault) -> PartitionScan {
    let Failure { code, message } = Failure::from(fault);
    PartitionScan {
        partition,
        error_code: code.code(),
        error_message: Some(message),
        reflected_offset: -1,
        ..PartitionScan::default()
    }
}

impl Coded for ScanError {
    fn code(&self) -> ErrorCode {
        match self {
            ScanError::NotKeyed(error) => error.code(),
            ScanError::Filter(_)
            | ScanError::Totals(_)
            | ScanError::Function(_)
            | ScanError::TooManyTotals(_)
            | ScanError::TooManyPartitions(_) => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for ScanFault {
    fn code(&self) -> ErrorCode {
        match self {
            ScanFault::Table(fault) => fault.code(),
            ScanFault::SnapshotGone { .. } => ErrorCode::FetchSessionIdNotFound,
            ScanFault::Totals(TotalError::Overflow(_)) => ErrorCode::InvalidRequest,
            ScanFault::Rows(_) | ScanFault::Totals(_) => ErrorCode::KafkaStorageError,
        }
    }
}
