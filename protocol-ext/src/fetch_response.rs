//! The Fetch response, written for vectored sends: records leave as the buffers they were found in.
//!
//! Versions 4–16 are written by hand here; 17 and 18 changed only the request. The bytes are those the
//! generated encoder would make, which copies every record into one buffer.
//!
//! ```text
//!   [size, header, topic, partition fields, records length]   one small chunk
//!   [records piece] [records piece] …                          shared, never copied
//!   [tags, next partition fields, records length]              one small chunk
//!   …
//! ```
//!
//! Records are never null: a partition without any has zero-length records, since librdkafka takes
//! null for an error.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::error::WireError;
use crate::error_code::ErrorCode;
use crate::frame;
use crate::primitives::Writer;
use crate::rope::Rope;
use crate::shape::Span;

const KEY: i16 = 1;
const VERSIONS: Span = Span::new(4, 18);
const FLEXIBLE: i16 = 12;

/// A whole Fetch response. Fields a version does not have are left out when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    /// Of the whole request (v7+), for example a fetch session that is not known.
    pub error_code: ErrorCode,
    /// 0 if there is no session (v7+).
    pub session_id: i32,
    pub topics: Vec<FetchTopic>,
    /// Where the leaders named in the partitions live (v16+).
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopic {
    /// Written up to v12.
    pub name: StrBytes,
    /// Written from v13.
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    pub partition: i32,
    pub error_code: ErrorCode,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// v5+.
    pub log_start_offset: i64,
    /// For v12+, where the log of a follower or reader left ours.
    pub diverging_epoch: Option<EpochEnd>,
    /// For v12+, the leader to turn to.
    pub current_leader: Option<Leader>,
    /// For v12+, the snapshot to fetch instead.
    pub snapshot_id: Option<EpochEnd>,
    /// `None` (null) for read-uncommitted fetches; otherwise sorted by first offset.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// v11+; −1 for none.
    pub preferred_read_replica: i32,
    /// Whole record batches, in as many pieces as they were found.
    pub records: Rope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// The end of a leader epoch in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: i32,
    pub end_offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

impl FetchResponse {
    /// The response frame as chunks for one vectored write.
    ///
    /// # Errors
    /// [`WireError::UnsupportedVersion`], or [`WireError::TooLong`] if the frame exceeds 2 GiB.
    pub fn encode(&self, version: i16, correlation_id: i32) -> Result<Vec<Bytes>, WireError> {
        if !VERSIONS.contains(version) {
            let api = "Fetch";
            return Err(WireError::UnsupportedVersion { api, version });
        }
        let flexible = version >= FLEXIBLE;
        let mut out = frame::response_writer(KEY, version, correlation_id)?;
        out.i32(self.throttle_time_ms);
        if version >= 7 {
            out.i16(self.error_code.code());
            out.i32(self.session_id);
        }
        out.array_len(flexible, self.topics.len());
        for topic in &self.topics {
            topic.write(&mut out, version);
        }
        if flexible {
            let named = version >= 16 && !self.node_endpoints.is_empty();
            out.tags([named.then(|| (0, self.endpoints()))]);
        }
        frame::seal(out)
    }

    fn endpoints(&self) -> Writer {
        let mut out = Writer::new();
        out.array_len(true, self.node_endpoints.len());
        for node in &self.node_endpoints {
            out.i32(node.node_id);
            out.text(true, Some(&node.host));
            out.i32(node.port);
            out.text(true, node.rack.as_deref());
            out.no_tags();
        }
        out
    }
}

impl FetchTopic {
    fn write(&self, out: &mut Writer, version: i16) {
        let flexible = version >= FLEXIBLE;
        if version >= 13 {
            out.uuid(self.topic_id);
        } else {
            out.text(flexible, Some(&self.name));
        }
        out.array_len(flexible, self.partitions.len());
        for partition in &self.partitions {
            partition.write(out, version);
        }
        if flexible {
            out.no_tags();
        }
    }
}

impl FetchPartition {
    fn write(&self, out: &mut Writer, version: i16) {
        let flexible = version >= FLEXIBLE;
        out.i32(self.partition);
        out.i16(self.error_code.code());
        out.i64(self.high_watermark);
        out.i64(self.last_stable_offset);
        if version >= 5 {
            out.i64(self.log_start_offset);
        }
        self.write_aborted(out, flexible);
        if version >= 11 {
            out.i32(self.preferred_read_replica);
        }
        out.rope(flexible, &self.records);
        if flexible {
            out.tags([
                self.diverging_epoch.map(|end| (0, epoch_then_end(end))),
                self.current_leader
                    .map(|leader| (1, leader_and_epoch(leader))),
                self.snapshot_id.map(|end| (2, end_then_epoch(end))),
            ]);
        }
    }

    fn write_aborted(&self, out: &mut Writer, flexible: bool) {
        let Some(aborted) = &self.aborted_transactions else {
            return out.null(flexible);
        };
        out.array_len(flexible, aborted.len());
        for transaction in aborted {
            out.i64(transaction.producer_id);
            out.i64(transaction.first_offset);
            if flexible {
                out.no_tags();
            }
        }
    }
}

fn epoch_then_end(end: EpochEnd) -> Writer {
    let mut out = Writer::new();
    out.i32(end.epoch);
    out.i64(end.end_offset);
    out.no_tags();
    out
}

fn end_then_epoch(end: EpochEnd) -> Writer {
    let mut out = Writer::new();
    out.i64(end.end_offset);
    out.i32(end.epoch);
    out.no_tags();
    out
}

fn leader_and_epoch(leader: Leader) -> Writer {
    let mut out = Writer::new();
    out.i32(leader.leader_id);
    out.i32(leader.leader_epoch);
    out.no_tags();
    out
}

#[cfg(test)]
mod tests;
