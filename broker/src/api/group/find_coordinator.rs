//! FindCoordinator (key 10): which broker coordinates a group or a transactional id.
//!
//! This one does, at the address its client already uses. Versions 0–3 ask for one key, later ones
//! for a list; key types other than "group" came with version 1 (transactions) and 6 (share groups).
//!
//! There is no coordinator for share groups. The answer is INVALID_REQUEST with a message: clients take it as final and show the message, whereas they ask again for ever
//! after the retriable COORDINATOR_NOT_AVAILABLE. An empty key is answered like any other, as in
//! Kafka: it is the group that refuses an empty id where it must.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use crate::api::context::{Context, Outcome};

/// First version that asks for several keys.
const BATCHED_FROM: i16 = 4;

/// Key type of a consumer group, the only one before version 1.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// Why a key has no coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCoordinator {
    ShareGroups,
    UnknownKeyType,
}

impl NoCoordinator {
    const fn message(self) -> &'static str {
        match self {
            Self::ShareGroups => "this broker does not offer share groups",
            Self::UnknownKeyType => "unknown type of coordinator key",
        }
    }
}

pub async fn handle(ctx: &Context, request: FindCoordinatorRequest) -> Outcome {
    let found = coordinated(request.key_type);
    let response = if ctx.version() >= BATCHED_FROM {
        let keys = request.coordinator_keys.into_iter();
        let coordinators = keys.map(|key| coordinator(ctx, found).with_key(key));
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    } else {
        let found = coordinator(ctx, found);
        FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_error_message(found.error_message)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port)
    };
    ctx.answer(&response)
}

/// Whether keys of this type have a coordinator here.
const fn coordinated(key_type: i8) -> Result<(), NoCoordinator> {
    match key_type {
        GROUP | TRANSACTION => Ok(()),
        SHARE => Err(NoCoordinator::ShareGroups),
        _ => Err(NoCoordinator::UnknownKeyType),
    }
}

fn coordinator(ctx: &Context, found: Result<(), NoCoordinator>) -> Coordinator {
    match found {
        Ok(()) => {
            let address = &ctx.listener.advertised;
            Coordinator::default()
                .with_node_id(BrokerId(ctx.broker.node_id()))
                .with_host(StrBytes::from_string(address.host.clone()))
                .with_port(i32::from(address.port))
                .with_error_message(None)
        }
        Err(reason) => Coordinator::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(ErrorCode::from(reason).code())
            .with_error_message(Some(StrBytes::from_static_str(reason.message()))),
    }
}
