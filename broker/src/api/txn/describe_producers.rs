//! DescribeProducers (key 61): who writes to a partition, and which transactions are open (KIP-664).

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use tidelog_coordinator::cluster::Image;
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tidelog_storage::ProducerView;

use crate::api::context::{Context, Outcome};
use crate::api::data::target::partition_named;
use crate::api::error::Failure;
use crate::log::Log;

pub async fn handle(ctx: &Context, request: DescribeProducersRequest) -> Outcome {
    let view = ctx.broker.cluster().view();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        let described = partitions
            .map(|&index| describe(ctx.broker.log(), &view.image, &topic.name, index))
            .collect();
        TopicResponse::default()
            .with_name(topic.name)
            .with_partitions(described)
    });
    ctx.answer(&DescribeProducersResponse::default().with_topics(topics.collect()))
}

fn describe(log: &Log, image: &Image, topic: &str, index: i32) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    if topic.is_empty() {
        return response
            .with_error_code(ErrorCode::InvalidTopicException.code())
            .with_error_message(Some(StrBytes::from_static_str("a topic has a name")));
    }
    match partition_named(log, image, topic, index) {
        Ok(partition) => {
            let producers = partition.producers().into_iter().map(state);
            response
                .with_error_message(None)
                .with_active_producers(producers.collect())
        }
        Err(error) => {
            let failure = Failure::from(&error);
            response
                .with_error_code(failure.code.code())
                .with_error_message(Some(failure.message))
        }
    }
}

fn state(producer: ProducerView) -> ProducerState {
    ProducerState::default()
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(producer.epoch.into())
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.transaction_start)
}
