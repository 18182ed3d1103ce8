//! DescribeTransactions (key 65): where transactional ids stand (KIP-664).

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName, TransactionalId,
};
use tidelog_coordinator::txn::DescribedTransaction;
use tidelog_protocol_ext::StrBytes;

use super::{Told, code};
use crate::api::context::{Context, Outcome};

/// There is no older version of this API.
const TOLD: Told = Told {
    fenced: true,
    abortable: true,
};

pub async fn handle(ctx: &Context, request: DescribeTransactionsRequest) -> Outcome {
    let mut states = Vec::with_capacity(request.transactional_ids.len());
    for id in request.transactional_ids {
        states.push(match ctx.broker.transactions().describe(&id).await {
            Ok(described) => state(id, &described),
            Err(error) => TransactionState::default()
                .with_transactional_id(id)
                .with_error_code(code(&error, TOLD).code()),
        });
    }
    ctx.answer(&DescribeTransactionsResponse::default().with_transaction_states(states))
}

fn state(id: TransactionalId, described: &DescribedTransaction) -> TransactionState {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &described.partitions {
        let partitions = topics.entry(&partition.topic).or_default();
        partitions.push(partition.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions)
    });
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(described.state.name()))
        .with_transaction_timeout_ms(described.timeout_ms)
        .with_transaction_start_time_ms(described.started_ms)
        .with_producer_id(described.producer.id.into())
        .with_producer_epoch(described.producer.epoch)
        .with_topics(topics.collect())
}
