//! Rows that a client sent in columns, as the record batch a producer would have sent. Pure.
//!
//! ```text
//! schema message ─▶ Intake, once a topic
//! row messages ─▶ rows ─▶ values of the topic's form ─▶ one record batch a partition
//! ```
//! Memory is bounded by the topic's `max.message.bytes`, whatever the messages claim: they may
//! decompress to [`EXPANSION_MAX`] times that, and as much again is taken on the way.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_arrow_messages::{Fault, codec_of, read_first, read_schema};
use tidelog_coordinator::cluster::settings::TopicSettings;
use tidelog_protocol_ext::ErrorCode;
use tidelog_records::{BatchBuilder, BuildError, Codec};
use tidelog_typed::intake::{FAULTS_MAX, Misfit, RowFault, TakeError, Taken};
use tidelog_typed::{EncodeError, Intake, UnwritableType, ValueRows};

use super::value_form::{Form, FormError, FormSource};
use crate::api::data::admission::{self, DECOMPRESSED_MAX_BYTES};
use crate::api::error::Coded;

/// How many times `max.message.bytes` rows may have before they are compressed.
const EXPANSION_MAX: usize = 16;

/// Why rows of a partition are not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RowsError {
    /// Whoever writes without being answered cannot learn what was wrong.
    #[error("acks must be -1 or 1, not {0}: every request is answered")]
    Acks(i16),
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    Message(#[from] Fault),
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The first of them, in ascending order of row.
    #[error("row {}: {}", .0[0].row, .0[0].reason)]
    Rows(Vec<RowFault>),
    #[error("the request has no rows for this partition")]
    NoRows,
    #[error(
        "the rows come to more than max.message.bytes ({max}) as records: send fewer at a time"
    )]
    TooLarge { max: u32 },
    #[error("the rows of all partitions come to more than {max} bytes: send fewer at a time")]
    AllTooLarge { max: usize },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Unwritable(#[from] UnwritableType),
    #[error("{0}")]
    Arrow(String),
}

impl RowsError {
    /// The rows at fault, if single rows are: their places, and why.
    pub fn bad_rows(&self) -> Vec<(i32, String)> {
        let Self::Rows(faults) = self else {
            return Vec::new();
        };
        let told = faults.iter().map(|fault| {
            let row = i32::try_from(fault.row).unwrap_or(i32::MAX);
            (row, fault.reason.to_string())
        });
        told.collect()
    }
}

impl Coded for RowsError {
    fn code(&self) -> ErrorCode {
        match self {
            RowsError::Acks(_) => ErrorCode::InvalidRequiredAcks,
            RowsError::Form(error) => error.code(),
            RowsError::Rows(_) | RowsError::NoRows => ErrorCode::InvalidRecord,
            RowsError::TooLarge { .. }
            | RowsError::AllTooLarge { .. }
            | RowsError::Message(Fault::TooLarge { .. })
            | RowsError::Build(BuildError::TooLarge) => ErrorCode::MessageTooLarge,
            RowsError::Message(_)
            | RowsError::Misfit(_)
            | RowsError::Build(_)
            | RowsError::Unwritable(_)
            | RowsError::Arrow(_) => ErrorCode::InvalidRequest,
        }
    }
}

/// A topic that rows are for, and what they look like.
#[derive(Debug)]
pub struct SentTopic {
    pub source: FormSource,
    pub settings: Arc<TopicSettings>,
    pub schema_id: i32,
    pub arrow_schema: Bytes,
}

/// Rows for one partition, and on whose behalf.
#[derive(Debug)]
pub struct SentRows {
    pub messages: Bytes,
    pub producer: (i64, i16),
    pub base_sequence: i32,
    pub is_transactional: bool,
}

/// A topic whose rows can be written.
#[derive(Debug)]
pub struct Encoder<'a> {
    settings: &'a TopicSettings,
    form: Form,
    schema: arrow_schema::SchemaRef,
    intake: Intake,
    /// Of records that name no time.
    now_ms: i64,
}

impl<'a> Encoder<'a> {
    /// Settles which of the sent columns goes where.
    ///
    /// # Errors
    /// [`RowsError`], for all rows of the topic.
    pub fn new(topic: &'a SentTopic, now_ms: i64) -> Result<Self, RowsError> {
        let form = topic.source.read()?;
        let schema = Arc::new(read_schema(&topic.arrow_schema)?);
        let intake = Intake::resolve(&schema, &form.target(topic.schema_id)?)?;
        Ok(Self {
            settings: &topic.settings,
            form,
            schema,
            intake,
            now_ms,
        })
    }

