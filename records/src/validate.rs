//! Is this one whole batch, and may a client send it?
//!
//! Two depths: [`check`] reads the header and makes one pass for the crc, without allocating;
//! [`validate_records`] decompresses once and walks every record. Faults come in two kinds:
//! *corrupt* (bytes changed or lost on the way; Kafka code 2) and *invalid* (the sender built a
//! batch that may not be; code 87). [`BatchError::is_corrupt`] tells them apart.

use crate::{
    BatchHeader, Codec, HEADER_LEN, LOG_OVERHEAD, RecordError, RecordFault, RecordIter,
    RecordsError, codec, header,
};

const MAGIC_AT: usize = 16;
const MAGIC_V2: i8 = 2;
const BATCH_LENGTH_MIN: usize = HEADER_LEN - LOG_OVERHEAD;

/// Why bytes are not a batch that may be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No bytes at all.
    #[error("no batch")]
    Empty,
    /// Fewer bytes than a header, or than the header says.
    #[error("batch cut short: {got} bytes of {needed}")]
    Truncated { needed: usize, got: usize },
    /// The length field leaves no room for the header.
    #[error("batch length {0} is less than a header")]
    BatchLength(i32),
    /// Bytes changed since the sender computed its crc32c.
    #[error("crc {computed:#010x} where the batch says {stored:#010x}")]
    Crc { stored: u32, computed: u32 },
    /// An older message format, or rubbish.
    #[error("magic {0} is not 2")]
    Magic(i8),
    /// A second batch, or rubbish.
    #[error("{bytes} bytes behind the batch")]
    TrailingBytes { bytes: usize },
    /// Ids 5 to 7 are not in use.
    #[error("unknown compression codec {0}")]
    UnknownCodec(i16),
    /// None at all, or not as many as offsets are taken.
    #[error("{count} records for a last offset delta of {last_offset_delta}")]
    RecordCount { count: i32, last_offset_delta: i32 },
    /// The control bit is set in a produced batch.
    #[error("only the broker writes control batches")]
    Control,
    /// An idempotent producer's batch has no place in its sequence.
    #[error("producer id {producer_id} with base sequence {base_sequence}")]
    Sequence {
        producer_id: i64,
        base_sequence: i32,
    },
    /// Nobody could ever end this transaction.
    #[error("transactional batch without a producer id")]
    TransactionalWithoutProducer,
}

impl BatchError {
    /// True if bytes were changed on the way (Kafka: CORRUPT_MESSAGE, 2); false if the batch is as its
    /// sender built it and may not be (INVALID_RECORD, 87). To Kafka a part of a batch is no batch.
    pub fn is_corrupt(&self) -> bool {
        match self {
            Self::Magic(magic) => !(0..MAGIC_V2).contains(magic),
            Self::BatchLength(_) | Self::Crc { .. } => true,
            _ => false,
        }
    }

    /// True if these bytes cannot be taken for one batch at all; nothing in it was looked at.
    pub fn is_shapeless(&self) -> bool {
        matches!(
            self,
            Self::Empty
                | Self::Truncated { .. }
                | Self::BatchLength(_)
                | Self::Crc { .. }
                | Self::Magic(_)
                | Self::TrailingBytes { .. }
        )
    }
}

/// Checks that `batch` is exactly one intact batch that a client may produce: shape, crc, known
/// codec, one record for each offset, no control bit, a sequence wherever there is a producer id.
/// The records themselves are not looked at.
///
/// # Errors
/// The first fault found; shape before crc before content.
pub fn check(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = check_intact(batch)?;
    known_codec(&header)?;
    check_count(&header)?;
    if header.is_control() {
        return Err(BatchError::Control);
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        let BatchHeader {
            producer_id,
            base_sequence,
            ..
        } = header;
        return Err(BatchError::Sequence {
            producer_id,
            base_sequence,
        });
    }
    if header.is_transactional() && !header.has_producer_id() {
        return Err(BatchError::TransactionalWithoutProducer);
    }
    Ok(header)
}

