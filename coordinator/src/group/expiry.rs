//! Forgetting: offsets nobody has used for the retention time, and groups with nothing left.
//!
//! | group | an offset's age counts from |
//! |---|---|
//! | only commits, no members ever | its commit |
//! | empty | when the group became empty (its commit, if that is not on record) |
//! | stable consumers, and all of the new protocol | its commit, if no member subscribes to the topic |
//! | rebalancing, or stable with an opaque protocol | does not age |
//!
//! An expiry that came with the commit overrules the age. What an open transaction has yet to decide
//! about does not go, and neither does its group.

use std::collections::BTreeSet;

use super::Groups;
use super::classic::{ClassicGroup, Phase};
use super::offsets::tombstone;
use super::record::{CommittedOffset, GroupRecord};
use super::turn::Turn;

/// Tombstones per sweep; a longer list is continued by the next tick, so that one sweep neither
/// makes a huge batch nor holds up the groups.
const SWEEP_RECORDS_MAX: usize = 1_000;

/// From when the offsets of a group age.
#[derive(Clone, Copy)]
enum AgeFrom {
    Moment(i64),
    Commit,
    Never,
}

impl Groups {
    /// Writes tombstones for what has expired, and sets the time of the next sweep.
    pub(super) fn sweep(&mut self, turn: &mut Turn) {
        let finished = self.expire_offsets(turn);
        let pause_ms = if finished {
            self.settings.retention_check_interval_ms.max(1)
        } else {
            0
        };
        self.next_sweep_ms = Some(turn.after(pause_ms));
    }

    /// Whether the end of the list was reached.
    fn expire_offsets(&self, turn: &mut Turn) -> bool {
        let with_offsets = self.durable.groups_with_offsets().map(|(group, _)| group);
        let recorded = self.durable.groups().map(|(group, _)| group);
        let consumers = self.durable.consumer_groups().map(|(group, _)| group);
        let groups: BTreeSet<&String> = with_offsets.chain(recorded).chain(consumers).collect();
        for group in groups {
            let kept = self.expire_group_offsets(group, turn);
            let in_use = kept || self.durable.pending.has_group(group);
            let deserted = !in_use && !self.live.contains_key(group);
            if deserted && self.durable.group(group).is_some() {
                turn.write(GroupRecord::Group {
                    group: group.clone(),
                    value: None,
                });
            }
            if !in_use {
                self.forget_consumer_group(group, turn);
            }
            if turn.records() >= SWEEP_RECORDS_MAX {
                return false;
            }
        }
        true
    }

    /// Whether any offset stays.
    fn expire_group_offsets(&self, group: &str, turn: &mut Turn) -> bool {
        let live = self.live.get(group);
        let consumers = self.durable.consumer_group(group);
        let age_from = self.age_from(group, live);
        let mut kept = false;
        for (topic, offsets) in self.durable.offsets(group).into_iter().flatten() {
            let in_use = live.is_some_and(|group| in_use(group, topic))
                || consumers.is_some_and(|group| group.is_subscribed_to(topic));
            for (&partition, committed) in offsets {
                let unstable = || self.durable.is_unstable(group, topic, partition);
                let expired =
                    !in_use && self.is_expired(committed, age_from, turn.now_ms) && !unstable();
                if expired && turn.records() < SWEEP_RECORDS_MAX {
                    turn.write(tombstone(group, topic, partition));
                } else {
                    kept = true;
                }
            }
        }
        kept
    }

    fn age_from(&self, group: &str, live: Option<&ClassicGroup>) -> AgeFrom {
        if let Some(live) = live
            && !matches!(live.phase, Phase::Empty)
        {
            let knows_topics = live.subscriptions.is_some();
            return match live.phase {
                Phase::Stable(_) if knows_topics => AgeFrom::Commit,
                _ => AgeFrom::Never,
            };
        }
        let stored = self
            .durable
            .group(group)
            .filter(|stored| !stored.protocol_type.is_empty());
        match stored.and_then(|stored| stored.state_timestamp_ms) {
            Some(empty_since_ms) => AgeFrom::Moment(empty_since_ms),
            None => AgeFrom::Commit,
        }
    }

    fn is_expired(&self, committed: &CommittedOffset, age_from: AgeFrom, now_ms: i64) -> bool {
        let from_ms = match age_from {
            AgeFrom::Never => return false,
            AgeFrom::Moment(from_ms) => from_ms,
            AgeFrom::Commit => committed.commit_timestamp_ms,
        };
        match committed.expire_timestamp_ms {
            Some(expire_ms) => now_ms >= expire_ms,
            None => now_ms.saturating_sub(from_ms) >= self.settings.offsets_retention_ms,
        }
    }
}

fn in_use(group: &ClassicGroup, topic: &str) -> bool {
    !group.members.is_empty() && group.is_subscribed_to(topic)
}
