//! Lookup (key 16002): the rows of a keyed table, by primary key.
//!
//! ```text
//! request ─▶ where does each key belong? ─▶ wait for min_offsets ─▶ tables ─▶ rows ─▶ answer
//! ```
//! - Every answer reflects at least the stable end its partition had when the lookup came, so what
//!   was acknowledged before is in it; nothing that a power cut could take back is.
//! - Keys of a partition are looked up some at a time: its `reflected_offset` is what all of them
//!   reflect.
//! - A key that the rules still possible would put into different partitions cannot be in the table:
//!   its record would have decided between them.
//! - Bounded: keys by number, rows by the bytes of a Fetch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::TableKey;
use tidelog_keyed::{Row, RuleSet};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::Rope;
use tidelog_protocol_ext::ext::lookup::{
    LookupKey, LookupRequest, LookupResponse, LookupResult, MinOffset, Reflected,
};
use tidelog_storage::Partition;
use tokio::time::Instant;

use super::columns::{Columns, ColumnsError};
use super::rows_of_keys::{self, FoundRow, RowsError};
use crate::api::context::{Context, Outcome};
use crate::api::data::compute::compute;
use crate::api::data::target::{PartitionError, TopicKey, partition_of};
use crate::api::error::{Coded, Failure};
use crate::jobs::rows::format::Format;
use crate::owners::keyed::{Merging, NotReady, Table, rules_of};
use crate::waiter::Waiter;

/// Partition or offset that is not known.
const NONE: i64 = -1;
const NO_PARTITION: i32 = -1;

/// Most keys of one request, and looked up in one step.
const KEYS_MAX: usize = 10_000;
const KEYS_PER_STEP: usize = 64;

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    Topic(#[from] PartitionError),
    #[error("the topic is no keyed table: it was not made with tidelog.table.key=record_key")]
    NotKeyed,
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error("{keys} keys in one request: ask for {KEYS_MAX} at a time")]
    TooManyKeys { keys: usize },
    #[error("the rows exceed fetch.max.bytes, which is {max_bytes}: ask for fewer keys")]
    TooMuch { max_bytes: usize },
    #[error(transparent)]
    Rows(#[from] RowsError),
}

/// Why one key has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// The client named a partition that does not exist.
    NoPartition,
    /// Only the producer knows the partition, and the client did not name it.
    Ambiguous,
    TimedOut,
    NotReady(NotReady),
    /// The value is not of the topic's schema.
    Undecodable,
}

/// What became of one key so far.
enum Answer {
    Absent {
        partition: i32,
    },
    Found {
        partition: i32,
        key: Bytes,
        row: Row,
    },
    Fault {
        partition: i32,
        fault: KeyFault,
    },
}

/// A table and how its rows are shown.
struct Target {
    topic: Arc<Topic>,
    rules: RuleSet,
    format: Arc<Format>,
    columns: Columns,
    /// What makes the rows of its tables; not asked for before there are any.
    merging: Option<Arc<Merging>>,
}

/// The keys of one partition.
struct Batch {
    index: i32,
    partition: Arc<Partition>,
    /// `None`: not open yet.
    table: Option<Arc<Table>>,
    min_offset: i64,
    /// Places in the request, and the keys there.
    keys: Vec<(usize, Bytes)>,
}

pub async fn handle(ctx: &Context, request: LookupRequest) -> Outcome {
    let response = answer(ctx, request).await.unwrap_or_else(|error| {
        let Failure { code, message } = Failure::from(&error);
        LookupResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..LookupResponse::default()
        }
    });
    ctx.answer_ext::<LookupRequest>(&response)
}

