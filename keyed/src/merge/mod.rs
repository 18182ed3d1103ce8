//! Merge engines: what becomes of the row before when its key comes again.
//!
//! ```text
//! settings ─ EngineSpec::parse ─ bind(columns) ─▶ Rule ─ RuleLog: from which offset on
//!                                                           │
//! batch ─ DecodeColumns ─▶ Block ─▶ Event ─┐                ▼
//!                          row before ─────┴─▶ Rule::fold ─▶ Outcome ─▶ bytes kept
//! ```
//! Promises:
//! - The fold is a function of the log and the rules alone: the same on every replay.
//! - A record is folded by the rule of its offset, and a stored row read by the rule of its own.
//! - `last_row` and `first_row` keep records' values byte for byte and decode nothing; the others
//!   keep [`Cells`], by field id.
//! - What cannot be folded changes nothing. Produce asks first, so that it does not come to that.
//!
//! `docs/formats/merge.md` has the semantics of each engine, and the bytes of a row.

mod block;
mod cells;
mod columns;
mod fold;
mod function;
mod merger;
mod merging;
mod rule;
mod spec;
mod value;
mod varint;

pub use block::{Block, DecodeColumns, DecodeFailed};
pub use cells::{Cells, CellsError};
pub use columns::{arrow_fields, to_arrays};
pub use fold::{Event, MERGED_ROW_BYTES_MAX, Outcome, Refusal};
pub use function::{CombineError, Function, UnknownFunction};
pub use merger::{CellsOfError, Merger};
pub use rule::{Deletes, Engine, Image, Rule, RuleColumn, RuleLog, RulesError, TooEarly};
pub use spec::{Column, EngineChoice, EngineSpec, SpecError};
pub use value::{FieldId, Kind, Unit, UnknownKind, Value};

pub(crate) use merging::{Merged, Merging};
