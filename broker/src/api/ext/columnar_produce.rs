//! ColumnarProduce (key 16001): rows in columns, stored as records that any Kafka client reads.
//!
//! ```text
//! request ─▶ topics, their value forms ─▶ rows to record batches (off the reactor) ─▶ data::write ─▶ answer
//! ```
//! - What Produce promises holds here too, for it is the same way into the log: order, duplicates and
//!   fencing (one sequence number a row), transactions, keyed tables.
//! - The rows of a partition are one record batch: all are written, or none.
//! - Rules are those of the newest Produce: the broker adds partitions to a transaction by itself.

use bytes::Bytes;
use tidelog_protocol_ext::ext::columnar_produce::{
    ColumnarProduceRequest, ColumnarProduceResponse, ProducePartition, ProduceTopic,
    ProducedPartition, ProducedTopic, RecordError,
};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::sent_rows::{Encoder, RowsError, SentRows, SentTopic};
use super::value_form::{FormError, FormSource};
use crate::api::context::{Context, Outcome, Reply, Responder};
use crate::api::data::compute::compute;
use crate::api::data::target::{PartitionError, TopicKey};
use crate::api::data::write::{Asked, Entry, NO_OFFSET, ProduceError, Written, submit};
use crate::api::error::Failure;

/// The version of Produce whose rules hold.
const PRODUCE: i16 = 13;

/// Most bytes of record batches that one request may come to.
const BATCHES_MAX_BYTES: usize = 128 << 20;

/// A topic of the request with its partitions, or why nothing can be written to any of them.
struct Job {
    key: TopicKey,
    topic: Result<SentTopic, TopicError>,
    partitions: Vec<(i32, SentRows)>,
}

/// Why a topic takes no rows.
enum TopicError {
    Gone,
    IsView { source_name: String },
    Form(FormError),
}

pub async fn handle(ctx: &Context, request: ColumnarProduceRequest) -> Outcome {
    let acks = request.acks;
    let asked = Asked {
        acks,
        version: PRODUCE,
        timeout_ms: request.timeout_ms,
        transactional_id: request.transactional_id.map(|id| id.to_string()),
    };
    let is_transactional = asked.transactional_id.is_some();
    let mut jobs = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        jobs.push(job(ctx, topic, is_transactional).await);
    }
    let now_ms = ctx.broker.now_ms();
    let entries = match acks {
        -1 | 1 => compute(move || encode(jobs, now_ms)).await,
        _ => refuse(jobs, &RowsError::Acks(acks)),
    };
    let submission = submit(ctx, entries, asked).await;
    let responder = ctx.responder;
    Outcome::later(async move { reply(responder, submission.written().await) })
}

async fn job(ctx: &Context, topic: ProduceTopic, is_transactional: bool) -> Job {
    let key = match topic.topic_id.is_nil() {
        false => TopicKey::Id(topic.topic_id),
        true => TopicKey::by_name(topic.name.as_deref().unwrap_or_default()),
    };
    let partitions = topic.partitions.into_iter();
    let partitions = partitions.map(|part| sent_rows(part, is_transactional));
    Job {
        topic: sent_topic(ctx, &key, topic.schema_id, topic.arrow_schema).await,
        key,
        partitions: partitions.collect(),
    }
}

fn sent_rows(part: ProducePartition, is_transactional: bool) -> (i32, SentRows) {
    let rows = SentRows {
        messages: part.rows.to_bytes(),
        producer: (part.producer_id, part.producer_epoch),
        base_sequence: part.base_sequence,
        is_transactional,
    };
    (part.partition, rows)
}

async fn sent_topic(
    ctx: &Context,
    key: &TopicKey,
    schema_id: i32,
    arrow_schema: Bytes,
) -> Result<SentTopic, TopicError> {
    let (name, formats, settings) = {
        let view = ctx.broker.cluster().view();
        let topic = key.find(&view.image).map_err(|_| TopicError::Gone)?;
        if let Some(source) = view.image.source_of(topic) {
            let source_name = source.name.clone();
            return Err(TopicError::IsView { source_name });
        }
        let settings = view.topic_settings(topic);
        let formats = ctx.broker.rows().formats(topic, &settings.table);
        let formats = formats.map_err(|error| TopicError::Form(error.into()))?;
        (topic.name.clone(), formats, settings)
    };
    let source = FormSource::of(ctx.broker.registry(), &name, formats, &settings.table).await;
    Ok(SentTopic {
        source: source.map_err(TopicError::Form)?,
        settings,
        schema_id,
        arrow_schema,
    })
}

