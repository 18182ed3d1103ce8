//! Fetch (key 1): record batches out, as they were stored.
//!
//! ```text
//! request ─▶ session (which partitions, in which order) ─▶ pass: plan and load, one by one
//!                                   not enough yet: watch ─┴─▶ pass again … ─▶ answer
//! ```
//! - Partitions are served in order, each up to its own limit, all up to the request's and ours. The
//!   first that has anything gives its first batch however large it is (KIP-74), so that no reader
//!   is stuck; nothing is read from disk for those the limit leaves nothing for.
//! - The wait ends with enough bytes or as many as the limits allow, an error in a partition, the
//!   deletion of a topic, the deadline or the broker's stop. Partitions that are unknown from the
//!   start do not end it while there are others, as in Kafka: their reader would ask again at once.
//! - Batches are whole and shared with the log; a batch may begin before the offset asked for.
//! - Everything is below the high watermark, so what is read survives a power cut. Readers of committed
//!   records get none beyond the last stable offset, and a list of the aborted transactions (KIP-98).

mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::fetch_response::{
    AbortedTransaction, EpochEnd, FetchPartition, FetchResponse, FetchTopic,
};
use tidelog_protocol_ext::{ErrorCode, Rope, StrBytes};
use tidelog_records::BatchHeader;
use tidelog_storage::{Marks, Partition, ReadEnd, ReadError};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::fetch_session::{Answer, Asked, NO_SESSION, Round, SessionError, Wanted};
use super::target::{PartitionError, TopicKey, check_leader_epoch, log_of};
use crate::api::context::{Context, Outcome};
use crate::api::error::Coded;
use crate::owners::cluster::View;
use crate::views::{LOOK_BYTES_MAX, ViewOf};
use crate::waiter::Waiter;

/// First version that names topics by id.
const IDS_FROM: i16 = 13;

/// Mark or offset of a partition that has none to tell.
const NONE: i64 = -1;

/// What bounds an answer.
#[derive(Debug, Clone, Copy)]
struct Limits {
    min_bytes: u64,
    max_bytes: u64,
    /// Transactions that were aborted are listed.
    committed: bool,
    /// Bytes of its source that are looked at for one partition of a view, about.
    look_bytes: u64,
    deadline: Instant,
}

/// A partition of the round that can be read, or why not.
struct Reader {
    wanted: Wanted,
    seen: Option<Arc<Topic>>,
    partition: Result<Arc<Partition>, PartitionError>,
    /// What the topic shows, if it is a view; the partition is the source's then.
    view: Option<ViewOf>,
}

/// One look at all partitions.
struct Pass {
    responses: Vec<FetchPartition>,
    bytes: u64,
    /// There is more than the limits allow, or something a client should know now: the answer does
    /// not wait for more bytes.
    urgent: bool,
}

/// What one partition has.
struct Found {
    marks: Marks,
    records: Rope,
    /// Bytes that count towards what the reader waits for.
    bytes: u64,
    /// Producer and first offset of transactions among the records that came to nothing.
    aborted: Vec<AbortedTransaction>,
    diverging: Option<EpochEnd>,
    /// See [`Pass::urgent`].
    urgent: bool,
}

pub async fn handle(ctx: &Context, request: FetchRequest) -> Outcome {
    let mut limits = limits(ctx, &request);
    let asked = Asked {
        session_id: request.session_id,
        epoch: request.session_epoch,
        by_ids: ctx.version() >= IDS_FROM,
    };
    let (wanted, forgotten) = partitions_of(&request, asked.by_ids);
    // It holds the frame it came in, and the wait may be long.
    drop(request);
    let sessions = ctx.broker.fetch_sessions();
    let round = match sessions.open(asked, wanted, &forgotten, ctx.broker.now_ms()) {
        Ok(round) => round,
        Err(error) => return refuse(ctx, error),
    };
    let view = ctx.broker.cluster().view();
    let readers = readers(ctx, &view, &round);
    drop(view);
    let views = readers.iter().filter(|reader| reader.view.is_some());
    limits.look_bytes = LOOK_BYTES_MAX / (views.count() as u64).max(1);
    let pass = gather(ctx, &readers, limits).await;
    let mut answers = answers(readers, pass);
    let fresh_id = || Uuid::new_v4().as_u128() as i32;
    match sessions.close(round, &mut answers, ctx.broker.now_ms(), fresh_id) {
        Ok(session_id) => respond(ctx, ErrorCode::None, session_id, answers),
        Err(error) => refuse(ctx, error),
    }
}

