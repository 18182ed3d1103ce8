//! InitProducerId (key 22): a producer id nobody had before, for idempotent producers.
//!
//! Kafka gives every such request a new id with epoch 0, also to a producer that names the id it
//! has (KIP-360): only transactional producers keep theirs. Ids are taken from the cluster's owner
//! in blocks, so that one durable record serves many producers; what is left of a block when the
//! process ends is never used.

use std::num::NonZeroU32;
use std::ops::Range;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use parking_lot::Mutex;
use tidelog_coordinator::cluster::{Command, Reply};
use tracing::info;

use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;
use crate::owners::cluster::ClusterHandle;

/// Kafka's block size.
const BLOCK_IDS: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");

/// Kafka's "no producer id" and "no epoch".
const NONE: i64 = -1;
const NO_EPOCH: i16 = -1;

/// Why no id is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a transactional id may not be empty")]
    EmptyTransactionalId,
    #[error("producer id and epoch belong together: give both or neither")]
    HalfIdentity,
    #[error("transactions are not served: leave out transactional.id")]
    Transactional,
    /// The client asks again.
    #[error("the cluster's owner did not answer")]
    Unavailable,
}

pub async fn handle(ctx: &Context, request: InitProducerIdRequest) -> Outcome {
    let given = match refused(&request) {
        Some(refusal) => Err(Failure::from(&refusal)),
        None => ctx.broker.producer_ids().next(ctx.broker.cluster()).await,
    };
    let response = match given {
        Ok(producer_id) => InitProducerIdResponse::default()
            .with_producer_id(producer_id.into())
            .with_producer_epoch(0),
        Err(failure) => {
            let reason = failure.message.as_str();
            info!(peer = %ctx.peer, client = ctx.client_id.as_deref(), reason, "no producer id");
            InitProducerIdResponse::default()
                .with_error_code(failure.code.code())
                .with_producer_id(NONE.into())
                .with_producer_epoch(NO_EPOCH)
        }
    };
    ctx.answer(&response)
}

fn refused(request: &InitProducerIdRequest) -> Option<Refusal> {
    let has_id = request.producer_id.0 != NONE;
    let has_epoch = request.producer_epoch != NO_EPOCH;
    match request.transactional_id.as_ref() {
        _ if has_id != has_epoch => Some(Refusal::HalfIdentity),
        Some(id) if id.is_empty() => Some(Refusal::EmptyTransactionalId),
        Some(_) => Some(Refusal::Transactional),
        None => None,
    }
}

/// Ids taken from the cluster and not yet given out.
#[derive(Debug, Default)]
pub struct ProducerIds {
    /// Several when several producers found it empty at the same moment.
    free: Mutex<Vec<Range<i64>>>,
}

impl ProducerIds {
    /// An id that was never given to anybody.
    ///
    /// # Errors
    /// The cluster's owner is not available, or all ids are used up.
    pub async fn next(&self, cluster: &ClusterHandle) -> Result<i64, Failure> {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let command = Command::AllocateProducerIds { count: BLOCK_IDS };
        let Ok(Reply::ProducerIds(block)) = cluster.call(command).await else {
            return Err(Failure::from(&Refusal::Unavailable));
        };
        let mut block = block.map_err(|error| Failure::from(&error))?;
        let id = block.next();
        self.free.lock().push(block);
        id.ok_or_else(|| Failure::from(&Refusal::Unavailable))
    }

    fn take(&self) -> Option<i64> {
        let mut free = self.free.lock();
        loop {
            let block = free.last_mut()?;
            match block.next() {
                Some(id) => return Some(id),
                None => free.pop(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_protocol_ext::StrBytes;

    #[test]
    fn blocks_are_used_up_and_each_id_comes_once() {
        let ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        ids.free.lock().extend([7..9, 3..3, 0..2]);
        let given: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(given, [0, 1, 7, 8]);
        assert!(ids.free.lock().is_empty());
    }

    #[test]
    fn who_is_refused() {
        let request = |transactional_id: Option<&'static str>, id: i64, epoch| {
            let transactional_id =
                transactional_id.map(|text| StrBytes::from_static_str(text).into());
            InitProducerIdRequest::default()
                .with_transactional_id(transactional_id)
                .with_producer_id(id.into())
                .with_producer_epoch(epoch)
        };
        let cases = [
            (request(None, -1, -1), None),
            (request(None, 5, 0), None),
            (request(None, 5, -1), Some(Refusal::HalfIdentity)),
            (request(None, -1, 0), Some(Refusal::HalfIdentity)),
            (
                request(Some(""), -1, -1),
                Some(Refusal::EmptyTransactionalId),
            ),
            (request(Some("t"), -1, -1), Some(Refusal::Transactional)),
        ];
        for (request, expected) in cases {
            assert_eq!(refused(&request), expected, "{request:?}");
        }
    }
}
