//! What can be asked of the transactional ids of one partition, and what they answer. Version
//! quirks of the wire are settled before a command is made.

use super::error::TxnError;
use super::partitions::TopicPartition;
use super::state::{TransactionVersion, TxnState};
use super::view::IdPattern;
use crate::producer::{Outcome, Producer};

/// A request to the transactional ids of one `__transaction_state` partition.
#[derive(Clone, Debug)]
pub enum TxnCommand {
    InitProducerId(InitProducerId),
    /// Also AddOffsetsToTxn: the partition is the group's of `__consumer_offsets`.
    AddPartitions(AddPartitions),
    VerifyPartitions(VerifyPartitions),
    EndTxn(EndTxn),
    /// The writer of markers asks for what is to be done; parked until there is something.
    TakeWork {
        /// The caller may not have received, or not have finished, what it was given before:
        /// everything still open is given again. For the first call, and after every failure;
        /// reports of what was given before must not follow it.
        anew: bool,
    },
    MarkersWritten(MarkersWritten),
    /// Producer ids that nobody else will ever give out.
    GrantProducerIds {
        first: i64,
        count: u32,
    },
    /// Gives up the producer ids below `below` that are in store.
    SkipProducerIds {
        below: i64,
    },
    List(ListTransactions),
    Describe {
        transactional_ids: Vec<String>,
    },
}

/// The answer to the [`TxnCommand`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnReply {
    /// What to go on with.
    InitProducerId(Result<Producer, TxnError>),
    AddPartitions(Result<(), TxnError>),
    /// One outcome per partition named, in order.
    VerifyPartitions(Result<Vec<PartitionVerified>, TxnError>),
    /// What to go on with; differs from before in version 2 only.
    EndTxn(Result<Producer, TxnError>),
    TakeWork(Work),
    MarkersWritten,
    GrantProducerIds,
    SkipProducerIds,
    List(TransactionList),
    /// One outcome per id named, in order.
    Describe(Vec<(String, Result<DescribedTransaction, TxnError>)>),
}

/// A client starts, or goes on after an error (KIP-360).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerId {
    pub transactional_id: String,
    pub timeout_ms: i32,
    /// What the client holds already.
    pub expected: Option<Producer>,
}

/// Partitions that are about to be written in the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    pub transactional_id: String,
    pub producer: Producer,
    pub partitions: Vec<TopicPartition>,
    /// V2 from AddPartitionsToTxn v5 and for partitions added by Produce v12+ and TxnOffsetCommit
    /// v5+; V0 otherwise.
    pub version: TransactionVersion,
}

/// Whether partitions are part of the transaction under way (KIP-890).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPartitions {
    pub transactional_id: String,
    pub producer: Producer,
    pub partitions: Vec<TopicPartition>,
}

/// The result for one partition of [`VerifyPartitions`].
pub type PartitionVerified = (TopicPartition, Result<(), TxnError>);

/// The client ends its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTxn {
    pub transactional_id: String,
    pub producer: Producer,
    pub outcome: Outcome,
    /// V2 from EndTxn v5; V0 before.
    pub version: TransactionVersion,
}

/// What the writer of markers has to do. Both may be asked for at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// To be written, and reported partition by partition or all together.
    pub markers: Vec<Markers>,
    /// An abort waits for [`TxnCommand::GrantProducerIds`].
    pub needs_producer_ids: bool,
}

/// Markers that end one transaction. They may be asked for more than once; writing one again
/// changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    pub transactional_id: String,
    /// What the markers carry.
    pub producer: Producer,
    pub coordinator_epoch: i32,
    pub outcome: Outcome,
    /// In version 2 the epoch of the markers is above that of the records they end.
    pub version: TransactionVersion,
    pub partitions: Vec<TopicPartition>,
}

/// Markers are durable, or can never be needed since the partition is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkersWritten {
    pub transactional_id: String,
    /// As in [`Markers`]; a report about another transaction than the present one is ignored.
    pub producer: Producer,
    pub partitions: Vec<TopicPartition>,
}

/// Filters of ListTransactions; an empty one lets everything through.
#[derive(Clone, Debug, Default)]
pub struct ListTransactions {
    /// Names of states, spelled exactly.
    pub states: Vec<String>,
    pub producer_ids: Vec<i64>,
    /// Only transactions that began longer ago than this.
    pub longer_than_ms: Option<i64>,
    /// Only ids that match as a whole.
    pub id_pattern: Option<IdPattern>,
}

impl ListTransactions {
    /// Filters that are no state's name.
    pub fn unknown_states(&self) -> Vec<String> {
        let unknown = self.states.iter().filter(|name| !TxnState::is_name(name));
        unknown.cloned().collect()
    }
}

/// What passed the filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionList {
    /// Filters that are no state's name.
    pub unknown_states: Vec<String>,
    pub transactions: Vec<ListedTransaction>,
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub state: TxnState,
}

/// What DescribeTransactions shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTransaction {
    pub producer: Producer,
    pub state: TxnState,
    pub timeout_ms: i32,
    /// −1 before the first transaction.
    pub started_ms: i64,
    pub partitions: Vec<TopicPartition>,
}
