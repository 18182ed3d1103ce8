//! Produce (key 0): record batches in, offsets out.
//!
//! ```text
//! request ─▶ aim ─▶ judge (heavy: off the reactor) ─▶ submit, in order ─▶ the next request is read
//!                                                        └▶ log holds it ─▶ answer
//! ```
//! - Batches are submitted before the next request of the connection is read, so a connection's
//!   batches of one partition are in the log in the order they were sent.
//! - `acks` 0 is never answered; if a batch was refused, the connection closes (as Kafka does, so
//!   that the client looks up its leaders again).
//! - A batch sent again (KIP-98) is answered as it was the first time, once that one is durable.
//! - `acks` −1 waits for no replica: there is one, whatever `min.insync.replicas` says.
//!
//! - A batch for a keyed topic is held against the topic's partitioner too, and an `acks` −1 is
//!   answered once the key table has it: see [`super::keyed`].
//!
//! - The first batch of a transaction in a partition waits until the coordinator confirms that it knows
//!   the partition to be part of it (KIP-890): see [`super::transactional`].

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use tidelog_coordinator::cluster::settings::TopicSettings;
use tidelog_coordinator::cluster::{INTERNAL_TOPICS, Topic};
use tidelog_keyed::Refused;
use tidelog_protocol_ext::StrBytes;
use tidelog_records::BatchHeader;
use tidelog_storage::{Ack, AppendError, Origin, Partition, Terms};

use super::admission::{self, Admitted, Refusal, Rules};
use super::compute::compute;
use super::keyed::{self, KeyedError, Place};
use super::target::{PartitionError, TopicKey, partition_of};
use super::transactional::{self, Membership, Unconfirmed};
use crate::api::context::{Context, Outcome, Reply, Responder};
use crate::api::error::Failure;
use crate::broker::Broker;
use crate::log::{NewBatch, Outcome as Logged, Unwritten};
use crate::owners::keyed::Table;

/// First version that names topics by id.
const IDS_FROM: i16 = 13;

/// Offset of a batch that was not written.
const NO_OFFSET: i64 = -1;

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
    Keyed(#[from] KeyedError),
    #[error(transparent)]
    Append(#[from] Unwritten),
}

impl ProduceError {
    /// Whether the log was looked at, so that its start is known to the answer.
    fn knows_the_log(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.knows_the_log(),
            Self::Append(Unwritten::Append(AppendError::Sequence(_)) | Unwritten::Refused(_)) => {
                true
            }
            _ => false,
        }
    }
}

/// One partition of the request, on its way from what was sent to what is answered.
struct Entry<T> {
    /// A copy: an answer in the making must not hold the request's frame.
    topic: TopicKey,
    index: i32,
    /// Where the log begins, once the partition was found.
    log_start: i64,
    state: Result<T, ProduceError>,
}

impl<T> Entry<T> {
    fn and_then<U>(self, step: impl FnOnce(T) -> Result<U, ProduceError>) -> Entry<U> {
        Entry {
            topic: self.topic,
            index: self.index,
            log_start: self.log_start,
            state: self.state.and_then(step),
        }
    }
}

/// What was sent.
struct Sent {
    records: Bytes,
}

