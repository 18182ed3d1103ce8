//! ConsumerGroupHeartbeat: a member joins, says what it owns, and learns what it may use.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::assignment::Assignment;
use super::command::{ConsumerBeat, ConsumerHeartbeat};
use super::current::Aim;
use super::draft::Draft;
use super::error::ConsumerError;
use super::group::{AWAY_EPOCH, ConsumerMember, JOIN_EPOCH};
use super::record::{ConsumerMemberMetadata, ConsumerRecord, MemberState};
use super::{Assignor, Groups, regex};
use crate::group::error::GroupError;
use crate::group::turn::Turn;
use crate::group::{check_group_id, check_name};
use crate::wire::STRING_BYTES_MAX;

/// The epoch to leave with.
const LEAVE_EPOCH: i32 = -1;

/// A member that may speak, as it was before it spoke.
pub(super) struct Admitted {
    pub(super) member_id: String,
    /// A default one, if it has just come.
    pub(super) before: Arc<ConsumerMember>,
}

impl Groups {
    pub(in crate::group) fn consumer_heartbeat(
        &mut self,
        beat: ConsumerHeartbeat,
        turn: &mut Turn,
    ) -> Result<ConsumerBeat, ConsumerError> {
        validate(&beat, turn)?;
        match beat.member_epoch {
            LEAVE_EPOCH | AWAY_EPOCH => Ok(self.leave_consumers(&beat, turn)?),
            _ => self.beat_consumer(&beat, turn),
        }
    }

    fn beat_consumer(
        &mut self,
        beat: &ConsumerHeartbeat,
        turn: &mut Turn,
    ) -> Result<ConsumerBeat, ConsumerError> {
        let mut draft = match self.open(&beat.group) {
            Err(_) if beat.member_epoch == JOIN_EPOCH => self.open_anew(&beat.group, turn)?,
            opened => opened?,
        };
        let Admitted { member_id, before } = admit(&mut draft, beat, turn)?;
        let metadata = told(&before.metadata, beat);
        if let Some(regex) = &metadata.regex
            && metadata.regex != before.metadata.regex
        {
            regex::validate(regex).map_err(|reason| ConsumerError::InvalidRegex { reason })?;
        }
        self.update_member(&mut draft, &member_id, metadata, &before, turn);
        let after = draft.reconcile(&member_id, beat.owned.as_ref());
        let after = after.ok_or(ConsumerError::FencedMemberEpoch)?;
        let answer = ConsumerBeat {
            member_epoch: after.current.epoch,
            heartbeat_interval_ms: turn
                .settings
                .consumer_times(&beat.group)
                .heartbeat_interval_ms,
            assignment: (is_full(beat) || after.current.assigned != before.current.assigned)
                .then(|| after.current.assigned.clone()),
            member_id,
        };
        let member_id = &answer.member_id;
        self.settle(draft, turn);
        self.after_heartbeat(&beat.group, member_id, &before, &after, turn);
        Ok(answer)
    }

    /// Writes what changed about a member, and all that follows for the group: topics, epoch and
    /// target.
    pub(super) fn update_member(
        &self,
        draft: &mut Draft,
        member_id: &str,
        metadata: ConsumerMemberMetadata,
        before: &ConsumerMember,
        turn: &Turn,
    ) {
        let clocks = self.clocks.get(draft.id());
        let topics_moved =
            clocks.and_then(|clocks| clocks.seen_version) != Some(self.topics.version());
        let regex_changed = metadata.regex != before.metadata.regex;
        let mut rebalance =
            draft.group().epoch == 0 || regex_changed || metadata.topics != before.metadata.topics;
        let known = draft.group().members.get(member_id);
        if known.is_none_or(|known| known.metadata != metadata) {
            draft.write(ConsumerRecord::Member {
                member_id: member_id.to_owned(),
                value: Some(metadata),
            });
        }
        if regex_changed || topics_moved {
            rebalance |= draft.resolve_regexes(&self.topics, topics_moved, turn.now_ms);
        }
        if rebalance || topics_moved {
            draft.refresh(&self.topics, rebalance);
        }
        draft.retarget(&self.topics);
    }

