//! Aborted records stay unseen, an open transaction holds back what follows it, positions and records are
//! committed together, and the second producer of a name shuts the first out; through each client.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::*;

#[track_caller]
fn check(client: Client) {
    let broker = Broker::start().expect("broker");
    client.expect(&broker.address(), &["transactions"]);
}

#[test]
fn confluent() {
    check(CONFLUENT);
}

#[test]
fn confluent_of_2022() {
    check(CONFLUENT_OLD);
}

#[test]
fn kafka_python() {
    check(KAFKA_PYTHON);
}

#[test]
fn aiokafka() {
    check(AIOKAFKA);
}

#[test]
fn java() {
    check(JAVA);
}

#[test]
fn java_3() {
    check(JAVA_3);
}

#[test]
fn java_of_2021() {
    check(JAVA_OLD);
}

#[test]
fn kafkajs() {
    check(KAFKAJS);
}

#[test]
fn franz_go() {
    check(FRANZ);
}

#[test]
fn sarama() {
    check(SARAMA);
}
