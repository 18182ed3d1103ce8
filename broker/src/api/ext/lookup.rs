//! Lookup (key 16002): the rows of a keyed table, by primary key or by the beginnings of keys.
//!
//! ```text
//! request ─▶ where does each key belong? ─▶ wait (min_offsets, loading) ─▶ tables ─▶ rows ─▶ answer
//!         └▶ prefixes ─────────────────────▶ wait ─▶ one snapshot of each table ─▶ rows ─┘
//! ```
//! - Every answer reflects at least the stable end its partition had when the lookup came, so what
//!   was acknowledged before is in it; nothing that a power cut could take back is.
//! - Keys of a partition are looked up some at a time: its `reflected_offset` is what all of them
//!   reflect, and the prefixes too.
//! - A key that the rules still possible would put into different partitions cannot be in the table:
//!   its record would have decided between them.
//! - Bounded: keys and prefixes by number, rows by the bytes of a Fetch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidelog_keyed::Row;
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::Rope;
use tidelog_protocol_ext::ext::lookup::{
    LookupKey, LookupRequest, LookupResponse, LookupResult, MinOffset, PrefixResult, Reflected,
};
use tokio::time::Instant;

use super::columns::Columns;
use super::key_tables::{self, KeyFault, KeyedTopic, NotKeyed, Part};
use super::prefixes::{self, PrefixRows, Wanted};
use super::rows_of_keys::{self, FoundRow, RowsError};
use crate::api::context::{Context, Outcome};
use crate::api::data::compute::compute;
use crate::api::error::{Coded, Failure};
use crate::owners::keyed::{Merging, NotReady, Table};

/// Partition or offset that is not known.
const NONE: i64 = -1;
const NO_PARTITION: i32 = -1;

