//! Records of a topic as they were written, committed ones only, by Fetch.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use tidelog_client::wire::{Leader, committed};
use tidelog_client::{BrokerError, Client, Error};
use tidelog_records::Records;
use tokio::time::{Instant, sleep};

use crate::names::topic_name;
use crate::server::{PATIENCE, PAUSE};

const ANSWER_BYTES: i32 = 16 << 20;
const PARTITION_BYTES: i32 = 2 << 20;
/// The most bytes that one batch may decompress to.
const BATCH_BYTES_MAX: usize = 512 << 20;
const WAIT: Duration = Duration::from_millis(500);
const READ_COMMITTED: i8 = 1;

/// A batch that came, decompressed.
pub struct Batch {
    pub partition: i32,
    /// Records before this were not asked for.
    pub first: i64,
    pub records: Records,
}

/// Partitions being read.
pub struct Reader {
    client: Client,
    topic: String,
    /// The next offset of each partition, and where to stop if that is known.
    cursors: BTreeMap<i32, (i64, Option<i64>)>,
    leaders: BTreeMap<i32, Option<Leader>>,
    stuck_since: Option<Instant>,
}

impl Reader {
    /// Reads from `starts` to `ends`; without these for ever.
    pub fn new(
        client: Client,
        topic: &str,
        starts: BTreeMap<i32, i64>,
        ends: Option<&BTreeMap<i32, i64>>,
    ) -> Self {
        let end = |partition| ends.map(|ends| ends.get(&partition).copied().unwrap_or(0));
        let cursors = starts.into_iter();
        Self {
            client,
            topic: topic.to_owned(),
            cursors: cursors
                .map(|(partition, start)| (partition, (start, end(partition))))
                .collect(),
            leaders: BTreeMap::new(),
            stuck_since: None,
        }
    }

    /// Whether everything was read.
    pub fn is_done(&self) -> bool {
        self.cursors.values().all(is_done)
    }

    /// The next batches, of every partition that has some; perhaps none.
    ///
    /// # Errors
    /// What did not pass within a while, and damaged batches.
    pub async fn read(&mut self) -> Result<Vec<Batch>, Error> {
        match self.read_once().await {
            Ok(batches) => {
                self.stuck_since = None;
                Ok(batches)
            }
            Err(error) => {
                let since = *self.stuck_since.get_or_insert_with(Instant::now);
                if !error.is_transient() || since.elapsed() > PATIENCE {
                    return Err(error);
                }
                self.leaders.clear();
                sleep(PAUSE).await;
                Ok(Vec::new())
            }
        }
    }

    async fn read_once(&mut self) -> Result<Vec<Batch>, Error> {
        if self.leaders.is_empty() {
            self.leaders = self.client.topic(&self.topic).await?.leaders;
        }
        let mut asks = BTreeMap::<String, Vec<FetchPartition>>::new();
        for (partition, cursor) in self.cursors.iter().filter(|(_, cursor)| !is_done(cursor)) {
            let leader = self.leaders.get(partition).and_then(Option::as_ref);
            let leader = leader.ok_or_else(|| BrokerError {
                api: "Metadata",
                code: tidelog_client::ErrorCode::LeaderNotAvailable.code(),
                message: format!("topic {}, partition {partition}", self.topic),
            })?;
            let ask = FetchPartition::default()
                .with_partition(*partition)
                .with_current_leader_epoch(leader.epoch)
                .with_fetch_offset(cursor.0)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(PARTITION_BYTES);
            asks.entry(leader.address.clone()).or_default().push(ask);
        }
        let mut batches = Vec::new();
        for (address, partitions) in asks {
            let topic = FetchTopic::default()
                .with_topic(topic_name(&self.topic))
                .with_partitions(partitions);
            let request = FetchRequest::default()
                .with_replica_id((-1).into())
                .with_max_wait_ms(i32::try_from(WAIT.as_millis()).unwrap_or(i32::MAX))
                .with_min_bytes(1)
                .with_max_bytes(ANSWER_BYTES)
                .with_isolation_level(READ_COMMITTED)
                .with_session_epoch(-1)
                .with_topics(vec![topic]);
            let answer = self.client.link(&address).call(&request, WAIT).await?;
            BrokerError::check("Fetch", answer.error_code, || self.topic.clone())?;
            for data in answer
                .responses
                .into_iter()
                .flat_map(|topic| topic.partitions)
            {
                self.take(data, &mut batches)?;
            }
        }
        Ok(batches)
    }

    fn take(&mut self, data: PartitionData, batches: &mut Vec<Batch>) -> Result<(), Error> {
        let partition = data.partition_index;
        let Some((next, _)) = self.cursors.get_mut(&partition) else {
            return Ok(());
        };
        let first = *next;
        BrokerError::check("Fetch", data.error_code, || {
            format!("topic {}, partition {partition} at {first}", self.topic)
        })?;
        let damaged = |fault| Error::Rows {
            table: self.topic.clone(),
            partition,
            offset: first,
            fault,
        };
        let (whole, end) = committed(data, first, BATCH_BYTES_MAX).map_err(damaged)?;
        for (_, bytes) in whole {
            batches.push(Batch {
                partition,
                first,
                records: open(&bytes).map_err(damaged)?,
            });
        }
        *next = end;
        Ok(())
    }
}

fn open(batch: &Bytes) -> Result<Records, tidelog_client::RowsFault> {
    Records::open(batch, BATCH_BYTES_MAX)
        .map_err(|error| tidelog_client::RowsFault::Records(error.to_string()))
}

fn is_done((next, end): &(i64, Option<i64>)) -> bool {
    end.is_some_and(|end| *next >= end)
}
