//! Who may commit and fetch offsets in a group of the new protocol: members in their epoch, and
//! anybody while it is empty.

use super::Groups;
use super::group::{ConsumerGroup, ConsumerMember};
use crate::group::command::MemberRef;
use crate::group::error::GroupError;

impl Groups {
    pub(in crate::group) fn check_epoch(
        &self,
        group_id: &str,
        member_id: &str,
        epoch: i32,
    ) -> Result<(), GroupError> {
        match self.durable.consumer_group(group_id) {
            Some(group) => group.validate_epoch(member_id, epoch),
            None => Ok(()),
        }
    }
}

impl ConsumerGroup {
    /// Checks a commit; a negative epoch is that of an outsider.
    pub(in crate::group) fn validate_commit(
        &self,
        member_id: &str,
        epoch: i32,
        knows_epochs: bool,
    ) -> Result<(), GroupError> {
        if epoch < 0 && !self.has_members() {
            return Ok(());
        }
        if !knows_epochs && !self.known(member_id)?.is_classic() {
            return Err(GroupError::NeedsEpochs);
        }
        self.validate_epoch(member_id, epoch)
    }

    /// Checks a commit within a transaction: clients from before KIP-447 name no member, and those
    /// after it know generations only.
    pub(in crate::group) fn validate_txn_commit(
        &self,
        member: &MemberRef,
    ) -> Result<(), GroupError> {
        let nameless = member.member_id.is_empty() && member.instance_id.is_none();
        if member.generation < 0 && (nameless || !self.has_members()) {
            return Ok(());
        }
        let known = self.known(&member.member_id)?;
        if known.current.epoch == member.generation {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    /// Checks that the member is in this epoch.
    fn validate_epoch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        let member = self.known(member_id)?;
        if member.current.epoch == epoch {
            Ok(())
        } else if member.is_classic() {
            Err(GroupError::IllegalGeneration)
        } else {
            Err(GroupError::StaleMemberEpoch)
        }
    }

    fn known(&self, member_id: &str) -> Result<&ConsumerMember, GroupError> {
        let member = self.members.get(member_id);
        member.map(AsRef::as_ref).ok_or(GroupError::UnknownMember)
    }
}