    /// Sets the member's clocks.
    fn after_heartbeat(
        &mut self,
        group_id: &str,
        member_id: &str,
        before: &ConsumerMember,
        after: &ConsumerMember,
        turn: &Turn,
    ) {
        let Some(clocks) = self.clocks.get_mut(group_id) else {
            return;
        };
        clocks.seen_version = Some(self.topics.version());
        let hastens = clocks.renew(member_id, after, turn);
        let moves = after.current != before.current;
        if moves {
            let revokes = after.current.state == MemberState::Unrevoked;
            let until_ms = revokes.then(|| turn.after(after.rebalance_timeout_ms()));
            clocks.set_rebalance(member_id, until_ms);
        }
        if moves || hastens {
            self.alarms.set(group_id, clocks.next());
        }
    }
}

impl Draft {
    /// Takes a member one step further. How it stands then; `None` if it has to begin anew.
    pub(super) fn reconcile(
        &mut self,
        member_id: &str,
        owned: Option<&Assignment>,
    ) -> Option<Arc<ConsumerMember>> {
        let group = self.group();
        let member = group.members.get(member_id)?;
        if !member.is_reconciled_to(group.target_epoch) {
            let (target, held) = (group.target(member_id), group.held());
            let aim = Aim {
                epoch: group.target_epoch,
                target: &target,
                owned,
                held: &held,
            };
            let next = aim.step(&member.current)?;
            self.put_current(member_id, next);
        }
        self.group().members.get(member_id).cloned()
    }
}

fn is_blank(text: Option<&String>) -> bool {
    text.is_some_and(|text| text.trim().is_empty())
}

fn validate(beat: &ConsumerHeartbeat, turn: &Turn) -> Result<(), ConsumerError> {
    let refuse = |reason| Err(ConsumerError::InvalidRequest { reason });
    let makes_id = beat.new_member_uuid.is_some() && beat.member_epoch == JOIN_EPOCH;
    if is_blank(Some(&beat.group)) {
        return refuse("the group id is empty");
    }
    if is_blank(Some(&beat.member_id)) && !(makes_id && beat.member_id.is_empty()) {
        return refuse("the member id is empty");
    }
    if is_blank(beat.instance_id.as_ref()) {
        return refuse("the instance id is empty");
    }
    if is_blank(beat.rack_id.as_ref()) {
        return refuse("the rack id is empty");
    }
    match beat.member_epoch {
        JOIN_EPOCH => {
            if beat.rebalance_timeout_ms.is_none() {
                return refuse("a member joins with a rebalance timeout");
            }
            if beat.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return refuse("a member joins with an empty list of partitions");
            }
            if beat.topics.is_none() && beat.regex.is_none() {
                return refuse("a member joins with topic names or a regular expression");
            }
        }
        AWAY_EPOCH if beat.instance_id.is_none() => {
            return refuse("only a static member leaves for a moment");
        }
        ..AWAY_EPOCH => return refuse("the member epoch is below -2"),
        _ => {}
    }
    if let Some(assignor) = &beat.assignor
        && Assignor::named(assignor).is_none()
    {
        return Err(ConsumerError::UnsupportedAssignor {
            supported: Assignor::ALL.map(Assignor::name).join(", "),
        });
    }
    Ok(validate_sizes(beat, turn)?)
}

/// What is kept must fit its record.
fn validate_sizes(beat: &ConsumerHeartbeat, turn: &Turn) -> Result<(), GroupError> {
    check_group_id(&beat.group)?;
    check_name("member id", &beat.member_id, STRING_BYTES_MAX)?;
    let named = [
        ("group instance id", beat.instance_id.as_ref()),
        ("rack id", beat.rack_id.as_ref()),
        ("client id", Some(&beat.client_id)),
        ("client host", Some(&beat.client_host)),
        ("regular expression", beat.regex.as_ref()),
    ];
    for (field, name) in named {
        if let Some(name) = name {
            check_name(field, name, STRING_BYTES_MAX)?;
        }
    }
    let mut bytes = 0;
    for topic in beat.topics.iter().flatten() {
        check_name("topic", topic, STRING_BYTES_MAX)?;
        bytes += topic.len();
    }
    let max_bytes = turn.settings.group_record_bytes_max;
    if bytes > max_bytes {
        return Err(GroupError::GroupTooLarge { bytes, max_bytes });
    }
    Ok(())
}

/// A full request wants a full answer: joining, or after an error.
const fn is_full(beat: &ConsumerHeartbeat) -> bool {
    beat.member_epoch == JOIN_EPOCH
        || (beat.rebalance_timeout_ms.is_some()
            && (beat.topics.is_some() || beat.regex.is_some())
            && beat.owned.is_some())
}

