//! Offsets committed in a transaction.

use serde_json::{Value, json};

use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{commits, nowhere, with};
use super::transactions::{Producer, end, finish, long_topic, producer};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("transactions/offsets", offsets),
    script("transactions/offsets-2", offsets_2),
    script("transactions/offsets-bad", offsets_bad),
];

fn add_offsets(producer: &Producer, group: &str) -> Value {
    json!({"transactional_id": producer.name, "producer_id": producer.id,
        "producer_epoch": producer.epoch, "group_id": group})
}

fn commit_in(producer: &Producer, group: &str, topic: &Topic, offset: i64) -> Value {
    json!({"transactional_id": producer.name, "group_id": group, "producer_id": producer.id,
        "producer_epoch": producer.epoch, "topics": [{"name": topic.name, "partitions":
            [{"partition_index": 0, "committed_offset": offset, "committed_metadata": "m"}]}]})
}

fn offsets(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    for version in 0..=4 {
        let group = talk.name(&format!("g{version}"));
        let producer = producer(talk, &format!("p{version}"))?;
        talk.ask(
            "group takes part",
            "AddOffsetsToTxn",
            version,
            add_offsets(&producer, &group),
        )?;
        talk.ask(
            "committed",
            "TxnOffsetCommit",
            version,
            commit_in(&producer, &group, &topic, 7),
        )?;
        let body = commits(&group, &topic, &[0]);
        talk.ask(
            &format!("not yet to be seen, v{version}"),
            "OffsetFetch",
            7,
            body.clone(),
        )?;
        let stable = with(body.clone(), "/require_stable", true);
        talk.ask(
            &format!("unstable, v{version}"),
            "OffsetFetch",
            7,
            stable.clone(),
        )?;
        talk.ask(
            &format!("unstable, v{version}"),
            "OffsetFetch",
            8,
            with(commits(&group, &topic, &[0]), "/require_stable", true),
        )?;
        finish(talk, &producer, version != 2, 3)?;
        let settled = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"] == 0;
        talk.settle("OffsetFetch", 7, stable, settled)?;
        talk.ask(&format!("then, v{version}"), "OffsetFetch", 7, body)?;
    }
    Ok(())
}

fn offsets_2(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let group = talk.name("g");
    let producer = producer(talk, "p")?;
    talk.ask(
        "committed",
        "TxnOffsetCommit",
        5,
        commit_in(&producer, &group, &topic, 7),
    )?;
    let stable = with(commits(&group, &topic, &[0]), "/require_stable", true);
    talk.ask("unstable", "OffsetFetch", 7, stable.clone())?;
    talk.ask("ends", "EndTxn", 5, end(&producer, true))?;
    let settled = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"] == 0;
    talk.until("then", "OffsetFetch", 7, stable, settled)?;
    let old = commit_in(&producer, &group, &topic, 8);
    talk.ask("in the old epoch", "TxnOffsetCommit", 5, old)?;
    Ok(())
}

fn offsets_bad(talk: &mut Talk) -> Outcome {
    let topic = long_topic(talk, "t", 1)?;
    let group = talk.name("g");
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
        ("unknown transactional id", add_offsets(&unknown, &group)),
        (
            "another producer",
            add_offsets(&other(|p| p.id += 1_000_000), &group),
        ),
        (
            "a later epoch",
            add_offsets(&other(|p| p.epoch += 1), &group),
        ),
        ("no group", add_offsets(&producer, "")),
    ] {
        talk.sweep_in(0..=4, case, "AddOffsetsToTxn", |_| body.clone())?;
    }
    let good = || commit_in(&producer, &group, &topic, 7);
    for (case, body) in [
        ("not part of it", good()),
        ("no group", with(good(), "/group_id", "")),
        (
            "a member of nothing",
            with(with(good(), "/member_id", "m"), "/generation_id", 4),
        ),
        (
            "no such topic",
            commit_in(&producer, &group, &nowhere(talk), 7),
        ),
        ("no topics", with(good(), "/topics", json!([]))),
        (
            "metadata too long",
            with(
                good(),
                "/topics/0/partitions/0/committed_metadata",
                "m".repeat(5000),
            ),
        ),
    ] {
        talk.sweep_in(0..=4, case, "TxnOffsetCommit", |_| body.clone())?;
    }
    Ok(())
}
