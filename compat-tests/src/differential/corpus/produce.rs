//! Produce: what is taken, what is refused, and with which code.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::batch::{
    BASE_TIME, Batch, CODECS, CONTROL, Codec, LOG_APPEND_TIME, TRANSACTIONAL, old_message,
};
use super::super::talk::{Outcome, Talk, Topic, now_ms};
use super::bodies::{fetch, fill, list_offset, nowhere, produce, produce_to, unnamed, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("produce/versions", versions),
    script("produce/acks", acks),
    script("produce/no-acks", no_acks),
    script("produce/codecs", codecs),
    script("produce/codecs-by-version", codecs_by_version),
    script("produce/bad-batches", bad_batches),
    script("produce/good-oddities", good_oddities),
    script("produce/base-offsets", base_offsets),
    script("produce/times", times),
    script("produce/log-append-time", log_append_time),
    script("produce/sizes", sizes),
    script("produce/unknown", unknown),
    script("produce/many", many),
    script("produce/compacted", compacted),
    script("produce/recompress", recompress),
];

/// Versions in which the answer's form changes.
const FORMS: &[i16] = &[3, 5, 7, 8, 9, 10, 12, 13];

fn versions(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 14)?;
    let batch = Batch::of(&["a", "b"])
        .header("h", Some("1"))
        .header("h", None);
    talk.sweep("two records", "Produce", |version| {
        produce(&topic, version.into(), batch.json())
    })?;
    talk.sweep("two more", "Produce", |version| {
        produce(&topic, version.into(), batch.json())
    })?;
    talk.ask("as stored", "Fetch", 12, fetch(&topic, 9, 0))?;
    Ok(())
}

fn acks(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let body = produce(&topic, 0, Batch::of(&["a"]).json());
    for acks in [1, -1, 2, -2] {
        for version in [3, 7, 9] {
            let body = with(body.clone(), "/acks", acks);
            talk.ask(&format!("acks={acks}"), "Produce", version, body)?;
        }
    }
    let two = with(body, "/acks", 5);
    let unknown = with(two, "/topic_data/0/name", nowhere(talk).name);
    talk.ask("bad acks and unknown topic", "Produce", 9, unknown)?;
    talk.ask(
        "timeout 0",
        "Produce",
        9,
        with(
            produce(&topic, 0, Batch::of(&["z"]).json()),
            "/timeout_ms",
            0,
        ),
    )?;
    Ok(())
}

fn no_acks(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let silent = with(produce(&topic, 0, Batch::of(&["a"]).json()), "/acks", 0);
    let mut line = talk.line()?;
    talk.send_on(&mut line, "Produce", 9, silent.clone())?;
    talk.expect_silence("no answer", &mut line, Duration::from_millis(300))?;
    let sent = talk.send_on(&mut line, "Metadata", 1, json!({"topics": []}))?;
    talk.receive("the next answer", &mut line, sent, ("Metadata", 1))?;
    let written = |answer: &Value| answer["topics"][0]["partitions"][0]["offset"] == 1;
    talk.until(
        "written",
        "ListOffsets",
        5,
        list_offset(&topic.name, 0, -1),
        written,
    )?;

    let wrong = Batch::of(&["a"]).with(|batch| batch.crc_error = 1);
    for (case, body) in [
        (
            "unknown topic",
            with(silent.clone(), "/topic_data/0/name", nowhere(talk).name),
        ),
        (
            "bad checksum",
            with(produce(&topic, 0, wrong.json()), "/acks", 0),
        ),
        (
            "unknown partition",
            with(silent, "/topic_data/0/partition_data/0/index", 7),
        ),
    ] {
        let mut line = talk.line()?;
        talk.send_on(&mut line, "Produce", 9, body)?;
        talk.expect_silence(case, &mut line, Duration::from_secs(1))?;
    }
    Ok(())
}

fn codecs(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", CODECS.len() as i32)?;
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        let batch = Batch::of(&["a", "b", "c"])
            .header("h", Some("x"))
            .codec(codec);
        for version in [7, 9] {
            let body = produce(&topic, partition, batch.json());
            talk.ask(&format!("{codec:?}"), "Produce", version, body)?;
        }
        for version in [4, 10, 12] {
            let body = fetch(&topic, partition, 1);
            talk.ask(&format!("{codec:?} read"), "Fetch", version, body)?;
        }
    }
    Ok(())
}

