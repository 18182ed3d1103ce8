//! Kafka record batches v2 (magic 2): everything that can be said about one batch without IO.
//!
//! ```text
//! produce ─► validate::check ─► validate::validate_records ─► patch ─► stored verbatim
//! read    ─► Records::open (decompress once) ─► RecordIter ─► Record, borrowed
//! write   ─► BatchBuilder (or control::TxnMarker::to_batch) ─► bytes
//! compact ─► compact::retain, compact::without_records ─► bytes
//! ```
//!
//! Promises:
//! - **Nothing is lost.** Duplicate header keys, their order, keys that are not UTF-8, null
//!   against empty: a batch read record by record and built again holds the same records.
//! - **Hostile bytes are an error.** No function panics on batch or record bytes, trusts a declared
//!   count or length, or holds more decompressed bytes than the limit it was given. The functions
//!   that write into a batch ([`patch`], [`set_base_offset`], [`set_leader_epoch`]) ask for a
//!   batch that was checked before.
//! - **Records are borrowed.** One buffer for each compressed batch, none for an uncompressed one,
//!   nothing for each record.
//! - **Time is an argument.** Timestamps are milliseconds since the Unix epoch, −1 for "none".
//!
//! Source: Kafka documentation, "Record Batch"; KIP-98 (format, markers), KIP-32 (timestamps).

mod build;
pub mod codec;
pub mod compact;
pub mod control;
mod header;
mod iter;
pub mod partitioner;
pub mod patch;
mod record;
pub mod search;
pub mod validate;
mod varint;

pub use build::{BatchBuilder, BuildError};
pub use codec::{Codec, CodecError};
pub use header::{BatchHeader, HEADER_LEN, LOG_OVERHEAD, set_base_offset, set_leader_epoch};
pub use iter::{RecordError, RecordIter, Records, RecordsError};
pub use record::{Header, Headers, Record, RecordFault};
pub use validate::BatchError;
