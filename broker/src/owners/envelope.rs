//! Records of a machine as record batches, each in the kind of batch it asks for.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::machine::Envelope;
use tidelog_coordinator::producer::Producer;
use tidelog_records::control::TxnMarker;
use tidelog_records::{BatchBuilder, BatchHeader};
use tidelog_storage::{Ack, MarkerRule, Origin, Partition, Terms, Verification};
use tracing::error;

use super::driver::Journal;
use crate::log::NewBatch;

/// Records that could share a batch are split into several beyond this many bytes.
const BATCH_BYTES_AIM: usize = 512 << 10;

/// A coordinator's batches have no sequence.
const NO_SEQUENCE: i32 = -1;

/// The batches for `records`, in order, to be appended together. A record that cannot be encoded is
/// left out, and that is logged.
pub fn batches<M: Journal>(
    partition: &Arc<Partition>,
    records: &[M::Record],
    now_ms: i64,
) -> Vec<NewBatch> {
    let mut drafts: Vec<Draft> = Vec::new();
    for record in records {
        let (key, value) = match M::encode(record) {
            Ok(encoded) => encoded,
            Err(error) => {
                error!(machine = M::NAME, error, "a record could not be encoded");
                continue;
            }
        };
        let envelope = M::envelope(record);
        let draft = match drafts.last_mut().filter(|draft| draft.takes(envelope)) {
            Some(draft) => draft,
            None => drafts.push_mut(Draft::new(envelope)),
        };
        draft.push(M::NAME, &key, value.as_deref(), now_ms);
    }
    let drafts = drafts.into_iter();
    drafts
        .filter_map(|draft| draft.finish(M::NAME, partition, now_ms))
        .collect()
}

/// The kind of batch a batch of the log is.
pub fn of(header: &BatchHeader) -> Envelope {
    let producer = Producer::new(header.producer_id, header.producer_epoch);
    match header.is_transactional() {
        true if header.is_control() => Envelope::Marker(producer),
        true => Envelope::Transaction(producer),
        false => Envelope::Plain,
    }
}

/// A batch in the making.
enum Draft {
    Data(Envelope, BatchBuilder),
    Marker(Producer, Option<TxnMarker>),
}

impl Draft {
    fn new(envelope: Envelope) -> Self {
        let builder = BatchBuilder::new();
        match envelope {
            Envelope::Plain => Self::Data(envelope, builder),
            Envelope::Transaction(Producer { id, epoch }) => {
                let builder = builder.producer(id, epoch, NO_SEQUENCE).transactional();
                Self::Data(envelope, builder)
            }
            Envelope::Marker(producer) => Self::Marker(producer, None),
        }
    }

    fn takes(&self, envelope: Envelope) -> bool {
        match self {
            Self::Data(own, builder) => *own == envelope && builder.size_bytes() <= BATCH_BYTES_AIM,
            Self::Marker(..) => false,
        }
    }

    fn push(&mut self, machine: &str, key: &Bytes, value: Option<&[u8]>, now_ms: i64) {
        match self {
            Self::Data(_, builder) => {
                // Refused only beyond 2 GiB, which no decision of a machine comes near.
                if let Err(error) = builder.append(now_ms, Some(key), value, []) {
                    error!(machine, %error, "a record could not be encoded");
                }
            }
            Self::Marker(_, marker) => match TxnMarker::decode(Some(key), value) {
                Ok(decoded) => *marker = Some(decoded),
                Err(error) => error!(machine, %error, "a marker could not be encoded"),
            },
        }
    }

    fn finish(self, machine: &str, partition: &Arc<Partition>, now_ms: i64) -> Option<NewBatch> {
        let (envelope, builder) = match self {
            // The machine has judged the epoch by what it knows of the producer.
            Self::Marker(producer, marker) => {
                let marker = (marker?, MarkerRule::AtLeast);
                let partition = Arc::clone(partition);
                return Some(NewBatch::marker(partition, producer, marker, now_ms));
            }
            Self::Data(envelope, builder) => (envelope, builder),
        };
        if builder.is_empty() {
            return None;
        }
        let bytes = builder.finish();
        let bytes = bytes.inspect_err(|error| error!(machine, %error, "a batch could not be made"));
        let bytes = bytes.ok()?;
        let header = BatchHeader::read(&bytes)?;
        let verification = match envelope {
            // The machine asked, under a guard of its own.
            Envelope::Transaction(_) => Verification::Waived,
            _ => Verification::None,
        };
        let terms = Terms {
            verification,
            ..Terms::default()
        };
        Some(NewBatch {
            partition: Arc::clone(partition),
            bytes,
            header,
            origin: Origin::Producer(terms),
            ack: Ack::Durable,
        })
    }
}
