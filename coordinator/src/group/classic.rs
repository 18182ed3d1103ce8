//! One classic group that has somebody in it: its phase, members and pending joiners.
//!
//! ```text
//!            first join            delay over / all rejoined          leader's SyncGroup
//!   Empty ───────────▶ Preparing ───────────────────────▶ Completing ──────────────▶ Stable
//!     ▲                  ▲   │ nobody left                     │ member lost, changed      │
//!     └──────────────────┼───┘                                 ▼                           │
//!                        └─────────────────────────────────────┴───────────────────────────┘
//! ```
//!
//! Invariants:
//! - every supported-by-all set of protocols is non-empty while there are members;
//! - a JoinGroup is parked only while Preparing, a SyncGroup only while Completing;
//! - the generation grows by one each time a join phase ends, and only then;
//! - Empty with nobody pending means: drop this value, the durable image says all there is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::command::{GroupReply, GroupState};
use super::error::GroupError;
use super::member::Member;
use super::record::GroupMetadata;
use super::subscription::{CONSUMER_PROTOCOL_TYPE, subscribed_topics};
use super::turn::Turn;

/// What the group waits for.
#[derive(Debug)]
pub(super) enum Phase {
    Empty,
    Preparing(JoinPhase),
    Completing(SyncPhase),
    Stable(SyncPhase),
}

/// Members are to join before `deadline_ms`.
#[derive(Debug)]
pub(super) struct JoinPhase {
    pub(super) deadline_ms: i64,
    /// Set for the first generation after Empty, which waits for latecomers.
    pub(super) initial: Option<InitialDelay>,
}

/// How much longer an initial rebalance may be put off.
#[derive(Debug)]
pub(super) struct InitialDelay {
    pub(super) delay_ms: i64,
    pub(super) remaining_ms: i64,
    /// Somebody joined since the delay began: wait once more.
    pub(super) joined_since: bool,
}

/// Members still to send SyncGroup before `deadline_ms`; nobody is late once `missing` is empty.
#[derive(Debug, Default)]
pub(super) struct SyncPhase {
    pub(super) missing: BTreeSet<String>,
    pub(super) deadline_ms: i64,
}

/// Volatile state of one group.
#[derive(Debug)]
pub(super) struct ClassicGroup {
    pub(super) id: String,
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Member id by group instance id.
    pub(super) instances: BTreeMap<String, String>,
    /// Ids handed out with `MemberIdRequired`, and until when they are good.
    pub(super) pending: BTreeMap<String, i64>,
    /// Topics of all members; unknown for opaque protocols and before the first generation.
    pub(super) subscriptions: Option<BTreeSet<String>>,
    pub(super) state_since_ms: i64,
}

impl ClassicGroup {
    /// A group nobody has heard of, or one that is empty on record.
    pub(super) fn empty(id: &str, stored: Option<&GroupMetadata>, now_ms: i64) -> Self {
        let protocol_type = stored.map(|stored| stored.protocol_type.clone());
        let mut group = Self {
            id: id.to_owned(),
            phase: Phase::Empty,
            generation: stored.map_or(0, |stored| stored.generation),
            protocol_type: protocol_type.filter(|protocol_type| !protocol_type.is_empty()),
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            subscriptions: None,
            state_since_ms: now_ms,
        };
        if stored.is_some() {
            group.subscriptions = group.computed_subscriptions();
        }
        group
    }

