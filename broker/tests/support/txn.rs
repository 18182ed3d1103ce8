//! A transactional producer, request by request, and what readers of committed records are given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    EndTxnResponse, FetchRequest, InitProducerIdRequest, InitProducerIdResponse,
    OffsetFetchRequest, TransactionalId, TxnOffsetCommitRequest,
};
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchBuilder, BatchHeader, Records};

use super::data::{fetch_request, now_ms, only, produce_request};
use super::group::{group_id, text, topic_name};
use super::{Client, PATIENCE};

pub const COORDINATOR_LOADING: i16 = 14;
pub const COORDINATOR_NOT_AVAILABLE: i16 = 15;
pub const NOT_ENOUGH_REPLICAS: i16 = 19;
pub const CONCURRENT: i16 = 51;
pub const INVALID_PRODUCER_EPOCH: i16 = 47;
pub const INVALID_TXN_STATE: i16 = 48;
pub const ID_MAPPING: i16 = 49;
pub const PRODUCER_FENCED: i16 = 90;
pub const TRANSACTION_ABORTABLE: i16 = 120;

/// What clients send again for.
pub const RETRIABLE: [i16; 4] = [
    COORDINATOR_LOADING,
    COORDINATOR_NOT_AVAILABLE,
    NOT_ENOUGH_REPLICAS,
    CONCURRENT,
];

const RETRY: Duration = Duration::from_millis(3);

/// Which transactions a client speaks (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Partitions are announced; the epoch stays.
    V1,
    /// The broker adds partitions by itself; every end raises the epoch.
    V2,
}

impl Speaks {
    pub const BOTH: [Self; 2] = [Self::V1, Self::V2];

    pub fn produce(self) -> i16 {
        match self {
            Self::V1 => 11,
            Self::V2 => 12,
        }
    }

    fn offset_commit(self) -> i16 {
        match self {
            Self::V1 => 3,
            Self::V2 => 5,
        }
    }

    pub fn end(self) -> i16 {
        match self {
            Self::V1 => 4,
            Self::V2 => 5,
        }
    }
}

/// A producer with a transactional id.
pub struct Transactor {
    pub client: Client,
    pub id: String,
    pub producer: (i64, i16),
    pub speaks: Speaks,
    sequences: BTreeMap<(String, i32), i32>,
}

impl Transactor {
    /// Takes over a transactional id, waiting until what it had under way has ended.
    pub async fn open(client: Client, id: &str, speaks: Speaks) -> Self {
        let mut opened = Self {
            speaks,
            ..Self::looking(client, id)
        };
        opened.init(60_000).await;
        opened
    }

    /// Somebody who only looks at a transactional id.
    pub fn looking(client: Client, id: &str) -> Self {
        Self {
            client,
            id: id.to_owned(),
            producer: (-1, -1),
            speaks: Speaks::V1,
            sequences: BTreeMap::new(),
        }
    }

    /// Begins anew under the next epoch.
    pub async fn init(&mut self, timeout_ms: i32) {
        let request = init_request(&self.id, timeout_ms);
        let started = Instant::now();
        let given = loop {
            let given = self.client.call(4, &request).await;
            if !RETRIABLE.contains(&given.error_code) {
                break given;
            }
            assert!(started.elapsed() < PATIENCE, "{given:?}");
            tokio::time::sleep(RETRY).await;
        };
        assert_eq!(given.error_code, 0, "{given:?}");
        self.follow((given.producer_id.0, given.producer_epoch));
    }

    fn follow(&mut self, producer: (i64, i16)) {
        if self.producer != producer {
            self.producer = producer;
            self.sequences.clear();
        }
    }

    /// The next batch of this producer for a partition.
    pub fn batch(&self, topic: &str, partition: i32, values: &[&str]) -> Bytes {
        let place = (topic.to_owned(), partition);
        let sequence = self.sequences.get(&place).copied().unwrap_or(0);
        transactional(self.producer, sequence, values)
    }

    /// Produces in the transaction as its version does; the code once it is not to be retried, and
    /// the offset.
    pub async fn try_produce(
        &mut self,
        topic: &str,
        partition: i32,
        values: &[&str],
    ) -> (i16, i64) {
        if self.speaks == Speaks::V1 {
            let code = self.add_partitions(3, topic, &[partition]).await;
            if code != 0 {
                return (code, -1);
            }
        }
        let batch = self.batch(topic, partition, values);
        self.send_batch(topic, partition, batch, values.len()).await
    }

