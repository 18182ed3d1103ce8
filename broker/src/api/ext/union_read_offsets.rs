//! UnionReadOffsets (key 16003): the exact cut between a table's lake snapshot and its log.
//!
//! The cut is that of the last look at the table, so it is never behind what the last commit of this
//! broker made. A lease holds the log from the cut on, within the topic's retention budget; it is
//! kept in memory only, so that a restart of the broker ends it. An explicit DeleteRecords is not
//! held up by leases.

use tidelog_protocol_ext::StrBytes;
use tidelog_protocol_ext::ext::union_read_offsets::{
    Cut, UnionReadOffsetsRequest, UnionReadOffsetsResponse,
};
use uuid::Uuid;

use crate::api::context::{Context, Outcome};
use crate::api::data::target::{PartitionError, TopicKey};
use crate::api::error::Failure;
use crate::jobs::lake::leases::{self, LEASE_MS_MAX};
use crate::jobs::lake::state::{LeaseAsk, NoCut};

/// Stands for a snapshot that is not there.
const NO_SNAPSHOT: i64 = -1;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UnionError {
    #[error(transparent)]
    Topic(#[from] PartitionError),
    #[error(transparent)]
    Cut(#[from] NoCut),
    #[error("lease_ms cannot be negative")]
    NegativeLease,
}

pub async fn handle(ctx: &Context, request: UnionReadOffsetsRequest) -> Outcome {
    let response = answer(ctx, &request).unwrap_or_else(|error| {
        let Failure { code, message } = Failure::from(&error);
        UnionReadOffsetsResponse {
            error_code: code.code(),
            error_message: Some(message),
            snapshot_id: NO_SNAPSHOT,
            ..UnionReadOffsetsResponse::default()
        }
    });
    ctx.answer_ext::<UnionReadOffsetsRequest>(&response)
}

fn answer(
    ctx: &Context,
    request: &UnionReadOffsetsRequest,
) -> Result<UnionReadOffsetsResponse, UnionError> {
    let view = ctx.broker.cluster().view();
    let topic = TopicKey::Id(request.topic_id).find(&view.image)?;
    let lake = ctx
        .broker
        .lake()
        .topic(topic, &view.topic_settings(topic))?;
    let (ask, lease_ms) = lease_ask(request)?;
    let now_ms = ctx.broker.now_ms();
    let cut = lake.cut(topic.partitions, ask, now_ms)?;
    let location = || StrBytes::from_string(cut.metadata_location.clone());
    Ok(UnionReadOffsetsResponse {
        snapshot_id: cut.snapshot_id.unwrap_or(NO_SNAPSHOT),
        metadata_location: cut.snapshot_id.map(|_| location()),
        lease_id: match ask {
            LeaseAsk::New { id, .. } | LeaseAsk::Renew { id, .. } => id,
            LeaseAsk::None | LeaseAsk::GiveUp { .. } => Uuid::nil(),
        },
        lease_ms,
        partitions: partitions(ctx, topic.id, &cut),
        ..UnionReadOffsetsResponse::default()
    })
}

/// What to do about a lease, and how long it then lasts.
fn lease_ask(request: &UnionReadOffsetsRequest) -> Result<(LeaseAsk, i32), UnionError> {
    let id = request.lease_id;
    let lease_ms = request.lease_ms.min(LEASE_MS_MAX);
    let ask = match (id.is_nil(), lease_ms) {
        (_, ..0) => return Err(UnionError::NegativeLease),
        (true, 0) => LeaseAsk::None,
        (false, 0) => LeaseAsk::GiveUp { id },
        (true, 1..) => LeaseAsk::New {
            id: Uuid::new_v4(),
            lease_ms: lease_ms.into(),
        },
        (false, 1..) => LeaseAsk::Renew {
            id,
            lease_ms: lease_ms.into(),
        },
    };
    Ok((ask, lease_ms))
}

fn partitions(ctx: &Context, topic: Uuid, cut: &leases::Cut) -> Vec<Cut> {
    let known = cut.lake_ends.iter().filter_map(|(&partition, &lake_end)| {
        let marks = ctx.broker.log().partition(topic, partition)?.marks();
        Some(Cut {
            partition,
            lake_end,
            log_start_offset: marks.log_start,
            stable_end: marks.stable_end,
        })
    });
    known.collect()
}