/// Most keys and prefixes of one request, and keys looked up in one step.
const KEYS_MAX: usize = 10_000;
const KEYS_PER_STEP: usize = 64;

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    NotKeyed(#[from] NotKeyed),
    #[error("{keys} keys in one request: ask for {KEYS_MAX} at a time")]
    TooManyKeys { keys: usize },
    #[error("the rows exceed fetch.max.bytes, which is {max_bytes}: ask for fewer keys")]
    TooMuch { max_bytes: usize },
    #[error(transparent)]
    Rows(#[from] RowsError),
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
    table: KeyedTopic,
    columns: Columns,
    /// What makes the rows of its tables; not asked for before there are any.
    merging: Option<Arc<Merging>>,
}

/// What is asked of the partitions.
#[derive(Default)]
struct Asked {
    answers: Vec<Answer>,
    /// Places in the request, and the keys there, by partition.
    keys: BTreeMap<i32, Vec<(usize, Bytes)>>,
    prefixes: Vec<Result<Wanted, KeyFault>>,
    parts: BTreeMap<i32, Part>,
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
    let Asked {
        mut answers,
        keys,
        prefixes,
        parts,
    } = place(ctx, &target, &request);
    // It holds the frame it came in, and the wait may be long.
    drop(request);
    let all: Vec<_> = parts.values().cloned().collect();
    key_tables::wait(ctx, &all, deadline).await;
    target.merging = all.iter().find_map(|part| merging(ctx, part));
    let max_bytes = usize::try_from(ctx.broker.settings().fetch_max_bytes).unwrap_or(0);
    let mut left = max_bytes;
    let mut reflected = BTreeMap::new();
    for (partition, keys) in keys {
        // Made with its keys.
        let Some(part) = parts.get(&partition) else {
            continue;
        };
        let found = match look_up(ctx, part, &keys, left, deadline).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(LookupError::TooMuch { max_bytes }),
            Err(fault) => {
                reflected.insert(partition, NONE);
                for (at, _) in keys {
                    let fault = fault.clone();
                    answers[at] = Answer::Fault { partition, fault };
                }
                continue;
            }
        };
        left -= found.bytes;
        reflected.insert(partition, found.reflects);
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
    let prefixes = prefixes::look_up(ctx, prefixes, &parts, left, deadline).await;
    for (partition, reflects) in &prefixes.reflected {
        let of_keys = reflected.entry(*partition).or_insert(*reflects);
        *of_keys = (*of_keys).min(*reflects);
    }
    respond(target, answers, prefixes, reflected).await
}

fn merging(ctx: &Context, part: &Part) -> Option<Arc<Merging>> {
    part.table(ctx).ok()?.merging().cloned()
}

fn target(ctx: &Context, request: &LookupRequest) -> Result<Target, LookupError> {
    let table = KeyedTopic::find(ctx, request.topic_id)?;
    let keys = request.keys.len() + request.prefixes.len();
    if keys > KEYS_MAX {
        return Err(LookupError::TooManyKeys { keys });
    }
    let projection = request.projection.as_deref();
    let columns = Columns::select(std::slice::from_ref(&table.format), projection);
    Ok(Target {
        columns: columns.map_err(NotKeyed::from)?,
        table,
        merging: None,
    })
}

/// Finds each key's partition, and those where keys with a prefix may be.
fn place(ctx: &Context, target: &Target, request: &LookupRequest) -> Asked {
    let mut asked = Asked::default();
    let min_offsets = request.min_offsets.as_deref();
    for (at, wanted) in request.keys.iter().enumerate() {
        let placed = partition_of_key(target, wanted).and_then(|index| match index {
            Some(index) => asked.part(ctx, target, index, min_offsets),
            None => Ok(NO_PARTITION),
        });
        if let Ok(partition @ 0..) = placed {
            let key = Bytes::copy_from_slice(&wanted.key);
            asked.keys.entry(partition).or_default().push((at, key));
        }
        asked.answers.push(match placed {
            Ok(partition) => Answer::Absent { partition },
            Err(fault) => Answer::Fault {
                partition: NO_PARTITION,
                fault,
            },
        });
    }
    for wanted in &request.prefixes {
        let wanted = Wanted::read(wanted, target.table.topic.partitions);
        let wanted = wanted.and_then(|wanted| {
            for index in wanted.partitions() {
                asked.part(ctx, target, index, min_offsets)?;
            }
            Ok(wanted)
        });
        asked.prefixes.push(wanted);
    }
    asked
}

impl Asked {
    /// Adds a partition that has to be asked, and answers its index.
    fn part(
        &mut self,
        ctx: &Context,
        target: &Target,
        index: i32,
        min_offsets: Option<&[MinOffset]>,
    ) -> Result<i32, KeyFault> {
        if let Entry::Vacant(part) = self.parts.entry(index) {
            let min_offset = min_offset(min_offsets, index);
            part.insert(target.table.part(ctx, index, min_offset)?);
        }
        Ok(index)
    }
}

/// `None` for a key that cannot be in the table.
fn partition_of_key(target: &Target, wanted: &LookupKey) -> Result<Option<i32>, KeyFault> {
    let rules = target.table.rules;
    match wanted.partition {
        NO_PARTITION => match rules.locate(&wanted.key, target.table.topic.partitions) {
            None if rules.is_explicit() => Err(KeyFault::Ambiguous),
            located => Ok(located),
        },
        named => Ok(Some(named)),
    }
}

fn min_offset(wanted: Option<&[MinOffset]>, index: i32) -> i64 {
    let of_partition = wanted.unwrap_or_default().iter();
    let of_partition = of_partition.filter(|min| min.partition == index);
    of_partition.map(|min| min.min_offset).max().unwrap_or(0)
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
    part: &Part,
    keys: &[(usize, Bytes)],
    max_bytes: usize,
    deadline: Instant,
) -> Result<Option<Looked>, KeyFault> {
    let keys: Vec<_> = keys.iter().map(|(_, key)| key.clone()).collect();
    let look = move |table: &Arc<Table>| -> Result<Option<Looked>, NotReady> {
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
    key_tables::ask(ctx, part, deadline, look).await
}

/// Makes columns of what was found, and the answer of all.
async fn respond(
    target: Target,
    mut answers: Vec<Answer>,
    mut prefixes: PrefixRows,
    reflected: BTreeMap<i32, i64>,
) -> Result<LookupResponse, LookupError> {
    let schema_id = target.table.format.schema_id;
    let work = move || -> Result<_, RowsError> {
        let encoded = encode(&target, &mut answers, &mut prefixes)?;
        Ok((answers, prefixes.results, encoded))
    };
    let (answers, prefix_results, messages) = compute(work).await?;
    let is_found = |answer: &&Answer| matches!(answer, Answer::Found { .. });
    let of_keys = answers.iter().filter(is_found).count();
    let of_prefixes = prefix_results.iter().map(|prefix| prefix.row_count);
    let rows = i32::try_from(of_keys).unwrap_or(i32::MAX);
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
        row_count: of_prefixes.fold(rows, i32::saturating_add),
        messages,
        prefix_results,
        ..LookupResponse::default()
    })
}

/// Encodes the rows found, those of keys before those of prefixes. Where values do not decode, that is a
/// fault of the key, and is counted for the prefix.
fn encode(
    target: &Target,
    answers: &mut [Answer],
    prefixes: &mut PrefixRows,
) -> Result<Rope, RowsError> {
    let format = &target.table.format;
    let Some(projection) = target.columns.of(format.schema_id) else {
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
    found.append(&mut prefixes.rows);
    let decoded = rows_of_keys::decode(format, target.merging.as_deref(), &found)?;
    for index in decoded.undecodable {
        match places.get(index) {
            Some(at) => {
                let (partition, fault) = (found[index].partition, KeyFault::Undecodable);
                answers[*at] = Answer::Fault { partition, fault };
            }
            None => undecodable(&mut prefixes.results, index - places.len()),
        }
    }
    rows_of_keys::encode(projection, &decoded.rows, format.compression)
}

/// Takes one of the rows that prefixes found away from its prefix. Rows are told of in ascending order.
fn undecodable(prefixes: &mut [PrefixResult], row: usize) {
    let mut end = 0;
    for prefix in prefixes {
        end += (prefix.row_count + prefix.undecodable_count).unsigned_abs() as usize;
        if row < end {
            prefix.row_count -= 1;
            prefix.undecodable_count += 1;
            return;
        }
    }
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
