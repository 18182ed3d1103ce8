//! Configs described and altered, for topics, brokers, groups and clients' metrics.

use serde_json::{Value, json};

use super::super::talk::{Outcome, Talk};
use super::bodies::with;
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("configs/describe-topic", describe_topic),
    script("configs/describe-chosen", describe_chosen),
    script("configs/describe-broker", describe_broker),
    script("configs/describe-bad", describe_bad),
    script("configs/describe-others", describe_others),
    script("configs/alter", alter),
    script("configs/alter-bad", alter_bad),
    script("configs/incremental", incremental),
    script("configs/incremental-bad", incremental_bad),
    script("configs/incremental-lists", incremental_lists),
    script("configs/broker", broker),
    script("configs/groups", groups),
    script("configs/list-resources", list_resources),
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

fn describe(kind: i8, name: &str, keys: Value) -> Value {
    json!({"resources": [{"resource_type": kind, "resource_name": name, "configuration_keys": keys}],
        "include_synonyms": true, "include_documentation": false})
}

fn describe_topic(talk: &mut Talk) -> Outcome {
    let set = [("retention.ms", "1000"), ("cleanup.policy", "compact")];
    let name = talk.topic_with("t", 1, &set)?.name;
    let plain = with(
        describe(TOPIC, &name, Value::Null),
        "/include_synonyms",
        false,
    );
    talk.sweep("all", "DescribeConfigs", |_| plain.clone())?;
    talk.ask(
        "all with synonyms",
        "DescribeConfigs",
        4,
        describe(TOPIC, &name, Value::Null),
    )?;
    let documented = with(plain, "/include_documentation", true);
    talk.sweep_in(3..=4, "all with documents", "DescribeConfigs", |_| {
        documented.clone()
    })?;
    Ok(())
}

fn describe_chosen(talk: &mut Talk) -> Outcome {
    let name = talk.topic_with("t", 1, &[("retention.ms", "1000")])?.name;
    for (case, keys) in [
        ("two", json!(["retention.ms", "segment.bytes"])),
        ("one unknown", json!(["no.such.key", "segment.bytes"])),
        ("one twice", json!(["segment.bytes", "segment.bytes"])),
        ("none", json!([])),
        ("an empty one", json!([""])),
    ] {
        talk.sweep(case, "DescribeConfigs", |_| {
            describe(TOPIC, &name, keys.clone())
        })?;
    }
    let twice = describe(TOPIC, &name, json!(["retention.ms"]));
    let resources = json!([twice["resources"][0], twice["resources"][0]]);
    talk.ask(
        "a topic twice",
        "DescribeConfigs",
        4,
        with(twice, "/resources", resources),
    )?;
    Ok(())
}

fn describe_broker(talk: &mut Talk) -> Outcome {
    // Only what the two have in common; what else there is differs by nature.
    let keys = json!([
        "auto.create.topics.enable",
        "num.partitions",
        "message.max.bytes",
        "log.retention.ms",
        "log.cleanup.policy",
        "compression.type",
        "group.max.session.timeout.ms",
        "offsets.topic.num.partitions",
        "log.message.timestamp.type",
        "min.insync.replicas",
        "default.replication.factor",
        "no.such.key"
    ]);
    talk.sweep("chosen", "DescribeConfigs", |_| {
        describe(BROKER, "1", keys.clone())
    })?;
    talk.sweep("the default broker", "DescribeConfigs", |_| {
        describe(BROKER, "", Value::Null)
    })?;
    Ok(())
}

fn describe_bad(talk: &mut Talk) -> Outcome {
    for (case, kind, name) in [
        ("no such topic", TOPIC, talk.name("nowhere")),
        ("a topic's name that cannot be", TOPIC, "a/b".to_owned()),
        ("a topic without a name", TOPIC, String::new()),
        ("another broker", BROKER, "9".to_owned()),
        ("a broker that is no number", BROKER, "one".to_owned()),
        ("no such type", 7, "x".to_owned()),
        ("type unknown", 0, "x".to_owned()),
        ("a broker's logger of another", 8, "9".to_owned()),
    ] {
        talk.sweep(case, "DescribeConfigs", |_| {
            describe(kind, &name, json!(["retention.ms"]))
        })?;
    }
    talk.sweep("nothing", "DescribeConfigs", |_| json!({"resources": []}))?;
    Ok(())
}

