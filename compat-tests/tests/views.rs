//! Views: what is shown of a table, and that every client family gets past what is not.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::*;

/// Among so many records a view shows two: the one in the middle and the last.
const RECORDS: &str = "1000000";

const CLIENTS: [Client; 14] = [
    CONFLUENT,
    CONFLUENT_OLD,
    KCAT,
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
    KAFKA_GO,
];

#[test]
fn every_client_passes_by_what_is_not_shown() {
    let broker = Broker::start_tidelog().expect("broker");
    let run = |client: Client, scenario, argument| {
        let verdict = client.run(&broker.address(), scenario, &[argument]);
        let verdict = verdict.expect("client program");
        assert!(verdict.passed(), "{}: {verdict}", client.name);
        verdict
    };
    let made = run(CONFLUENT, "rare-view", RECORDS);
    for client in CLIENTS {
        let read = run(client, "view", made.texts("topic")[0]);
        for offsets in read.texts("offsets") {
            let numbers = offsets.split(|c: char| !c.is_ascii_digit());
            let numbers: Vec<_> = numbers.filter(|number| !number.is_empty()).collect();
            assert_eq!(numbers, ["500000", "999999"], "{}: {read}", client.name);
        }
    }
}

#[test]
fn rows_are_values() {
    let broker = Broker::start_tidelog().expect("broker");
    CONFLUENT.expect(
        &broker.address(),
        &["view-contents", "view-transactions", "view-refusals"],
    );
}