fn limits(ctx: &Context, request: &FetchRequest) -> Limits {
    let max = request
        .max_bytes
        .clamp(0, ctx.broker.settings().fetch_max_bytes);
    let wait_ms = request.max_wait_ms.max(0).unsigned_abs();
    Limits {
        min_bytes: u64::from(request.min_bytes.clamp(0, max).unsigned_abs()),
        max_bytes: u64::from(max.unsigned_abs()),
        committed: request.isolation_level == 1,
        look_bytes: LOOK_BYTES_MAX,
        deadline: Instant::now() + Duration::from_millis(u64::from(wait_ms)),
    }
}

/// What the request names and what it no longer wants, under keys of their own.
fn partitions_of(request: &FetchRequest, by_ids: bool) -> (Vec<Wanted>, Vec<(TopicKey, i32)>) {
    let key = |name: &str, id: Uuid| match by_ids {
        true => TopicKey::Id(id),
        false => TopicKey::by_name(name),
    };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let key = key(&topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.iter().map(|part| Wanted {
            topic: key.clone(),
            index: part.partition,
            fetch_offset: part.fetch_offset,
            max_bytes: u64::from(part.partition_max_bytes.max(0).unsigned_abs()),
            leader_epoch: part.current_leader_epoch,
            last_fetched_epoch: part.last_fetched_epoch,
            seen: None,
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = key(&topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|index| (key.clone(), *index)));
    }
    (wanted, forgotten)
}

fn readers(ctx: &Context, view: &View, round: &Round) -> Vec<Reader> {
    let reader = |wanted: &Wanted| {
        let found = wanted.topic.find(&view.image).map(Arc::clone);
        // A session's topic that was made again has another id under its name.
        let renewed = |topic: &Arc<Topic>| view.image.topic(&topic.name).is_some();
        let shows = found.as_ref().ok();
        let shows = shows.and_then(|topic| ViewOf::topic(view, topic));
        let (seen, partition) = match found {
            Ok(topic) => {
                let partition = log_of(ctx.broker.log(), &topic, wanted.index);
                (Some(topic), partition)
            }
            Err(PartitionError::UnknownId) if wanted.seen.as_ref().is_some_and(renewed) => {
                (None, Err(PartitionError::InconsistentId))
            }
            Err(error) => (None, Err(error)),
        };
        Reader {
            wanted: wanted.clone(),
            seen,
            partition,
            view: shows,
        }
    };
    round.wanted.iter().map(reader).collect()
}

/// Looks until there is enough.
async fn gather(ctx: &Context, readers: &[Reader], limits: Limits) -> Pass {
    let first = look(ctx, readers, limits).await;
    if first.is_enough(limits) {
        return first;
    }
    let partitions = || readers.iter().filter_map(|r| r.partition.as_ref().ok());
    if partitions().next().is_none() {
        return first;
    }
    let waiter = Waiter::register(partitions());
    let mut stop = ctx.broker.shutdown_signal();
    loop {
        let pass = look(ctx, readers, limits).await;
        if pass.is_enough(limits) || stop.is_stopping() {
            return pass;
        }
        tokio::select! {
            () = waiter.moved() => {}
            () = stop.stopping() => {}
            () = tokio::time::sleep_until(limits.deadline) => return pass,
        }
    }
}

impl Pass {
    fn is_enough(&self, limits: Limits) -> bool {
        self.urgent || self.bytes >= limits.min_bytes || Instant::now() >= limits.deadline
    }
}

/// Reads what there is, partition by partition within the limits.
async fn look(ctx: &Context, readers: &[Reader], limits: Limits) -> Pass {
    let mut pass = Pass {
        responses: Vec::with_capacity(readers.len()),
        bytes: 0,
        urgent: false,
    };
    for reader in readers {
        let index = reader.wanted.index;
        let found = match (&reader.partition, &reader.view) {
            (Err(error), _) => {
                pass.responses.push(failed(index, error));
                continue;
            }
            (Ok(partition), None) => read(ctx, partition, &reader.wanted, limits, pass.bytes).await,
            (Ok(partition), Some(view)) => {
                let reading = view::Reading { view, partition };
                view::read(ctx, reading, &reader.wanted, limits, pass.bytes).await
            }
        };
        pass.responses.push(match found {
            Ok(found) => {
                pass.bytes += found.bytes;
                pass.urgent |= found.urgent;
                succeeded(index, found, limits.committed)
            }
            Err(error) => {
                pass.urgent = true;
                failed(index, &error)
            }
        });
    }
    pass
}

/// Reads one partition within what the limits leave after `taken` bytes; one whole batch in any case
/// if it is the first with any.
async fn read(
    ctx: &Context,
    partition: &Partition,
    wanted: &Wanted,
    limits: Limits,
    taken: u64,
) -> Result<Found, PartitionError> {
    let offset = wanted.fetch_offset;
    let first = taken == 0;
    let max_bytes = wanted.max_bytes.min(limits.max_bytes.saturating_sub(taken));
    let (to, readable_to) = match (limits.committed, partition.marks()) {
        (true, marks) => (ReadEnd::StableEnd, marks.stable_end),
        (false, marks) => (ReadEnd::HighWatermark, marks.high_watermark),
    };
    let plan = partition.plan_read_to(to, offset, max_bytes, first);
    // After the plan, so that nothing in it lies beyond them.
    let marks = partition.marks();
    check_leader_epoch(wanted.leader_epoch, marks.leader_epoch)?;
    let mut found = Found {
        diverging: diverging(partition, wanted, marks.log_start)?,
        marks,
        records: Rope::new(),
        bytes: 0,
        aborted: Vec::new(),
        urgent: true,
    };
    if found.diverging.is_some() {
        return Ok(found);
    }
    let plan = plan.map_err(|error| told(&wanted.topic, error))?;
    if max_bytes == 0 && !first {
        found.urgent = offset < readable_to;
        return Ok(found);
    }
    match plan.in_memory() {
        Some(pieces) => {
            found.records = Rope::from(pieces);
            // Only asked where it matters: the walk is long for many small batches.
            let too_few = (found.records.len() as u64) < limits.min_bytes;
            found.urgent = too_few && end_of(&found.records).unwrap_or(offset) < readable_to;
        }
        // Urgent: while waiting the disk is not read again and again.
        None => {
            let Some(grant) = ctx.broker.reads().take(plan.bytes(), first).await else {
                return Ok(found);
            };
            let plan = match grant.max_bytes < plan.bytes() {
                true => partition.plan_read_to(to, offset, grant.max_bytes, first),
                false => Ok(plan),
            };
            let plan = plan.map_err(|error| told(&wanted.topic, error))?;
            let loaded = ctx.broker.log().load(plan).await;
            let loaded = loaded.inspect_err(
                |error| warn!(partition = %partition.id, offset, %error, "a fetch failed"),
            );
            let loaded = loaded.map_err(|error| told(&wanted.topic, error))?;
            let paid = loaded.into_iter().map(|piece| grant.pay_for(piece));
            found.records = Rope::from(paid.collect::<Vec<_>>());
        }
    }
    found.bytes = found.records.len() as u64;
    if limits.committed
        && let Some(end) = end_of(&found.records)
    {
        let aborted = partition.aborted(offset, end);
        let aborted = aborted.map_err(|error| told(&wanted.topic, error))?;
        let aborted = aborted.into_iter().map(|transaction| AbortedTransaction {
            producer_id: transaction.producer_id,
            first_offset: transaction.first_offset,
        });
        found.aborted = aborted.collect();
    }
    Ok(found)
}

/// Next offset after whole batches. Only the last piece is looked at, header by header.
fn end_of(records: &Rope) -> Option<i64> {
    let mut rest = &records.pieces().last()?[..];
    let mut end = None;
    while let Some(header) = BatchHeader::read(rest) {
        end = Some(header.last_offset() + 1);
        rest = rest.get(header.total_len()..).unwrap_or_default();
    }
    end
}

fn told(topic: &TopicKey, error: ReadError) -> PartitionError {
    match error {
        ReadError::Deleted => topic.gone(),
        error => error.into(),
    }
}

/// Where this log left the one the reader knows, if it did (KIP-595).
fn diverging(
    partition: &Partition,
    wanted: &Wanted,
    log_start: i64,
) -> Result<Option<EpochEnd>, PartitionError> {
    let epoch = wanted.last_fetched_epoch;
    // Below the log start the offset itself is the error.
    if epoch < 0 || wanted.fetch_offset < log_start {
        return Ok(None);
    }
    let (found, end_offset) = partition
        .epoch_end(epoch)
        .ok_or(PartitionError::NoEpochEnd(epoch))?;
    let differs = found < epoch || end_offset < wanted.fetch_offset;
    Ok(differs.then_some(EpochEnd {
        epoch: found,
        end_offset,
    }))
}

fn succeeded(partition: i32, found: Found, committed: bool) -> FetchPartition {
    FetchPartition {
        partition,
        error_code: ErrorCode::None,
        high_watermark: found.marks.high_watermark,
        last_stable_offset: found.marks.stable_end,
        log_start_offset: found.marks.log_start,
        diverging_epoch: found.diverging,
        current_leader: None,
        snapshot_id: None,
        aborted_transactions: committed.then_some(found.aborted),
        preferred_read_replica: -1,
        records: found.records,
    }
}

fn failed(partition: i32, error: &PartitionError) -> FetchPartition {
    FetchPartition {
        partition,
        error_code: error.code(),
        high_watermark: NONE,
        last_stable_offset: NONE,
        log_start_offset: NONE,
        diverging_epoch: None,
        current_leader: None,
        snapshot_id: None,
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Rope::new(),
    }
}

fn answers(readers: Vec<Reader>, pass: Pass) -> Vec<Answer> {
    let answered = readers.into_iter().zip(pass.responses);
    answered
        .map(|(reader, response)| Answer {
            topic: reader.wanted.topic,
            response,
            seen: reader.seen,
        })
        .collect()
}

fn refuse(ctx: &Context, error: SessionError) -> Outcome {
    respond(ctx, error.code(), NO_SESSION, Vec::new())
}

fn respond(ctx: &Context, error: ErrorCode, session_id: i32, answers: Vec<Answer>) -> Outcome {
    let mut answers = VecDeque::from(answers);
    let mut topics = Vec::new();
    while let Some(first) = answers.pop_front() {
        let topic = first.topic;
        let mut partitions = vec![first.response];
        while let Some(next) = answers.pop_front_if(|next| next.topic == topic) {
            partitions.push(next.response);
        }
        let (name, topic_id) = match topic {
            TopicKey::Name(name) => (name, Uuid::nil()),
            TopicKey::Id(id) => (StrBytes::default(), id),
        };
        topics.push(FetchTopic {
            name,
            topic_id,
            partitions,
        });
    }
    let response = FetchResponse {
        throttle_time_ms: 0,
        error_code: error,
        session_id,
        topics,
        node_endpoints: Vec::new(),
    };
    let responder = ctx.responder;
    let frame = response.encode(responder.version, responder.correlation_id);
    responder.sealed(frame).into()
}
