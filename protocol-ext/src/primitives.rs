//! Kafka's primitive types, read with bounds and written without copies.
//!
//! A message is either *flexible* (lengths are unsigned varints of n + 1, 0 meaning null, and every
//! struct ends in a section of tagged fields) or *classic* (lengths are big-endian i16 for text and
//! i32 for bytes and arrays, −1 meaning null). Both sides here take that as a flag.
//!
//! - [`Reader`] never reads past its end and believes a count only as far as bytes back it.
//! - [`Writer`] keeps payloads as references and yields chunks for one vectored write.

mod reader;
mod writer;

pub use reader::{ELEMENTS_MAX, Reader};
pub use writer::Writer;

/// Kafka's limit on the bytes of one string, in flexible versions too.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;

#[cfg(test)]
mod tests;
