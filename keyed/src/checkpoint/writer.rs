//! Writes an engine's snapshot into one file, a block of rows at a time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::{BinaryBuilder, Int64Builder};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use tidelog_storage::directory::CHECKPOINTS;
use tidelog_storage::disk::Disk;
use tidelog_storage::ids::{Offset, PartitionId};
use tidelog_storage::segment::FileId;
use tidelog_storage::sink::Sink;

use super::{CheckpointMeta, FORMAT_VERSION, VALUES_VERSION};
use crate::engine::{EngineError, KeySnapshot};
use crate::merge::RuleLog;
use crate::row::Row;

/// A block ends with the row that reaches one of these.
const BLOCK_BYTES: usize = 4 << 20;
const BLOCK_ROWS: usize = 1 << 16;

/// Where a file has the rules that made its rows.
pub(super) const RULES: &str = "tidelog.rules";

/// Why a checkpoint could not be written. The file then has no final name, except after a failed
/// sync of the directory, where it may have one; either way nothing names it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the key index is being loaded")]
    Incomplete,
    #[error("writing checkpoint {file}: {source}")]
    Io { file: FileId, source: io::Error },
    #[error("encoding checkpoint {file}: {source}")]
    Encode { file: FileId, source: ArrowError },
    #[error("checkpoint {file}: {source}")]
    Rules {
        file: FileId,
        source: serde_json::Error,
    },
}

/// [`write_by`] for a table that never had other rules than the first.
pub fn write(
    disk: Arc<dyn Disk>,
    file: FileId,
    partition: PartitionId,
    snapshot: &dyn KeySnapshot,
) -> Result<CheckpointMeta, WriteError> {
    write_by(disk, file, partition, snapshot, &RuleLog::default())
}

/// Writes all rows of `snapshot`, which `rules` made, and makes the file durable. Name it in a
/// manifest afterwards.
pub fn write_by(
    disk: Arc<dyn Disk>,
    file: FileId,
    partition: PartitionId,
    snapshot: &dyn KeySnapshot,
    rules: &RuleLog,
) -> Result<CheckpointMeta, WriteError> {
    let reflects = snapshot.applied()?.ok_or(WriteError::Incomplete)?;
    let io = |source| WriteError::Io { file, source };
    let encode = |error| match error {
        ArrowError::IoError(_, source) => WriteError::Io { file, source },
        source => WriteError::Encode { file, source },
    };
    let version = match rules.keeps_values() {
        true => VALUES_VERSION,
        false => FORMAT_VERSION,
    };
    let rules = match *rules == RuleLog::default() {
        true => None,
        false => Some(rules.to_json()),
    };
    let rules = rules.transpose();
    let rules = rules.map_err(|source| WriteError::Rules { file, source })?;
    let schema = Arc::new(schema(partition, reflects, version, rules));
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))
        .map_err(encode)?;
    let sink = Sink::create(disk, CHECKPOINTS, file).map_err(io)?;
    let mut writer = FileWriter::try_new_with_options(sink, &schema, options).map_err(encode)?;

    let mut rows = 0;
    let mut block = Block::default();
    for row in snapshot.rows() {
        let (key, row) = row?;
        block.push(&key, &row);
        rows += 1;
        if block.is_full() {
            writer
                .write(&block.take(&schema).map_err(encode)?)
                .map_err(encode)?;
        }
    }
    if block.rows > 0 {
        writer
            .write(&block.take(&schema).map_err(encode)?)
            .map_err(encode)?;
    }
    let sink = writer.into_inner().map_err(encode)?;
    let (file_len, file_crc) = sink.finish().map_err(io)?;
    Ok(CheckpointMeta {
        file,
        format_version: version,
        min_reader: version,
        partition,
        reflects,
        rows,
        file_len,
        file_crc,
    })
}

fn schema(partition: PartitionId, reflects: Offset, version: u16, rules: Option<String>) -> Schema {
    let fields = vec![
        Field::new("key", DataType::Binary, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("value", DataType::Binary, false),
    ];
    let metadata = [
        ("tidelog.kind", "key-checkpoint".to_owned()),
        ("tidelog.format_version", version.to_string()),
        ("tidelog.min_reader", version.to_string()),
        ("tidelog.topic_id", partition.topic.to_string()),
        ("tidelog.partition", partition.index.to_string()),
        ("tidelog.reflects", reflects.to_string()),
    ];
    let rules = rules.map(|rules| (RULES, rules));
    let metadata = metadata.into_iter().chain(rules);
    let metadata: HashMap<_, _> = metadata.map(|(k, v)| (k.to_owned(), v)).collect();
    Schema::new_with_metadata(fields, metadata)
}

/// The rows of one Arrow record batch.
#[derive(Default)]
struct Block {
    keys: BinaryBuilder,
    offsets: Int64Builder,
    timestamps: Int64Builder,
    values: BinaryBuilder,
    rows: usize,
    bytes: usize,
}

impl Block {
    fn push(&mut self, key: &Bytes, row: &Row) {
        self.keys.append_value(key);
        self.offsets.append_value(row.offset);
        self.timestamps.append_value(row.timestamp);
        self.values.append_value(&row.value);
        self.rows += 1;
        self.bytes += key.len() + row.value.len();
    }

    fn is_full(&self) -> bool {
        self.rows >= BLOCK_ROWS || self.bytes >= BLOCK_BYTES
    }

    /// The rows so far; the block is empty afterwards.
    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new(
            Arc::clone(schema),
            vec![
                Arc::new(self.keys.finish()),
                Arc::new(self.offsets.finish()),
                Arc::new(self.timestamps.finish()),
                Arc::new(self.values.finish()),
            ],
        )
    }
}
