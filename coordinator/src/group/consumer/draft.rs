//! A decision in the making about one group of the new protocol: a copy that takes each record as
//! soon as it is written, so that every later step sees what the earlier ones did. What is decided
//! is thereby what a replay of the records gives. A draft that is dropped changes nothing.

use std::sync::Arc;

use super::group::{ConsumerGroup, ConsumerMember};
use super::record::{ConsumerRecord, CurrentAssignment};
use crate::group::record::GroupRecord;
use crate::group::turn::Turn;

/// See the module.
pub(in crate::group) struct Draft {
    id: String,
    group: Arc<ConsumerGroup>,
    records: Vec<GroupRecord>,
}

impl Draft {
    /// A draft of `group`; copied when the first record is written, not before.
    pub(super) fn of(id: &str, group: Arc<ConsumerGroup>) -> Self {
        Self {
            id: id.to_owned(),
            group,
            records: Vec::new(),
        }
    }

    /// A new group in the place of a classic one that is on record.
    pub(super) fn replacing_classic(id: &str) -> Self {
        let mut draft = Self::of(id, Arc::default());
        draft.records.push(GroupRecord::Group {
            group: id.to_owned(),
            value: None,
        });
        draft
    }

    pub(super) fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn is_changed(&self) -> bool {
        !self.records.is_empty()
    }

    pub(super) fn write(&mut self, change: ConsumerRecord) {
        Arc::make_mut(&mut self.group).apply(&change);
        self.records.push(GroupRecord::Consumer {
            group: self.id.clone(),
            change,
        });
    }

    /// Writes what differs from what is there.
    pub(super) fn put_current(&mut self, member_id: &str, current: CurrentAssignment) {
        let known = self.group.members.get(member_id);
        if known.is_none_or(|member| member.current != current) {
            self.write(ConsumerRecord::Current {
                member_id: member_id.to_owned(),
                value: Some(current),
            });
        }
    }

    /// Takes everything away.
    pub(super) fn erase(&mut self) {
        for tombstone in self.group.tombstones() {
            self.write(tombstone);
        }
    }

    /// The order matters to other readers: a member goes with the last of the three.
    pub(super) fn remove_member(&mut self, member_id: &str) {
        let member_id = member_id.to_owned();
        self.write(ConsumerRecord::Current {
            member_id: member_id.clone(),
            value: None,
        });
        self.write(ConsumerRecord::Target {
            member_id: member_id.clone(),
            value: None,
        });
        self.write(ConsumerRecord::Member {
            member_id,
            value: None,
        });
    }

    /// The whole of a member: at once, as it stands for another one that goes.
    pub(super) fn replace_member(&mut self, old_id: &str, new_id: &str, member: &ConsumerMember) {
        let target = self.group.target(old_id);
        self.remove_member(old_id);
        let member_id = new_id.to_owned();
        self.write(ConsumerRecord::Member {
            member_id: member_id.clone(),
            value: Some(member.metadata.clone()),
        });
        self.write(ConsumerRecord::Target {
            member_id: member_id.clone(),
            value: Some(target.as_ref().clone()),
        });
        self.write(ConsumerRecord::Current {
            member_id,
            value: Some(member.current.clone()),
        });
    }

    /// Adds a record about the classic group of the same name.
    pub(super) fn write_classic(&mut self, record: GroupRecord) {
        self.records.push(record);
    }

    /// Makes the draft part of the decision.
    pub(super) fn commit(self, turn: &mut Turn) {
        for record in self.records {
            turn.write(record);
        }
    }
}
