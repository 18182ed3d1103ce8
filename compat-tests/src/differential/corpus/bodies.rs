//! Bodies of requests that many scripts send. Each holds the fields of all versions.

use serde_json::{Value, json};

use super::super::batch::Batch;
use super::super::schema::NO_UUID;
use super::super::talk::{Outcome, Talk, Topic, ensure_zero};

/// A topic that does not exist, by name and id.
pub fn nowhere(talk: &Talk) -> Topic {
    Topic {
        name: talk.name("nowhere"),
        id: "000000000000000000000000000000aa".to_owned(),
    }
}

/// A topic without an id.
pub fn unnamed() -> Topic {
    Topic {
        name: String::new(),
        id: NO_UUID.to_owned(),
    }
}

/// Produce of one batch, acknowledged by all.
pub fn produce(topic: &Topic, partition: i32, records: Value) -> Value {
    produce_to(topic, &[(partition, records)])
}

pub fn produce_to(topic: &Topic, batches: &[(i32, Value)]) -> Value {
    let partitions = batches.iter();
    let partitions: Vec<_> = partitions
        .map(|(index, records)| json!({"index": index, "records": records}))
        .collect();
    json!({"acks": -1, "timeout_ms": 10_000, "topic_data":
        [{"name": topic.name, "topic_id": topic.id, "partition_data": partitions}]})
}

/// Produces quietly; an error if it fails.
pub fn fill(talk: &mut Talk, topic: &Topic, partition: i32, batch: &Batch) -> Outcome {
    let answer = talk.quiet("Produce", 7, produce(topic, partition, batch.json()))?;
    let code = &answer["responses"][0]["partition_responses"][0]["error_code"];
    ensure_zero(code, &answer)
}

/// Fetch of what is there, without waiting.
pub fn fetch(topic: &Topic, partition: i32, offset: i64) -> Value {
    fetch_from(topic, &[(partition, offset)])
}

pub fn fetch_from(topic: &Topic, offsets: &[(i32, i64)]) -> Value {
    let partitions = offsets.iter();
    let partitions: Vec<_> = partitions
        .map(|(partition, offset)| {
            json!({"partition": partition, "fetch_offset": offset, "partition_max_bytes": 1 << 20})
        })
        .collect();
    json!({"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 10 << 20, "topics":
        [{"topic": topic.name, "topic_id": topic.id, "partitions": partitions}]})
}

/// ListOffsets of one partition.
pub fn list_offset(name: &str, partition: i32, timestamp: i64) -> Value {
    json!({"replica_id": -1, "timeout_ms": 10_000, "topics": [{"name": name, "partitions":
        [{"partition_index": partition, "timestamp": timestamp}]}]})
}

/// A body with one field of it changed; the path is a JSON pointer.
pub fn with(mut body: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    if let Some(parent) = body.pointer_mut(parent) {
        parent[name] = value.into();
    }
    body
}

/// OffsetCommit of one partition; in the old form and the new.
pub fn commit(group: &str, topic: &Topic, partition: i32, offset: i64) -> Value {
    json!({"group_id": group, "generation_id_or_member_epoch": -1, "member_id": "", "topics":
        [{"name": topic.name, "topic_id": topic.id, "partitions":
            [{"partition_index": partition, "committed_offset": offset, "committed_metadata": "m"}]}]})
}

/// OffsetFetch of one topic's partitions, in all versions' forms.
pub fn commits(group: &str, topic: &Topic, partitions: &[i32]) -> Value {
    let old = json!({"name": topic.name, "partition_indexes": partitions});
    let new = json!({"name": topic.name, "topic_id": topic.id, "partition_indexes": partitions});
    json!({"group_id": group, "topics": [old],
        "groups": [{"group_id": group, "topics": [new]}]})
}

/// JoinGroup of a consumer that can do `range`.
pub fn join(group: &str, member: &str) -> Value {
    json!({"group_id": group, "session_timeout_ms": 10_000, "rebalance_timeout_ms": 10_000,
        "member_id": member, "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": "0001"}]})
}

/// SyncGroup; a leader says who gets what.
pub fn sync(group: &str, generation: i64, member: &str, assignments: &[(&str, &str)]) -> Value {
    let assignments = assignments.iter();
    let assignments: Vec<_> = assignments
        .map(|(member, assignment)| json!({"member_id": member, "assignment": assignment}))
        .collect();
    json!({"group_id": group, "generation_id": generation, "member_id": member,
        "protocol_type": "consumer", "protocol_name": "range", "assignments": assignments})
}

pub fn heartbeat(group: &str, generation: i64, member: &str) -> Value {
    json!({"group_id": group, "generation_id": generation, "member_id": member})
}

/// The text of a field.
pub fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}

/// The number of a field, -1 if there is none.
pub fn number(answer: &Value, field: &str) -> i64 {
    answer[field].as_i64().unwrap_or(-1)
}
