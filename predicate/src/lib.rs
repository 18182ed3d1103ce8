//! Predicates on rows: what a reader wants of a table, and which rows and blocks that is.
//!
//! ```text
//! "price > 10 AND city LIKE 'B%'" ─ parse ─► Predicate ─ bind(schema) ─► Bound ─┬ eval(rows)   which rows
//!                    bytes of the wire ─ decode ─►│                             └ prune(stats) whether to look
//!                                                 └─► Display, encode
//! "sum(price)" ─ parse ─► Total ─ Totals::bind(schema) ─► Totals ─ add(rows) ─► finish: one row
//! ```
//!
//! Promises:
//! - **Three-valued, as SQL is.** A comparison with a null is neither true nor false; `NOT` of it
//!   is neither, too; only rows for which the whole is *true* are wanted.
//! - **Exact.** Numbers are compared as the numbers they are: `quantity = 3.5` is false for every
//!   integer and `quantity < 3.5` true for 3. Only floating-point columns take the nearest value of
//!   their own type. NaN equals itself and is greater than all else; −0 equals 0.
//! - **Pruning loses no row.** [`Bound::prune`] says [`Verdict::None`] only where [`Bound::eval`]
//!   would find none, whatever the statistics leave out.
//! - **Text and bytes come back.** `parse(p.to_string())` and `decode(p.encode())` are `p`; a chain of
//!   one part or none comes back from text as what it is equal to.
//! - **Totals are exact**, and those of parts make up those of the whole: see [`Totals`].
//! - **Bounded.** Text, bytes and trees beyond the limits below are refused before they are built;
//!   no input makes this crate panic.
//!
//! The bytes are described in `docs/protocol-ext.md`. No IO, no clock.

mod ast;
mod bind;
mod calendar;
mod column;
mod decimal;
mod eval;
mod lexer;
mod number;
mod parse;
mod pattern;
mod print;
mod prune;
mod totals;
mod truth;
mod value;
mod wire;

pub use ast::{Comparison, Literal, Predicate, TooComplex};
pub use bind::{BindError, Bound, bind, bind_version, resolve};
pub use decimal::Decimal;
pub use eval::WrongRows;
pub use parse::{ParseError, parse};
pub use pattern::{Pattern, PatternError};
pub use prune::{Bounds, Stats, Verdict};
pub use totals::{BadTotal, Function, Total, TotalError, Totals};
pub use value::Value;
pub use wire::DecodeError;

/// Longest text and wire form, in bytes.
pub const BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of `AND`, `OR` and `NOT`.
pub const DEPTH_MAX: usize = 64;
