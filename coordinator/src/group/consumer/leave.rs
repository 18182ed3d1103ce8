//! The ways out: a member leaves for good or for a moment, or its time is over.

use super::Groups;
use super::command::{ConsumerBeat, ConsumerHeartbeat};
use super::draft::Draft;
use super::group::{AWAY_EPOCH, ConsumerGroup, JOIN_EPOCH};
use super::record::{ConsumerRecord, CurrentAssignment};
use super::since::Since;
use crate::group::command::{LeavingMember, Left};
use crate::group::error::GroupError;
use crate::group::turn::Turn;

impl Groups {
    /// A heartbeat that says goodbye.
    pub(super) fn leave_consumers(
        &mut self,
        beat: &ConsumerHeartbeat,
        turn: &mut Turn,
    ) -> Result<ConsumerBeat, GroupError> {
        let mut draft = self.open(&beat.group)?;
        let member_id = &beat.member_id;
        draft
            .group()
            .validate_member(member_id, beat.instance_id.as_deref())?;
        if beat.member_epoch == AWAY_EPOCH {
            draft.step_out(member_id);
            self.settle(draft, turn);
            if let Some(clocks) = self.clocks.get_mut(&beat.group) {
                clocks.set_rebalance(member_id, None);
            }
        } else {
            self.remove_members(draft, std::slice::from_ref(member_id), turn);
        }
        Ok(ConsumerBeat {
            member_id: member_id.clone(),
            member_epoch: beat.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    /// LeaveGroup for a group of the new protocol: classic members go, and an administrator removes
    /// members of either protocol.
    pub(in crate::group) fn leave_consumer_group(
        &mut self,
        group_id: &str,
        leaving: Vec<LeavingMember>,
        turn: &mut Turn,
    ) -> Result<Vec<Left>, GroupError> {
        let draft = self.open(group_id)?;
        let mut gone = Vec::new();
        let mut left = Vec::with_capacity(leaving.len());
        for LeavingMember {
            member_id,
            instance_id,
        } in leaving
        {
            let found = draft.group().leaving(&member_id, instance_id.as_deref());
            let result = found.and_then(|member_id| {
                // Named twice, a member is gone the second time.
                if gone.contains(&member_id) {
                    return Err(GroupError::UnknownMember);
                }
                gone.push(member_id);
                Ok(())
            });
            left.push(Left {
                member_id,
                instance_id,
                result,
            });
        }
        if !gone.is_empty() {
            self.remove_members(draft, &gone, turn);
        }
        Ok(left)
    }

    /// Takes members out; those left share their work with the next epoch. If only classic ones
    /// are left, the group becomes a classic one again.
    pub(super) fn remove_members(&mut self, mut draft: Draft, gone: &[String], turn: &mut Turn) {
        let spoke_new = draft.group().speaks_new();
        for member_id in gone {
            draft.remove_member(member_id);
        }
        if spoke_new && !draft.group().speaks_new() && draft.group().has_members() {
            draft = match self.downgrade(draft, turn) {
                Ok(()) => return,
                Err(draft) => draft,
            };
        }
        draft.forget_unused_regexes();
        draft.refresh(&self.topics, true);
        self.settle(draft, turn);
    }
}

impl Draft {
    /// A static member leaves and means to be back: what is assigned to it waits for it.
    fn step_out(&mut self, member_id: &str) {
        if let Some(member) = self.group().members.get(member_id) {
            let current = CurrentAssignment {
                epoch: AWAY_EPOCH,
                revoking: super::Assignment::default(),
                since: Since::all(&member.current.assigned, JOIN_EPOCH),
                ..member.current.clone()
            };
            self.put_current(member_id, current);
        }
    }

    pub(super) fn forget_unused_regexes(&mut self) {
        let used = self.group().used_regexes();
        let known = self.group().regexes.keys();
        let unused: Vec<String> = known
            .filter(|regex| !used.contains(regex))
            .cloned()
            .collect();
        for regex in unused {
            self.write(ConsumerRecord::Regex { regex, value: None });
        }
    }
}

impl ConsumerGroup {
    /// Checks that `member_id` is a member and still owns its instance id.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            let (owner, _) = self
                .instance(instance_id)
                .ok_or(GroupError::UnknownMember)?;
            if owner != member_id {
                return Err(GroupError::FencedInstance);
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    /// The id of a member that LeaveGroup may remove.
    fn leaving(&self, member_id: &str, instance_id: Option<&str>) -> Result<String, GroupError> {
        if let (Some(instance_id), true) = (instance_id, member_id.is_empty()) {
            let (owner, _) = self
                .instance(instance_id)
                .ok_or(GroupError::UnknownMember)?;
            return Ok(owner.clone());
        }
        self.validate_member(member_id, instance_id)?;
        Ok(member_id.to_owned())
    }
}
