//! Kafka Streams counts words over restarts, a lost state folder and, with transactions, a failure.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::FRAMEWORKS;

#[test]
fn at_least_once() {
    let broker = Broker::start().expect("broker");
    FRAMEWORKS.expect(&broker.address(), &["streams"]);
}

#[test]
fn exactly_once() {
    let broker = Broker::start().expect("broker");
    FRAMEWORKS.expect(&broker.address(), &["streams-exactly-once"]);
}
