//! Flink SQL reads a topic as a table and writes others. It installs 150 MB and takes a minute: `--ignored`.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::FLINK;

#[test]
#[ignore = "installs Flink; run by suites/flink.sh"]
fn sql() {
    let broker = Broker::start().expect("broker");
    FLINK.expect(&broker.address(), &["sql"]);
}

#[test]
#[ignore = "installs Flink; run by suites/flink.sh"]
fn sql_exactly_once() {
    let broker = Broker::start().expect("broker");
    FLINK.expect(&broker.address(), &["sql-exactly-once"]);
}
