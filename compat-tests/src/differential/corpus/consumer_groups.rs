//! The consumer group protocol of KIP-848, and share groups and streams groups as far as to be refused.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::super::talk::{Outcome, Talk, Topic};
use super::bodies::{commit, commits, heartbeat as classic_heartbeat, join, number, text, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("consumer-groups/join", join_first),
    script("consumer-groups/join-bad", join_bad),
    script("consumer-groups/assignment", assignment),
    script("consumer-groups/two-members", two_members),
    script("consumer-groups/leave", leave),
    script("consumer-groups/static", static_members),
    script("consumer-groups/regex", regex),
    script("consumer-groups/assignors", assignors),
    script("consumer-groups/fencing", fencing),
    script("consumer-groups/offsets", offsets),
    script("consumer-groups/describe", describe),
    script("consumer-groups/list", list),
    script("consumer-groups/delete", delete),
    script("consumer-groups/classic-commands", classic_commands),
    script("consumer-groups/unknown-topic", unknown_topic),
    script("consumer-groups/upgrade", upgrade),
];

const API: &str = "ConsumerGroupHeartbeat";

/// The first heartbeat of a member.
fn joining(group: &str, member: &str, topics: &[&str]) -> Value {
    json!({"group_id": group, "member_id": member, "member_epoch": 0, "rebalance_timeout_ms": 30_000,
        "subscribed_topic_names": topics, "topic_partitions": []})
}

/// A heartbeat that changes nothing.
fn beating(group: &str, member: &str, epoch: i64) -> Value {
    json!({"group_id": group, "member_id": member, "member_epoch": epoch})
}

/// What a member says of itself besides.
fn owning(topic: &Topic, partitions: &[i64]) -> Value {
    match partitions {
        [] => json!({"topic_partitions": []}),
        some => json!({"topic_partitions": [{"topic_id": topic.id, "partitions": some}]}),
    }
}

fn subscribing(topics: &[&Topic]) -> Value {
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    json!({ "subscribed_topic_names": names })
}

fn nothing() -> Value {
    json!({})
}

/// A member that heeds the epochs it is told.
#[derive(Debug)]
struct Member {
    group: String,
    id: &'static str,
    epoch: i64,
}

impl Member {
    fn of(group: &str, id: &'static str) -> Self {
        Self {
            group: group.to_owned(),
            id,
            epoch: 0,
        }
    }

    /// Joins, saying `more` of itself.
    fn join(
        &mut self,
        talk: &mut Talk,
        step: &str,
        topics: &[&Topic],
        more: Value,
    ) -> Outcome<Value> {
        self.epoch = 0;
        let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let body = merged(joining(&self.group, self.id, &names), more);
        self.heed(talk.ask(step, API, 1, body)?)
    }

    /// A heartbeat in its epoch, saying `changes`.
    fn beat(&mut self, talk: &mut Talk, step: &str, changes: Value) -> Outcome<Value> {
        let body = merged(beating(&self.group, self.id, self.epoch), changes);
        self.heed(talk.ask(step, API, 1, body)?)
    }

    fn heed(&mut self, told: Value) -> Outcome<Value> {
        if told["error_code"] == 0 {
            self.epoch = number(&told, "member_epoch");
        }
        Ok(told)
    }
}

/// A body with further fields, or other values of those it has.
fn merged(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// A topic that the groups' coordinator has heard of: it is told a moment after the leaders are.
fn known_topic(talk: &mut Talk, suffix: &str, partitions: i32) -> Outcome<Topic> {
    let topic = talk.topic(suffix, partitions)?;
    talk.sleep(Duration::from_millis(300));
    Ok(topic)
}

/// Joins quietly and takes what it is told to; answers its epoch once the group is stable.
fn member(talk: &mut Talk, group: &str, id: &str, topic: &Topic) -> Outcome<i64> {
    let mut told = talk.quiet(API, 1, joining(group, id, &[&topic.name]))?;
    let mut held = Vec::new();
    for _ in 0..HEARTBEATS_MAX {
        let epoch = number(&told, "member_epoch");
        if told["assignment"].is_object() {
            held = assigned(&told);
        }
        let body = merged(beating(group, id, epoch), owning(topic, &held));
        told = talk.quiet(API, 1, body)?;
        let described = talk.quiet("ConsumerGroupDescribe", 1, json!({"group_ids": [group]}))?;
        if described["groups"][0]["group_state"] == "Stable" {
            return Ok(epoch);
        }
        talk.sleep(Duration::from_millis(50));
    }
    Err(anyhow!("{group} is never stable: {told}").into())
}

/// More than any group here needs.
const HEARTBEATS_MAX: usize = 20;

/// The partitions of the first topic in an assignment.
fn assigned(told: &Value) -> Vec<i64> {
    let partitions = &told["assignment"]["topic_partitions"][0]["partitions"];
    let partitions = partitions.as_array().into_iter().flatten();
    partitions.filter_map(Value::as_i64).collect()
}

fn described(talk: &mut Talk, step: &str, group: &str) -> Outcome {
    talk.ask(
        step,
        "ConsumerGroupDescribe",
        1,
        json!({"group_ids": [group]}),
    )?;
    Ok(())
}

fn join_first(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 2)?;
    let body = joining(&talk.name("v0"), "", &[&topic.name]);
    talk.ask("its id is given", API, 0, body)?;
    let mut member = Member::of(&talk.name("v1"), "m1");
    member.join(talk, "its id is its own", &[&topic], nothing())?;
    member.join(talk, "the same again", &[&topic], nothing())?;
    member.beat(talk, "a heartbeat", nothing())?;
    member.beat(talk, "and one more", nothing())?;
    Ok(())
}

