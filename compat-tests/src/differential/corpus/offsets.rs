//! Offsets committed and fetched, outside of a rebalance.

use serde_json::{Value, json};

use super::super::schema::NO_UUID;
use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{commit, commits, nowhere, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("offsets/commit-versions", commit_versions),
    script("offsets/commit-bad", commit_bad),
    script("offsets/fetch-versions", fetch_versions),
    script("offsets/fetch-bad", fetch_bad),
    script("offsets/fetch-groups", fetch_groups),
    script("offsets/by-id", by_id),
    script("offsets/metadata", metadata),
    script("offsets/after-topic", after_topic),
];

fn commit_versions(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 2)?;
    // The one with topic ids has a script of its own.
    for version in 2..=9 {
        let group = talk.name(&format!("v{version}"));
        let epoch = "/topics/0/partitions/0/committed_leader_epoch";
        let body = with(commit(&group, &topic, 1, 42), epoch, 0);
        talk.ask("committed", "OffsetCommit", version, body)?;
        let body = commits(&group, &topic, &[0, 1]);
        talk.ask(&format!("fetched, v{version}"), "OffsetFetch", 7, body)?;
    }
    Ok(())
}

fn commit_bad(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let group = talk.name("g");
    let good = || commit(&group, &topic, 0, 5);
    let partition = "/topics/0/partitions/0";
    for (case, body) in [
        ("no group", commit("", &topic, 0, 5)),
        ("a member of nothing", with(good(), "/member_id", "m")),
        (
            "a generation of nothing",
            with(good(), "/generation_id_or_member_epoch", 3),
        ),
        (
            "a member and a generation",
            with(
                with(good(), "/member_id", "m"),
                "/generation_id_or_member_epoch",
                3,
            ),
        ),
        ("no such topic", commit(&group, &nowhere(talk), 0, 5)),
        ("no such partition", commit(&group, &topic, 9, 5)),
        ("a negative offset", commit(&group, &topic, 0, -1)),
        ("a very negative offset", commit(&group, &topic, 0, -100)),
        ("far ahead", commit(&group, &topic, 0, i64::MAX)),
        (
            "no metadata",
            with(
                good(),
                &format!("{partition}/committed_metadata"),
                Value::Null,
            ),
        ),
        (
            "a late epoch",
            with(good(), &format!("{partition}/committed_leader_epoch"), 9),
        ),
        ("no topics", with(good(), "/topics", json!([]))),
        (
            "no partitions",
            with(good(), "/topics/0/partitions", json!([])),
        ),
        ("an instance", with(good(), "/group_instance_id", "i")),
        ("a retention time", with(good(), "/retention_time_ms", 5)),
    ] {
        talk.sweep(case, "OffsetCommit", |_| body.clone())?;
    }
    Ok(())
}

fn fetch_versions(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 3)?;
    let group = talk.name("g");
    talk.quiet("OffsetCommit", 7, commit(&group, &topic, 1, 42))?;
    talk.sweep("some", "OffsetFetch", |_| commits(&group, &topic, &[0, 1]))?;
    let all = with(
        with(commits(&group, &topic, &[]), "/topics", Value::Null),
        "/groups/0/topics",
        Value::Null,
    );
    talk.sweep_in(2..=10, "all", "OffsetFetch", |_| all.clone())?;
    let stable = with(commits(&group, &topic, &[1]), "/require_stable", true);
    talk.sweep_in(7..=10, "stable", "OffsetFetch", |_| stable.clone())?;
    Ok(())
}

fn fetch_bad(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let group = talk.name("g");
    talk.quiet("OffsetCommit", 7, commit(&group, &topic, 0, 42))?;
    let nowhere_group = talk.name("nobody");
    for (case, body) in [
        ("unknown group", commits(&nowhere_group, &topic, &[0])),
        ("no group", commits("", &topic, &[0])),
        ("no such topic", commits(&group, &nowhere(talk), &[0])),
        ("no such partition", commits(&group, &topic, &[9, -1])),
        ("no partitions", commits(&group, &topic, &[])),
        ("one twice", commits(&group, &topic, &[0, 0])),
        (
            "no topics",
            json!({"group_id": group, "topics": [], "groups": [{"group_id": group, "topics": []}]}),
        ),
    ] {
        talk.sweep(case, "OffsetFetch", |_| body.clone())?;
    }
    let all = json!({"group_id": nowhere_group, "topics": null, "groups": [{"group_id": nowhere_group, "topics": null}]});
    talk.sweep_in(2..=10, "all of an unknown group", "OffsetFetch", |_| {
        all.clone()
    })?;
    Ok(())
}

