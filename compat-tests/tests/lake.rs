//! Topics as Iceberg tables, read through the catalog by PyIceberg and DuckDB.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::LAKE;

#[track_caller]
fn expect(broker: &Broker, scenario: &str, arguments: &[&str]) {
    let catalog = broker.catalog_address();
    let arguments = [&[catalog.as_str()], arguments].concat();
    let verdict = LAKE
        .run(&broker.address(), scenario, &arguments)
        .expect("client program");
    assert!(verdict.passed(), "{scenario} {arguments:?}: {verdict}");
}

#[test]
fn engines_read_each_record_once_across_a_kill() {
    let mut broker = Broker::start().expect("broker");
    if broker.is_kafka() {
        return;
    }
    expect(&broker, "write", &["0", "3000"]);
    expect(&broker, "check", &["3000"]);

    expect(&broker, "write", &["3000", "5000"]);
    broker.kill().expect("kill");
    broker.restart().expect("start after a kill");
    expect(&broker, "check", &["5000"]);

    expect(&broker, "write", &["5000", "6000"]);
    let stopped = broker.terminate().expect("clean stop");
    assert!(stopped.success(), "{stopped}");
    broker.restart().expect("start after a clean stop");
    expect(&broker, "check", &["6000"]);
}