fn join_bad(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    let good = || joining(&group, "m1", &[&topic.name]);
    let held = json!([{"topic_id": topic.id, "partitions": [0]}]);
    for (case, body) in [
        ("no group", with(good(), "/group_id", "")),
        ("no member", with(good(), "/member_id", "")),
        (
            "no rebalance timeout",
            with(good(), "/rebalance_timeout_ms", -1),
        ),
        (
            "a rebalance timeout of 0",
            with(good(), "/rebalance_timeout_ms", 0),
        ),
        (
            "no topics",
            with(good(), "/subscribed_topic_names", Value::Null),
        ),
        (
            "partitions at once",
            with(good(), "/topic_partitions", held),
        ),
        (
            "partitions unsaid",
            with(good(), "/topic_partitions", Value::Null),
        ),
        ("an empty instance", with(good(), "/instance_id", "")),
        ("an empty rack", with(good(), "/rack_id", "")),
        ("an empty assignor", with(good(), "/server_assignor", "")),
        (
            "no such assignor",
            with(good(), "/server_assignor", "greedy"),
        ),
        ("an epoch of -3", with(good(), "/member_epoch", -3)),
        (
            "a static leave without an instance",
            with(good(), "/member_epoch", -2),
        ),
        ("a leave of nothing", with(good(), "/member_epoch", -1)),
        ("an epoch of nothing", with(good(), "/member_epoch", 4)),
    ] {
        talk.sweep(case, API, |_| body.clone())?;
    }
    Ok(())
}

fn assignment(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 3)?;
    let other = known_topic(talk, "u", 1)?;
    let mut member = Member::of(&talk.name("g"), "m1");
    member.join(talk, "joins", &[&topic], nothing())?;
    member.beat(talk, "owns all", owning(&topic, &[0, 1, 2]))?;
    member.beat(talk, "subscribes to more", subscribing(&[&topic, &other]))?;
    let both = json!({"topic_partitions": [{"topic_id": topic.id, "partitions": [0, 1, 2]},
        {"topic_id": other.id, "partitions": [0]}]});
    member.beat(talk, "owns more", both)?;
    member.beat(talk, "subscribes to less", subscribing(&[&other]))?;
    member.beat(talk, "still owns all", nothing())?;
    member.beat(talk, "owns less", owning(&other, &[0]))?;
    member.beat(talk, "subscribes to nothing", subscribing(&[]))?;
    Ok(())
}

fn two_members(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 4)?;
    let group = talk.name("g");
    let (mut first, mut second) = (Member::of(&group, "m1"), Member::of(&group, "m2"));
    first.join(talk, "the first joins", &[&topic], nothing())?;
    first.beat(talk, "the first owns all", owning(&topic, &[0, 1, 2, 3]))?;
    second.join(talk, "the second joins", &[&topic], nothing())?;
    second.beat(talk, "the second waits", nothing())?;
    let told = first.beat(talk, "the first is told", nothing())?;
    described(talk, "described while it moves", &group)?;
    first.beat(talk, "the first gives up", owning(&topic, &assigned(&told)))?;
    second.beat(talk, "the second gets", nothing())?;
    first.beat(talk, "the first goes on", nothing())?;
    described(talk, "described", &group)?;
    let left = Member {
        epoch: -1,
        ..second
    }
    .beat(talk, "the second leaves", nothing())?;
    talk.note(
        "it is told so",
        (number(&left, "member_epoch") == -1).into(),
    )?;
    first.beat(talk, "the first gets all", nothing())?;
    Ok(())
}

fn leave(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    member(talk, &group, "m1", &topic)?;
    talk.ask("a stranger leaves", API, 1, beating(&group, "m9", -1))?;
    talk.ask("leaves", API, 1, beating(&group, "m1", -1))?;
    talk.ask("leaves again", API, 1, beating(&group, "m1", -1))?;
    talk.ask("a heartbeat after", API, 1, beating(&group, "m1", 1))?;
    talk.ask(
        "empty",
        "ConsumerGroupDescribe",
        1,
        json!({"group_ids": [group]}),
    )?;
    talk.ask("joins anew", API, 1, joining(&group, "m1", &[&topic.name]))?;
    Ok(())
}

