//! The classic group protocol: each command in each state of a group, and what it answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::line::Line;
use super::super::talk::{Outcome, Talk};
use super::bodies::{commit, heartbeat, join, number, sync, text, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("groups/join-versions", join_versions),
    script("groups/join-bad", join_bad),
    script("groups/join-again", join_again),
    script("groups/unknown-group", unknown_group),
    script("groups/completing", completing),
    script("groups/stable", stable),
    script("groups/preparing", preparing),
    script("groups/two-members", two_members),
    script("groups/votes", votes),
    script("groups/leave", leave),
    script("groups/leave-many", leave_many),
    script("groups/expiry", expiry),
];

/// A member of a group.
#[derive(Debug, Clone)]
pub(super) struct Member {
    id: String,
    generation: i64,
}

/// Joins alone; the group then waits for its assignment.
pub(super) fn join_alone(talk: &mut Talk, group: &str) -> Outcome<Member> {
    let asked = talk.quiet("JoinGroup", 5, join(group, ""))?;
    let id = text(&asked, "member_id");
    let joined = talk.quiet("JoinGroup", 5, join(group, &id))?;
    let generation = number(&joined, "generation_id");
    Ok(Member { id, generation })
}

/// Joins alone and takes its assignment.
pub(super) fn settle_alone(talk: &mut Talk, group: &str) -> Outcome<Member> {
    let member = join_alone(talk, group)?;
    let body = sync(group, member.generation, &member.id, &[(&member.id, "aa")]);
    talk.quiet("SyncGroup", 3, body)?;
    Ok(member)
}

/// A second member asks to join, on a line of its own; the group then prepares to rebalance.
fn disturb(talk: &mut Talk, group: &str) -> Outcome<(Line, super::super::line::Sent, String)> {
    let asked = talk.quiet("JoinGroup", 5, join(group, ""))?;
    let id = text(&asked, "member_id");
    let mut line = talk.line()?;
    let sent = talk.send_on(&mut line, "JoinGroup", 5, join(group, &id))?;
    talk.sleep(Duration::from_millis(100));
    Ok((line, sent, id))
}

fn leave_body(group: &str, member: &str) -> Value {
    json!({"group_id": group, "member_id": member, "members": [{"member_id": member}]})
}

fn join_versions(talk: &mut Talk) -> Outcome {
    for version in talk.versions("JoinGroup")? {
        let group = talk.name(&format!("v{version}"));
        let first = talk.ask("first", "JoinGroup", version, join(&group, ""))?;
        let mut id = text(&first, "member_id");
        let mut joined = first;
        if version >= 4 {
            joined = talk.ask("with its id", "JoinGroup", version, join(&group, &id))?;
            id = text(&joined, "member_id");
        }
        let generation = number(&joined, "generation_id");
        let form = (version / 2).min(5);
        let body = sync(&group, generation, &id, &[(&id, "0102")]);
        talk.ask(&format!("sync of v{version}"), "SyncGroup", form, body)?;
        let body = heartbeat(&group, generation, &id);
        talk.ask(
            &format!("heartbeat of v{version}"),
            "Heartbeat",
            form.min(4),
            body,
        )?;
        talk.ask(
            &format!("leave of v{version}"),
            "LeaveGroup",
            form,
            leave_body(&group, &id),
        )?;
    }
    Ok(())
}

fn join_bad(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let good = || join(&group, "");
    for (case, body) in [
        ("no group", join("", "")),
        ("an unknown member", join(&group, "nobody")),
        (
            "a session too short",
            with(good(), "/session_timeout_ms", 5_999),
        ),
        (
            "a session too long",
            with(good(), "/session_timeout_ms", 1_800_001),
        ),
        ("a session of 0", with(good(), "/session_timeout_ms", 0)),
        (
            "a negative rebalance timeout",
            with(good(), "/rebalance_timeout_ms", -5),
        ),
        ("no type", with(good(), "/protocol_type", "")),
        ("no protocols", with(good(), "/protocols", json!([]))),
    ] {
        for version in [4, 6, 9] {
            talk.ask(case, "JoinGroup", version, body.clone())?;
        }
    }
    for (case, version, body) in [
        (
            "an instance in a version without",
            4,
            with(good(), "/group_instance_id", "i"),
        ),
        (
            "an empty instance",
            5,
            with(good(), "/group_instance_id", ""),
        ),
        (
            "a bad instance",
            5,
            with(good(), "/group_instance_id", "a/b"),
        ),
        (
            "a long instance",
            5,
            with(good(), "/group_instance_id", "i".repeat(250)),
        ),
    ] {
        talk.ask(case, "JoinGroup", version, body)?;
    }
    for (case, body) in [
        ("v1: no type", with(good(), "/protocol_type", "")),
        ("v1: no protocols", with(good(), "/protocols", json!([]))),
        ("v1: an unknown member", join(&group, "nobody")),
    ] {
        talk.ask(case, "JoinGroup", 1, body)?;
    }
    Ok(())
}

