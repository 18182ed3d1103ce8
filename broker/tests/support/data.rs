//! Records in and out: topics, batches and requests of producers and consumers.

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, FetchResponse,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, ProduceRequest,
};
use tidelog_records::{BatchBuilder, BatchHeader, Codec, Records};
use uuid::Uuid;

use super::Client;
use super::group::{text, topic_name};

/// Latest version that names topics by name.
pub const PRODUCE: i16 = 12;
pub const FETCH: i16 = 12;

pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl Client {
    /// Makes a topic with settings and waits until it is there.
    pub async fn make_topic(&mut self, name: &str, partitions: i32, set: &[(&str, &str)]) -> Uuid {
        let created = self.try_make_topic(name, partitions, set).await;
        assert_eq!(created.error_code, 0, "{created:?}");
        created.topic_id
    }

    /// Asks for a topic with settings.
    pub async fn try_make_topic(
        &mut self,
        name: &str,
        partitions: i32,
        set: &[(&str, &str)],
    ) -> CreatableTopicResult {
        let configs = set.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![topic]);
        self.call(7, &request).await.topics.remove(0)
    }

    /// Sets one setting of a topic.
    pub async fn set_config(&mut self, topic: &str, name: &str, value: &str) {
        let config = AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let altered = self.call(1, &request).await;
        assert_eq!(altered.responses[0].error_code, 0, "{altered:?}");
    }

    pub async fn delete_topic(&mut self, name: &str) {
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(60_000)
            .with_topic_names(vec![topic_name(name)]);
        let deleted = self.call(5, &request).await;
        assert_eq!(deleted.responses[0].error_code, 0);
    }

    /// Produces one batch with acks=all and gives the answer for its partition.
    pub async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let request = produce_request(-1, topic, &[(partition, batch)]);
        let mut answer = self.call(PRODUCE, &request).await;
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// Fetches from one partition at once, and gives the answer for it.
    pub async fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> PartitionData {
        let request = fetch_request(topic, &[(partition, offset)]);
        let answer = self.call(FETCH, &request).await;
        only(answer)
    }
}

/// The only partition of an answer.
pub fn only(mut answer: FetchResponse) -> PartitionData {
    assert_eq!(answer.error_code, 0);
    assert_eq!(answer.responses.len(), 1);
    assert_eq!(answer.responses[0].partitions.len(), 1);
    answer.responses.remove(0).partitions.remove(0)
}

/// A batch of records with these values and keys `k`, of now.
pub fn batch(values: &[&str]) -> Bytes {
    batch_at(Codec::None, now_ms(), values)
}

pub fn batch_at(codec: Codec, time_ms: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new().codec(codec, None);
    for value in values {
        builder
            .append(time_ms, Some(b"k"), Some(value.as_bytes()), [])
            .unwrap();
    }
    builder.finish().unwrap()
}

pub fn produce_request(acks: i16, topic: &str, batches: &[(i32, Bytes)]) -> ProduceRequest {
    let partitions = batches.iter().map(|(index, batch)| {
        PartitionProduceData::default()
            .with_index(*index)
            .with_records(Some(batch.clone()))
    });
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(partitions.collect());
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// A fetch from offsets of partitions that does not wait.
pub fn fetch_request(topic: &str, offsets: &[(i32, i64)]) -> FetchRequest {
    let partitions = offsets.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20)
    });
    let topic = FetchTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(partitions.collect());
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// Asks for one partition's offset at a time.
pub fn list_request(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

/// Whole batches, apart.
pub fn batches(records: &Option<Bytes>) -> Vec<Bytes> {
    let mut rest = records.clone().expect("records are never null");
    let mut batches = Vec::new();
    while let Some(header) = BatchHeader::read(&rest) {
        batches.push(rest.split_to(header.total_len()));
    }
    assert!(rest.is_empty(), "only whole batches");
    batches
}

/// Offsets and values of fetched records.
pub fn values(records: &Option<Bytes>) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    for batch in batches(records) {
        for record in &Records::open(&batch, usize::MAX).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            values.push((record.offset, value));
        }
    }
    values
}