fn describe_others(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    talk.sweep("a group", "DescribeConfigs", |_| {
        describe(GROUP, &group, Value::Null)
    })?;
    talk.sweep("a group without a name", "DescribeConfigs", |_| {
        describe(GROUP, "", Value::Null)
    })?;
    talk.sweep("clients' metrics", "DescribeConfigs", |_| {
        describe(CLIENT_METRICS, &group, Value::Null)
    })?;
    Ok(())
}

fn altered(kind: i8, name: &str, configs: &[(&str, Value)]) -> Value {
    let configs = configs.iter();
    let configs: Vec<_> = configs
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({"resources": [{"resource_type": kind, "resource_name": name, "configs": configs}]})
}

/// Reads back until a value is there.
fn read_back(talk: &mut Talk, step: &str, name: &str, key: &str, value: &str) -> Outcome {
    let body = describe(
        TOPIC,
        name,
        json!(["retention.ms", "max.message.bytes", "cleanup.policy"]),
    );
    let body = with(body, "/include_synonyms", false);
    let there = |answer: &Value| {
        let configs = answer["results"][0]["configs"].as_array();
        configs.is_some_and(|all| {
            all.iter()
                .any(|each| each["name"] == key && each["value"] == value)
        })
    };
    talk.until(step, "DescribeConfigs", 4, body, there)?;
    Ok(())
}

fn alter(talk: &mut Talk) -> Outcome {
    let set = [("retention.ms", "1000"), ("max.message.bytes", "5000")];
    let name = talk.topic_with("t", 1, &set)?.name;
    let body = altered(TOPIC, &name, &[("retention.ms", "2000".into())]);
    let check = with(body.clone(), "/validate_only", true);
    talk.sweep("checked", "AlterConfigs", |_| check.clone())?;
    read_back(talk, "not altered", &name, "retention.ms", "1000")?;
    talk.sweep("altered", "AlterConfigs", |_| body.clone())?;
    read_back(
        talk,
        "the rest is at its default",
        &name,
        "max.message.bytes",
        "1048588",
    )?;
    talk.sweep("emptied", "AlterConfigs", |_| altered(TOPIC, &name, &[]))?;
    read_back(
        talk,
        "all is at its default",
        &name,
        "retention.ms",
        "604800000",
    )?;
    Ok(())
}

fn alter_bad(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 1)?.name;
    let of = |key: &str, value: Value| altered(TOPIC, &name, &[(key, value)]);
    let good = || of("retention.ms", "7".into());
    let again = json!([good()["resources"][0], good()["resources"][0]]);
    for (case, body) in [
        ("an unknown key", of("no.such.key", "1".into())),
        ("no value", of("retention.ms", Value::Null)),
        ("not a number", of("retention.ms", "soon".into())),
        ("too small", of("segment.bytes", "1".into())),
        (
            "one key twice",
            altered(
                TOPIC,
                &name,
                &[("retention.ms", "1".into()), ("retention.ms", "2".into())],
            ),
        ),
        (
            "no such topic",
            altered(
                TOPIC,
                &talk.name("nowhere"),
                &[("retention.ms", "1".into())],
            ),
        ),
        (
            "no name",
            altered(TOPIC, "", &[("retention.ms", "1".into())]),
        ),
        (
            "another broker",
            altered(BROKER, "9", &[("message.max.bytes", "1000".into())]),
        ),
        (
            "a broker that is no number",
            altered(BROKER, "one", &[("message.max.bytes", "1000".into())]),
        ),
        (
            "a fixed setting",
            altered(BROKER, "1", &[("node.id", "7".into())]),
        ),
        ("no such type", altered(7, "x", &[("a", "1".into())])),
        ("type unknown", altered(0, "x", &[("a", "1".into())])),
        ("one topic twice", with(good(), "/resources", again)),
        ("nothing", json!({"resources": []})),
    ] {
        talk.sweep(case, "AlterConfigs", |_| body.clone())?;
    }
    Ok(())
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn changed(kind: i8, name: &str, changes: &[(&str, i8, Value)]) -> Value {
    let changes = changes.iter();
    let changes: Vec<_> = changes
        .map(|(name, operation, value)| json!({"name": name, "config_operation": operation, "value": value}))
        .collect();
    json!({"resources": [{"resource_type": kind, "resource_name": name, "configs": changes}]})
}

