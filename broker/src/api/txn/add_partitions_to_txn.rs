//! AddPartitionsToTxn (key 24): partitions are about to be written in a transaction.
//!
//! Clients send versions 0–3, for one transaction: if one partition is refused nothing is added, and
//! the others are OPERATION_NOT_ATTEMPTED. Versions 4 and 5 are between Kafka's brokers, for several
//! transactions, which may only be asked about (KIP-890).

use std::collections::BTreeMap;

use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, TopicName};
use tidelog_coordinator::txn::{
    AddPartitions, TopicPartition, TransactionVersion, VerifyPartitions,
};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::{Told, code, code_of, producer};
use crate::api::context::{Context, Outcome};
use crate::api::data::target::{PartitionError, check_no_view};
use crate::api::error::Coded;

/// First version with a list of transactions.
const BATCHED_FROM: i16 = 4;
/// First version that brokers with transactions version 2 send.
const V2_FROM: i16 = 5;
/// First version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

pub async fn handle(ctx: &Context, request: AddPartitionsToTxnRequest) -> Outcome {
    if ctx.version() >= BATCHED_FROM {
        let mut results = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let id = transaction.transactional_id.clone();
            let topics = one(ctx, transaction).await;
            results.push(
                AddPartitionsToTxnResult::default()
                    .with_transactional_id(id)
                    .with_topic_results(topics),
            );
        }
        return ctx
            .answer(&AddPartitionsToTxnResponse::default().with_results_by_transaction(results));
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id)
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics);
    let topics = one(ctx, transaction).await;
    ctx.answer(&AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics))
}

/// Adds, or asks about, the partitions of one transaction.
async fn one(
    ctx: &Context,
    transaction: AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let partitions = partitions(&transaction.topics);
    let refused = refused(ctx, &partitions);
    if refused.iter().any(Option::is_some) {
        let codes = refused.into_iter();
        let codes = codes.map(|code| code.unwrap_or(ErrorCode::OperationNotAttempted));
        return answer(&partitions, codes);
    }
    let told = Told {
        fenced: ctx.version() >= FENCED_FROM,
        abortable: ctx.version() >= BATCHED_FROM,
    };
    let transactional_id = transaction.transactional_id.to_string();
    let producer = producer(transaction.producer_id, transaction.producer_epoch);
    let coordinator = ctx.broker.transactions();
    if transaction.verify_only {
        let verify = VerifyPartitions {
            transactional_id,
            producer,
            partitions: partitions.clone(),
        };
        return match coordinator.verify_partitions(verify).await {
            Ok(verified) => {
                let codes = verified.into_iter().map(|(_, outcome)| match outcome {
                    Ok(()) => ErrorCode::None,
                    Err(error) => code_of(&error, told),
                });
                answer(&partitions, codes)
            }
            Err(error) => answer(&partitions, std::iter::repeat(code(&error, told))),
        };
    }
    let add = AddPartitions {
        transactional_id,
        producer,
        partitions: partitions.clone(),
        version: match ctx.version() >= V2_FROM {
            true => TransactionVersion::V2,
            false => TransactionVersion::V0,
        },
    };
    let added = coordinator.add_partitions(add).await;
    let code = added.map_or_else(|error| code(&error, told), |()| ErrorCode::None);
    answer(&partitions, std::iter::repeat(code))
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> Vec<TopicPartition> {
    let named = topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|&index| TopicPartition::new(topic.name.to_string(), index))
    });
    named.collect()
}

/// Why partitions can be in no transaction: they do not exist, or take no records.
fn refused(ctx: &Context, partitions: &[TopicPartition]) -> Vec<Option<ErrorCode>> {
    let view = ctx.broker.cluster().view();
    let refused = partitions.iter().map(|wanted| {
        let topic = view.image.topic(&wanted.topic);
        let topic = topic.filter(|topic| (0..topic.partitions).contains(&wanted.partition));
        let checked = topic
            .ok_or(PartitionError::Unknown)
            .and_then(|topic| check_no_view(&view.image, topic));
        checked.err().map(|error| error.code())
    });
    refused.collect()
}

fn answer(
    partitions: &[TopicPartition],
    codes: impl IntoIterator<Item = ErrorCode>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut topics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (partition, code) in partitions.iter().zip(codes) {
        let result = AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(partition.partition)
            .with_partition_error_code(code.code());
        topics.entry(&partition.topic).or_default().push(result);
    }
    let topics = topics.into_iter().map(|(name, results)| {
        AddPartitionsToTxnTopicResult::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_results_by_partition(results)
    });
    topics.collect()
}
