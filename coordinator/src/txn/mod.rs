//! Transactions: one [`Transactions`] machine is the coordinator of all transactional ids of one
//! `__transaction_state` partition.
//!
//! ```text
//! InitProducerId ─▶ AddPartitions… ─▶ EndTxn ─▶ Prepare record ─▶ markers ─▶ Complete record
//!                                       reply ◀──┘ durable         └─ TakeWork … MarkersWritten
//! ```
//!
//! - [`Transaction`]: one id's durable state and its moves; [`TxnState`] says which are legal.
//! - [`Durable`]: what the log says. `init`, `add`, `end`, `markers`, `expiry`, `view`: one request,
//!   or one thing that time does, each.
//!
//! Promises:
//! - A Prepare record is the outcome: from then on every partition of the transaction gets a marker
//!   with it, across any number of restarts, and none gets another.
//! - Markers are handed out only when their Prepare record is durable; Complete is written only
//!   after every marker was reported durable.
//! - Markers carry the producer as the Prepare record has it. In version 2 that is one epoch above
//!   the transaction's records, so nothing of the transaction can be appended behind its marker.
//! - An epoch that was given to a client is never given to another.
//!
//! The rules follow Apache Kafka's `TransactionCoordinator` and `TransactionMetadata`. What differs:
//! - What has been decided but is not durable yet is not "pending", which Kafka answers with
//!   CONCURRENT_TRANSACTIONS: the next decision builds upon it, and the answers wait.
//! - A client that repeats its last request is recognised by the epoch it held, which is durable
//!   here: after a restart too, and never when somebody else took over in between.
//! - Transactions time out when their time is over, not at the next scan.

mod add;
mod command;
mod durable;
mod end;
mod error;
mod expiry;
mod init;
mod markers;
mod partitions;
mod producer_ids;
mod record;
mod settings;
mod state;
mod transaction;
mod turn;
mod view;

use std::sync::Arc;

pub use command::{
    AddPartitions, DescribedTransaction, EndTxn, InitProducerId, ListTransactions,
    ListedTransaction, Markers, MarkersWritten, PartitionVerified, TransactionList, TxnCommand,
    TxnReply, VerifyPartitions, Work,
};
pub use durable::Durable;
pub use error::TxnError;
pub use partitions::{Partitions, TopicPartition};
pub use record::{TxnRecord, TxnRecordError};
pub use settings::TxnSettings;
pub use state::{TransactionVersion, TxnState};
pub use transaction::{EPOCH_LAST, Transaction};
pub use view::{IdPattern, PatternError};

use crate::alarms::Alarms;
use crate::machine::{Decision, Machine, Token};
use crate::wire::STRING_BYTES_MAX;
use markers::Endings;
use producer_ids::ProducerIds;
use turn::Turn;

/// All transactional ids of one `__transaction_state` partition.
///
/// Life: [`Transactions::new`], `apply` for every record of the partition, `loaded`, then commands.
#[derive(Debug)]
pub struct Transactions {
    settings: Arc<TxnSettings>,
    coordinator_epoch: i32,
    durable: Durable,
    producer_ids: ProducerIds,
    endings: Endings,
    timeouts: Alarms,
    next_sweep_ms: Option<i64>,
}

impl Transactions {
    /// A machine that knows nothing yet. `coordinator_epoch` must be above that of every machine
    /// that ran over this partition before; the partition's leader epoch is.
    pub fn new(settings: Arc<TxnSettings>, coordinator_epoch: i32) -> Self {
        Self {
            settings,
            coordinator_epoch,
            durable: Durable::default(),
            producer_ids: ProducerIds::default(),
            endings: Endings::default(),
            timeouts: Alarms::default(),
            next_sweep_ms: None,
        }
    }

    /// What the log says.
    pub const fn durable(&self) -> &Durable {
        &self.durable
    }

    fn route(&mut self, token: Token, command: TxnCommand, turn: &mut Turn) {
        let reply = match command {
            TxnCommand::InitProducerId(init) => {
                TxnReply::InitProducerId(self.init_producer_id(init, turn))
            }
            TxnCommand::AddPartitions(add) => {
                TxnReply::AddPartitions(self.add_partitions(add, turn))
            }
            TxnCommand::VerifyPartitions(verify) => {
                TxnReply::VerifyPartitions(self.verify_partitions(verify))
            }
            TxnCommand::EndTxn(end) => TxnReply::EndTxn(self.end_txn(&end, turn)),
            TxnCommand::TakeWork { anew } => return self.take_work(token, anew, turn),
            TxnCommand::MarkersWritten(written) => {
                self.markers_written(&written, turn);
                TxnReply::MarkersWritten
            }
            TxnCommand::GrantProducerIds { first, count } => {
                self.producer_ids.grant(first, count);
                self.endings.producer_ids_granted();
                TxnReply::GrantProducerIds
            }
            TxnCommand::SkipProducerIds { below } => {
                self.producer_ids.skip(below);
                TxnReply::SkipProducerIds
            }
            TxnCommand::List(filter) => TxnReply::List(self.list(&filter, turn.now_ms)),
            TxnCommand::Describe { transactional_ids } => {
                let describe = |id: String| {
                    let described = self.describe(&id);
                    (id, described)
                };
                TxnReply::Describe(transactional_ids.into_iter().map(describe).collect())
            }
        };
        turn.reply(token, reply);
    }
}

impl Machine for Transactions {
    type Command = TxnCommand;
    type Record = TxnRecord;
    type Reply = TxnReply;

    fn decide(
        &mut self,
        now_ms: i64,
        token: Token,
        command: TxnCommand,
    ) -> Decision<TxnRecord, TxnReply> {
        let mut turn = Turn::new(now_ms);
        self.route(token, command, &mut turn);
        self.finish(turn)
    }

    fn apply(&mut self, record: &TxnRecord) {
        let expires_at = record.value.as_ref().and_then(Transaction::expires_at);
        self.timeouts.set(&record.transactional_id, expires_at);
        self.endings.apply(record);
        self.durable.apply(record);
    }

    fn loaded(&mut self, now_ms: i64) -> Decision<TxnRecord, TxnReply> {
        self.endings
            .offer_all(&self.durable, self.coordinator_epoch);
        let pause_ms = self.settings.id_expiration_interval_ms.max(1);
        self.next_sweep_ms = Some(now_ms.saturating_add(pause_ms));
        Decision::nothing()
    }

    fn cancel(&mut self, _now_ms: i64, token: Token) -> Decision<TxnRecord, TxnReply> {
        if self.endings.is_writer(token) {
            self.endings.writer_left();
        }
        Decision::nothing()
    }

    fn tick(&mut self, now_ms: i64) -> Decision<TxnRecord, TxnReply> {
        let mut turn = Turn::new(now_ms);
        self.abort_timed_out(&mut turn);
        // A sweep reads the durable layer: it waits for a tick with nothing still to be applied.
        if turn.records() == 0 && self.next_sweep_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.forget_expired(&mut turn);
        }
        self.finish(turn)
    }

    fn next_deadline(&self) -> Option<i64> {
        self.timeouts
            .next()
            .into_iter()
            .chain(self.next_sweep_ms)
            .min()
    }
}

/// A transactional id that can be written as a key.
fn check_id(id: &str) -> Result<(), TxnError> {
    if id.is_empty() || id.len() > STRING_BYTES_MAX {
        return Err(TxnError::InvalidTransactionalId {
            max_bytes: STRING_BYTES_MAX,
        });
    }
    Ok(())
}