async fn answer(ctx: &Context, request: LookupRequest) -> Result<LookupResponse, LookupError> {
    let wait_ms = request.max_wait_ms.max(0).unsigned_abs();
    let deadline = Instant::now() + Duration::from_millis(wait_ms.into());
    let mut target = target(ctx, &request)?;
    let (mut answers, batches) = place(ctx, &target, &request);
    target.merging = batches.iter().find_map(Batch::merging).cloned();
    // It holds the frame it came in, and the wait may be long.
    drop(request);
    wait(ctx, &batches, deadline).await;
    let max_bytes = usize::try_from(ctx.broker.settings().fetch_max_bytes).unwrap_or(0);
    let mut reflected = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        let (partition, keys) = (batch.index, batch.keys.clone());
        let found = match look_up(ctx, batch, max_bytes.saturating_sub(bytes)).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(LookupError::TooMuch { max_bytes }),
            Err(fault) => {
                reflected.push((partition, NONE));
                for (at, _) in keys {
                    let fault = fault.clone();
                    answers[at] = Answer::Fault { partition, fault };
                }
                continue;
            }
        };
        bytes += found.bytes;
        reflected.push((partition, found.reflects));
        for ((at, key), row) in keys.into_iter().zip(found.rows) {
            if let Some(row) = row {
                answers[at] = Answer::Found {
                    partition,
                    key,
                    row,
                };
            }
        }
    }
    respond(target, answers, reflected).await
}

fn target(ctx: &Context, request: &LookupRequest) -> Result<Target, LookupError> {
    let view = ctx.broker.cluster().view();
    let topic = TopicKey::Id(request.topic_id).find(&view.image)?;
    let settings = view.topic_settings(topic);
    if settings.table.key != TableKey::RecordKey {
        return Err(LookupError::NotKeyed);
    }
    let keys = request.keys.len();
    if keys > KEYS_MAX {
        return Err(LookupError::TooManyKeys { keys });
    }
    let format = ctx.broker.rows().format(topic, &settings.table);
    let format = format.map_err(ColumnsError::from)?;
    let projection = request.projection.as_deref();
    Ok(Target {
        topic: Arc::clone(topic),
        rules: rules_of(topic, &settings.table),
        columns: Columns::select(std::slice::from_ref(&format), projection)?,
        format,
        merging: None,
    })
}

/// Finds each key's partition.
fn place(ctx: &Context, target: &Target, request: &LookupRequest) -> (Vec<Answer>, Vec<Batch>) {
    let mut answers = Vec::with_capacity(request.keys.len());
    let mut batches = BTreeMap::new();
    for (at, wanted) in request.keys.iter().enumerate() {
        let placed = partition_of_key(ctx, target, wanted);
        let answer = match &placed {
            Ok(placed) => Answer::Absent {
                partition: placed.as_ref().map_or(NO_PARTITION, |p| p.id.index),
            },
            Err(fault) => Answer::Fault {
                partition: NO_PARTITION,
                fault: fault.clone(),
            },
        };
        answers.push(answer);
        if let Ok(Some(partition)) = placed {
            let index = partition.id.index;
            let batch = batches.entry(index).or_insert_with(|| Batch {
                index,
                table: ctx.broker.keyed().table(target.topic.id, index),
                partition,
                min_offset: min_offset(request.min_offsets.as_deref(), index),
                keys: Vec::new(),
            });
            batch.keys.push((at, Bytes::copy_from_slice(&wanted.key)));
        }
    }
    (answers, batches.into_values().collect())
}

/// `None` for a key that cannot be in the table.
fn partition_of_key(
    ctx: &Context,
    target: &Target,
    wanted: &LookupKey,
) -> Result<Option<Arc<Partition>>, KeyFault> {
    let partitions = target.topic.partitions;
    let index = match wanted.partition {
        NO_PARTITION => match target.rules.locate(&wanted.key, partitions) {
            Some(index) => index,
            None if target.rules.is_explicit() => return Err(KeyFault::Ambiguous),
            None => return Ok(None),
        },
        named => named,
    };
    match partition_of(ctx.broker.log(), &target.topic, index) {
        Ok(partition) => Ok(Some(partition)),
        Err(_) => Err(KeyFault::NoPartition),
    }
}

fn min_offset(wanted: Option<&[MinOffset]>, index: i32) -> i64 {
    let of_partition = wanted.unwrap_or_default().iter();
    let of_partition = of_partition.filter(|min| min.partition == index);
    of_partition.map(|min| min.min_offset).max().unwrap_or(0)
}

impl Batch {
    fn merging(&self) -> Option<&Arc<Merging>> {
        self.table.as_ref()?.merging()
    }

    fn is_reached(&self) -> bool {
        self.partition.marks().stable_end >= self.min_offset
    }
}

