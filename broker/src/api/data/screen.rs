//! What Produce does more for a topic that refuses records which do not decode: each record is read as
//! the topic's rows will be.
//!
//! As far as it can be told at that time: while a topic has no columns yet, and from the first record on
//! that its table has to learn something for (a writer's schema, a new column), records are taken. Those
//! that turn out not to decode go the way of dead letters.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{InvalidRecords, TopicSettings};
use tidelog_records::BatchHeader;
use tidelog_storage::Partition;
use tidelog_typed::{DecodeLimits, OffsetRange, decode_batches};

use super::admission::DECOMPRESSED_MAX_BYTES;
use super::keyed::was_sent;
use crate::broker::Broker;
use crate::jobs::rows::format::Format;

/// How much is decoded at a time.
const LIMITS: DecodeLimits = DecodeLimits {
    records_max: 100_000,
    bytes_max: 32 << 20,
    batch_bytes_max: DECOMPRESSED_MAX_BYTES,
};

/// Records named in one refusal; what follows is looked at when these are mended.
const NAMED_MAX: usize = 1_000;

/// Why a batch is not written: positions in it, and what is wrong with the records there.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of the batch's records do not decode, and the topic takes none of those \
     (tidelog.table.invalid.records is reject)", .0.len()
)]
pub struct NotDecoded(pub Vec<(i32, String)>);

/// How records of one partition are judged.
#[derive(Clone)]
pub struct Screen {
    format: Arc<Format>,
    partition: Arc<Partition>,
    /// A record without a value is a delete.
    is_keyed: bool,
}

impl Screen {
    /// `None` where every record is taken.
    pub fn of(
        broker: &Broker,
        topic: &Topic,
        settings: &TopicSettings,
        partition: &Arc<Partition>,
    ) -> Option<Self> {
        let table = &settings.table;
        if table.invalid_records != InvalidRecords::Reject {
            return None;
        }
        let format = broker.rows().format(topic, table).ok()?;
        format.schema.values()?;
        Some(Self {
            format,
            partition: Arc::clone(partition),
            is_keyed: table.key.is_keyed(),
        })
    }

    /// Judges a batch that is otherwise sound. Takes its time: decodes.
    ///
    /// # Errors
    /// [`NotDecoded`].
    pub fn check(&self, batch: &Bytes) -> Result<(), NotDecoded> {
        let bad = self.undecodable(batch);
        // One that is sent again is answered by the log as it was before.
        match bad.is_empty() || was_sent(&self.partition, batch) {
            true => Ok(()),
            false => Err(NotDecoded(bad)),
        }
    }

    fn undecodable(&self, batch: &Bytes) -> Vec<(i32, String)> {
        let mut bad = Vec::new();
        let Some(header) = BatchHeader::read(batch) else {
            return bad;
        };
        let (base, end) = (header.base_offset, header.last_offset() + 1);
        let mut rest = OffsetRange { first: base, end };
        while rest.first < end && bad.len() < NAMED_MAX {
            let batches = [batch.clone()];
            // The batch was walked before, so what fails here is none of its records' fault.
            let Ok(decoded) = decode_batches(&self.format.schema, 0, rest, batches, &LIMITS) else {
                return bad;
            };
            let found = decoded.undecodable.iter();
            let found = found.filter(|record| record.value.is_some() || !self.is_keyed);
            bad.extend(found.map(|record| {
                let index = i32::try_from(record.offset - base).unwrap_or(i32::MAX);
                (index, record.reason.to_string())
            }));
            if decoded.wanted.is_some() {
                break;
            }
            rest.first = decoded.end_offset;
        }
        bad.truncate(NAMED_MAX);
        bad
    }
}
