//! The two kinds of record that transactions add to `__consumer_offsets`.
//!
//! An offset committed within a transaction has the bytes of any committed offset; that it is
//! transactional is said by the batch it stands in. The end of a transaction is the control record
//! that ends one in any partition (KIP-98):
//!
//! ```text
//! key   = version i16 (0) · type i16 (0 abort, 1 commit)
//! value = version i16 (0) · coordinator epoch i32
//! ```

use bytes::Bytes;

use super::record::{CommittedOffset, GroupRecord};
use crate::machine::Envelope;
use crate::producer::{Outcome, Producer};
use crate::wire::{Reader, WireError, Writer};

const MARKER_VERSION: i16 = 0;

/// A position that counts once the producer's transaction commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOffset {
    pub producer: Producer,
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub value: CommittedOffset,
}

/// The marker that ends the producer's transaction in this partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnEnd {
    /// In version 2 one epoch above that of the offsets it ends.
    pub producer: Producer,
    pub outcome: Outcome,
    /// Of the transaction coordinator that sent it.
    pub coordinator_epoch: i32,
}

impl GroupRecord {
    /// The batch the record is appended in.
    pub const fn envelope(&self) -> Envelope {
        match self {
            Self::TxnOffset(offset) => Envelope::Transaction(offset.producer),
            Self::TxnEnd(end) => Envelope::Marker(end.producer),
            _ => Envelope::Plain,
        }
    }

    /// Reads a record out of a batch of this kind; `None` for one that is not ours.
    ///
    /// # Errors
    /// As [`GroupRecord::decode`].
    pub fn decode_in(
        envelope: Envelope,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<Self>, WireError> {
        let producer = match envelope {
            Envelope::Plain => return Self::decode(key, value),
            Envelope::Marker(producer) => return TxnEnd::decode(producer, key, value),
            Envelope::Transaction(producer) => producer,
        };
        Ok(match Self::decode(key, value)? {
            Some(Self::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            }) => Some(Self::TxnOffset(TxnOffset {
                producer,
                group,
                topic,
                partition,
                value,
            })),
            // Kafka takes whatever else stands in such a batch as if it stood alone.
            other => other,
        })
    }
}

impl TxnEnd {
    pub(super) fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut key = Writer::default();
        key.i16(MARKER_VERSION);
        key.i16(match self.outcome {
            Outcome::Abort => 0,
            Outcome::Commit => 1,
        });
        let mut value = Writer::default();
        value.i16(MARKER_VERSION);
        value.i32(self.coordinator_epoch);
        (key.finish(), Some(value.finish()))
    }

    /// Control records of other kinds are nobody's here. Later versions may only add bytes.
    fn decode(
        producer: Producer,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<GroupRecord>, WireError> {
        let mut key = Reader::new(key);
        let _version = key.i16()?;
        let outcome = match key.i16()? {
            0 => Outcome::Abort,
            1 => Outcome::Commit,
            _ => return Ok(None),
        };
        let mut value = Reader::new(value.unwrap_or_default());
        let _version = value.i16()?;
        let coordinator_epoch = value.i32()?;
        Ok(Some(GroupRecord::TxnEnd(Self {
            producer,
            outcome,
            coordinator_epoch,
        })))
    }
}
