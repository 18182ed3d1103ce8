//! DeleteTopics (key 20), by name or, from v6, by id. The answer leaves when the topics are gone:
//! a topic made anew under the same name has another id. A topic that is kept in the lake brings its
//! last records there first; its table stays.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use tidelog_coordinator::cluster::{ClusterError, Command, Reply, Topic, TopicRef};
use tidelog_protocol_ext::StrBytes;
use tracing::warn;
use uuid::Uuid;

use super::controller;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;

/// First version that lists topics with name or id.
const STATES_FROM: i16 = 6;

/// Why it is not clear, or not allowed, to delete a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    #[error("neither a name nor an id is given")]
    Neither,
    #[error("name and id are given: give one of them")]
    Both,
    /// Not every version knows the code for it.
    #[error("topics cannot be deleted: delete.topic.enable is false")]
    Disabled { version: i16 },
}

/// A topic of the request.
struct Asked {
    name: Option<StrBytes>,
    id: Uuid,
}

impl Asked {
    fn reference(&self) -> Result<TopicRef, BadReference> {
        match (&self.name, self.id.is_nil()) {
            (Some(name), true) => Ok(TopicRef::Name(name.to_string())),
            (None, false) => Ok(TopicRef::Id(self.id)),
            (None, true) => Err(BadReference::Neither),
            (Some(_), false) => Err(BadReference::Both),
        }
    }

    fn refused(self, failure: Failure) -> DeletableTopicResult {
        DeletableTopicResult::default()
            .with_name(self.name.map(Into::into))
            .with_topic_id(self.id)
            .with_error_code(failure.code.code())
            .with_error_message(Some(failure.message))
    }

    fn answered(self, result: Result<Arc<Topic>, ClusterError>) -> DeletableTopicResult {
        match result {
            Ok(topic) => DeletableTopicResult::default()
                .with_name(Some(StrBytes::from_string(topic.name.clone()).into()))
                .with_topic_id(topic.id)
                .with_error_message(None),
            Err(error) => self.refused(Failure::from(&error)),
        }
    }
}

pub async fn handle(ctx: &Context, request: DeleteTopicsRequest) -> Outcome {
    let timeout_ms = request.timeout_ms;
    let asked = asked(ctx.version(), request);
    let mut responses = match disabled(ctx) {
        Some(reason) => {
            let failure = Failure::from(&reason);
            asked
                .into_iter()
                .map(|asked| asked.refused(failure.clone()))
                .collect()
        }
        None => delete(ctx, asked, timeout_ms).await,
    };
    // A topic named twice is refused once.
    let mut seen = HashSet::new();
    responses.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    ctx.answer(&DeleteTopicsResponse::default().with_responses(responses))
}

fn asked(version: i16, request: DeleteTopicsRequest) -> Vec<Asked> {
    if version >= STATES_FROM {
        let topics = request.topics.into_iter().map(|topic| Asked {
            name: topic.name.map(|name| name.0),
            id: topic.topic_id,
        });
        return topics.collect();
    }
    let names = request.topic_names.into_iter().map(|name| Asked {
        name: Some(name.0),
        id: Uuid::nil(),
    });
    names.collect()
}

fn disabled(ctx: &Context) -> Option<BadReference> {
    let version = ctx.version();
    (!ctx.broker.settings().delete_topic_enable).then_some(BadReference::Disabled { version })
}

/// Brings to the lake what topics that are kept there still hold, within half of the time there is.
async fn tier_tails(ctx: &Context, topics: &[TopicRef], timeout_ms: i32) {
    let patience = Duration::from_millis(timeout_ms.max(0).unsigned_abs().into()) / 2;
    let view = ctx.broker.cluster().view();
    let found = topics.iter().filter_map(|topic| match topic {
        TopicRef::Name(name) => view.image.topic(name),
        TopicRef::Id(id) => view.image.topic_by_id(*id),
    });
    let drains = found.filter(|topic| !topic.internal).map(async |topic| {
        let settings = view.topic_settings(topic);
        if !ctx.broker.lake().drain(topic, &settings, patience).await {
            warn!(
                topic = topic.name,
                "deleted with records that are not in its lake table"
            );
        }
    });
    join_all(drains).await;
}

async fn delete(ctx: &Context, asked: Vec<Asked>, timeout_ms: i32) -> Vec<DeletableTopicResult> {
    let topics = asked.iter().filter_map(|asked| asked.reference().ok());
    let topics: Vec<_> = topics.collect();
    tier_tails(ctx, &topics, timeout_ms).await;
    let command = Command::DeleteTopics { topics };
    let answer = controller::ask(ctx, command, timeout_ms, |reply| match reply {
        Reply::Deleted(results) => Some(results),
        _ => None,
    });
    let (mut results, unanswered) = match answer.await {
        Ok(results) => (results.into_iter(), None),
        Err(error) => (Vec::new().into_iter(), Some(Failure::from(&error))),
    };
    asked
        .into_iter()
        .filter_map(|asked| match asked.reference() {
            Err(bad) => Some(asked.refused(Failure::from(&bad))),
            // The owner answers as many topics as it was given, in their order.
            Ok(_) => match results.next() {
                Some((_, result)) => Some(asked.answered(result)),
                None => unanswered.clone().map(|failure| asked.refused(failure)),
            },
        })
        .collect()
}
