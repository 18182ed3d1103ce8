//! Kafka's own command-line tools do their work and say what they say of Kafka.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::FRAMEWORKS;

/// Commands about the cluster.
const CLUSTER: [&str; 7] = [
    "api-versions",
    "cluster",
    "log-dirs",
    "features",
    "quorum",
    "leader-election",
    "reassignments",
];

#[track_caller]
fn check(scenario: &str) {
    let broker = Broker::start().expect("broker");
    FRAMEWORKS.expect(&broker.address(), &[scenario]);
}

#[test]
fn topics_configs_and_records() {
    check("topic-commands");
}

#[test]
fn quotas() {
    check("quota-commands");
}

#[test]
fn groups() {
    check("group-commands");
}

#[test]
fn load() {
    check("load-commands");
}

#[test]
fn cluster() {
    let broker = Broker::start().expect("broker");
    let verdict = FRAMEWORKS
        .run(&broker.address(), "cluster-commands", &[&CLUSTER.join(",")])
        .expect("client program");
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.texts("step"), CLUSTER);
}

#[test]
fn transactions() {
    check("transaction-commands");
}
