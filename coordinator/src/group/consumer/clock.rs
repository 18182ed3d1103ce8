//! The clocks of a group's members: all that is volatile about a group of the new protocol.
//!
//! | clock | runs while | set by |
//! |---|---|---|
//! | session | always | every sign of life |
//! | rebalance | a member of the new protocol is to give partitions up | being told so |
//! | join | a classic member is to join again | being told so |
//! | sync | a classic member is to fetch its share | its JoinGroup |
//!
//! A member whose clock runs out is removed. After a restart sessions and rebalances begin anew.

use std::collections::BTreeMap;

use super::group::{ConsumerGroup, ConsumerMember};
use super::record::MemberState;
use crate::group::turn::Turn;

/// Deadlines of one member.
#[derive(Clone, Copy, Debug)]
struct MemberClock {
    session_ms: i64,
    rebalance_ms: Option<i64>,
    join_ms: Option<i64>,
    sync_ms: Option<i64>,
}

impl MemberClock {
    const fn session(until_ms: i64) -> Self {
        Self {
            session_ms: until_ms,
            rebalance_ms: None,
            join_ms: None,
            sync_ms: None,
        }
    }

    fn first(&self) -> i64 {
        let others = [self.rebalance_ms, self.join_ms, self.sync_ms];
        others.into_iter().flatten().fold(self.session_ms, i64::min)
    }
}

/// Deadlines of all members of one group, and which topics it has seen.
#[derive(Debug)]
pub(in crate::group) struct Clocks {
    group_id: String,
    members: BTreeMap<String, MemberClock>,
    /// Ids promised to classic clients that are to come back with them (KIP-394), and until when.
    promised: BTreeMap<String, i64>,
    /// Version of the topic image the group last looked at.
    pub(super) seen_version: Option<u64>,
}

impl Clocks {
    /// Clocks of a group without members.
    pub(super) fn new(group_id: &str) -> Self {
        Self {
            group_id: group_id.to_owned(),
            members: BTreeMap::new(),
            promised: BTreeMap::new(),
            seen_version: None,
        }
    }

    /// Clocks of a group found in the log.
    pub(in crate::group) fn started(group_id: &str, group: &ConsumerGroup, turn: &Turn) -> Self {
        let mut clocks = Self::new(group_id);
        clocks.follow(group, turn);
        for (member_id, member) in group.members() {
            if member.current.state == MemberState::Unrevoked && !member.is_classic() {
                let until_ms = turn.after(member.rebalance_timeout_ms());
                clocks.set_rebalance(member_id, Some(until_ms));
            }
        }
        clocks
    }

    /// Starts a session for members without one, and stops the clocks of members that are gone.
    pub(super) fn follow(&mut self, group: &ConsumerGroup, turn: &Turn) {
        self.members
            .retain(|member_id, _| group.members.contains_key(member_id));
        self.promised
            .retain(|member_id, _| !group.members.contains_key(member_id));
        for (member_id, member) in group.members() {
            if !self.members.contains_key(member_id) {
                self.renew(member_id, member, turn);
            }
        }
    }

    /// Keeps an id for a classic client. Whether there was room for it.
    pub(super) fn promise(&mut self, member_id: &str, until_ms: i64, turn: &Turn) -> bool {
        self.promised.retain(|_, until_ms| *until_ms > turn.now_ms);
        let has_room = self.promised.len() < turn.settings.pending_members_max;
        if has_room {
            self.promised.insert(member_id.to_owned(), until_ms);
        }
        has_room
    }

    pub(super) fn is_promised(&self, member_id: &str, now_ms: i64) -> bool {
        self.promised
            .get(member_id)
            .is_some_and(|&until_ms| until_ms > now_ms)
    }

    /// The member has shown that it lives. Whether its session now ends earlier than before, as it
    /// does when the timeout was made shorter.
    pub(super) fn renew(&mut self, member_id: &str, member: &ConsumerMember, turn: &Turn) -> bool {
        let timeout_ms = match &member.metadata.classic {
            Some(classic) => classic.session_timeout_ms,
            None => {
                let times = turn.settings.consumer_times(&self.group_id);
                times.session_timeout_ms
            }
        };
        let until_ms = turn.after(i64::from(timeout_ms));
        match self.members.get_mut(member_id) {
            Some(clock) => std::mem::replace(&mut clock.session_ms, until_ms) > until_ms,
            None => {
                let clock = MemberClock::session(until_ms);
                self.members.insert(member_id.to_owned(), clock);
                false
            }
        }
    }

    pub(super) fn set_rebalance(&mut self, member_id: &str, until_ms: Option<i64>) {
        if let Some(clock) = self.members.get_mut(member_id) {
            clock.rebalance_ms = until_ms;
        }
    }

    /// The classic member has been told to join again; the first time counts.
    pub(super) fn expect_join(&mut self, member_id: &str, until_ms: i64) {
        if let Some(clock) = self.members.get_mut(member_id) {
            clock.join_ms.get_or_insert(until_ms);
        }
    }

    pub(super) fn expect_sync(&mut self, member_id: &str, until_ms: i64) {
        if let Some(clock) = self.members.get_mut(member_id) {
            clock.join_ms = None;
            clock.sync_ms = Some(until_ms);
        }
    }

    pub(super) fn synced(&mut self, member_id: &str) {
        if let Some(clock) = self.members.get_mut(member_id) {
            clock.sync_ms = None;
        }
    }

    /// Members whose time is over.
    pub(super) fn due(&self, now_ms: i64) -> Vec<String> {
        let due = self
            .members
            .iter()
            .filter(|(_, clock)| clock.first() <= now_ms);
        due.map(|(member_id, _)| member_id.clone()).collect()
    }

    pub(in crate::group) fn next(&self) -> Option<i64> {
        self.members.values().map(MemberClock::first).min()
    }
}