fn join_again(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let member = settle_alone(talk, &group)?;
    talk.ask(
        "the leader, unchanged",
        "JoinGroup",
        5,
        join(&group, &member.id),
    )?;
    let other = with(
        join(&group, &member.id),
        "/protocols",
        json!([{"name": "roundrobin", "metadata": "02"}]),
    );
    talk.ask("with another protocol", "JoinGroup", 5, other)?;
    let typed = with(join(&group, &member.id), "/protocol_type", "connect");
    talk.ask("with another type", "JoinGroup", 5, typed)?;
    let other = with(
        join(&group, ""),
        "/protocols",
        json!([{"name": "sticky", "metadata": "03"}]),
    );
    talk.ask("another without a common protocol", "JoinGroup", 5, other)?;
    Ok(())
}

/// The commands on a group, each in some versions, all of which leave its state as it is.
fn commands(talk: &mut Talk, state: &str, group: &str, member: &str, generation: i64) -> Outcome {
    let topic = super::super::talk::Topic {
        name: talk.name("t"),
        ..super::bodies::unnamed()
    };
    let committed = |member: &str, generation: i64| {
        let body = with(commit(group, &topic, 0, 5), "/member_id", member);
        with(body, "/generation_id_or_member_epoch", generation)
    };
    for (who, member, generation) in [
        ("a member", member, generation),
        ("a stranger", "nobody", generation),
        ("nobody", "", generation),
        ("an old generation", member, generation - 1),
        ("a later generation", member, generation + 1),
        ("no generation", member, -1),
        ("nobody at all", "", -1),
    ] {
        for version in [0, 3, 4] {
            let step = format!("{state}, {who}");
            talk.ask(
                &step,
                "Heartbeat",
                version,
                heartbeat(group, generation, member),
            )?;
        }
        for version in [2, 7, 8] {
            let step = format!("{state}, {who}");
            talk.ask(
                &step,
                "OffsetCommit",
                version,
                committed(member, generation),
            )?;
        }
        if who != "a member" {
            for version in [0, 3, 5] {
                let step = format!("{state}, {who}");
                talk.ask(
                    &step,
                    "SyncGroup",
                    version,
                    sync(group, generation, member, &[]),
                )?;
            }
        }
    }
    for version in [0, 3, 5] {
        talk.ask(
            &format!("{state}, a stranger"),
            "LeaveGroup",
            version,
            leave_body(group, "nobody"),
        )?;
    }
    for version in 0..=2 {
        let body = json!({"groups_names": [group]});
        talk.ask(&format!("{state}, group"), "DeleteGroups", version, body)?;
    }
    for version in [0, 3, 5, 6] {
        talk.ask(
            &format!("{state}, group"),
            "DescribeGroups",
            version,
            json!({"groups": [group]}),
        )?;
    }
    Ok(())
}

fn unknown_group(talk: &mut Talk) -> Outcome {
    talk.topic("t", 1)?;
    let group = talk.name("g");
    for api in ["Heartbeat", "SyncGroup", "LeaveGroup"] {
        let body = |group: &str| match api {
            "Heartbeat" => heartbeat(group, 1, "m"),
            "SyncGroup" => sync(group, 1, "m", &[]),
            _ => leave_body(group, "m"),
        };
        talk.sweep("unknown", api, |_| body(&group))?;
        talk.sweep("no group", api, |_| body(""))?;
        let nobody = with(body(&group), "/member_id", "");
        talk.sweep("nobody", api, |_| nobody.clone())?;
    }
    talk.sweep("unknown", "DescribeGroups", |_| json!({"groups": [group]}))?;
    talk.sweep("no group", "DescribeGroups", |_| json!({"groups": [""]}))?;
    talk.sweep("none", "DescribeGroups", |_| json!({"groups": []}))?;
    talk.sweep(
        "unknown",
        "DeleteGroups",
        |_| json!({"groups_names": [group]}),
    )?;
    talk.sweep(
        "no group",
        "DeleteGroups",
        |_| json!({"groups_names": [""]}),
    )?;
    talk.sweep("none", "DeleteGroups", |_| json!({"groups_names": []}))?;
    Ok(())
}

