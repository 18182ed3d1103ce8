//! Arrow's schema and record batch messages, as they travel in requests and answers.
//!
//! ```text
//! ff ff ff ff | length i32 | flatbuffer: what it is | body: the buffers of a record batch
//! bytes ─► read_schema ─► Schema ─┬─► read_rows ─► RecordBatch …
//! bytes ──────────────────────────┘
//! RecordBatch ─► schema_message, rows_message ─► bytes
//! ```
//!
//! Promises:
//! - **Nothing is believed.** Whatever the bytes are, they become valid arrays or a [`Fault`]; nothing
//!   panics, and no memory is taken for what is merely claimed, but for compressed buffers, up to the
//!   bound the caller gives.
//! - **Only what tables are made of.** No dictionaries, views, unions or run-end encoding.
//!
//! Source: Arrow columnar format, "Serialization and Interprocess Communication", metadata version 5.
//! No IO, no Kafka.

mod rows;
mod schema;
mod write;

use flatbuffers::VerifierOptions;

pub use rows::{codec_of, read_first, read_rows};
pub use schema::read_schema;
pub use write::{Compression, rows_message, schema_message};

const CONTINUATION: [u8; 4] = [0xff; 4];

/// What a flatbuffer may come to when everything in it that is shared is looked at each time: this
/// many times its bytes, and some.
const APPARENT_FACTOR: usize = 16;
const APPARENT_FLOOR_BYTES: usize = 64 << 10;
/// Most tables in one flatbuffer: a schema of 10,000 columns has some 50,000.
const TABLES_MAX: usize = 200_000;

/// What is wrong with messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// One that Arrow's format does not allow, or not with this schema.
    #[error("malformed Arrow message: {0}")]
    Malformed(String),
    /// A schema with a type that is not known here.
    #[error("column {column}: {what}")]
    Type { column: String, what: String },
    /// The bytes of a column are not those that were written.
    #[error("column {column} does not match its checksum")]
    Checksum { column: String },
    /// There is not one checksum for each message and column.
    #[error("{got} checksums for {columns} columns")]
    ChecksumCount { got: usize, columns: usize },
    /// More than was allowed.
    #[error("rows of more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
}

fn malformed(reason: impl ToString) -> Fault {
    Fault::Malformed(reason.to_string())
}

/// Splits one framed message into its flatbuffer and what follows; `None` if it is cut short.
fn unframe(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&CONTINUATION)?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(i32::from_le_bytes(*length)).ok()?)
}

/// The message in a flatbuffer, walked before it is believed.
fn verified(flatbuffer: &[u8]) -> Result<arrow_ipc::Message<'_>, Fault> {
    let apparent = flatbuffer.len().saturating_mul(APPARENT_FACTOR);
    let options = VerifierOptions {
        max_apparent_size: apparent.saturating_add(APPARENT_FLOOR_BYTES),
        max_tables: TABLES_MAX,
        ..VerifierOptions::default()
    };
    arrow_ipc::root_as_message_with_opts(&options, flatbuffer).map_err(malformed)
}
