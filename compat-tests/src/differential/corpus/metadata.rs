//! Metadata, DescribeTopicPartitions, DescribeCluster, FindCoordinator, DescribeLogDirs.

use serde_json::{Value, json};

use super::super::batch::Batch;
use super::super::schema::NO_UUID;
use super::super::talk::{Outcome, Talk};
use super::bodies::{fill, nowhere, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("metadata/versions", versions),
    script("metadata/all", all),
    script("metadata/unknown", unknown),
    script("metadata/auto-create", auto_create),
    script("metadata/by-id", by_id),
    script("metadata/bad-names", bad_names),
    script("metadata/internal", internal),
    script("metadata/operations", operations),
    script("metadata/topic-partitions", topic_partitions),
    script("metadata/cluster", cluster),
    script("metadata/coordinators", coordinators),
    script("metadata/log-dirs", log_dirs),
];

fn asked(names: &[&str]) -> Value {
    let topics: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    json!({"topics": topics, "allow_auto_topic_creation": false})
}

fn versions(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 3)?;
    let other = talk.topic("u", 1)?;
    talk.sweep("one", "Metadata", |_| asked(&[&topic.name]))?;
    talk.sweep("two", "Metadata", |_| asked(&[&topic.name, &other.name]))?;
    talk.sweep("one twice", "Metadata", |_| {
        asked(&[&topic.name, &topic.name])
    })?;
    talk.sweep_in(1..=13, "none", "Metadata", |_| asked(&[]))?;
    Ok(())
}

fn all(talk: &mut Talk) -> Outcome {
    talk.only_own();
    talk.topic("t", 1)?;
    talk.sweep_in(1..=13, "null", "Metadata", |_| json!({"topics": null}))?;
    talk.sweep_in(0..=0, "empty", "Metadata", |_| json!({"topics": []}))?;
    Ok(())
}

fn unknown(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let name = talk.name("nowhere");
    talk.sweep_in(4..=13, "one", "Metadata", |_| asked(&[&name]))?;
    talk.sweep_in(4..=13, "a known and an unknown", "Metadata", |_| {
        asked(&[&topic.name, &name])
    })?;
    Ok(())
}

fn auto_create(talk: &mut Talk) -> Outcome {
    for version in talk.versions("Metadata")? {
        let name = talk.name(&format!("v{version}"));
        let body = json!({"topics": [{"name": name}], "allow_auto_topic_creation": true});
        talk.ask("the first answer", "Metadata", version, body.clone())?;
        let there = |answer: &Value| answer["topics"][0]["error_code"] == 0;
        talk.until("then", "Metadata", version, body, there)?;
    }
    Ok(())
}

fn by_id(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let nowhere = nowhere(talk);
    let ask = |topics: Value| json!({"topics": topics, "allow_auto_topic_creation": false});
    let id = |id: &str| json!({"topic_id": id, "name": null});
    for (case, topics) in [
        ("known", json!([id(&topic.id)])),
        ("unknown", json!([id(&nowhere.id)])),
        ("no id", json!([id(NO_UUID)])),
        ("known and unknown", json!([id(&topic.id), id(&nowhere.id)])),
        (
            "an id and its name",
            json!([{"topic_id": topic.id, "name": topic.name}]),
        ),
        (
            "an id and another",
            json!([id(&topic.id), {"name": topic.name}]),
        ),
        (
            "an id and no name",
            json!([{"topic_id": topic.id, "name": ""}]),
        ),
        ("one twice", json!([id(&topic.id), id(&topic.id)])),
    ] {
        talk.sweep_in(10..=13, case, "Metadata", |_| ask(topics.clone()))?;
    }
    Ok(())
}

fn bad_names(talk: &mut Talk) -> Outcome {
    let long = "n".repeat(250);
    for name in ["", ".", "..", "a b", "ä", "a/b", &long] {
        let shown = if name.len() > 9 { "250 letters" } else { name };
        for (case, create) in [("create", true), ("ask", false)] {
            for version in [4, 9, 12] {
                let body = json!({"topics": [{"name": name}], "allow_auto_topic_creation": create});
                talk.ask(&format!("{case} {shown:?}"), "Metadata", version, body)?;
            }
        }
    }
    Ok(())
}

fn internal(talk: &mut Talk) -> Outcome {
    let answer = talk.quiet("Metadata", 9, asked(&["__consumer_offsets"]))?;
    let topic = &answer["topics"][0];
    let partitions = topic["partitions"].as_array().map_or(0, Vec::len);
    let facts = json!({"error_code": topic["error_code"], "is_internal": topic["is_internal"],
        "partitions": partitions});
    talk.note("__consumer_offsets", facts)
}