    /// Sends one batch, again while it is to be retried.
    async fn send_batch(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
        count: usize,
    ) -> (i16, i64) {
        let request = produce_request(-1, topic, &[(partition, batch)])
            .with_transactional_id(Some(transactional_id(&self.id)));
        let started = Instant::now();
        loop {
            let mut answer = self.client.call(self.speaks.produce(), &request).await;
            let answer = answer.responses.remove(0).partition_responses.remove(0);
            if RETRIABLE.contains(&answer.error_code) && started.elapsed() < PATIENCE {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            if answer.error_code == 0 {
                let place = (topic.to_owned(), partition);
                *self.sequences.entry(place).or_default() += i32::try_from(count).unwrap();
            }
            return (answer.error_code, answer.base_offset);
        }
    }

    /// Produces in the transaction; the offset.
    pub async fn produce(&mut self, topic: &str, partition: i32, values: &[&str]) -> i64 {
        let (code, offset) = self.try_produce(topic, partition, values).await;
        assert_eq!(code, 0, "{topic}-{partition} {values:?}");
        offset
    }

    /// The code for all of the partitions, once it is not to be retried.
    pub async fn add_partitions(&mut self, version: i16, topic: &str, partitions: &[i32]) -> i16 {
        let request = add_request(&self.id, self.producer, topic, partitions);
        let started = Instant::now();
        loop {
            let answer = self.client.call(version, &request).await;
            let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
            let code = results[0].partition_error_code;
            if !RETRIABLE.contains(&code) || started.elapsed() > PATIENCE {
                return code;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    pub async fn add_offsets(&mut self, version: i16, group: &str) -> i16 {
        let request = add_offsets_request(&self.id, self.producer, group);
        let started = Instant::now();
        loop {
            let code = self.client.call(version, &request).await.error_code;
            if !RETRIABLE.contains(&code) || started.elapsed() > PATIENCE {
                return code;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Commits one offset in the transaction, announced if its version announces; the code.
    pub async fn try_commit_offset(&mut self, group: &str, place: (&str, i32), offset: i64) -> i16 {
        if self.speaks == Speaks::V1 {
            let code = self.add_offsets(3, group).await;
            if code != 0 {
                return code;
            }
        }
        let request = txn_commit_request(&self.id, self.producer, group, place, offset);
        let started = Instant::now();
        loop {
            let answer = self
                .client
                .call(self.speaks.offset_commit(), &request)
                .await;
            let code = answer.topics[0].partitions[0].error_code;
            if !RETRIABLE.contains(&code) || started.elapsed() > PATIENCE {
                return code;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    pub async fn commit_offset(&mut self, group: &str, place: (&str, i32), offset: i64) {
        let code = self.try_commit_offset(group, place, offset).await;
        assert_eq!(code, 0);
    }

    /// One request to end the transaction. On success the producer goes on as it is told to.
    pub async fn try_end(&mut self, version: i16, commit: bool) -> EndTxnResponse {
        let request = end_request(&self.id, self.producer, commit);
        let ended = self.client.call(version, &request).await;
        if version >= 5 && ended.error_code == 0 {
            self.follow((ended.producer_id.0, ended.producer_epoch));
        }
        ended
    }

    pub async fn end(&mut self, commit: bool) {
        let started = Instant::now();
        loop {
            let ended = self.try_end(self.speaks.end(), commit).await;
            if !RETRIABLE.contains(&ended.error_code) {
                assert_eq!(ended.error_code, 0, "{ended:?}");
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{ended:?}");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Waits until the coordinator says that the transactional id is in this state.
    pub async fn wait_for(&mut self, state: &str) {
        let started = Instant::now();
        loop {
            let described = describe(&mut self.client, &self.id).await;
            if described.transaction_state.as_str() == state {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{described:?}");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Ends the transaction and waits until all of its markers are written.
    pub async fn finish(&mut self, commit: bool) {
        self.end(commit).await;
        let state = if commit {
            "CompleteCommit"
        } else {
            "CompleteAbort"
        };
        self.wait_for(state).await;
    }
}

pub fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

/// A batch of a transaction, with keys `k`.
pub fn transactional(producer: (i64, i16), sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new()
        .producer(producer.0, producer.1, sequence)
        .transactional();
    for value in values {
        let value = Some(value.as_bytes());
        builder.append(now_ms(), Some(b"k"), value, []).unwrap();
    }
    builder.finish().unwrap()
}

pub fn init_request(id: &str, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id(id)))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1)
}

/// One answer to InitProducerId of a client that holds `held`.
pub async fn init_as(
    client: &mut Client,
    version: i16,
    id: &str,
    held: (i64, i16),
) -> InitProducerIdResponse {
    let request = init_request(id, 60_000)
        .with_producer_id(held.0.into())
        .with_producer_epoch(held.1);
    client.call(version, &request).await
}

pub fn add_topic(topic: &str, partitions: &[i32]) -> AddPartitionsToTxnTopic {
    AddPartitionsToTxnTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(partitions.to_vec())
}

/// Of versions 0 to 3.
pub fn add_request(
    id: &str,
    producer: (i64, i16),
    topic: &str,
    partitions: &[i32],
) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional_id(id))
        .with_v3_and_below_producer_id(producer.0.into())
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![add_topic(topic, partitions)])
}

pub fn add_offsets_request(id: &str, producer: (i64, i16), group: &str) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_group_id(group_id(group))
}

pub fn end_request(id: &str, producer: (i64, i16), commit: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_committed(commit)
}

pub fn txn_commit_request(
    id: &str,
    producer: (i64, i16),
    group: &str,
    (topic, partition): (&str, i32),
    offset: i64,
) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_group_id(group_id(group))
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

/// How the coordinator describes one transactional id.
pub async fn describe(client: &mut Client, id: &str) -> TransactionState {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional_id(id)]);
    client.call(0, &request).await.transaction_states.remove(0)
}

/// Code and committed offset of one partition, stable or as it is.
pub async fn fetch_offset(
    client: &mut Client,
    group: &str,
    (topic, partition): (&str, i32),
    stable: bool,
) -> (i16, i64) {
    let topics = OffsetFetchRequestTopics::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition]);
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(group))
        .with_member_epoch(-1)
        .with_topics(Some(vec![topics]));
    let request = OffsetFetchRequest::default()
        .with_require_stable(stable)
        .with_groups(vec![asked]);
    let fetched = client.call(9, &request).await;
    assert_eq!(fetched.groups[0].error_code, 0, "{fetched:?}");
    let position = &fetched.groups[0].topics[0].partitions[0];
    (position.error_code, position.committed_offset)
}

/// A fetch of committed records that does not wait.
pub fn committed_request(topic: &str, offsets: &[(i32, i64)]) -> FetchRequest {
    fetch_request(topic, offsets).with_isolation_level(1)
}

/// What a reader of committed records makes of a partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Stable {
    pub values: Vec<(i64, String)>,
    pub stable_end: i64,
    pub high_watermark: i64,
}

/// Reads a partition from its start as clients do: records of aborted transactions are left out by
/// the list that comes with each answer.
pub async fn read_committed(client: &mut Client, topic: &str, partition: i32) -> Stable {
    let mut at = 0;
    let mut values = Vec::new();
    loop {
        let request = committed_request(topic, &[(partition, at)]);
        let part = only(client.call(super::data::FETCH, &request).await);
        assert_eq!(part.error_code, 0, "{part:?}");
        let batches = super::data::batches(&part.records);
        let Some(last) = batches.last() else {
            assert!(at >= part.last_stable_offset, "{part:?} at {at}");
            return Stable {
                values,
                stable_end: part.last_stable_offset,
                high_watermark: part.high_watermark,
            };
        };
        at = BatchHeader::read(last).unwrap().last_offset() + 1;
        assert!(
            at <= part.last_stable_offset,
            "nothing beyond the stable end"
        );
        let aborted = part
            .aborted_transactions
            .expect("committed reads have a list");
        let mut waiting: Vec<_> = aborted
            .iter()
            .map(|aborted| (aborted.first_offset, aborted.producer_id.0))
            .collect();
        waiting.sort_unstable();
        let mut waiting = waiting.into_iter().peekable();
        let mut dropped = BTreeSet::new();
        for batch in batches {
            let header = BatchHeader::read(&batch).unwrap();
            while let Some((_, id)) = waiting.next_if(|(first, _)| *first <= header.last_offset()) {
                dropped.insert(id);
            }
            if header.is_control() {
                let marker = TxnMarker::of_batch(&batch).unwrap();
                if marker.is_some_and(|marker| marker.outcome == Outcome::Abort) {
                    dropped.remove(&header.producer_id);
                }
                continue;
            }
            if header.is_transactional() && dropped.contains(&header.producer_id) {
                continue;
            }
            for record in &Records::open(&batch, usize::MAX).unwrap() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                values.push((record.offset, value));
            }
        }
    }
}

/// Only the values of [`read_committed`].
pub async fn committed_values(client: &mut Client, topic: &str, partition: i32) -> Vec<String> {
    let read = read_committed(client, topic, partition).await;
    read.values.into_iter().map(|(_, value)| value).collect()
}
