//! Where two answers differ.

use std::collections::BTreeSet;

use serde_json::Value;

use super::normal::canonical;

/// Fields that tell the elements of an array apart, the first that does is taken.
const KEYS: &[&str] = &[
    "name",
    "topic",
    "topic_name",
    "group_id",
    "transactional_id",
    "key",
    "resource_name",
    "member_id",
    "topic_id",
    "api_key",
    "partition_index",
    "partition",
    "index",
    "node_id",
    "broker_id",
    "base_offset",
    "producer_id",
];

/// One place where two trees differ; `None` where a tree ends before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Such as `topics[diff.a.t].partitions[0].error_code`; empty for the whole answer.
    pub path: String,
    pub kafka: Option<Value>,
    pub ours: Option<Value>,
}

/// All differences, outermost first. Elements that have a key are compared by it, others by place.
pub fn compare(kafka: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(String::new(), Some(kafka), Some(ours), &mut found);
    found
}

/// One side of a difference as text.
pub fn shown(side: &Option<Value>) -> String {
    side.as_ref().map_or("nothing".to_owned(), canonical)
}

fn walk(path: String, kafka: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (kafka, ours) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let dot = if path.is_empty() { "" } else { "." };
                walk(
                    format!("{path}{dot}{name}"),
                    a.get(name),
                    b.get(name),
                    found,
                );
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => match common_key(a, b) {
            Some(key) => {
                let ids: BTreeSet<String> = a.iter().chain(b).map(|value| id(value, key)).collect();
                for each in ids {
                    let of =
                        |side: &'_ [Value]| side.iter().position(|value| id(value, key) == each);
                    let (x, y) = (of(a).map(|at| &a[at]), of(b).map(|at| &b[at]));
                    walk(format!("{path}[{each}]"), x, y, found);
                }
            }
            None => {
                for at in 0..a.len().max(b.len()) {
                    walk(format!("{path}[{at}]"), a.get(at), b.get(at), found);
                }
            }
        },
        (kafka, ours) => found.push(Difference {
            path,
            kafka: kafka.cloned(),
            ours: ours.cloned(),
        }),
    }
}

fn common_key(a: &[Value], b: &[Value]) -> Option<&'static str> {
    let tells_apart = |side: &[Value], key: &str| {
        let ids: BTreeSet<String> = side.iter().map(|value| id(value, key)).collect();
        ids.len() == side.len() && side.iter().all(|value| value.get(key).is_some())
    };
    let mut keys = KEYS.iter().copied();
    keys.find(|key| tells_apart(a, key) && tells_apart(b, key))
}

fn id(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_meet_by_key() {
        let kafka = json!({"topics": [{"name": "a", "code": 3}, {"name": "b", "code": 0}]});
        let ours = json!({"topics": [{"name": "b", "code": 1}], "more": 1});
        let paths: Vec<_> = compare(&kafka, &ours).into_iter().map(|d| d.path).collect();
        assert_eq!(paths, ["more", "topics[a]", "topics[b].code"]);
        assert_eq!(compare(&json!("closed"), &ours)[0].path, "");
    }
}
