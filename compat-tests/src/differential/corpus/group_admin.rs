//! Groups of the classic protocol as tools see them: described, listed, deleted.

use serde_json::json;

use super::super::codec::hex;
use super::super::talk::{Outcome, Talk};
use super::bodies::{commit, join, number, sync, text, with};
use super::classic_groups::{join_alone, settle_alone};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("groups/types", types),
    script("groups/describe", describe),
    script("groups/list", list),
    script("groups/delete", delete),
    script("groups/delete-offsets", delete_offsets),
];

fn types(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let of = |member: &str| {
        let body = with(join(&group, member), "/protocol_type", "connect");
        with(
            body,
            "/protocols",
            json!([{"name": "sessioned", "metadata": "05"}, {"name": "compatible", "metadata": "06"}]),
        )
    };
    let asked = talk.quiet("JoinGroup", 7, of(""))?;
    let member = text(&asked, "member_id");
    let joined = talk.ask("joins", "JoinGroup", 7, of(&member))?;
    let body = sync(
        &group,
        number(&joined, "generation_id"),
        &member,
        &[(&member, "ee")],
    );
    let body = with(
        with(body, "/protocol_type", "connect"),
        "/protocol_name",
        "sessioned",
    );
    talk.ask("syncs", "SyncGroup", 5, body)?;
    talk.sweep(
        "described",
        "DescribeGroups",
        |_| json!({"groups": [group]}),
    )?;
    talk.ask("a consumer joins", "JoinGroup", 7, join(&group, ""))?;
    Ok(())
}

fn describe(talk: &mut Talk) -> Outcome {
    let (a, b) = (talk.name("a"), talk.name("b"));
    settle_alone(talk, &a)?;
    join_alone(talk, &b)?;
    talk.sweep("stable", "DescribeGroups", |_| json!({"groups": [a]}))?;
    talk.sweep("completing", "DescribeGroups", |_| json!({"groups": [b]}))?;
    let several = json!({"groups": [a, talk.name("nowhere"), a]});
    talk.sweep("several", "DescribeGroups", |_| several.clone())?;
    let operations = json!({"groups": [a], "include_authorized_operations": true});
    talk.sweep_in(3..=6, "operations", "DescribeGroups", |_| {
        operations.clone()
    })?;
    talk.ask(
        "as a consumer group",
        "ConsumerGroupDescribe",
        1,
        json!({"group_ids": [a]}),
    )?;
    Ok(())
}

fn list(talk: &mut Talk) -> Outcome {
    talk.only_own();
    let topic = talk.topic("t", 1)?;
    settle_alone(talk, &talk.name("stable"))?;
    join_alone(talk, &talk.name("completing"))?;
    let empty = talk.name("empty");
    talk.quiet("OffsetCommit", 7, commit(&empty, &topic, 0, 1))?;
    talk.sweep("all", "ListGroups", |_| json!({}))?;
    for states in [
        json!(["Stable"]),
        json!(["stable"]),
        json!(["Empty", "CompletingRebalance"]),
        json!(["Nonsense"]),
    ] {
        let body = json!({ "states_filter": states });
        talk.sweep_in(4..=5, &format!("states {states}"), "ListGroups", |_| {
            body.clone()
        })?;
    }
    for types in [
        json!(["classic"]),
        json!(["Classic"]),
        json!(["consumer"]),
        json!(["nonsense"]),
    ] {
        let body = json!({ "types_filter": types });
        talk.ask(&format!("types {types}"), "ListGroups", 5, body)?;
    }
    Ok(())
}

fn delete(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 1)?;
    for version in talk.versions("DeleteGroups")? {
        let (busy, empty) = (
            talk.name(&format!("busy{version}")),
            talk.name(&format!("empty{version}")),
        );
        settle_alone(talk, &busy)?;
        talk.quiet("OffsetCommit", 7, commit(&empty, &topic, 0, 1))?;
        let body = json!({"groups_names": [busy, empty, talk.name("nowhere"), empty]});
        talk.ask("busy, empty, unknown", "DeleteGroups", version, body)?;
        let body = json!({"groups_names": [empty]});
        talk.ask("is gone", "DeleteGroups", version, body)?;
    }
    Ok(())
}

fn delete_offsets(talk: &mut Talk) -> Outcome {
    let topic = talk.topic("t", 2)?;
    let (busy, empty) = (talk.name("busy"), talk.name("empty"));
    // The subscription of a consumer: version 0, one topic, no user data.
    let subscribed = {
        let name = topic.name.as_bytes();
        let mut bytes = vec![0, 0, 0, 0, 0, 1];
        bytes.extend((name.len() as i16).to_be_bytes());
        bytes.extend(name);
        bytes.extend((-1i32).to_be_bytes());
        hex(&bytes)
    };
    let subscribing = |member: &str| {
        with(
            join(&busy, member),
            "/protocols",
            json!([{"name": "range", "metadata": subscribed}]),
        )
    };
    let asked = talk.quiet("JoinGroup", 5, subscribing(""))?;
    let member = text(&asked, "member_id");
    talk.quiet("JoinGroup", 5, subscribing(&member))?;
    talk.quiet("SyncGroup", 3, sync(&busy, 1, &member, &[]))?;
    talk.quiet("OffsetCommit", 7, commit(&empty, &topic, 0, 1))?;
    let of = |group: &str, name: &str, partition: i32| json!({"group_id": group, "topics": [{"name": name, "partitions": [{"partition_index": partition}]}]});
    for (case, body) in [
        ("subscribed", of(&busy, &topic.name, 0)),
        ("not subscribed", of(&busy, &talk.name("nowhere"), 0)),
        ("unknown group", of(&talk.name("nowhere"), &topic.name, 0)),
        ("no group", of("", &topic.name, 0)),
        ("unknown topic", of(&empty, &talk.name("nowhere"), 0)),
        ("unknown partition", of(&empty, &topic.name, 9)),
        ("not committed", of(&empty, &topic.name, 1)),
        ("nothing", json!({"group_id": empty, "topics": []})),
        ("committed", of(&empty, &topic.name, 0)),
        ("the last was deleted", of(&empty, &topic.name, 0)),
    ] {
        talk.ask(case, "OffsetDelete", 0, body)?;
    }
    talk.ask("then", "DescribeGroups", 5, json!({"groups": [empty]}))?;
    Ok(())
}
