//! InitProducerId (key 22): a producer id nobody had before, or that of a transactional id.
//!
//! Kafka gives a producer without a transactional id a new id with epoch 0, also if it names the id
//! it has (KIP-360). Ids are taken from the cluster's owner in blocks, so that one durable record
//! serves many producers; what is left of a block when the process ends is never used. A
//! transactional id is the transaction coordinator's.

use std::num::NonZeroU32;
use std::ops::Range;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use parking_lot::Mutex;
use tidelog_coordinator::cluster::{Command, Reply};
use tidelog_coordinator::producer::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer};
use tidelog_coordinator::txn::InitProducerId;
use tidelog_protocol_ext::StrBytes;
use tracing::info;

use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;
use crate::api::txn::{self, Told};
use crate::owners::cluster::ClusterHandle;
use crate::owners::transactions::Transactions;

/// Kafka's block size.
pub const BLOCK_IDS: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");

/// Why no id is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a transactional id may not be empty")]
    EmptyTransactionalId,
    #[error("producer id and epoch belong together: give both or neither")]
    HalfIdentity,
    /// The client asks again.
    #[error("the cluster's owner did not answer")]
    Unavailable,
}

/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

pub async fn handle(ctx: &Context, request: InitProducerIdRequest) -> Outcome {
    let given = match refused(&request) {
        Some(refusal) => Err(Failure::from(&refusal)),
        None => give(ctx, request).await,
    };
    let response = match given {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(producer.id.into())
            .with_producer_epoch(producer.epoch),
        Err(failure) => {
            let reason = failure.message.as_str();
            info!(peer = %ctx.peer, client = ctx.client_id.as_deref(), reason, "no producer id");
            InitProducerIdResponse::default()
                .with_error_code(failure.code.code())
                .with_producer_id(NO_PRODUCER_ID.into())
                .with_producer_epoch(NO_PRODUCER_EPOCH)
        }
    };
    ctx.answer(&response)
}

async fn give(ctx: &Context, request: InitProducerIdRequest) -> Result<Producer, Failure> {
    let Some(id) = request.transactional_id else {
        let id = ctx.broker.producer_ids().next(ctx.broker.cluster()).await?;
        return Ok(Producer::new(id, 0));
    };
    let has_id = request.producer_id.0 != NO_PRODUCER_ID;
    let init = InitProducerId {
        transactional_id: id.to_string(),
        timeout_ms: request.transaction_timeout_ms,
        expected: has_id.then(|| Producer::new(request.producer_id.0, request.producer_epoch)),
    };
    let told = Told {
        fenced: ctx.version() >= FENCED_FROM,
        abortable: false,
    };
    let given = ctx.broker.transactions().init_producer_id(init).await;
    given.map_err(|error| Failure {
        code: txn::code(&error, told),
        message: StrBytes::from_string(error.to_string()),
    })
}

fn refused(request: &InitProducerIdRequest) -> Option<Refusal> {
    let has_id = request.producer_id.0 != NO_PRODUCER_ID;
    let has_epoch = request.producer_epoch != NO_PRODUCER_EPOCH;
    match request.transactional_id.as_ref() {
        _ if has_id != has_epoch => Some(Refusal::HalfIdentity),
        Some(id) if id.is_empty() => Some(Refusal::EmptyTransactionalId),
        _ => None,
    }
}

/// Ids taken from the cluster and not yet given out.
#[derive(Debug, Default)]
pub struct ProducerIds {
    store: Mutex<Store>,
}

#[derive(Debug, Default)]
struct Store {
    /// Several when several producers found it empty at the same moment.
    free: Vec<Range<i64>>,
    /// None below is given out.
    floor: i64,
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
        let block = block.map_err(|error| Failure::from(&error))?;
        self.store.lock().free.push(block);
        // Others may have taken the whole block, or it may have been skipped: the client asks again.
        self.take()
            .ok_or_else(|| Failure::from(&Refusal::Unavailable))
    }

    /// Lets no id below `below` be given out from now on, here or by a transaction coordinator, nor by
    /// a later start of this broker: they are another cluster's.
    ///
    /// # Errors
    /// The cluster's owner or a transaction coordinator is not available.
    pub async fn skip(
        &self,
        cluster: &ClusterHandle,
        transactions: &Transactions,
        below: i64,
    ) -> Result<(), Failure> {
        if self.store.lock().floor >= below {
            return Ok(());
        }
        let unavailable = || Failure::from(&Refusal::Unavailable);
        let command = Command::SkipProducerIds { below };
        let Ok(Reply::ProducerIds(Ok(_))) = cluster.call(command).await else {
            return Err(unavailable());
        };
        // After the cluster, so that blocks taken from here on lie above.
        let skipped = transactions.skip_producer_ids(below).await;
        skipped.map_err(|_| unavailable())?;
        let mut store = self.store.lock();
        store.floor = store.floor.max(below);
        Ok(())
    }

    fn take(&self) -> Option<i64> {
        let mut store = self.store.lock();
        let floor = store.floor;
        loop {
            let block = store.free.last_mut()?;
            block.start = block.start.max(floor);
            match block.next() {
                Some(id) => return Some(id),
                None => store.free.pop(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_up_and_each_id_comes_once() {
        let ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        ids.store.lock().free.extend([7..9, 3..3, 0..2]);
        let given: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(given, [0, 1, 7, 8]);
        assert!(ids.store.lock().free.is_empty());
        ids.store.lock().free.extend([20..23, 9..12]);
        ids.store.lock().floor = 21;
        let given: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(given, [21, 22], "those below the floor are not given out");
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
            (request(Some("t"), -1, -1), None),
            (request(Some("t"), 5, -1), Some(Refusal::HalfIdentity)),
        ];
        for (request, expected) in cases {
            assert_eq!(refused(&request), expected, "{request:?}");
        }
    }
}
