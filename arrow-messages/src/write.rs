//! Schemas and rows as messages.

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{
    CompressionContext, DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions,
    write_message,
};
use arrow_schema::{ArrowError, Schema};
use bytes::Bytes;

/// How the buffers of rows are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Lz4,
    Zstd,
}

/// A schema as a message.
///
/// # Errors
/// Arrow's own: a type it has no form for.
pub fn schema_message(schema: &Schema) -> Result<Bytes, ArrowError> {
    let options = IpcWriteOptions::default();
    let mut tracker = DictionaryTracker::new(false);
    let generator = IpcDataGenerator::default();
    let encoded = generator.schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
    message(encoded, &options)
}

/// Rows as a message, without their schema.
///
/// # Errors
/// Arrow's own, for what [`read_rows`](crate::read_rows) would not read.
pub fn rows_message(rows: &RecordBatch, compression: Compression) -> Result<Bytes, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(match compression {
        Compression::None => None,
        Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
        Compression::Zstd => Some(CompressionType::ZSTD),
    })?;
    let mut tracker = DictionaryTracker::new(false);
    let mut context = CompressionContext::default();
    let generator = IpcDataGenerator::default();
    let (dictionaries, encoded) = generator.encode(rows, &mut tracker, &options, &mut context)?;
    match dictionaries.is_empty() {
        true => message(encoded, &options),
        false => {
            let what = "a dictionary-encoded column: give its plain values".to_owned();
            Err(ArrowError::SchemaError(what))
        }
    }
}

fn message(encoded: EncodedData, options: &IpcWriteOptions) -> Result<Bytes, ArrowError> {
    let mut out = Vec::new();
    write_message(&mut out, encoded, options)?;
    Ok(out.into())
}
