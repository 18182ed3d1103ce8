//! From batches that were sent to batches in the log, for every API that writes.
//!
//! ```text
//! sent ─▶ aim ─▶ judge (heavy: off the reactor) ─▶ key tables ─▶ transactions ─▶ submit ─▶ log holds it
//! ```
//! - Batches are submitted when [`submit`] returns, in their order; what became of them is known
//!   when [`Submission::written`] does.
//! - A batch sent again (KIP-98) is answered as it was the first time, once that one is durable.
//! - A batch for a topic that rejects what does not decode is decoded first: see [`super::screen`].
//! - A batch for a keyed topic is held against the topic's partitioner and merge engine too, and one
//!   whose writer waits for the sync is answered once the key table has it: see [`super::keyed`].
//! - The first batch of a transaction in a partition waits until the coordinator confirms that it knows
//!   the partition to be part of it (KIP-890): see [`super::transactional`].

use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::cluster::settings::TopicSettings;
use tidelog_coordinator::cluster::{INTERNAL_TOPICS, Topic};
use tidelog_storage::{Ack, AppendError, Origin, Partition, Terms};

use super::admission::{self, Admitted, Refusal, Rules};
use super::compute::compute;
use super::keyed::{self, KeyedError, Place};
use super::screen::{NotDecoded, Screen};
use super::target::{PartitionError, TopicKey, check_no_view, partition_of};
use super::transactional::{self, Membership, Unconfirmed};
use crate::api::context::Context;
use crate::api::ext::sent_rows::RowsError;
use crate::broker::Broker;
use crate::log::{Appending, NewBatch, Outcome as Logged, Unwritten};
use crate::owners::keyed::Table;

/// Offset of a batch that was not written.
pub const NO_OFFSET: i64 = -1;

