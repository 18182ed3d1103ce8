//! A broker made of a script: it answers from tables held in memory, over a real socket.
#![allow(dead_code, reason = "each story uses a part of it")]

pub mod rows;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse,
};
use tidelog_predicate::Predicate;
use tidelog_protocol_ext::ext::columnar_fetch::{
    ColumnarFetchRequest, ColumnarFetchResponse, PartitionRows, Run, TopicRows,
};
use tidelog_protocol_ext::ext::describe_table::{
    DescribeTableRequest, DescribeTableResponse, Schema, Table,
};
use tidelog_protocol_ext::ext::lookup::{LookupRequest, LookupResponse};
use tidelog_protocol_ext::ext::union_read_offsets::{
    UnionReadOffsetsRequest, UnionReadOffsetsResponse,
};
use tidelog_protocol_ext::ext::{self, Request};
use tidelog_protocol_ext::{ErrorCode, decode, frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

pub const TOPIC: &str = "orders";
pub const TOPIC_ID: Uuid = Uuid::from_u128(0x42);

const METADATA: i16 = 3;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const API_VERSIONS: i16 = 18;

/// What the broker holds and how it misbehaves.
#[derive(Default)]
pub struct World {
    /// Whether the columnar APIs are there.
    pub is_columnar: bool,
    pub schemas: Vec<(i32, arrow_schema::SchemaRef)>,
    pub current_schema_id: i32,
    pub partitions: BTreeMap<i32, Log>,
    /// Where metadata says the leader is; this broker unless set.
    pub leader: Option<u16>,
    /// Done once each, before requests of a key are answered.
    pub tricks: VecDeque<(i16, Trick)>,
    /// Keys of the requests that came, ApiVersions aside.
    pub asked: Vec<i16>,
    /// Projections of the ColumnarFetch requests that came.
    pub projections: Vec<Vec<String>>,
    /// Their filters, as text.
    pub filters: Vec<Option<String>>,
    pub connections: usize,
    pub lookup: Option<LookupResponse>,
    pub cut: Option<UnionReadOffsetsResponse>,
    /// Lease ids and times of the UnionReadOffsets requests that came.
    pub leases: Vec<(Uuid, i32)>,
}

/// One partition.
#[derive(Default)]
pub struct Log {
    /// The first offset that can be read.
    pub start: i64,
    pub end: i64,
    pub runs: Vec<rows::StoredRun>,
    pub batches: Vec<Bytes>,
    /// Producer and first offset.
    pub aborted: Vec<(i64, i64)>,
}

/// Something going wrong.
pub enum Trick {
    /// The connection is closed instead.
    Hang,
    /// No answer comes.
    Silence,
    /// Every partition answers this.
    Code(ErrorCode),
    /// The body is replaced.
    Garbage(Bytes),
    /// One checksum is another.
    WrongChecksum,
    /// The request is passed over in silence: something else is done first.
    Then(Box<dyn FnOnce(&mut World) + Send>),
}

pub struct Fake {
    pub port: u16,
    pub world: Arc<Mutex<World>>,
}

impl Fake {
    pub async fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, Arc::clone(&shared), port));
            }
        });
        Self { port, world }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn trick(&self, key: i16, trick: Trick) {
        self.world.lock().unwrap().tricks.push_back((key, trick));
    }

    /// How many requests of an API came.
    pub fn asked(&self, key: i16) -> usize {
        let world = self.world.lock().unwrap();
        world.asked.iter().filter(|one| **one == key).count()
    }
}

async fn serve(mut stream: TcpStream, world: Arc<Mutex<World>>, port: u16) -> Option<()> {
    loop {
        let size = stream.read_i32().await.ok()?;
        let mut request = BytesMut::zeroed(size as usize);
        stream.read_exact(&mut request).await.ok()?;
        let (head, body) = header::parse_request(request.freeze()).ok()?;
        let answer = {
            let mut world = world.lock().unwrap();
            world.answer(&head, body, port)?
        };
        for chunk in answer {
            stream.write_all(&chunk).await.ok()?;
        }
    }
}

