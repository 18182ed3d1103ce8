//! One partition on both sides, and reading it from either.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use tidelog_client::BrokerError;
use tidelog_protocol_ext::ErrorCode;
use tokio::time::sleep;
use uuid::Uuid;

use crate::batches::{self, Batch};
use crate::cluster::{Cluster, topic_name};
use crate::verify::Verified;

/// What one Fetch asks for; a larger batch comes whole.
const FETCH_BYTES: i32 = 4 << 20;
const FETCH_WAIT_MS: i32 = 50;

/// How often a source has to say that there is nothing where something should be.
const NOTHING_TIMES: u32 = 3;

/// A partition that is being copied.
pub struct Part {
    pub topic: String,
    pub index: i32,
    /// The topic's id on the target.
    pub topic_id: Uuid,
    /// The source may drop records between others.
    pub is_compacted: bool,
    /// Offsets of the source, as listed last.
    pub source: Range<i64>,
    /// Offsets of the target, all of them durable.
    pub target: Range<i64>,
    pub verified: Verified,
}

/// What a read from one side found.
pub enum Found {
    /// Never empty.
    Batches(Vec<Batch>),
    /// There are no batches from the offset to the high watermark, which is this.
    Nothing { high_watermark: i64 },
    /// The log starts after the offset, or ends before it.
    OutOfRange,
}

impl Part {
    pub fn key(&self) -> (String, i32) {
        (self.topic.clone(), self.index)
    }

    pub fn lag(&self) -> i64 {
        (self.source.end - self.target.end).max(0)
    }

    /// Whether no record was copied yet.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty()
    }

    /// Reads from `offset` on, committed or not, markers too.
    ///
    /// # Errors
    /// The side refuses, or what it keeps is damaged or too old.
    pub async fn read(&self, side: &Cluster, offset: i64, lane: usize) -> Result<Found> {
        let place = || format!("{} of the {} at offset {offset}", self, side.name);
        let request = self.fetch_request(offset);
        let mut nothing = 0;
        loop {
            let answer = side.patiently(async || {
                let answer = side
                    .leader((&self.topic, self.index), lane, &request)
                    .await?;
                BrokerError::check("Fetch", answer.error_code, place)?;
                let part = answer
                    .responses
                    .into_iter()
                    .flat_map(|topic| topic.partitions)
                    .next();
                let part = part.unwrap_or_default();
                if part.error_code != ErrorCode::OffsetOutOfRange.code() {
                    BrokerError::check("Fetch", part.error_code, place)?;
                }
                Ok((part, answer.throttle_time_ms))
            });
            let (part, throttle_ms) = answer.await?;
            if part.error_code != 0 {
                return Ok(Found::OutOfRange);
            }
            let records = part.records.unwrap_or_default();
            let batches = batches::take(records, offset).with_context(place)?;
            let high_watermark = part.high_watermark;
            if !batches.is_empty() {
                return Ok(Found::Batches(batches));
            }
            // A source with quotas answers nothing while it slows us down.
            nothing += u32::from(throttle_ms == 0);
            if high_watermark <= offset || nothing >= NOTHING_TIMES {
                return Ok(Found::Nothing { high_watermark });
            }
            sleep(Duration::from_millis(
                throttle_ms.max(20).unsigned_abs().into(),
            ))
            .await;
        }
    }

    fn fetch_request(&self, offset: i64) -> FetchRequest {
        let partition = FetchPartition::default()
            .with_partition(self.index)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(FETCH_BYTES);
        let topic = FetchTopic::default()
            .with_topic(topic_name(&self.topic))
            .with_partitions(vec![partition]);
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(FETCH_WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_isolation_level(0)
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(vec![topic])
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}
