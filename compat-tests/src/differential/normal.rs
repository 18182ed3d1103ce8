//! Takes out of an answer what may differ between two sound brokers, or between two runs of one.
//!
//! - Ids that the broker chose become `<topic 1>`, `<member 2>`: numbered through a script, so that
//!   it still shows when an answer names another one than before.
//! - Times of this run become `<now>`; ports, folders, sizes and the cluster's id become their name.
//! - Texts for people become `<text>`; whether there is one is kept.
//! - Arrays without a meaning in their order are sorted.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::schema::NO_UUID;

/// Fields with ids that a broker chose, and what they are ids of.
const IDS: &[(&str, &str)] = &[
    ("topic_id", "topic"),
    ("member_id", "member"),
    ("leader", "member"),
    ("producer_id", "producer"),
    ("session_id", "session"),
    ("client_instance_id", "client"),
    ("replica_directory_id", "directory"),
    ("member_epoch", "epoch"),
    ("group_epoch", "epoch"),
    ("assignment_epoch", "epoch"),
];

/// Fields with a text for people.
const TEXTS: &[&str] = &[
    "error_message",
    "message",
    "batch_index_error_message",
    "acknowledge_error_message",
    "documentation",
    "status_detail",
];

/// Fields that say something of a machine and a run.
const LOCAL: &[&str] = &[
    "cluster_id",
    "port",
    "log_dir",
    "total_bytes",
    "usable_bytes",
    "partition_size",
    "finalized_features_epoch",
];

/// Arrays whose order is part of the answer.
const ORDERED: &[&str] = &["records", "aborted_transactions", "synonyms"];

/// The names given to ids in one script.
#[derive(Debug)]
pub struct Normaliser {
    labels: HashMap<(&'static str, String), String>,
    counts: HashMap<&'static str, usize>,
    /// When the run began, in milliseconds.
    began: i64,
}

impl Normaliser {
    pub fn new(began: i64) -> Self {
        Self {
            labels: HashMap::new(),
            counts: HashMap::new(),
            began,
        }
    }

    /// `now` in milliseconds.
    pub fn normalise(&mut self, answer: &Value, now: i64) -> Value {
        let times = self.began..=now;
        let mut tree = hide(answer, &|number| times.contains(&number));
        sort(&mut tree);
        self.number(&mut tree);
        tree
    }

    /// Replaces ids by their labels, in an order that does not depend on the ids.
    fn number(&mut self, tree: &mut Value) {
        match tree {
            Value::Array(elements) => elements.iter_mut().for_each(|value| self.number(value)),
            Value::Object(object) => {
                let mut names: Vec<String> = object.keys().cloned().collect();
                names.sort();
                for name in names {
                    let Some(value) = object.get_mut(&name) else {
                        continue;
                    };
                    match id_kind(&name, value) {
                        Some(kind) => *value = self.label(kind, value).into(),
                        None => self.number(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Gives an id the name the script has for it.
    pub fn name(&mut self, kind: &'static str, id: &str, name: &str) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let label = format!("<{kind} {count}: {name}>");
        self.labels.insert((kind, json!(id).to_string()), label);
    }

    fn label(&mut self, kind: &'static str, id: &Value) -> String {
        let labels = &mut self.labels;
        let label = labels.entry((kind, id.to_string())).or_insert_with(|| {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            format!("<{kind} {count}>")
        });
        label.clone()
    }
}

/// What an id is of; ids that say "none" are left as they are.
fn id_kind(name: &str, value: &Value) -> Option<&'static str> {
    let chosen = match value {
        Value::String(text) => !text.is_empty() && text != NO_UUID,
        Value::Number(number) => number.as_i64().is_some_and(|number| number > 0),
        _ => false,
    };
    let (_, kind) = IDS.iter().find(|(field, _)| *field == name)?;
    // The first producer id of a broker may be 0.
    let first = *kind == "producer" && value.as_i64() == Some(0);
    (chosen || first).then_some(*kind)
}

fn hide(tree: &Value, is_now: &impl Fn(i64) -> bool) -> Value {
    match tree {
        Value::Array(elements) => elements.iter().map(|value| hide(value, is_now)).collect(),
        Value::Object(object) => {
            let hidden = object.iter().map(|(name, value)| {
                let value = match value {
                    Value::String(text) if !text.is_empty() && TEXTS.contains(&name.as_str()) => {
                        "<text>".into()
                    }
                    Value::String(_) | Value::Number(_) if LOCAL.contains(&name.as_str()) => {
                        format!("<{name}>").into()
                    }
                    value => hide(value, is_now),
                };
                (name.clone(), value)
            });
            Value::Object(hidden.collect())
        }
        Value::Number(number) if number.as_i64().is_some_and(is_now) => "<now>".into(),
        value => value.clone(),
    }
}

fn sort(tree: &mut Value) {
    match tree {
        Value::Array(elements) => {
            elements.iter_mut().for_each(sort);
            if elements.iter().all(Value::is_object) {
                elements.sort_by_cached_key(|value| canonical(&without_ids(value)));
            }
        }
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                match value {
                    Value::Array(elements) if ORDERED.contains(&name.as_str()) => {
                        elements.iter_mut().for_each(sort);
                    }
                    value => sort(value),
                }
            }
        }
        _ => {}
    }
}

fn without_ids(tree: &Value) -> Value {
    match tree {
        Value::Array(elements) => elements.iter().map(without_ids).collect(),
        Value::Object(object) => {
            let kept = object
                .iter()
                .filter(|(name, value)| id_kind(name, value).is_none());
            let kept = kept.map(|(name, value)| (name.clone(), without_ids(value)));
            Value::Object(kept.collect())
        }
        value => value.clone(),
    }
}

/// JSON on one line with its fields in alphabetical order, so that equal trees are equal texts.
pub fn canonical(tree: &Value) -> String {
    fn ordered(tree: &Value) -> Value {
        match tree {
            Value::Array(elements) => elements.iter().map(ordered).collect(),
            Value::Object(object) => {
                let mut fields: Vec<_> = object.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name.clone(), ordered(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            value => value.clone(),
        }
    }
    ordered(tree).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbered_and_runs_are_alike() {
        let mut normal = Normaliser::new(1_000);
        let first = json!({"members": [{"member_id": "zz", "metadata": "b"},
            {"member_id": "aa", "metadata": "a"}], "leader": "zz", "at": 1_500, "port": 9});
        let tree = json!({"members": [{"member_id": "<member 2>", "metadata": "a"},
            {"member_id": "<member 1>", "metadata": "b"}], "leader": "<member 1>",
            "at": "<now>", "port": "<port>"});
        assert_eq!(normal.normalise(&first, 2_000), tree);
        let again = normal.normalise(&json!({"member_id": "aa", "error_message": null}), 2_000);
        assert_eq!(
            again,
            json!({"member_id": "<member 2>", "error_message": null})
        );
    }
}