    /// The group as the log left it: stable, everybody with a fresh session.
    pub(super) fn recovered(id: &str, stored: &GroupMetadata, now_ms: i64) -> Self {
        let mut group = Self::empty(id, Some(stored), now_ms);
        group.state_since_ms = stored.state_timestamp_ms.unwrap_or(now_ms);
        group.protocol = stored.protocol.clone();
        group.leader = stored.leader.clone();
        let protocol = stored.protocol.as_deref().unwrap_or_default();
        for member in &stored.members {
            let member = Member::recovered(member, protocol, now_ms);
            if let Some(instance_id) = &member.instance_id {
                group
                    .instances
                    .insert(instance_id.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        group.phase = Phase::Stable(SyncPhase::default());
        group.subscriptions = group.computed_subscriptions();
        group
    }

    pub(super) const fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Preparing(_) => GroupState::PreparingRebalance,
            Phase::Completing(_) => GroupState::CompletingRebalance,
            Phase::Stable(_) => GroupState::Stable,
        }
    }

    /// Nothing volatile is left to remember.
    pub(super) fn is_deserted(&self) -> bool {
        matches!(self.phase, Phase::Empty) && self.pending.is_empty()
    }

    pub(super) fn enter(&mut self, phase: Phase, now_ms: i64) {
        self.phase = phase;
        self.state_since_ms = now_ms;
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Checks that `member_id` is a member and still owns its instance id.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(owner) if owner != member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    /// As [`Self::validate_member`], and of the present generation.
    pub(super) fn validate_generation(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        self.validate_member(member_id, instance_id)?;
        if generation == self.generation {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    /// Takes in a member; the first one gives the group its protocol type and leads it.
    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances
                .insert(instance_id.clone(), member.id.clone());
        }
        self.pending.remove(&member.id);
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Takes out a member or pending id. A caller that waits in its name learns that it is unknown,
    /// which makes a living client join anew.
    pub(super) fn remove(&mut self, member_id: &str, turn: &mut Turn) {
        self.pending.remove(member_id);
        if let Phase::Completing(sync) | Phase::Stable(sync) = &mut self.phase {
            sync.missing.remove(member_id);
        }
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        if let Some(token) = member.awaiting_join {
            turn.reply(token, GroupReply::Join(Err(GroupError::UnknownMember)));
        }
        if let Some(token) = member.awaiting_sync {
            turn.reply(token, GroupReply::Sync(Err(GroupError::UnknownMember)));
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// A leader that is here for this join phase: the old one if it came, else any that did.
    pub(super) fn elect_leader(&mut self) -> bool {
        let joined = |member: &Member| member.awaiting_join.is_some();
        let leader = self
            .leader
            .as_ref()
            .and_then(|leader| self.members.get(leader));
        if leader.is_some_and(joined) {
            return true;
        }
        let Some(successor) = self.members.values().find(|member| joined(member)) else {
            return false;
        };
        self.leader = Some(successor.id.clone());
        true
    }

    pub(super) fn everybody_joined(&self) -> bool {
        self.pending.is_empty() && self.awaiting_join() == self.members.len()
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.awaiting_join.is_some())
            .count()
    }

    /// The longest wish among the members.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self
            .members
            .values()
            .map(|member| i64::from(member.rebalance_timeout_ms));
        timeouts.max().unwrap_or(0)
    }

    /// Whether somebody of this protocol type and these protocols can be taken in (or stay).
    pub(super) fn accepts_protocols<'a>(
        &self,
        protocol_type: &str,
        mut protocols: impl Iterator<Item = &'a str>,
    ) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.any(|protocol| self.shared_by_all(protocol))
    }

    fn shared_by_all(&self, protocol: &str) -> bool {
        self.members
            .values()
            .all(|member| member.supports(protocol))
    }

    /// Each member votes for the first of its protocols that all share; most votes win, and the
    /// lesser name wins a tie so that the outcome does not depend on chance.
    pub(super) fn voted_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let names = first.protocols.iter().map(|(name, _)| name.as_str());
        let shared: BTreeSet<&str> = names.filter(|name| self.shared_by_all(name)).collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(vote) = names.into_iter().find(|name| shared.contains(name)) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let winner = votes
            .into_iter()
            .max_by_key(|&(name, count)| (count, Reverse(name)));
        winner.map(|(name, _)| name.to_owned())
    }

    /// The union of what the members subscribe to, if their protocol tells.
    pub(super) fn computed_subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER_PROTOCOL_TYPE) {
            return None;
        }
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(&member.metadata(protocol)).ok()?);
        }
        Some(topics)
    }

    /// Errs on the side of "yes" for consumers whose subscription cannot be read.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscriptions {
            Some(topics) => topics.contains(topic),
            None => self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE),
        }
    }

    /// The generation as it is written to the log.
    pub(super) fn to_stored(&self) -> GroupMetadata {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: Some(self.state_since_ms),
            members: self
                .members
                .values()
                .map(|member| member.to_stored(protocol))
                .collect(),
        }
    }

    /// The earliest moment at which [`Self::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        let phase = match &self.phase {
            Phase::Preparing(join) => Some(join.deadline_ms),
            Phase::Completing(sync) | Phase::Stable(sync) if !sync.missing.is_empty() => {
                Some(sync.deadline_ms)
            }
            _ => None,
        };
        let members = self.members.values().filter_map(Member::expires_at);
        members
            .chain(self.pending.values().copied())
            .chain(phase)
            .min()
    }
}
