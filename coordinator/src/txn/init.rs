//! InitProducerId: a client takes over a transactional id, and whoever held it before is fenced.

use super::Transactions;
use super::command::InitProducerId;
use super::error::TxnError;
use super::producer_ids::ProducerIds;
use super::transaction::Transaction;
use super::turn::Turn;
use crate::producer::{NO_PRODUCER_EPOCH, Producer};

impl Transactions {
    /// A transaction under way is aborted first: the client is to ask again, and gets an epoch
    /// above the one that ends it.
    pub(super) fn init_producer_id(
        &mut self,
        init: InitProducerId,
        turn: &mut Turn,
    ) -> Result<Producer, TxnError> {
        super::check_id(&init.transactional_id)?;
        let max_ms = self.settings.timeout_max_ms;
        if !(1..=max_ms).contains(&init.timeout_ms) {
            return Err(TxnError::InvalidTimeout { max_ms });
        }
        let id = &init.transactional_id;
        let next = match self.durable.get(id) {
            None => {
                let producer_id = self.producer_ids.take()?;
                Transaction::new(producer_id, init.timeout_ms, turn.now_ms)
            }
            Some(present)
                if init
                    .expected
                    .is_some_and(|held| !present.may_be_held_by(held)) =>
            {
                return Err(TxnError::Fenced);
            }
            Some(present) if present.state.ending().is_some() => return Err(TxnError::Concurrent),
            Some(present) if present.state.is_settled() => {
                begin_anew(present, &init, &mut self.producer_ids, turn.now_ms)?
            }
            Some(_) => {
                self.abort_by_coordinator(id, turn)?;
                return Err(TxnError::Concurrent);
            }
        };
        let producer = next.producer;
        turn.write(id, Some(next));
        Ok(producer)
    }
}

/// The next epoch, or a new producer id when there is none left. A client that repeats itself gets
/// the same answer again: nobody else can have come in between, or `last_epoch` would be unset.
fn begin_anew(
    present: &Transaction,
    init: &InitProducerId,
    producer_ids: &mut ProducerIds,
    now_ms: i64,
) -> Result<Transaction, TxnError> {
    let held = init.expected.map(|expected| expected.epoch);
    let Producer { id, epoch } = present.producer;
    let (producer, last_epoch) = match held {
        Some(held) if repeats(held, present) => (present.producer, held),
        Some(held) if held != epoch => return Err(TxnError::Fenced),
        _ => {
            let producer = if present.is_exhausted() {
                Producer::new(producer_ids.take()?, 0)
            } else {
                Producer::new(id, epoch + 1)
            };
            (producer, held.unwrap_or(NO_PRODUCER_EPOCH))
        }
    };
    Ok(present.initialized(producer, last_epoch, init.timeout_ms, now_ms))
}

/// Whether the client that holds this epoch has missed the answer with the present one.
const fn repeats(held: i16, present: &Transaction) -> bool {
    held == present.last_epoch && held != NO_PRODUCER_EPOCH && held != present.producer.epoch
}
