//! Random commands against a model that knows nothing of records: a map of names. After every
//! command the image matches the model; at the end log, checkpoint and live image agree.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::cluster::{
    Alteration, Command, ConfigChange, ConfigEdit, ConfigResource, EditOp, GrowTopic, Image,
    NewTopic, PointerChange, Record, Reply, TopicRef,
};
use uuid::Uuid;

use super::{Harness, new_topic};

const NAMES: [&str; 7] = ["a", "b", "a.b", "a_b", "c.d_e", "c_d.e", "bad/name"];
const PARTITIONS_MAX: i64 = 20;

#[derive(Debug, Clone, PartialEq)]
struct ModelTopic {
    id: Uuid,
    partitions: i32,
    retention: Option<String>,
}

#[derive(Default)]
struct Model {
    topics: BTreeMap<String, ModelTopic>,
    next_producer_id: i64,
    pointers: BTreeMap<String, String>,
}

impl Model {
    fn create(&mut self, new: &NewTopic) -> bool {
        let merged = |name: &str| name.replace('.', "_");
        let total: i64 = self
            .topics
            .values()
            .map(|topic| i64::from(topic.partitions))
            .sum();
        let partitions = if new.partitions == -1 {
            3
        } else {
            new.partitions
        };
        let legal = !new.name.contains('/')
            && !self
                .topics
                .keys()
                .any(|name| merged(name) == merged(&new.name))
            && partitions > 0
            && total + i64::from(partitions) <= PARTITIONS_MAX;
        if legal {
            let topic = ModelTopic {
                id: new.id,
                partitions,
                retention: None,
            };
            self.topics.insert(new.name.clone(), topic);
        }
        legal
    }

    fn grow(&mut self, name: &str, total: i32) -> bool {
        let all: i64 = self
            .topics
            .values()
            .map(|topic| i64::from(topic.partitions))
            .sum();
        let Some(topic) = self.topics.get_mut(name) else {
            return false;
        };
        let legal =
            total > topic.partitions && all + i64::from(total - topic.partitions) <= PARTITIONS_MAX;
        if legal {
            topic.partitions = total;
        }
        legal
    }

    fn point(&mut self, changes: &[PointerChange]) -> bool {
        let legal = changes
            .iter()
            .all(|change| self.pointers.get(&change.key) == change.expected.as_ref());
        for change in changes.iter().filter(|_| legal) {
            match &change.new {
                Some(new) => self.pointers.insert(change.key.clone(), new.clone()),
                None => self.pointers.remove(&change.key),
            };
        }
        legal
    }

    fn retain(&mut self, name: &str, value: Option<&str>) -> bool {
        let legal = value.is_none_or(|value| value.parse::<i64>().is_ok_and(|ms| ms >= -1));
        match self.topics.get_mut(name) {
            Some(topic) if legal => topic.retention = value.map(Into::into),
            _ => return false,
        }
        true
    }
}

