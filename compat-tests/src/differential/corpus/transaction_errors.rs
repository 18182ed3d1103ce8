//! Requests of a transaction that are wrong, by who asks and for what.

use serde_json::{Value, json};

use super::super::batch::Batch;
use super::super::talk::{Outcome, Talk};
use super::bodies::{nowhere, produce, with};
use super::transactions::{Producer, add, end, finish, long_topic, producer, send};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("transactions/add-bad", add_bad),
    script("transactions/add-versions", add_versions),
    script("transactions/end-bad", end_bad),
    script("transactions/end-versions", end_versions),
    script("transactions/produce-bad", produce_bad),
];

fn add_bad(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let nowhere = nowhere(talk);
    let producer = producer(talk, "p")?;
    let other = |change: fn(&mut Producer)| {
        let mut other = producer.clone();
        change(&mut other);
        other
    };
    let unknown = Producer {
        name: talk.name("nobody"),
        ..producer.clone()
    };
    for (case, body) in [
        ("unknown transactional id", add(&unknown, &[(&topic, 0)])),
        (
            "no transactional id",
            add(&other(|p| p.name.clear()), &[(&topic, 0)]),
        ),
        (
            "another producer",
            add(&other(|p| p.id += 1_000_000), &[(&topic, 0)]),
        ),
        (
            "an older epoch",
            add(&other(|p| p.epoch -= 1), &[(&topic, 0)]),
        ),
        (
            "a later epoch",
            add(&other(|p| p.epoch += 1), &[(&topic, 0)]),
        ),
        ("no such topic", add(&producer, &[(&nowhere, 0)])),
        ("no such partition", add(&producer, &[(&topic, 5)])),
        (
            "one there, one not",
            add(&producer, &[(&topic, 0), (&nowhere, 0)]),
        ),
        ("nothing", add(&producer, &[])),
    ] {
        talk.sweep_in(0..=3, case, "AddPartitionsToTxn", |_| body.clone())?;
    }
    Ok(())
}

fn add_versions(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    for version in 0..=3 {
        let producer = producer(talk, &format!("v{version}"))?;
        talk.ask(
            "takes part",
            "AddPartitionsToTxn",
            version,
            add(&producer, &[(&topic, 0)]),
        )?;
        finish(talk, &producer, false, 1)?;
    }
    let producer = producer(talk, "brokers")?;
    let of = |verify: bool, name: &str| {
        json!({"transactions": [{"transactional_id": name, "producer_id": producer.id,
            "producer_epoch": producer.epoch, "verify_only": verify,
            "topics": [{"name": topic.name, "partitions": [0]}]}]})
    };
    for version in [4, 5] {
        talk.ask(
            "verified",
            "AddPartitionsToTxn",
            version,
            of(true, &producer.name),
        )?;
        talk.ask(
            "unknown",
            "AddPartitionsToTxn",
            version,
            of(true, "nobody-at-all"),
        )?;
        talk.ask(
            "none",
            "AddPartitionsToTxn",
            version,
            json!({"transactions": []}),
        )?;
    }
    Ok(())
}

fn end_bad(talk: &mut Talk) -> Outcome {
    let producer = producer(talk, "p")?;
    let other = |change: fn(&mut Producer)| {
        let mut other = producer.clone();
        change(&mut other);
        other
    };
    let unknown = Producer {
        name: talk.name("nobody"),
        ..producer.clone()
    };
    for (case, body) in [
        ("unknown transactional id", end(&unknown, true)),
        ("no transactional id", end(&other(|p| p.name.clear()), true)),
        ("another producer", end(&other(|p| p.id += 1_000_000), true)),
        ("an older epoch", end(&other(|p| p.epoch -= 1), true)),
        ("a later epoch", end(&other(|p| p.epoch += 1), true)),
        ("commits nothing", end(&producer, true)),
        ("aborts nothing", end(&producer, false)),
    ] {
        talk.sweep_in(0..=4, case, "EndTxn", |_| body.clone())?;
    }
    for (case, body) in [
        ("unknown transactional id", end(&unknown, true)),
        ("another producer", end(&other(|p| p.id += 1_000_000), true)),
        ("a later epoch", end(&other(|p| p.epoch += 1), true)),
    ] {
        talk.ask(case, "EndTxn", 5, body)?;
    }
    Ok(())
}

fn end_versions(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    for version in talk.versions("EndTxn")? {
        for commits in [true, false] {
            let what = if commits { "commits" } else { "aborts" };
            let producer = producer(talk, &format!("{what}{version}"))?;
            talk.quiet("AddPartitionsToTxn", 3, add(&producer, &[(&topic, 0)]))?;
            talk.ask(what, "EndTxn", version, end(&producer, commits))?;
        }
    }
    Ok(())
}

fn produce_bad(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let producer = producer(talk, "p")?;
    let body = || send(&producer, &topic, 0, &["a"]);
    // A partition of its own for each: Kafka remembers by partition how it was asked before.
    for version in [7, 9, 11] {
        let apart = long_topic(talk, &format!("apart{version}"), 1)?;
        let body = send(&producer, &apart, 0, &["a"]);
        talk.ask("not part of it", "Produce", version, body)?;
    }
    let nameless = with(body(), "/transactional_id", Value::Null);
    for version in [7, 9, 11, 12] {
        talk.ask(
            "without a transactional id",
            "Produce",
            version,
            nameless.clone(),
        )?;
    }
    talk.quiet("AddPartitionsToTxn", 3, add(&producer, &[(&topic, 0)]))?;
    let plain = Batch::of(&["a"]).producer(producer.id, producer.epoch as i16, 0);
    let plain = with(
        produce(&topic, 0, plain.json()),
        "/transactional_id",
        producer.name.as_str(),
    );
    talk.ask("a plain batch in it", "Produce", 9, plain)?;
    let other = with(body(), "/transactional_id", "nobody-at-all");
    talk.ask("under another name", "Produce", 9, other)?;
    talk.ask(
        "a gap at first",
        "Produce",
        9,
        send(&producer, &topic, 5, &["a"]),
    )?;
    let old = Producer {
        epoch: producer.epoch - 1,
        ..producer.clone()
    };
    talk.ask(
        "an epoch of -1",
        "Produce",
        9,
        send(&old, &topic, 0, &["a"]),
    )?;
    let later = Producer {
        epoch: producer.epoch + 1,
        ..producer.clone()
    };
    talk.ask(
        "a later epoch",
        "Produce",
        9,
        send(&later, &topic, 0, &["a"]),
    )?;
    let fresh = long_topic(talk, "fresh", 1)?;
    talk.ask(
        "newer clients, not from 0",
        "Produce",
        12,
        send(&producer, &fresh, 3, &["a"]),
    )?;
    Ok(())
}
