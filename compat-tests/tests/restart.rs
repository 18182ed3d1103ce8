//! A clean stop and a kill -9 both leave every acknowledged record, topic and committed offset.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::*;

#[test]
fn records_survive_sigterm_and_kill() {
    let mut broker = Broker::start().expect("broker");
    let written = CONFLUENT
        .run(&broker.address(), "roundtrip", &[])
        .expect("client program");
    assert!(written.passed(), "{written}");

    let stopped = broker.terminate().expect("clean stop");
    // A JVM stopped by a signal says so in its exit code.
    assert!(stopped.success() || broker.is_kafka(), "{stopped}");
    broker.restart().expect("start after a clean stop");
    expect_unchanged(&broker, &written);

    broker.kill().expect("kill");
    broker.restart().expect("start after a kill");
    expect_unchanged(&broker, &written);
    CONFLUENT.expect(&broker.address(), &["idempotent", "group"]);
}

#[track_caller]
fn expect_unchanged(broker: &Broker, written: &Verdict) {
    for topic in written.texts("topic") {
        let read = CONFLUENT
            .run(&broker.address(), "digest", &[topic])
            .expect("client program");
        assert!(read.passed(), "{read}");
        assert_eq!(read.texts("digest"), written.texts("digest")[..1]);
    }
}
