//! Follows what the group wants: the topics as they are, the epoch when anything changed, and the
//! target assignment for that epoch.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::assignment::Assignment;
use super::assignor::{Assignor, Wanted, Wish};
use super::draft::Draft;
use super::group::{ConsumerGroup, ConsumerMember};
use super::record::{ConsumerRecord, ResolvedRegex};
use super::regex;
use super::topics::TopicImage;

impl Draft {
    /// Looks at the topics anew. The epoch grows if they changed or `force` says so.
    pub(super) fn refresh(&mut self, image: &TopicImage, force: bool) {
        let topics = self.group().subscribed_topics(image);
        let changed = topics != self.group().topics;
        if changed {
            self.write(ConsumerRecord::Topics(Some(topics)));
        }
        if changed || force {
            let epoch = self.group().next_epoch();
            self.write(ConsumerRecord::Group(Some(epoch)));
        }
    }

    /// Resolves expressions that are new, and all of them if `again`; forgets those nobody uses any
    /// more. Whether what they stand for changed.
    pub(super) fn resolve_regexes(&mut self, image: &TopicImage, again: bool, now_ms: i64) -> bool {
        let used = self.group().used_regexes();
        let to_resolve: Vec<String> = used
            .into_iter()
            .filter(|regex| again || !self.group().regexes.contains_key(*regex))
            .cloned()
            .collect();
        let mut changed = false;
        for regex in to_resolve {
            let known = self.group().regexes.get(&regex);
            let topics = regex::matching(&regex, image);
            if known.is_none_or(|known| known.topics != topics) {
                changed |= known.is_some() || !topics.is_empty();
                let value = ResolvedRegex {
                    topics,
                    version: i64::try_from(image.version()).unwrap_or(i64::MAX),
                    timestamp_ms: now_ms,
                };
                self.write(ConsumerRecord::Regex {
                    regex,
                    value: Some(value),
                });
            }
        }
        self.forget_unused_regexes();
        changed
    }

    /// Brings the target up to the group's epoch.
    pub(super) fn retarget(&mut self, image: &TopicImage) {
        let group = self.group();
        if group.epoch == group.target_epoch {
            return;
        }
        let epoch = group.epoch;
        let shares = group.assignor().assign(&group.wanted(image));
        for (member_id, share) in shares {
            let known = self.group().targets.get(&member_id);
            if known.is_none_or(|known| **known != share) {
                self.write(ConsumerRecord::Target {
                    member_id,
                    value: Some(share),
                });
            }
        }
        self.write(ConsumerRecord::TargetEpoch(Some(epoch)));
    }
}

impl ConsumerGroup {
    /// The assignor most members wish for; of several the first in order, and the default if
    /// nobody wishes.
    pub(super) fn assignor(&self) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for member in self.members.values() {
            let wish = member.metadata.assignor.as_deref();
            if let Some(assignor) = wish.and_then(Assignor::named) {
                *votes.entry(assignor).or_default() += 1;
            }
        }
        let most = votes.values().copied().max();
        let winner = votes.into_iter().find(|&(_, count)| Some(count) == most);
        winner.map_or_else(Assignor::default, |(assignor, _)| assignor)
    }

    fn wanted(&self, image: &TopicImage) -> Wanted {
        let mut wanted = Wanted::default();
        for (member_id, member) in &self.members {
            let wish = self.wish(member_id, member, image, &mut wanted.partitions);
            wanted.members.insert(member_id.clone(), wish);
        }
        wanted
    }

    fn wish(
        &self,
        member_id: &str,
        member: &ConsumerMember,
        image: &TopicImage,
        partitions: &mut BTreeMap<Uuid, i32>,
    ) -> Wish {
        let topics = self.subscription(member).filter_map(|name| {
            let topic = image.get(name)?;
            partitions.insert(topic.id, topic.partitions);
            Some(topic.id)
        });
        let topics = topics.collect();
        let has = self.targets.get(member_id);
        Wish {
            instance_id: member.metadata.instance_id.clone(),
            topics,
            has: has.map_or_else(Assignment::default, |has| has.as_ref().clone()),
        }
    }
}
