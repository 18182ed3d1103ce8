//! A group changes its kind while it runs, so that its members can be upgraded, or taken back, one
//! at a time (KIP-848, "online migration").
//!
//! - **Up**: a classic group of consumers becomes one of the new protocol when its first member of
//!   the new protocol joins. Classic members keep what they have been assigned; the generation
//!   becomes the epoch. Who is parked in JoinGroup or SyncGroup is asked to join again.
//! - **Down**: a group of the new protocol in which only classic members are left becomes a classic
//!   one, and these rebalance among themselves.

use std::sync::Arc;

use super::Groups;
use super::assignment::Assignment;
use super::draft::Draft;
use super::embedded::{self, Subscription};
use super::group::{ConsumerGroup, ConsumerMember};
use super::record::{
    ClassicMemberMetadata, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, MemberState,
};
use super::since::Since;
use super::topics::TopicImage;
use crate::group::classic::ClassicGroup;
use crate::group::command::GroupReply;
use crate::group::error::{GroupError, NotUpgraded};
use crate::group::member::Member;
use crate::group::record::{GroupMetadata, GroupRecord, MemberMetadata};
use crate::group::subscription::CONSUMER_PROTOCOL_TYPE;
use crate::group::turn::Turn;

impl Groups {
    /// A group of the new protocol where there was none: new, or made from a classic one.
    ///
    /// # Errors
    /// There is a classic group with members that cannot be taken over.
    pub(super) fn open_anew(&self, group_id: &str, turn: &Turn) -> Result<Draft, GroupError> {
        let recorded = self.durable.group(group_id).is_some();
        let draft = if recorded {
            Draft::replacing_classic(group_id)
        } else {
            Draft::of(group_id, Arc::default())
        };
        match self.live.get(group_id) {
            Some(classic) if !classic.members.is_empty() => {
                let upgraded = self.upgraded(draft, classic, turn);
                upgraded.map_err(|reason| GroupError::NotUpgraded {
                    group: group_id.to_owned(),
                    reason,
                })
            }
            _ => Ok(draft),
        }
    }

    fn upgraded(
        &self,
        mut draft: Draft,
        classic: &ClassicGroup,
        turn: &Turn,
    ) -> Result<Draft, NotUpgraded> {
        let settings = &turn.settings;
        if !settings.migration.upgrades() {
            return Err(NotUpgraded::Disabled);
        }
        if classic.protocol_type.as_deref() != Some(CONSUMER_PROTOCOL_TYPE) {
            return Err(NotUpgraded::NoConsumers);
        }
        if classic.members.len() > settings.consumer_members_max {
            return Err(NotUpgraded::TooLarge);
        }
        let epoch = classic.generation;
        let mut taken = Assignment::default();
        let mut records = Vec::new();
        // Those with an assignment first: of the others it is known only what they said they own.
        let mut members: Vec<_> = classic.members.values().collect();
        members.sort_by_key(|member| member.assignment.is_empty());
        for member in members {
            let mut upgraded = upgraded_member(classic, member, &self.topics)?;
            // A client-side assignor may have given a partition to two: the first keeps it.
            upgraded.current.assigned = upgraded.current.assigned.without(&taken);
            upgraded.current.since = Since::all(&upgraded.current.assigned, epoch);
            taken.extend(upgraded.current.assigned.iter());
            let member_id = || member.id.clone();
            records.push(ConsumerRecord::Member {
                member_id: member_id(),
                value: Some(upgraded.metadata),
            });
            records.push(ConsumerRecord::Target {
                member_id: member_id(),
                value: Some(upgraded.current.assigned.clone()),
            });
            records.push(ConsumerRecord::Current {
                member_id: member_id(),
                value: Some(upgraded.current),
            });
        }
        draft.write(ConsumerRecord::Group(Some(epoch)));
        for record in records {
            draft.write(record);
        }
        draft.write(ConsumerRecord::TargetEpoch(Some(epoch)));
        Ok(draft)
    }

    /// The policy and the limits of classic groups let one of so many members be made.
    pub(super) fn may_downgrade(&self, members: usize) -> bool {
        self.settings.migration.downgrades() && members <= self.settings.members_max
    }