fn operations(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let body = json!({"topics": [{"name": topic.name}], "allow_auto_topic_creation": false,
        "include_cluster_authorized_operations": true, "include_topic_authorized_operations": true});
    talk.sweep_in(8..=13, "allowed operations", "Metadata", |_| body.clone())?;
    Ok(())
}

fn topic_partitions(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 3)?;
    let other = talk.topic("u", 1)?;
    let ask = |names: &[&str]| {
        let topics: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        json!({ "topics": topics })
    };
    let both = ask(&[&other.name, &topic.name]);
    let api = "DescribeTopicPartitions";
    talk.ask("two", api, 0, both.clone())?;
    talk.ask("one twice", api, 0, ask(&[&topic.name, &topic.name]))?;
    talk.ask("unknown", api, 0, ask(&[&talk.name("nowhere")]))?;
    talk.ask("no name", api, 0, ask(&[""]))?;
    for limit in [0, -1, 1, 2, 3, 4] {
        let body = with(both.clone(), "/response_partition_limit", limit);
        talk.ask(&format!("limit {limit}"), api, 0, body)?;
    }
    for (case, name, partition) in [
        ("from the second partition", &topic.name, 1),
        ("from behind the last", &topic.name, 3),
        ("from a negative partition", &topic.name, -1),
        ("from the second topic", &other.name, 0),
        ("from a topic not asked for", &talk.name("zz"), 0),
    ] {
        let cursor = json!({"topic_name": name, "partition_index": partition});
        let body = with(both.clone(), "/cursor", cursor);
        talk.ask(case, api, 0, body)?;
    }
    Ok(())
}

fn cluster(talk: &mut Talk) -> Outcome {
    talk.sweep("plain", "DescribeCluster", |_| json!({"endpoint_type": 1}))?;
    let with_operations =
        json!({"include_cluster_authorized_operations": true, "endpoint_type": 1});
    talk.sweep("operations", "DescribeCluster", |_| with_operations.clone())?;
    for kind in [0, 2, 3] {
        let body = json!({ "endpoint_type": kind });
        talk.sweep_in(
            1..=2,
            &format!("endpoints of type {kind}"),
            "DescribeCluster",
            |_| body.clone(),
        )?;
    }
    let fenced = json!({"endpoint_type": 1, "include_fenced_brokers": true});
    talk.ask("with fenced brokers", "DescribeCluster", 2, fenced)?;
    Ok(())
}

fn coordinators(talk: &mut Talk) -> Outcome {
    let name = talk.name("g");
    for kind in [0, 1, 2, 3, -1] {
        let body = json!({"key": name, "key_type": kind, "coordinator_keys": [name]});
        talk.sweep(&format!("type {kind}"), "FindCoordinator", |_| body.clone())?;
    }
    let none = json!({"key": "", "key_type": 0, "coordinator_keys": []});
    talk.sweep("no key", "FindCoordinator", |_| none.clone())?;
    let several = json!({"key_type": 0, "coordinator_keys": [name, "", name]});
    talk.sweep_in(4..=6, "several", "FindCoordinator", |_| several.clone())?;
    let share = json!({"key_type": 2, "coordinator_keys": ["g:AAAAAAAAAAAAAAAAAAAAAQ:0"]});
    talk.sweep_in(6..=6, "a share partition", "FindCoordinator", |_| {
        share.clone()
    })?;
    Ok(())
}

fn log_dirs(talk: &mut Talk) -> Outcome {
    talk.only_own();
    let topic = talk.topic("t", 2)?;
    fill(talk, &topic, 0, &Batch::of(&["a"]))?;
    let ask = |name: &str, partitions: &[i32]| json!({"topics": [{"topic": name, "partitions": partitions}]});
    talk.sweep("two partitions", "DescribeLogDirs", |_| {
        ask(&topic.name, &[0, 1])
    })?;
    talk.sweep("no such partition", "DescribeLogDirs", |_| {
        ask(&topic.name, &[7])
    })?;
    talk.sweep("no such topic", "DescribeLogDirs", |_| {
        ask(&other_than(&topic.name), &[0])
    })?;
    talk.sweep("no topics", "DescribeLogDirs", |_| json!({"topics": []}))?;
    talk.sweep("all topics", "DescribeLogDirs", |_| json!({"topics": null}))?;
    Ok(())
}

/// A name nobody has.
fn other_than(name: &str) -> String {
    format!("{name}-nowhere")
}
