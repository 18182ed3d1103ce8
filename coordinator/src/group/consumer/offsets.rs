//! Who may commit and fetch offsets in a group of the new protocol: members in their epoch, and
//! anybody while it is empty. A commit of an older epoch counts if it is only of partitions that were the
//! member's in that epoch and still are (KIP-1251).

use super::Groups;
use super::group::{ConsumerGroup, ConsumerMember};
use super::topics::TopicImage;
use crate::group::command::{MemberRef, OffsetToCommit};
use crate::group::error::GroupError;

impl Groups {
    pub(in crate::group) fn check_epoch(
        &self,
        group_id: &str,
        member_id: &str,
        epoch: i32,
    ) -> Result<(), GroupError> {
        let Some(group) = self.durable.consumer_group(group_id) else {
            return Ok(());
        };
        let member = group.known(member_id)?;
        match member.current.epoch == epoch {
            true => Ok(()),
            false => Err(member.elsewhere()),
        }
    }
}

impl ConsumerGroup {
    /// Checks a commit of `offsets`; a negative epoch is that of an outsider.
    pub(in crate::group) fn validate_commit(
        &self,
        member: &MemberRef,
        knows_epochs: bool,
        offsets: &[OffsetToCommit],
        image: &TopicImage,
    ) -> Result<(), GroupError> {
        if member.generation < 0 && !self.has_members() {
            return Ok(());
        }
        let known = self.known(&member.member_id)?;
        if !knows_epochs && !known.is_classic() {
            return Err(GroupError::NeedsEpochs);
        }
        known.validate_epoch(member.generation, offsets, image)
    }

    /// Checks a commit within a transaction: clients from before KIP-447 name no member, and those
    /// after it know generations only.
    pub(in crate::group) fn validate_txn_commit(
        &self,
        member: &MemberRef,
        offsets: &[OffsetToCommit],
        image: &TopicImage,
    ) -> Result<(), GroupError> {
        let nameless = member.member_id.is_empty() && member.instance_id.is_none();
        if member.generation < 0 && (nameless || !self.has_members()) {
            return Ok(());
        }
        let known = self.known(&member.member_id)?;
        let valid = known.validate_epoch(member.generation, offsets, image);
        valid.map_err(|_| GroupError::IllegalGeneration)
    }

    fn known(&self, member_id: &str) -> Result<&ConsumerMember, GroupError> {
        let member = self.members.get(member_id);
        member.map(AsRef::as_ref).ok_or(GroupError::UnknownMember)
    }
}

impl ConsumerMember {
    /// Checks that the member is in this epoch, or has had the partitions of all `offsets` since it.
    fn validate_epoch(
        &self,
        epoch: i32,
        offsets: &[OffsetToCommit],
        image: &TopicImage,
    ) -> Result<(), GroupError> {
        let had = |offset: &OffsetToCommit| {
            let topic = image.get(&offset.topic);
            let since =
                topic.and_then(|topic| self.current.since.epoch_of(topic.id, offset.partition));
            since.is_some_and(|since| since <= epoch)
        };
        if epoch == self.current.epoch || (epoch < self.current.epoch && offsets.iter().all(had)) {
            Ok(())
        } else {
            Err(self.elsewhere())
        }
    }

    /// What a member is told that is in another epoch than it says.
    const fn elsewhere(&self) -> GroupError {
        match self.is_classic() {
            true => GroupError::IllegalGeneration,
            false => GroupError::StaleMemberEpoch,
        }
    }
}
