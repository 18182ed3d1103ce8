//! Making, growing and deleting topics. Each topic of a request stands or falls on its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use uuid::Uuid;

use super::command::{CreatedTopic, GrowTopic, INTERNAL_TOPICS, NewTopic, TopicRef};
use super::controller::{Cluster, Draft, ReplicationPolicy};
use super::error::ClusterError;
use super::image::{Image, PartitionsCreated, Topic};
use super::record::Record;
use super::settings::{ConfigError, Overrides, check_topic};
use super::views::{check_unseen, view_grows_with};

const NAME_CHARS_MAX: usize = 249;

/// Kafka's own metadata topic and its "no topic" value; clients give them a meaning.
const RESERVED_IDS: [Uuid; 2] = [Uuid::nil(), Uuid::from_u128(1)];

impl Cluster {
    pub(super) fn create_topics(
        &self,
        draft: &mut Draft,
        now_ms: i64,
        topics: Vec<NewTopic>,
        incarnation: u32,
    ) -> Vec<(String, Result<CreatedTopic, ClusterError>)> {
        let repeats = count(topics.iter().map(|topic| topic.name.clone()));
        topics
            .into_iter()
            .map(|new| {
                let name = new.name.clone();
                let result = match repeats[&name] {
                    1 => self.create_topic(draft, now_ms, new, incarnation),
                    _ => Err(ClusterError::DuplicateTopic {
                        topic: name.clone(),
                    }),
                };
                (name, result)
            })
            .collect()
    }

    pub(super) fn auto_create_topics(
        &self,
        draft: &mut Draft,
        now_ms: i64,
        topics: Vec<(String, Uuid)>,
        incarnation: u32,
    ) -> Vec<(String, Result<CreatedTopic, ClusterError>)> {
        topics
            .into_iter()
            .map(|(name, id)| {
                let result = match draft.image.topic(&name) {
                    Some(topic) => Ok(CreatedTopic {
                        topic: Arc::clone(topic),
                        clamped_from: None,
                    }),
                    None => self.create_topic(draft, now_ms, by_default(&name, id), incarnation),
                };
                (name, result)
            })
            .collect()
    }

    fn create_topic(
        &self,
        draft: &mut Draft,
        now_ms: i64,
        new: NewTopic,
        incarnation: u32,
    ) -> Result<CreatedTopic, ClusterError> {
        check_name(&new.name)?;
        check_free(&draft.image, &new)?;
        let overrides = collect(new.configs.clone())?;
        let source = self.source_of_new(&draft.image, &new, &overrides)?;
        let partitions = match &source {
            Some(source) => self.partitions_of_view(&new, source)?,
            None => self.partitions_of(&new)?,
        };
        self.check_room(&draft.image, partitions)?;
        let clamped_from = self.check_replication(new.replication_factor)?;
        check_topic(
            &Overrides::new(),
            &overrides,
            &self.layers(&draft.image),
            partitions,
        )?;
        let topic = Topic {
            name: new.name,
            id: new.id,
            partitions,
            overrides,
            created: vec![PartitionsCreated {
                first: 0,
                incarnation,
            }],
            internal: new.internal,
            created_at_ms: now_ms,
            partitioner_rules: None,
            schemas: Vec::new(),
            view_of: source.map(|source| source.id),
        };
        draft.push(Record::TopicCreated {
            topic: topic.clone(),
        });
        Ok(CreatedTopic {
            topic: Arc::new(topic),
            clamped_from,
        })
    }

    pub(super) fn delete_topics(
        &self,
        draft: &mut Draft,
        topics: Vec<TopicRef>,
    ) -> Vec<(TopicRef, Result<Arc<Topic>, ClusterError>)> {
        let found: Vec<_> = topics
            .iter()
            .map(|topic| find(&draft.image, topic))
            .collect();
        let repeats = count(found.iter().flatten().map(|topic| topic.id));
        let goes = |topic: Uuid| repeats.get(&topic) == Some(&1);
        topics
            .into_iter()
            .zip(found)
            .map(|(asked, found)| {
                let result = found.and_then(|topic| {
                    if repeats[&topic.id] > 1 {
                        return Err(ClusterError::DuplicateTopic {
                            topic: asked.to_string(),
                        });
                    }
                    if topic.internal {
                        let name = topic.name.clone();
                        return Err(ClusterError::InternalTopic {
                            name,
                            action: "deleted",
                        });
                    }
                    check_unseen(&draft.image, &topic, goes)?;
                    draft.push(Record::TopicDeleted {
                        id: topic.id,
                        name: topic.name.clone(),
                    });
                    Ok(topic)
                });
                (asked, result)
            })
            .collect()
    }

