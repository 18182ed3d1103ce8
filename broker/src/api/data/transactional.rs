//! What Produce does more for a batch of a transaction: the coordinator must know that the batch's
//! partition is part of it, or nobody would ever end it there (KIP-890).
//!
//! ```text
//! open here under this epoch ─▶ nothing to ask
//! else: guard ─▶ ask (or, from version 12 on, add) ─▶ append under the guard
//! ```

use std::sync::Arc;

use tidelog_coordinator::producer::Producer;
use tidelog_coordinator::txn::{
    AddPartitions, TopicPartition, TransactionVersion, VerifyPartitions,
};
use tidelog_records::BatchHeader;
use tidelog_storage::{Partition, Terms, Verification};

use crate::api::context::Context;
use crate::owners::transactions::TransactionsError;

/// First version whose producers leave it to the broker to add partitions (transactions version 2).
pub const V2_FROM: i16 = 12;
/// First version that knows TRANSACTION_ABORTABLE.
pub const ABORTABLE_FROM: i16 = 11;

/// A batch of a transaction, before it is appended.
pub struct Membership<'a> {
    pub topic: &'a str,
    pub index: i32,
    pub partition: &'a Arc<Partition>,
    pub header: &'a BatchHeader,
    /// What the append will be told.
    pub terms: &'a mut Terms,
}

impl Membership<'_> {
    fn producer(&self) -> Producer {
        Producer::new(self.header.producer_id, self.header.producer_epoch)
    }

    /// Whether the transaction is open here already.
    fn is_open(&self) -> bool {
        let open = self.partition.ongoing_transaction(self.header.producer_id);
        open.is_some_and(|(epoch, _)| epoch == self.header.producer_epoch)
    }
}

/// Why a batch is not taken as part of its transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    #[error("the request holds batches of several producers")]
    SeveralProducers,
    #[error("{error}")]
    Coordinator {
        error: TransactionsError,
        /// Of the request: older clients know fewer codes.
        version: i16,
    },
}

/// Settles on what terms each batch is appended, by the rules of this version of Produce; one outcome
/// for each, in order.
pub async fn confirm(
    ctx: &Context,
    transactional_id: String,
    version: i16,
    members: &mut [Membership<'_>],
) -> Vec<Result<(), Unconfirmed>> {
    let mut outcomes = vec![Ok(()); members.len()];
    let Some(producer) = members.first().map(Membership::producer) else {
        return outcomes;
    };
    if members
        .iter()
        .any(|member| member.producer().id != producer.id)
    {
        outcomes.fill(Err(Unconfirmed::SeveralProducers));
        return outcomes;
    }
    let (mut asked, mut partitions) = (Vec::new(), Vec::new());
    for (at, member) in members.iter_mut().enumerate() {
        member.terms.transactions_v2 = version >= V2_FROM;
        if !member.is_open() {
            // Before the question: see `Partition::guard_verification`.
            let guard = member.partition.guard_verification();
            member.terms.verification = Verification::Since(guard);
            asked.push(at);
            partitions.push(TopicPartition::new(member.topic, member.index));
        }
    }
    if asked.is_empty() {
        return outcomes;
    }
    let answers = ask(ctx, transactional_id, version, producer, partitions).await;
    for (at, answer) in asked.into_iter().zip(answers) {
        outcomes[at] = answer.map_err(|error| Unconfirmed::Coordinator { error, version });
    }
    outcomes
}

/// One answer for each partition, in order.
async fn ask(
    ctx: &Context,
    transactional_id: String,
    version: i16,
    producer: Producer,
    partitions: Vec<TopicPartition>,
) -> Vec<Result<(), TransactionsError>> {
    let (coordinator, count) = (ctx.broker.transactions(), partitions.len());
    if version >= V2_FROM {
        let add = AddPartitions {
            transactional_id,
            producer,
            partitions,
            version: TransactionVersion::V2,
        };
        return vec![coordinator.add_partitions(add).await; count];
    }
    let verify = VerifyPartitions {
        transactional_id,
        producer,
        partitions,
    };
    match coordinator.verify_partitions(verify).await {
        Ok(verified) => {
            let outcomes = verified.into_iter().map(|(_, outcome)| outcome);
            outcomes.map(|outcome| Ok(outcome?)).collect()
        }
        Err(error) => vec![Err(error); count],
    }
}
