//! Transactions as tools see them (KIP-664): described, listed, aborted by hand.

use serde_json::{Value, json};

use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{nowhere, text};
use super::transactions::{add, committed, finish, long_topic, producer, send, settled};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("transactions/describe", describe),
    script("transactions/list", list),
    script("transactions/markers", markers),
];

fn describe(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let producer = producer(talk, "p")?;
    let of = |names: Vec<String>| json!({ "transactional_ids": names });
    let api = "DescribeTransactions";
    talk.ask("empty", api, 0, of(vec![producer.name.clone()]))?;
    talk.quiet("AddPartitionsToTxn", 3, add(&producer, &[(&topic, 0)]))?;
    talk.quiet("Produce", 9, send(&producer, &topic, 0, &["a"]))?;
    let several = of(vec![
        producer.name.clone(),
        talk.name("nobody"),
        String::new(),
    ]);
    talk.ask("open, unknown, none", api, 0, several)?;
    talk.ask("nothing", api, 0, of(vec![]))?;
    let asked = json!({"topics": [{"name": topic.name, "partition_indexes": [0]}]});
    talk.ask("its partition", "DescribeProducers", 0, asked)?;
    finish(talk, &producer, true, 3)?;
    settled(talk, &topic, 2)?;
    let done = |answer: &Value| {
        text(&answer["transaction_states"][0], "transaction_state") == "CompleteCommit"
    };
    talk.until("committed", api, 0, of(vec![producer.name.clone()]), done)?;
    Ok(())
}

fn list(talk: &mut Talk) -> Outcome {
    talk.only_own();
    let topic = long_topic(talk, "t", 1)?;
    producer(talk, "empty")?;
    let open = producer(talk, "open")?;
    talk.quiet("AddPartitionsToTxn", 3, add(&open, &[(&topic, 0)]))?;
    talk.sweep("all", "ListTransactions", |_| json!({}))?;
    for (case, body) in [
        ("open", json!({"state_filters": ["Ongoing"]})),
        ("no such state", json!({"state_filters": ["Nonsense"]})),
        ("by producer", json!({"producer_id_filters": [open.id]})),
        (
            "by another producer",
            json!({"producer_id_filters": [open.id + 1_000_000]}),
        ),
    ] {
        talk.sweep(case, "ListTransactions", |_| body.clone())?;
    }
    talk.sweep_in(
        1..=2,
        "for long",
        "ListTransactions",
        |_| json!({"duration_filter": 3_600_000}),
    )?;
    talk.sweep_in(
        1..=2,
        "for any time",
        "ListTransactions",
        |_| json!({"duration_filter": 0}),
    )?;
    for (case, pattern) in [
        ("named", ".*open"),
        ("not named", "zzz.*"),
        ("a bad pattern", "("),
        ("an empty pattern", ""),
    ] {
        let body = json!({ "transactional_id_pattern": pattern });
        talk.ask(case, "ListTransactions", 2, body)?;
    }
    Ok(())
}

fn markers(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 2)?;
    let of = |id: i64, epoch: i16, topic: &Topic, partition: i32| {
        json!({"markers": [{"producer_id": id, "producer_epoch": epoch, "transaction_result": false,
            "topics": [{"name": topic.name, "partition_indexes": [partition]}], "coordinator_epoch": 0}]})
    };
    let body = of(8_000_001, 0, &nowhere(talk), 0);
    talk.sweep("no such topic", "WriteTxnMarkers", |_| body.clone())?;
    talk.sweep("no such partition", "WriteTxnMarkers", |_| {
        of(8_000_001, 0, &topic, 9)
    })?;
    talk.sweep("none", "WriteTxnMarkers", |_| json!({"markers": []}))?;
    // What `kafka-transactions abort` does to a transaction that hangs.
    let hanging = producer(talk, "hanging")?;
    talk.quiet("AddPartitionsToTxn", 3, add(&hanging, &[(&topic, 0)]))?;
    talk.quiet("Produce", 9, send(&hanging, &topic, 0, &["a"]))?;
    let body = of(hanging.id, hanging.epoch as i16, &topic, 0);
    talk.ask("aborted by hand", "WriteTxnMarkers", 1, body)?;
    talk.ask("then", "Fetch", 12, committed(&topic, 0))?;
    Ok(())
}
