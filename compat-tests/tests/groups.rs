//! Two members share a topic, one leaves, the group restarts and resumes exactly where it stood.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::*;

#[track_caller]
fn check(client: Client) {
    let broker = Broker::start().expect("broker");
    client.expect(&broker.address(), &["group"]);
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
fn java_of_2021() {
    check(JAVA_OLD);
}

#[test]
fn java_3() {
    check(JAVA_3);
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

#[test]
fn kafka_go() {
    check(KAFKA_GO);
}

#[test]
fn kcat() {
    check(KCAT);
}