fn incremental(talk: &mut Talk) -> Outcome {
    let set = [("retention.ms", "1000"), ("max.message.bytes", "5000")];
    let name = talk.topic_with("t", 1, &set)?.name;
    let body = changed(TOPIC, &name, &[("retention.ms", SET, "2000".into())]);
    let check = with(body.clone(), "/validate_only", true);
    talk.sweep("checked", "IncrementalAlterConfigs", |_| check.clone())?;
    read_back(talk, "not altered", &name, "retention.ms", "1000")?;
    talk.sweep("set", "IncrementalAlterConfigs", |_| body.clone())?;
    read_back(talk, "the rest stays", &name, "retention.ms", "2000")?;
    let back = changed(TOPIC, &name, &[("retention.ms", DELETE, Value::Null)]);
    talk.sweep("deleted", "IncrementalAlterConfigs", |_| back.clone())?;
    read_back(
        talk,
        "back at its default",
        &name,
        "retention.ms",
        "604800000",
    )?;
    let back = changed(
        TOPIC,
        &name,
        &[("max.message.bytes", DELETE, "whatever".into())],
    );
    talk.ask("deleted with a value", "IncrementalAlterConfigs", 1, back)?;
    Ok(())
}

fn incremental_bad(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 1)?.name;
    let of =
        |key: &str, operation: i8, value: Value| changed(TOPIC, &name, &[(key, operation, value)]);
    let good = || of("retention.ms", SET, "7".into());
    let again = json!([good()["resources"][0], good()["resources"][0]]);
    for (case, body) in [
        ("an unknown key", of("no.such.key", SET, "1".into())),
        (
            "an unknown key, deleted",
            of("no.such.key", DELETE, Value::Null),
        ),
        ("no value", of("retention.ms", SET, Value::Null)),
        ("an empty value", of("retention.ms", SET, "".into())),
        ("not a number", of("retention.ms", SET, "soon".into())),
        (
            "a number with a space",
            of("retention.ms", SET, " 5 ".into()),
        ),
        (
            "appended to a number",
            of("retention.ms", APPEND, "5".into()),
        ),
        ("no such operation", of("retention.ms", 9, "5".into())),
        ("a negative operation", of("retention.ms", -1, "5".into())),
        (
            "one key twice",
            changed(
                TOPIC,
                &name,
                &[
                    ("retention.ms", SET, "1".into()),
                    ("retention.ms", SET, "2".into()),
                ],
            ),
        ),
        (
            "set and deleted",
            changed(
                TOPIC,
                &name,
                &[
                    ("retention.ms", SET, "1".into()),
                    ("retention.ms", DELETE, Value::Null),
                ],
            ),
        ),
        ("no changes", changed(TOPIC, &name, &[])),
        (
            "no such topic",
            changed(
                TOPIC,
                &talk.name("nowhere"),
                &[("retention.ms", SET, "1".into())],
            ),
        ),
        (
            "no name",
            changed(TOPIC, "", &[("retention.ms", SET, "1".into())]),
        ),
        (
            "another broker",
            changed(BROKER, "9", &[("message.max.bytes", SET, "1000".into())]),
        ),
        (
            "a broker that is no number",
            changed(BROKER, "one", &[("message.max.bytes", SET, "1000".into())]),
        ),
        (
            "a fixed setting",
            changed(BROKER, "1", &[("node.id", SET, "7".into())]),
        ),
        (
            "a fixed setting of all brokers",
            changed(BROKER, "", &[("log.dirs", SET, "/x".into())]),
        ),
        (
            "an unknown setting of a broker",
            changed(BROKER, "1", &[("no.such.key", SET, "7".into())]),
        ),
        ("no such type", changed(7, "x", &[("a", SET, "1".into())])),
        ("type unknown", changed(0, "x", &[("a", SET, "1".into())])),
        ("one topic twice", with(good(), "/resources", again)),
        ("nothing", json!({"resources": []})),
    ] {
        let body = with(body, "/validate_only", true);
        talk.sweep(case, "IncrementalAlterConfigs", |_| body.clone())?;
    }
    Ok(())
}

