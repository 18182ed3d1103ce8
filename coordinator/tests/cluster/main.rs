//! The cluster machine from outside: commands in, records and replies out.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod configs;
mod features;
mod model;
mod pointers;
mod quotas;
mod records;
mod schemas;
mod topics;
mod views;

use tidelog_coordinator::cluster::settings::{BrokerSettings, Overrides};
use tidelog_coordinator::cluster::{
    Alteration, Cluster, ClusterOptions, Command, ConfigChange, ConfigEdit, ConfigResource, EditOp,
    NewTopic, Record, ReplicationPolicy, Reply,
};
use tidelog_coordinator::machine::{Machine, Token};
use uuid::Uuid;

/// A machine and the log it has written, run as the driver would.
struct Harness {
    cluster: Cluster,
    log: Vec<Record>,
}

impl Harness {
    fn new() -> Self {
        Harness::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ClusterOptions)) -> Self {
        let mut options = ClusterOptions {
            node_id: 1,
            default_partitions: 3,
            partitions_max: 100,
            replication: ReplicationPolicy::Clamp,
            features: [("group.version", 0..=1), ("metadata.version", 4..=7)].into(),
            settings: BrokerSettings::new([]),
        };
        change(&mut options);
        Harness {
            cluster: Cluster::new(options),
            log: Vec::new(),
        }
    }

    fn run(&mut self, command: Command) -> Reply {
        let decision = self.cluster.decide(1_000, Token(7), command);
        for record in decision.records {
            self.cluster.apply(&record);
            self.log.push(record);
        }
        let [(Token(7), reply)] = <[_; 1]>::try_from(decision.replies).unwrap() else {
            panic!("answered somebody else")
        };
        reply
    }

    /// Makes topics and shows each outcome as "ok" or the error's text.
    fn create(&mut self, topics: Vec<NewTopic>) -> Vec<String> {
        let command = Command::CreateTopics {
            topics,
            incarnation: 4,
            validate_only: false,
        };
        let Reply::Created(outcomes) = self.run(command) else {
            panic!()
        };
        outcomes
            .into_iter()
            .map(|(_, result)| shown(result.map(|_| ())))
            .collect()
    }

    fn edit(&mut self, resource: ConfigResource, edits: &[(&str, EditOp, &str)]) -> String {
        let edits = edits
            .iter()
            .map(|(name, op, value)| ConfigEdit {
                name: name.to_string(),
                op: *op,
                value: Some(value.to_string()),
            })
            .collect();
        self.alter(resource, Alteration::Edit(edits))
    }

    fn alter(&mut self, resource: ConfigResource, alteration: Alteration) -> String {
        let changes = vec![ConfigChange {
            resource,
            alteration,
        }];
        let Reply::Altered(mut outcomes) = self.run(Command::AlterConfigs {
            changes,
            validate_only: false,
        }) else {
            panic!()
        };
        shown(outcomes.remove(0).1)
    }

    fn overrides(&self, topic: &str) -> Overrides {
        self.cluster.image().topic(topic).unwrap().overrides.clone()
    }
}

fn shown(result: Result<(), impl std::fmt::Display>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "ok".into())
}

fn new_topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.into(),
        id: Uuid::new_v4(),
        partitions: -1,
        replication_factor: -1,
        assignments: vec![],
        configs: vec![],
        internal: false,
    }
}

fn configured(name: &str, configs: &[(&str, &str)]) -> NewTopic {
    let configs = configs
        .iter()
        .map(|(name, value)| (name.to_string(), Some(value.to_string())))
        .collect();
    NewTopic {
        configs,
        ..new_topic(name)
    }
}
