//! The immutable `batches` files: Arrow IPC files with one row per Kafka record batch.
//!
//! ```text
//! StoredBatch ──▶ SegmentWriter ──▶ segments/<file id>.arrow + SegmentMeta (for the manifest)
//!                                             │
//! Fetch ◀── FileRange ◀── SegmentReader ◀─────┘   (SegmentMeta names every byte range it needs)
//! ```
//!
//! Promises:
//! - A file with a final name is complete and durable; it never changes. Its bytes are named by a
//!   manifest only afterwards, so an unnamed file is an orphan and nothing is lost with it.
//! - A batch is stored verbatim. The batches of one block lie side by side in offset order, so a
//!   Fetch is one contiguous range of the file.
//! - A block (Arrow record batch) holds one partition and at most [`BLOCK_BYTES_MAX`] of batches;
//!   a larger Kafka batch goes alone.
//! - Reading trusts no byte: what a crc does not prove is an error that names file, partition and
//!   offset.
//!
//! The bytes are described in `docs/formats/batches-segment.md`.

mod block;
mod cache;
mod file;
mod index;
pub(crate) mod ipc;
mod layout;
pub(crate) mod lru;
pub mod merge;
mod meta;
pub(crate) mod named;
mod reader;
#[cfg(test)]
pub(crate) mod testing;
mod writer;

use bytes::Bytes;
use tidelog_records::BatchHeader;

pub use cache::SegmentCache;
pub use file::{DIRECTORY, FileId, list, prepare, remove};
pub use layout::BLOCK_BYTES_MAX;
pub use meta::{BlockMeta, EpochStart, SegmentKind, SegmentMeta};
pub use named::ReadError;
pub use reader::{Batches, FileRange, SegmentReader};
pub use writer::{SegmentWriter, WriteError};

/// An encapsulated Arrow IPC schema message, as a stream of record batches begins with.
pub fn arrow_schema_message(schema: &arrow_schema::Schema) -> Vec<u8> {
    ipc::schema_message(schema)
}

/// One Kafka record batch with its header already read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    pub header: BatchHeader,
    /// The whole batch, header included, exactly as it is served.
    pub bytes: Bytes,
}

impl StoredBatch {
    /// Reads the header of `bytes`; `None` unless they are exactly one batch by its length field.
    pub fn parse(bytes: Bytes) -> Option<Self> {
        let header = BatchHeader::read(&bytes)?;
        (header.total_len() == bytes.len()).then_some(Self { header, bytes })
    }
}

#[cfg(test)]
mod tests;
