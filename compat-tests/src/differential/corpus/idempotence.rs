//! Producers with an id: duplicates, gaps, epochs, and where their ids come from.

use serde_json::{Value, json};

use super::super::batch::Batch;
use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{fetch, list_offset, number, produce, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("idempotence/init", init),
    script("idempotence/bumps", bumps),
    script("idempotence/duplicates", duplicates),
    script("idempotence/window", window),
    script("idempotence/gaps", gaps),
    script("idempotence/epochs", epochs),
    script("idempotence/wrap", wrap),
    script("idempotence/forgotten", forgotten),
    script("idempotence/describe", describe),
];

fn init_body() -> Value {
    json!({"transactional_id": null, "transaction_timeout_ms": 60_000})
}

fn producer(talk: &mut Talk) -> Outcome<i64> {
    let answer = talk.quiet("InitProducerId", 4, init_body())?;
    Ok(number(&answer, "producer_id"))
}

fn init(talk: &mut Talk) -> Outcome {
    talk.sweep("a new producer", "InitProducerId", |_| init_body())?;
    let named = |name: &str| with(init_body(), "/transactional_id", name);
    talk.sweep("an empty transactional id", "InitProducerId", |_| named(""))?;
    for (case, timeout) in [
        ("timeout 0", 0),
        ("timeout -1", -1),
        ("timeout huge", i32::MAX),
    ] {
        let body = with(init_body(), "/transaction_timeout_ms", timeout);
        talk.sweep_in(3..=4, case, "InitProducerId", |_| body.clone())?;
    }
    Ok(())
}

fn bumps(talk: &mut Talk) -> Outcome {
    let id = producer(talk)?;
    let bump = |id: i64, epoch: i16| {
        let body = with(init_body(), "/producer_id", id);
        with(body, "/producer_epoch", epoch)
    };
    for (case, id, epoch) in [
        ("its id and epoch", id, 0),
        ("an id nobody has", id + 1_000_000, 0),
        ("an id without an epoch", id, -1),
        ("an epoch without an id", -1, 4),
        ("the last epoch", id, i16::MAX),
        ("a negative epoch", id, -7),
        ("a negative id", -5, 0),
    ] {
        talk.sweep_in(3..=5, case, "InitProducerId", |_| bump(id, epoch))?;
    }
    Ok(())
}

fn send(
    talk: &mut Talk,
    step: &str,
    topic: &Topic,
    id: i64,
    epoch: i16,
    sequence: i32,
    values: &[&str],
) -> Outcome {
    let batch = Batch::of(values).producer(id, epoch, sequence);
    talk.ask(step, "Produce", 9, produce(topic, 0, batch.json()))?;
    Ok(())
}

fn duplicates(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 14)?;
    let id = producer(talk)?;
    let first = Batch::of(&["a", "b"]).producer(id, 0, 0);
    for step in ["first", "again", "and again"] {
        talk.sweep(step, "Produce", |version| {
            produce(&topic, version.into(), first.json())
        })?;
    }
    let other = Batch::of(&["x", "y"]).producer(id, 0, 0);
    talk.ask(
        "same numbers, other values",
        "Produce",
        9,
        produce(&topic, 9, other.json()),
    )?;
    let part = Batch::of(&["a"]).producer(id, 0, 0);
    talk.ask(
        "its first record alone",
        "Produce",
        9,
        produce(&topic, 9, part.json()),
    )?;
    let more = Batch::of(&["a", "b", "c"]).producer(id, 0, 0);
    talk.ask(
        "it and one more",
        "Produce",
        9,
        produce(&topic, 9, more.json()),
    )?;
    talk.ask("stored once", "Fetch", 12, fetch(&topic, 9, 0))?;
    Ok(())
}

fn window(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let id = producer(talk)?;
    for sequence in 0..6 {
        send(
            talk,
            &format!("batch {sequence}"),
            &topic,
            id,
            0,
            sequence,
            &["v"],
        )?;
    }
    for sequence in [5, 3, 1, 0] {
        send(
            talk,
            &format!("batch {sequence} again"),
            &topic,
            id,
            0,
            sequence,
            &["v"],
        )?;
    }
    send(talk, "the next", &topic, id, 0, 6, &["v"])?;
    talk.ask("end", "ListOffsets", 5, list_offset(&topic.name, 0, -1))?;
    Ok(())
}

