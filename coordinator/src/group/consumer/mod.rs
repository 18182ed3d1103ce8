//! Groups of the new protocol (KIP-848): the coordinator assigns, members reconcile one by one,
//! nobody stops while others rebalance.
//!
//! ```text
//! heartbeat ─▶ member changed?  topics changed? ─▶ epoch + 1 ─▶ target ─▶ one step of this member
//!              (record 5, 16)   (record 4)         (3)          (7, 6)    (8)
//! ```
//!
//! All of a group is on record ([`group`]), so a restart costs nobody its partitions; clocks
//! ([`clock`]) start afresh. A decision is drafted ([`draft`]): either all of its records are
//! written or none. Classic consumers may be members of such a group ([`classic`]), and groups
//! change their kind while they run ([`migrate`]). The rules are those of Apache Kafka's
//! `GroupMetadataManager`.

mod assignment;
mod assignor;
mod classic;
mod clock;
mod command;
mod current;
mod describe;
mod draft;
mod embedded;
mod error;
mod group;
mod heartbeat;
mod leave;
mod migrate;
mod offsets;
mod re2;
mod record;
mod regex;
mod since;
mod target;
mod topics;
mod values;

use std::sync::Arc;

pub use assignment::Assignment;
pub use assignor::{Assignor, Wanted, Wish};
pub use command::{
    ConsumerBeat, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, NamedPartitions,
};
pub use error::ConsumerError;
pub use group::{ConsumerGroup, ConsumerMember};
pub use record::{
    ClassicMemberMetadata, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, MemberState,
    ResolvedRegex,
};
pub use since::Since;
pub use topics::{TopicImage, TopicShape};

use super::Groups;
use super::error::GroupError;
use super::turn::Turn;
use draft::Draft;

pub(super) use clock::Clocks;

impl Groups {
    /// A newer image of the topics; groups look at it with their members' next heartbeats.
    pub(super) fn see_topics(&mut self, topics: Arc<TopicImage>) {
        if topics.version() >= self.topics.version() {
            self.topics = topics;
        }
    }

    /// The group, if it is of the new protocol and known by this name.
    fn open(&self, group_id: &str) -> Result<Draft, GroupError> {
        let group = self.durable.consumer_group(group_id);
        let group = group.ok_or(GroupError::GroupNotFound)?;
        Ok(Draft::of(group_id, Arc::clone(group)))
    }

    /// Makes a draft part of the decision and has the clocks follow it. A classic group in its place
    /// ends.
    fn settle(&mut self, draft: Draft, turn: &mut Turn) {
        if !draft.is_changed() {
            return;
        }
        let group_id = draft.id().to_owned();
        if let Some(mut classic) = self.live.remove(&group_id) {
            classic.dissolve(turn);
        }
        let clocks = self.clocks.entry(group_id.clone());
        let clocks = clocks.or_insert_with(|| Clocks::new(&group_id));
        clocks.follow(draft.group(), turn);
        let next_ms = clocks.next();
        if next_ms.is_none() {
            self.clocks.remove(&group_id);
        }
        self.alarms.set(&group_id, next_ms);
        draft.commit(turn);
    }

    /// Writes the tombstones of a group without members: it has no clocks either.
    pub(super) fn forget_consumer_group(&self, group_id: &str, turn: &mut Turn) {
        if let Ok(mut draft) = self.open(group_id)
            && !draft.group().has_members()
        {
            draft.erase();
            draft.commit(turn);
        }
    }

    /// Removes members whose time is over.
    pub(super) fn tick_consumers(&mut self, group_id: &str, turn: &mut Turn) {
        let Some(clocks) = self.clocks.get(group_id) else {
            return;
        };
        let due = clocks.due(turn.now_ms);
        let next_ms = clocks.next();
        match self.open(group_id) {
            Ok(draft) if !due.is_empty() => self.remove_members(draft, &due, turn),
            // A clock was moved since the alarm was set.
            _ => self.alarms.set(group_id, next_ms),
        }
    }
}
