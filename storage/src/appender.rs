//! The one owner of appends: judges, gives offsets, builds slots, and answers when they are durable.
//!
//! ```text
//! Request … ─▶ reserve space ─▶ admit (standing, producer, transaction) ─▶ offsets ─▶ one slot ─▶ publish
//!                                                                             └▶ Written, until synced
//! ```
//! No I/O happens between giving an offset and writing it, and space is reserved before either, so
//! an offset that was given is in the log unless the disk itself failed; after that nothing more is
//! written. Markers that end transactions are requests like any other: on a full disk they are
//! refused, too, since the coordinator's own record that goes before them would be.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_records::BatchHeader;

use crate::ids::{Offset, Timestamp};
use crate::manifest::ProducerBatch;
use crate::partition::{AppendState, BatchRef, Partition, Run, Slot, Standing};
use crate::producers::{Entry, ProducerError, Sequence, SequenceError};
use crate::request::{Origin, Refusal, Request};
use crate::store::{FlushMode, Store};
use crate::wal::{EntryKind, Placed, SlotBuilder, TakeError, WalWriter, slot_len};

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Once it is durable (`acks=all`).
    Durable,
    /// Once it is written to the WAL, which a power cut may still take back (`acks=1`, `acks=0`).
    Written,
}

/// One record batch for one partition.
pub struct Append {
    pub partition: Arc<Partition>,
    /// Exactly one batch v2, checked by the caller.
    pub batch: Bytes,
    pub header: BatchHeader,
    pub ack: Ack,
    /// Broker clock, for producer expiry.
    pub now: Timestamp,
    /// Handed back with the answer.
    pub tag: usize,
    pub sink: Arc<dyn AppendSink>,
}

/// Takes the answers of appends. Called on storage's threads: note it and return.
pub trait AppendSink: Send + Sync {
    fn appended(&self, tag: usize, outcome: Result<Appended, AppendError>);

    /// Told instead of [`appended`](Self::appended) where a [`Request`] is against the rules of
    /// transactions or of imports. Nothing was written. Who makes no such request need not listen.
    fn refused(&self, tag: usize, refusal: Refusal) {
        self.appended(tag, Err(AppendError::Storage(refusal.to_string())));
    }
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub log_start: Offset,
    /// The batch had been written before; these are the original's offset and time.
    pub duplicate_of: Option<Timestamp>,
}

/// Why a batch was not appended. Nothing of it was written, except after `Storage`, where it may
/// have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error("the topic was deleted")]
    Deleted,
    #[error("the partition is damaged: {0}")]
    Damaged(String),
    #[error("no space left on disk: {0}")]
    NoSpace(String),
    #[error("storage failed: {0}")]
    Storage(String),
}

/// A slot that is written and waits to be synced.
pub struct Written {
    pub number: u64,
    /// Where each partition in it ends.
    ends: Vec<(Arc<Partition>, Offset)>,
    answers: Vec<Answer>,
}

struct Answer {
    sink: Arc<dyn AppendSink>,
    tag: usize,
    appended: Appended,
}

impl Written {
    /// The slot is durable: moves the high watermarks, then answers.
    pub fn settle(self) {
        for (partition, end) in &self.ends {
            partition.advance(*end);
        }
        for answer in self.answers {
            answer.sink.appended(answer.tag, Ok(answer.appended));
        }
    }

    /// The slot may or may not survive: answers so.
    pub fn fail(self, error: &AppendError) {
        self.answers
            .into_iter()
            .for_each(|answer| answer.fail(error));
    }
}

impl Answer {
    fn fail(self, error: &AppendError) {
        self.sink.appended(self.tag, Err(error.clone()));
    }
}

/// What became of a group.
pub enum GroupOutcome {
    /// Written, or nothing but answers to wait for.
    Written(Written),
    /// Nothing to wait for: every append was answered.
    Settled,
    /// The WAL's budget is used up; here is the group again, untouched.
    WaitForSpace(Vec<Request>),
}

/// Owner of the WAL's writing end.
pub struct Appender {
    writer: WalWriter,
    store: Arc<Store>,
}

struct Admitted {
    append: Append,
    origin: Origin,
    /// As in the batch, with its offset.
    placed: BatchHeader,
    epoch: i32,
    log_start: Offset,
}

impl Appender {
    pub fn new(writer: WalWriter, store: Arc<Store>) -> Self {
        Self { writer, store }
    }