/// Why the batch for one partition was not written.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("acks must be -1, 0 or 1, not {0}")]
    Acks(i16),
    #[error("transactional records need a transactional id")]
    NoTransactionalId,
    #[error(transparent)]
    Unconfirmed(#[from] Unconfirmed),
    #[error(transparent)]
    Target(#[from] PartitionError),
    #[error("only the broker writes to this topic")]
    Internal,
    /// The producer moved before its topic did; it waits.
    #[error("the topic is being imported from another cluster (tidelog.import)")]
    Importing,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotDecoded(#[from] NotDecoded),
    #[error(transparent)]
    Keyed(#[from] KeyedError),
    /// They came as columns.
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Append(#[from] Unwritten),
}

impl ProduceError {
    /// Whether the log was looked at, so that its start is known to the answer.
    pub fn knows_the_log(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.knows_the_log(),
            Self::Append(Unwritten::Append(AppendError::Sequence(_)) | Unwritten::Refused(_)) => {
                true
            }
            _ => false,
        }
    }

    /// The records at fault, if single ones are: their places in the batch, and why.
    pub fn bad_records(&self) -> Vec<(i32, String)> {
        match self {
            Self::Refused(Refusal::AppendTimeClaimed { records }) => {
                let why = self.to_string();
                (0..*records).map(|index| (index, why.clone())).collect()
            }
            Self::Refused(refusal) => {
                let bad = refusal.bad_records().iter();
                bad.map(|bad| (bad.index, bad.fault.to_string())).collect()
            }
            Self::NotDecoded(NotDecoded(bad)) => bad.clone(),
            Self::Keyed(error) => error.refused().into_iter().collect(),
            Self::Rows(error) => error.bad_rows(),
            _ => Vec::new(),
        }
    }
}

/// One partition of the request, on its way from what was sent to what is answered.
pub struct Entry<T> {
    /// A copy: an answer in the making must not hold the request's frame.
    pub topic: TopicKey,
    pub index: i32,
    /// Where the log begins, once the partition was found.
    pub log_start: i64,
    pub state: Result<T, ProduceError>,
}

impl<T> Entry<T> {
    /// Of a batch that was only sent yet.
    pub fn sent(topic: TopicKey, index: i32, state: Result<T, ProduceError>) -> Self {
        Self {
            topic,
            index,
            log_start: NO_OFFSET,
            state,
        }
    }

    fn and_then<U>(self, step: impl FnOnce(T) -> Result<U, ProduceError>) -> Entry<U> {
        Entry {
            topic: self.topic,
            index: self.index,
            log_start: self.log_start,
            state: self.state.and_then(step),
        }
    }
}

/// What was sent, and where it goes.
struct Aimed {
    /// As transactions name it.
    topic: String,
    partition: Arc<Partition>,
    settings: Arc<TopicSettings>,
    place: Option<Place>,
    screen: Option<Screen>,
    records: Bytes,
}

/// A batch that may be written.
struct Judged {
    topic: String,
    partition: Arc<Partition>,
    batch: Admitted,
    /// What speaks for it where it is part of a transaction.
    terms: Terms,
    place: Option<Place>,
    /// The batch has nothing new to say about the topic's partitioner.
    is_settled: bool,
}

/// A batch that was handed to the log.
struct Submitted {
    /// The time that was put into it or −1.
    append_time_ms: i64,
    table: Option<Arc<Table>>,
    offsets: i64,
}

/// Where a batch is.
pub struct Written {
    pub base_offset: i64,
    /// The offset after its last.
    pub next_offset: i64,
    pub log_start: i64,
    pub append_time_ms: i64,
    /// The key table it belongs to.
    table: Option<Arc<Table>>,
}

/// What a request asks of all its batches.
pub struct Asked {
    /// -1 to be told when batches are synced, 0 or 1 when they are written.
    pub acks: i16,
    /// Of the Produce request whose rules batches obey.
    pub version: i16,
    pub timeout_ms: i32,
    pub transactional_id: Option<String>,
}

/// Batches on their way into the log.
pub struct Submission {
    ack: Ack,
    broker: Arc<Broker>,
    submitted: Vec<Entry<Submitted>>,
    appending: Appending,
}

/// Hands batches to the log; nothing of them is behind the batches of a later call.
pub async fn submit(ctx: &Context, sent: Vec<Entry<Bytes>>, asked: Asked) -> Submission {
    let now_ms = ctx.broker.now_ms();
    let ack = ack_of(asked.acks);
    let mut aimed = aim(ctx, sent);
    if ack.is_none() {
        let refuse = |entry: Entry<Aimed>| entry.and_then(|_| Err(ProduceError::Acks(asked.acks)));
        aimed = aimed.into_iter().map(refuse).collect();
    }
    let ack = ack.unwrap_or(Ack::Written);
    let judged = judge(aimed, asked.version, now_ms).await;
    let judged = bring_to_tables(ctx, judged, asked.timeout_ms).await;
    let judged = confirm(ctx, judged, &asked).await;
    let (submitted, batches) = submission(judged, ack);
    Submission {
        ack,
        broker: Arc::clone(&ctx.broker),
        submitted,
        appending: ctx.broker.log().append(batches, now_ms),
    }
}

impl Submission {
    /// What became of each batch, once it is as durable as was asked.
    pub async fn written(self) -> Vec<Entry<Written>> {
        let written = settle(self.submitted, self.appending.await);
        if self.ack == Ack::Durable {
            fold(&self.broker, &written).await;
        }
        written
    }
}

/// What `acks` stands for.
const fn ack_of(acks: i16) -> Option<Ack> {
    match acks {
        -1 => Some(Ack::Durable),
        0 | 1 => Some(Ack::Written),
        _ => None,
    }
}

/// Finds the partitions.
fn aim(ctx: &Context, entries: Vec<Entry<Bytes>>) -> Vec<Entry<Aimed>> {
    let view = ctx.broker.cluster().view();
    let aimed = entries.into_iter().map(|entry| {
        let key = entry.topic.clone();
        let index = entry.index;
        let mut aimed = entry.and_then(|records| {
            let topic = key.find(&view.image)?;
            check_no_view(&view.image, topic)?;
            let partition = partition_of(ctx.broker.log(), topic, index)?;
            if is_internal(topic) {
                return Err(ProduceError::Internal);
            }
            let settings = view.topic_settings(topic);
            if settings.importing {
                return Err(ProduceError::Importing);
            }
            Ok(Aimed {
                topic: topic.name.clone(),
                screen: Screen::of(&ctx.broker, topic, &settings, &partition),
                partition,
                place: Place::of(&ctx.broker, topic, &settings, index),
                settings,
                records,
            })
        });
        if let Ok(found) = &aimed.state {
            aimed.log_start = found.partition.marks().log_start;
        }
        aimed
    });
    aimed.collect()
}

/// Whether only the broker itself may change the topic's records.
pub(in crate::api) fn is_internal(topic: &Topic) -> bool {
    topic.internal || INTERNAL_TOPICS.contains(&topic.name.as_str())
}

/// Judges every batch: here, or where it may take its time.
async fn judge(entries: Vec<Entry<Aimed>>, version: i16, now_ms: i64) -> Vec<Entry<Judged>> {
    let sent = || entries.iter().filter_map(|entry| entry.state.as_ref().ok());
    let bytes: usize = sent().map(|aimed| aimed.records.len()).sum();
    let mut places = sent().filter_map(|aimed| aimed.place.as_ref());
    let heavy = places.any(Place::is_heavy)
        || sent().any(|aimed| aimed.screen.is_some())
        || admission::is_heavy(bytes, sent().map(|aimed| &aimed.records[..]));
    let judge = move || {
        let judged = entries.into_iter().map(|entry| {
            entry.and_then(|aimed| {
                let rules = Rules {
                    settings: &aimed.settings,
                    version,
                    now_ms,
                };
                let batch = admission::admit(&aimed.records, &rules)?;
                if let Some(screen) = &aimed.screen {
                    screen.check(&batch.bytes)?;
                }
                let is_settled = match &aimed.place {
                    Some(place) => place.admit(&batch.bytes)?,
                    None => true,
                };
                Ok(Judged {
                    topic: aimed.topic,
                    partition: aimed.partition,
                    batch,
                    terms: Terms::default(),
                    place: aimed.place,
                    is_settled,
                })
            })
        });
        judged.collect()
    };
    if heavy { compute(judge).await } else { judge() }
}

/// Settles what batches of keyed topics say about their partitioner, and waits for room in the
/// tables. Without room none of them is written.
async fn bring_to_tables(
    ctx: &Context,
    mut entries: Vec<Entry<Judged>>,
    timeout_ms: i32,
) -> Vec<Entry<Judged>> {
    let mut tables = Vec::new();
    for entry in &mut entries {
        let Ok(judged) = &entry.state else { continue };
        let Some(place) = &judged.place else { continue };
        tables.extend(place.table().cloned());
        if !judged.is_settled
            && let Err(error) = place.settle(&ctx.broker, &judged.batch.bytes).await
        {
            entry.state = Err(error.into());
        }
    }
    if keyed::wait_for_room(&ctx.broker, &tables, timeout_ms)
        .await
        .is_err()
    {
        let is_keyed = |entry: &&mut Entry<Judged>| matches!(&entry.state, Ok(judged) if judged.place.is_some());
        for entry in entries.iter_mut().filter(is_keyed) {
            entry.state = Err(KeyedError::NoRoom.into());
        }
    }
    entries
}

/// Has the coordinator confirm the partitions that batches open their transaction in.
async fn confirm(
    ctx: &Context,
    mut entries: Vec<Entry<Judged>>,
    asked: &Asked,
) -> Vec<Entry<Judged>> {
    let Some(transactional_id) = asked.transactional_id.clone() else {
        return entries;
    };
    let mut members: Vec<Membership<'_>> = Vec::new();
    let mut places = Vec::new();
    for (place, entry) in entries.iter_mut().enumerate() {
        if let Ok(judged) = &mut entry.state
            && judged.batch.header.is_transactional()
        {
            members.push(Membership {
                topic: &judged.topic,
                index: entry.index,
                partition: &judged.partition,
                header: &judged.batch.header,
                terms: &mut judged.terms,
            });
            places.push(place);
        }
    }
    let outcomes = transactional::confirm(ctx, transactional_id, asked.version, &mut members).await;
    for (place, outcome) in places.into_iter().zip(outcomes) {
        if let Err(error) = outcome {
            entries[place].state = Err(error.into());
        }
    }
    entries
}

/// Brings key tables up to what was written.
async fn fold(broker: &Broker, entries: &[Entry<Written>]) {
    for written in entries.iter().filter_map(|entry| entry.state.as_ref().ok()) {
        if let Some(table) = &written.table {
            broker.keyed().fold(table, written.next_offset).await;
        }
    }
}

/// What the log is to append, and what is kept for the answer.
fn submission(entries: Vec<Entry<Judged>>, ack: Ack) -> (Vec<Entry<Submitted>>, Vec<NewBatch>) {
    let mut batches = Vec::with_capacity(entries.len());
    let submitted = entries.into_iter().map(|entry| {
        entry.and_then(|judged| {
            let Judged {
                partition,
                batch,
                terms,
                place,
                ..
            } = judged;
            let append_time_ms = batch.append_time_ms;
            let offsets = i64::from(batch.header.last_offset_delta) + 1;
            batches.push(NewBatch {
                partition,
                bytes: batch.bytes,
                header: batch.header,
                origin: Origin::Producer(terms),
                ack,
            });
            Ok(Submitted {
                append_time_ms,
                table: place.and_then(|place| place.table().cloned()),
                offsets,
            })
        })
    });
    (submitted.collect(), batches)
}

/// Joins what was kept with what became of the batches, which are in the same order.
fn settle(entries: Vec<Entry<Submitted>>, outcomes: Vec<Logged>) -> Vec<Entry<Written>> {
    let mut outcomes = outcomes.into_iter();
    let settled = entries.into_iter().map(|entry| {
        let key = entry.topic.clone();
        entry.and_then(|submitted| match outcomes.next() {
            Some(Ok(appended)) => Ok(Written {
                base_offset: appended.base_offset,
                next_offset: appended.base_offset + submitted.offsets,
                log_start: appended.log_start,
                append_time_ms: appended.duplicate_of.unwrap_or(submitted.append_time_ms),
                table: submitted.table,
            }),
            Some(Err(Unwritten::Append(AppendError::Deleted))) => Err(key.gone().into()),
            Some(Err(error)) => Err(error.into()),
            // The log answers every batch; without an answer its fate is not known.
            None => Err(Unwritten::from(AppendError::Storage("no answer".into())).into()),
        })
    });
    settled.collect()
}
