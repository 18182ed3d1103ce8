//! Members of classic groups that keep their place over a restart (KIP-345).

use std::time::Duration;

use serde_json::{Value, json};

use super::super::talk::{Outcome, Talk};
use super::bodies::{heartbeat, join, number, sync, text, with};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("groups/static", static_members),
    script("groups/static-two", static_two),
];

fn static_members(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let instance = |body: Value, id: &str| with(body, "/group_instance_id", id);
    let joined = talk.ask("first", "JoinGroup", 5, instance(join(&group, ""), "i1"))?;
    let (old, generation) = (text(&joined, "member_id"), number(&joined, "generation_id"));
    let body = instance(sync(&group, generation, &old, &[(&old, "aa")]), "i1");
    talk.ask("assigned", "SyncGroup", 3, body)?;
    let again = talk.ask(
        "it starts anew",
        "JoinGroup",
        5,
        instance(join(&group, ""), "i1"),
    )?;
    let new = text(&again, "member_id");
    for (case, id) in [("the old one", &old), ("the new one", &new)] {
        let body = instance(heartbeat(&group, generation, id), "i1");
        talk.sweep_in(3..=4, case, "Heartbeat", |_| body.clone())?;
        let body = instance(sync(&group, generation, id, &[]), "i1");
        talk.sweep_in(3..=5, case, "SyncGroup", |_| body.clone())?;
        let body = json!({"group_id": group, "generation_id_or_member_epoch": generation, "member_id": id,
            "group_instance_id": "i1", "topics": []});
        talk.sweep_in(7..=8, case, "OffsetCommit", |_| body.clone())?;
    }
    talk.ask(
        "the old one joins",
        "JoinGroup",
        5,
        instance(join(&group, &old), "i1"),
    )?;
    talk.ask(
        "as another instance",
        "Heartbeat",
        3,
        instance(heartbeat(&group, generation, &new), "i2"),
    )?;
    talk.ask("described", "DescribeGroups", 5, json!({"groups": [group]}))?;
    let leaves = |instance: &str, id: &str| json!({"group_id": group, "members": [{"member_id": id, "group_instance_id": instance}]});
    talk.ask("the old one leaves", "LeaveGroup", 4, leaves("i1", &old))?;
    talk.ask("another leaves", "LeaveGroup", 4, leaves("i9", ""))?;
    talk.ask("it leaves by instance", "LeaveGroup", 4, leaves("i1", ""))?;
    talk.ask(
        "nobody is left",
        "DescribeGroups",
        5,
        json!({"groups": [group]}),
    )?;
    Ok(())
}

fn static_two(talk: &mut Talk) -> Outcome {
    let group = talk.name("g");
    let instance = |body: Value, id: &str| with(body, "/group_instance_id", id);
    let joined = talk.ask("first", "JoinGroup", 9, instance(join(&group, ""), "i1"))?;
    let (first, generation) = (text(&joined, "member_id"), number(&joined, "generation_id"));
    let body = instance(sync(&group, generation, &first, &[(&first, "aa")]), "i1");
    talk.ask("assigned", "SyncGroup", 5, body)?;
    let mut line = talk.line()?;
    let sent = talk.send_on(&mut line, "JoinGroup", 9, instance(join(&group, ""), "i2"))?;
    talk.sleep(Duration::from_millis(100));
    let joined = talk.ask(
        "first again",
        "JoinGroup",
        9,
        instance(join(&group, &first), "i1"),
    )?;
    let other = talk.receive("second", &mut line, sent, ("JoinGroup", 9))?;
    let (second, generation) = (text(&other, "member_id"), number(&joined, "generation_id"));
    let all = [(first.as_str(), "a1"), (second.as_str(), "b2")];
    talk.ask(
        "assigned to both",
        "SyncGroup",
        5,
        instance(sync(&group, generation, &first, &all), "i1"),
    )?;
    talk.ask(
        "the second's",
        "SyncGroup",
        5,
        instance(sync(&group, generation, &second, &[]), "i2"),
    )?;

    let back = talk.ask(
        "the leader starts anew",
        "JoinGroup",
        9,
        instance(join(&group, ""), "i1"),
    )?;
    talk.note(
        "without a rebalance",
        (number(&back, "generation_id") == generation).into(),
    )?;
    let changed = with(
        join(&group, ""),
        "/protocols",
        json!([{"name": "range", "metadata": "0007"}]),
    );
    let sent = talk.send_on(&mut line, "JoinGroup", 9, instance(changed, "i2"))?;
    talk.sleep(Duration::from_millis(100));
    let leader = text(&back, "member_id");
    let body = instance(heartbeat(&group, generation, &leader), "i1");
    talk.ask("the second starts anew, changed", "Heartbeat", 4, body)?;
    talk.ask(
        "all join",
        "JoinGroup",
        9,
        instance(join(&group, &leader), "i1"),
    )?;
    talk.receive("the second joins", &mut line, sent, ("JoinGroup", 9))?;
    Ok(())
}
