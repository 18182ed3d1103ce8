//! Durable full-row checkpoints: what a table consists of where the log no longer says.
//!
//! ```text
//! engine snapshot ─▶ write ─▶ checkpoints/<file id>.arrow + CheckpointMeta (for the manifest)
//! new engine ◀─ load ◀─ CheckpointReader ◀─┘
//! ```
//!
//! Promises:
//! - A file with a final name is complete and durable, and never changes. The manifest names it only
//!   afterwards; an unnamed one is an orphan.
//! - The newest two are kept. Retention never passes the older one's offset, so that either of them
//!   and the log make the table.
//! - Reading trusts no byte: the whole file's crc is checked before a row is looked at.
//!
//! The bytes are described in `docs/formats/key-checkpoint.md`.

mod file;
mod load;
mod policy;
mod reader;
mod writer;

pub use file::{prepare, sweep};
pub use load::{LoadError, load};
pub use policy::{Kept, is_due, keep_newest, usable};
pub use reader::{CheckpointReader, ReadError};
pub use tidelog_storage::checkpoint::{CheckpointMeta, DIRECTORY, path, remove, retention_floor};
pub use writer::{WriteError, write, write_by};

/// The newest format version that is written and read. A file asks for no newer reader than it
/// needs: [`VALUES_VERSION`] where all rows are records' values.
pub const FORMAT_VERSION: u16 = 2;

/// The version of a checkpoint without merged rows.
pub const VALUES_VERSION: u16 = 1;

#[cfg(test)]
mod tests;
