//! Offsets committed within a transaction: TxnOffsetCommit and the end of the transaction.
//!
//! ```text
//! BeginTxnOffsets ─▶ guard ─▶ the broker asks the transaction coordinator whether this partition is
//!                             part of the transaction (or, in version 2, makes it so)
//!                    guard ─▶ CommitTxnOffsets ─▶ pending ─▶ EndTransaction ─▶ committed or gone
//! ```
//! The guard closes the gap between question and commit (KIP-890): a marker that comes in between
//! makes it void, so a commit that was on its way for too long cannot open a transaction that
//! nobody will ever end.

use std::collections::{BTreeMap, HashMap};

use super::Groups;
use super::classic::{ClassicGroup, Phase};
use super::command::{MemberRef, OffsetToCommit, PartitionOutcome};
use super::error::GroupError;
use super::record::{CommittedOffset, GroupRecord};
use super::turn::Turn;
use super::txn_record::{TxnEnd, TxnOffset};
use crate::producer::Producer;

/// Guards given out and not yet used. Those of commits that never came are the first to go.
const GUARDS_MAX: usize = 10_000;

/// A producer is about to commit offsets of groups in this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeginTxnOffsets {
    pub producer: Producer,
}

/// What has to happen before [`CommitTxnOffsets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnGuard {
    /// The producer's transaction has offsets here already.
    Open,
    /// The transaction coordinator has to confirm that this partition is part of the transaction.
    Confirm(u64),
}

/// Positions that count if the producer's transaction commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTxnOffsets {
    pub group: String,
    /// TxnOffsetCommit v3+ (KIP-447); before, and outside group management, the default.
    pub member: MemberRef,
    pub producer: Producer,
    pub guard: TxnGuard,
    pub offsets: Vec<OffsetToCommit>,
}

/// Why a transaction cannot have or end offsets here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxnOffsetsError {
    #[error(transparent)]
    Group(#[from] GroupError),
    /// `INVALID_TXN_STATE`
    #[error("the transaction ended before this commit, or was never confirmed")]
    NotConfirmed,
    /// `INVALID_PRODUCER_EPOCH`
    #[error("the producer has offsets here under a newer epoch")]
    Fenced,
}

/// Promises given between [`BeginTxnOffsets`] and [`CommitTxnOffsets`]; gone after a restart.
#[derive(Debug, Default)]
pub(super) struct Guards {
    by_number: BTreeMap<u64, Producer>,
    by_producer: HashMap<i64, u64>,
    last: u64,
}

impl Guards {
    /// Commits of one producer that are confirmed at the same time share a guard.
    fn give(&mut self, producer: Producer, now_ms: i64) -> u64 {
        let given = self.by_producer.get(&producer.id).copied();
        if let Some(number) = given.filter(|number| self.is_good(*number, producer)) {
            return number;
        }
        self.drop_of(producer.id);
        if self.by_number.len() >= GUARDS_MAX
            && let Some((_, oldest)) = self.by_number.pop_first()
        {
            self.by_producer.remove(&oldest.id);
        }
        // Counted on from the clock, so that a number from before a restart is not given again.
        self.last = (self.last + 1).max(now_ms.max(0).unsigned_abs());
        self.by_number.insert(self.last, producer);
        self.by_producer.insert(producer.id, self.last);
        self.last
    }

    fn is_good(&self, number: u64, producer: Producer) -> bool {
        self.by_number.get(&number) == Some(&producer)
    }

    fn drop_of(&mut self, producer_id: i64) {
        if let Some(number) = self.by_producer.remove(&producer_id) {
            self.by_number.remove(&number);
        }
    }
}

impl Groups {
    pub(super) fn begin_txn_offsets(&mut self, begin: BeginTxnOffsets, now_ms: i64) -> TxnGuard {
        let Producer { id, epoch } = begin.producer;
        if self.durable.pending.open_epoch(id) == Some(epoch) {
            TxnGuard::Open
        } else {
            TxnGuard::Confirm(self.guards.give(begin.producer, now_ms))
        }
    }

