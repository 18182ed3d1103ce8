//! ListOffsets: the special timestamps, and real ones inside batches.

use serde_json::json;

use super::super::batch::{BASE_TIME, Batch, CODECS};
use super::super::talk::{Outcome, Talk};
use super::bodies::{fill, list_offset, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("list-offsets/specials", specials),
    script("list-offsets/empty", empty),
    script("list-offsets/times", times),
    script("list-offsets/equal-times", equal_times),
    script("list-offsets/deleted", deleted),
    script("list-offsets/unknown", unknown),
    script("list-offsets/log-append-time", log_append_time),
];

const SPECIALS: [i64; 8] = [-1, -2, -3, -4, -5, -6, -7, i64::MIN];

fn specials(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    fill(talk, &topic, 0, &Batch::of(&["a", "b", "c"]))?;
    fill(talk, &topic, 0, &Batch::of(&["d"]))?;
    for timestamp in SPECIALS {
        let body = list_offset(&topic.name, 0, timestamp);
        talk.sweep(&format!("timestamp {timestamp}"), "ListOffsets", |_| {
            body.clone()
        })?;
        let committed = with(body, "/isolation_level", 1);
        talk.sweep_in(
            2..=4,
            &format!("committed {timestamp}"),
            "ListOffsets",
            |_| committed.clone(),
        )?;
    }
    Ok(())
}

fn empty(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for timestamp in SPECIALS.into_iter().chain([0, BASE_TIME, i64::MAX]) {
        for version in [1, 5, 9, 10] {
            let body = list_offset(&topic.name, 0, timestamp);
            talk.ask(
                &format!("timestamp {timestamp}"),
                "ListOffsets",
                version,
                body,
            )?;
        }
    }
    Ok(())
}

fn times(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", CODECS.len() as i32)?;
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        let at = |times: &[i64]| {
            let records = times.iter().fold(Batch::empty(), |batch, time| {
                batch.record(None, Some("v"), BASE_TIME + time)
            });
            records.codec(codec)
        };
        // The second batch is earlier than the first, and its order is not that of time.
        for times in [[100, 200, 300], [50, 10, 40], [400, 350, 500]] {
            fill(talk, &topic, partition, &at(&times))?;
        }
        for time in [
            -1000, 0, 10, 100, 101, 200, 300, 301, 351, 400, 401, 500, 501,
        ] {
            let body = list_offset(&topic.name, partition, BASE_TIME + time);
            talk.ask(&format!("{codec:?} at {time}"), "ListOffsets", 5, body)?;
        }
        let newest = list_offset(&topic.name, partition, -3);
        talk.ask(&format!("{codec:?} newest"), "ListOffsets", 8, newest)?;
    }
    Ok(())
}

fn equal_times(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for _ in 0..2 {
        let batch = Batch::empty()
            .record(None, Some("a"), BASE_TIME)
            .record(None, Some("b"), BASE_TIME)
            .record(None, Some("c"), -1);
        fill(talk, &topic, 0, &batch)?;
    }
    for timestamp in [-3, 0, BASE_TIME, BASE_TIME + 1] {
        let body = list_offset(&topic.name, 0, timestamp);
        talk.sweep_in(
            7..=10,
            &format!("timestamp {timestamp}"),
            "ListOffsets",
            |_| body.clone(),
        )?;
    }
    Ok(())
}

fn deleted(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    fill(talk, &topic, 0, &Batch::of(&["a", "b", "c"]))?;
    let delete = |offset: i64| {
        json!({"timeout_ms": 10_000, "topics": [{"name": topic.name, "partitions":
            [{"partition_index": 0, "offset": offset}]}]})
    };
    for (state, offset) in [("to 1", 1), ("all", -1)] {
        talk.quiet("DeleteRecords", 2, delete(offset))?;
        for timestamp in [-1, -2, -3, -4, 0, BASE_TIME, BASE_TIME + 2] {
            let body = list_offset(&topic.name, 0, timestamp);
            talk.ask(&format!("{state}: {timestamp}"), "ListOffsets", 9, body)?;
        }
    }
    Ok(())
}

fn unknown(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let good = list_offset(&topic.name, 0, -1);
    let partition = "/topics/0/partitions/0";
    for (case, body) in [
        ("topic", list_offset(&talk.name("nowhere"), 0, -1)),
        ("partition", list_offset(&topic.name, 3, -1)),
        ("negative partition", list_offset(&topic.name, -1, -1)),
        ("no name", list_offset("", 0, -1)),
        ("no topics", with(good.clone(), "/topics", json!([]))),
        ("as a replica", with(good.clone(), "/replica_id", 3)),
    ] {
        talk.sweep(case, "ListOffsets", |_| body.clone())?;
    }
    for (case, epoch) in [("the current epoch", 0), ("a later epoch", 9)] {
        let body = with(
            good.clone(),
            &format!("{partition}/current_leader_epoch"),
            epoch,
        );
        talk.sweep_in(4..=10, case, "ListOffsets", |_| body.clone())?;
    }
    let twice =
        json!([{"partition_index": 0, "timestamp": -1}, {"partition_index": 0, "timestamp": -2}]);
    let twice = with(good.clone(), "/topics/0/partitions", twice);
    talk.ask("one partition twice", "ListOffsets", 5, twice)?;
    talk.ask(
        "isolation 7",
        "ListOffsets",
        5,
        with(good, "/isolation_level", 7),
    )?;
    Ok(())
}

fn log_append_time(talk: &mut Talk) -> Outcome {
    let topic = talk.topic_with("t", 1, &[("message.timestamp.type", "LogAppendTime")])?;
    fill(talk, &topic, 0, &Batch::of(&["a", "b"]))?;
    for timestamp in [-3, 0, BASE_TIME] {
        let body = list_offset(&topic.name, 0, timestamp);
        talk.ask(&format!("timestamp {timestamp}"), "ListOffsets", 7, body)?;
    }
    Ok(())
}
