//! Fetch without sessions: ranges, limits, waits, epochs, ids.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::batch::{Batch, Codec};
use super::super::schema::NO_UUID;
use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{fetch, fetch_from, fill, nowhere, produce, unnamed, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("fetch/versions", versions),
    script("fetch/ranges", ranges),
    script("fetch/limits", limits),
    script("fetch/middle", middle),
    script("fetch/waits", waits),
    script("fetch/wakes", wakes),
    script("fetch/epochs", epochs),
    script("fetch/ids", ids),
    script("fetch/unknown", unknown),
    script("fetch/shapes", shapes),
    script("fetch/deleted-records", deleted_records),
    script("fetch/recreated", recreated),
    script("fetch/leader-epoch", leader_epoch),
];

/// Three batches with two records each.
fn filled(talk: &mut Talk, partitions: i32) -> Outcome<Topic> {
    let topic = talk.topic("t", partitions)?;
    for partition in 0..partitions {
        for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
            fill(talk, &topic, partition, &Batch::of(&values))?;
        }
    }
    Ok(topic)
}

fn versions(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    talk.sweep("all", "Fetch", |_| fetch(&topic, 0, 0))?;
    talk.sweep("the last batch", "Fetch", |_| fetch(&topic, 0, 4))?;
    talk.sweep("at the end", "Fetch", |_| fetch(&topic, 0, 6))?;
    let committed = with(fetch(&topic, 0, 0), "/isolation_level", 1);
    talk.sweep("committed", "Fetch", |_| committed.clone())?;
    Ok(())
}

fn ranges(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    for (case, offset) in [
        ("beyond the end", 7),
        ("far beyond", i64::MAX),
        ("negative", -1),
        ("more negative", -7),
    ] {
        talk.sweep(case, "Fetch", |_| fetch(&topic, 0, offset))?;
    }
    Ok(())
}

fn limits(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 3)?;
    let all = fetch_from(&topic, &[(0, 0), (1, 0), (2, 0)]);
    for bytes in [0, 1, 70, 140, 300, 1000] {
        for version in [4, 12] {
            let body = with(all.clone(), "/max_bytes", bytes);
            talk.ask(&format!("max_bytes={bytes}"), "Fetch", version, body)?;
            let mut body = all.clone();
            for partition in 0..3 {
                body = with(
                    body,
                    &format!("/topics/0/partitions/{partition}/partition_max_bytes"),
                    bytes,
                );
            }
            talk.ask(
                &format!("partition_max_bytes={bytes}"),
                "Fetch",
                version,
                body,
            )?;
        }
    }
    for (case, body) in [
        ("max_bytes=-1", with(all.clone(), "/max_bytes", -1)),
        ("min_bytes=-1", with(all.clone(), "/min_bytes", -1)),
        (
            "min_bytes above max_bytes",
            with(with(all.clone(), "/min_bytes", 1000), "/max_bytes", 100),
        ),
        ("max_wait_ms=-1", with(all.clone(), "/max_wait_ms", -1)),
        (
            "partition_max_bytes=-1",
            with(
                all.clone(),
                "/topics/0/partitions/0/partition_max_bytes",
                -1,
            ),
        ),
        ("isolation 2", with(all.clone(), "/isolation_level", 2)),
        ("isolation -1", with(all, "/isolation_level", -1)),
    ] {
        talk.ask(case, "Fetch", 12, body)?;
    }
    let empty_first = talk.topic("empty", 1)?;
    let mut body = fetch(&empty_first, 0, 0);
    let second = fetch(&topic, 0, 0)["topics"][0].clone();
    let topics = vec![body["topics"][0].take(), second];
    let body = with(with(body, "/topics", topics), "/max_bytes", 1);
    talk.ask("the first that has something", "Fetch", 12, body)?;
    Ok(())
}

fn middle(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 2)?;
    for (codec, partition) in [(Codec::None, 0), (Codec::Zstd, 1)] {
        fill(
            talk,
            &topic,
            partition,
            &Batch::of(&["a", "b", "c"]).codec(codec),
        )?;
        fill(
            talk,
            &topic,
            partition,
            &Batch::of(&["d", "e"]).codec(codec),
        )?;
        for offset in [1, 2, 4] {
            for version in [10, 12] {
                let body = fetch(&topic, partition, offset);
                talk.ask(&format!("{codec:?} from {offset}"), "Fetch", version, body)?;
            }
        }
    }
    let old = "zstd for a client that cannot read it";
    talk.sweep_in(4..=10, old, "Fetch", |_| fetch(&topic, 1, 0))?;
    Ok(())
}