fn incremental_lists(talk: &mut Talk) -> Outcome {
    let name = talk.topic("t", 1)?.name;
    for (case, operation, value, then) in [
        ("append", APPEND, "compact", "delete,compact"),
        ("append what is there", APPEND, "compact", "delete,compact"),
        ("subtract", SUBTRACT, "delete", "compact"),
        ("subtract what is not there", SUBTRACT, "delete", "compact"),
    ] {
        let body = changed(TOPIC, &name, &[("cleanup.policy", operation, value.into())]);
        talk.ask(case, "IncrementalAlterConfigs", 1, body)?;
        read_back(
            talk,
            &format!("{case}: then"),
            &name,
            "cleanup.policy",
            then,
        )?;
    }
    let body = changed(
        TOPIC,
        &name,
        &[("cleanup.policy", SUBTRACT, "compact".into())],
    );
    talk.ask("subtract the last", "IncrementalAlterConfigs", 1, body)?;
    let body = changed(TOPIC, &name, &[("cleanup.policy", APPEND, "forget".into())]);
    talk.ask("append a bad one", "IncrementalAlterConfigs", 1, body)?;
    Ok(())
}

fn broker(talk: &mut Talk) -> Outcome {
    // Settings that no other script can feel.
    let key = "log.cleaner.delete.retention.ms";
    for (case, name) in [("of all", ""), ("of one", "1")] {
        let body = changed(BROKER, name, &[(key, SET, "90000000".into())]);
        talk.ask(&format!("{case}: set"), "IncrementalAlterConfigs", 1, body)?;
        let there = |answer: &Value| answer["results"][0]["configs"][0]["value"] == "90000000";
        let asked = describe(BROKER, "1", json!([key]));
        talk.until(
            &format!("{case}: then"),
            "DescribeConfigs",
            4,
            asked.clone(),
            there,
        )?;
        let body = changed(BROKER, name, &[(key, DELETE, Value::Null)]);
        talk.ask(
            &format!("{case}: deleted"),
            "IncrementalAlterConfigs",
            1,
            body,
        )?;
        let there = |answer: &Value| answer["results"][0]["configs"][0]["value"] == "86400000";
        talk.until(
            &format!("{case}: as before"),
            "DescribeConfigs",
            4,
            asked,
            there,
        )?;
    }
    Ok(())
}

fn groups(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let of = |key: &str, value: &str| changed(GROUP, &group, &[(key, SET, value.into())]);
    for (case, body) in [
        ("set", of("consumer.session.timeout.ms", "46000")),
        ("too small", of("consumer.session.timeout.ms", "1")),
        ("an unknown key", of("retention.ms", "1")),
        (
            "no name",
            changed(
                GROUP,
                "",
                &[("consumer.session.timeout.ms", SET, "46000".into())],
            ),
        ),
    ] {
        talk.ask(case, "IncrementalAlterConfigs", 1, body)?;
    }
    let there = |answer: &Value| answer.to_string().contains("46000");
    let asked = describe(GROUP, &group, json!(["consumer.session.timeout.ms"]));
    talk.until("then", "DescribeConfigs", 4, asked, there)?;
    Ok(())
}

fn list_resources(talk: &mut Talk) -> Outcome {
    talk.only_own();
    talk.topic("t", 1)?;
    talk.sweep(
        "clients' metrics",
        "ListConfigResources",
        |_| json!({"resource_types": [CLIENT_METRICS]}),
    )?;
    for kinds in [
        json!([TOPIC]),
        json!([BROKER]),
        json!([GROUP]),
        json!([]),
        json!([99]),
        json!([0]),
    ] {
        let body = json!({ "resource_types": kinds });
        talk.ask(&format!("types {kinds}"), "ListConfigResources", 1, body)?;
    }
    Ok(())
}
