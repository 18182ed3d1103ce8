//! Transactions: the coordinator's states, what partitions take and show.
//!
//! Clients of old talk in versions that say which partitions take part (TV1); newer ones may leave
//! that to Produce v12 and TxnOffsetCommit v5, and are told their next epoch by EndTxn v5 (TV2).

use serde_json::{Value, json};

use super::super::batch::{Batch, TRANSACTIONAL};
use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{fetch, fill, list_offset, number, produce, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("transactions/init", init),
    script("transactions/init-bad", init_bad),
    script("transactions/commit", commit),
    script("transactions/abort", abort),
    script("transactions/commit-2", commit_2),
    script("transactions/abort-2", abort_2),
    script("transactions/fencing", fencing),
    script("transactions/isolation", isolation),
    script("transactions/interleaved", interleaved),
    script("transactions/timeout", timeout),
];

/// A transactional producer.
#[derive(Debug, Clone)]
pub(super) struct Producer {
    pub name: String,
    pub id: i64,
    pub epoch: i64,
}

/// A topic whose records and markers share a segment, though years lie between them.
pub(super) fn long_topic(talk: &mut Talk, suffix: &str, partitions: i32) -> Outcome<Topic> {
    talk.topic_with(suffix, partitions, &[("segment.ms", "9223372036854775807")])
}

fn init_body(name: &str) -> Value {
    json!({"transactional_id": name, "transaction_timeout_ms": 60_000})
}

pub(super) fn producer(talk: &mut Talk, suffix: &str) -> Outcome<Producer> {
    let name = talk.name(suffix);
    // The APIs of a transaction come together; without them there is nothing to compare.
    talk.quiet(
        "AddPartitionsToTxn",
        0,
        add(
            &Producer {
                name: name.clone(),
                id: 1,
                epoch: 0,
            },
            &[],
        ),
    )?;
    let answer = talk.settle("InitProducerId", 4, init_body(&name), |answer| {
        answer["error_code"] == 0
    })?;
    Ok(Producer {
        name,
        id: number(&answer, "producer_id"),
        epoch: number(&answer, "producer_epoch"),
    })
}

/// AddPartitionsToTxn in the clients' form.
pub(super) fn add(producer: &Producer, partitions: &[(&Topic, i32)]) -> Value {
    let topics = partitions.iter();
    let topics: Vec<_> = topics
        .map(|(topic, partition)| json!({"name": topic.name, "partitions": [partition]}))
        .collect();
    json!({"v3_and_below_transactional_id": producer.name, "v3_and_below_producer_id": producer.id,
        "v3_and_below_producer_epoch": producer.epoch, "v3_and_below_topics": topics})
}

pub(super) fn end(producer: &Producer, committed: bool) -> Value {
    json!({"transactional_id": producer.name, "producer_id": producer.id,
        "producer_epoch": producer.epoch, "committed": committed})
}

/// Produce of one transactional batch.
pub(super) fn send(producer: &Producer, topic: &Topic, sequence: i32, values: &[&str]) -> Value {
    let batch = Batch::of(values).bits(TRANSACTIONAL);
    let batch = batch.producer(producer.id, producer.epoch as i16, sequence);
    with(
        produce(topic, 0, batch.json()),
        "/transactional_id",
        producer.name.as_str(),
    )
}

pub(super) fn committed(topic: &Topic, offset: i64) -> Value {
    with(fetch(topic, 0, offset), "/isolation_level", 1)
}

/// Ends a transaction quietly.
pub(super) fn finish(
    talk: &mut Talk,
    producer: &Producer,
    commits: bool,
    version: i16,
) -> Outcome<Value> {
    talk.quiet("EndTxn", version, end(producer, commits))
}

/// Waits until the last stable offset is the end.
pub(super) fn settled(talk: &mut Talk, topic: &Topic, end: i64) -> Outcome {
    let body = with(list_offset(&topic.name, 0, -1), "/isolation_level", 1);
    talk.settle("ListOffsets", 5, body, |answer| {
        answer["topics"][0]["partitions"][0]["offset"] == end
    })?;
    Ok(())
}

