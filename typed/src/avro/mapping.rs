//! THE table from Avro types to column types: what `docs/formats/typed-avro.md` publishes, and
//! what drafts and plans are both made by.

use super::schema::{Form, Logical, Record, Schema, Type, TypeId};
use crate::schema::{Kind, TimeUnit};

/// Most digits of a decimal column.
const DIGITS_MAX: u32 = 38;

/// What values of a type come to in a table.
pub(super) enum Shape<'s> {
    /// No value: null.
    Nothing,
    Plain(Kind, Plain),
    /// A union of null and one other type: `null` is its place.
    Optional {
        null: usize,
        of: TypeId,
    },
    /// Any other union: a struct with a column for each branch, named by [`Form::label`].
    Branches(&'s [TypeId]),
    List(TypeId),
    /// Keys are strings.
    Map(TypeId),
    Struct(&'s Record),
}

/// How a plain value stands in the bytes, and what of it a column takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plain {
    Boolean,
    Int,
    Long,
    /// A long in milliseconds for a column in microseconds.
    LongTimesThousand,
    TimeMillis,
    TimeMicros,
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    /// Sixteen bytes that become the text of a UUID.
    Uuid,
    /// Two's complement in `size` bytes, or in as many as are said before them. At most
    /// `precision` digits, which are the column's once a plan is made.
    Decimal {
        size: Option<usize>,
        precision: u8,
    },
    /// The symbol whose place is given; the symbols are the type's.
    Symbol(TypeId),
}

/// What type `id` comes to.
pub(super) fn shape(schema: &Schema, id: TypeId) -> Shape<'_> {
    let of = schema.get(id);
    match &of.form {
        Form::Null => Shape::Nothing,
        Form::Array(items) => Shape::List(*items),
        Form::Map(values) => Shape::Map(*values),
        Form::Record(record) => Shape::Struct(record),
        Form::Union(branches) => union(schema, branches),
        _ => {
            let (kind, plain) = plain(of, id);
            Shape::Plain(kind, plain)
        }
    }
}

fn union<'s>(schema: &'s Schema, branches: &'s [TypeId]) -> Shape<'s> {
    let is_null = |id: &TypeId| matches!(schema.form(*id), Form::Null);
    match branches {
        [one] if is_null(one) => Shape::Nothing,
        [null, of] if is_null(null) => Shape::Optional { null: 0, of: *of },
        [of, null] if is_null(null) => Shape::Optional { null: 1, of: *of },
        _ => Shape::Branches(branches),
    }
}

fn plain(of: &Type, id: TypeId) -> (Kind, Plain) {
    use TimeUnit::{Microsecond, Millisecond};
    if let Some(Logical::Decimal { precision, scale }) = of.logical
        && let Some(decimal) = decimal(&of.form, precision, scale)
    {
        return decimal;
    }
    match (&of.form, of.logical) {
        (Form::Int, Some(Logical::Date)) => (Kind::Date, Plain::Int),
        (Form::Int, Some(Logical::TimeMillis)) => (Kind::Time, Plain::TimeMillis),
        (Form::Int, _) => (Kind::Int, Plain::Int),
        (Form::Long, Some(Logical::TimeMicros)) => (Kind::Time, Plain::TimeMicros),
        (Form::Long, logical) => {
            let kind = match logical {
                Some(Logical::TimestampMillis) => Kind::Timestamp(Millisecond),
                Some(Logical::TimestampMicros) => Kind::Timestamp(Microsecond),
                Some(Logical::LocalTimestampMillis) => Kind::LocalTimestamp(Millisecond),
                Some(Logical::LocalTimestampMicros) => Kind::LocalTimestamp(Microsecond),
                _ => Kind::Long,
            };
            (kind, Plain::Long)
        }
        (Form::Boolean, _) => (Kind::Bool, Plain::Boolean),
        (Form::Float, _) => (Kind::Float, Plain::Float),
        (Form::Double, _) => (Kind::Double, Plain::Double),
        (Form::String, _) => (Kind::String, Plain::Text),
        (Form::Enum(_), _) => (Kind::String, Plain::Symbol(id)),
        (Form::Fixed(_), Some(Logical::Uuid)) => (Kind::String, Plain::Uuid),
        (Form::Fixed(fixed), _) => (Kind::Binary, Plain::Fixed(fixed.size)),
        // Bytes; the other forms are not plain.
        _ => (Kind::Binary, Plain::Bytes),
    }
}

/// `None` for more digits than a column can have: then the bytes are kept.
fn decimal(form: &Form, precision: u32, scale: u32) -> Option<(Kind, Plain)> {
    let size = match form {
        Form::Fixed(fixed) => Some(fixed.size),
        _ => None,
    };
    let fits = precision <= DIGITS_MAX;
    let precision = u8::try_from(precision).ok().filter(|_| fits)?;
    let scale = u8::try_from(scale).ok()?;
    let kind = Kind::Decimal { precision, scale };
    Some((kind, Plain::Decimal { size, precision }))
}
