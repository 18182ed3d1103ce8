//! What the log is asked to append, and on whose behalf: that decides what is checked.
//!
//! | who | offset | checked |
//! |---|---|---|
//! | a producer | the next | epoch, sequence, its transaction |
//! | a coordinator in a producer's transaction (no sequence) | the next | epoch, its transaction |
//! | the end of a transaction | the next | the producer's epoch, the coordinator's |
//! | an import from another log | its own | that it does not fall |

use std::sync::Arc;

use bytes::Bytes;
use tidelog_records::BatchHeader;
use tidelog_records::control::{ControlError, TxnMarker};

use crate::appender::{Ack, Append, AppendError, AppendSink};
use crate::ids::{Offset, Timestamp};
use crate::partition::Partition;
use crate::producers::{MarkerRule, Terms, TransactionError};

/// Largest offset that an import may bring; it leaves room for all that is ever appended after it.
const OFFSET_MAX: Offset = 1 << 62;

/// An append and on whose behalf it is made; from a bare [`Append`], a producer's on the strictest
/// terms: it opens no transaction.
pub struct Request {
    pub append: Append,
    pub origin: Origin,
}

/// On whose behalf a batch is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client, or a coordinator's batch in a client's transaction.
    Producer(Terms),
    /// The batch is this marker.
    Marker { marker: TxnMarker, rule: MarkerRule },
    /// The batch keeps its offset; `marker` is what it says if it is a control batch.
    Import { marker: Option<TxnMarker> },
}

/// Why a request is against the rules. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error("an imported batch at offset {got}, and the log ends at {end}")]
    BelowEnd { end: Offset, got: Offset },
}

/// The end of a producer's transaction in one partition.
pub struct EndTransaction {
    pub partition: Arc<Partition>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub marker: TxnMarker,
    pub rule: MarkerRule,
    pub ack: Ack,
    /// Broker clock; the marker's timestamp.
    pub now: Timestamp,
    pub tag: usize,
    pub sink: Arc<dyn AppendSink>,
}

/// Why a batch cannot be imported as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    #[error("offsets {base_offset} to {last_offset}")]
    Offsets {
        base_offset: Offset,
        last_offset: Offset,
    },
    #[error("a control batch with base sequence {0}")]
    ControlSequence(i32),
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl Request {
    /// A batch of another log that keeps its offset, at or above the end of this one; producers,
    /// transactions and aborted ranges follow as if it had been written here. Its crc was checked.
    ///
    /// # Errors
    /// [`ImportError`]. A control batch that is no marker is one.
    pub fn import(append: Append) -> Result<Self, ImportError> {
        let origin = Origin::import(&append.header, &append.batch)?;
        Ok(Self { append, origin })
    }

    /// Answers that it was not, or perhaps not, appended.
    pub(crate) fn fail(self, error: &AppendError) {
        let Append { sink, tag, .. } = self.append;
        sink.appended(tag, Err(error.clone()));
    }
}

impl From<Append> for Request {
    fn from(append: Append) -> Self {
        let origin = Origin::Producer(Terms::default());
        Self { append, origin }
    }
}

/// The control batch of a marker, to be appended as [`Origin::Marker`].
pub fn marker_batch(
    marker: TxnMarker,
    producer_id: i64,
    producer_epoch: i16,
    now: Timestamp,
) -> (Bytes, BatchHeader) {
    let batch = marker
        .to_batch(producer_id, producer_epoch, 0, 0, now)
        .expect("one small record fits in a batch");
    let header = BatchHeader::read(&batch).expect("a batch begins with its header");
    (batch, header)
}

impl From<EndTransaction> for Request {
    fn from(end: EndTransaction) -> Self {
        let EndTransaction { marker, rule, .. } = end;
        let (batch, header) = marker_batch(marker, end.producer_id, end.producer_epoch, end.now);
        let append = Append {
            partition: end.partition,
            batch,
            header,
            ack: end.ack,
            now: end.now,
            tag: end.tag,
            sink: end.sink,
        };
        let origin = Origin::Marker { marker, rule };
        Self { append, origin }
    }
}

impl Origin {
    /// That of a batch with this header which comes from another log: see [`Request::import`].
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import(header: &BatchHeader, batch: &Bytes) -> Result<Self, ImportError> {
        let (base_offset, last_offset) = (header.base_offset, header.last_offset());
        if base_offset < 0 || last_offset < base_offset || last_offset > OFFSET_MAX {
            return Err(ImportError::Offsets {
                base_offset,
                last_offset,
            });
        }
        if header.is_control() && header.base_sequence != -1 {
            return Err(ImportError::ControlSequence(header.base_sequence));
        }
        let marker = match header.is_control() {
            true => TxnMarker::of_batch(batch)?,
            false => None,
        };
        Ok(Self::Import { marker })
    }

    /// What a control batch says.
    pub(crate) fn marker(self) -> Option<TxnMarker> {
        match self {
            Self::Producer(_) => None,
            Self::Marker { marker, .. } => Some(marker),
            Self::Import { marker } => marker,
        }
    }
}