fn waits(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    let wait = Duration::from_millis(300);
    let waiting = |body: Value, min_bytes: i32| {
        let body = with(body, "/max_wait_ms", 350);
        with(body, "/min_bytes", min_bytes)
    };
    for (case, body) in [
        ("nothing there", waiting(fetch(&topic, 0, 6), 1)),
        ("too little there", waiting(fetch(&topic, 0, 0), 100_000)),
        ("enough there", waiting(fetch(&topic, 0, 0), 100)),
        (
            "nothing there, nothing wanted",
            waiting(fetch(&topic, 0, 6), 0),
        ),
        (
            "an offset out of range",
            waiting(fetch_from(&topic, &[(0, 99)]), 1),
        ),
        (
            "no such partition",
            waiting(fetch_from(&topic, &[(0, 6), (9, 0)]), 1),
        ),
        ("no partitions", waiting(fetch_from(&topic, &[]), 1)),
        (
            "no topics",
            waiting(with(fetch(&topic, 0, 0), "/topics", json!([])), 1),
        ),
    ] {
        for version in [4, 11, 12, 13] {
            talk.timed(case, "Fetch", version, body.clone(), wait)?;
        }
    }
    Ok(())
}

fn wakes(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let waiting = |offset, bytes: i32| {
        let body = with(fetch(&topic, 0, offset), "/max_wait_ms", 10_000);
        with(body, "/min_bytes", bytes)
    };
    let mut line = talk.line()?;
    let sent = talk.send_on(&mut line, "Fetch", 12, waiting(0, 1))?;
    talk.sleep(Duration::from_millis(200));
    fill(talk, &topic, 0, &Batch::of(&["a"]))?;
    talk.receive("woken by a record", &mut line, sent, ("Fetch", 12))?;

    let sent = talk.send_on(&mut line, "Fetch", 12, waiting(1, 150))?;
    fill(talk, &topic, 0, &Batch::of(&["b"]))?;
    talk.expect_silence("not enough yet", &mut line, Duration::from_millis(300))?;
    fill(talk, &topic, 0, &Batch::of(&[&"c".repeat(100)]))?;
    talk.receive("woken by enough", &mut line, sent, ("Fetch", 12))?;

    let sent = talk.send_on(&mut line, "Fetch", 12, waiting(3, 1))?;
    talk.sleep(Duration::from_millis(200));
    let gone = json!({"topic_names": [topic.name], "timeout_ms": 10_000});
    talk.quiet("DeleteTopics", 5, gone)?;
    talk.receive(
        "woken by the end of the topic",
        &mut line,
        sent,
        ("Fetch", 12),
    )?;
    Ok(())
}

fn epochs(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    let partition = "/topics/0/partitions/0";
    for (case, field, epoch) in [
        ("the current epoch", "current_leader_epoch", 0),
        ("a later epoch", "current_leader_epoch", 9),
        ("an epoch below any", "current_leader_epoch", -2),
        ("the last one fetched", "last_fetched_epoch", 0),
        ("one fetched later", "last_fetched_epoch", 9),
    ] {
        let body = with(fetch(&topic, 0, 2), &format!("{partition}/{field}"), epoch);
        talk.sweep_in(12..=18, case, "Fetch", |_| body.clone())?;
    }
    let both = with(
        fetch(&topic, 0, 99),
        &format!("{partition}/last_fetched_epoch"),
        0,
    );
    talk.ask("out of range, with an epoch", "Fetch", 12, both)?;
    let both = with(
        fetch(&topic, 0, 99),
        &format!("{partition}/current_leader_epoch"),
        9,
    );
    talk.ask("out of range, of a later epoch", "Fetch", 12, both)?;
    Ok(())
}

fn ids(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    let nowhere = nowhere(talk);
    talk.sweep_in(13..=18, "an unknown id", "Fetch", |_| fetch(&nowhere, 0, 0))?;
    talk.sweep_in(13..=18, "no id", "Fetch", |_| fetch(&unnamed(), 0, 0))?;
    talk.sweep_in(13..=18, "no such partition", "Fetch", |_| {
        fetch(&topic, 4, 0)
    })?;
    let mut body = fetch(&topic, 0, 0);
    let other = fetch(&nowhere, 0, 0)["topics"][0].clone();
    let topics = vec![other, body["topics"][0].take()];
    let body = with(body, "/topics", topics);
    talk.sweep_in(13..=18, "an unknown and a known", "Fetch", |_| body.clone())?;
    Ok(())
}

fn unknown(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let nowhere = nowhere(talk);
    talk.sweep_in(4..=12, "topic", "Fetch", |_| fetch(&nowhere, 0, 0))?;
    talk.sweep_in(4..=12, "partition", "Fetch", |_| fetch(&topic, 1, 0))?;
    talk.sweep_in(4..=12, "negative partition", "Fetch", |_| {
        fetch(&topic, -1, 0)
    })?;
    talk.sweep_in(4..=12, "no name", "Fetch", |_| fetch(&unnamed(), 0, 0))?;
    let odd = Topic {
        name: "a/b".to_owned(),
        id: NO_UUID.to_owned(),
    };
    talk.ask("a name that cannot be", "Fetch", 12, fetch(&odd, 0, 0))?;
    Ok(())
}

