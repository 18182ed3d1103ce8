//! Produce (key 0): record batches in, offsets out.
//!
//! - Batches are submitted before the next request of the connection is read, so a connection's
//!   batches of one partition are in the log in the order they were sent. What happens to them on the
//!   way is told in [`super::write`].
//! - `acks` 0 is never answered; if a batch was refused, the connection closes (as Kafka does, so
//!   that the client looks up its leaders again).
//! - `acks` −1 waits for no replica: there is one, whatever `min.insync.replicas` says.

use bytes::Bytes;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use tidelog_protocol_ext::StrBytes;
use tidelog_records::BatchHeader;

use super::target::TopicKey;
use super::write::{Asked, Entry, NO_OFFSET, ProduceError, Written, submit};
use crate::api::context::{Context, Outcome, Reply, Responder};
use crate::api::error::Failure;

/// First version that names topics by id.
const IDS_FROM: i16 = 13;

pub async fn handle(ctx: &Context, request: ProduceRequest) -> Outcome {
    let (acks, version) = (request.acks, ctx.version());
    let asked = Asked {
        acks,
        version,
        timeout_ms: request.timeout_ms,
        transactional_id: request.transactional_id.as_ref().map(|id| id.to_string()),
    };
    let submission = submit(ctx, entries(request, version), asked).await;
    let responder = ctx.responder;
    Outcome::later(async move { reply(responder, acks, submission.written().await) })
}

/// The request, partition by partition in its order. All are refused if one is of a transaction and
/// the request does not say of which.
fn entries(request: ProduceRequest, version: i16) -> Vec<Entry<Bytes>> {
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
        entries.extend(data.partition_data.into_iter().map(|part| {
            let records = match is_nameless {
                false => Ok(part.records.unwrap_or_default()),
                true => Err(ProduceError::NoTransactionalId),
            };
            Entry::sent(topic.clone(), part.index, records)
        }));
    }
    entries
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
    let described = error.bad_records().into_iter().map(|(index, why)| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(Some(StrBytes::from_string(why)))
    });
    described.collect()
}