/// Checks that `batch` is exactly one batch of magic 2 with the right crc: what every stored batch
/// is, markers and compacted batches among them.
///
/// # Errors
/// The first fault found; shape before crc.
pub fn check_intact(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    match check_shape(batch) {
        Ok(header) => {
            check_crc(&header, batch)?;
            Ok(header)
        }
        // Bytes too few for a batch may as well be the end of one whose length was changed.
        Err(error @ BatchError::TrailingBytes { bytes }) if bytes < HEADER_LEN => {
            if let Some(header) = BatchHeader::read(batch) {
                check_crc(&header, &batch[..header.total_len()])?;
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Compares the crc of exactly one batch.
fn check_crc(header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
    let computed = crc32c::crc32c(&batch[header::CRC_COVERS_FROM..]);
    if computed != header.crc {
        return Err(BatchError::Crc {
            stored: header.crc,
            computed,
        });
    }
    Ok(())
}

/// Exactly one batch of magic 2 by its lengths; the crc is not computed.
pub(crate) fn check_shape(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    if batch.is_empty() {
        return Err(BatchError::Empty);
    }
    // Older formats have shorter headers but the magic in the same place: name them rightly.
    if let Some(&magic) = batch.get(MAGIC_AT)
        && magic as i8 != MAGIC_V2
    {
        return Err(BatchError::Magic(magic as i8));
    }
    let truncated = |needed| BatchError::Truncated {
        needed,
        got: batch.len(),
    };
    let header = BatchHeader::read(batch).ok_or_else(|| truncated(HEADER_LEN))?;
    if header.batch_length < BATCH_LENGTH_MIN as i32 {
        return Err(BatchError::BatchLength(header.batch_length));
    }
    let needed = header.total_len();
    if batch.len() < needed {
        return Err(truncated(needed));
    }
    match batch.len() - needed {
        0 => Ok(header),
        bytes => Err(BatchError::TrailingBytes { bytes }),
    }
}

pub(crate) fn known_codec(header: &BatchHeader) -> Result<Codec, BatchError> {
    header
        .codec()
        .ok_or(BatchError::UnknownCodec(header.codec_id()))
}

fn check_count(header: &BatchHeader) -> Result<(), BatchError> {
    let BatchHeader {
        record_count: count,
        last_offset_delta,
        ..
    } = *header;
    if count <= 0 || last_offset_delta.checked_add(1) != Some(count) {
        return Err(BatchError::RecordCount {
            count,
            last_offset_delta,
        });
    }
    Ok(())
}

/// What a walk over all records of a produced batch found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsSummary {
    /// Records walked; what the header says.
    pub record_count: i32,
    /// Length of the records when decompressed.
    pub records_bytes: usize,
    /// Over the records' effective timestamps: the batch's own, if it says LogAppendTime.
    pub min_timestamp: i64,
    /// As [`min_timestamp`](Self::min_timestamp); what the header ought to say.
    pub max_timestamp: i64,
    /// The first record that has the max timestamp.
    pub max_timestamp_offset_delta: i32,
    /// Index (= offset delta) of the first record without a key.
    pub first_null_key: Option<i32>,
}

/// Walks the records of a produced batch: each is whole, offset deltas are 0, 1, 2…, the header's
/// count is true, nothing follows. Allocates one buffer of at most `limit_bytes` for a compressed
/// batch, nothing else. The crc is [`check`]'s part.
///
/// # Errors
/// [`RecordsError::Record`] names the first bad record.
pub fn validate_records(batch: &[u8], limit_bytes: usize) -> Result<RecordsSummary, RecordsError> {
    let header = check_shape(batch)?;
    check_count(&header)?;
    let codec = known_codec(&header)?;
    let bytes = codec::decompress(codec, &batch[HEADER_LEN..], limit_bytes)?;

    let mut walk = RecordIter::new(&header, &bytes);
    let mut summary = RecordsSummary {
        record_count: 0,
        records_bytes: bytes.len(),
        min_timestamp: i64::MAX,
        max_timestamp: i64::MIN,
        max_timestamp_offset_delta: 0,
        first_null_key: None,
    };
    while let Some(record) = walk.next_raw() {
        let record = record?;
        let expected = summary.record_count;
        if record.offset_delta != expected {
            let fault = RecordFault::OffsetDelta {
                expected,
                got: record.offset_delta,
            };
            return Err(RecordError {
                index: expected,
                fault,
            }
            .into());
        }
        let timestamp = walk.timestamp(&record);
        summary.min_timestamp = summary.min_timestamp.min(timestamp);
        if timestamp > summary.max_timestamp {
            summary.max_timestamp = timestamp;
            summary.max_timestamp_offset_delta = expected;
        }
        if record.key.is_none() {
            summary.first_null_key.get_or_insert(expected);
        }
        summary.record_count += 1;
    }
    Ok(summary)
}
