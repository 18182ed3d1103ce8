//! Names of topics as requests and answers carry them.

use kafka_protocol::messages::TopicName;
use tidelog_client::wire::text;

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The name in an answer; empty where it has none.
pub fn name_of(topic: Option<&TopicName>) -> String {
    topic
        .map(|name| name.as_str().to_owned())
        .unwrap_or_default()
}
