//! Signs of life and their end: Heartbeat renews the session and tells the member when to join
//! again; a lost connection lets the session run down.

use super::Groups;
use super::classic::{ClassicGroup, Phase};
use super::command::Heartbeat;
use super::error::GroupError;
use super::turn::Turn;
use crate::machine::Token;

impl Groups {
    /// Moves deadlines only away from now, so the group's alarm can stay as it is.
    pub(super) fn heartbeat(&mut self, beat: &Heartbeat, turn: &Turn) -> Result<(), GroupError> {
        super::check_group_id(&beat.group)?;
        if self.is_consumer_group(&beat.group) {
            return self.beat_classic_member(beat, turn);
        }
        match self.live.get_mut(&beat.group) {
            Some(group) => group.heartbeat(beat, turn),
            None => Err(GroupError::UnknownMember),
        }
    }
}

impl ClassicGroup {
    fn heartbeat(&mut self, beat: &Heartbeat, turn: &Turn) -> Result<(), GroupError> {
        let member = &beat.member;
        let instance_id = member.instance_id.as_deref();
        self.validate_generation(&member.member_id, instance_id, member.generation)?;
        self.renew_session(&member.member_id, turn.now_ms);
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing(_) => Err(GroupError::RebalanceInProgress),
            // The answer to JoinGroup has left: the member may beat before it syncs.
            Phase::Completing(_) | Phase::Stable(_) => Ok(()),
        }
    }

    pub(super) fn renew_session(&mut self, member_id: &str, now_ms: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.renew_session(now_ms);
        }
    }

    /// The caller that waited in a member's name is gone. The member may come back on another
    /// connection, so it stays until its session, which starts now, ends.
    pub(super) fn cancel(&mut self, token: Token, turn: &Turn) {
        for member in self.members.values_mut() {
            if member.awaiting_join == Some(token) {
                member.awaiting_join = None;
            } else if member.awaiting_sync == Some(token) {
                member.awaiting_sync = None;
            } else {
                continue;
            }
            return member.renew_session(turn.now_ms);
        }
    }
}
