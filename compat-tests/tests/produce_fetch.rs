//! Records come back as sent, through every client and codec, and whoever reads them.
//!
//! Each test is one client library on a broker of its own.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::*;
use tidelog_compat_tests::{test_clients, test_full_clients};

const ALL: &[&str] = &[
    "roundtrip",
    "batches",
    "acks",
    "idempotent",
    "autocreate",
    "offsets",
];

test_full_clients!(check);
test_clients!(check; confluent_of_2022: CONFLUENT_OLD);

#[track_caller]
fn check(client: Client) {
    check_only(client, ALL);
}

#[track_caller]
fn check_only(client: Client, scenarios: &[&str]) {
    let broker = Broker::start().expect("broker");
    client.expect(&broker.address(), scenarios);
}

#[test]
fn kafka_go() {
    check_only(KAFKA_GO, &["roundtrip", "batches", "acks", "offsets"]);
}

#[test]
fn kcat() {
    check_only(KCAT, &["list", "roundtrip", "offsets", "autocreate"]);
}

/// One writes in every codec, all others arrive at the same hash over keys, values, headers, timestamps.
#[test]
fn every_client_reads_what_librdkafka_wrote() {
    let broker = Broker::start().expect("broker");
    let written = CONFLUENT
        .run(&broker.address(), "roundtrip", &[])
        .expect("client program");
    assert!(written.passed(), "{written}");
    let digest = written.texts("digest")[0];
    for topic in written.texts("topic") {
        for reader in [
            KAFKA_PYTHON,
            AIOKAFKA,
            JAVA,
            KAFKAJS,
            FRANZ,
            SARAMA,
            KAFKA_GO,
        ] {
            let read = reader
                .run(&broker.address(), "digest", &[topic])
                .expect("client program");
            assert!(read.passed(), "{} reading {topic}: {read}", reader.name);
            assert_eq!(
                read.texts("digest"),
                [digest],
                "{} reading {topic}",
                reader.name
            );
        }
    }
}
