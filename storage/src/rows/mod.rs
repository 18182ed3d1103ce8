//! The immutable `rows` files: Arrow IPC files of a typed topic's records, column by column.
//!
//! ```text
//! RecordBatch ─▶ EncodedBlock ─▶ RowsWriter ─▶ segments/<file id>.arrow + RowsMeta (for the manifest)
//!                     │                                  │
//!   live tail ◀───────┤ project                          │ project
//!                     ▼                                  ▼
//! ColumnarFetch ◀─ ProjectedMessage: a new header, and ranges of the columns' bytes as they lie
//! ```
//!
//! Promises:
//! - A file with a final name is complete and durable; it never changes, and a manifest names it
//!   only afterwards.
//! - A projection copies nothing, decompresses nothing and reads nothing but a header that is kept
//!   in a cache. Only a read that begins inside a block decodes that block.
//! - Every column, nested ones too, has a crc32c made when it was encoded. It is sent along, so it
//!   holds from the encoder to the client; what is decoded here is checked first.
//! - One file holds one partition and one schema. Offsets ascend, and rows of one offset stand in one
//!   block; the ranges that blocks cover ascend, too, and hold offsets without a row. A file without a
//!   block answers for a range without any.
//! - Reading trusts no byte that a crc does not prove; damage is an error naming file, partition
//!   and offset.
//!
//! The bytes are described in `docs/formats/rows-segment.md`.

mod block;
mod cut;
mod info;
mod layout;
mod message;
mod meta;
mod projection;
mod reader;
mod shape;
mod stats;
mod writer;

pub use block::{Compression, EncodeError, EncodedBlock};
pub use cut::{Piece, ProjectError, ProjectedMessage};
pub use layout::{BlockLayout, LayoutError};
pub use meta::{RowsBlock, RowsMeta};
pub use projection::Projection;
pub use reader::{RowsCache, RowsReader};
pub use shape::{Shape, UnsupportedType};
pub use stats::{Bound, ColumnStats};
pub use writer::{RowsWriter, WriteError};

/// The column that says where a row belongs: `Int64`, without nulls, ascending; rows of one change
/// share theirs.
pub const OFFSET_COLUMN: &str = "_offset";

/// Version this code writes.
const FORMAT_VERSION: u16 = 1;
/// Oldest version whose readers understand what this code writes.
const MIN_READER: u16 = 1;

/// `len` rounded up to the 8 bytes every Arrow buffer starts at.
fn pad8(len: u64) -> u64 {
    len.next_multiple_of(8)
}

#[cfg(test)]
mod tests;
