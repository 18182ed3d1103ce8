//! Looking at groups of the new protocol.

use super::Groups;
use super::assignment::Assignment;
use super::command::{DescribedConsumer, DescribedConsumerGroup, NamedPartitions};
use super::group::ConsumerMember;
use super::topics::TopicImage;
use crate::group::error::GroupError;

impl Groups {
    /// ConsumerGroupDescribe; classic groups are not found here.
    pub(in crate::group) fn describe_consumer_group(
        &self,
        group_id: &str,
    ) -> Result<DescribedConsumerGroup, GroupError> {
        let draft = self.open(group_id)?;
        let group = draft.group();
        let members = group.members().map(|(member_id, member)| {
            let target = group.target(member_id);
            describe_member(member_id, member, &target, &self.topics)
        });
        Ok(DescribedConsumerGroup {
            state: group.state(),
            epoch: group.epoch,
            target_epoch: group.target_epoch,
            assignor: group.assignor().name(),
            members: members.collect(),
        })
    }
}

fn describe_member(
    member_id: &str,
    member: &ConsumerMember,
    target: &Assignment,
    image: &TopicImage,
) -> DescribedConsumer {
    let metadata = &member.metadata;
    DescribedConsumer {
        member_id: member_id.to_owned(),
        instance_id: metadata.instance_id.clone(),
        rack_id: metadata.rack_id.clone(),
        client_id: metadata.client_id.clone(),
        client_host: metadata.client_host.clone(),
        epoch: member.current.epoch,
        topics: metadata.topics.clone(),
        regex: metadata.regex.clone(),
        // What it is to give up is still its own.
        assigned: named(
            &member
                .current
                .assigned
                .clone()
                .plus(&member.current.revoking),
            image,
        ),
        target: named(target, image),
        is_classic: member.is_classic(),
    }
}

fn named(assignment: &Assignment, image: &TopicImage) -> Vec<NamedPartitions> {
    let topics = assignment.topics().filter_map(|(topic_id, partitions)| {
        Some(NamedPartitions {
            topic: image.name(topic_id)?.to_owned(),
            topic_id,
            partitions: partitions.iter().copied().collect(),
        })
    });
    topics.collect()
}