fn static_members(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 2)?;
    let group = talk.name("g");
    let instance = || json!({"instance_id": "i1"});
    let mut first = Member::of(&group, "m1");
    first.join(talk, "joins", &[&topic], instance())?;
    let epoch = first.epoch;
    first.beat(
        talk,
        "owns all",
        merged(owning(&topic, &[0, 1]), instance()),
    )?;
    Member::of(&group, "m2").join(talk, "another as the same", &[&topic], instance())?;
    first.epoch = -2;
    first.beat(talk, "goes away for a while", instance())?;
    described(talk, "is away", &group)?;
    let mut third = Member::of(&group, "m3");
    third.join(talk, "comes back", &[&topic], instance())?;
    first.epoch = epoch;
    first.beat(talk, "its old self", instance())?;
    third.beat(talk, "as another instance", json!({"instance_id": "i2"}))?;
    third.epoch = -1;
    third.beat(talk, "leaves for good", instance())?;
    Ok(())
}

fn regex(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    let of = |pattern: &str| {
        let body = with(
            joining(&group, "m1", &[]),
            "/subscribed_topic_names",
            Value::Null,
        );
        with(body, "/subscribed_topic_regex", pattern)
    };
    talk.ask("a bad pattern", API, 1, of("("))?;
    talk.ask("an empty pattern", API, 1, of(""))?;
    talk.ask("joins", API, 1, of(&topic.name.replace('.', "\\.")))?;
    let fits = |answer: &Value| !assigned(answer).is_empty();
    let body = of(&topic.name.replace('.', "\\."));
    talk.until("gets what matches", API, 1, body, fits)?;
    Ok(())
}

fn assignors(talk: &mut Talk) -> Outcome {
    let (a, b) = (known_topic(talk, "a", 3)?, known_topic(talk, "b", 3)?);
    // Which topic Kafka's uniform one begins with differs from run to run.
    for (assignor, topics) in [("range", vec![&a, &b]), ("uniform", vec![&a])] {
        let group = talk.name(assignor);
        let chosen = || json!({ "server_assignor": assignor });
        for id in ["m1", "m2", "m3"] {
            let step = format!("{assignor}: {id}");
            Member::of(&group, id).join(talk, &step, &topics, chosen())?;
        }
        described(talk, &format!("{assignor}: target"), &group)?;
    }
    Ok(())
}

fn fencing(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    let epoch = member(talk, &group, "m1", &topic)?;
    for (case, body) in [
        ("a stranger", beating(&group, "m9", epoch)),
        ("a later epoch", beating(&group, "m1", epoch + 5)),
        ("another group", beating(&talk.name("nowhere"), "m1", epoch)),
    ] {
        talk.sweep(case, API, |_| body.clone())?;
    }
    // The group moves on, so that there is an epoch before.
    let more = known_topic(talk, "u", 1)?;
    let mut known = Member {
        epoch,
        ..Member::of(&group, "m1")
    };
    known.beat(talk, "subscribes to more", subscribing(&[&topic, &more]))?;
    known.epoch = epoch;
    known.beat(talk, "the epoch before, owning less", owning(&topic, &[0]))?;
    known.epoch = epoch;
    known.beat(
        talk,
        "the epoch before, owning more",
        owning(&topic, &[0, 7]),
    )?;
    Ok(())
}

fn offsets(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    let epoch = member(talk, &group, "m1", &topic)?;
    let of = |id: &str, epoch: i64| {
        let body = with(commit(&group, &topic, 0, 5), "/member_id", id);
        with(body, "/generation_id_or_member_epoch", epoch)
    };
    for (case, id, epoch) in [
        ("the member", "m1", epoch),
        ("a stranger", "m9", epoch),
        ("an older epoch", "m1", epoch - 1),
        ("a later epoch", "m1", epoch + 1),
        ("nobody", "", -1),
        ("no epoch", "m1", -1),
    ] {
        for version in [2, 8, 9, 10] {
            talk.sweep_in(version..=version, case, "OffsetCommit", |_| of(id, epoch))?;
        }
        let body = with(commits(&group, &topic, &[0]), "/groups/0/member_id", id);
        let body = with(body, "/groups/0/member_epoch", epoch);
        talk.sweep_in(9..=10, case, "OffsetFetch", |_| body.clone())?;
    }
    let deleted = json!({"group_id": group, "topics": [{"name": topic.name, "partitions": [{"partition_index": 0}]}]});
    talk.ask("subscribed", "OffsetDelete", 0, deleted)?;
    Ok(())
}

