//! JoinGroup: who gets in, under which id, and whether that starts a rebalance.

use super::Groups;
use super::classic::{ClassicGroup, JoinPhase, Phase};
use super::command::{GroupReply, JoinGroup, Joined};
use super::error::GroupError;
use super::member::{self, Member};
use super::turn::Turn;
use crate::machine::Token;
use crate::wire::STRING_BYTES_MAX;

/// What a generated member id adds to the name it begins with: a dash and a UUID.
const MEMBER_ID_SUFFIX_BYTES: usize = 37;

/// Real clients name a handful; choosing one costs the square of their number.
const PROTOCOLS_MAX: usize = 128;

impl Groups {
    pub(super) fn join(&mut self, token: Token, join: JoinGroup, turn: &mut Turn) {
        if let Err(error) = validate(&join, turn) {
            return turn.reply(token, GroupReply::Join(Err(error)));
        }
        if self.is_consumer_group(&join.group) {
            return self.join_consumer_group(token, join, turn);
        }
        if !join.member_id.is_empty() && !self.exists(&join.group) {
            return turn.reply(token, GroupReply::Join(Err(GroupError::UnknownMember)));
        }
        self.join_classic_group(token, join, turn);
    }

    /// Joins the live classic group, or a new one where nothing else is.
    pub(super) fn join_classic_group(&mut self, token: Token, join: JoinGroup, turn: &mut Turn) {
        let group_id = join.group.clone();
        self.with_group_or_empty(&group_id, turn, |group, turn| group.join(token, join, turn));
    }
}

fn validate(join: &JoinGroup, turn: &Turn) -> Result<(), GroupError> {
    let settings = &turn.settings;
    super::check_group_id(&join.group)?;
    let (min_ms, max_ms) = (
        settings.session_timeout_min_ms,
        settings.session_timeout_max_ms,
    );
    if !(min_ms..=max_ms).contains(&join.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout { min_ms, max_ms });
    }
    let prefix_max = STRING_BYTES_MAX - MEMBER_ID_SUFFIX_BYTES;
    super::check_name("client id", &join.client_id, prefix_max)?;
    super::check_name("client host", &join.client_host, STRING_BYTES_MAX)?;
    super::check_name("protocol type", &join.protocol_type, STRING_BYTES_MAX)?;
    if let Some(instance_id) = &join.instance_id {
        super::check_name("group instance id", instance_id, prefix_max)?;
    }
    if join.protocols.len() > PROTOCOLS_MAX {
        return Err(GroupError::TooManyProtocols { max: PROTOCOLS_MAX });
    }
    for (protocol, _) in &join.protocols {
        super::check_name("protocol", protocol, STRING_BYTES_MAX)?;
    }
    let bytes = join
        .protocols
        .iter()
        .map(|(_, metadata)| metadata.len())
        .sum();
    let max_bytes = settings.group_record_bytes_max;
    if bytes > max_bytes {
        Err(GroupError::GroupTooLarge { bytes, max_bytes })
    } else {
        Ok(())
    }
}

impl ClassicGroup {
    fn join(&mut self, token: Token, join: JoinGroup, turn: &mut Turn) {
        let protocols = join.protocols.iter().map(|(name, _)| name.as_str());
        let refusal = if !self.has_room_for(&join.member_id, turn.settings.members_max) {
            Some(GroupError::GroupFull)
        } else if !self.accepts_protocols(&join.protocol_type, protocols) {
            Some(GroupError::InconsistentProtocol)
        } else {
            None
        };
        match refusal {
            Some(error) => {
                turn.reply(token, GroupReply::Join(Err(error.clone())));
                if error == GroupError::GroupFull {
                    self.remove(&join.member_id, turn);
                    self.complete_join_if_all_here(turn);
                }
            }
            None if join.member_id.is_empty() => self.join_new(token, join, turn),
            None => self.join_known(token, join, turn),
        }
    }

