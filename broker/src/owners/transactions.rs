//! Transactions: a `coordinator::txn::Transactions` machine for each partition of
//! `__transaction_state`, see [`partitioned`](super::partitioned), and beside each the
//! [writer](super::markers) of its markers.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use tidelog_coordinator::cluster;
use tidelog_coordinator::machine::Envelope;
use tidelog_coordinator::producer::Producer;
use tidelog_coordinator::txn::{
    self, AddPartitions, DescribedTransaction, EndTxn, InitProducerId, ListTransactions,
    PartitionVerified, TransactionList, TxnCommand, TxnError, TxnRecord, TxnReply, TxnSettings,
    VerifyPartitions,
};

use super::cluster::ClusterHandle;
use super::driver::{DriverError, DriverHandle, Journal};
use super::groups::Groups;
use super::markers::MarkerWriter;
use super::partitioned::{InternalTopic, NoOwner, Owners};
use crate::api::cluster::init_producer_id::BLOCK_IDS;
use crate::clock::Clock;
use crate::log::Log;
use crate::settings::Settings;

/// The topic that keeps transactional ids, in Kafka's formats.
pub const STATE_TOPIC: &str = "__transaction_state";

/// What Kafka gives that topic.
const STATE_TOPIC_CONFIGS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "uncompressed"),
    ("segment.bytes", "104857600"),
];

impl Journal for txn::Transactions {
    const NAME: &'static str = "transactions";

    fn encode(record: &TxnRecord) -> Result<(Bytes, Option<Bytes>), String> {
        Ok(record.encode())
    }

    fn decode(_: Envelope, key: &[u8], value: Option<&[u8]>) -> Result<Option<TxnRecord>, String> {
        TxnRecord::decode(key, value).map_err(|error| error.to_string())
    }

    fn checkpoint(&self) -> Vec<TxnRecord> {
        self.durable().checkpoint()
    }
}

