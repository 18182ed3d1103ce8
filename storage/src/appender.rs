//! The one owner of appends: judges, gives offsets, builds slots, and answers when they are durable.
//!
//! ```text
//! Append … ─▶ admit (sequence, standing) ─▶ reserve space ─▶ offsets ─▶ one slot ─▶ publish
//!                                                                         └▶ Written, until synced
//! ```
//! No I/O happens between giving an offset and writing it, and space is reserved before either, so
//! an offset that was given is in the log unless the disk itself failed; after that nothing more is
//! written.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_records::BatchHeader;

use crate::ids::{Offset, Timestamp};
use crate::partition::{AppendState, BatchRef, Partition, Run, Standing};
use crate::producers::{Sequence, SequenceError};
use crate::store::{FlushMode, Store};
use crate::wal::{EntryKind, SlotBuilder, TakeError, WalWriter, slot_len};

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
        for answer in self.answers {
            answer.sink.appended(answer.tag, Err(error.clone()));
        }
    }
}

/// What became of a group.
pub enum GroupOutcome {
    /// Written, or nothing but answers to wait for.
    Written(Written),
    /// Nothing to wait for: every append was answered.
    Settled,
    /// The WAL's budget is used up; here is the group again, untouched.
    WaitForSpace(Vec<Append>),
}

/// Owner of the WAL's writing end.
pub struct Appender {
    writer: WalWriter,
    store: Arc<Store>,
}

struct Admitted {
    append: Append,
    base_offset: Offset,
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
    pub fn append(&mut self, group: Vec<Append>) -> Result<GroupOutcome, AppendError> {
        let bytes: usize = group.iter().map(|append| append.batch.len()).sum();
        match self.writer.reserve(slot_len(group.len(), bytes)) {
            Ok(()) => {}
            Err(TakeError::Budget) => return Ok(GroupOutcome::WaitForSpace(group)),
            Err(TakeError::NoSpace(error)) => {
                refuse_all(group, &AppendError::NoSpace(error.to_string()));
                return Ok(GroupOutcome::Settled);
            }
        }
        let mut answers = Vec::new();
        let mut admitted = Vec::with_capacity(group.len());
        for append in group {
            admit(append, &mut admitted, &mut answers);
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
            .map(|a| {
                let id = a.append.partition.id;
                builder.push_batch(id, &a.append.batch, a.base_offset, a.epoch)
            })
            .collect();
        let storage = |error: std::io::Error| AppendError::Storage(error.to_string());
        let (place, _, bytes) = match self.writer.write(builder) {
            Ok(written) => written,
            Err(error) => {
                let error = storage(error);
                refuse_all(admitted.into_iter().map(|a| a.append).collect(), &error);
                return Err(error);
            }
        };
        self.store.count_slot(&bytes, appended_bytes);
        let number = place.number;
        let slot = self.store.memory.hold(place, bytes);
        let written_is_durable = self.store.options.flush_mode == FlushMode::Os;
        let mut ends = Vec::new();
        let mut from = 0;
        for of_partition in admitted.chunk_by(|a, b| a.append.partition.id == b.append.partition.id)
        {
            let positions = &positions[from..from + of_partition.len()];
            from += of_partition.len();
            let run = run_of(Arc::clone(&slot), of_partition, positions);
            let partition = &of_partition[0].append.partition;
            ends.push((Arc::clone(partition), run.end_offset));
            let epoch = of_partition[0].epoch;
            partition.publish(Arc::new(run), epoch, written_is_durable);
        }
        for Admitted {
            append,
            base_offset,
            log_start,
            ..
        } in admitted
        {
            let appended = Appended {
                base_offset,
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

fn refuse_all(group: Vec<Append>, error: &AppendError) {
    for append in group {
        append.sink.appended(append.tag, Err(error.clone()));
    }
}

/// Judges one append and gives it its offset, or answers it.
fn admit(append: Append, admitted: &mut Vec<Admitted>, answers: &mut Vec<Answer>) {
    let partition = Arc::clone(&append.partition);
    let mut state = partition.append_state();
    match judge(&state, &append.header) {
        Ok(Sequence::Next) => {
            let base_offset = state.next_offset;
            let placed = BatchHeader {
                base_offset,
                ..append.header
            };
            state.next_offset = placed.last_offset() + 1;
            state.producers.apply(&placed, append.now);
            let log_start = partition.log_state().log_start;
            admitted.push(Admitted {
                append,
                base_offset,
                epoch: state.leader_epoch,
                log_start,
            });
        }
        Ok(Sequence::Duplicate(span)) => {
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
        Err(error) => append.sink.appended(append.tag, Err(error)),
    }
}

fn judge(state: &AppendState, header: &BatchHeader) -> Result<Sequence, AppendError> {
    match &state.standing {
        Standing::Open if header.has_producer_id() => Ok(state.producers.check(header)?),
        Standing::Open => Ok(Sequence::Next),
        Standing::Deleted => Err(AppendError::Deleted),
        Standing::Damaged(why) => Err(AppendError::Damaged(why.clone())),
    }
}

fn run_of(slot: Arc<crate::partition::Slot>, batches: &[Admitted], positions: &[u32]) -> Run {
    let first_offset = batches[0].base_offset;
    let refs = batches.iter().zip(positions).map(|(batch, pos)| {
        let last = batch.base_offset + i64::from(batch.append.header.last_offset_delta);
        BatchRef {
            last_delta: (last - first_offset) as u32,
            pos: *pos,
        }
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
