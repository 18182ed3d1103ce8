//! Classic consumers inside a group of the new protocol: what JoinGroup, SyncGroup and Heartbeat
//! mean there. The member's epoch is its generation.
//!
//! ```text
//! Heartbeat: "join again" ─▶ JoinGroup: one step towards the target ─▶ SyncGroup: the share
//! ```
//!
//! A join is answered at once: nobody waits for the others. An eager client has given everything up
//! when it joins, a cooperative one names what it still owns and joins once more when it has given
//! up what it is not to keep.

use std::sync::Arc;

use super::Groups;
use super::draft::Draft;
use super::embedded::{self, Subscription};
use super::group::{ConsumerGroup, ConsumerMember};
use super::heartbeat::{Admitted, reborn};
use super::record::{ClassicMemberMetadata, ConsumerMemberMetadata, MemberState};
use crate::group::command::{
    GroupReply, Heartbeat, JoinGroup, Joined, MemberRef, SyncGroup, Synced,
};
use crate::group::error::GroupError;
use crate::group::member::kept;
use crate::group::subscription::CONSUMER_PROTOCOL_TYPE;
use crate::group::turn::Turn;
use crate::machine::Token;

impl Groups {
    /// Whether JoinGroup and its kin are about a group of the new protocol.
    pub(in crate::group) fn is_consumer_group(&self, group_id: &str) -> bool {
        self.durable.consumer_group(group_id).is_some()
    }

    /// JoinGroup, for a group that is of the new protocol so far. One without members becomes
    /// classic, and so does one whose last member of the new protocol comes back as a classic one.
    pub(in crate::group) fn join_consumer_group(
        &mut self,
        token: Token,
        join: JoinGroup,
        turn: &mut Turn,
    ) {
        let answer = match self.open(&join.group) {
            Ok(draft) if draft.group().has_members() => match self.yielding(&draft, &join) {
                Some(old_id) => {
                    self.remove_members(draft, &[old_id], turn);
                    if self.live.contains_key(&join.group) {
                        return self.join_classic_group(token, join, turn);
                    }
                    // Too large for a classic group's one record.
                    Err(GroupError::RebalanceInProgress)
                }
                None => self.join_classic_member(draft, &join, turn),
            },
            _ if join.member_id.is_empty() => {
                self.forget_consumer_group(&join.group, turn);
                return self.join_classic_group(token, join, turn);
            }
            _ => Err(GroupError::UnknownMember),
        };
        turn.reply(token, GroupReply::Join(answer));
    }

    /// The static member that the joining one replaces, if it is the last of the new protocol and
    /// the group may become classic without it.
    fn yielding(&self, draft: &Draft, join: &JoinGroup) -> Option<String> {
        let group = draft.group();
        let (old_id, old) = group.instance(join.instance_id.as_deref()?)?;
        let mut others = group.members().filter(|(id, _)| *id != old_id);
        let is_last = join.member_id.is_empty()
            && !old.is_classic()
            && group.members.len() > 1
            && others.all(|(_, member)| member.is_classic());
        (is_last && self.may_downgrade(group.members.len())).then(|| old_id.clone())
    }

    fn join_classic_member(
        &mut self,
        mut draft: Draft,
        join: &JoinGroup,
        turn: &mut Turn,
    ) -> Result<Joined, GroupError> {
        if !draft.group().accepts_classic(join) {
            return Err(GroupError::InconsistentProtocol);
        }
        if join.member_id.is_empty() && join.instance_id.is_none() && join.require_known_member_id {
            return Err(self.promise_id(draft.group(), join, turn));
        }
        let metadata = join.protocols.first().map(|(_, metadata)| metadata);
        let subscription = metadata.and_then(|bytes| Subscription::decode(bytes).ok());
        let subscription = subscription.ok_or(GroupError::InconsistentProtocol)?;
        if join.instance_id.is_none() && !self.may_join_as(draft.group(), join, turn) {
            return Err(GroupError::UnknownMember);
        }
        let Admitted { member_id, before } = admit(&mut draft, join, turn)?;
        let owned = subscription.owned(&self.topics);
        let metadata = told(&before.metadata, join, subscription);
        self.update_member(&mut draft, &member_id, metadata, &before, turn);
        let after = draft.reconcile(&member_id, Some(&owned));
        let after = after.ok_or(GroupError::UnknownMember)?;
        self.settle(draft, turn);
        if let Some(clocks) = self.clocks.get_mut(&join.group) {
            clocks.seen_version = Some(self.topics.version());
            clocks.renew(&member_id, &after, turn);
            clocks.set_rebalance(&member_id, None);
            let sync_by_ms = turn.after(after.rebalance_timeout_ms());
            clocks.expect_sync(&member_id, sync_by_ms);
            self.alarms.set(&join.group, clocks.next());
        }
        Ok(Joined {
            member_id,
            generation: after.current.epoch,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol: join.protocols.first().map(|(name, _)| name.clone()),
            // Nobody: the coordinator assigns.
            leader: String::new(),
            members: Vec::new(),
            skip_assignment: false,
        })
    }

