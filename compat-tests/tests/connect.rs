//! Distributed Connect workers carry a file through a topic into another file; MirrorMaker 2 carries
//! topics and positions between Apache Kafka and us, both ways, and exactly once though it is killed.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::FRAMEWORKS;

#[test]
fn files() {
    let broker = Broker::start().expect("broker");
    FRAMEWORKS.expect(&broker.address(), &["connect"]);
}

#[test]
fn files_exactly_once() {
    let broker = Broker::start().expect("broker");
    FRAMEWORKS.expect(&broker.address(), &["connect-exactly-once"]);
}

#[test]
fn mirror() {
    mirrors("mirror");
}

#[test]
fn mirror_exactly_once() {
    mirrors("mirror-exactly-once");
}

#[track_caller]
fn mirrors(scenario: &str) {
    let ours = Broker::start().expect("broker");
    let theirs = Broker::start_kafka().expect("Apache Kafka");
    let verdict = FRAMEWORKS
        .run(&ours.address(), scenario, &[&theirs.address()])
        .expect("client program");
    assert!(verdict.passed(), "{verdict}");
}