fn codecs_by_version(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 14)?;
    for codec in CODECS {
        let batch = Batch::of(&["a"]).codec(codec);
        let body = |version: i16| produce(&topic, version.into(), batch.json());
        talk.sweep(&format!("{codec:?}"), "Produce", body)?;
    }
    Ok(())
}

fn bad_batches(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let good = || Batch::of(&["a", "b"]);
    let cut = |bytes: usize| {
        let bytes = &good().bytes()[..bytes];
        Value::from(super::super::codec::hex(bytes))
    };
    let changed = |change: fn(&mut Batch)| good().with(change).json();
    let twice = {
        let one = good().json();
        Value::from(format!("{0}{0}", one.as_str().unwrap_or_default()))
    };
    let cases: Vec<(&str, Value)> = vec![
        ("null records", Value::Null),
        ("no batch", "".into()),
        ("two batches", twice),
        ("no record", Batch::empty().json()),
        (
            "no record, count 1",
            Batch::empty().with(|batch| batch.count = Some(1)).json(),
        ),
        ("bad checksum", changed(|batch| batch.crc_error = 1)),
        ("magic 0", old_message(0, "a")),
        ("magic 1", old_message(1, "a")),
        ("magic 3", changed(|batch| batch.magic = 3)),
        ("magic -1", changed(|batch| batch.magic = -1)),
        (
            "count above the records",
            changed(|batch| batch.count = Some(3)),
        ),
        (
            "count below the records",
            changed(|batch| batch.count = Some(1)),
        ),
        (
            "count and delta above",
            changed(|batch| {
                batch.count = Some(3);
                batch.last_offset_delta = Some(2);
            }),
        ),
        (
            "count and delta below",
            changed(|batch| {
                batch.count = Some(1);
                batch.last_offset_delta = Some(0);
            }),
        ),
        ("count 0", changed(|batch| batch.count = Some(0))),
        ("count -1", changed(|batch| batch.count = Some(-1))),
        (
            "count huge",
            changed(|batch| {
                batch.count = Some(i32::MAX);
                batch.last_offset_delta = Some(i32::MAX - 1);
            }),
        ),
        (
            "last delta above",
            changed(|batch| batch.last_offset_delta = Some(5)),
        ),
        (
            "last delta negative",
            changed(|batch| batch.last_offset_delta = Some(-1)),
        ),
        ("control batch", good().bits(CONTROL).json()),
        (
            "control batch of a producer",
            good().bits(CONTROL).producer(4000, 0, 0).json(),
        ),
        (
            "transactional without a producer",
            good().bits(TRANSACTIONAL).json(),
        ),
        (
            "producer without a sequence",
            good().producer(4000, 0, -1).json(),
        ),
        ("codec 5", good().bits(5).json()),
        ("codec 7", good().bits(7).json()),
        ("gzip that is none", good().bits(1).json()),
        ("snappy that is none", good().bits(2).json()),
        ("lz4 that is none", good().bits(3).json()),
        ("zstd that is none", good().bits(4).json()),
        ("length too large", changed(|batch| batch.length_error = 10)),
        ("length too small", changed(|batch| batch.length_error = -3)),
        (
            "length below a header",
            changed(|batch| batch.length_error = -60),
        ),
        ("cut off in the header", cut(40)),
        ("cut off in the offset", cut(5)),
        ("cut off in the records", cut(65)),
    ];
    for (case, records) in cases {
        for version in [7, 8, 9] {
            let body = produce(&topic, 0, records.clone());
            talk.ask(case, "Produce", version, body)?;
        }
    }
    talk.ask(
        "nothing was written",
        "ListOffsets",
        5,
        list_offset(&topic.name, 0, -1),
    )?;
    Ok(())
}

fn good_oddities(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let good = || Batch::of(&["a", "b"]);
    let empty_texts = Batch::empty()
        .record(Some(""), Some(""), BASE_TIME)
        .header("", Some(""))
        .record(None, None, BASE_TIME)
        .header("n", None);
    for (case, batch) in [
        (
            "a leader epoch",
            good().with(|batch| batch.leader_epoch = 9),
        ),
        ("attributes nobody knows", good().bits(1 << 9)),
        ("a delete horizon", good().bits(1 << 6)),
        ("nulls and empties", empty_texts),
        (
            "an epoch without a producer",
            good().with(|batch| batch.producer_epoch = 3),
        ),
    ] {
        talk.ask(case, "Produce", 9, produce(&topic, 0, batch.json()))?;
    }
    talk.ask("as stored", "Fetch", 12, fetch(&topic, 0, 0))?;
    Ok(())
}