/// What was sent, and where it goes.
struct Aimed {
    /// As transactions name it.
    topic: String,
    partition: Arc<Partition>,
    settings: Arc<TopicSettings>,
    place: Option<Place>,
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
struct Written {
    base_offset: i64,
    log_start: i64,
    append_time_ms: i64,
    /// The key table it belongs to, and the offset after its last.
    folded: Option<(Arc<Table>, i64)>,
}

pub async fn handle(ctx: &Context, request: ProduceRequest) -> Outcome {
    let (acks, version, timeout_ms) = (request.acks, ctx.version(), request.timeout_ms);
    let transactional_id = request.transactional_id.as_ref().map(|id| id.to_string());
    let ack = ack_of(acks);
    let sent = entries(request, version);
    let now_ms = ctx.broker.now_ms();
    let mut aimed = aim(ctx, sent);
    if ack.is_none() {
        let refuse = |entry: Entry<Aimed>| entry.and_then(|_| Err(ProduceError::Acks(acks)));
        aimed = aimed.into_iter().map(refuse).collect();
    }
    let ack = ack.unwrap_or(Ack::Written);
    let judged = judge(aimed, version, now_ms).await;
    let judged = bring_to_tables(ctx, judged, timeout_ms).await;
    let judged = confirm(ctx, judged, transactional_id).await;
    let (submitted, batches) = submission(judged, ack);
    let appending = ctx.broker.log().append(batches, now_ms);
    let (responder, broker) = (ctx.responder, Arc::clone(&ctx.broker));
    Outcome::later(async move {
        let written = settle(submitted, appending.await);
        if ack == Ack::Durable {
            fold(&broker, &written).await;
        }
        reply(responder, acks, written)
    })
}

/// What `acks` stands for.
const fn ack_of(acks: i16) -> Option<Ack> {
    match acks {
        -1 => Some(Ack::Durable),
        0 | 1 => Some(Ack::Written),
        _ => None,
    }
}

/// The request, partition by partition in its order. All are refused if one is of a transaction and
/// the request does not say of which.
fn entries(request: ProduceRequest, version: i16) -> Vec<Entry<Sent>> {
    let transactional = |records: &Bytes| {
        BatchHeader::read(records).is_some_and(|header| header.is_transactional())
    };
    let topics = request.topic_data.iter();
    let mut parts = topics.flat_map(|topic| &topic.partition_data);
    let is_nameless = request.transactional_id.is_none()
        && parts.any(|part| part.records.as_ref().is_some_and(transactional));
    let mut entries = Vec::new();
    for data in request.topic_data {
        let topic = match version >= IDS_FROM {
            true => TopicKey::Id(data.topic_id),
            false => TopicKey::by_name(&data.name),
        };
        entries.extend(data.partition_data.into_iter().map(|part| Entry {
            topic: topic.clone(),
            index: part.index,
            log_start: NO_OFFSET,
            state: match is_nameless {
                false => Ok(Sent {
                    records: part.records.unwrap_or_default(),
                }),
                true => Err(ProduceError::NoTransactionalId),
            },
        }));
    }
    entries
}

/// Finds the partitions.
fn aim(ctx: &Context, entries: Vec<Entry<Sent>>) -> Vec<Entry<Aimed>> {
    let view = ctx.broker.cluster().view();
    let aimed = entries.into_iter().map(|entry| {
        let key = entry.topic.clone();
        let index = entry.index;
        let mut aimed = entry.and_then(|sent| {
            let topic = key.find(&view.image)?;
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
                partition,
                place: Place::of(&ctx.broker, topic, &settings, index),
                settings,
                records: sent.records,
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
    let heavy = admission::is_heavy(bytes, sent().map(|aimed| &aimed.records[..]));
    let judge = move || {
        let judged = entries.into_iter().map(|entry| {
            entry.and_then(|aimed| {
                let rules = Rules {
                    settings: &aimed.settings,
                    version,
                    now_ms,
                };
                let batch = admission::admit(&aimed.records, &rules)?;
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
    transactional_id: Option<String>,
) -> Vec<Entry<Judged>> {
    let Some(transactional_id) = transactional_id else {
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
    let outcomes = transactional::confirm(ctx, transactional_id, &mut members).await;
    for (place, outcome) in places.into_iter().zip(outcomes) {
        if let Err(error) = outcome {
            entries[place].state = Err(error.into());
        }
    }
    entries
}

/// Brings key tables up to what was written.
async fn fold(broker: &Broker, entries: &[Entry<Written>]) {
    let written = entries.iter().filter_map(|entry| entry.state.as_ref().ok());
    for (table, end) in written.filter_map(|written| written.folded.as_ref()) {
        broker.keyed().fold(table, *end).await;
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
                log_start: appended.log_start,
                append_time_ms: appended.duplicate_of.unwrap_or(submitted.append_time_ms),
                folded: submitted
                    .table
                    .map(|table| (table, appended.base_offset + submitted.offsets)),
            }),
            Some(Err(Unwritten::Append(AppendError::Deleted))) => Err(key.gone().into()),
            Some(Err(error)) => Err(error.into()),
            // The log answers every batch; without an answer its fate is not known.
            None => Err(Unwritten::from(AppendError::Storage("no answer".into())).into()),
        })
    });
    settled.collect()
}

fn reply(responder: Responder, acks: i16, entries: Vec<Entry<Written>>) -> Reply {
    if acks == 0 {
        return match entries.iter().all(|entry| entry.state.is_ok()) {
            true => Reply::Silent,
            false => Reply::Close,
        };
    }
    let mut responses: Vec<TopicProduceResponse> = Vec::new();
    let mut entries = entries.into_iter().peekable();
    while let Some(first) = entries.next() {
        let topic = first.topic.clone();
        let mut parts = vec![part_response(first)];
        while let Some(next) = entries.next_if(|next| next.topic == topic) {
            parts.push(part_response(next));
        }
        let response = TopicProduceResponse::default().with_partition_responses(parts);
        responses.push(match topic {
            TopicKey::Name(name) => response.with_name(TopicName(name)),
            TopicKey::Id(id) => response.with_topic_id(id),
        });
    }
    responder.encode(&ProduceResponse::default().with_responses(responses))
}

/// The answer for one partition. Versions without messages leave them out when encoding.
fn part_response(entry: Entry<Written>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(entry.index);
    match entry.state {
        Ok(written) => response
            .with_base_offset(written.base_offset)
            .with_log_append_time_ms(written.append_time_ms)
            .with_log_start_offset(written.log_start),
        Err(error) => {
            let failure = Failure::from(&error);
            let log_start = match error.knows_the_log() {
                true => entry.log_start,
                false => NO_OFFSET,
            };
            response
                .with_base_offset(NO_OFFSET)
                .with_log_start_offset(log_start)
                .with_error_code(failure.code.code())
                .with_error_message(Some(failure.message))
                .with_record_errors(record_errors(&error))
        }
    }
}

fn record_errors(error: &ProduceError) -> Vec<BatchIndexAndErrorMessage> {
    let refusal = match error {
        ProduceError::Refused(Refusal::AppendTimeClaimed { records }) => {
            return (0..*records).map(|index| claimed(index, error)).collect();
        }
        ProduceError::Refused(refusal) => refusal,
        ProduceError::Keyed(error) => {
            return error.refused().map(refused_record).into_iter().collect();
        }
        _ => return Vec::new(),
    };
    let described = refusal.bad_records().iter().map(|bad| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(bad.index)
            .with_batch_index_error_message(Some(StrBytes::from_string(bad.fault.to_string())))
    });
    described.collect()
}

/// A record of a batch that claims the broker's times.
fn claimed(index: i32, error: &ProduceError) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(index)
        .with_batch_index_error_message(Some(StrBytes::from_string(error.to_string())))
}

fn refused_record(refused: &Refused) -> BatchIndexAndErrorMessage {
    let why = StrBytes::from_string(refused.why.to_string());
    BatchIndexAndErrorMessage::default()
        .with_batch_index(refused.index)
        .with_batch_index_error_message(Some(why))
}
