//! Quotas, features, the quorum, and what few clients ask for.

use serde_json::{Value, json};

use super::super::schema::NO_UUID;
use super::super::talk::{Outcome, Talk};
use super::bodies::{nowhere, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("admin/quotas", quotas),
    script("admin/quotas-bad", quotas_bad),
    script("admin/features", features),
    script("admin/quorum", quorum),
    script("admin/brokers", brokers),
    script("admin/share-groups", share_groups),
    script("admin/streams-groups", streams_groups),
];

fn quota(entity: &[(&str, Value)], key: &str, value: f64, remove: bool) -> Value {
    let entity = entity.iter();
    let entity: Vec<_> = entity
        .map(|(kind, name)| json!({"entity_type": kind, "entity_name": name}))
        .collect();
    json!({"entries": [{"entity": entity, "ops": [{"key": key, "value": value, "remove": remove}]}]})
}

fn quotas(talk: &mut Talk) -> Outcome {
    let user = talk.name("alice");
    let of_user = |kind: &str, matched: Value, match_type: i8| json!({"components": [{"entity_type": kind, "match_type": match_type, "match": matched}], "strict": true});
    let exactly = of_user("user", user.as_str().into(), 0);
    let entity = [("user", Value::from(user.as_str()))];
    talk.sweep("none", "DescribeClientQuotas", |_| exactly.clone())?;
    let set = quota(&entity, "producer_byte_rate", 1e9, false);
    let check = with(set.clone(), "/validate_only", true);
    talk.sweep("checked", "AlterClientQuotas", |_| check.clone())?;
    talk.sweep("set", "AlterClientQuotas", |_| set.clone())?;
    let there = |answer: &Value| {
        answer["entries"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    };
    talk.until(
        "is there",
        "DescribeClientQuotas",
        1,
        exactly.clone(),
        there,
    )?;
    let strict = with(exactly.clone(), "/strict", false);
    talk.sweep("not strict", "DescribeClientQuotas", |_| strict.clone())?;
    let pair = [
        ("user", Value::from(user.as_str())),
        ("client-id", Value::from("c")),
    ];
    talk.ask(
        "a pair set",
        "AlterClientQuotas",
        1,
        quota(&pair, "request_percentage", 200.0, false),
    )?;
    let two = |answer: &Value| {
        answer["entries"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    };
    talk.until(
        "both are there",
        "DescribeClientQuotas",
        1,
        strict.clone(),
        two,
    )?;
    talk.ask("strictly one", "DescribeClientQuotas", 1, exactly)?;
    for (entity, key) in [
        (&entity[..], "producer_byte_rate"),
        (&pair[..], "request_percentage"),
    ] {
        talk.ask(
            &format!("removed {key}"),
            "AlterClientQuotas",
            1,
            quota(entity, key, 0.0, true),
        )?;
    }
    let none = |answer: &Value| answer["entries"].as_array().is_none_or(Vec::is_empty);
    talk.until("are gone", "DescribeClientQuotas", 1, strict, none)?;
    Ok(())
}

fn quotas_bad(talk: &mut Talk) -> Outcome {
    let user = || ("user", Value::from(talk.name("bob")));
    let (a, b) = (user(), user());
    let one = [user()];
    for (case, body) in [
        ("an unknown key", quota(&one, "patience", 1.0, false)),
        (
            "a value of 0",
            quota(&one, "producer_byte_rate", 0.0, false),
        ),
        (
            "a negative value",
            quota(&one, "producer_byte_rate", -1.0, false),
        ),
        (
            "a broken number of bytes",
            quota(&one, "producer_byte_rate", 1.5, false),
        ),
        (
            "an unknown entity",
            quota(&[("planet", "x".into())], "producer_byte_rate", 1.0, false),
        ),
        ("no entity", quota(&[], "producer_byte_rate", 1.0, false)),
        (
            "one entity twice",
            quota(&[a.clone(), b], "producer_byte_rate", 1.0, false),
        ),
        (
            "an address and a user",
            quota(
                &[a.clone(), ("ip", "127.0.0.1".into())],
                "connection_creation_rate",
                1.0,
                false,
            ),
        ),
        (
            "an address that is none",
            quota(
                &[("ip", "nowhere at all".into())],
                "connection_creation_rate",
                1.0,
                false,
            ),
        ),
        (
            "a key of another entity",
            quota(&[a], "connection_creation_rate", 1.0, false),
        ),
        (
            "an empty user",
            quota(&[("user", "".into())], "producer_byte_rate", 1.0, false),
        ),
        ("nothing", json!({"entries": []})),
    ] {
        let body = with(body, "/validate_only", true);
        talk.sweep(case, "AlterClientQuotas", |_| body.clone())?;
    }
    let filter = |kind: &str, match_type: i8| json!({"components": [{"entity_type": kind, "match_type": match_type, "match": null}], "strict": true});
    for (case, body) in [
        ("an unknown entity", filter("planet", 2)),
        ("an empty entity", filter("", 2)),
        ("an unknown match", filter("user", 9)),
        (
            "one entity twice",
            json!({"components": [{"entity_type": "user", "match_type": 1}, {"entity_type": "user", "match_type": 1}]}),
        ),
    ] {
        talk.sweep(case, "DescribeClientQuotas", |_| body.clone())?;
    }
    Ok(())
}

fn features(talk: &mut Talk) -> Outcome {
    let of = |name: &str, level: i16, upgrade: i8| {
        json!({"timeout_ms": 10_000, "validate_only": true, "feature_updates":
            [{"feature": name, "max_version_level": level, "allow_downgrade": upgrade == 2, "upgrade_type": upgrade}]})
    };
    for (case, body) in [
        ("an unknown feature", of("patience", 1, 1)),
        ("no name", of("", 1, 1)),
        ("far too high", of("metadata.version", 99, 1)),
        ("a level below 0", of("metadata.version", -1, 1)),
        ("no such way", of("metadata.version", 20, 9)),
        ("down without leave", of("group.version", 0, 1)),
    ] {
        talk.sweep_in(1..=2, case, "UpdateFeatures", |_| body.clone())?;
    }
    Ok(())
}

fn quorum(talk: &mut Talk) -> Outcome {
    let of = |name: &str, partition: i32| json!({"topics": [{"topic_name": name, "partitions": [{"partition_index": partition}]}]});
    for version in talk.versions("DescribeQuorum")? {
        let asked = talk.quiet("DescribeQuorum", version, of("__cluster_metadata", 0))?;
        let partition = &asked["topics"][0]["partitions"][0];
        let count = |field: &str| partition[field].as_array().map_or(0, Vec::len);
        let facts = json!({"error_code": asked["error_code"], "partition_error": partition["error_code"],
            "leader_id": partition["leader_id"], "voters": count("current_voters"), "observers": count("observers")});
        talk.note(&format!("v{version}"), facts)?;
    }
    talk.sweep("of another topic", "DescribeQuorum", |_| of("t", 0))?;
    talk.sweep("of another partition", "DescribeQuorum", |_| {
        of("__cluster_metadata", 3)
    })?;
    Ok(())
}

fn brokers(talk: &mut Talk) -> Outcome {
    talk.ask(
        "one that is not there",
        "UnregisterBroker",
        0,
        json!({"broker_id": 77}),
    )?;
    talk.ask(
        "a voter that is not there",
        "RemoveRaftVoter",
        0,
        json!({"voter_id": 77, "voter_directory_id": nowhere(talk).id}),
    )?;
    let other = json!({"cluster_id": "other", "voter_id": 77, "voter_directory_id": NO_UUID});
    talk.ask("a voter of another cluster", "RemoveRaftVoter", 0, other)?;
    Ok(())
}

fn share_groups(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    let group = talk.name("g");
    let joining = json!({"group_id": group, "member_id": "m1", "member_epoch": 0, "subscribed_topic_names": [topic.name]});
    talk.ask("joins", "ShareGroupHeartbeat", 1, joining.clone())?;
    talk.ask(
        "without a group",
        "ShareGroupHeartbeat",
        1,
        with(joining.clone(), "/group_id", ""),
    )?;
    talk.ask(
        "without an id",
        "ShareGroupHeartbeat",
        1,
        with(joining, "/member_id", ""),
    )?;
    let beating = json!({"group_id": group, "member_id": "m9", "member_epoch": 1});
    talk.ask("a stranger", "ShareGroupHeartbeat", 1, beating)?;
    talk.ask(
        "unknown",
        "ShareGroupDescribe",
        1,
        json!({"group_ids": [talk.name("nowhere")]}),
    )?;
    Ok(())
}

fn streams_groups(talk: &mut Talk) -> Outcome {
    talk.ask(
        "unknown",
        "StreamsGroupDescribe",
        0,
        json!({"group_ids": [talk.name("nowhere")]}),
    )?;
    let beating = json!({"group_id": talk.name("g"), "member_id": "m9", "member_epoch": 1});
    talk.ask("a stranger", "StreamsGroupHeartbeat", 0, beating)?;
    Ok(())
}