fn gaps(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let id = producer(talk)?;
    send(talk, "first", &topic, id, 0, 0, &["a", "b"])?;
    for (case, sequence) in [
        ("a gap", 3),
        ("within the last", 1),
        ("far ahead", 1000),
        ("a negative one", -1),
    ] {
        for version in [3, 9, 13] {
            let batch = Batch::of(&["c"]).producer(id, 0, sequence);
            talk.ask(case, "Produce", version, produce(&topic, 0, batch.json()))?;
        }
    }
    send(talk, "in order", &topic, id, 0, 2, &["c"])?;
    Ok(())
}

fn epochs(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let id = producer(talk)?;
    send(talk, "epoch 0", &topic, id, 0, 0, &["a"])?;
    send(talk, "epoch 1, not from 0", &topic, id, 1, 1, &["b"])?;
    send(talk, "epoch 1", &topic, id, 1, 0, &["b"])?;
    send(talk, "epoch 0 is over", &topic, id, 0, 1, &["c"])?;
    send(talk, "epoch 0, a duplicate", &topic, id, 0, 0, &["a"])?;
    send(talk, "epoch 5", &topic, id, 5, 0, &["d"])?;
    send(talk, "epoch -1", &topic, id, -1, 1, &["d"])?;
    for version in [3, 10, 12] {
        let batch = Batch::of(&["e"]).producer(id, 2, 0);
        talk.ask(
            "an old epoch",
            "Produce",
            version,
            produce(&topic, 0, batch.json()),
        )?;
    }
    Ok(())
}

fn wrap(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    // Nobody knows the producer, so that it may begin anywhere.
    let id = 7_000_001;
    let last = i32::MAX - 1;
    send(talk, "near the end", &topic, id, 0, last, &["a"])?;
    send(
        talk,
        "over the end",
        &topic,
        id,
        0,
        i32::MAX,
        &["b", "c", "d"],
    )?;
    send(
        talk,
        "over the end again",
        &topic,
        id,
        0,
        i32::MAX,
        &["b", "c", "d"],
    )?;
    send(talk, "behind the end", &topic, id, 0, 2, &["e"])?;
    send(talk, "not in order", &topic, id, 0, 2_000_000, &["e"])?;
    Ok(())
}

fn forgotten(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 2)?;
    send(talk, "unknown, from 0", &topic, 7_000_002, 0, 0, &["a"])?;
    send(talk, "unknown, from 5", &topic, 7_000_003, 0, 5, &["a"])?;
    send(talk, "and on", &topic, 7_000_003, 0, 6, &["a"])?;
    send(
        talk,
        "unknown, a high epoch",
        &topic,
        7_000_004,
        30,
        9,
        &["a"],
    )?;
    let delete = json!({"topics": [{"name": topic.name, "partitions":
        [{"partition_index": 0, "offset": -1}]}], "timeout_ms": 10_000});
    talk.ask("its records are deleted", "DeleteRecords", 2, delete)?;
    send(
        talk,
        "a duplicate of what is gone",
        &topic,
        7_000_003,
        0,
        6,
        &["a"],
    )?;
    send(talk, "behind what is gone", &topic, 7_000_003, 0, 7, &["a"])?;
    Ok(())
}

fn describe(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 2)?;
    let id = producer(talk)?;
    send(talk, "first", &topic, id, 0, 0, &["a", "b"])?;
    send(talk, "second", &topic, id, 0, 2, &["c"])?;
    let asked = |name: &str, partitions: &[i32]| json!({"topics": [{"name": name, "partition_indexes": partitions}]});
    talk.ask(
        "both partitions",
        "DescribeProducers",
        0,
        asked(&topic.name, &[0, 1]),
    )?;
    talk.ask(
        "no such partition",
        "DescribeProducers",
        0,
        asked(&topic.name, &[5]),
    )?;
    talk.ask(
        "no such topic",
        "DescribeProducers",
        0,
        asked(&talk.name("nowhere"), &[0]),
    )?;
    talk.ask("no name", "DescribeProducers", 0, asked("", &[0]))?;
    Ok(())
}
