//! LeaveGroup: members go, one or many at a time; an administrator removes static members by
//! their instance id alone.

use super::Groups;
use super::classic::ClassicGroup;
use super::command::{GroupReply, LeaveGroup, LeavingMember, Left};
use super::error::GroupError;
use super::turn::Turn;
use crate::machine::Token;

impl Groups {
    pub(super) fn leave(&mut self, token: Token, leave: LeaveGroup, turn: &mut Turn) {
        let result = super::check_group_id(&leave.group).and_then(|()| {
            if self.exists(&leave.group) {
                Ok(())
            } else {
                Err(GroupError::UnknownMember)
            }
        });
        if let Err(error) = result {
            return turn.reply(token, GroupReply::Leave(Err(error)));
        }
        if self.is_consumer_group(&leave.group) {
            let answer = self.leave_consumer_group(&leave.group, leave.members, turn);
            return turn.reply(token, GroupReply::Leave(answer));
        }
        self.with_group_or_empty(&leave.group, turn, |group, turn| {
            let left = group.leave(leave.members, turn);
            turn.reply(token, GroupReply::Leave(Ok(left)));
        });
    }
}

impl ClassicGroup {
    fn leave(&mut self, leaving: Vec<LeavingMember>, turn: &mut Turn) -> Vec<Left> {
        let mut left = Vec::with_capacity(leaving.len());
        for LeavingMember {
            member_id,
            instance_id,
        } in leaving
        {
            let result = self.leave_one(&member_id, instance_id.as_deref(), turn);
            left.push(Left {
                member_id,
                instance_id,
                result,
            });
        }
        if left.iter().any(|left| left.result.is_ok()) {
            self.rebalance_after_removal(turn);
        }
        left
    }

    fn leave_one(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        turn: &mut Turn,
    ) -> Result<(), GroupError> {
        let member_id = match instance_id {
            Some(instance_id) if member_id.is_empty() => self
                .instances
                .get(instance_id)
                .cloned()
                .ok_or(GroupError::UnknownMember)?,
            _ if self.pending.contains_key(member_id) => member_id.to_owned(),
            _ => {
                self.validate_member(member_id, instance_id)?;
                member_id.to_owned()
            }
        };
        self.remove(&member_id, turn);
        Ok(())
    }
}
