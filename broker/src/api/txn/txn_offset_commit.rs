//! TxnOffsetCommit (key 28): offsets of a group that count if a transaction commits.
//!
//! The transaction coordinator is asked first whether the group's partition is part of the
//! transaction, or has it added from version 5 on (KIP-890). Members are checked from version 3 on
//! (KIP-447).

use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use tidelog_coordinator::cluster::Image;
use tidelog_coordinator::group::{BeginTxnOffsets, CommitTxnOffsets, OffsetToCommit, TxnGuard};
use tidelog_coordinator::producer::Producer;
use tidelog_coordinator::txn::{
    AddPartitions, TopicPartition, TransactionVersion, TxnError, VerifyPartitions,
};
use tidelog_protocol_ext::ErrorCode;

use super::{Told, code, producer};
use crate::api::context::{Context, Outcome};
use crate::api::group::member;
use crate::owners::groups::OFFSETS_TOPIC;
use crate::owners::transactions::TransactionsError;

/// First version that adds the group's partition to the transaction by itself.
const V2_FROM: i16 = 5;
/// First version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;

pub async fn handle(ctx: &Context, request: TxnOffsetCommitRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let checked = request
        .topics
        .iter()
        .map(|topic| checked(&view.image, topic));
    let mut topics: Vec<_> = checked.collect();
    drop(view);
    let producer = producer(request.producer_id, request.producer_epoch);
    let transactional_id = request.transactional_id.to_string();
    let commit = parse(request, producer, &topics);
    if !commit.offsets.is_empty() {
        let asked = commit.offsets.len();
        let codes = match commit_in(ctx, &transactional_id, commit).await {
            Ok(codes) => codes,
            Err(code) => vec![code; asked],
        };
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        let accepted = partitions.filter(|partition| partition.error_code == 0);
        for (partition, code) in accepted.zip(codes) {
            partition.error_code = code.code();
        }
    }
    ctx.answer(&TxnOffsetCommitResponse::default().with_topics(topics))
}

/// The answer for one topic as far as it can be given without the group.
fn checked(image: &Image, topic: &TxnOffsetCommitRequestTopic) -> TxnOffsetCommitResponseTopic {
    let known = image.topic(&topic.name).map_or(0, |known| known.partitions);
    let partitions = topic.partitions.iter().map(|asked| {
        let code = match (0..known).contains(&asked.partition_index) {
            true => ErrorCode::None,
            false => ErrorCode::UnknownTopicOrPartition,
        };
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(asked.partition_index)
            .with_error_code(code.code())
    });
    TxnOffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_partitions(partitions.collect())
}

/// The command for what `answered` has not refused yet.
fn parse(
    request: TxnOffsetCommitRequest,
    producer: Producer,
    answered: &[TxnOffsetCommitResponseTopic],
) -> CommitTxnOffsets {
    let instance_id = request.group_instance_id.as_ref();
    let member = member(&request.member_id, instance_id, request.generation_id);
    let mut offsets = Vec::new();
    for (topic, answered) in request.topics.into_iter().zip(answered) {
        let partitions = topic.partitions.into_iter().zip(&answered.partitions);
        for (partition, _) in partitions.filter(|(_, answered)| answered.error_code == 0) {
            let metadata = partition.committed_metadata.unwrap_or_default();
            offsets.push(OffsetToCommit {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: metadata.to_string(),
            });
        }
    }
    CommitTxnOffsets {
        group: request.group_id.to_string(),
        member,
        producer,
        guard: TxnGuard::Open,
        offsets,
    }
}

/// One code for each offset, or one for all.
async fn commit_in(
    ctx: &Context,
    transactional_id: &str,
    mut commit: CommitTxnOffsets,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    if commit.group.is_empty() {
        // Before the coordinator is asked: it would add a partition that gets no offsets.
        return Err(ErrorCode::InvalidGroupId);
    }
    let groups = ctx.broker.groups();
    let begin = BeginTxnOffsets {
        producer: commit.producer,
    };
    commit.guard = groups.begin_txn_offsets(&commit.group, begin).await?;
    if let TxnGuard::Confirm(_) = commit.guard {
        let index = groups.partition_of(&commit.group).await?;
        confirm(ctx, transactional_id, commit.producer, index).await?;
    }
    let outcomes = groups.commit_txn_offsets(commit).await?;
    let codes = outcomes.into_iter().map(|outcome| match outcome.result {
        Ok(()) => ErrorCode::None,
        Err(error) => crate::owners::groups::CoordinatorError::from(error).into(),
    });
    Ok(codes.collect())
}

/// Makes sure that the coordinator knows that the transaction has offsets in this partition.
async fn confirm(
    ctx: &Context,
    transactional_id: &str,
    producer: Producer,
    index: i32,
) -> Result<(), ErrorCode> {
    let coordinator = ctx.broker.transactions();
    let transactional_id = transactional_id.to_owned();
    let partitions = vec![TopicPartition::new(OFFSETS_TOPIC, index)];
    let confirmed = if ctx.version() >= V2_FROM {
        let add = AddPartitions {
            transactional_id,
            producer,
            partitions,
            version: TransactionVersion::V2,
        };
        coordinator.add_partitions(add).await
    } else {
        let verify = VerifyPartitions {
            transactional_id,
            producer,
            partitions,
        };
        let verified = coordinator.verify_partitions(verify).await;
        verified.and_then(|mut one| match one.pop() {
            Some((_, outcome)) => outcome.map_err(TransactionsError::from),
            None => Err(TxnError::NotInTransaction.into()),
        })
    };
    let told = Told {
        fenced: false,
        abortable: ctx.version() >= ABORTABLE_FROM,
    };
    confirmed.map_err(|error| match error {
        // Older clients do not retry the code itself here.
        TransactionsError::Refused(TxnError::Concurrent) if ctx.version() < V2_FROM => {
            ErrorCode::CoordinatorLoadInProgress
        }
        error => code(&error, told),
    })
}