fn completing(talk: &mut Talk) -> Outcome {
    talk.topic("t", 1)?;
    let group = talk.name("g");
    let member = join_alone(talk, &group)?;
    commands(talk, "completing", &group, &member.id, member.generation)?;
    let wrong = with(
        sync(&group, member.generation, &member.id, &[]),
        "/protocol_type",
        "connect",
    );
    talk.ask("sync of another type", "SyncGroup", 5, wrong)?;
    let wrong = with(
        sync(&group, member.generation, &member.id, &[]),
        "/protocol_name",
        "sticky",
    );
    talk.ask("sync of another protocol", "SyncGroup", 5, wrong)?;
    let nobody = sync(&group, member.generation, &member.id, &[("nobody", "bb")]);
    talk.ask("the leader assigns to nobody", "SyncGroup", 5, nobody)?;
    Ok(())
}

fn stable(talk: &mut Talk) -> Outcome {
    talk.topic("t", 1)?;
    let group = talk.name("g");
    let member = settle_alone(talk, &group)?;
    commands(talk, "stable", &group, &member.id, member.generation)?;
    let again = sync(&group, member.generation, &member.id, &[(&member.id, "bb")]);
    for version in [0, 3, 5] {
        talk.ask("sync again", "SyncGroup", version, again.clone())?;
    }
    let instance = |body: Value| with(body, "/group_instance_id", "i1");
    talk.ask(
        "as an unknown instance",
        "Heartbeat",
        4,
        instance(heartbeat(&group, member.generation, &member.id)),
    )?;
    talk.ask("as an unknown instance", "SyncGroup", 5, instance(again))?;
    Ok(())
}

fn preparing(talk: &mut Talk) -> Outcome {
    talk.topic("t", 1)?;
    let group = talk.name("g");
    let member = settle_alone(talk, &group)?;
    let (mut line, sent, _) = disturb(talk, &group)?;
    commands(talk, "preparing", &group, &member.id, member.generation)?;
    let late = sync(&group, member.generation, &member.id, &[]);
    talk.ask("sync too late", "SyncGroup", 5, late)?;
    let joined = talk.ask("the first joins", "JoinGroup", 5, join(&group, &member.id))?;
    talk.receive("the second has joined", &mut line, sent, ("JoinGroup", 5))?;
    talk.note(
        "the first leads",
        (text(&joined, "leader") == member.id).into(),
    )
}

fn two_members(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let first = settle_alone(talk, &group)?;
    let (mut line, sent, second) = disturb(talk, &group)?;
    let joined = talk.ask("the first joins", "JoinGroup", 5, join(&group, &first.id))?;
    talk.receive("the second has joined", &mut line, sent, ("JoinGroup", 5))?;
    let generation = number(&joined, "generation_id");
    let follower = sync(&group, generation, &second, &[]);
    let sent = talk.send_on(&mut line, "SyncGroup", 3, follower)?;
    talk.expect_silence("a follower waits", &mut line, Duration::from_millis(200))?;
    let all = [(first.id.as_str(), "a1"), (second.as_str(), "b2")];
    talk.ask(
        "the leader assigns",
        "SyncGroup",
        3,
        sync(&group, generation, &first.id, &all),
    )?;
    talk.receive(
        "the follower gets its own",
        &mut line,
        sent,
        ("SyncGroup", 3),
    )?;
    talk.ask("both", "DescribeGroups", 5, json!({"groups": [group]}))?;

    talk.ask(
        "a follower joins unchanged",
        "JoinGroup",
        5,
        join(&group, &second),
    )?;
    talk.ask(
        "no rebalance",
        "Heartbeat",
        3,
        heartbeat(&group, generation, &first.id),
    )?;
    let other = with(
        join(&group, &second),
        "/protocols",
        json!([{"name": "range", "metadata": "0009"}]),
    );
    let sent = talk.send_on(&mut line, "JoinGroup", 5, other)?;
    talk.sleep(Duration::from_millis(100));
    talk.ask(
        "a rebalance",
        "Heartbeat",
        3,
        heartbeat(&group, generation, &first.id),
    )?;
    talk.ask(
        "the leader leaves",
        "LeaveGroup",
        3,
        leave_body(&group, &first.id),
    )?;
    talk.receive("the second leads", &mut line, sent, ("JoinGroup", 5))?;
    talk.ask("one", "DescribeGroups", 5, json!({"groups": [group]}))?;
    Ok(())
}