fn base_offsets(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for offset in [0, 1, 77, -5] {
        let batch = Batch::of(&["a", "b"]).with(|batch| batch.base_offset = offset);
        let body = produce(&topic, 0, batch.json());
        talk.ask(&format!("from {offset}"), "Produce", 9, body)?;
    }
    Ok(())
}

fn times(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let narrow = [
        ("message.timestamp.before.max.ms", "60000"),
        ("message.timestamp.after.max.ms", "60000"),
    ];
    let narrow = talk.topic_with("narrow", 1, &narrow)?;
    let now = now_ms();
    let at = |time| Batch::empty().record(None, Some("v"), time);
    let later = 7_200_000;
    for (case, topic, batch) in [
        ("ahead", &topic, at(now + later)),
        ("a little ahead", &topic, at(now + 1_800_000)),
        ("without a time", &topic, at(-1)),
        ("before time", &topic, at(-2)),
        ("at zero", &topic, at(0)),
        (
            "one of three is ahead",
            &topic,
            at(now)
                .record(None, Some("w"), now + later)
                .record(None, None, now),
        ),
        (
            "set by the broker, says the client",
            &topic,
            at(BASE_TIME).bits(LOG_APPEND_TIME),
        ),
        (
            "newest time too late",
            &topic,
            at(BASE_TIME).with(|batch| batch.max_time = Some(BASE_TIME + 999)),
        ),
        (
            "newest time too early",
            &topic,
            at(BASE_TIME).with(|batch| batch.max_time = Some(5)),
        ),
        (
            "newest time is ahead",
            &topic,
            at(BASE_TIME).with(|batch| batch.max_time = Some(i64::MAX)),
        ),
        (
            "out of order",
            &topic,
            at(BASE_TIME + 50).record(None, Some("w"), BASE_TIME),
        ),
        ("narrow: now", &narrow, at(now)),
        ("narrow: past", &narrow, at(now - 120_000)),
        ("narrow: ahead", &narrow, at(now + 120_000)),
        ("narrow: without a time", &narrow, at(-1)),
    ] {
        for version in [7, 8, 9] {
            talk.ask(case, "Produce", version, produce(topic, 0, batch.json()))?;
        }
    }
    let end = list_offset(&topic.name, 0, -1);
    talk.ask("taken", "ListOffsets", 5, end)?;
    Ok(())
}

fn log_append_time(talk: &mut Talk) -> Outcome {
    let topic = talk.topic_with("t", 14, &[("message.timestamp.type", "LogAppendTime")])?;
    let batch = Batch::of(&["a", "b"]);
    talk.sweep("create time", "Produce", |version| {
        produce(&topic, version.into(), batch.json())
    })?;
    talk.sweep_in(9..=9, "compressed", "Produce", |_| {
        produce(&topic, 0, batch.clone().codec(Codec::Gzip).json())
    })?;
    let marked = batch.clone().bits(LOG_APPEND_TIME);
    talk.ask(
        "marked by the client",
        "Produce",
        9,
        produce(&topic, 0, marked.json()),
    )?;
    let far = Batch::empty().record(None, Some("v"), i64::MAX);
    talk.ask("far ahead", "Produce", 9, produce(&topic, 0, far.json()))?;
    talk.ask("as stored", "Fetch", 12, fetch(&topic, 9, 0))?;
    talk.ask("compressed, as stored", "Fetch", 12, fetch(&topic, 0, 0))?;
    Ok(())
}

fn sizes(talk: &mut Talk) -> Outcome {
    let topic = talk.topic_with("t", 2, &[("max.message.bytes", "500")])?;
    let wide = talk.topic("wide", 1)?;
    let of = |length: usize| Batch::of(&[&"x".repeat(length)]).json();
    // 61 bytes of header, 10 of the record beside its value.
    for (case, topic, bytes) in [
        ("at the limit", &topic, 428),
        ("just above", &topic, 429),
        ("far above", &topic, 5000),
        ("default: below", &wide, 1_048_000),
        ("default: above", &wide, 1_049_000),
    ] {
        for version in [3, 8, 9] {
            talk.ask(case, "Produce", version, produce(topic, 0, of(bytes)))?;
        }
    }
    let both = produce_to(&topic, &[(0, of(600)), (1, of(10))]);
    talk.ask("one of two", "Produce", 9, both)?;
    let squeezed = Batch::of(&[&"x".repeat(5000)]).codec(Codec::Gzip);
    talk.ask(
        "compressed below",
        "Produce",
        9,
        produce(&topic, 0, squeezed.json()),
    )?;
    Ok(())
}