/// Waits until every partition has what it must reflect.
async fn wait(ctx: &Context, batches: &[Batch], deadline: Instant) {
    let waiter = Waiter::register(batches.iter().map(|batch| &batch.partition));
    let mut stop = ctx.broker.shutdown_signal();
    while !batches.iter().all(Batch::is_reached) {
        tokio::select! {
            () = waiter.moved() => {}
            () = tokio::time::sleep_until(deadline) => return,
            () = stop.stopping() => return,
        }
    }
}

/// What one partition holds of its keys.
struct Looked {
    rows: Vec<Option<Row>>,
    reflects: i64,
    bytes: usize,
}

/// `None` if the rows are more than `max_bytes`.
async fn look_up(
    ctx: &Context,
    batch: Batch,
    max_bytes: usize,
) -> Result<Option<Looked>, KeyFault> {
    if !batch.is_reached() {
        return Err(KeyFault::TimedOut);
    }
    let table = batch.table.ok_or(KeyFault::NotReady(NotReady::Loading))?;
    let keys: Vec<_> = batch.keys.into_iter().map(|(_, key)| key).collect();
    let look = move || -> Result<Option<Looked>, NotReady> {
        let mut looked = Looked {
            rows: Vec::with_capacity(keys.len()),
            reflects: i64::MAX,
            bytes: 0,
        };
        for keys in keys.chunks(KEYS_PER_STEP) {
            let found = table.lookup(keys)?;
            let values = found.rows.iter().flatten().map(|row| row.value.len());
            looked.bytes += values.sum::<usize>();
            if looked.bytes > max_bytes {
                return Ok(None);
            }
            looked.reflects = looked.reflects.min(found.reflects);
            looked.rows.extend(found.rows);
        }
        Ok(Some(looked))
    };
    ctx.broker
        .log()
        .blocking(look)
        .await
        .map_err(KeyFault::NotReady)
}

/// Makes columns of what was found, and the answer of all.
async fn respond(
    target: Target,
    mut answers: Vec<Answer>,
    reflected: Vec<(i32, i64)>,
) -> Result<LookupResponse, LookupError> {
    let schema_id = target.format.schema_id;
    let work = move || -> Result<_, RowsError> {
        let encoded = encode(&target, &mut answers)?;
        Ok((answers, encoded))
    };
    let (answers, messages) = compute(work).await?;
    let is_found = |answer: &&Answer| matches!(answer, Answer::Found { .. });
    let rows = answers.iter().filter(is_found).count();
    Ok(LookupResponse {
        results: answers.iter().map(result).collect(),
        partitions: reflected
            .into_iter()
            .map(|(partition, reflected_offset)| Reflected {
                partition,
                reflected_offset,
            })
            .collect(),
        schema_id,
        row_count: i32::try_from(rows).unwrap_or(i32::MAX),
        messages,
        ..LookupResponse::default()
    })
}

/// Encodes the rows found; those whose values do not decode become faults of their keys.
fn encode(target: &Target, answers: &mut [Answer]) -> Result<Rope, RowsError> {
    let Some(projection) = target.columns.of(target.format.schema_id) else {
        return Ok(Rope::default());
    };
    if projection.is_empty() {
        return Ok(Rope::default());
    }
    let mut found = Vec::new();
    let mut places = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        if let Answer::Found {
            partition,
            key,
            row,
        } = answer
        {
            places.push(at);
            found.push(FoundRow {
                partition: *partition,
                key: key.clone(),
                row: row.clone(),
            });
        }
    }
    let merging = target.merging.as_deref();
    let encoded = rows_of_keys::encode(&target.format, merging, projection, &found)?;
    for index in encoded.undecodable {
        let (at, partition) = (places[index], found[index].partition);
        let fault = KeyFault::Undecodable;
        answers[at] = Answer::Fault { partition, fault };
    }
    Ok(encoded.messages)
}

fn result(answer: &Answer) -> LookupResult {
    let absent = |partition| LookupResult {
        error_code: ErrorCode::None.code(),
        found: false,
        partition,
        offset: NONE,
    };
    match answer {
        Answer::Absent { partition } => absent(*partition),
        Answer::Found { partition, row, .. } => LookupResult {
            found: true,
            offset: row.offset,
            ..absent(*partition)
        },
        Answer::Fault { partition, fault } => LookupResult {
            error_code: fault.code().code(),
            ..absent(*partition)
        },
    }
}
