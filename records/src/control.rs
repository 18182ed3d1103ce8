//! Transaction markers: the one record of a control batch that ends a producer's transaction.
//!
//! ```text
//! key   = version i16 (0) · type i16 (0 abort, 1 commit)
//! value = version i16 (0) · coordinator epoch i32
//! ```
//!
//! Later versions may add bytes behind these; they are passed over. Source: KIP-98.

use bytes::Bytes;

use crate::{BatchBuilder, BuildError, Records, RecordsError};

/// Most decompressed bytes of a control batch that are looked at. Kafka's take 17, uncompressed.
const CONTROL_BYTES_MAX: usize = 4 << 10;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its records are never to be seen by read_committed consumers.
    Abort,
    /// Its records count.
    Commit,
}

/// A transaction marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnMarker {
    /// How the transaction ended.
    pub outcome: Outcome,
    /// Epoch of the transaction coordinator that sent it; a lower one than before is a stale
    /// coordinator.
    pub coordinator_epoch: i32,
}

/// Why a control record is not a transaction marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// Null, or too few bytes for the fields.
    #[error("control record key or value is missing or too short")]
    Short,
    /// Versions are never negative.
    #[error("control record version {0}")]
    Version(i16),
    /// Control records of other kinds (KRaft's) are not transaction markers.
    #[error("control record type {0}")]
    Type(i16),
}

/// Why a control batch is not a transaction marker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Its records cannot be had.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Its record is something else.
    #[error(transparent)]
    Marker(#[from] MarkerError),
}

impl TxnMarker {
    /// The marker in a control batch. `None`: compaction took its record, and with it all meaning.
    ///
    /// # Errors
    /// [`ControlError`]. That `batch` is a control batch at all is the caller's to know.
    pub fn of_batch(batch: &Bytes) -> Result<Option<Self>, ControlError> {
        let records = Records::open(batch, CONTROL_BYTES_MAX)?;
        let Some(record) = records.iter().next() else {
            return Ok(None);
        };
        let record = record.map_err(RecordsError::from)?;
        Ok(Some(Self::decode(record.key, record.value)?))
    }

    /// Reads the key and value of a control batch's record.
    ///
    /// # Errors
    /// [`MarkerError`].
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, MarkerError> {
        let key: [u8; 4] = prefix(key)?;
        check_version(key)?;
        let outcome = match i16::from_be_bytes([key[2], key[3]]) {
            0 => Outcome::Abort,
            1 => Outcome::Commit,
            other => return Err(MarkerError::Type(other)),
        };
        let value: [u8; 6] = prefix(value)?;
        check_version(value)?;
        let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
        Ok(Self {
            outcome,
            coordinator_epoch,
        })
    }

    /// The record's key, version 0.
    pub fn encode_key(&self) -> [u8; 4] {
        match self.outcome {
            Outcome::Abort => [0, 0, 0, 0],
            Outcome::Commit => [0, 0, 0, 1],
        }
    }

    /// The record's value, version 0.
    pub fn encode_value(&self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }

    /// The control batch that ends the transaction of this producer, at `base_offset` and `now`
    /// (ms); byte for byte Java's.
    ///
    /// # Errors
    /// None in practice: the batch is of one small record.
    pub fn to_batch(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        base_offset: i64,
        leader_epoch: i32,
        now: i64,
    ) -> Result<Bytes, BuildError> {
        let mut batch = BatchBuilder::new()
            .base_offset(base_offset)
            .leader_epoch(leader_epoch)
            .producer(producer_id, producer_epoch, -1)
            .transactional()
            .control();
        batch.append(
            now,
            Some(&self.encode_key()),
            Some(&self.encode_value()),
            [],
        )?;
        batch.finish()
    }
}

fn prefix<const N: usize>(field: Option<&[u8]>) -> Result<[u8; N], MarkerError> {
    field
        .and_then(|bytes| bytes.first_chunk())
        .copied()
        .ok_or(MarkerError::Short)
}

fn check_version<const N: usize>(field: [u8; N]) -> Result<(), MarkerError> {
    match i16::from_be_bytes([field[0], field[1]]) {
        version if version < 0 => Err(MarkerError::Version(version)),
        _ => Ok(()),
    }
}