fn shapes(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 2)?;
    let none = with(fetch(&topic, 0, 0), "/topics", json!([]));
    talk.sweep("no topics", "Fetch", |_| none.clone())?;
    talk.sweep("no partitions", "Fetch", |_| fetch_from(&topic, &[]))?;
    let twice = fetch_from(&topic, &[(0, 0), (0, 2)]);
    talk.ask("one partition twice", "Fetch", 12, twice)?;
    let mut body = fetch(&topic, 0, 0);
    let second = fetch(&topic, 1, 2)["topics"][0].clone();
    let topics = vec![body["topics"][0].take(), second];
    talk.ask(
        "one topic twice",
        "Fetch",
        12,
        with(body, "/topics", topics),
    )?;
    let rack = with(fetch(&topic, 0, 0), "/rack_id", "r1");
    talk.sweep_in(11..=18, "a rack", "Fetch", |_| rack.clone())?;
    let replica = with(fetch(&topic, 0, 0), "/replica_id", 5);
    talk.sweep_in(4..=14, "as a replica", "Fetch", |_| replica.clone())?;
    let replica = with(fetch(&topic, 0, 0), "/replica_id", -2);
    talk.ask("as a debugger", "Fetch", 12, replica)?;
    let start = with(
        fetch(&topic, 0, 0),
        "/topics/0/partitions/0/log_start_offset",
        3,
    );
    talk.ask("with a log start", "Fetch", 12, start)?;
    Ok(())
}

fn deleted_records(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    let delete = |offset: i64| {
        json!({"timeout_ms": 10_000, "topics": [{"name": topic.name, "partitions":
            [{"partition_index": 0, "offset": offset}]}]})
    };
    talk.quiet("DeleteRecords", 2, delete(3))?;
    for offset in [0, 2, 3, 4] {
        for version in [4, 12] {
            let body = fetch(&topic, 0, offset);
            talk.ask(&format!("from {offset}"), "Fetch", version, body)?;
        }
    }
    talk.quiet("DeleteRecords", 2, delete(-1))?;
    talk.ask("all gone, the end", "Fetch", 12, fetch(&topic, 0, 6))?;
    talk.ask("all gone, before the end", "Fetch", 12, fetch(&topic, 0, 5))?;
    Ok(())
}

fn recreated(talk: &mut Talk) -> Outcome {
    let old = filled(talk, 1)?;
    let gone = json!({"topic_names": [old.name], "timeout_ms": 10_000});
    talk.quiet("DeleteTopics", 5, gone)?;
    let fits = |answer: &Value| answer["topics"][0]["error_code"] == 3;
    let asked = json!({"topics": [{"name": old.name}], "allow_auto_topic_creation": false});
    talk.settle("Metadata", 9, asked, fits)?;
    let new = talk.topic("t", 1)?;
    fill(talk, &new, 0, &Batch::of(&["z"]))?;
    talk.ask("the old id", "Fetch", 13, fetch(&old, 0, 0))?;
    talk.ask("the new id", "Fetch", 13, fetch(&new, 0, 0))?;
    talk.ask("the name", "Fetch", 12, fetch(&old, 0, 0))?;
    talk.ask(
        "to the old id",
        "Produce",
        13,
        produce(&old, 0, Batch::of(&["y"]).json()),
    )?;
    talk.note("ids differ", (old.id != new.id).into())
}

fn leader_epoch(talk: &mut Talk) -> Outcome {
    let topic = filled(talk, 1)?;
    let asked = |partition: i32, current: i32, epoch: i32| {
        json!({"replica_id": -1, "topics": [{"topic": topic.name, "partitions": [{"partition": partition,
            "current_leader_epoch": current, "leader_epoch": epoch}]}]})
    };
    for (case, body) in [
        ("the current epoch", asked(0, -1, 0)),
        ("fenced by the current", asked(0, 0, 0)),
        ("an older one", asked(0, -1, -1)),
        ("a later one", asked(0, -1, 7)),
        ("far below", asked(0, -1, -9)),
        ("a later current one", asked(0, 7, 0)),
        ("no such partition", asked(9, -1, 0)),
        (
            "no such topic",
            with(asked(0, -1, 0), "/topics/0/topic", talk.name("nowhere")),
        ),
        ("nothing", with(asked(0, -1, 0), "/topics", json!([]))),
    ] {
        talk.sweep(case, "OffsetForLeaderEpoch", |_| body.clone())?;
    }
    Ok(())
}