fn fetch_groups(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let (a, b) = (talk.name("a"), talk.name("b"));
    talk.quiet("OffsetCommit", 7, commit(&a, &topic, 0, 1))?;
    talk.quiet("OffsetCommit", 7, commit(&b, &topic, 0, 2))?;
    let of = |group: &str| json!({"group_id": group, "topics": [{"name": topic.name, "topic_id": topic.id, "partition_indexes": [0]}]});
    for (case, groups) in [
        ("two", json!([of(&a), of(&b)])),
        ("one twice", json!([of(&a), of(&a)])),
        ("known and unknown", json!([of(&a), of("nobody-at-all")])),
        ("known and none", json!([of(&a), of("")])),
        ("none", json!([])),
        (
            "as a stranger",
            json!([with(with(of(&a), "/member_id", "m"), "/member_epoch", 1)]),
        ),
        (
            "an epoch without a member",
            json!([with(of(&a), "/member_epoch", 1)]),
        ),
    ] {
        talk.sweep_in(8..=10, case, "OffsetFetch", |_| json!({ "groups": groups }))?;
    }
    Ok(())
}

fn by_id(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let group = talk.name("g");
    let unknown = nowhere(talk);
    let none = Topic {
        name: topic.name.clone(),
        id: NO_UUID.to_owned(),
    };
    for (case, topic) in [("known", &topic), ("unknown", &unknown), ("no id", &none)] {
        talk.ask(case, "OffsetCommit", 10, commit(&group, topic, 0, 5))?;
        talk.ask(case, "OffsetFetch", 10, commits(&group, topic, &[0]))?;
    }
    Ok(())
}

fn metadata(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 2)?;
    for (case, text) in [
        ("empty", String::new()),
        ("with letters of many", "čšž 日本".to_owned()),
        ("of 4096 letters", "m".repeat(4096)),
        ("of 4097 letters", "m".repeat(4097)),
        ("of 4096 bytes or letters", "ž".repeat(4096)),
    ] {
        let group = talk.name(&case.replace(' ', "-"));
        let body = with(
            commit(&group, &topic, 0, 5),
            "/topics/0/partitions/0/committed_metadata",
            text,
        );
        talk.ask(case, "OffsetCommit", 7, body)?;
        let answer = talk.quiet("OffsetFetch", 7, commits(&group, &topic, &[0]))?;
        let found = &answer["topics"][0]["partitions"][0];
        let length = found["metadata"].as_str().map(|text| text.chars().count());
        talk.note(
            &format!("{case}: read"),
            json!({"offset": found["committed_offset"], "letters": length}),
        )?;
    }
    let mut both = commit(&talk.name("g"), &topic, 0, 5);
    let good = both["topics"][0]["partitions"][0].clone();
    let good = with(good, "/partition_index", 1);
    let bad = with(
        both["topics"][0]["partitions"][0].take(),
        "/committed_metadata",
        "m".repeat(5000),
    );
    let both = with(both, "/topics/0/partitions", json!([bad, good]));
    talk.ask("one too long of two", "OffsetCommit", 7, both)?;
    Ok(())
}

fn after_topic(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let group = talk.name("g");
    talk.quiet("OffsetCommit", 7, commit(&group, &topic, 0, 5))?;
    let gone = json!({"topic_names": [topic.name], "timeout_ms": 10_000});
    talk.quiet("DeleteTopics", 5, gone)?;
    let asked = json!({"topics": [{"name": topic.name}], "allow_auto_topic_creation": false});
    talk.settle("Metadata", 9, asked, |answer| {
        answer["topics"][0]["error_code"] == 3
    })?;
    let none = |answer: &Value| answer["topics"][0]["partitions"][0]["committed_offset"] == -1;
    talk.until(
        "its offset is gone",
        "OffsetFetch",
        7,
        commits(&group, &topic, &[0]),
        none,
    )?;
    talk.ask("a commit", "OffsetCommit", 7, commit(&group, &topic, 0, 6))?;
    Ok(())
}