    /// Commits what may be committed; a refusal of the whole request commits nothing.
    pub(super) fn commit_txn_offsets(
        &mut self,
        commit: CommitTxnOffsets,
        turn: &mut Turn,
    ) -> Result<Vec<PartitionOutcome>, TxnOffsetsError> {
        super::check_group_id(&commit.group)?;
        self.check_confirmed(commit.producer, commit.guard)?;
        self.validate_txn_commit(&commit)?;
        let mut outcomes = Vec::with_capacity(commit.offsets.len());
        for offset in commit.offsets {
            let result = super::offsets::validate_offset(&offset, turn);
            let (topic, partition) = (offset.topic.clone(), offset.partition);
            if result.is_ok() {
                let record = pending(&commit.group, commit.producer, offset, turn.now_ms);
                turn.write(GroupRecord::TxnOffset(record));
            }
            outcomes.push(PartitionOutcome {
                topic,
                partition,
                result,
            });
        }
        if turn.records() > 0 {
            // Open from here on.
            self.guards.drop_of(commit.producer.id);
        }
        Ok(outcomes)
    }

    /// The transaction is open here, or was confirmed and no marker came since.
    fn check_confirmed(&self, producer: Producer, guard: TxnGuard) -> Result<(), TxnOffsetsError> {
        let open = self.durable.pending.open_epoch(producer.id);
        if open == Some(producer.epoch) {
            return Ok(());
        }
        if open.is_some_and(|epoch| epoch > producer.epoch) {
            return Err(TxnOffsetsError::Fenced);
        }
        match guard {
            TxnGuard::Confirm(number) if self.guards.is_good(number, producer) => Ok(()),
            _ => Err(TxnOffsetsError::NotConfirmed),
        }
    }

    /// As for plain commits, but the group may be between a join and its assignment, and clients
    /// from before KIP-447 name no member.
    fn validate_txn_commit(&self, commit: &CommitTxnOffsets) -> Result<(), GroupError> {
        let (group_id, member) = (commit.group.as_str(), &commit.member);
        if let Some(group) = self.durable.consumer_group(group_id) {
            return group.validate_txn_commit(member, &commit.offsets, &self.topics);
        }
        match self.live.get(group_id) {
            Some(group) => group.validate_txn_commit(member),
            None if member.generation < 0 => Ok(()),
            None if self.durable.contains(group_id) => Err(GroupError::UnknownMember),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    /// Writes the marker, also when nothing is pending: the log may know of a transaction whose
    /// offsets were deleted meanwhile.
    pub(super) fn end_transaction(
        &mut self,
        end: TxnEnd,
        turn: &mut Turn,
    ) -> Result<(), TxnOffsetsError> {
        let Producer { id, epoch } = end.producer;
        if self
            .durable
            .pending
            .open_epoch(id)
            .is_some_and(|open| open > epoch)
        {
            return Err(TxnOffsetsError::Fenced);
        }
        self.guards.drop_of(id);
        turn.write(GroupRecord::TxnEnd(end));
        Ok(())
    }
}

impl ClassicGroup {
    fn validate_txn_commit(&self, member: &MemberRef) -> Result<(), GroupError> {
        let instance_id = member.instance_id.as_deref();
        let nameless = member.member_id.is_empty() && instance_id.is_none();
        if member.generation < 0 && (nameless || matches!(self.phase, Phase::Empty)) {
            return Ok(());
        }
        self.validate_generation(&member.member_id, instance_id, member.generation)
    }
}

fn pending(group: &str, producer: Producer, offset: OffsetToCommit, now_ms: i64) -> TxnOffset {
    TxnOffset {
        producer,
        group: group.to_owned(),
        topic: offset.topic,
        partition: offset.partition,
        value: CommittedOffset {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata,
            commit_timestamp_ms: now_ms,
            expire_timestamp_ms: None,
        },
    }
}