    pub fn writer(&mut self) -> &mut WalWriter {
        &mut self.writer
    }

    /// Notes a clean end. The syncer's last sync makes it durable.
    pub fn close(&mut self) {
        if let Err(error) = self.writer.write_note(EntryKind::Close, &[]) {
            tracing::warn!(%error, "the WAL's closing note was not written");
        }
    }

    /// Writes a group as one slot. An error is the end of this WAL: the caller fails everything.
    pub fn append(&mut self, group: Vec<Request>) -> Result<GroupOutcome, AppendError> {
        let bytes: usize = group.iter().map(|request| request.append.batch.len()).sum();
        match self.writer.reserve(slot_len(group.len(), bytes)) {
            Ok(()) => {}
            Err(TakeError::Budget) => return Ok(GroupOutcome::WaitForSpace(group)),
            Err(TakeError::NoSpace(error)) => {
                let error = AppendError::NoSpace(error.to_string());
                group.into_iter().for_each(|request| request.fail(&error));
                return Ok(GroupOutcome::Settled);
            }
        }
        let mut answers = Vec::new();
        let mut admitted = Vec::with_capacity(group.len());
        for request in group {
            admit(request, &mut admitted, &mut answers);
        }
        if admitted.is_empty() {
            return Ok(self.only_answers(answers));
        }
        // Stable: within a partition the order of arrival stays, and a partition's batches lie
        // side by side in the slot.
        admitted.sort_by_key(|a| a.append.partition.id);
        self.write(admitted, answers).map(GroupOutcome::Written)
    }

    /// Answers that wait for what was written before.
    fn only_answers(&self, answers: Vec<Answer>) -> GroupOutcome {
        if answers.is_empty() {
            return GroupOutcome::Settled;
        }
        let number = self.writer.next_slot().saturating_sub(1);
        GroupOutcome::Written(Written {
            number,
            ends: Vec::new(),
            answers,
        })
    }

    fn write(
        &mut self,
        admitted: Vec<Admitted>,
        mut answers: Vec<Answer>,
    ) -> Result<Written, AppendError> {
        let appended_bytes = admitted.iter().map(|a| a.append.batch.len()).sum();
        let mut builder = SlotBuilder::new(admitted.len(), appended_bytes);
        let positions: Vec<u32> = admitted
            .iter()
            .map(|a| builder.push_batch(a.append.partition.id, &a.in_slot()))
            .collect();
        let (place, _, bytes) = match self.writer.write(builder) {
            Ok(written) => written,
            Err(error) => {
                let error = AppendError::Storage(error.to_string());
                for Admitted { append, .. } in admitted {
                    append.sink.appended(append.tag, Err(error.clone()));
                }
                answers.into_iter().for_each(|answer| answer.fail(&error));
                return Err(error);
            }
        };
        self.store.count_slot(&bytes, appended_bytes);
        let number = place.number;
        let slot = self.store.memory.hold(place, bytes);
        let written_is_durable = self.store.options.flush_mode == FlushMode::Os;
        let ends = publish(&slot, &admitted, &positions, written_is_durable);
        for Admitted {
            append,
            placed,
            log_start,
            ..
        } in admitted
        {
            let appended = Appended {
                base_offset: placed.base_offset,
                log_start,
                duplicate_of: None,
            };
            if append.ack == Ack::Written || written_is_durable {
                append.sink.appended(append.tag, Ok(appended));
            } else {
                answers.push(Answer {
                    sink: append.sink,
                    tag: append.tag,
                    appended,
                });
            }
        }
        Ok(Written {
            number,
            ends,
            answers,
        })
    }
}

impl Admitted {
    fn in_slot(&self) -> Placed<'_> {
        Placed {
            batch: &self.append.batch,
            base_offset: self.placed.base_offset,
            leader_epoch: self.epoch,
            marker: self.origin.marker(),
            is_imported: self.is_imported(),
        }
    }

    fn is_imported(&self) -> bool {
        matches!(self.origin, Origin::Import { .. })
    }

    fn entry(&self) -> Entry {
        Entry {
            header: self.placed,
            marker: self.origin.marker(),
        }
    }
}

