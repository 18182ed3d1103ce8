//! The two halves of a rebalance, and the clocks that bound them: members join, the leader
//! assigns.
//!
//! The join phase ends when all known members have (re)joined and nobody is pending, or at its
//! deadline, when dynamic members that did not come back are dropped (static ones keep their place
//! until their session ends). The first generation after Empty is put off by a delay that each
//! latecomer renews, within the rebalance timeout. The sync phase gives every member one rebalance
//! timeout to fetch its assignment; who does not is dropped and the group rebalances again.

use super::classic::{ClassicGroup, InitialDelay, JoinPhase, Phase, SyncPhase};
use super::command::{GroupReply, Joined, Synced};
use super::error::GroupError;
use super::member::Member;
use super::record::GroupRecord;
use super::turn::Turn;

/// Pause before looking again when a join phase ended with nobody there but absent static
/// members; keeps a rebalance timeout of zero from becoming a busy loop.
const NOBODY_JOINED_RETRY_MS: i64 = 1_000;

impl ClassicGroup {
    /// Starts a join phase unless one is running; a running one may now be complete.
    pub(super) fn rebalance(&mut self, turn: &mut Turn) {
        match self.phase {
            Phase::Preparing(_) => self.complete_join_if_all_here(turn),
            _ => self.prepare_rebalance(turn),
        }
    }

    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn) {
        if matches!(self.phase, Phase::Completing(_)) {
            self.refuse_waiting_syncs(&GroupError::RebalanceInProgress, turn);
        }
        let timeout_ms = self.rebalance_timeout_ms();
        let delay_ms = i64::from(turn.settings.initial_rebalance_delay_ms.max(0));
        let first = matches!(self.phase, Phase::Empty);
        let join = if first {
            let remaining_ms = (timeout_ms - delay_ms).max(0);
            let initial = InitialDelay {
                delay_ms,
                remaining_ms,
                joined_since: false,
            };
            JoinPhase {
                deadline_ms: turn.after(delay_ms),
                initial: Some(initial),
            }
        } else {
            JoinPhase {
                deadline_ms: turn.after(timeout_ms),
                initial: None,
            }
        };
        self.enter(Phase::Preparing(join), turn.now_ms);
        if first && delay_ms == 0 {
            self.complete_join(turn);
        } else {
            self.complete_join_if_all_here(turn);
        }
    }

    /// Ends the join phase early; an initial delay always runs its course.
    pub(super) fn complete_join_if_all_here(&mut self, turn: &mut Turn) {
        if let Phase::Preparing(JoinPhase { initial: None, .. }) = self.phase
            && self.everybody_joined()
        {
            self.complete_join(turn);
        }
    }

    /// After members were taken out: those left have to share their work anew.
    pub(super) fn rebalance_after_removal(&mut self, turn: &mut Turn) {
        match self.phase {
            Phase::Empty => {}
            Phase::Preparing(_) => self.complete_join_if_all_here(turn),
            Phase::Completing(_) | Phase::Stable(_) => self.prepare_rebalance(turn),
        }
    }

    fn complete_join(&mut self, turn: &mut Turn) {
        let absent = |member: &&Member| member.awaiting_join.is_none() && !member.is_static();
        let absent: Vec<_> = self
            .members
            .values()
            .filter(absent)
            .map(|m| m.id.clone())
            .collect();
        for member_id in absent {
            self.remove(&member_id, turn);
        }
        if self.members.is_empty() {
            self.become_empty(turn);
        } else if self.elect_leader() {
            self.begin_sync(turn);
        } else {
            let pause_ms = self.rebalance_timeout_ms().max(NOBODY_JOINED_RETRY_MS);
            let join = JoinPhase {
                deadline_ms: turn.after(pause_ms),
                initial: None,
            };
            self.phase = Phase::Preparing(join);
        }
    }

    fn next_generation(&mut self) {
        // Generations are positive; after 2³¹ rebalances they start over.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.voted_protocol();
        self.subscriptions = self.computed_subscriptions();
    }

    fn become_empty(&mut self, turn: &mut Turn) {
        self.next_generation();
        self.enter(Phase::Empty, turn.now_ms);
        turn.write(self.to_record());
    }

    /// Answers all joiners; the new generation is written once it has an assignment.
    fn begin_sync(&mut self, turn: &mut Turn) {
        self.next_generation();
        let sync = SyncPhase {
            missing: self.members.keys().cloned().collect(),
            deadline_ms: turn.after(self.rebalance_timeout_ms()),
        };
        self.enter(Phase::Completing(sync), turn.now_ms);
        let member_ids: Vec<_> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let joined = self.joined(&member_id);
            let Some(member) = self.members.get_mut(&member_id) else {
                continue;
            };
            member.is_new = false;
            member.renew_session(turn.now_ms);
            if let Some(token) = member.awaiting_join.take() {
                turn.reply(token, GroupReply::Join(Ok(joined)));
            }
        }
    }

    /// What JoinGroup tells `member_id` about the present generation.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            self.members
                .values()
                .map(|member| member.to_joined(protocol))
                .collect()
        } else {
            Vec::new()
        };
        Joined {
            member_id: member_id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            members,
            skip_assignment: false,
        }
    }

    /// What SyncGroup tells `member_id`.
    pub(super) fn synced(&self, member_id: &str) -> Synced {
        let member = self.members.get(member_id);
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// Answers everybody who waits for an assignment with a refusal, and takes the assignments
    /// back: those of a generation that never became stable mean nothing.
    pub(super) fn refuse_waiting_syncs(&mut self, error: &GroupError, turn: &mut Turn) {
        for member in self.members.values_mut() {
            member.assignment.clear();
            if let Some(token) = member.awaiting_sync.take() {
                member.renew_session(turn.now_ms);
                turn.reply(token, GroupReply::Sync(Err(error.clone())));
            }
        }
    }

    /// The record of the present generation.
    pub(super) fn to_record(&self) -> GroupRecord {
        GroupRecord::Group {
            group: self.id.clone(),
            value: Some(self.to_stored()),
        }
    }

    /// Acts on all deadlines that have passed: pending ids, sessions, then the phase.
    pub(super) fn tick(&mut self, turn: &mut Turn) {
        let now_ms = turn.now_ms;
        let due = |deadline_ms: i64| deadline_ms <= now_ms;
        let pending = self.pending.iter().filter(|&(_, &until_ms)| due(until_ms));
        let expired = self
            .members
            .values()
            .filter(|m| m.expires_at().is_some_and(due));
        let gone: Vec<String> = pending
            .map(|(id, _)| id)
            .chain(expired.map(|m| &m.id))
            .cloned()
            .collect();
        let lost_member = gone.iter().any(|id| self.members.contains_key(id));
        for member_id in &gone {
            self.remove(member_id, turn);
        }
        if lost_member {
            self.rebalance_after_removal(turn);
        } else if !gone.is_empty() {
            self.complete_join_if_all_here(turn);
        }
        self.tick_phase(turn);
    }

    fn tick_phase(&mut self, turn: &mut Turn) {
        match &mut self.phase {
            Phase::Preparing(join) if join.deadline_ms <= turn.now_ms => match &mut join.initial {
                Some(initial) if initial.joined_since && initial.remaining_ms > 0 => {
                    let most_ms = i64::from(turn.settings.initial_rebalance_delay_ms.max(0));
                    let next_ms = most_ms.min(initial.remaining_ms);
                    initial.remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                    initial.delay_ms = next_ms;
                    initial.joined_since = false;
                    join.deadline_ms = turn.after(next_ms);
                }
                _ => self.complete_join(turn),
            },
            Phase::Completing(sync) | Phase::Stable(sync)
                if !sync.missing.is_empty() && sync.deadline_ms <= turn.now_ms =>
            {
                for member_id in std::mem::take(&mut sync.missing) {
                    self.remove(&member_id, turn);
                }
                self.prepare_rebalance(turn);
            }
            _ => {}
        }
    }
}
