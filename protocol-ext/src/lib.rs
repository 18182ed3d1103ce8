//! The wire: how bytes on a connection become messages and back.
//!
//! ```text
//!   [size][header][body]      frame   reads the size, refuses what is too large
//!     │      │       │        header  reads key, version, correlation id, client id
//!     │      │       └─────── decode  walks the body along its shape, then decodes it
//!     │      └─────────────── api_key knows which header goes with which key and version
//!     └────────────────────── frame, fetch_response, ext  write answers as chunks for one vectored write
//! ```
//!
//! Kafka's own messages are the structs of the `kafka-protocol` crate. Its generated decoders
//! trust the counts they read, so nothing reaches them before [`shape`] has walked the same bytes.
//! [`newer`] adds the versions that crate does not have yet; [`ext`] holds the messages that are ours
//! (keys 16000 and up).
//!
//! # Promises
//!
//! - No received byte makes a function here panic; every failure is a [`WireError`].
//! - Memory asked for while decoding is bounded by the bytes that arrived: a count is believed only
//!   as far as bytes back it, and the number of elements in one body is capped.
//! - Payloads are never copied: decoding slices the frame, encoding keeps [`Rope`] pieces as they are.
//! - No IO, no clock, no async runtime, no Arrow.

pub mod api_key;
mod decode;
mod error;
pub mod error_code;
pub mod ext;
pub mod fetch_response;
pub mod frame;
pub mod header;
pub mod newer;
pub mod primitives;
mod rope;
pub mod shape;
pub mod shapes;

pub use decode::decode;
pub use error::{Fault, Malformed, WireError};
pub use error_code::ErrorCode;
pub use kafka_protocol::protocol::StrBytes;
pub use rope::Rope;
