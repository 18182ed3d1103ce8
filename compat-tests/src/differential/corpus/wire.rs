//! Frames, headers and bodies that are not as they should be, and what is not listed.

use std::time::Duration;

use serde_json::json;

use super::super::line::header;
use super::super::talk::{Outcome, Talk};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("wire/unknown-apis", unknown_apis),
    script("wire/unknown-versions", unknown_versions),
    script("wire/frames", frames),
    script("wire/headers", headers),
    script("wire/bodies", bodies),
    script("wire/counts", counts),
    script("wire/tags", tags),
    script("wire/pipelined", pipelined),
];

/// Long enough for a broker to close, short enough to wait for silence.
const PATIENCE: Duration = Duration::from_secs(2);

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const HEARTBEAT: i16 = 12;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;

/// A frame with its length, of pieces behind a sound header.
fn frame(key: i16, version: i16, pieces: &[&[u8]]) -> Vec<u8> {
    framed(&[header(key, version, 7, Some("c")), pieces.concat()].concat())
}

fn framed(content: &[u8]) -> Vec<u8> {
    let mut bytes = (content.len() as i32).to_be_bytes().to_vec();
    bytes.extend(content);
    bytes
}

fn unknown_apis(talk: &mut Talk) -> Outcome {
    for key in [
        4,
        5,
        6,
        7,
        52,
        56,
        62,
        63,
        67,
        70,
        73,
        82,
        93,
        94,
        95,
        500,
        9999,
        i16::MAX,
        -1,
        i16::MIN,
    ] {
        for version in [0, 1] {
            let bytes = frame(key, version, &[&[0; 16]]);
            talk.raw(&format!("key {key} v{version}"), &bytes, None, PATIENCE)?;
        }
    }
    Ok(())
}

fn unknown_versions(talk: &mut Talk) -> Outcome {
    for (key, versions) in [
        (PRODUCE, vec![0, 1, 2, 14, 99]),
        (FETCH, vec![0, 3, 19]),
        (LIST_OFFSETS, vec![0, 12, -1]),
        (METADATA, vec![14, i16::MAX]),
        (8, vec![0, 1, 11]),
        (9, vec![0, 11]),
        (10, vec![7]),
        (11, vec![10]),
        (HEARTBEAT, vec![5, -1]),
        (CREATE_TOPICS, vec![0, 1, 8]),
        (22, vec![7]),
        (32, vec![0, 5]),
        (68, vec![2]),
    ] {
        for version in versions {
            let bytes = frame(key, version, &[&[0; 16]]);
            talk.raw(&format!("key {key} v{version}"), &bytes, None, PATIENCE)?;
        }
    }
    Ok(())
}

fn frames(talk: &mut Talk) -> Outcome {
    let good = frame(METADATA, 1, &[&0i32.to_be_bytes()]);
    let asked = Some(("Metadata", 1));
    talk.raw("a good one", &good, asked, PATIENCE)?;
    talk.raw(
        "two in one go",
        &[good.clone(), good.clone()].concat(),
        asked,
        PATIENCE,
    )?;
    for (case, bytes) in [
        ("nothing but a length of 0", framed(&[])),
        ("one byte", framed(&[0])),
        ("three bytes", framed(&[0, 3, 0])),
        ("a length of -1", (-1i32).to_be_bytes().to_vec()),
        ("the least length", i32::MIN.to_be_bytes().to_vec()),
        (
            "a length above the limit",
            104_857_601i32.to_be_bytes().to_vec(),
        ),
        ("the most length", i32::MAX.to_be_bytes().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]),
        ("half a length", vec![0, 0]),
        ("half a frame", good[..8].to_vec()),
    ] {
        talk.raw(case, &bytes, None, PATIENCE)?;
    }
    Ok(())
}