impl World {
    /// The frame to answer with, no chunk for silence, `None` to hang up.
    fn answer(
        &mut self,
        head: &header::RequestHeader,
        body: Bytes,
        port: u16,
    ) -> Option<Vec<Bytes>> {
        let (key, version, id) = (head.api_key, head.api_version, head.correlation_id);
        if key != API_VERSIONS {
            self.asked.push(key);
        }
        let place = self.tricks.iter().position(|(of, _)| *of == key);
        let trick = place.and_then(|place| self.tricks.remove(place));
        let (mut code, mut spoils) = (0, false);
        match trick.map(|(_, trick)| trick) {
            None => {}
            Some(Trick::Hang) => return None,
            Some(Trick::Silence) => return Some(Vec::new()),
            Some(Trick::Code(error)) => code = error.code(),
            Some(Trick::WrongChecksum) => spoils = true,
            Some(Trick::Then(change)) => change(self),
            Some(Trick::Garbage(body)) => {
                let mut writer = frame::response_writer(key, version, id).unwrap();
                body.iter().for_each(|byte| writer.i8(*byte as i8));
                return Some(frame::seal(writer).unwrap());
            }
        }
        let whole = |bytes| vec![bytes];
        Some(match key {
            API_VERSIONS => whole(frame::response(key, version, id, &self.versions()).unwrap()),
            METADATA => {
                let _: MetadataRequest = decode(key, version, body).unwrap();
                whole(frame::response(key, version, id, &self.metadata(port, code)).unwrap())
            }
            LIST_OFFSETS => {
                let request = decode(key, version, body).unwrap();
                whole(frame::response(key, version, id, &self.list(&request)).unwrap())
            }
            FETCH => {
                let request = decode(key, version, body).unwrap();
                whole(frame::response(key, version, id, &self.fetch(&request, code)).unwrap())
            }
            ColumnarFetchRequest::KEY => {
                let request = ext::decode_request(version, body).unwrap();
                let answer = self.columns(&request, code, spoils);
                ext::encode_response::<ColumnarFetchRequest>(version, id, &answer).unwrap()
            }
            DescribeTableRequest::KEY => {
                ext::encode_response::<DescribeTableRequest>(version, id, &self.describe()).unwrap()
            }
            LookupRequest::KEY => {
                let answer = self.lookup.clone().unwrap();
                ext::encode_response::<LookupRequest>(version, id, &answer).unwrap()
            }
            UnionReadOffsetsRequest::KEY => {
                let asked: UnionReadOffsetsRequest = ext::decode_request(version, body).unwrap();
                self.leases.push((asked.lease_id, asked.lease_ms));
                let mut answer = self.cut.clone().unwrap();
                answer.error_code = code;
                ext::encode_response::<UnionReadOffsetsRequest>(version, id, &answer).unwrap()
            }
            other => panic!("request {other}, which was not offered"),
        })
    }

    fn versions(&self) -> ApiVersionsResponse {
        let mut keys = vec![(1, 4, 17), (2, 1, 10), (3, 0, 13), (18, 0, 4)];
        if self.is_columnar {
            keys.extend(
                ext::APIS
                    .iter()
                    .map(|(key, _, span)| (*key, span.first, span.last)),
            );
        }
        let keys = keys.into_iter().map(|(key, min, max)| {
            ApiVersion::default()
                .with_api_key(key)
                .with_min_version(min)
                .with_max_version(max)
        });
        ApiVersionsResponse::default().with_api_keys(keys.collect())
    }

