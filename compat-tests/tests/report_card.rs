//! Makes the clients' half of `REPORT.md`: takes minutes, so it is asked for.

use tidelog_compat_tests::card;
use tidelog_compat_tests::foreign::{
    AIOKAFKA, CONFLUENT, CONFLUENT_JS, CONFLUENT_JS_CALLBACKS, CONFLUENT_OLD, Client, FRANZ, JAVA,
    JAVA_3, JAVA_OLD, KAFKA_GO, KAFKA_PYTHON, KAFKAJS, KCAT, SARAMA,
};
use tidelog_compat_tests::workspace;

const MOST: &[&str] = &[
    "roundtrip",
    "batches",
    "acks",
    "idempotent",
    "autocreate",
    "offsets",
    "group",
    "transactions",
    "admin",
];

#[test]
#[ignore = "takes minutes; run it to write compat-tests/clients.md anew"]
fn every_client_and_what_it_asked_for() {
    let some: [(Client, &[&str]); 3] = [
        (CONFLUENT_OLD, &MOST[..MOST.len() - 1]),
        (
            KAFKA_GO,
            &["roundtrip", "batches", "acks", "offsets", "group"],
        ),
        (
            KCAT,
            &["list", "roundtrip", "offsets", "autocreate", "group"],
        ),
    ];
    let full = [
        CONFLUENT,
        KAFKA_PYTHON,
        AIOKAFKA,
        JAVA,
        JAVA_3,
        JAVA_OLD,
        KAFKAJS,
        CONFLUENT_JS,
        CONFLUENT_JS_CALLBACKS,
        FRANZ,
        SARAMA,
    ];
    let all = full.into_iter().map(|client| (client, MOST)).chain(some);
    let mut runs = Vec::new();
    for (client, scenarios) in all {
        runs.extend(card::run(&client, scenarios).expect("client program"));
    }
    let path = workspace().join("compat-tests/clients.md");
    std::fs::write(path, card::markdown(&runs)).expect("clients.md");
    let failed: Vec<_> = runs.iter().filter(|run| !run.passed).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
