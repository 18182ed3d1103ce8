//! Topics made, changed and deleted; records deleted.

use serde_json::{Value, json};

use super::super::batch::Batch;
use super::super::schema::NO_UUID;
use super::super::talk::{Outcome, Talk};
use super::bodies::{fetch, fill, list_offset, nowhere, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("topics/create", create),
    script("topics/create-bad", create_bad),
    script("topics/create-names", create_names),
    script("topics/create-many", create_many),
    script("topics/create-assigned", create_assigned),
    script("topics/create-configured", create_configured),
    script("topics/delete", delete),
    script("topics/delete-by-id", delete_by_id),
    script("topics/partitions", partitions),
    script("topics/delete-records", delete_records),
    script("topics/reassign", reassign),
    script("topics/elect", elect),
    script("topics/replica-dirs", replica_dirs),
];

fn topic(name: &str, partitions: i32) -> Value {
    json!({"name": name, "num_partitions": partitions, "replication_factor": 1})
}

fn creation(topics: Vec<Value>) -> Value {
    json!({"topics": topics, "timeout_ms": 10_000})
}

fn create(talk: &mut Talk) -> Outcome {
    for version in talk.versions("CreateTopics")? {
        let name = talk.name(&format!("v{version}"));
        let body = creation(vec![topic(&name, 2)]);
        talk.ask("made", "CreateTopics", version, body.clone())?;
        talk.ask("is there", "CreateTopics", version, body.clone())?;
        let check = with(body, "/validate_only", true);
        talk.ask("would be there", "CreateTopics", version, check)?;
        let other = talk.name(&format!("other{version}"));
        let check = with(creation(vec![topic(&other, 2)]), "/validate_only", true);
        talk.ask("would be made", "CreateTopics", version, check)?;
    }
    Ok(())
}

fn create_bad(talk: &mut Talk) -> Outcome {
    let name = talk.name("t");
    let with_configs = |configs: Value| with(topic(&name, 1), "/configs", configs);
    let config = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    for (case, topic) in [
        ("0 partitions", topic(&name, 0)),
        ("-2 partitions", topic(&name, -2)),
        ("far too many partitions", topic(&name, i32::MAX)),
        (
            "0 replicas",
            with(topic(&name, 1), "/replication_factor", 0),
        ),
        (
            "2 replicas",
            with(topic(&name, 1), "/replication_factor", 2),
        ),
        (
            "-2 replicas",
            with(topic(&name, 1), "/replication_factor", -2),
        ),
        (
            "an unknown config",
            with_configs(config("no.such.key", "1")),
        ),
        (
            "a config without a value",
            with_configs(json!([{"name": "retention.ms", "value": null}])),
        ),
        (
            "a number that is none",
            with_configs(config("retention.ms", "soon")),
        ),
        (
            "a number too small",
            with_configs(config("retention.ms", "-2")),
        ),
        (
            "a word that is none",
            with_configs(config("cleanup.policy", "forget")),
        ),
        ("an empty list", with_configs(config("cleanup.policy", ""))),
        (
            "a truth value that is none",
            with_configs(config("preallocate", "maybe")),
        ),
        (
            "a codec that is none",
            with_configs(config("compression.type", "rar")),
        ),
        ("an empty key", with_configs(config("", "1"))),
        (
            "one config twice",
            with_configs(
                json!([{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}]),
            ),
        ),
    ] {
        for version in [2, 5, 7] {
            let body = with(creation(vec![topic.clone()]), "/validate_only", true);
            talk.ask(case, "CreateTopics", version, body)?;
        }
    }
    Ok(())
}

fn create_names(talk: &mut Talk) -> Outcome {
    let long = "n".repeat(250);
    for name in ["", ".", "..", "a b", "ä", "a/b", "a:b", "a,b", &long] {
        let shown = if name.len() > 9 { "250 letters" } else { name };
        let body = creation(vec![topic(name, 1)]);
        let body = with(body, "/validate_only", true);
        talk.sweep(&format!("{shown:?}"), "CreateTopics", |_| body.clone())?;
    }
    let prefix = talk.name("");
    let fill = "n".repeat(249 - prefix.len());
    talk.ask(
        "249 letters",
        "CreateTopics",
        5,
        creation(vec![topic(&talk.name(&fill), 1)]),
    )?;
    talk.ask(
        "with a dot",
        "CreateTopics",
        5,
        creation(vec![topic(&talk.name("a.b"), 1)]),
    )?;
    talk.ask(
        "with a line",
        "CreateTopics",
        5,
        creation(vec![topic(&talk.name("a_b"), 1)]),
    )?;
    for name in [
        "__consumer_offsets",
        "__transaction_state",
        "__cluster_metadata",
    ] {
        talk.ask(
            name,
            "CreateTopics",
            5,
            with(creation(vec![topic(name, 1)]), "/validate_only", true),
        )?;
    }
    Ok(())
}

