//! How a table's schema changes, and how rows of the older one are read through the newer.
//!
//! Two ways to change it: [`merge`] lets a writer's new shape join the table, [`alter`] does what a
//! person asked for. Both give a new [`TableSchema`] and leave the old one as it was; [`cast()`] then
//! turns rows written before into rows of the newer schema.
//!
//! Promises:
//! - **A column keeps its id**, whatever its name and place; an id is never given twice.
//! - **Only lossless changes**, and only such as an Iceberg table can follow ([`widens`]): a column
//!   gets wider, loses its *not null*, is added (nullable), renamed, moved or dropped.
//! - **All or nothing.** One alteration that is not allowed refuses the whole list.

mod alter;
mod cast;
mod merge;

pub use alter::{AlterError, Alteration, Place, Target, alter};
pub use cast::{CastError, cast};
pub use merge::{Change, Incompatible, Merged, merge};

use crate::schema::Kind;

/// True for the changes of a column's type that keep every value: int to long, float to double, a
/// decimal to more digits at the same scale. They are the promotions that format versions 2 and 3 of
/// Iceberg share.
pub fn widens(from: &Kind, to: &Kind) -> bool {
    match (from, to) {
        (Kind::Int, Kind::Long) | (Kind::Float, Kind::Double) => true,
        (
            Kind::Decimal { precision, scale },
            Kind::Decimal {
                precision: wider,
                scale: same,
            },
        ) => wider > precision && scale == same,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