fn describe(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 2)?;
    let group = talk.name("g");
    member(talk, &group, "m1", &topic)?;
    let api = "ConsumerGroupDescribe";
    talk.sweep("stable", api, |_| json!({"group_ids": [group]}))?;
    let several = json!({"group_ids": [group, "nobody-at-all", "", group]});
    talk.sweep("several", api, |_| several.clone())?;
    let operations = json!({"group_ids": [group], "include_authorized_operations": true});
    talk.sweep("operations", api, |_| operations.clone())?;
    talk.sweep("none", api, |_| json!({"group_ids": []}))?;
    talk.sweep(
        "as a classic group",
        "DescribeGroups",
        |_| json!({"groups": [group]}),
    )?;
    Ok(())
}

fn list(talk: &mut Talk) -> Outcome {
    talk.only_own();
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    member(talk, &group, "m1", &topic)?;
    talk.sweep("all", "ListGroups", |_| json!({}))?;
    for types in [
        json!(["consumer"]),
        json!(["Consumer"]),
        json!(["classic"]),
        json!(["share"]),
    ] {
        let body = json!({ "types_filter": types });
        talk.ask(&format!("types {types}"), "ListGroups", 5, body)?;
    }
    talk.sweep_in(
        4..=5,
        "stable",
        "ListGroups",
        |_| json!({"states_filter": ["stable"]}),
    )?;
    Ok(())
}

fn delete(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    member(talk, &group, "m1", &topic)?;
    let body = json!({"groups_names": [group]});
    talk.ask("busy", "DeleteGroups", 2, body.clone())?;
    talk.quiet(API, 1, beating(&group, "m1", -1))?;
    talk.ask("empty", "DeleteGroups", 2, body.clone())?;
    talk.ask("gone", "DeleteGroups", 2, body)?;
    Ok(())
}

fn classic_commands(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    let epoch = member(talk, &group, "m1", &topic)?;
    talk.ask(
        "a heartbeat",
        "Heartbeat",
        4,
        classic_heartbeat(&group, epoch, "m1"),
    )?;
    talk.ask(
        "a heartbeat of a stranger",
        "Heartbeat",
        4,
        classic_heartbeat(&group, epoch, "m9"),
    )?;
    talk.ask(
        "a sync",
        "SyncGroup",
        5,
        super::bodies::sync(&group, epoch, "m1", &[]),
    )?;
    talk.ask(
        "a leave",
        "LeaveGroup",
        5,
        json!({"group_id": group, "members": [{"member_id": "m9"}]}),
    )?;
    let typed = with(join(&group, ""), "/protocol_type", "connect");
    talk.ask("a worker joins", "JoinGroup", 9, typed)?;
    talk.ask(
        "a consumer with an odd subscription joins",
        "JoinGroup",
        9,
        join(&group, ""),
    )?;
    Ok(())
}

fn unknown_topic(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let name = talk.name("t");
    talk.ask("a topic to come", API, 1, joining(&group, "m1", &[&name]))?;
    known_topic(talk, "t", 2)?;
    let assigned = |answer: &Value| {
        let partitions = &answer["assignment"]["topic_partitions"];
        partitions.as_array().is_some_and(|all| !all.is_empty())
    };
    talk.until("it came", API, 1, joining(&group, "m1", &[&name]), assigned)?;
    let gone = json!({"topic_names": [name], "timeout_ms": 10_000});
    talk.quiet("DeleteTopics", 5, gone)?;
    let without = |answer: &Value| answer["assignment"]["topic_partitions"] == json!([]);
    talk.until("it went", API, 1, joining(&group, "m1", &[&name]), without)?;
    Ok(())
}

fn upgrade(talk: &mut Talk) -> Outcome {
    let topic = known_topic(talk, "t", 1)?;
    let group = talk.name("g");
    talk.quiet("OffsetCommit", 7, commit(&group, &topic, 0, 5))?;
    talk.ask(
        "an empty classic group",
        API,
        1,
        joining(&group, "m1", &[&topic.name]),
    )?;
    talk.ask(
        "its offsets stay",
        "OffsetFetch",
        7,
        commits(&group, &topic, &[0]),
    )?;
    talk.quiet(API, 1, beating(&group, "m1", -1))?;
    let asked = talk.ask("back, once it is empty", "JoinGroup", 9, join(&group, ""))?;
    let id = text(&asked, "member_id");
    talk.ask("back, with its id", "JoinGroup", 9, join(&group, &id))?;

    let busy = talk.name("busy");
    let typed = |member: &str| with(join(&busy, member), "/protocol_type", "connect");
    let asked = talk.quiet("JoinGroup", 9, typed(""))?;
    talk.quiet("JoinGroup", 9, typed(&text(&asked, "member_id")))?;
    talk.ask(
        "a group of workers",
        API,
        1,
        joining(&busy, "m1", &[&topic.name]),
    )?;
    Ok(())
}