/// Every partition of the request with its record batch, in order.
fn encode(jobs: Vec<Job>, now_ms: i64) -> Vec<Entry<Bytes>> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for Job {
        key,
        topic,
        partitions,
    } in jobs
    {
        let topic = match topic {
            Ok(topic) => topic,
            Err(error) => {
                let refused = |(index, _)| Entry::sent(key.clone(), index, Err(error.told(&key)));
                entries.extend(partitions.into_iter().map(refused));
                continue;
            }
        };
        let encoder = Encoder::new(&topic, now_ms);
        for (index, sent) in partitions {
            let batch = encoder.as_ref().map_err(RowsError::clone);
            let batch = batch.and_then(|encoder| match bytes > BATCHES_MAX_BYTES {
                false => encoder.batch(&sent),
                true => Err(RowsError::AllTooLarge {
                    max: BATCHES_MAX_BYTES,
                }),
            });
            bytes += batch.as_ref().map_or(0, Bytes::len);
            entries.push(Entry::sent(key.clone(), index, batch.map_err(Into::into)));
        }
    }
    entries
}

fn refuse(jobs: Vec<Job>, why: &RowsError) -> Vec<Entry<Bytes>> {
    let refused = jobs.into_iter().flat_map(|job| {
        let partitions = job.partitions.into_iter();
        let key = job.key;
        partitions.map(move |(index, _)| Entry::sent(key.clone(), index, Err(why.clone().into())))
    });
    refused.collect()
}

impl TopicError {
    /// What each of the partitions is refused with.
    fn told(&self, key: &TopicKey) -> ProduceError {
        match self {
            Self::Gone => key.gone().into(),
            Self::IsView { source_name } => {
                let source_name = source_name.clone();
                PartitionError::IsView { source_name }.into()
            }
            Self::Form(error) => RowsError::from(error.clone()).into(),
        }
    }
}

fn reply(responder: Responder, entries: Vec<Entry<Written>>) -> Reply {
    let mut response = ColumnarProduceResponse::default();
    let mut entries = entries.into_iter().peekable();
    while let Some(first) = entries.next() {
        let key = first.topic.clone();
        let (topic_id, name) = match &key {
            TopicKey::Id(id) => (*id, None),
            TopicKey::Name(name) => (Uuid::nil(), Some(name.clone())),
        };
        let mut partitions = vec![told(first)];
        while let Some(next) = entries.next_if(|next| next.topic == key) {
            partitions.push(told(next));
        }
        response.topics.push(ProducedTopic {
            topic_id,
            name,
            partitions,
        });
    }
    responder.encode_ext::<ColumnarProduceRequest>(&response)
}

fn told(entry: Entry<Written>) -> ProducedPartition {
    let error = match entry.state {
        Ok(written) => {
            return ProducedPartition {
                partition: entry.index,
                error_code: ErrorCode::None.code(),
                error_message: None,
                base_offset: written.base_offset,
                log_append_time_ms: written.append_time_ms,
                log_start_offset: written.log_start,
                record_errors: Vec::new(),
            };
        }
        Err(error) => error,
    };
    let Failure { code, message } = Failure::from(&error);
    let record_errors = error
        .bad_records()
        .into_iter()
        .map(|(row, why)| RecordError {
            row,
            message: StrBytes::from_string(why),
        });
    ProducedPartition {
        partition: entry.index,
        error_code: code.code(),
        error_message: Some(message),
        base_offset: NO_OFFSET,
        log_append_time_ms: NO_OFFSET,
        log_start_offset: match error.knows_the_log() {
            true => entry.log_start,
            false => NO_OFFSET,
        },
        record_errors: record_errors.collect(),
    }
}