fn unknown(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let nowhere = nowhere(talk);
    let batch = Batch::of(&["a"]).json();
    talk.sweep("topic", "Produce", |_| produce(&nowhere, 0, batch.clone()))?;
    talk.sweep("partition", "Produce", |_| {
        produce(&topic, 1, batch.clone())
    })?;
    talk.sweep("negative partition", "Produce", |_| {
        produce(&topic, -1, batch.clone())
    })?;
    talk.sweep("nothing", "Produce", |_| {
        produce(&unnamed(), 0, batch.clone())
    })?;
    for name in ["__consumer_offsets", "a/b", ".."] {
        let topic = Topic {
            name: name.to_owned(),
            ..unnamed()
        };
        for version in [3, 9, 12] {
            talk.ask(
                &format!("topic {name}"),
                "Produce",
                version,
                produce(&topic, 0, batch.clone()),
            )?;
        }
    }
    let asked = json!({"topics": [{"name": nowhere.name}], "allow_auto_topic_creation": false});
    talk.ask("nothing was created", "Metadata", 9, asked)?;
    Ok(())
}

fn many(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 3)?;
    let batch = Batch::of(&["a"]).json();
    let wrong = Batch::of(&["a"]).with(|batch| batch.crc_error = 1).json();
    for version in FORMS {
        let body = produce_to(
            &topic,
            &[(0, batch.clone()), (1, wrong.clone()), (7, batch.clone())],
        );
        talk.ask("good, bad, unknown", "Produce", *version, body)?;
    }
    let none = json!({"acks": -1, "timeout_ms": 1000, "topic_data": []});
    talk.sweep("no topics", "Produce", |_| none.clone())?;
    talk.sweep("no partitions", "Produce", |_| produce_to(&topic, &[]))?;
    let again = produce_to(&topic, &[(2, batch.clone()), (2, batch.clone())]);
    talk.ask("one partition twice", "Produce", 9, again)?;
    let mut both = produce(&topic, 2, batch.clone());
    let other = produce(&nowhere(talk), 0, batch);
    let data = [both["topic_data"][0].take(), other["topic_data"][0].clone()];
    talk.ask(
        "a topic and none",
        "Produce",
        9,
        with(both, "/topic_data", data.to_vec()),
    )?;
    Ok(())
}

fn compacted(talk: &mut Talk) -> Outcome {
    let topic = talk.topic_with("t", 1, &[("cleanup.policy", "compact")])?;
    let keyed = || Batch::empty().record(Some("k"), Some("v"), BASE_TIME);
    for (case, batch) in [
        ("with keys", keyed()),
        (
            "a tombstone",
            Batch::empty().record(Some("k"), None, BASE_TIME),
        ),
        (
            "an empty key",
            Batch::empty().record(Some(""), None, BASE_TIME),
        ),
        (
            "a null key",
            Batch::empty().record(None, Some("v"), BASE_TIME),
        ),
        (
            "null keys among others",
            keyed()
                .record(None, None, BASE_TIME)
                .record(Some("l"), None, BASE_TIME)
                .record(None, None, BASE_TIME),
        ),
        (
            "compressed null key",
            keyed().record(None, None, BASE_TIME).codec(Codec::Lz4),
        ),
    ] {
        for version in [7, 8, 9] {
            talk.ask(case, "Produce", version, produce(&topic, 0, batch.json()))?;
        }
    }
    Ok(())
}

fn recompress(talk: &mut Talk) -> Outcome {
    for kind in ["uncompressed", "gzip", "zstd"] {
        let topic = talk.topic_with(kind, 1, &[("compression.type", kind)])?;
        for codec in [Codec::None, Codec::Gzip, Codec::Lz4] {
            let batch = Batch::of(&["a", "b"]).codec(codec);
            fill(talk, &topic, 0, &batch)?;
        }
        talk.ask(
            &format!("{kind}, as stored"),
            "Fetch",
            12,
            fetch(&topic, 0, 0),
        )?;
    }
    Ok(())
}
