//! SyncGroup: the leader brings the assignments, everybody takes theirs home.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Groups;
use super::classic::{ClassicGroup, Phase};
use super::command::{GroupReply, SyncGroup};
use super::error::GroupError;
use super::turn::Turn;
use crate::machine::Token;

impl Groups {
    pub(super) fn sync(&mut self, token: Token, sync: SyncGroup, turn: &mut Turn) {
        if let Err(error) = super::check_group_id(&sync.group) {
            return turn.reply(token, GroupReply::Sync(Err(error)));
        }
        if self.is_consumer_group(&sync.group) {
            let answer = self.sync_classic_member(sync, turn);
            return turn.reply(token, GroupReply::Sync(answer));
        }
        let group_id = sync.group.clone();
        if !self.has_members(&group_id) {
            return turn.reply(token, GroupReply::Sync(Err(GroupError::UnknownMember)));
        }
        self.with_group_or_empty(&group_id, turn, |group, turn| group.sync(token, sync, turn));
    }
}

impl ClassicGroup {
    fn sync(&mut self, token: Token, sync: SyncGroup, turn: &mut Turn) {
        if let Err(error) = self.validate_sync(&sync) {
            return turn.reply(token, GroupReply::Sync(Err(error)));
        }
        let member_id = &sync.member.member_id;
        match &mut self.phase {
            Phase::Empty => turn.reply(token, GroupReply::Sync(Err(GroupError::UnknownMember))),
            Phase::Preparing(_) => {
                turn.reply(
                    token,
                    GroupReply::Sync(Err(GroupError::RebalanceInProgress)),
                );
            }
            Phase::Completing(phase) => {
                phase.missing.remove(member_id);
                self.await_sync(member_id, token, turn);
                if self.is_leader(member_id) {
                    self.complete_sync(sync.assignments, turn);
                }
            }
            Phase::Stable(phase) => {
                phase.missing.remove(member_id);
                turn.reply(token, GroupReply::Sync(Ok(self.synced(member_id))));
            }
        }
    }

    fn validate_sync(&self, sync: &SyncGroup) -> Result<(), GroupError> {
        let member = &sync.member;
        let instance_id = member.instance_id.as_deref();
        self.validate_generation(&member.member_id, instance_id, member.generation)?;
        let differs = |theirs: &Option<String>, ours: &Option<String>| {
            theirs.is_some() && ours.is_some() && theirs != ours
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn await_sync(&mut self, member_id: &str, token: Token, turn: &mut Turn) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        if let Some(displaced) = member.awaiting_sync.replace(token) {
            // An earlier attempt of the same member, most likely on a lost connection.
            turn.reply(
                displaced,
                GroupReply::Sync(Err(GroupError::RebalanceInProgress)),
            );
        }
    }

    /// The leader has spoken: the generation is written and everybody waiting gets their share.
    /// Members the leader forgot get an empty one, assignments for strangers are dropped.
    fn complete_sync(&mut self, assignments: Vec<(String, Bytes)>, turn: &mut Turn) {
        let mut assignments: BTreeMap<String, Bytes> = assignments.into_iter().collect();
        for member in self.members.values_mut() {
            let assignment = assignments.remove(&member.id).unwrap_or_default();
            // A copy: the slice of the request would pin its whole frame.
            member.assignment = Bytes::copy_from_slice(&assignment);
        }
        let (bytes, max_bytes) = (
            self.to_stored().encode().len(),
            turn.settings.group_record_bytes_max,
        );
        if bytes > max_bytes {
            self.refuse_waiting_syncs(&GroupError::GroupTooLarge { bytes, max_bytes }, turn);
            return self.prepare_rebalance(turn);
        }
        if let Phase::Completing(sync) = &mut self.phase {
            let sync = std::mem::take(sync);
            self.enter(Phase::Stable(sync), turn.now_ms);
        }
        turn.write(self.to_record());
        self.hand_out_assignments(turn);
    }

    fn hand_out_assignments(&mut self, turn: &mut Turn) {
        let member_ids: Vec<_> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let synced = self.synced(&member_id);
            let Some(member) = self.members.get_mut(&member_id) else {
                continue;
            };
            if let Some(token) = member.awaiting_sync.take() {
                member.renew_session(turn.now_ms);
                turn.reply(token, GroupReply::Sync(Ok(synced)));
            }
        }
    }
}