fn headers(talk: &mut Talk) -> Outcome {
    let asked = Some(("Metadata", 1));
    let none = 0i32.to_be_bytes();
    let with_client = |client: &[u8]| {
        let mut content = header(METADATA, 1, 7, None);
        content.truncate(8);
        content.extend(client);
        content.extend(none);
        framed(&content)
    };
    for (case, bytes) in [
        ("no client", with_client(&[0xff, 0xff])),
        ("an empty client", with_client(&[0, 0])),
        ("a client of -2", with_client(&[0xff, 0xfe])),
        ("a client that is cut off", with_client(&[0x7f, 0xff, b'c'])),
        ("a client that is no text", with_client(&[0, 2, 0xff, 0xfe])),
        ("no body", framed(&header(METADATA, 1, 7, None))),
        (
            "a header that is cut off",
            framed(&header(METADATA, 1, 7, None)[..6]),
        ),
    ] {
        talk.raw(case, &bytes, asked, PATIENCE)?;
    }
    let negative = [header(METADATA, 1, -9, Some("c")), none.to_vec()].concat();
    talk.raw(
        "a negative correlation id",
        &framed(&negative),
        asked,
        PATIENCE,
    )?;
    // The body of version 9 says: an empty array, no creation, no operations.
    let body = [1, 0, 0, 0, 0];
    let asked = Some(("Metadata", 9));
    for (case, tags) in [
        ("no tags", vec![0]),
        ("one tag", vec![1, 99, 2, 1, 2]),
        ("an empty tag", vec![1, 99, 0]),
        ("one tag twice", vec![2, 5, 0, 5, 0]),
        ("tags out of order", vec![2, 9, 0, 5, 0]),
        ("a tag that is cut off", vec![1, 99, 100, 1]),
        ("very many tags", vec![0xff, 0xff, 0xff, 0xff, 0x07]),
        ("a count without an end", vec![0xff; 10]),
    ] {
        talk.raw(case, &frame(METADATA, 9, &[&tags, &body]), asked, PATIENCE)?;
    }
    Ok(())
}

fn bodies(talk: &mut Talk) -> Outcome {
    let heartbeat = [&[0, 1, b'g'][..], &[0, 0, 0, 1], &[0, 1, b'm']].concat();
    let asked = Some(("Heartbeat", 0));
    for length in 0..heartbeat.len() {
        let bytes = frame(HEARTBEAT, 0, &[&heartbeat[..length]]);
        talk.raw(&format!("cut off after {length}"), &bytes, asked, PATIENCE)?;
    }
    for (case, group) in [
        ("a null group", vec![0xff, 0xff]),
        ("a group of -2", vec![0xff, 0xfe]),
        ("a group that is no text", vec![0, 2, 0xc3, 0x28]),
        ("a group that is cut off", vec![0x7f, 0xff, b'g']),
    ] {
        let bytes = frame(HEARTBEAT, 0, &[&group, &heartbeat[3..]]);
        talk.raw(case, &bytes, asked, PATIENCE)?;
    }
    let more = frame(HEARTBEAT, 0, &[&heartbeat, &[1, 2, 3]]);
    talk.raw("bytes behind the end", &more, asked, PATIENCE)?;
    let more = frame(METADATA, 9, &[&[0], &[1, 0, 0, 0, 0], &[9, 9]]);
    talk.raw(
        "bytes behind the end of tags",
        &more,
        Some(("Metadata", 9)),
        PATIENCE,
    )?;
    let odd = frame(METADATA, 4, &[&0i32.to_be_bytes(), &[7]]);
    talk.raw("a truth value of 7", &odd, Some(("Metadata", 4)), PATIENCE)?;
    Ok(())
}