    pub(super) fn create_partitions(
        &self,
        draft: &mut Draft,
        topics: Vec<GrowTopic>,
        incarnation: u32,
    ) -> Vec<(String, Result<Arc<Topic>, ClusterError>)> {
        let repeats = count(topics.iter().map(|topic| topic.name.clone()));
        topics
            .into_iter()
            .map(|grow| {
                let result = match repeats[&grow.name] {
                    1 => self.grow_topic(draft, &grow, incarnation),
                    _ => Err(ClusterError::DuplicateTopic {
                        topic: grow.name.clone(),
                    }),
                };
                (grow.name, result)
            })
            .collect()
    }

    fn grow_topic(
        &self,
        draft: &mut Draft,
        grow: &GrowTopic,
        incarnation: u32,
    ) -> Result<Arc<Topic>, ClusterError> {
        let topic = find(&draft.image, &TopicRef::Name(grow.name.clone()))?;
        if grow.total <= topic.partitions {
            let reason = format!(
                "topic {} has {} partitions and cannot go to {}: ask for more than it has",
                topic.name, topic.partitions, grow.total
            );
            return Err(ClusterError::InvalidPartitions { reason });
        }
        if topic.internal {
            let name = topic.name.clone();
            return Err(ClusterError::InternalTopic {
                name,
                action: "given more partitions",
            });
        }
        if let Some(source) = draft.image.source_of(&topic) {
            return Err(view_grows_with(&topic, source));
        }
        let options = &self.options;
        let settings = draft
            .image
            .settings(&topic, options.node_id, &options.settings);
        if settings.table.key.is_keyed() {
            return Err(ClusterError::KeyedTableFixed {
                name: topic.name.clone(),
            });
        }
        let added = grow.total - topic.partitions;
        if let Some(assignments) = &grow.assignments {
            self.check_new_replicas(assignments, added)?;
        }
        let views = draft.image.views_of(topic.id).map(|view| view.id);
        let growing: Vec<Uuid> = std::iter::once(topic.id).chain(views).collect();
        let growing_count = i32::try_from(growing.len()).unwrap_or(i32::MAX);
        self.check_room(&draft.image, added.saturating_mul(growing_count))?;
        for id in growing {
            draft.push(Record::PartitionsAdded {
                id,
                total: grow.total,
                incarnation,
            });
        }
        find(&draft.image, &TopicRef::Id(topic.id))
    }

    /// How many partitions a new topic gets: from its assignments, its count, or the default.
    pub(super) fn partitions_of(&self, new: &NewTopic) -> Result<i32, ClusterError> {
        if !new.assignments.is_empty() {
            if new.partitions != -1 || new.replication_factor != -1 {
                return Err(ClusterError::AssignmentsAndCounts);
            }
            return self.check_assignments(&new.assignments);
        }
        match new.partitions {
            -1 => Ok(self.options.default_partitions),
            1.. => Ok(new.partitions),
            other => Err(ClusterError::InvalidPartitions {
                reason: format!(
                    "{other} partitions are not possible: ask for 1 or more, or -1 for the default"
                ),
            }),
        }
    }

    /// Returns the factor asked for if fewer replicas are made.
    fn check_replication(&self, requested: i16) -> Result<Option<i16>, ClusterError> {
        let refuse = |reason| Err(ClusterError::InvalidReplicationFactor { requested, reason });
        match (requested, self.options.replication) {
            (-1 | 1, _) => Ok(None),
            (2.., ReplicationPolicy::Clamp) => Ok(Some(requested)),
            (2.., ReplicationPolicy::Refuse) => {
                refuse("the cluster has one broker; ask for 1 or -1")
            }
            _ => refuse("ask for 1, or -1 for the default"),
        }
    }

    fn check_room(&self, image: &Image, added: i32) -> Result<(), ClusterError> {
        let (used, max) = (image.partition_count(), self.options.partitions_max);
        if used + i64::from(added) <= max {
            return Ok(());
        }
        Err(ClusterError::InvalidPartitions {
            reason: format!(
                "{added} more partitions do not fit: the cluster has {used} of at most {max}"
            ),
        })
    }