fn init(talk: &mut Talk) -> Outcome {
    talk.quiet("AddPartitionsToTxn", 0, json!({}))?;
    for version in talk.versions("InitProducerId")? {
        let name = talk.name(&format!("v{version}"));
        talk.ask("new", "InitProducerId", version, init_body(&name))?;
        talk.ask("again", "InitProducerId", version, init_body(&name))?;
    }
    let producer = producer(talk, "bump")?;
    let bump = |id: i64, epoch: i64| {
        with(
            with(init_body(&producer.name), "/producer_id", id),
            "/producer_epoch",
            epoch,
        )
    };
    for (case, id, epoch) in [
        ("its id and epoch", producer.id, producer.epoch),
        ("the same again", producer.id, producer.epoch),
        ("an epoch too high", producer.id, producer.epoch + 7),
        ("another id", producer.id + 1_000_000, 0),
        ("an epoch alone", -1, 3),
        ("an id alone", producer.id, -1),
        ("a fresh start", -1, -1),
        ("its first epoch", producer.id, producer.epoch),
    ] {
        talk.ask(case, "InitProducerId", 4, bump(id, epoch))?;
    }
    Ok(())
}

fn init_bad(talk: &mut Talk) -> Outcome {
    talk.quiet("AddPartitionsToTxn", 0, json!({}))?;
    let name = talk.name("t");
    for (case, timeout) in [
        ("no time", 0),
        ("less than none", -1),
        ("the most", 900_000),
        ("more than the most", 900_001),
    ] {
        let body = with(init_body(&name), "/transaction_timeout_ms", timeout);
        talk.sweep(case, "InitProducerId", |_| body.clone())?;
    }
    Ok(())
}

fn commit(talk: &mut Talk) -> Outcome {
    first_kind(talk, true)
}

fn abort(talk: &mut Talk) -> Outcome {
    first_kind(talk, false)
}

/// One transaction as clients of old make it, looked at from all sides.
fn first_kind(talk: &mut Talk, commits: bool) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let producer = producer(talk, "p")?;
    talk.ask(
        "takes part",
        "AddPartitionsToTxn",
        3,
        add(&producer, &[(&topic, 0)]),
    )?;
    talk.ask(
        "takes part again",
        "AddPartitionsToTxn",
        3,
        add(&producer, &[(&topic, 0)]),
    )?;
    talk.ask(
        "first",
        "Produce",
        9,
        send(&producer, &topic, 0, &["a", "b"]),
    )?;
    talk.ask(
        "a duplicate",
        "Produce",
        9,
        send(&producer, &topic, 0, &["a", "b"]),
    )?;
    talk.ask("second", "Produce", 9, send(&producer, &topic, 2, &["c"]))?;
    fill(talk, &topic, 0, &Batch::of(&["plain"]))?;
    talk.ask("open, all", "Fetch", 12, fetch(&topic, 0, 0))?;
    talk.ask("open, committed", "Fetch", 12, committed(&topic, 0))?;
    let stable = with(list_offset(&topic.name, 0, -1), "/isolation_level", 1);
    talk.ask("open, last stable", "ListOffsets", 5, stable.clone())?;
    talk.ask("ends", "EndTxn", 3, end(&producer, commits))?;
    settled(talk, &topic, 5)?;
    talk.ask("ends again", "EndTxn", 3, end(&producer, commits))?;
    talk.ask("ends otherwise", "EndTxn", 3, end(&producer, !commits))?;
    for version in [4, 11, 12, 13] {
        talk.ask("all", "Fetch", version, fetch(&topic, 0, 0))?;
        talk.ask("committed", "Fetch", version, committed(&topic, 0))?;
    }
    talk.ask(
        "committed, from the middle",
        "Fetch",
        12,
        committed(&topic, 3),
    )?;
    talk.ask(
        "committed, from the marker",
        "Fetch",
        12,
        committed(&topic, 4),
    )?;
    talk.ask("last stable", "ListOffsets", 5, stable)?;
    talk.ask(
        "newest time",
        "ListOffsets",
        8,
        list_offset(&topic.name, 0, -3),
    )?;
    talk.ask(
        "second transaction",
        "AddPartitionsToTxn",
        3,
        add(&producer, &[(&topic, 0)]),
    )?;
    talk.ask("goes on", "Produce", 9, send(&producer, &topic, 3, &["d"]))?;
    finish(talk, &producer, true, 3)?;
    settled(talk, &topic, 7)?;
    talk.ask("committed, both", "Fetch", 12, committed(&topic, 0))?;
    Ok(())
}