    /// The rows of one partition as one record batch.
    ///
    /// # Errors
    /// [`RowsError`]; the first rows at fault, if single ones are.
    pub fn batch(&self, sent: &SentRows) -> Result<Bytes, RowsError> {
        if sent.messages.is_empty() {
            return Err(RowsError::NoRows);
        }
        let codec = match admission::codec_of(self.settings) {
            Some(codec) => codec,
            // What the producer compressed stays compressed.
            None => codec_of(&sent.messages)?,
        };
        let ((id, epoch), sequence) = (sent.producer, sent.base_sequence);
        let mut builder = BatchBuilder::new()
            .codec(codec, None)
            .producer(id, epoch, sequence);
        if sent.is_transactional {
            builder = builder.transactional();
        }
        let mut writing = Writing {
            encoder: self,
            builder,
            bytes_max: self.bytes_max(codec),
            value: Vec::new(),
            faults: Vec::new(),
            row: 0,
        };
        let mut left = self.expanded_max();
        let mut rest = sent.messages.clone();
        while !rest.is_empty() {
            let (rows, len) = read_first(&rest, &self.schema, None, left)?;
            left = left.saturating_sub(rows.get_array_memory_size());
            let taken = writing.take(&rows)?;
            if let Some(taken) = taken {
                writing.add(&taken)?;
            }
            writing.row += rows.num_rows();
            rest = rest.slice(len..);
        }
        writing.finish()
    }

    /// Most bytes of rows, or of records before they are compressed.
    fn expanded_max(&self) -> usize {
        let message_max = self.settings.max_message_bytes as usize;
        message_max
            .saturating_mul(EXPANSION_MAX)
            .min(DECOMPRESSED_MAX_BYTES)
    }

    fn bytes_max(&self, codec: Codec) -> usize {
        match codec {
            Codec::None => self.settings.max_message_bytes as usize,
            _ => self.expanded_max(),
        }
    }

    fn too_large(&self) -> RowsError {
        RowsError::TooLarge {
            max: self.settings.max_message_bytes,
        }
    }
}

/// A record batch in the making.
struct Writing<'a> {
    encoder: &'a Encoder<'a>,
    builder: BatchBuilder,
    /// Before it is compressed.
    bytes_max: usize,
    value: Vec<u8>,
    faults: Vec<RowFault>,
    /// How many rows came before those at hand.
    row: usize,
}

impl Writing<'_> {
    /// `None` if rows of these are at fault.
    fn take(&mut self, rows: &arrow_array::RecordBatch) -> Result<Option<Taken>, RowsError> {
        match self.encoder.intake.take(rows) {
            Ok(taken) => Ok(Some(taken)),
            Err(TakeError::Rows(faults)) => {
                faults.into_iter().for_each(|fault| self.blame(fault));
                Ok(None)
            }
            Err(TakeError::Arrow(error)) => Err(RowsError::Arrow(error.to_string())),
        }
    }

    fn blame(&mut self, fault: RowFault) {
        if self.faults.len() < FAULTS_MAX {
            let row = self.row + fault.row;
            self.faults.push(RowFault { row, ..fault });
        }
    }

    fn add(&mut self, taken: &Taken) -> Result<(), RowsError> {
        let values = ValueRows::of(&self.encoder.form.value, taken.values())?;
        for row in 0..taken.values().num_rows() {
            let is_there = match values.write(row, self.bytes_max, &mut self.value) {
                Ok(is_there) => is_there,
                Err(EncodeError::TooLong) => return Err(self.encoder.too_large()),
                Err(EncodeError::Value(reason)) => {
                    self.blame(RowFault { row, reason });
                    continue;
                }
            };
            let value = is_there.then_some(&self.value[..]);
            let time_ms = taken.timestamp_ms(row).unwrap_or(self.encoder.now_ms);
            let headers = taken.headers(row);
            self.builder
                .append(time_ms, taken.key(row), value, headers)?;
            if self.builder.size_bytes() > self.bytes_max {
                return Err(self.encoder.too_large());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Bytes, RowsError> {
        if !self.faults.is_empty() {
            return Err(RowsError::Rows(self.faults));
        }
        if self.builder.is_empty() {
            return Err(RowsError::NoRows);
        }
        let batch = self.builder.finish()?;
        match batch.len() > self.encoder.settings.max_message_bytes as usize {
            true => Err(self.encoder.too_large()),
            false => Ok(batch),
        }
    }
}