    /// Every partition from 0 on exactly once, each on this broker alone; returns their number.
    fn check_assignments(&self, assignments: &[(i32, Vec<i32>)]) -> Result<i32, ClusterError> {
        let mut partitions: Vec<i32> = assignments
            .iter()
            .map(|(partition, _)| *partition)
            .collect();
        partitions.sort_unstable();
        if partitions
            .iter()
            .zip(0..)
            .any(|(partition, expected)| *partition != expected)
        {
            return Err(ClusterError::InvalidReplicaAssignment {
                reason: "number the partitions from 0 on, each once".into(),
            });
        }
        for (partition, replicas) in assignments {
            self.check_replicas(*partition, replicas)?;
        }
        i32::try_from(assignments.len()).map_err(|_| ClusterError::InvalidPartitions {
            reason: "more partitions are assigned than can be counted".into(),
        })
    }

    fn check_new_replicas(&self, assignments: &[Vec<i32>], added: i32) -> Result<(), ClusterError> {
        if i32::try_from(assignments.len()) != Ok(added) {
            return Err(ClusterError::InvalidReplicaAssignment {
                reason: format!(
                    "{} new partitions, but {added} are to be added",
                    assignments.len()
                ),
            });
        }
        (0..)
            .zip(assignments)
            .try_for_each(|(at, replicas)| self.check_replicas(at, replicas))
    }

    fn check_replicas(&self, partition: i32, replicas: &[i32]) -> Result<(), ClusterError> {
        let node = self.options.node_id;
        if replicas == [node] {
            return Ok(());
        }
        Err(ClusterError::InvalidReplicaAssignment {
            reason: format!("partition {partition} can only be on broker {node}, and only once"),
        })
    }
}

/// Kafka's rule for topic names.
pub(super) fn check_name(name: &str) -> Result<(), ClusterError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_CHARS_MAX {
        "it is longer than 249 characters"
    } else if name == "." || name == ".." {
        "it may not be '.' or '..'"
    } else if !name.bytes().all(legal) {
        "use only letters and digits of ASCII, '.', '_' and '-'"
    } else {
        return Ok(());
    };
    // The name may be anything up to a whole request.
    Err(ClusterError::InvalidTopicName {
        name: name.chars().take(NAME_CHARS_MAX).collect(),
        reason,
    })
}

fn check_free(image: &Image, new: &NewTopic) -> Result<(), ClusterError> {
    let name = || new.name.clone();
    if let Some(existing) = image.colliding(&new.name) {
        return Err(match existing.name == new.name {
            true => ClusterError::TopicExists { name: name() },
            false => ClusterError::NameCollision {
                name: name(),
                existing: existing.name.clone(),
            },
        });
    }
    if !new.internal && INTERNAL_TOPICS.contains(&new.name.as_str()) {
        return Err(ClusterError::InternalTopic {
            name: name(),
            action: "created by clients",
        });
    }
    if RESERVED_IDS.contains(&new.id) || image.topic_by_id(new.id).is_some() {
        return Err(ClusterError::TopicIdTaken { id: new.id });
    }
    Ok(())
}

/// A list of settings as a map: no repeats, nothing without value.
pub(super) fn collect(configs: Vec<(String, Option<String>)>) -> Result<Overrides, ConfigError> {
    let mut overrides = Overrides::new();
    for (name, value) in configs {
        let value = value.ok_or_else(|| ConfigError::Null { name: name.clone() })?;
        if overrides.insert(name.clone(), value).is_some() {
            return Err(ConfigError::Duplicate { name });
        }
    }
    Ok(overrides)
}

fn by_default(name: &str, id: Uuid) -> NewTopic {
    NewTopic {
        name: name.into(),
        id,
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
        internal: false,
    }
}

fn find(image: &Image, topic: &TopicRef) -> Result<Arc<Topic>, ClusterError> {
    match topic {
        TopicRef::Name(name) => image
            .topic(name)
            .cloned()
            .ok_or_else(|| ClusterError::UnknownTopic { name: name.clone() }),
        TopicRef::Id(id) => image
            .topic_by_id(*id)
            .cloned()
            .ok_or(ClusterError::UnknownTopicId { id: *id }),
    }
}

/// How often each item occurs.
pub(super) fn count<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}