/// Shows the partitions what was written of them; answers where each ends.
fn publish(
    slot: &Arc<Slot>,
    admitted: &[Admitted],
    positions: &[u32],
    durable: bool,
) -> Vec<(Arc<Partition>, Offset)> {
    let mut ends = Vec::new();
    let mut from = 0;
    // What is imported need not follow what is before it, and the batches of a run do.
    let together = |a: &Admitted, b: &Admitted| {
        a.append.partition.id == b.append.partition.id && !b.is_imported()
    };
    for run in admitted.chunk_by(together) {
        let positions = &positions[from..from + run.len()];
        from += run.len();
        let partition = &run[0].append.partition;
        let of_producers = run.iter().filter(|a| a.placed.has_producer_id());
        let entries = of_producers.map(|a| (a.entry(), a.append.now));
        let epoch = run[0].epoch;
        let whole = run_of(Arc::clone(slot), run, positions);
        ends.push((Arc::clone(partition), whole.end_offset));
        partition.publish(Arc::new(whole), epoch, entries, durable);
    }
    ends
}

/// Judges one request and gives it its offset, or answers it.
fn admit(request: Request, admitted: &mut Vec<Admitted>, answers: &mut Vec<Answer>) {
    let Request { append, origin } = request;
    let partition = Arc::clone(&append.partition);
    let mut state = partition.append_state();
    match judge(&state, &append.header, origin) {
        Ok(Verdict::Next(base_offset)) => {
            let placed = BatchHeader {
                base_offset,
                ..append.header
            };
            state.next_offset = placed.last_offset() + 1;
            let log_start = partition.log_state().log_start;
            let new = Admitted {
                append,
                origin,
                placed,
                epoch: state.leader_epoch,
                log_start,
            };
            state.producers.apply(&new.entry(), new.append.now);
            admitted.push(new);
        }
        Ok(Verdict::Duplicate(span)) => {
            let appended = Appended {
                base_offset: span.base_offset,
                log_start: partition.log_state().log_start,
                duplicate_of: Some(span.timestamp),
            };
            answers.push(Answer {
                sink: append.sink,
                tag: append.tag,
                appended,
            });
        }
        Err(No::Append(error)) => append.sink.appended(append.tag, Err(error)),
        Err(No::Refused(refusal)) => append.sink.refused(append.tag, refusal),
    }
}

enum Verdict {
    /// It goes there.
    Next(Offset),
    /// It was written before, there.
    Duplicate(ProducerBatch),
}

enum No {
    Append(AppendError),
    Refused(Refusal),
}

impl From<ProducerError> for No {
    fn from(error: ProducerError) -> Self {
        match error {
            ProducerError::Sequence(error) => Self::Append(error.into()),
            ProducerError::Transaction(error) => Self::Refused(error.into()),
        }
    }
}

fn judge(state: &AppendState, header: &BatchHeader, origin: Origin) -> Result<Verdict, No> {
    match &state.standing {
        Standing::Open => {}
        Standing::Deleted => return Err(No::Append(AppendError::Deleted)),
        Standing::Damaged(why) => return Err(No::Append(AppendError::Damaged(why.clone()))),
    }
    let (producers, end) = (&state.producers, state.next_offset);
    match origin {
        Origin::Producer(terms) => {
            let terms = terms.under(state.leader_epoch);
            Ok(match producers.check(header, terms)? {
                Sequence::Next => Verdict::Next(end),
                Sequence::Duplicate(span) => Verdict::Duplicate(span),
            })
        }
        Origin::Marker { marker, rule } => {
            producers.check_marker(header, marker, rule)?;
            Ok(Verdict::Next(end))
        }
        Origin::Import { .. } => match header.base_offset {
            got if got < end => Err(No::Refused(Refusal::BelowEnd { end, got })),
            own => Ok(Verdict::Next(own)),
        },
    }
}

fn run_of(slot: Arc<Slot>, batches: &[Admitted], positions: &[u32]) -> Run {
    let first_offset = batches[0].placed.base_offset;
    let refs = batches.iter().zip(positions).map(|(batch, pos)| BatchRef {
        last_delta: (batch.placed.last_offset() - first_offset) as u32,
        pos: *pos,
    });
    let max_timestamp = batches
        .iter()
        .map(|b| b.append.header.max_timestamp)
        .max()
        .unwrap_or(-1);
    let end_pos =
        positions[positions.len() - 1] + batches[batches.len() - 1].append.batch.len() as u32;
    Run::new(slot, first_offset, max_timestamp, refs.collect(), end_pos)
}
