//! The records of `__transaction_state`, in Kafka's formats, so that any tool that reads Kafka's
//! topic can read ours.
//!
//! | record | key | value read | value written |
//! |---|---|---|---|
//! | transactional id | `TransactionLogKey` v0 | `TransactionLogValue` v0, v1 | v1 |
//!
//! A key without a value is a tombstone. Schemas: `transaction-coordinator/src/main/resources/
//! common/message` in Apache Kafka. Tag 10000 of the value is ours: the epoch the client held
//! before. Kafka keeps that in memory only, so there a client that repeats InitProducerId across a
//! restart of its coordinator is fenced; here it is answered. Readers step over tags they do not
//! know.

use bytes::Bytes;

use super::partitions::Partitions;
use super::state::{TransactionVersion, TxnState};
use super::transaction::Transaction;
use crate::producer::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer};
use crate::wire::{Reader, WireError, Writer};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;

const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_VERSION: u32 = 2;
/// Far above what Kafka will come to use.
const TAG_LAST_EPOCH: u32 = 10_000;

/// One durable change of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnRecord {
    pub transactional_id: String,
    /// `None`: the id is forgotten.
    pub value: Option<Transaction>,
}

/// Bytes that are not a record of `__transaction_state`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxnRecordError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("unknown transaction state {id}")]
    UnknownState { id: i8 },
    #[error("unknown transaction version {level}")]
    UnknownTransactionVersion { level: i16 },
}

impl TxnRecord {
    /// Key and value to append; no value is a tombstone.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut key = Writer::default();
        key.i16(KEY_VERSION);
        key.string(&self.transactional_id);
        (key.finish(), self.value.as_ref().map(Transaction::encode))
    }

    /// Reads a record; `None` for a key of another kind.
    ///
    /// # Errors
    /// The bytes are cut short or malformed, or of a version, state or transaction version above
    /// those known here.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, TxnRecordError> {
        let mut key = Reader::new(key);
        if key.i16()? != KEY_VERSION {
            return Ok(None);
        }
        Ok(Some(Self {
            transactional_id: key.string()?,
            value: value.map(Transaction::decode).transpose()?,
        }))
    }
}

impl Transaction {
    fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.i16(VALUE_VERSION);
        writer.i64(self.producer.id);
        writer.i16(self.producer.epoch);
        writer.i32(self.timeout_ms);
        writer.i8(self.state.id());
        self.encode_partitions(&mut writer);
        writer.i64(self.updated_ms);
        writer.i64(self.started_ms);
        self.encode_tags(&mut writer);
        writer.finish()
    }

    /// Null for an id without a transaction, as Kafka has it.
    fn encode_partitions(&self, writer: &mut Writer) {
        if self.state == TxnState::Empty {
            return writer.unsigned_varint(0);
        }
        let topics = self.partitions.by_topic();
        writer.compact_array_len(topics.len());
        for (topic, partitions) in topics {
            writer.compact_string(topic);
            writer.compact_array_len(partitions.len());
            for &partition in partitions {
                writer.i32(partition);
            }
            writer.no_tagged_fields();
        }
    }

    /// Defaults are left out.
    fn encode_tags(&self, writer: &mut Writer) {
        let id = |id: i64| (id != NO_PRODUCER_ID).then(|| id.to_be_bytes().to_vec());
        let number =
            |number: i16, default| (number != default).then(|| number.to_be_bytes().to_vec());
        let fields = [
            (TAG_PREVIOUS_PRODUCER_ID, id(self.previous_producer_id)),
            (TAG_NEXT_PRODUCER_ID, id(self.next_producer_id)),
            (TAG_CLIENT_VERSION, number(self.version.level(), 0)),
            (TAG_LAST_EPOCH, number(self.last_epoch, NO_PRODUCER_EPOCH)),
        ];
        let present: Vec<_> = fields
            .into_iter()
            .filter_map(|(tag, value)| Some((tag, value?)))
            .collect();
        writer.tagged_fields(&present);
    }

    fn decode(bytes: &[u8]) -> Result<Self, TxnRecordError> {
        let mut reader = Reader::new(bytes);
        let flexible = match reader.i16()? {
            0 => false,
            VALUE_VERSION => true,
            version => return Err(WireError::UnknownVersion { version }.into()),
        };
        let producer = Producer::new(reader.i64()?, reader.i16()?);
        let timeout_ms = reader.i32()?;
        let id = reader.i8()?;
        let state = TxnState::from_id(id).ok_or(TxnRecordError::UnknownState { id })?;
        let mut partitions = decode_partitions(&mut reader, flexible)?;
        if state == TxnState::Empty {
            // Written by nobody; Kafka does not look at them either.
            partitions = Partitions::default();
        }
        let (updated_ms, started_ms) = (reader.i64()?, reader.i64()?);
        let tags = if flexible {
            Tags::decode(&mut reader)?
        } else {
            Tags::default()
        };
        let level = tags.client_version;
        let version = TransactionVersion::from_level(level)
            .ok_or(TxnRecordError::UnknownTransactionVersion { level })?;
        Ok(Self {
            producer,
            previous_producer_id: tags.previous_producer_id,
            next_producer_id: tags.next_producer_id,
            last_epoch: tags.last_epoch,
            timeout_ms,
            state,
            partitions,
            started_ms,
            updated_ms,
            version,
        })
    }
}

fn decode_partitions(reader: &mut Reader<'_>, flexible: bool) -> Result<Partitions, WireError> {
    let mut partitions = Partitions::default();
    let topics = if flexible {
        reader.compact_nullable_array_len()?
    } else {
        reader.nullable_array_len()?
    };
    for _ in 0..topics.unwrap_or(0) {
        let (topic, count) = if flexible {
            (reader.compact_string()?, reader.compact_array_len()?)
        } else {
            (reader.string()?, reader.array_len()?)
        };
        for _ in 0..count {
            partitions.insert(topic.clone(), reader.i32()?);
        }
        if flexible {
            reader.skip_tagged_fields()?;
        }
    }
    Ok(partitions)
}

struct Tags {
    previous_producer_id: i64,
    next_producer_id: i64,
    client_version: i16,
    last_epoch: i16,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            client_version: 0,
            last_epoch: NO_PRODUCER_EPOCH,
        }
    }
}

impl Tags {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut tags = Self::default();
        reader.tagged_fields(|tag, value| {
            match tag {
                TAG_PREVIOUS_PRODUCER_ID => tags.previous_producer_id = value.i64()?,
                TAG_NEXT_PRODUCER_ID => tags.next_producer_id = value.i64()?,
                TAG_CLIENT_VERSION => tags.client_version = value.i16()?,
                TAG_LAST_EPOCH => tags.last_epoch = value.i16()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(tags)
    }
}