    /// A dynamic member has to come back with the id it is given (KIP-394).
    fn promise_id(&mut self, group: &ConsumerGroup, join: &JoinGroup, turn: &Turn) -> GroupError {
        let member_id = format!("{}-{}", join.client_id, join.new_member_uuid);
        let until_ms = turn.after(i64::from(join.session_timeout_ms));
        let clocks = self.clocks.get_mut(&join.group);
        let is_promised = clocks.is_some_and(|clocks| clocks.promise(&member_id, until_ms, turn));
        if is_promised && group.members.len() < turn.settings.consumer_members_max {
            GroupError::MemberIdRequired { member_id }
        } else {
            GroupError::GroupFull
        }
    }

    /// A client may come with no id, its own, or one it was promised. Any other was removed: what
    /// it thinks it owns may belong to somebody else by now.
    fn may_join_as(&self, group: &ConsumerGroup, join: &JoinGroup, turn: &Turn) -> bool {
        let clocks = self.clocks.get(&join.group);
        join.member_id.is_empty()
            || group.members.contains_key(&join.member_id)
            || clocks.is_some_and(|clocks| clocks.is_promised(&join.member_id, turn.now_ms))
    }

    /// SyncGroup: the classic member's share as it stands.
    pub(in crate::group) fn sync_classic_member(
        &mut self,
        sync: SyncGroup,
        turn: &Turn,
    ) -> Result<Synced, GroupError> {
        let draft = self.open(&sync.group)?;
        let member = draft.group().validate_generation(&sync.member)?;
        let classic = member.metadata.classic.as_ref();
        let (protocol, metadata) = classic
            .and_then(|classic| classic.protocols.first())
            .ok_or(GroupError::UnknownMember)?;
        let differs = |theirs: &Option<String>, ours: &str| {
            theirs.as_deref().is_some_and(|theirs| theirs != ours)
        };
        if differs(&sync.protocol_type, CONSUMER_PROTOCOL_TYPE) || differs(&sync.protocol, protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        let member_id = &sync.member.member_id;
        if member.is_behind(draft.group()) && member.current.state != MemberState::Unrevoked {
            self.expect_join(&sync.group, member_id, member, turn);
            return Err(GroupError::RebalanceInProgress);
        }
        let version = Subscription::decode(metadata).map_or(0, |subscription| subscription.version);
        if let Some(clocks) = self.clocks.get_mut(&sync.group) {
            clocks.synced(member_id);
            clocks.renew(member_id, member, turn);
        }
        Ok(Synced {
            protocol_type: sync.protocol_type,
            protocol: sync.protocol,
            assignment: embedded::encode_assignment(
                version,
                &member.current.assigned,
                &self.topics,
            ),
        })
    }

    /// Heartbeat: a classic member learns here that it is to join again.
    pub(in crate::group) fn beat_classic_member(
        &mut self,
        beat: &Heartbeat,
        turn: &Turn,
    ) -> Result<(), GroupError> {
        let draft = self.open(&beat.group)?;
        let group = draft.group();
        let member = group.validate_generation(&beat.member)?;
        let member_id = &beat.member.member_id;
        if let Some(clocks) = self.clocks.get_mut(&beat.group) {
            clocks.renew(member_id, member, turn);
        }
        let to_rejoin = member.is_behind(group)
            || match member.current.state {
                MemberState::Unrevoked => true,
                MemberState::Unreleased => !group.waits_for_others(member_id, member),
                MemberState::Stable | MemberState::Unknown => false,
            };
        if to_rejoin {
            self.expect_join(&beat.group, member_id, member, turn);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    fn expect_join(
        &mut self,
        group_id: &str,
        member_id: &str,
        member: &ConsumerMember,
        turn: &Turn,
    ) {
        if let Some(clocks) = self.clocks.get_mut(group_id) {
            clocks.expect_join(member_id, turn.after(member.rebalance_timeout_ms()));
            self.alarms.set(group_id, clocks.next());
        }
    }
}

impl ConsumerMember {
    fn is_behind(&self, group: &ConsumerGroup) -> bool {
        self.current.epoch < group.epoch
    }
}

impl ConsumerGroup {
    /// The protocol type is that of consumers, and all classic members share a protocol with it.
    fn accepts_classic(&self, join: &JoinGroup) -> bool {
        let classic = || {
            let members = self.members.values();
            members.filter_map(|member| member.metadata.classic.as_ref())
        };
        let shared = |name: &str| {
            classic().all(|classic| classic.protocols.iter().any(|(known, _)| known == name))
        };
        join.protocol_type == CONSUMER_PROTOCOL_TYPE
            && join.protocols.iter().any(|(name, _)| shared(name))
    }

    /// The member, if it speaks the classic protocol.
    fn classic_member(&self, member_id: &str) -> Result<&ConsumerMember, GroupError> {
        let member = self.members.get(member_id).map(Arc::as_ref);
        member
            .filter(|member| member.is_classic())
            .ok_or(GroupError::UnknownMember)
    }

    fn validate_generation(&self, member: &MemberRef) -> Result<&ConsumerMember, GroupError> {
        self.validate_member(&member.member_id, member.instance_id.as_deref())?;
        let known = self.classic_member(&member.member_id)?;
        if known.current.epoch == member.generation {
            Ok(known)
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    /// Whether others still hold part of the member's target.
    fn waits_for_others(&self, member_id: &str, member: &ConsumerMember) -> bool {
        let held = self.held();
        let missing = self.target(member_id).without(&member.current.assigned);
        missing.iter().any(|partition| held.contains(&partition))
    }
}

/// Finds the member, or makes it.
fn admit(draft: &mut Draft, join: &JoinGroup, turn: &Turn) -> Result<Admitted, GroupError> {
    let is_first_contact = join.member_id.is_empty();
    let new_id = |name: &str| format!("{name}-{}", join.new_member_uuid);
    let (member_id, before) = match &join.instance_id {
        None if is_first_contact => (new_id(&join.client_id), None),
        None => {
            let known = draft.group().members.get(&join.member_id).cloned();
            (join.member_id.clone(), known)
        }
        Some(instance_id) if is_first_contact => {
            let new_id = new_id(instance_id);
            let replaced = replace_static(draft, instance_id, &new_id);
            (new_id, replaced)
        }
        Some(instance_id) => {
            draft
                .group()
                .validate_member(&join.member_id, Some(instance_id))?;
            let known = draft.group().members.get(&join.member_id).cloned();
            (join.member_id.clone(), known)
        }
    };
    if before.is_none() && draft.group().members.len() >= turn.settings.consumer_members_max {
        return Err(GroupError::GroupFull);
    }
    let before = before.unwrap_or_default();
    Ok(Admitted { member_id, before })
}

/// The former self of a static member makes way, whatever it speaks: who joins without a member id
/// was restarted.
fn replace_static(
    draft: &mut Draft,
    instance_id: &str,
    new_id: &str,
) -> Option<Arc<ConsumerMember>> {
    let (old_id, old) = draft.group().instance(instance_id)?;
    let (old_id, member) = (old_id.clone(), reborn(old));
    draft.replace_member(&old_id, new_id, &member);
    Some(Arc::new(member))
}

/// The member as its JoinGroup tells it.
fn told(
    known: &ConsumerMemberMetadata,
    join: &JoinGroup,
    subscription: Subscription,
) -> ConsumerMemberMetadata {
    ConsumerMemberMetadata {
        instance_id: join
            .instance_id
            .clone()
            .or_else(|| known.instance_id.clone()),
        rack_id: subscription.rack_id.or_else(|| known.rack_id.clone()),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        topics: subscription.topics,
        regex: None,
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        assignor: known.assignor.clone(),
        classic: Some(ClassicMemberMetadata {
            session_timeout_ms: join.session_timeout_ms,
            protocols: kept(&join.protocols),
        }),
    }
}
