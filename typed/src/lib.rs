//! Records become rows: what a typed topic's schema is, and how record values turn into Arrow
//! columns under it.
//!
//! ```text
//! tidelog.table.schema ─► TableSchema ─► RowSchema ─► Arrow schema of every row of the topic
//! a writer's schema, a sample ─► Draft ─► TableSchema (new, or merged: evolve)
//! record batches (Kafka v2) ─► decode_batches ─► RowBatch { rows, undecodable ─► dead_letters }
//! columns somebody sends ─► Intake ─► ValueRows ─► record values (JSON, Avro, bytes)
//! Avro schema ─► avro::Writer ─► Draft, or with a TableSchema ─► avro::Plan ─► rows
//! ```
//!
//! Promises:
//! - **Rows and undecodable records together are the log.** Every record in the range a
//!   [`RowBatch`] answers for is either a row or an [`Undecodable`] with its reason; only control
//!   batches are neither.
//! - **Strict.** A value is taken as the column's type or refused; nothing is rounded, guessed or
//!   cut, but for what the tables in `docs/formats/typed-{json,avro,protobuf}.md` say.
//! - **A column is its id.** Ids are given once, from 1 on, and travel in `PARQUET:field_id`;
//!   system columns have fixed negative ids ([`system`]).
//! - **Bounded.** One call stops at the rows and bytes it was allowed, at a record boundary; no
//!   input makes it panic or recurse deeper than its schema.
//!
//! No IO, no wire, no clock.

mod arrow;
pub mod avro;
mod column;
mod dead_letters;
mod decode;
mod encode;
pub mod evolve;
pub mod infer;
pub mod intake;
mod json;
pub mod json_schema;
mod json_tree;
pub mod protobuf;
mod row_schema;
mod scalar;
mod schema;
pub mod system;
mod writers;

pub use dead_letters::dead_letters;
pub use decode::{
    DecodeError, DecodeLimits, OffsetRange, RowBatch, Undecodable, Wanted, decode_batches,
};
pub use encode::{EncodeError, ValueForm, ValueRows};
pub use intake::Intake;
pub use json::{Fault, JsonRows, JsonStyle, NotFinite, Reason, Unwritable, UnwritableType};
pub use row_schema::{Growth, RowSchema};
pub use schema::{Draft, Field, Kind, SchemaError, TableSchema, TimeUnit};
pub use writers::{Known, Plan, SchemaRef, VALUE_SCHEMA_HEADER, Writers, WrittenBy, written_by};