fn counts(talk: &mut Talk) -> Outcome {
    // Any count below zero is null for Kafka, which asks Metadata for all topics.
    talk.only_own();
    for count in [-2, 1, 1_000, i32::MAX] {
        let bytes = frame(METADATA, 1, &[&count.to_be_bytes()]);
        talk.raw(
            &format!("{count} topics"),
            &bytes,
            Some(("Metadata", 1)),
            PATIENCE,
        )?;
        let bytes = frame(
            PRODUCE,
            3,
            &[&[0xff, 0xff, 0, 1, 0, 0, 0, 1], &count.to_be_bytes()],
        );
        talk.raw(
            &format!("{count} batches"),
            &bytes,
            Some(("Produce", 3)),
            PATIENCE,
        )?;
        let bytes = frame(LIST_OFFSETS, 1, &[&[0xff; 4], &count.to_be_bytes()]);
        talk.raw(
            &format!("{count} partitions"),
            &bytes,
            Some(("ListOffsets", 1)),
            PATIENCE,
        )?;
    }
    let compact = frame(METADATA, 9, &[&[0], &[0xff, 0xff, 0xff, 0xff, 0x0f]]);
    talk.raw(
        "four billion topics",
        &compact,
        Some(("Metadata", 9)),
        PATIENCE,
    )?;
    let records = frame(
        PRODUCE,
        3,
        &[
            &[0xff, 0xff, 0, 1, 0, 0, 0, 1],
            &1i32.to_be_bytes(),
            &[0, 1, b't'],
            &1i32.to_be_bytes(),
            &0i32.to_be_bytes(),
            &i32::MAX.to_be_bytes(),
        ],
    );
    talk.raw(
        "two billion bytes of records",
        &records,
        Some(("Produce", 3)),
        PATIENCE,
    )?;
    Ok(())
}

fn tags(talk: &mut Talk) -> Outcome {
    // A topic of Metadata v9 and the request around it, each with tags nobody knows.
    let of = |inner: &[u8], outer: &[u8]| {
        frame(
            METADATA,
            9,
            &[&[0], &[2, 2, b'/'], inner, &[0, 0, 0], outer],
        )
    };
    let asked = Some(("Metadata", 9));
    for (case, inner, outer) in [
        ("none", vec![0], vec![0]),
        ("in the topic", vec![1, 50, 3, 1, 2, 3], vec![0]),
        ("in the request", vec![0], vec![2, 50, 0, 51, 1, 9]),
        ("twice the same", vec![0], vec![2, 50, 0, 50, 0]),
        ("out of order", vec![0], vec![2, 51, 0, 50, 0]),
        ("cut off", vec![0], vec![1, 50, 9, 1]),
    ] {
        talk.raw(case, &of(&inner, &outer), asked, PATIENCE)?;
    }
    // Tag 0 of Fetch is the cluster's id: too long for what it says, and too short.
    for (case, tag) in [
        ("a known tag with a tail", vec![1, 0, 4, 2, b'x', 9, 9]),
        ("a known tag cut off", vec![1, 0, 2, 9, b'x']),
    ] {
        let body = [
            &[0xff; 4][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0],
            &[0, 1, 0, 0],
            &[0],
            &[0; 4],
            &[0xff; 4],
            &[1, 1, 1],
        ]
        .concat();
        talk.raw(
            case,
            &frame(FETCH, 12, &[&[0], &body, &tag]),
            Some(("Fetch", 12)),
            PATIENCE,
        )?;
    }
    Ok(())
}

fn pipelined(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let mut line = talk.line()?;
    let fetch = super::bodies::with(super::bodies::fetch(&topic, 0, 0), "/max_wait_ms", 300);
    let fetch = super::bodies::with(fetch, "/min_bytes", 1);
    let first = talk.send_on(&mut line, "Fetch", 12, fetch)?;
    let second = talk.send_on(&mut line, "Metadata", 1, json!({"topics": []}))?;
    let third = talk.send_on(&mut line, "ApiVersions", 0, json!({}))?;
    talk.receive("first a fetch that waits", &mut line, first, ("Fetch", 12))?;
    talk.receive("then metadata", &mut line, second, ("Metadata", 1))?;
    line.send_raw(&frame(API_VERSIONS, 9999, &[]))?;
    let answer = line.hear(PATIENCE)?;
    talk.note(
        "then the versions",
        matches!(answer, super::super::line::Heard::Frame(_)).into(),
    )?;
    let _ = third;
    Ok(())
}