fn commit_2(talk: &mut Talk) -> Outcome {
    second_kind(talk, true)
}

fn abort_2(talk: &mut Talk) -> Outcome {
    second_kind(talk, false)
}

/// One transaction as newer clients make it.
fn second_kind(talk: &mut Talk, commits: bool) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let mut producer = producer(talk, "p")?;
    talk.ask("first", "Produce", 12, send(&producer, &topic, 0, &["a"]))?;
    talk.ask("second", "Produce", 13, send(&producer, &topic, 1, &["b"]))?;
    talk.ask("open, committed", "Fetch", 12, committed(&topic, 0))?;
    let ended = talk.ask("ends", "EndTxn", 5, end(&producer, commits))?;
    talk.note(
        "the epoch grew",
        (number(&ended, "producer_epoch") == producer.epoch + 1).into(),
    )?;
    settled(talk, &topic, 3)?;
    talk.ask("ends again", "EndTxn", 5, end(&producer, commits))?;
    talk.ask("ends otherwise", "EndTxn", 5, end(&producer, !commits))?;
    talk.ask(
        "in the old epoch",
        "Produce",
        12,
        send(&producer, &topic, 2, &["x"]),
    )?;
    producer.epoch += 1;
    talk.ask(
        "not from 0",
        "Produce",
        12,
        send(&producer, &topic, 2, &["x"]),
    )?;
    talk.ask("from 0", "Produce", 12, send(&producer, &topic, 0, &["c"]))?;
    talk.ask("ends the next", "EndTxn", 5, end(&producer, true))?;
    settled(talk, &topic, 5)?;
    talk.ask("all", "Fetch", 12, fetch(&topic, 0, 0))?;
    talk.ask("committed", "Fetch", 12, committed(&topic, 0))?;
    producer.epoch += 1;
    talk.ask("aborts nothing", "EndTxn", 5, end(&producer, false))?;
    producer.epoch += 1;
    talk.ask("commits nothing", "EndTxn", 5, end(&producer, true))?;
    Ok(())
}

fn fencing(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let old = producer(talk, "p")?;
    talk.quiet("AddPartitionsToTxn", 3, add(&old, &[(&topic, 0)]))?;
    talk.quiet("Produce", 9, send(&old, &topic, 0, &["a"]))?;
    let new = producer(talk, "p")?;
    talk.note("one id", (old.id == new.id).into())?;
    talk.note("epochs", json!([old.epoch, new.epoch]))?;
    settled(talk, &topic, 2)?;
    for version in [0, 1, 2, 3] {
        talk.ask(
            "the old one adds",
            "AddPartitionsToTxn",
            version,
            add(&old, &[(&topic, 0)]),
        )?;
        talk.ask("the old one ends", "EndTxn", version, end(&old, true))?;
    }
    talk.ask("the old one ends", "EndTxn", 5, end(&old, true))?;
    for version in [7, 9, 11] {
        talk.ask(
            "the old one sends",
            "Produce",
            version,
            send(&old, &topic, 1, &["b"]),
        )?;
    }
    let body = with(init_body(&old.name), "/producer_id", old.id);
    let body = with(body, "/producer_epoch", old.epoch);
    for version in [3, 4, 5] {
        talk.ask(
            "the old one starts anew",
            "InitProducerId",
            version,
            body.clone(),
        )?;
    }
    talk.ask(
        "its records were aborted",
        "Fetch",
        12,
        committed(&topic, 0),
    )?;
    talk.ask(
        "the new one works",
        "AddPartitionsToTxn",
        3,
        add(&new, &[(&topic, 0)]),
    )?;
    talk.ask(
        "the new one sends",
        "Produce",
        9,
        send(&new, &topic, 0, &["c"]),
    )?;
    finish(talk, &new, true, 3)?;
    settled(talk, &topic, 4)?;
    talk.ask("its records are there", "Fetch", 12, committed(&topic, 0))?;
    Ok(())
}

