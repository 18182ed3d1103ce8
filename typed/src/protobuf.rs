//! Protobuf: schemas of writers, what they look like as tables, and messages into columns.
//!
//! ```text
//! schema text + references ─► Source ─► Writer (one message type) ─► Draft ─► a table's schema
//!                                          └─► Plan (writer × table) ─► append(value) ─► columns
//! ```
//!
//! The wire format is walked once, straight into the columns: no tree of messages between. Promises:
//! - **As Protobuf says**: fields in any order, packed or not, the last occurrence of a field counts,
//!   occurrences of a message are merged, a member of a oneof takes the others back, unknown fields
//!   are passed over.
//! - **Stricter in two places**: a known field in another wire type, and a key twice in one map, are
//!   refused; both mean that something else was meant.
//! - **Bounded.** Recursion is at most as deep as the table's schema, nothing is allocated by a
//!   declared count, and a row that would grow far beyond its value is refused.
//!
//! The mapping of types is in `docs/formats/typed-protobuf.md`.

mod canonical;
pub mod compat;
mod compile;
mod json_value;
mod leaf;
mod mapping;
mod message_index;
mod plan;
mod source;
mod stop;
mod walk;
mod wire;

pub use mapping::Writer;
pub use message_index::{BadIndexes, MessageChoice, parse_message_indexes};
pub use plan::{Mismatch, Plan};
pub use source::{BadSchema, Source};

#[cfg(test)]
mod tests;