/// Why the coordinator did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionsError {
    #[error(transparent)]
    Refused(#[from] TxnError),
    #[error(transparent)]
    NoOwner(#[from] NoOwner),
    #[error(transparent)]
    Unavailable(#[from] DriverError),
}

type Owner = DriverHandle<txn::Transactions>;

/// Asks an owner for what a command of this name answers.
macro_rules! ask {
    ($owner:expr, $name:ident $command:tt) => {
        match $owner.call(TxnCommand::$name $command).await? {
            TxnReply::$name(reply) => reply,
            other => unreachable!("a machine answers a command by its name, not with {other:?}"),
        }
    };
}

/// All transactional ids of the broker.
pub struct Transactions {
    owners: Owners<txn::Transactions>,
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions").finish_non_exhaustive()
    }
}

impl Transactions {
    /// Starts the owners of partitions with records, which load in the background and end what was
    /// being ended.
    pub fn start(
        log: Arc<Log>,
        clock: Clock,
        cluster: ClusterHandle,
        groups: Groups,
        settings: &Settings,
    ) -> Self {
        let topic = InternalTopic {
            name: STATE_TOPIC,
            configs: &STATE_TOPIC_CONFIGS,
            partitions: settings.transaction_state_log_num_partitions,
        };
        let writer = MarkerWriter::new(Arc::clone(&log), clock.clone(), cluster.clone(), groups);
        let settings = Arc::new(txn_settings(settings));
        let make = move |partition: &Arc<tidelog_storage::Partition>| {
            txn::Transactions::new(Arc::clone(&settings), partition.marks().leader_epoch)
        };
        let started = move |_, owner: &Owner| {
            tokio::spawn(writer.clone().run(owner.downgrade()));
        };
        let owners = Owners::new(log, clock, cluster, topic, make, started);
        owners.start_all();
        Self { owners }
    }

    /// Gives a transactional id its producer.
    ///
    /// # Errors
    /// Here and below: the coordinator refuses, or there is none at the moment.
    pub async fn init_producer_id(
        &self,
        init: InitProducerId,
    ) -> Result<Producer, TransactionsError> {
        let owner = self.owners.owner_of(&init.transactional_id).await?;
        match ask!(owner, InitProducerId(init.clone())) {
            Err(TxnError::NoProducerIds) => {
                owner
                    .call(producer_ids(self.owners.cluster()).await?)
                    .await?;
                Ok(ask!(owner, InitProducerId(init))?)
            }
            outcome => Ok(outcome?),
        }
    }

    pub async fn add_partitions(&self, add: AddPartitions) -> Result<(), TransactionsError> {
        let owner = self.owners.owner_of(&add.transactional_id).await?;
        Ok(ask!(owner, AddPartitions(add))?)
    }

    /// One outcome per partition named, in order.
    pub async fn verify_partitions(
        &self,
        verify: VerifyPartitions,
    ) -> Result<Vec<PartitionVerified>, TransactionsError> {
        let owner = self.owners.owner_of(&verify.transactional_id).await?;
        Ok(ask!(owner, VerifyPartitions(verify))?)
    }

    /// Answers what the producer goes on with.
    pub async fn end(&self, end: EndTxn) -> Result<Producer, TransactionsError> {
        let owner = self.owners.owner_of(&end.transactional_id).await?;
        match ask!(owner, EndTxn(end.clone())) {
            Err(TxnError::NoProducerIds) => {
                owner
                    .call(producer_ids(self.owners.cluster()).await?)
                    .await?;
                Ok(ask!(owner, EndTxn(end))?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Gives up the producer ids below `below` that were taken from the cluster and not given out.
    ///
    /// # Errors
    /// A coordinator is not available; those before it did.
    pub async fn skip_producer_ids(&self, below: i64) -> Result<(), TransactionsError> {
        for owner in self.owners.all() {
            owner.call(TxnCommand::SkipProducerIds { below }).await?;
        }
        Ok(())
    }

    pub async fn describe(&self, id: &str) -> Result<DescribedTransaction, TransactionsError> {
        let owner = self.owners.owner_of(id).await?;
        let transactional_ids = vec![id.to_owned()];
        let mut described = ask!(owner, Describe { transactional_ids });
        match described.pop() {
            Some((_, described)) => Ok(described?),
            None => Err(TxnError::UnknownTransactionalId.into()),
        }
    }

    /// All transactions that pass the filter.
    pub async fn list(
        &self,
        filter: &ListTransactions,
    ) -> Result<TransactionList, TransactionsError> {
        let owners = self.owners.all();
        let lists = owners.iter().map(|owner| {
            let filter = filter.clone();
            async move { Ok(ask!(owner, List(filter))) }
        });
        let lists: Result<Vec<_>, TransactionsError> = join_all(lists).await.into_iter().collect();
        let mut all = TransactionList {
            unknown_states: filter.unknown_states(),
            transactions: Vec::new(),
        };
        for list in lists? {
            all.transactions.extend(list.transactions);
        }
        Ok(all)
    }
}

/// A block of producer ids as a command that stores it. Of no ids where all are used up: who asks
/// again is told that there is none.
///
/// # Errors
/// The cluster's owner is not available.
pub(super) async fn producer_ids(cluster: &ClusterHandle) -> Result<TxnCommand, DriverError> {
    let command = cluster::Command::AllocateProducerIds { count: BLOCK_IDS };
    let cluster::Reply::ProducerIds(block) = cluster.call(command).await? else {
        unreachable!("the cluster answers AllocateProducerIds with a block");
    };
    let block = block.unwrap_or(0..0);
    Ok(TxnCommand::GrantProducerIds {
        first: block.start,
        count: u32::try_from(block.end - block.start).unwrap_or(u32::MAX),
    })
}

fn txn_settings(settings: &Settings) -> TxnSettings {
    TxnSettings {
        timeout_max_ms: settings.transaction_max_timeout_ms,
        id_expiration_ms: settings.transactional_id_expiration_ms.into(),
        ..TxnSettings::default()
    }
}