fn isolation(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let aborted = producer(talk, "aborted")?;
    for round in 0..3 {
        talk.quiet("AddPartitionsToTxn", 3, add(&aborted, &[(&topic, 0)]))?;
        talk.quiet("Produce", 9, send(&aborted, &topic, round, &["x"]))?;
        fill(talk, &topic, 0, &Batch::of(&["plain"]))?;
        finish(talk, &aborted, false, 3)?;
        settled(talk, &topic, 3 * (i64::from(round) + 1))?;
    }
    for offset in [0, 1, 2, 3, 5, 8, 9] {
        talk.ask(
            &format!("from {offset}"),
            "Fetch",
            12,
            committed(&topic, offset),
        )?;
    }
    let small = with(
        committed(&topic, 0),
        "/topics/0/partitions/0/partition_max_bytes",
        1,
    );
    talk.ask("one batch", "Fetch", 12, small)?;
    Ok(())
}

fn interleaved(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let (a, b) = (producer(talk, "a")?, producer(talk, "b")?);
    for each in [&a, &b] {
        talk.quiet("AddPartitionsToTxn", 3, add(each, &[(&topic, 0)]))?;
    }
    talk.ask("a begins", "Produce", 9, send(&a, &topic, 0, &["a1"]))?;
    talk.ask("b begins", "Produce", 9, send(&b, &topic, 0, &["b1"]))?;
    talk.ask("a goes on", "Produce", 9, send(&a, &topic, 1, &["a2"]))?;
    finish(talk, &b, true, 3)?;
    let marked = |answer: &Value| answer["topics"][0]["partitions"][0]["offset"] == 4;
    talk.settle("ListOffsets", 5, list_offset(&topic.name, 0, -1), marked)?;
    talk.ask("b is done, a is open", "Fetch", 12, committed(&topic, 0))?;
    finish(talk, &a, false, 3)?;
    settled(talk, &topic, 5)?;
    talk.ask("a is aborted", "Fetch", 12, committed(&topic, 0))?;
    talk.ask("all", "Fetch", 12, fetch(&topic, 0, 0))?;
    Ok(())
}

fn timeout(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let name = producer(talk, "p")?.name;
    let body = with(init_body(&name), "/transaction_timeout_ms", 500);
    let answer = talk.quiet("InitProducerId", 4, body)?;
    let (id, epoch) = (
        number(&answer, "producer_id"),
        number(&answer, "producer_epoch"),
    );
    let producer = Producer { name, id, epoch };
    talk.quiet("AddPartitionsToTxn", 3, add(&producer, &[(&topic, 0)]))?;
    talk.quiet("Produce", 9, send(&producer, &topic, 0, &["a"]))?;
    // The broker looks for such transactions every 10 s.
    talk.sleep(std::time::Duration::from_secs(8));
    settled(talk, &topic, 2)?;
    talk.ask("aborted", "Fetch", 12, committed(&topic, 0))?;
    for version in [1, 3] {
        talk.ask("too late to end", "EndTxn", version, end(&producer, true))?;
        talk.ask(
            "too late to add",
            "AddPartitionsToTxn",
            version,
            add(&producer, &[(&topic, 0)]),
        )?;
    }
    talk.ask(
        "too late to send",
        "Produce",
        9,
        send(&producer, &topic, 1, &["b"]),
    )?;
    Ok(())
}
