//! What the tierer is fed: rows of a topic, in offset order, already decoded.
//!
//! The caller (the broker, a test) reads its log; this crate never sees a wire format or a segment
//! file. A [`RowBatch`] covers a range of offsets; offsets in the range without a row (control
//! batches, aborted transactions) are gaps and count as moved.

use arrow_array::RecordBatch;
use thiserror::Error;

/// Arrow names of the system columns a [`RowBatch`] carries besides the value columns.
pub mod column {
    /// `Int64`, not null: the record's offset.
    pub const OFFSET: &str = "_offset";
    /// `Int64` or `Timestamp(ms | µs)`, nullable: Kafka's timestamp; −1 in an `Int64` means none.
    pub const TIMESTAMP: &str = "_timestamp";
    /// Any integer, nullable: 0 = set by the producer, 1 = set at append.
    pub const TIMESTAMP_TYPE: &str = "_timestamp_type";
    /// Any binary, nullable: the record's key, verbatim.
    pub const KEY: &str = "_key";
    /// List of structs of a string and a binary, nullable: the headers in order, duplicates kept.
    pub const HEADERS: &str = "_headers";
    /// Any binary, nullable: the record's value, for `key_value` topics and dead letters only.
    pub const VALUE: &str = "value";
    /// Any text, not null: why a dead letter is no row.
    pub const ERROR: &str = "error";
    /// Any integer, nullable: the registered schema that the value of a dead letter names.
    pub const SCHEMA_ID: &str = "schema_id";
    /// Text, not null, rows of keyed topics only: `insert`, `update_before`, `update_after` or `delete`.
    pub const CHANGE: &str = "_change";
    /// `Int64`, nullable, rows of keyed topics only: the offset of the row that was replaced or deleted;
    /// null only if there was none.
    pub const PREV_OFFSET: &str = "_prev_offset";
}

/// Consecutive offsets of one partition with the rows that exist in them.
#[derive(Debug, Clone)]
pub struct RowBatch {
    pub partition: i32,
    /// First offset covered.
    pub first_offset: i64,
    /// One past the last offset covered.
    pub end_offset: i64,
    /// The rows, by strictly increasing `_offset` within `first_offset..end_offset`. System
    /// columns by name (see [`column`]; all but `_offset` may be missing), value columns by their
    /// field id in the `PARQUET:field_id` metadata.
    ///
    /// For a keyed topic a row is a change of the table: `_change` and `_prev_offset` must be
    /// there too, and an `update_before` (which is passed over) shares its offset with the
    /// `update_after` that follows it.
    pub rows: RecordBatch,
    /// Records of the range that are no rows and go to the dead-letter table: system columns as those
    /// of rows, [`column::VALUE`], [`column::ERROR`] and [`column::SCHEMA_ID`]. No offset is in both.
    pub dead_letters: Option<RecordBatch>,
}

/// One read of a source: at most this much, within one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRange {
    pub partition: i32,
    pub from_offset: i64,
    /// Exclusive; never beyond the stable end of the partition.
    pub to_offset: i64,
    /// Stop at about this many bytes of Arrow, but give at least one row or the whole gap.
    pub bytes_max: usize,
}

/// Where rows come from.
pub trait RowSource: Send {
    /// The next batch from `range.from_offset` on; `None` when the source has nothing there yet.
    /// May block: a pass runs on a background thread.
    ///
    /// # Errors
    /// [`SourceError`] ends the pass; nothing has been committed by it.
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError>;
}

/// Why rows could not be read.
#[derive(Debug, Error)]
#[error("cannot read rows of partition {partition} from offset {offset}: {reason}")]
pub struct SourceError {
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
}

/// Prepared batches as a source; each partition's batches must be given in offset order. A batch
/// is handed out whole, and only to a read that starts at its first offset and reaches its end.
impl RowSource for Vec<RowBatch> {
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError> {
        Ok(self
            .iter()
            .find(|batch| {
                batch.partition == range.partition
                    && batch.first_offset == range.from_offset
                    && batch.end_offset <= range.to_offset
            })
            .cloned())
    }
}