    /// Makes the group classic and has its members rebalance. Gives the draft back if it has to
    /// stay what it is.
    pub(super) fn downgrade(&mut self, mut draft: Draft, turn: &mut Turn) -> Result<(), Draft> {
        let group = draft.group();
        let mut stored = downgraded(group, &self.topics, turn.now_ms);
        let fits = stored.encode().len() <= turn.settings.group_record_bytes_max;
        if !fits || !self.may_downgrade(group.members.len()) {
            return Err(draft);
        }
        let group_id = draft.id().to_owned();
        let mut classic = ClassicGroup::recovered(&group_id, &stored, turn.now_ms);
        for (member_id, member) in group.members() {
            let known = classic.members.get_mut(member_id);
            if let (Some(known), Some(told)) = (known, &member.metadata.classic) {
                known.protocols.clone_from(&told.protocols);
            }
        }
        draft.erase();
        // The members have yet to share what the last one left. Should a restart come first, it
        // finds a generation that nobody is in, and everybody joins again.
        stored.generation = stored.generation.checked_add(1).unwrap_or(1);
        draft.write_classic(GroupRecord::Group {
            group: group_id.clone(),
            value: Some(stored),
        });
        draft.commit(turn);
        self.clocks.remove(&group_id);
        self.live.insert(group_id.clone(), classic);
        self.with_group_or_empty(&group_id, turn, ClassicGroup::prepare_rebalance);
        Ok(())
    }
}

impl ClassicGroup {
    /// Asks everybody who is parked to join again, elsewhere.
    pub(super) fn dissolve(&mut self, turn: &mut Turn) {
        self.refuse_waiting_syncs(&GroupError::RebalanceInProgress, turn);
        for member in self.members.values_mut() {
            if let Some(token) = member.awaiting_join.take() {
                turn.reply(
                    token,
                    GroupReply::Join(Err(GroupError::RebalanceInProgress)),
                );
            }
        }
    }
}

fn upgraded_member(
    classic: &ClassicGroup,
    member: &Member,
    image: &TopicImage,
) -> Result<ConsumerMember, NotUpgraded> {
    let chosen = member.metadata(classic.protocol.as_deref().unwrap_or_default());
    let metadata = match member.protocols.first() {
        // Before the end of its first join phase a group has chosen none.
        Some((_, first)) if chosen.is_empty() => first.clone(),
        _ => chosen,
    };
    let subscription = Subscription::decode(&metadata).map_err(|_| NotUpgraded::Malformed)?;
    let assigned = if member.assignment.is_empty() {
        // The generation it joined last has no assignment: a cooperative client goes on with what
        // it brought along.
        subscription.owned(image)
    } else {
        let decoded = embedded::decode_assignment(&member.assignment, image);
        match decoded.map_err(|_| NotUpgraded::Malformed)? {
            (assigned, false) => assigned,
            (_, true) => return Err(NotUpgraded::CustomAssignor),
        }
    };
    Ok(ConsumerMember {
        metadata: ConsumerMemberMetadata {
            instance_id: member.instance_id.clone(),
            rack_id: subscription.rack_id,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: subscription.topics,
            regex: None,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            assignor: None,
            classic: Some(ClassicMemberMetadata {
                session_timeout_ms: member.session_timeout_ms,
                protocols: member.protocols.clone(),
            }),
        },
        current: CurrentAssignment {
            epoch: classic.generation,
            previous_epoch: classic.generation,
            state: MemberState::Stable,
            assigned,
            ..CurrentAssignment::default()
        },
    })
}

/// The classic group as it goes on record: each member with what it holds.
fn downgraded(group: &ConsumerGroup, image: &TopicImage, now_ms: i64) -> GroupMetadata {
    let members: Vec<_> = group
        .members()
        .filter_map(|(member_id, member)| {
            let classic = member.metadata.classic.as_ref()?;
            Some((member_id, member, classic))
        })
        .collect();
    let protocol = shared_protocol(members.iter().map(|(.., classic)| *classic));
    let stored = members.iter().map(|(member_id, member, classic)| {
        let chosen = classic
            .protocols
            .iter()
            .find(|(name, _)| Some(name) == protocol.as_ref());
        let subscription = chosen.map(|(_, metadata)| metadata.clone());
        let subscription = subscription.unwrap_or_default();
        let version = Subscription::decode(&subscription).map_or(0, |known| known.version);
        MemberMetadata {
            member_id: (*member_id).clone(),
            instance_id: member.metadata.instance_id.clone(),
            client_id: member.metadata.client_id.clone(),
            client_host: member.metadata.client_host.clone(),
            rebalance_timeout_ms: member.metadata.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            subscription,
            assignment: embedded::encode_assignment(version, &member.current.assigned, image),
        }
    });
    GroupMetadata {
        protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
        generation: group.epoch,
        leader: members.first().map(|(member_id, ..)| (*member_id).clone()),
        state_timestamp_ms: Some(now_ms),
        members: stored.collect(),
        protocol,
    }
}

/// The first protocol of the first member that all of them share: there is one, or they would not
/// have been let in.
fn shared_protocol<'a>(
    members: impl Iterator<Item = &'a ClassicMemberMetadata> + Clone,
) -> Option<String> {
    let first = members.clone().next()?;
    let mut names = first.protocols.iter().map(|(name, _)| name);
    let shared = |name: &&String| {
        let mut members = members.clone();
        members.all(|member| member.protocols.iter().any(|(known, _)| known == *name))
    };
    names.find(shared).cloned()
}