fn votes(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let can = |body: Value, names: &[&str]| {
        let protocols: Vec<_> = names
            .iter()
            .map(|name| json!({"name": name, "metadata": "00"}))
            .collect();
        with(body, "/protocols", protocols)
    };
    let asked = talk.quiet("JoinGroup", 5, join(&group, ""))?;
    let first = text(&asked, "member_id");
    talk.ask(
        "the first",
        "JoinGroup",
        5,
        can(join(&group, &first), &["a", "b", "c"]),
    )?;
    let asked = talk.quiet("JoinGroup", 5, can(join(&group, ""), &["c", "b"]))?;
    let second = text(&asked, "member_id");
    let mut line = talk.line()?;
    let sent = talk.send_on(
        &mut line,
        "JoinGroup",
        5,
        can(join(&group, &second), &["c", "b"]),
    )?;
    talk.sleep(Duration::from_millis(100));
    talk.ask(
        "the first again",
        "JoinGroup",
        5,
        can(join(&group, &first), &["a", "b", "c"]),
    )?;
    talk.receive("the second", &mut line, sent, ("JoinGroup", 5))?;
    let asked = can(join(&group, ""), &["a"]);
    talk.ask("a third without a common one", "JoinGroup", 5, asked)?;
    Ok(())
}

fn leave(talk: &mut Talk) -> Outcome {
    for version in talk.versions("LeaveGroup")? {
        let group = talk.name(&format!("v{version}"));
        let member = settle_alone(talk, &group)?;
        talk.ask(
            "a stranger",
            "LeaveGroup",
            version,
            leave_body(&group, "nobody"),
        )?;
        talk.ask(
            "the member",
            "LeaveGroup",
            version,
            leave_body(&group, &member.id),
        )?;
        talk.ask(
            "it has left",
            "LeaveGroup",
            version,
            leave_body(&group, &member.id),
        )?;
        talk.ask(
            &format!("then, v{version}"),
            "DescribeGroups",
            5,
            json!({"groups": [group]}),
        )?;
        let body = heartbeat(&group, member.generation, &member.id);
        talk.ask(&format!("then, v{version}"), "Heartbeat", 3, body)?;
    }
    let group = talk.name("pending");
    let asked = talk.quiet("JoinGroup", 5, join(&group, ""))?;
    let body = leave_body(&group, &text(&asked, "member_id"));
    talk.ask("one that has not joined", "LeaveGroup", 3, body)?;
    Ok(())
}

fn leave_many(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let member = settle_alone(talk, &group)?;
    let of = |members: Value| json!({"group_id": group, "members": members});
    talk.sweep_in(3..=5, "nobody", "LeaveGroup", |_| of(json!([])))?;
    let both =
        of(json!([{"member_id": "nobody"}, {"member_id": member.id, "group_instance_id": "i9"}]));
    talk.sweep_in(3..=5, "strangers", "LeaveGroup", |_| both.clone())?;
    let both =
        of(json!([{"member_id": member.id}, {"member_id": member.id}, {"member_id": "nobody"}]));
    talk.ask("it twice and a stranger", "LeaveGroup", 5, both)?;
    Ok(())
}

fn expiry(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let asked = talk.quiet(
        "JoinGroup",
        5,
        with(join(&group, ""), "/session_timeout_ms", 6000),
    )?;
    let member = text(&asked, "member_id");
    talk.quiet(
        "JoinGroup",
        5,
        with(join(&group, &member), "/session_timeout_ms", 6000),
    )?;
    talk.quiet("SyncGroup", 3, sync(&group, 1, &member, &[(&member, "aa")]))?;
    talk.sleep(Duration::from_millis(6600));
    talk.ask(
        "a member that was silent",
        "Heartbeat",
        3,
        heartbeat(&group, 1, &member),
    )?;
    talk.ask("its group", "DescribeGroups", 5, json!({"groups": [group]}))?;
    Ok(())
}
