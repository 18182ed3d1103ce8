//! The schema registry: subjects, versions and ids of schemas, and the rules new ones obey.
//!
//! ```text
//! request ─▶ prepare (parse, compare with older versions; may take its time)
//!               └─▶ Command ─▶ decide ─▶ records ─▶ log ─▶ apply ─▶ a clone for readers
//! ```
//!
//! [`Registry`] is a value: what the log of [`Record`]s so far has made. [`Registry::decide`] turns a
//! [`Command`] into records and an answer, quickly, for it runs in the one owner of the state; whatever
//! parses schemas is done before, by [`Registry::prepare`], on an image that may be a moment old. The
//! command carries what it rested on, and is refused if that has changed meanwhile ([`Refusal::Raced`]);
//! [`Service`] then does it again. [`http`] is the REST API of Confluent's registry over a [`Service`].
//!
//! No I/O, no clock, no threads: a [`Store`] has these.
//!
//! Invariants:
//! - An id stands for one schema, and a schema (text, type, references, metadata, rules) has one id, in
//!   whatever subjects it is; ids are never given twice, also after a permanent delete.
//! - A version that a version still there refers to is not deleted; what is stored can be resolved.
//! - Live image = image replayed from the log = image of a checkpoint and what follows it.

mod change;
mod command;
pub mod compat;
mod delete;
pub mod http;
mod image;
mod read;
mod record;
mod refusal;
mod register;
mod schema;
mod service;
mod settings;
mod subject;

pub use command::{Command, Outcome};
pub use image::{Held, Registry, Stored, Subject};
pub use read::{Found, Resolved};
pub use record::{FORMAT_VERSION, Record, RecordError};
pub use refusal::Refusal;
pub use register::{Preparation, Prepared, Registration};
pub use schema::{Format, Reference, Schema, SchemaId, Version, VersionRef};
pub use service::{Service, Store, Work};
pub use settings::{Config, ConfigUpdate, Level, Mode, Settings};
pub use subject::{Scope, scope, subject};

/// Longest text of a schema in bytes, as it is kept.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// All schemas, subjects and versions together, in bytes of memory; bounds what clients can make this
/// process hold.
pub const REGISTRY_BYTES_MAX: usize = 128 << 20;

/// Schemas one schema may refer to, those they refer to counted in.
pub const REFERENCES_MAX: usize = 1000;

/// Texts of all schemas one schema refers to, in bytes.
pub const REFERENCED_BYTES_MAX: usize = 16 << 20;