fn step(rng: &mut SmallRng, harness: &mut Harness, model: &mut Model) {
    let name = NAMES[rng.random_range(0..NAMES.len())].to_owned();
    let (predicted, actual) = match rng.random_range(0..7) {
        0 | 1 => {
            let new = NewTopic {
                id: Uuid::from_u128(rng.random()),
                partitions: rng.random_range(-2..6),
                ..new_topic(&name)
            };
            let predicted = model.create(&new);
            let command = Command::CreateTopics {
                topics: vec![new],
                incarnation: 1,
                validate_only: false,
            };
            let Reply::Created(outcomes) = harness.run(command) else {
                panic!()
            };
            (predicted, outcomes[0].1.is_ok())
        }
        2 => {
            let by_id = model
                .topics
                .get(&name)
                .filter(|_| rng.random())
                .map(|topic| topic.id);
            let topic = by_id.map_or(TopicRef::Name(name.clone()), TopicRef::Id);
            let predicted = model.topics.remove(&name).is_some();
            let Reply::Deleted(outcomes) = harness.run(Command::DeleteTopics {
                topics: vec![topic],
            }) else {
                panic!()
            };
            (predicted, outcomes[0].1.is_ok())
        }
        3 => {
            let total = rng.random_range(0..9);
            let predicted = model.grow(&name, total);
            let topics = vec![GrowTopic {
                name,
                total,
                assignments: None,
            }];
            let command = Command::CreatePartitions {
                topics,
                incarnation: 2,
                validate_only: false,
            };
            let Reply::Grown(outcomes) = harness.run(command) else {
                panic!()
            };
            (predicted, outcomes[0].1.is_ok())
        }
        4 => {
            let value =
                [None, Some("5"), Some("-1"), Some("-2"), Some("soon")][rng.random_range(0..5)];
            let predicted = model.retain(&name, value);
            let edit = ConfigEdit {
                name: "retention.ms".into(),
                op: if value.is_some() {
                    EditOp::Set
                } else {
                    EditOp::Delete
                },
                value: value.map(Into::into),
            };
            let changes = vec![ConfigChange {
                resource: ConfigResource::Topic(name),
                alteration: Alteration::Edit(vec![edit]),
            }];
            let Reply::Altered(outcomes) = harness.run(Command::AlterConfigs {
                changes,
                validate_only: false,
            }) else {
                panic!()
            };
            (predicted, outcomes[0].1.is_ok())
        }
        5 => {
            let text = |rng: &mut SmallRng| [None, Some("x"), Some("y")][rng.random_range(0..3)];
            let changes: Vec<_> = ["p", "q"]
                .map(|key| PointerChange {
                    key: key.into(),
                    expected: text(rng).map(Into::into),
                    new: text(rng).map(Into::into),
                })
                .into();
            let predicted = model.point(&changes);
            let Reply::Pointers(outcome) = harness.run(Command::ChangePointers { changes }) else {
                panic!()
            };
            (predicted, outcome.is_ok())
        }
        _ => {
            let count = NonZeroU32::new(rng.random_range(1..50)).unwrap();
            let Reply::ProducerIds(Ok(range)) = harness.run(Command::AllocateProducerIds { count })
            else {
                panic!()
            };
            let predicted = model.next_producer_id;
            model.next_producer_id += i64::from(count.get());
            assert_eq!(range, predicted..model.next_producer_id);
            (true, true)
        }
    };
    assert_eq!(predicted, actual);
}

fn seen(image: &Image) -> BTreeMap<String, ModelTopic> {
    image
        .topics()
        .map(|topic| {
            assert_eq!(image.topic_by_id(topic.id), Some(topic));
            assert_eq!(image.topic(&topic.name), Some(topic));
            let retention = topic.overrides.get("retention.ms").cloned();
            let seen = ModelTopic {
                id: topic.id,
                partitions: topic.partitions,
                retention,
            };
            (topic.name.clone(), seen)
        })
        .collect()
}

#[test]
fn random_commands_match_the_model_and_every_recovery() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut harness = Harness::with(|options| options.partitions_max = PARTITIONS_MAX);
        let mut model = Model::default();
        let mut snapshots: Vec<(usize, Image)> = Vec::new();
        for _ in 0..120 {
            step(&mut rng, &mut harness, &mut model);
            let image = harness.cluster.image();
            assert_eq!(seen(image), model.topics, "seed {seed}");
            let total: i64 = model
                .topics
                .values()
                .map(|topic| i64::from(topic.partitions))
                .sum();
            assert_eq!(image.partition_count(), total, "seed {seed}");
            let pointers = model.pointers.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            assert!(image.pointers().with_prefix("").eq(pointers), "seed {seed}");
            snapshots.push((harness.log.len(), image.clone()));
        }
        check_recovery(&harness, &snapshots, seed);
    }
}

/// A published clone never changes; log, or checkpoint and the rest of the log, make the same image.
fn check_recovery(harness: &Harness, snapshots: &[(usize, Image)], seed: u64) {
    let log: Vec<Record> = harness
        .log
        .iter()
        .map(|record| Record::decode(&record.encode().unwrap().1).unwrap())
        .collect();
    assert_eq!(log, harness.log, "seed {seed}");
    let live = harness.cluster.image();
    for (position, snapshot) in snapshots {
        assert_eq!(&Image::restore(&log[..*position]), snapshot, "seed {seed}");
        let checkpoint = snapshot.checkpoint();
        assert_eq!(&Image::restore(&checkpoint), snapshot, "seed {seed}");
        let recovered = Image::restore(checkpoint.iter().chain(&log[*position..]));
        assert_eq!(&recovered, live, "seed {seed}");
    }
}