fn create_many(talk: &mut Talk) -> Outcome {
    let (a, b) = (talk.name("a"), talk.name("b"));
    talk.sweep("none", "CreateTopics", |_| creation(vec![]))?;
    for version in [4, 5, 7] {
        let a = format!("{a}{version}");
        let body = creation(vec![topic(&a, 1), topic("a/b", 1), topic(&b, 0)]);
        talk.ask("good and bad", "CreateTopics", version, body)?;
        let c = format!("{a}c");
        let body = creation(vec![topic(&c, 1), topic(&c, 2)]);
        talk.ask("one twice", "CreateTopics", version, body)?;
    }
    let late = creation(vec![topic(&talk.name("d"), 1)]);
    talk.ask("no time", "CreateTopics", 4, with(late, "/timeout_ms", 0))?;
    let e = talk.name("e");
    let defaults = json!({"name": e, "num_partitions": -1, "replication_factor": -1});
    talk.sweep_in(4..=7, "defaults", "CreateTopics", |_| {
        with(creation(vec![defaults.clone()]), "/validate_only", true)
    })?;
    talk.sweep_in(2..=3, "defaults for old clients", "CreateTopics", |_| {
        with(creation(vec![defaults.clone()]), "/validate_only", true)
    })?;
    Ok(())
}

fn create_assigned(talk: &mut Talk) -> Outcome {
    let name = talk.name("t");
    let assigned = |assignments: Value| json!({"name": name, "num_partitions": -1, "replication_factor": -1, "assignments": assignments});
    let to = |partition: i32, brokers: &[i32]| json!({"partition_index": partition, "broker_ids": brokers});
    for (case, topic) in [
        ("to the broker", assigned(json!([to(0, &[1]), to(1, &[1])]))),
        ("to an unknown broker", assigned(json!([to(0, &[9])]))),
        ("to nobody", assigned(json!([to(0, &[])]))),
        ("twice to one", assigned(json!([to(0, &[1, 1])]))),
        ("not from 0", assigned(json!([to(1, &[1])]))),
        ("with a gap", assigned(json!([to(0, &[1]), to(2, &[1])]))),
        (
            "one partition twice",
            assigned(json!([to(0, &[1]), to(0, &[1])])),
        ),
        (
            "of different sizes",
            assigned(json!([to(0, &[1]), to(1, &[1, 9])])),
        ),
        (
            "and a count",
            with(assigned(json!([to(0, &[1])])), "/num_partitions", 1),
        ),
        (
            "and a factor",
            with(assigned(json!([to(0, &[1])])), "/replication_factor", 1),
        ),
    ] {
        for version in [2, 5, 7] {
            let body = with(creation(vec![topic.clone()]), "/validate_only", true);
            talk.ask(case, "CreateTopics", version, body)?;
        }
    }
    Ok(())
}

fn create_configured(talk: &mut Talk) -> Outcome {
    let configs = json!([{"name": "retention.ms", "value": "1000"}, {"name": "cleanup.policy", "value": "compact,delete"},
        {"name": "max.message.bytes", "value": "2000"}, {"name": "compression.type", "value": "zstd"}]);
    for version in [5, 7] {
        let name = talk.name(&format!("v{version}"));
        let body = creation(vec![with(topic(&name, 1), "/configs", configs.clone())]);
        talk.ask("made", "CreateTopics", version, body)?;
    }
    Ok(())
}

/// Whether Metadata knows a topic.
fn settle_gone(talk: &mut Talk, name: &str) -> Outcome {
    let asked = json!({"topics": [{"name": name}], "allow_auto_topic_creation": false});
    talk.settle("Metadata", 9, asked, |answer| {
        answer["topics"][0]["error_code"] == 3
    })?;
    Ok(())
}

