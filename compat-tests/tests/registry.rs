//! The schema registry: stock serializers and registry clients, over restarts and a kill.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::{Client, LAKE, REGISTRY_GO, REGISTRY_JAVA, REGISTRY_PYTHON};

#[track_caller]
fn expect(client: Client, broker: &Broker, scenario: &str, arguments: &[&str]) {
    let registry = broker.registry_address();
    let arguments = [&[registry.as_str()], arguments].concat();
    let verdict = client
        .run(&broker.address(), scenario, &arguments)
        .expect("client program");
    assert!(verdict.passed(), "{scenario} {arguments:?}: {verdict}");
}

#[test]
fn confluent_python() {
    let broker = Broker::start_tidelog().expect("broker");
    for scenario in ["serializers", "headers", "async", "api"] {
        expect(REGISTRY_PYTHON, &broker, scenario, &[]);
    }
}

#[test]
fn what_serializers_write_are_rows_of_iceberg_tables() {
    let broker = Broker::start_tidelog().expect("broker");
    expect(REGISTRY_PYTHON, &broker, "tables", &[]);
    let catalog = broker.catalog_address();
    let verdict = LAKE
        .run(&broker.address(), "registered", &[&catalog])
        .expect("client program");
    assert!(verdict.passed(), "{verdict}");
}

#[test]
fn franz_go() {
    let broker = Broker::start_tidelog().expect("broker");
    expect(REGISTRY_GO, &broker, "api", &[]);
}

#[test]
fn confluent_java() {
    let broker = Broker::start_tidelog().expect("broker");
    expect(REGISTRY_JAVA, &broker, "api", &[]);
}

#[test]
fn restart_and_kill_keep_everything() {
    let mut broker = Broker::start_tidelog().expect("broker");
    let seen = broker.data().with_extension("seen");
    let seen = [seen.to_str().expect("a path in text")];
    expect(REGISTRY_PYTHON, &broker, "serializers", &[]);
    expect(REGISTRY_PYTHON, &broker, "remember", &seen);
    broker.kill().expect("kill");
    broker.restart().expect("start after a kill");
    expect(REGISTRY_PYTHON, &broker, "remember", &seen);
    let stopped = broker.terminate().expect("clean stop");
    assert!(stopped.success(), "{stopped}");
    broker.restart().expect("start after a clean stop");
    expect(REGISTRY_PYTHON, &broker, "remember", &seen);
}
