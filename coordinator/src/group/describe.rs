//! Looking at groups and deleting them: DescribeGroups, ListGroups, DeleteGroups.

use std::collections::BTreeSet;

use super::Groups;
use super::classic::Phase;
use super::command::{
    CLASSIC_GROUP_TYPE, CONSUMER_GROUP_TYPE, DescribedGroup, GroupState, ListGroups, ListedGroup,
};
use super::error::GroupError;
use super::member::Member;
use super::record::GroupRecord;
use super::subscription::CONSUMER_PROTOCOL_TYPE;
use super::turn::Turn;

impl Groups {
    /// DescribeGroups knows classic groups only: others are `Dead` to it.
    pub(super) fn describe(&self, group_id: &str) -> DescribedGroup {
        if self.is_consumer_group(group_id) {
            return DescribedGroup {
                group: group_id.to_owned(),
                state: GroupState::Dead,
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            };
        }
        let live = self.live.get(group_id);
        let settled = live.filter(|group| matches!(group.phase, Phase::Stable(_)));
        let protocol = settled.and_then(|group| group.protocol.as_deref());
        let members = live.map(|group| {
            let described = |member: &Member| member.to_described(protocol);
            group.members.values().map(described).collect()
        });
        DescribedGroup {
            group: group_id.to_owned(),
            state: self.state(group_id),
            protocol_type: self.protocol_type(group_id).to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.unwrap_or_default(),
        }
    }

    pub(super) fn list(&self, filter: &ListGroups) -> Vec<ListedGroup> {
        let passes = |wanted: &[String], name: &str| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let recorded = self.durable.groups().map(|(group, _)| group);
        let with_offsets = self.durable.groups_with_offsets().map(|(group, _)| group);
        let groups: BTreeSet<&String> = recorded
            .chain(with_offsets)
            .chain(self.durable.pending.keys().map(|(group, ..)| group))
            .chain(self.live.keys())
            .chain(self.durable.consumer_groups().map(|(group, _)| group))
            .collect();
        let listed = groups.into_iter().map(|group| ListedGroup {
            group: group.clone(),
            protocol_type: self.protocol_type(group).to_owned(),
            state: self.state(group),
            group_type: if self.is_consumer_group(group) {
                CONSUMER_GROUP_TYPE
            } else {
                CLASSIC_GROUP_TYPE
            },
        });
        listed
            .filter(|listed| passes(&filter.types, listed.group_type))
            .filter(|listed| passes(&filter.states, listed.state.name()))
            .collect()
    }

    /// Forgets a group without members, its offsets, and ids promised to joiners.
    pub(super) fn delete_group(
        &mut self,
        group_id: &str,
        turn: &mut Turn,
    ) -> Result<(), GroupError> {
        match self.state(group_id) {
            GroupState::Dead => return Err(GroupError::GroupNotFound),
            GroupState::Empty => {}
            _ => return Err(GroupError::NonEmptyGroup),
        }
        self.live.remove(group_id);
        self.alarms.set(group_id, None);
        self.forget_offsets(group_id, turn);
        self.forget_consumer_group(group_id, turn);
        if self.durable.group(group_id).is_some() {
            turn.write(GroupRecord::Group {
                group: group_id.to_owned(),
                value: None,
            });
        }
        Ok(())
    }

    fn state(&self, group_id: &str) -> GroupState {
        if let Some(group) = self.durable.consumer_group(group_id) {
            return group.state();
        }
        match self.live.get(group_id) {
            Some(group) => group.state(),
            None if self.durable.contains(group_id) => GroupState::Empty,
            None => GroupState::Dead,
        }
    }

    fn protocol_type(&self, group_id: &str) -> &str {
        if self.is_consumer_group(group_id) {
            return CONSUMER_PROTOCOL_TYPE;
        }
        let live = self
            .live
            .get(group_id)
            .and_then(|group| group.protocol_type.as_deref());
        let stored = self
            .durable
            .group(group_id)
            .map(|stored| stored.protocol_type.as_str());
        live.or(stored).unwrap_or_default()
    }
}
