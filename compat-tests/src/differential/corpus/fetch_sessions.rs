//! Fetch sessions (KIP-227), with names and with ids.

use serde_json::{Value, json};

use super::super::batch::Batch;
use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{fetch, fetch_from, fill, nowhere, number, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("sessions/named", named),
    script("sessions/by-id", by_id),
    script("sessions/errors", errors),
    script("sessions/wrong", wrong),
    script("sessions/empty", empty),
    script("sessions/mixed", mixed),
    script("sessions/changes", changes),
    script("sessions/versions", versions),
];

fn in_session(body: Value, id: i64, epoch: i64) -> Value {
    with(with(body, "/session_id", id), "/session_epoch", epoch)
}

/// A request for nothing new.
fn nothing(topic: &Topic) -> Value {
    with(fetch(topic, 0, 0), "/topics", json!([]))
}

fn versions(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    fill(talk, &topic, 0, &Batch::of(&["a"]))?;
    for version in talk.versions("Fetch")?.filter(|version| *version >= 7) {
        let opened = talk.ask(
            "open",
            "Fetch",
            version,
            in_session(fetch(&topic, 0, 0), 0, 0),
        )?;
        let id = number(&opened, "session_id");
        talk.ask(
            "go on",
            "Fetch",
            version,
            in_session(nothing(&topic), id, 1),
        )?;
        talk.ask(
            "close",
            "Fetch",
            version,
            in_session(nothing(&topic), id, -1),
        )?;
        talk.ask(
            "closed",
            "Fetch",
            version,
            in_session(nothing(&topic), id, 2),
        )?;
    }
    Ok(())
}

fn named(talk: &mut Talk) -> Outcome {
    a_session(talk, 12)
}

fn by_id(talk: &mut Talk) -> Outcome {
    a_session(talk, 16)
}

fn a_session(talk: &mut Talk, version: i16) -> Outcome {
    let topic = talk.topic("t", 3)?;
    fill(talk, &topic, 0, &Batch::of(&["a"]))?;
    let all = fetch_from(&topic, &[(0, 0), (1, 0)]);
    let opened = talk.ask("open", "Fetch", version, in_session(all, 0, 0))?;
    let id = number(&opened, "session_id");
    let ask = |talk: &mut Talk, step: &str, body: Value, epoch: i64| -> Outcome {
        talk.ask(step, "Fetch", version, in_session(body, id, epoch))?;
        Ok(())
    };
    ask(talk, "no change: its records again", nothing(&topic), 1)?;
    ask(talk, "read on", fetch(&topic, 0, 1), 2)?;
    ask(talk, "nothing new", nothing(&topic), 3)?;
    fill(talk, &topic, 1, &Batch::of(&["b"]))?;
    ask(talk, "a record in the other", nothing(&topic), 4)?;
    ask(
        talk,
        "add a third",
        fetch_from(&topic, &[(1, 1), (2, 0)]),
        5,
    )?;
    let forget = json!([{"topic": topic.name, "topic_id": topic.id, "partitions": [1]}]);
    ask(
        talk,
        "forget one",
        with(nothing(&topic), "/forgotten_topics_data", forget),
        6,
    )?;
    fill(talk, &topic, 1, &Batch::of(&["c"]))?;
    ask(talk, "it stays forgotten", nothing(&topic), 7)?;
    ask(talk, "an unknown topic", fetch(&nowhere(talk), 0, 0), 8)?;
    ask(talk, "the error again", nothing(&topic), 9)?;
    ask(talk, "begin anew", fetch(&topic, 0, 0), 0)?;
    Ok(())
}

fn errors(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for version in [12, 16] {
        let opened = talk.ask(
            "open",
            "Fetch",
            version,
            in_session(fetch(&topic, 9, 0), 0, 0),
        )?;
        let id = number(&opened, "session_id");
        talk.ask(
            "no such partition",
            "Fetch",
            version,
            in_session(nothing(&topic), id, 1),
        )?;
        let beyond = in_session(fetch(&topic, 0, 77), id, 2);
        talk.ask("and beyond the end", "Fetch", version, beyond)?;
        talk.ask(
            "both again",
            "Fetch",
            version,
            in_session(nothing(&topic), id, 3),
        )?;
    }
    Ok(())
}

fn wrong(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for version in [7, 12, 13] {
        let opened = talk.ask(
            "open",
            "Fetch",
            version,
            in_session(fetch(&topic, 0, 0), 0, 0),
        )?;
        let id = number(&opened, "session_id");
        for (case, id, epoch) in [
            ("epoch 2 before 1", id, 2),
            ("an unknown session", 99, 1),
            ("an unknown session, to close", 99, -1),
            ("no session, epoch 1", 0, 1),
            ("a negative session", -4, 1),
            ("an epoch below any", id, -2),
            ("epoch 1", id, 1),
            ("epoch 1 again", id, 1),
            ("epoch 2", id, 2),
        ] {
            talk.ask(
                case,
                "Fetch",
                version,
                in_session(nothing(&topic), id, epoch),
            )?;
        }
    }
    Ok(())
}

fn empty(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for version in [7, 12, 13] {
        let opened = talk.ask("open", "Fetch", version, in_session(nothing(&topic), 0, 0))?;
        let id = number(&opened, "session_id");
        talk.ask(
            "add one",
            "Fetch",
            version,
            in_session(fetch(&topic, 0, 0), id, 1),
        )?;
    }
    Ok(())
}

fn mixed(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for (first, then) in [(12, 13), (13, 12)] {
        let opened = talk.ask(
            "open",
            "Fetch",
            first,
            in_session(fetch(&topic, 0, 0), 0, 0),
        )?;
        let id = number(&opened, "session_id");
        let body = in_session(nothing(&topic), id, 1);
        talk.ask("nothing in the other form", "Fetch", then, body)?;
        let opened = talk.ask(
            "open another",
            "Fetch",
            first,
            in_session(fetch(&topic, 0, 0), 0, 0),
        )?;
        let id = number(&opened, "session_id");
        let body = in_session(fetch(&topic, 0, 0), id, 1);
        talk.ask("the other form", "Fetch", then, body)?;
    }
    Ok(())
}

fn changes(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    fill(talk, &topic, 0, &Batch::of(&["a", "b"]))?;
    let opened = talk.ask("open", "Fetch", 12, in_session(fetch(&topic, 0, 2), 0, 0))?;
    let id = number(&opened, "session_id");
    let delete = json!({"timeout_ms": 10_000, "topics": [{"name": topic.name, "partitions":
        [{"partition_index": 0, "offset": 1}]}]});
    talk.quiet("DeleteRecords", 2, delete)?;
    talk.ask(
        "the log start moved",
        "Fetch",
        12,
        in_session(nothing(&topic), id, 1),
    )?;
    talk.ask(
        "nothing moved",
        "Fetch",
        12,
        in_session(nothing(&topic), id, 2),
    )?;
    let gone = json!({"topic_names": [topic.name], "timeout_ms": 10_000});
    talk.quiet("DeleteTopics", 5, gone)?;
    let asked = json!({"topics": [{"name": topic.name}], "allow_auto_topic_creation": false});
    talk.settle("Metadata", 9, asked, |answer| {
        answer["topics"][0]["error_code"] == 3
    })?;
    talk.ask(
        "the topic is gone",
        "Fetch",
        12,
        in_session(nothing(&topic), id, 3),
    )?;
    Ok(())
}
