//! Kafka's own command-line tools do their work and say what they say of Kafka.

use tidelog_compat_tests::advertised::{self, TRANSACTIONS};
use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::FRAMEWORKS;

/// A command about the cluster and the API it cannot do without.
const CLUSTER: &[(&str, i16)] = &[
    ("api-versions", 18),
    ("cluster", 60),
    ("log-dirs", 35),
    ("features", 24), // transaction.version comes with transactions.
    ("quorum", 55),
    ("leader-election", 43),
    ("reassignments", 46),
];

/// DescribeProducers, DescribeTransactions, ListTransactions, WriteTxnMarkers.
const TRANSACTION_TOOLS: &[i16] = &[61, 65, 66, 27];

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
    let served = advertised::apis(&broker.address()).expect("ApiVersions");
    let (able, unable): (Vec<_>, Vec<_>) = CLUSTER
        .iter()
        .partition(|(_, key)| served.contains_key(key));
    println!("not served yet: {unable:?}");
    let steps: Vec<_> = able.iter().map(|(step, _)| *step).collect();
    let verdict = FRAMEWORKS
        .run(&broker.address(), "cluster-commands", &[&steps.join(",")])
        .expect("client program");
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.texts("step"), steps);
}

#[test]
fn transactions() {
    let broker = Broker::start().expect("broker");
    let needed = [TRANSACTIONS, TRANSACTION_TOOLS].concat();
    FRAMEWORKS.expect_once_served(&broker.address(), &needed, &["transaction-commands"]);
}
