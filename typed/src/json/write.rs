//! Rows as JSON objects: the way back.
//!
//! What is written reads as the same values under the same schema (`docs/formats/typed-json.md`):
//! decimals as exact numbers, binary as base64, dates and times as text (years outside of 0000 to 9999
//! as numbers), map keys as text.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::scalar;

/// A column of a type that no table has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of type {kind} cannot be written as JSON")]
pub struct UnwritableType {
    pub column: String,
    pub kind: String,
}

/// What is left to whoever writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonStyle {
    /// Members that are null are written, else left out.
    pub nulls: bool,
}

/// A number that is none, for which JSON has no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: a number is not finite, and JSON has no text for it")]
pub struct NotFinite {
    pub row: usize,
}

/// Why a row is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("a number is not finite, and JSON has no text for it")]
    NotFinite,
    #[error("more bytes than were allowed")]
    TooLong,
}

/// How values are written, and where it has become too much.
#[derive(Debug, Clone, Copy)]
struct Rules {
    nulls: bool,
    bytes_max: usize,
}

/// The rows of one record batch, ready to be written.
pub struct JsonRows<'a> {
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    /// Quoted, with the colon.
    name: String,
    cells: Cells<'a>,
}

/// A column's values by type.
struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Int(&'a PrimitiveArray<Int32Type>),
    Long(&'a PrimitiveArray<Int64Type>),
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    /// With what stands behind the text: `Z`, or nothing for a local time.
    Millis(&'a PrimitiveArray<TimestampMillisecondType>, &'static str),
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>, &'static str),
    List(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, Box<Cells<'a>>, Box<Cells<'a>>),
    Struct(Vec<Member<'a>>),
}

impl<'a> JsonRows<'a> {
    /// # Errors
    /// [`UnwritableType`].
    pub fn of(rows: &'a RecordBatch) -> Result<Self, UnwritableType> {
        let schema = rows.schema_ref();
        Ok(Self {
            members: members(schema.fields(), rows.columns())?,
        })
    }

    /// Appends row `row`, which exists, to `out` as one object.
    ///
    /// # Errors
    /// [`NotFinite`]; `out` then ends with half an object.
    pub fn write(&self, row: usize, style: JsonStyle, out: &mut Vec<u8>) -> Result<(), NotFinite> {
        let rules = Rules {
            nulls: style.nulls,
            bytes_max: usize::MAX,
        };
        object(&self.members, row, rules, out).ok_or(NotFinite { row })
    }

    /// As [`write`](Self::write), until `out` holds more than `bytes_max`: a row of many small
    /// values may be a long text. It is passed by one text or one member at most.
    ///
    /// # Errors
    /// [`Unwritable`]; `out` then ends with half an object.
    pub fn write_within(
        &self,
        row: usize,
        style: JsonStyle,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        let nulls = style.nulls;
        let written = object(&self.members, row, Rules { nulls, bytes_max }, out);
        match written {
            _ if out.len() > bytes_max => Err(Unwritable::TooLong),
            Some(()) => Ok(()),
            None => Err(Unwritable::NotFinite),
        }
    }
}

fn members<'a>(
    fields: impl IntoIterator<Item = &'a FieldRef>,
    columns: &'a [arrow_array::ArrayRef],
) -> Result<Vec<Member<'a>>, UnwritableType> {
    let pairs = fields.into_iter().zip(columns);
    pairs
        .map(|(field, column)| {
            Ok(Member {
                name: format!("{}:", serde_json::Value::from(field.name().as_str())),
                cells: Cells::of(field, column.as_ref())?,
            })
        })
        .collect()
}

impl<'a> Cells<'a> {
    fn of(field: &'a Field, column: &'a dyn Array) -> Result<Self, UnwritableType> {
        let zone = |zone: &Option<_>| if zone.is_some() { "Z" } else { "" };
        let values = match column.data_type() {
            DataType::Boolean => Values::Bool(column.as_boolean()),
            DataType::Int32 => Values::Int(column.as_primitive()),
            DataType::Int64 => Values::Long(column.as_primitive()),
            DataType::Float32 => Values::Float(column.as_primitive()),
            DataType::Float64 => Values::Double(column.as_primitive()),
            DataType::Decimal128(_, scale) => Values::Decimal(column.as_primitive(), *scale),
            DataType::Utf8 => Values::Text(column.as_string()),
            DataType::Binary => Values::Binary(column.as_binary()),
            DataType::Date32 => Values::Date(column.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(column.as_primitive()),
            DataType::Timestamp(TimeUnit::Millisecond, tz) => {
                Values::Millis(column.as_primitive(), zone(tz))
            }
            DataType::Timestamp(TimeUnit::Microsecond, tz) => {
                Values::Micros(column.as_primitive(), zone(tz))
            }
            DataType::List(element) => {
                let list = column.as_list();
                let items = Cells::of(element, list.values().as_ref())?;
                Values::List(list, Box::new(items))
            }
            DataType::Map(entries, _) => {
                let map = column.as_map();
                let side = |at: usize| match entries.data_type() {
                    DataType::Struct(pair) if pair.len() == 2 => {
                        Cells::of(&pair[at], map.entries().column(at).as_ref())
                    }
                    _ => Err(unwritable(field)),
                };
                Values::Map(map, Box::new(side(0)?), Box::new(side(1)?))
            }
            DataType::Struct(fields) => {
                Values::Struct(members(fields, column.as_struct().columns())?)
            }
            _ => return Err(unwritable(field)),
        };
        Ok(Self {
            nulls: column.nulls(),
            values,
        })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// `None` for a number that is not finite, and when it has become too much.
    fn write(&self, row: usize, rules: Rules, out: &mut Vec<u8>) -> Option<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Some(());
        }
        match &self.values {
            Values::List(list, items) => {
                let ends = list.value_offsets();
                sequence(ends, row, (b'[', b']'), rules, out, |at, out| {
                    items.write(at, rules, out)
                })
            }
            Values::Map(map, keys, values) => {
                let ends = map.value_offsets();
                sequence(ends, row, (b'{', b'}'), rules, out, |at, out| {
                    keys.write_key(at, rules, out)?;
                    out.push(b':');
                    values.write(at, rules, out)
                })
            }
            Values::Struct(members) => object(members, row, rules, out),
            values => values.write_plain(row, out),
        }
    }