fn delete(talk: &mut Talk) -> Outcome {
    for version in talk.versions("DeleteTopics")? {
        let name = talk.topic(&format!("v{version}"), 1)?.name;
        let body = |name: &str| json!({"topic_names": [name], "topics": [{"name": name}], "timeout_ms": 10_000});
        talk.ask("deleted", "DeleteTopics", version, body(&name))?;
        settle_gone(talk, &name)?;
        talk.ask("is gone", "DeleteTopics", version, body(&name))?;
        talk.ask("no name", "DeleteTopics", version, body(""))?;
        talk.ask("none", "DeleteTopics", version, json!({"timeout_ms": 1000}))?;
    }
    let (a, b) = (talk.topic("a", 1)?.name, talk.name("nowhere"));
    let several = json!({"topic_names": [b, a, b], "timeout_ms": 10_000});
    talk.ask("known, unknown twice", "DeleteTopics", 5, several)?;
    let c = talk.topic("c", 1)?.name;
    let twice = json!({"topic_names": [c, c], "timeout_ms": 10_000});
    talk.ask("one twice", "DeleteTopics", 5, twice)?;
    Ok(())
}

fn delete_by_id(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let both = talk.topic("u", 1)?;
    let body = |topics: Value| json!({"topics": topics, "timeout_ms": 10_000});
    for (case, topics) in [
        (
            "unknown",
            json!([{"topic_id": nowhere(talk).id, "name": null}]),
        ),
        ("neither", json!([{"topic_id": NO_UUID, "name": null}])),
        (
            "id and name",
            json!([{"topic_id": both.id, "name": both.name}]),
        ),
        (
            "one by id and name",
            json!([{"topic_id": both.id, "name": null}, {"name": both.name}]),
        ),
        (
            "one id twice",
            json!([{"topic_id": both.id, "name": null}, {"topic_id": both.id, "name": null}]),
        ),
        ("by id", json!([{"topic_id": topic.id, "name": null}])),
    ] {
        talk.ask(case, "DeleteTopics", 6, body(topics))?;
    }
    settle_gone(talk, &topic.name)?;
    let again = json!([{"topic_id": topic.id, "name": null}]);
    talk.ask("is gone", "DeleteTopics", 6, body(again))?;
    Ok(())
}

fn partitions(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 2)?.name;
    let to = |name: &str, count: i32| json!({"topics": [{"name": name, "count": count, "assignments": null}], "timeout_ms": 10_000});
    for (case, body) in [
        ("as many", to(&name, 2)),
        ("fewer", to(&name, 1)),
        ("none", to(&name, 0)),
        ("less than none", to(&name, -1)),
        ("unknown", to(&talk.name("nowhere"), 3)),
        ("no name", to("", 3)),
        ("no topics", json!({"topics": [], "timeout_ms": 1000})),
    ] {
        talk.sweep(case, "CreatePartitions", |_| body.clone())?;
    }
    let assigned = |brokers: Value| with(to(&name, 3), "/topics/0/assignments", brokers);
    for (case, body) in [
        ("checked", to(&name, 4)),
        ("checked, assigned", assigned(json!([{"broker_ids": [1]}]))),
        (
            "checked, to an unknown broker",
            assigned(json!([{"broker_ids": [9]}])),
        ),
        ("checked, to nobody", assigned(json!([{"broker_ids": []}]))),
        ("checked, too few assigned", assigned(json!([]))),
        (
            "checked, too many assigned",
            assigned(json!([{"broker_ids": [1]}, {"broker_ids": [1]}])),
        ),
        (
            "checked, two replicas",
            assigned(json!([{"broker_ids": [1, 9]}])),
        ),
    ] {
        let body = with(body, "/validate_only", true);
        talk.sweep(case, "CreatePartitions", |_| body.clone())?;
    }
    let twice = json!({"topics": [to(&name, 3)["topics"][0], to(&name, 4)["topics"][0]], "timeout_ms": 1000});
    talk.ask("one twice", "CreatePartitions", 1, twice)?;
    talk.ask("more", "CreatePartitions", 1, to(&name, 4))?;
    let body = json!({"topics": [{"name": name}], "allow_auto_topic_creation": false});
    let grown = |answer: &Value| {
        let all = answer["topics"][0]["partitions"].as_array();
        all.is_some_and(|all| all.len() == 4 && all.iter().all(|each| each["error_code"] == 0))
    };
    talk.until("all there", "Metadata", 9, body, grown)?;
    Ok(())
}

