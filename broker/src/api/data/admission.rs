//! May this batch be written, and in which bytes?
//!
//! Pure: bytes, settings and the time go in, the batch to be stored comes out. In this order:
//!
//! 1. one intact batch that a client may send, of a codec its version may carry, not too large;
//! 2. every record is walked: counts and offsets are true, keys are there where they must be, times
//!    lie within the topic's bounds. One bad record refuses the batch, and each bad one is named;
//! 3. it is stored as it came, unless the topic wants another codec or the broker's time, or the
//!    header does not tell its records' greatest time.
//!
//! Kafka's rules are those of its `LogValidator` (KIP-32, KIP-467, KIP-937).

use std::fmt;

use bytes::{Bytes, BytesMut};
use tidelog_coordinator::cluster::settings::{Compression, TimestampType, TopicSettings};
use tidelog_records::validate::{self, RecordsSummary};
use tidelog_records::{
    BatchBuilder, BatchError, BatchHeader, BuildError, Codec, CodecError, Records, RecordsError,
    patch,
};

/// Most bytes the records of one batch may decompress to: far more than clients gather, and the
/// most that a hostile batch can make us hold.
pub(in crate::api) const DECOMPRESSED_MAX_BYTES: usize = 128 << 20;

/// First version of Produce whose clients all understand zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// Timestamp of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// What a batch is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub settings: &'a TopicSettings,
    /// Version of the Produce request.
    pub version: i16,
    /// Broker clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// A batch that may be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub bytes: Bytes,
    pub header: BatchHeader,
    /// The broker's time where it stands in the batch, else −1.
    pub append_time_ms: i64,
}

/// Why a batch is not written.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the request has no records for this partition")]
    NoBatch,
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("a batch of {bytes} bytes exceeds max.message.bytes, which is {max}")]
    TooLarge { bytes: usize, max: u32 },
    #[error("the batch begins at offset {0}; a producer's begin at 0")]
    BaseOffset(i64),
    #[error("zstd needs Produce version {ZSTD_FROM}, not {version}")]
    ZstdTooEarly { version: i16 },
    #[error("only the broker may set the timestamp type to LogAppendTime")]
    AppendTimeClaimed {
        /// How many there are: all of them are at fault.
        records: i32,
    },
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("{} of the batch's records may not be written", .0.len())]
    BadRecords(Vec<BadRecord>),
    #[error("the batch could not be stored as the topic asks: {0}")]
    Build(#[from] BuildError),
}

impl Refusal {
    /// The batch's own size, or what it decompresses to, is beyond the limit.
    pub fn is_too_large(&self) -> bool {
        let limit = |codec: &CodecError| matches!(codec, CodecError::LimitExceeded { .. });
        match self {
            Self::TooLarge { .. } | Self::Build(BuildError::TooLarge) => true,
            Self::Records(RecordsError::Codec(codec)) => limit(codec),
            _ => false,
        }
    }

    /// Whether the log was looked at, so that its start is known to the answer.
    pub fn knows_the_log(&self) -> bool {
        match self {
            Self::NoBatch | Self::TooLarge { .. } | Self::ZstdTooEarly { .. } => false,
            Self::Batch(error) => !error.is_shapeless(),
            _ => !self.is_too_large(),
        }
    }

    /// Single records are at fault, and one of them for its time.
    pub fn has_bad_timestamp(&self) -> bool {
        let untimely = |bad: &BadRecord| matches!(bad.fault, RecordRule::Timestamp { .. });
        self.bad_records().iter().any(untimely)
    }

    /// The records at fault, if single ones are.
    pub fn bad_records(&self) -> &[BadRecord] {
        match self {
            Self::BadRecords(bad) => bad,
            _ => &[],
        }
    }
}

/// A record that may not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRecord {
    /// Position in the batch, from 0.
    pub index: i32,
    pub fault: RecordRule,
}

/// The rule a record breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordRule {
    /// The topic is compacted and the record has no key.
    Key,
    /// Its time is outside the topic's bounds.
    Timestamp {
        timestamp: i64,
        earliest: i64,
        latest: i64,
    },
}

impl fmt::Display for RecordRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("the topic is compacted: records need a key"),
            Self::Timestamp {
                timestamp,
                earliest,
                latest,
            } => write!(f, "timestamp {timestamp} is not in {earliest} to {latest}"),
        }
    }
}

/// Whether judging these batches, `bytes` long together, is more than a reactor thread should do.
pub fn is_heavy<'a>(bytes: usize, mut batches: impl Iterator<Item = &'a [u8]>) -> bool {
    const WALKED_MAX_BYTES: usize = 64 << 10;
    let compressed = |batch: &[u8]| BatchHeader::read(batch).is_some_and(|h| h.codec_id() != 0);
    bytes > WALKED_MAX_BYTES || batches.any(compressed)
}

/// Judges what a client sent for one partition and makes the batch to be stored.
///
/// # Errors
/// The first rule that is broken; all broken records, if records are at fault.
pub fn admit(records: &Bytes, rules: &Rules<'_>) -> Result<Admitted, Refusal> {
    if records.is_empty() {
        return Err(Refusal::NoBatch);
    }
    let header = validate::check(records)?;
    rules.check_size(records.len())?;
    if header.base_offset != 0 {
        return Err(Refusal::BaseOffset(header.base_offset));
    }
    if header.codec() == Some(Codec::Zstd) && rules.version < ZSTD_FROM {
        return Err(Refusal::ZstdTooEarly {
            version: rules.version,
        });
    }
    let batch = rules.as_create_time(records, &header)?;
    let summary = validate::validate_records(&batch, DECOMPRESSED_MAX_BYTES)?;
    rules.check_records(&batch, &summary)?;
    let bytes = match rules.other_codec(&header) {
        Some(codec) => rules.rebuilt(&batch, codec)?,
        None => rules.patched(batch, summary.max_timestamp),
    };
    rules.check_size(bytes.len())?;
    // What was checked or built here has a header.
    let header = BatchHeader::read(&bytes).ok_or(Refusal::NoBatch)?;
    Ok(Admitted {
        bytes,
        header,
        append_time_ms: rules.append_time().unwrap_or(NO_TIMESTAMP),
    })
}