    fn metadata(&self, port: u16, code: i16) -> MetadataResponse {
        let port = self.leader.unwrap_or(port);
        let partitions = self.partitions.keys().map(|index| {
            MetadataResponsePartition::default()
                .with_partition_index(*index)
                .with_leader_id(7.into())
                .with_leader_epoch(3)
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(kafka_protocol::messages::TopicName(TOPIC.into())))
            .with_error_code(code)
            .with_topic_id(TOPIC_ID)
            .with_partitions(partitions.collect());
        let broker = MetadataResponseBroker::default()
            .with_node_id(7.into())
            .with_host("127.0.0.1".into())
            .with_port(i32::from(port));
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_topics(vec![topic])
    }

    fn list(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let asked = &request.topics[0].partitions;
        let partitions = asked.iter().map(|partition| {
            let log = &self.partitions[&partition.partition_index];
            let offset = match partition.timestamp {
                -2 => log.start,
                -1 => log.end,
                _ => -1,
            };
            ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_offset(offset)
        });
        let topic = ListOffsetsTopicResponse::default().with_partitions(partitions.collect());
        ListOffsetsResponse::default().with_topics(vec![topic])
    }

    fn fetch(&self, request: &FetchRequest, code: i16) -> FetchResponse {
        let asked = &request.topics[0].partitions;
        let partitions = asked.iter().map(|partition| {
            let log = &self.partitions[&partition.partition];
            let from = partition.fetch_offset;
            let code = if from < log.start { 1 } else { code };
            let later = log.batches.iter().filter(|batch| {
                tidelog_records::BatchHeader::read(batch)
                    .unwrap()
                    .last_offset()
                    >= from
            });
            let records: BytesMut = later.flatten().copied().collect();
            let aborted = log.aborted.iter().map(|(producer, first)| {
                AbortedTransaction::default()
                    .with_producer_id((*producer).into())
                    .with_first_offset(*first)
            });
            PartitionData::default()
                .with_partition_index(partition.partition)
                .with_error_code(code)
                .with_aborted_transactions(Some(aborted.collect()))
                .with_records((code == 0).then(|| records.freeze()))
        });
        let topic = FetchableTopicResponse::default().with_partitions(partitions.collect());
        FetchResponse::default().with_responses(vec![topic])
    }

    fn describe(&self) -> DescribeTableResponse {
        let schemas = self.schemas.iter().map(|(id, schema)| Schema {
            schema_id: *id,
            arrow_schema: rows::schema_message(schema),
            schema_json: Bytes::from_static(b"{}"),
        });
        let table = Table {
            name: Some(TOPIC.into()),
            topic_id: TOPIC_ID,
            mode: "typed".into(),
            schemas: schemas.collect(),
            current_schema_id: self.current_schema_id,
            ..Table::default()
        };
        DescribeTableResponse {
            topics: vec![table],
            ..Default::default()
        }
    }

    /// One run for each partition and answer, so that a reader has to come again.
    fn columns(
        &mut self,
        request: &ColumnarFetchRequest,
        code: i16,
        spoils: bool,
    ) -> ColumnarFetchResponse {
        let topic = &request.topics[0];
        let wanted = topic.projection.as_ref().unwrap();
        let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        let filter = topic.filter.as_deref();
        let filter = filter.map(|bytes| Predicate::decode(bytes).unwrap());
        let partitions = topic.partitions.iter().map(|asked| {
            let log = &self.partitions[&asked.partition];
            let mut answer = PartitionRows {
                partition: asked.partition,
                error_code: if asked.fetch_offset < log.start {
                    1
                } else {
                    code
                },
                stable_end: log.end,
                rows_start: -1,
                next_offset: -1,
                ..PartitionRows::default()
            };
            if answer.error_code == 0 {
                let found = log
                    .runs
                    .iter()
                    .find(|run| run.last_offset >= asked.fetch_offset);
                answer.next_offset = found.map_or(log.end, |run| run.last_offset + 1);
                answer.runs = found
                    .map(|run| run.cut(asked.fetch_offset, &wanted, filter.as_ref()))
                    .into_iter()
                    .collect();
            }
            if spoils && let Some(Run { checksums, .. }) = answer.runs.first_mut() {
                checksums[0] ^= 1;
            }
            answer
        });
        let partitions = partitions.collect();
        self.projections.push(wanted);
        self.filters.push(filter.map(|filter| filter.to_string()));
        ColumnarFetchResponse {
            topics: vec![TopicRows {
                topic_id: TOPIC_ID,
                partitions,
                ..TopicRows::default()
            }],
            ..ColumnarFetchResponse::default()
        }
    }
}