fn delete_records(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let compacted = talk.topic_with("compacted", 1, &[("cleanup.policy", "compact")])?;
    let both = talk.topic_with("both", 1, &[("cleanup.policy", "compact,delete")])?;
    for topic in [&topic, &compacted, &both] {
        for values in [["a", "b"], ["c", "d"]] {
            fill(talk, topic, 0, &Batch::of(&values))?;
        }
    }
    let to = |name: &str, partition: i32, offset: i64| {
        json!({"timeout_ms": 10_000, "topics": [{"name": name, "partitions":
            [{"partition_index": partition, "offset": offset}]}]})
    };
    for (case, body) in [
        ("beyond the end", to(&topic.name, 0, 5)),
        ("below 0", to(&topic.name, 0, -2)),
        ("no such partition", to(&topic.name, 3, 0)),
        ("no such topic", to(&talk.name("nowhere"), 0, 0)),
        ("internal", to("__consumer_offsets", 0, 0)),
        ("compacted", to(&compacted.name, 0, 1)),
        ("no topics", json!({"topics": [], "timeout_ms": 1000})),
        ("up to the start", to(&topic.name, 0, 0)),
        ("some", to(&topic.name, 0, 1)),
        ("fewer", to(&topic.name, 0, 0)),
        ("up to the end", to(&topic.name, 0, 4)),
        ("all", to(&topic.name, 0, -1)),
        ("compacted and deleted", to(&both.name, 0, 1)),
    ] {
        talk.sweep(case, "DeleteRecords", |_| body.clone())?;
    }
    talk.ask("what is left", "Fetch", 12, fetch(&topic, 0, 4))?;
    talk.ask(
        "where it begins",
        "ListOffsets",
        5,
        list_offset(&topic.name, 0, -2),
    )?;
    Ok(())
}

fn reassign(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 1)?.name;
    let to = |name: &str, partition: i32, replicas: Value| {
        json!({"timeout_ms": 10_000, "topics": [{"name": name, "partitions":
            [{"partition_index": partition, "replicas": replicas}]}]})
    };
    for (case, body) in [
        ("to where it is", to(&name, 0, json!([1]))),
        ("to an unknown broker", to(&name, 0, json!([9]))),
        ("to nobody", to(&name, 0, json!([]))),
        ("cancelled", to(&name, 0, Value::Null)),
        ("twice to one", to(&name, 0, json!([1, 1]))),
        ("no such partition", to(&name, 7, json!([1]))),
        ("no such topic", to(&talk.name("nowhere"), 0, json!([1]))),
    ] {
        talk.sweep(case, "AlterPartitionReassignments", |_| body.clone())?;
    }
    let asked = json!({"topics": [{"name": name, "partition_indexes": [0]}]});
    talk.ask("under way", "ListPartitionReassignments", 0, asked)?;
    let asked = json!({"topics": [{"name": talk.name("nowhere"), "partition_indexes": [0]}]});
    talk.ask(
        "under way, of nothing",
        "ListPartitionReassignments",
        0,
        asked,
    )?;
    talk.ask(
        "all under way",
        "ListPartitionReassignments",
        0,
        json!({"topics": null}),
    )?;
    Ok(())
}

fn elect(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 1)?.name;
    let ask = |name: &str, partition: i32| json!({"timeout_ms": 10_000, "topic_partitions": [{"topic": name, "partitions": [partition]}]});
    talk.sweep("the preferred one", "ElectLeaders", |_| ask(&name, 0))?;
    talk.sweep("no such partition", "ElectLeaders", |_| ask(&name, 4))?;
    talk.sweep("no such topic", "ElectLeaders", |_| {
        ask(&other_than(&name), 0)
    })?;
    for kind in [1, 2] {
        let body = with(ask(&name, 0), "/election_type", kind);
        talk.sweep_in(1..=2, &format!("election {kind}"), "ElectLeaders", |_| {
            body.clone()
        })?;
    }
    talk.sweep(
        "none",
        "ElectLeaders",
        |_| json!({"topic_partitions": [], "timeout_ms": 1000}),
    )?;
    Ok(())
}

/// A name nobody has.
fn other_than(name: &str) -> String {
    format!("{name}-nowhere")
}

fn replica_dirs(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 1)?.name;
    let ask = |path: &str, name: &str, partition: i32| json!({"dirs": [{"path": path, "topics": [{"name": name, "partitions": [partition]}]}]});
    talk.sweep("to no such folder", "AlterReplicaLogDirs", |_| {
        ask("/no/such/folder", &name, 0)
    })?;
    talk.sweep("of no topic", "AlterReplicaLogDirs", |_| {
        ask("/no/such/folder", &other_than(&name), 0)
    })?;
    talk.sweep("none", "AlterReplicaLogDirs", |_| json!({"dirs": []}))?;
    Ok(())
}
