//! From a record batch to changes. Decides nothing about the table.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use tidelog_records::{BatchHeader, HEADER_LEN, Record, Records, RecordsError, validate};
use tidelog_storage::ids::Offset;

use crate::engine::EngineError;
use crate::merge::DecodeFailed;
use crate::row::{Change, check_key};

/// The header by which a record says which columns it is about.
pub const COLUMNS_HEADER: &str = "tidelog.columns";

/// Why a batch cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error("the batch at offset {got} does not follow {expected}")]
    Gap { expected: Offset, got: Offset },
    #[error("the batch at offset {offset}: {source}")]
    Batch {
        offset: Offset,
        source: RecordsError,
    },
    #[error("these bytes are no record batch")]
    NoBatch,
    #[error("the values of the batch at offset {offset}: {source}")]
    Values {
        offset: Offset,
        source: DecodeFailed,
    },
    /// The row before could not be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The changes of one batch.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// In offset order. They share one allocation that holds nothing else.
    pub changes: Vec<Change>,
    /// Records that no table takes: without a key, or with one too long.
    pub passed_over: usize,
    /// What the columns header of a record says, where it has one and was asked for it.
    pub named: HashMap<Offset, String>,
}

/// A part of the log as the table is to see it.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// Whole batches in offset order, several side by side in one piece if it likes. What lies between
    /// them holds nothing: aborted records, or what compaction left empty.
    pub pieces: Vec<Bytes>,
    /// The next offset; behind the last batch, nothing below it is to be folded either.
    pub end: Offset,
}

impl Chunk {
    /// Batches, and nothing behind them.
    pub fn of(pieces: Vec<Bytes>) -> Self {
        let last = pieces
            .last()
            .cloned()
            .and_then(|piece| batches(piece).last());
        let end = last
            .and_then(|batch| span(&batch).ok())
            .map_or(0, |(_, end)| end);
        Self { pieces, end }
    }
}

/// First offset of a batch and the next one after its last.
pub(crate) fn span(batch: &[u8]) -> Result<(Offset, Offset), FoldError> {
    let header = BatchHeader::read(batch).ok_or(FoldError::NoBatch)?;
    let (base, last) = (header.base_offset, header.last_offset());
    if base < 0 || last < base {
        return Err(FoldError::NoBatch);
    }
    Ok((base, last.saturating_add(1)))
}

/// Reads the records from `from` on. Control batches hold none. `limit_bytes` bounds the
/// decompressed size; `with_headers` asks for what records say of their columns.
pub(crate) fn decode(
    batch: &Bytes,
    from: Offset,
    limit_bytes: usize,
    with_headers: bool,
) -> Result<Decoded, FoldError> {
    let (base, end) = span(batch)?;
    let fail = |source| FoldError::Batch {
        offset: base,
        source,
    };
    // A rotten value must not get into the table: the raw batch would still tell, a row would not.
    validate::check_intact(batch).map_err(|e| fail(e.into()))?;
    let records = Records::open(batch, limit_bytes).map_err(fail)?;
    if records.header().is_control() {
        return Ok(Decoded::default());
    }
    // Two walks: the first measures, so that the second fills exactly one allocation.
    let mut bytes = 0;
    for record in &records {
        let record = record.map_err(|e| fail(e.into()))?;
        bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    }
    let mut decoded = Decoded::default();
    let mut arena = BytesMut::with_capacity(bytes);
    for record in records.iter().flatten() {
        if record.offset < from || record.offset >= end {
            continue;
        }
        let Ok(key) = check_key(record.key) else {
            decoded.passed_over += 1;
            continue;
        };
        if with_headers && let Some(names) = columns_header(&record) {
            decoded.named.insert(record.offset, names);
        }
        decoded.changes.push(Change {
            key: copy_into(&mut arena, key),
            offset: record.offset,
            timestamp: record.timestamp,
            value: record.value.map(|value| copy_into(&mut arena, value)),
        });
    }
    Ok(decoded)
}

/// The last such header counts, as among duplicates of any other.
fn columns_header(record: &Record<'_>) -> Option<String> {
    let headers = record.headers.clone();
    let named = headers.filter(|(key, _)| *key == COLUMNS_HEADER.as_bytes());
    let value = named.last()?.1?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Copies, so that a row does not pin the frame its batch came in.
fn copy_into(arena: &mut BytesMut, bytes: &[u8]) -> Bytes {
    arena.extend_from_slice(bytes);
    arena.split().freeze()
}

/// The batches that lie side by side in one piece of a read. Bytes behind the last whole batch are
/// left out.
pub(crate) fn batches(mut piece: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let len = BatchHeader::read(&piece)?.total_len();
        (HEADER_LEN..=piece.len())
            .contains(&len)
            .then(|| piece.split_to(len))
    })
}