    /// While members gather, the first to come are served: those already waiting keep their place.
    fn has_room_for(&self, member_id: &str, members_max: usize) -> bool {
        let member = self.members.get(member_id);
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing(_) => {
                member.is_some_and(|member| member.awaiting_join.is_some())
                    || self.awaiting_join() < members_max
            }
            Phase::Completing(_) | Phase::Stable(_) => {
                member.is_some() || self.members.len() < members_max
            }
        }
    }

    fn join_new(&mut self, token: Token, join: JoinGroup, turn: &mut Turn) {
        if let Some(instance_id) = join.instance_id.clone() {
            let member_id = format!("{instance_id}-{}", join.new_member_uuid);
            match self.instances.get(&instance_id).cloned() {
                Some(old_id) => self.replace_static(&old_id, member_id, token, join, turn),
                None => self.add_and_rebalance(member_id, token, join, turn),
            }
            return;
        }
        let member_id = format!("{}-{}", join.client_id, join.new_member_uuid);
        if !join.require_known_member_id {
            return self.add_and_rebalance(member_id, token, join, turn);
        }
        let error = if self.pending.len() < turn.settings.pending_members_max {
            let until_ms = turn.after(i64::from(join.session_timeout_ms));
            self.pending.insert(member_id.clone(), until_ms);
            GroupError::MemberIdRequired { member_id }
        } else {
            GroupError::GroupFull
        };
        turn.reply(token, GroupReply::Join(Err(error)));
    }

    fn join_known(&mut self, token: Token, join: JoinGroup, turn: &mut Turn) {
        let member_id = join.member_id.clone();
        // Only dynamic members are ever pending.
        if join.instance_id.is_none() && self.pending.contains_key(&member_id) {
            return self.add_and_rebalance(member_id, token, join, turn);
        }
        if let Err(error) = self.validate_member(&member_id, join.instance_id.as_deref()) {
            return turn.reply(token, GroupReply::Join(Err(error)));
        }
        let unchanged = self
            .members
            .get(&member_id)
            .is_some_and(|member| member.protocols == join.protocols);
        let nothing_new = match self.phase {
            // The member may have missed the first answer.
            Phase::Completing(_) => unchanged,
            // A leader that joins again asks for a rebalance: topics may have changed.
            Phase::Stable(_) => unchanged && !self.is_leader(&member_id),
            Phase::Empty | Phase::Preparing(_) => false,
        };
        if nothing_new {
            turn.reply(token, GroupReply::Join(Ok(self.joined(&member_id))));
        } else {
            self.await_join(&member_id, token, join, turn);
            self.rebalance(turn);
        }
    }

    fn add_and_rebalance(&mut self, id: String, token: Token, join: JoinGroup, turn: &mut Turn) {
        if let Phase::Preparing(JoinPhase {
            initial: Some(initial),
            ..
        }) = &mut self.phase
        {
            initial.joined_since = true;
        }
        let mut member = Member::joining(id, &join);
        member.awaiting_join = Some(token);
        let patience_ms = i64::from(turn.settings.new_member_join_timeout_ms);
        member.session_deadline_ms = turn.after(patience_ms);
        self.add(member, &join.protocol_type);
        self.rebalance(turn);
    }

    /// Takes over what the member now says about itself and parks its caller.
    fn await_join(&mut self, member_id: &str, token: Token, join: JoinGroup, turn: &mut Turn) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        member.protocols = member::kept(&join.protocols);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms.max(0);
        member.session_timeout_ms = join.session_timeout_ms;
        if let Some(displaced) = member.awaiting_join.replace(token) {
            // An earlier attempt of the same member, most likely on a lost connection.
            turn.reply(
                displaced,
                GroupReply::Join(Err(GroupError::RebalanceInProgress)),
            );
        }
    }

    /// A restarted static member takes the place of its former self. In a stable group that costs
    /// no rebalance unless it changes which protocol the group would choose.
    fn replace_static(
        &mut self,
        old_id: &str,
        new_id: String,
        token: Token,
        join: JoinGroup,
        turn: &mut Turn,
    ) {
        let was_leader = self.is_leader(old_id);
        let skips = join.supports_skip_assignment;
        self.rename_static(old_id, &new_id, &join, turn);
        self.await_join(&new_id, token, join, turn);
        let keeps_protocol = self.voted_protocol() == self.protocol;
        match self.phase {
            Phase::Stable(_) if keeps_protocol => {
                if let Some(member) = self.members.get_mut(&new_id) {
                    member.awaiting_join = None;
                }
                turn.write(self.to_record());
                let former_leader = was_leader.then_some(old_id);
                let joined = self.rejoined(&new_id, former_leader, skips);
                turn.reply(token, GroupReply::Join(Ok(joined)));
            }
            // Preparing: wait with the others. Stable with another protocol, or Completing, where
            // the leader may be assigning work to the old id: begin again.
            _ => self.rebalance(turn),
        }
    }

    fn rename_static(&mut self, old_id: &str, new_id: &str, join: &JoinGroup, turn: &mut Turn) {
        let Some(mut member) = self.members.remove(old_id) else {
            return;
        };
        if let Some(token) = member.awaiting_join.take() {
            turn.reply(token, GroupReply::Join(Err(GroupError::FencedInstance)));
        }
        if let Some(token) = member.awaiting_sync.take() {
            turn.reply(token, GroupReply::Sync(Err(GroupError::FencedInstance)));
        }
        if let Phase::Completing(sync) | Phase::Stable(sync) = &mut self.phase {
            sync.missing.remove(old_id);
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances
                .insert(instance_id.clone(), new_id.to_owned());
        }
        new_id.clone_into(&mut member.id);
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.is_new = false;
        member.session_timeout_ms = join.session_timeout_ms;
        member.renew_session(turn.now_ms);
        self.members.insert(new_id.to_owned(), member);
    }

    /// Tells a restarted static member of the generation it is still part of. A leader that knows
    /// how is told to skip the assignment; to an older one `former_leader` is named instead, so
    /// that it takes itself for a follower and keeps what it has (KIP-814).
    fn rejoined(&self, member_id: &str, former_leader: Option<&str>, skips: bool) -> Joined {
        let mut joined = self.joined(member_id);
        if skips {
            joined.skip_assignment = self.is_leader(member_id);
        } else {
            joined.members.clear();
            if let Some(former_leader) = former_leader {
                former_leader.clone_into(&mut joined.leader);
            }
        }
        joined
    }
}