    /// A map's key as text.
    fn write_key(&self, row: usize, rules: Rules, out: &mut Vec<u8>) -> Option<()> {
        if let Values::Text(_) = self.values {
            return self.write(row, rules, out);
        }
        out.push(b'"');
        self.write(row, rules, out)?;
        out.push(b'"');
        Some(())
    }
}

impl Values<'_> {
    /// A value without others inside.
    fn write_plain(&self, row: usize, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool(bits) => put(out, format_args!("{}", bits.value(row))),
            Self::Int(values) => put(out, format_args!("{}", values.value(row))),
            Self::Long(values) => put(out, format_args!("{}", values.value(row))),
            Self::Float(values) => number(values.value(row).is_finite(), values.value(row), out)?,
            Self::Double(values) => number(values.value(row).is_finite(), values.value(row), out)?,
            Self::Decimal(values, scale) => {
                put(
                    out,
                    format_args!("{}", scalar::Decimal(values.value(row), *scale)),
                );
            }
            Self::Text(texts) => quoted(texts.value(row), out),
            Self::Binary(blobs) => quoted(&STANDARD.encode(blobs.value(row)), out),
            Self::Date(days) => match scalar::date_text(days.value(row).into()) {
                Some(text) => quoted(&text, out),
                None => put(out, format_args!("{}", days.value(row))),
            },
            Self::Time(values) => quoted(&scalar::time_text(values.value(row)), out),
            Self::Millis(values, zone) => {
                let (count, us) = (values.value(row), values.value(row).checked_mul(1000));
                moment(count, us, zone, out);
            }
            Self::Micros(values, zone) => {
                moment(values.value(row), Some(values.value(row)), zone, out);
            }
            // Written by who holds what is inside.
            Self::List(..) | Self::Map(..) | Self::Struct(_) => {}
        }
        Some(())
    }
}

fn object(members: &[Member<'_>], row: usize, rules: Rules, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'{');
    let mut is_first = true;
    for member in members {
        if !rules.nulls && member.cells.is_null(row) {
            continue;
        }
        if out.len() > rules.bytes_max {
            return None;
        }
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        out.extend_from_slice(member.name.as_bytes());
        member.cells.write(row, rules, out)?;
    }
    out.push(b'}');
    Some(())
}

/// The items of list `row`, between brackets.
fn sequence(
    ends: &[i32],
    row: usize,
    (open, close): (u8, u8),
    rules: Rules,
    out: &mut Vec<u8>,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    out.push(open);
    // Arrow's offsets ascend and are not negative.
    let (first, end) = (ends[row] as usize, ends[row + 1] as usize);
    for at in first..end {
        if out.len() > rules.bytes_max {
            return None;
        }
        if at > first {
            out.push(b',');
        }
        write(at, out)?;
    }
    out.push(close);
    Some(())
}

/// As text if its year has four digits.
fn moment(count: i64, us: Option<i64>, zone: &str, out: &mut Vec<u8>) {
    match us.and_then(scalar::moment_text) {
        Some(text) => quoted(&format!("{text}{zone}"), out),
        None => put(out, format_args!("{count}")),
    }
}

fn number(is_finite: bool, value: impl serde::Serialize, out: &mut Vec<u8>) -> Option<()> {
    is_finite.then(|| append(&value, out))
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    append(&text, out);
}

fn append(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Texts and finite numbers have a JSON form, and a vector takes every byte.
    let _ = serde_json::to_writer(out, value);
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // A vector takes every byte.
    let _ = out.write_fmt(text);
}

fn unwritable(field: &Field) -> UnwritableType {
    UnwritableType {
        column: field.name().clone(),
        kind: field.data_type().to_string(),
    }
}
