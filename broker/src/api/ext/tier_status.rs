//! TierStatus (key 16007): how far the lake is behind the log, and a nudge to catch up now.
//!
//! Asked for no topic in particular, every topic with `tidelog.lake.enable` answers, also one that
//! cannot be tiered: its suspended reason says why. The ages of rows are counted from when this
//! process first saw them. A commit that was asked for is not waited for.

use std::sync::Arc;

use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::StrBytes;
use tidelog_protocol_ext::ext::tier_status::{
    ACTION_RETRY_DEAD_LETTERS, ACTION_STATUS, ACTION_TIER_NOW, TierPartitionStatus,
    TierStatusRequest, TierStatusResponse, TierTopic, TierTopicStatus,
};
use uuid::Uuid;

use crate::api::context::{Context, Outcome};
use crate::api::data::target::TopicKey;
use crate::api::error::Failure;
use crate::jobs::lake::state::TopicLake;
use crate::jobs::lake::why_not_tiered;
use crate::owners::cluster::View;

/// Stands for a snapshot and a time that are not there.
const NONE: i64 = -1;

/// Why the request as a whole is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "action {0} is not known: 0 answers the status, 1 starts a commit as well, 2 tries dead letters \
     again as well"
)]
pub struct UnknownAction(pub i8);

pub async fn handle(ctx: &Context, request: TierStatusRequest) -> Outcome {
    let TierStatusRequest { action, topics } = request;
    if ![ACTION_STATUS, ACTION_TIER_NOW, ACTION_RETRY_DEAD_LETTERS].contains(&action) {
        let Failure { code, message } = Failure::from(&UnknownAction(action));
        return ctx.answer_ext::<TierStatusRequest>(&TierStatusResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..TierStatusResponse::default()
        });
    }
    let view = ctx.broker.cluster().view();
    let topics = match topics {
        Some(asked) => asked
            .into_iter()
            .map(|asked| named(ctx, &view, asked, action))
            .collect(),
        None => view
            .image
            .topics()
            .filter(|topic| !topic.internal && view.topic_settings(topic).lake.enabled)
            .map(|topic| described(ctx, &view, topic, action))
            .collect(),
    };
    ctx.answer_ext::<TierStatusRequest>(&TierStatusResponse {
        topics,
        ..TierStatusResponse::default()
    })
}

fn named(ctx: &Context, view: &View, asked: TierTopic, action: i8) -> TierTopicStatus {
    let key = match &asked.name {
        Some(name) if asked.topic_id.is_nil() => TopicKey::Name(name.clone()),
        _ => TopicKey::Id(asked.topic_id),
    };
    match key.find(&view.image) {
        Ok(topic) => described(ctx, view, topic, action),
        Err(error) => {
            let Failure { code, message } = Failure::from(&error);
            TierTopicStatus {
                error_code: code.code(),
                error_message: Some(message),
                name: asked.name,
                ..unknown(asked.topic_id)
            }
        }
    }
}

fn described(ctx: &Context, view: &View, topic: &Arc<Topic>, action: i8) -> TierTopicStatus {
    let settings = view.topic_settings(topic);
    let status = TierTopicStatus {
        name: Some(StrBytes::from_string(topic.name.clone())),
        mode: StrBytes::from_string(settings.table.mode.to_string()),
        ..unknown(topic.id)
    };
    match ctx.broker.lake().topic(topic, &settings) {
        Ok(lake) => {
            match action {
                ACTION_TIER_NOW => lake.tier_now(),
                ACTION_RETRY_DEAD_LETTERS => lake.retry_dead_letters(),
                _ => {}
            }
            tiered(status, topic, &lake, ctx.broker.now_ms())
        }
        Err(reason) if settings.lake.enabled => {
            let why = why_not_tiered(&settings).map(StrBytes::from_static_str);
            let why = why.unwrap_or_else(|| StrBytes::from_string(reason.to_string()));
            TierTopicStatus {
                suspended_reason: Some(why),
                ..status
            }
        }
        Err(reason) => {
            let Failure { code, message } = Failure::from(&reason);
            TierTopicStatus {
                error_code: code.code(),
                error_message: Some(message),
                ..status
            }
        }
    }
}

fn tiered(
    status: TierTopicStatus,
    topic: &Topic,
    lake: &TopicLake,
    now_ms: i64,
) -> TierTopicStatus {
    let mark = lake.mark();
    let partitions = lake.status(topic.partitions, now_ms);
    let pending_bytes: u64 = partitions.iter().map(|p| p.pending_bytes).sum();
    let reason = lake.standing();
    TierTopicStatus {
        last_snapshot_id: mark
            .as_ref()
            .and_then(|mark| mark.snapshot_id)
            .unwrap_or(NONE),
        last_commit_ms: mark.and_then(|mark| mark.committed_ms).unwrap_or(NONE),
        pending_bytes: i64::try_from(pending_bytes).unwrap_or(i64::MAX),
        suspended_reason: reason
            .reason()
            .map(|why| StrBytes::from_string(why.to_owned())),
        partitions: partitions
            .into_iter()
            .map(|p| TierPartitionStatus {
                partition: p.partition,
                lake_end: p.lake_end,
                stable_end: p.stable_end,
                lag_ms: p.lag_ms,
            })
            .collect(),
        ..status
    }
}

/// Nothing known but the id.
fn unknown(topic_id: Uuid) -> TierTopicStatus {
    TierTopicStatus {
        topic_id,
        last_snapshot_id: NONE,
        last_commit_ms: NONE,
        ..TierTopicStatus::default()
    }
}