impl Rules<'_> {
    fn check_size(&self, bytes: usize) -> Result<(), Refusal> {
        let max = self.settings.max_message_bytes;
        if bytes > max as usize {
            return Err(Refusal::TooLarge { bytes, max });
        }
        Ok(())
    }

    /// The time that goes into the batch, on topics with the broker's time.
    fn append_time(&self) -> Option<i64> {
        match self.settings.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.now_ms),
        }
    }

    /// Takes back a client's claim that its times are the broker's. A topic with the broker's time
    /// refuses it.
    fn as_create_time(&self, batch: &Bytes, header: &BatchHeader) -> Result<Bytes, Refusal> {
        if !header.is_log_append_time() {
            return Ok(batch.clone());
        }
        if self.append_time().is_some() {
            let records = header.record_count;
            return Err(Refusal::AppendTimeClaimed { records });
        }
        let mut batch = writable(batch.clone());
        patch::clear_timestamp_type(&mut batch);
        Ok(batch.freeze())
    }

    /// Refuses a batch with records that may not be in the topic. The summary says whether any can
    /// be at fault; only then are they looked at one by one.
    fn check_records(&self, batch: &Bytes, summary: &RecordsSummary) -> Result<(), Refusal> {
        let compact = self.settings.cleanup.compact;
        let bounds = match self.settings.timestamp_type {
            TimestampType::LogAppendTime => i64::MIN..=i64::MAX,
            TimestampType::CreateTime => {
                let earliest = self.settings.timestamp_before_max_ms;
                let latest = self.settings.timestamp_after_max_ms;
                self.now_ms.saturating_sub(earliest)..=self.now_ms.saturating_add(latest)
            }
        };
        let timely =
            bounds.contains(&summary.min_timestamp) && bounds.contains(&summary.max_timestamp);
        if timely && !(compact && summary.first_null_key.is_some()) {
            return Ok(());
        }
        let mut bad = Vec::new();
        for (index, record) in (0..).zip(&Records::open(batch, DECOMPRESSED_MAX_BYTES)?) {
            let record = record.map_err(RecordsError::from)?;
            let timestamp = record.timestamp;
            if compact && record.key.is_none() {
                let fault = RecordRule::Key;
                bad.push(BadRecord { index, fault });
            } else if timestamp != NO_TIMESTAMP && !bounds.contains(&timestamp) {
                let (earliest, latest) = (*bounds.start(), *bounds.end());
                let fault = RecordRule::Timestamp {
                    timestamp,
                    earliest,
                    latest,
                };
                bad.push(BadRecord { index, fault });
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        Err(Refusal::BadRecords(bad))
    }

    /// The codec the topic wants, if the batch has another.
    fn other_codec(&self, header: &BatchHeader) -> Option<Codec> {
        let wanted = codec_of(self.settings)?;
        (header.codec() != Some(wanted)).then_some(wanted)
    }

    /// The same records in another codec.
    fn rebuilt(&self, batch: &Bytes, codec: Codec) -> Result<Bytes, Refusal> {
        let records = Records::open(batch, DECOMPRESSED_MAX_BYTES)?;
        let from = records.header();
        let mut builder = BatchBuilder::new().codec(codec, None).producer(
            from.producer_id,
            from.producer_epoch,
            from.base_sequence,
        );
        if let Some(now_ms) = self.append_time() {
            builder = builder.log_append_time(now_ms);
        }
        for record in &records {
            let record = record.map_err(RecordsError::from)?;
            builder.append(record.timestamp, record.key, record.value, record.headers)?;
        }
        Ok(builder.finish()?)
    }

    /// The batch with the times its topic wants in the header; a copy only if they differ.
    fn patched(&self, batch: Bytes, max_timestamp: i64) -> Bytes {
        if let Some(now_ms) = self.append_time() {
            let mut batch = writable(batch);
            patch::stamp_log_append_time(&mut batch, now_ms);
            return batch.freeze();
        }
        let max_timestamp = max_timestamp.max(NO_TIMESTAMP);
        if BatchHeader::read(&batch).is_some_and(|h| h.max_timestamp == max_timestamp) {
            return batch;
        }
        let mut batch = writable(batch);
        patch::set_max_timestamp(&mut batch, max_timestamp);
        batch.freeze()
    }
}

/// The codec a topic wants; `None` for whichever the producer chose.
pub fn codec_of(settings: &TopicSettings) -> Option<Codec> {
    Some(match settings.compression {
        Compression::Producer => return None,
        Compression::Uncompressed => Codec::None,
        Compression::Gzip => Codec::Gzip,
        Compression::Snappy => Codec::Snappy,
        Compression::Lz4 => Codec::Lz4,
        Compression::Zstd => Codec::Zstd,
    })
}

/// The same bytes, to be written to: a copy if somebody else holds them.
fn writable(bytes: Bytes) -> BytesMut {
    bytes
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

#[cfg(test)]
mod tests;