/// The member as it says it is now.
fn told(known: &ConsumerMemberMetadata, beat: &ConsumerHeartbeat) -> ConsumerMemberMetadata {
    let or_known =
        |told: &Option<String>, known: &Option<String>| told.clone().or_else(|| known.clone());
    ConsumerMemberMetadata {
        instance_id: or_known(&beat.instance_id, &known.instance_id),
        rack_id: or_known(&beat.rack_id, &known.rack_id),
        client_id: beat.client_id.clone(),
        client_host: beat.client_host.clone(),
        topics: match &beat.topics {
            Some(topics) => topics.iter().cloned().collect::<BTreeSet<_>>(),
            None => known.topics.clone(),
        },
        regex: or_known(&beat.regex, &known.regex).filter(|regex| !regex.is_empty()),
        rebalance_timeout_ms: beat
            .rebalance_timeout_ms
            .unwrap_or(known.rebalance_timeout_ms),
        assignor: or_known(&beat.assignor, &known.assignor),
        classic: None,
    }
}

/// Finds the member, or makes it if it joins.
fn admit(
    draft: &mut Draft,
    beat: &ConsumerHeartbeat,
    turn: &Turn,
) -> Result<Admitted, ConsumerError> {
    let joins = beat.member_epoch == JOIN_EPOCH;
    let member_id = match beat.new_member_uuid {
        Some(uuid) if beat.member_id.is_empty() => uuid.to_string(),
        _ => beat.member_id.clone(),
    };
    let known = draft.group().members.get(&member_id).cloned();
    let before = match &beat.instance_id {
        Some(instance_id) => admit_static(draft, &member_id, instance_id, joins)?,
        None => known,
    };
    let before = match before {
        Some(before) => before,
        None if !joins => return Err(GroupError::UnknownMember.into()),
        None if draft.group().members.len() >= turn.settings.consumer_members_max => {
            return Err(GroupError::GroupFull.into());
        }
        None => Arc::default(),
    };
    validate_epoch(&before, beat)?;
    Ok(Admitted { member_id, before })
}

/// A static member that comes back under another id takes the place of its former self, once that
/// has left. A former self that speaks the classic protocol is fenced instead: it cannot say that
/// it will be back.
fn admit_static(
    draft: &mut Draft,
    member_id: &str,
    instance_id: &str,
    joins: bool,
) -> Result<Option<Arc<ConsumerMember>>, ConsumerError> {
    let Some((old_id, old)) = draft.group().instance(instance_id) else {
        return if joins {
            Ok(draft.group().members.get(member_id).cloned())
        } else {
            Err(GroupError::UnknownMember.into())
        };
    };
    if old_id == member_id {
        return Ok(Some(Arc::clone(old)));
    }
    if !joins {
        return Err(GroupError::FencedInstance.into());
    }
    if !old.is_classic() && old.current.epoch != AWAY_EPOCH {
        return Err(ConsumerError::UnreleasedInstance);
    }
    let (old_id, member) = (old_id.clone(), reborn(old));
    draft.replace_member(&old_id, member_id, &member);
    Ok(Some(Arc::new(member)))
}

/// The member that takes the place of a static one: what was assigned to it, in no epoch yet.
pub(super) fn reborn(member: &ConsumerMember) -> ConsumerMember {
    let mut member = member.clone();
    member.current.epoch = JOIN_EPOCH;
    member.current.previous_epoch = JOIN_EPOCH;
    member
}

/// A member may be one answer behind, if it owns nothing that is no longer its own; and it may
/// always begin anew, which it does owning nothing.
fn validate_epoch(member: &ConsumerMember, beat: &ConsumerHeartbeat) -> Result<(), ConsumerError> {
    let current = &member.current;
    if beat.member_epoch == JOIN_EPOCH || beat.member_epoch == current.epoch {
        return Ok(());
    }
    let owned = beat.owned.as_ref();
    let lost_an_answer = beat.member_epoch < current.epoch
        && beat.member_epoch == current.previous_epoch
        && owned.is_some_and(|owned| owned.is_within(&current.assigned));
    if lost_an_answer {
        Ok(())
    } else {
        Err(ConsumerError::FencedMemberEpoch)
    }
}
