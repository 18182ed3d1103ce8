//! Which logical type a type has: one the specification allows on that form, with parameters that
//! make sense. Anything else is ignored, as the specification asks.

use super::schema::{Form, Logical};
use crate::json_tree::{Member, Tree, member};

/// Most digits a column can have.
const DIGITS_MAX: u32 = 38;

/// The logical type that `properties` give to `form`.
pub(super) fn of(form: &Form, properties: &[Member]) -> Option<Logical> {
    let name = member(properties, "logicalType")?.as_text()?;
    Some(match (form, name) {
        (Form::Bytes | Form::Fixed(_), "decimal") => decimal(form, properties)?,
        (Form::Bytes, "big-decimal") => Logical::BigDecimal,
        (Form::String, "uuid") => Logical::Uuid,
        (Form::Fixed(fixed), "uuid") if fixed.size == 16 => Logical::Uuid,
        (Form::Fixed(fixed), "duration") if fixed.size == 12 => Logical::Duration,
        (Form::Int, "date") => Logical::Date,
        (Form::Int, "time-millis") => Logical::TimeMillis,
        (Form::Long, "time-micros") => Logical::TimeMicros,
        (Form::Long, "timestamp-millis") => Logical::TimestampMillis,
        (Form::Long, "timestamp-micros") => Logical::TimestampMicros,
        (Form::Long, "timestamp-nanos") => Logical::TimestampNanos,
        (Form::Long, "local-timestamp-millis") => Logical::LocalTimestampMillis,
        (Form::Long, "local-timestamp-micros") => Logical::LocalTimestampMicros,
        (Form::Long, "local-timestamp-nanos") => Logical::LocalTimestampNanos,
        _ => return None,
    })
}

fn decimal(form: &Form, properties: &[Member]) -> Option<Logical> {
    let number = |value: &Tree| u32::try_from(value.as_i64()?).ok();
    let precision = member(properties, "precision").and_then(number)?;
    let scale = member(properties, "scale").map_or(Some(0), number)?;
    let fits = match form {
        Form::Fixed(fixed) => fits_in(precision, fixed.size),
        _ => true,
    };
    let makes_sense = precision > 0 && scale <= precision && fits;
    makes_sense.then_some(Logical::Decimal { precision, scale })
}

/// True if every number of `precision` digits has room in `bytes` (two's complement).
fn fits_in(precision: u32, bytes: usize) -> bool {
    match bytes {
        0 => false,
        // More than 38 digits become binary anyway: how many more does not matter.
        16.. => true,
        _ if precision > DIGITS_MAX => false,
        _ => 10_i128.pow(precision) - 1 < 1 << (8 * bytes - 1),
    }
}
