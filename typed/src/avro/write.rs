//! Rows as Avro values: the way back.
//!
//! Rows are written under any schema whose columns they have: the one that [`schema_text`] makes of
//! them, or a writer's own, for which this undoes what a [`Plan`] does. Columns and fields meet by
//! name; types have to be those of the writer's own table. A field without a column is null, where
//! its type has null.
//!
//! The same row always has the same bytes: items of a list stand in one block, decimals are as short
//! as they can be.
//!
//! [`schema_text`]: super::schema_text
//! [`Plan`]: super::Plan

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, RecordBatch, StringArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Fields, TimeUnit};

use super::cursor::{Outcome, Stop};
use super::draft::ROOT;
use super::mapping::{Plain, Shape, shape};
use super::put::{put_bytes, put_decimal, put_long, put_place, uuid};
use super::schema::{Form, Record, Schema, TypeId};
use super::{Mismatch, Writer};
use crate::json::{Fault, Reason};

/// The rows of one record batch, ready to be written.
pub struct AvroRows<'a> {
    members: Vec<Member<'a>>,
}

/// A field of a record.
struct Member<'a> {
    name: &'a str,
    of: Cells<'a>,
}

/// The values of one type.
struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    /// There is no column: the same bytes in every row.
    Absent(Vec<u8>),
    Bool(&'a BooleanArray),
    Int(&'a [i32]),
    Long(&'a [i64]),
    /// In microseconds, written in milliseconds.
    TimeMillis(&'a [i64]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Fixed(&'a BinaryArray, usize),
    /// Text written as sixteen bytes.
    Uuid(&'a StringArray),
    /// Text written as its place among the symbols.
    Symbol(&'a StringArray, &'a [String]),
    /// In `size` bytes, or in as many as it takes behind their number.
    Decimal {
        values: &'a [i128],
        size: Option<usize>,
    },
    /// Null is the branch in place `null`, what is inside the other.
    Optional {
        null: usize,
        of: Box<Cells<'a>>,
    },
    /// In the order of the union.
    Branches(Vec<Branch<'a>>),
    List(&'a [i32], Box<Cells<'a>>),
    /// With the keys.
    Map(&'a [i32], &'a StringArray, Box<Cells<'a>>),
    Struct(Vec<Member<'a>>),
}

/// A branch of a union that is a struct with a column for each.
enum Branch<'a> {
    Null,
    Member(Member<'a>),
    /// A type without a column: no row says that it is meant.
    Absent,
}

impl<'a> AvroRows<'a> {
    /// `rows` under what `writer` writes.
    ///
    /// # Errors
    /// [`Mismatch`] for a column without a field or of another type, and for a field that has neither
    /// column nor null.
    pub fn of(writer: &'a Writer, rows: &'a RecordBatch) -> Result<Self, Mismatch> {
        let schema = &*writer.schema;
        let fields = rows.schema_ref().fields();
        let members = match shape(schema, schema.root()) {
            Shape::Struct(record) => members(schema, record, fields, rows.columns())?,
            _ => {
                let place = fields.iter().position(|field| field.name() == ROOT);
                let column = place
                    .filter(|_| fields.len() == 1)
                    .ok_or_else(|| Mismatch {
                        column: ROOT.to_owned(),
                        what: "has to be the one column of values that are no records".to_owned(),
                    })?;
                let of = Cells::of(schema, schema.root(), rows.column(column).as_ref())?;
                vec![Member { name: ROOT, of }]
            }
        };
        Ok(Self { members })
    }

    /// Appends the value of row `row`, which exists, to `out`.
    ///
    /// # Errors
    /// What the schema has no value for: null where it has none, text that is no symbol, binary of
    /// another length. `out` is then as before.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        let start = out.len();
        record(&self.members, row, out).map_err(|stop| {
            out.truncate(start);
            let Stop { path, fault } = *stop;
            Reason::Field { path, fault }
        })
    }
}

fn members<'a>(
    schema: &'a Schema,
    record: &'a Record,
    fields: &Fields,
    columns: &'a [ArrayRef],
) -> Result<Vec<Member<'a>>, Mismatch> {
    let is_known = |name: &String| record.fields.iter().any(|field| field.name == *name);
    if let Some(field) = fields.iter().find(|field| !is_known(field.name())) {
        return Err(mismatch(field.name(), "is no field of the schema"));
    }
    let members = record.fields.iter().map(|field| {
        let column = fields
            .iter()
            .position(|column| *column.name() == field.name);
        let of = match column {
            Some(place) => Cells::of(schema, field.of, columns[place].as_ref())
                .map_err(|inner| inner.within(&field.name))?,
            None => Cells::absent(schema, field.of).ok_or_else(|| {
                mismatch(&field.name, "is a field that is not null, without a column")
            })?,
        };
        let name = &*field.name;
        Ok(Member { name, of })
    });
    members.collect()
}

impl<'a> Cells<'a> {
    fn of(schema: &'a Schema, id: TypeId, column: &'a dyn Array) -> Result<Self, Mismatch> {
        let differs = || {
            let of = column.data_type();
            mismatch(
                "",
                format!("is {of}, which {} does not hold", schema.form(id).name()),
            )
        };
        let values = match (shape(schema, id), column.data_type()) {
            (Shape::Plain(kind, plain), of) if crate::arrow::data_type(&kind) == *of => {
                Values::plain(schema, plain, column).ok_or_else(differs)?
            }
            (Shape::Optional { null, of }, _) => Values::Optional {
                null,
                of: Box::new(Self::of(schema, of, column)?),
            },
            (Shape::List(items), DataType::List(_)) => {
                let list = column.as_list::<i32>();
                let items = Self::of(schema, items, list.values().as_ref());
                let items = items.map_err(|inner| inner.within("[]"))?;
                Values::List(list.value_offsets(), Box::new(items))
            }
            (Shape::Map(values), DataType::Map(..)) => {
                let map = column.as_map();
                let keys = map.keys().as_string_opt().ok_or_else(differs)?;
                let values = Self::of(schema, values, map.values().as_ref());
                let values = values.map_err(|inner| inner.within("{}"))?;
                Values::Map(map.value_offsets(), keys, Box::new(values))
            }
            (Shape::Struct(record), DataType::Struct(fields)) => Values::Struct(members(
                schema,
                record,
                fields,
                column.as_struct().columns(),
            )?),
            (Shape::Branches(union), DataType::Struct(fields)) => Values::Branches(branches(
                schema,
                union,
                fields,
                column.as_struct().columns(),
            )?),
            _ => return Err(differs()),
        };
        let nulls = column.nulls();
        Ok(Self { nulls, values })
    }

    /// A type without a column; `None` if it has no value that stands for that.
    fn absent(schema: &Schema, id: TypeId) -> Option<Self> {
        let mut bytes = Vec::new();
        nothing(schema, id, &mut bytes).then_some(Self {
            nulls: None,
            values: Values::Absent(bytes),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Outcome<()> {
        match &self.values {
            Values::Absent(bytes) => out.extend_from_slice(bytes),
            Values::Optional { null, .. } if self.is_null(row) => put_place(*null, out),
            Values::Optional { null, of } => {
                put_place(1 - null, out);
                of.write(row, out)?;
            }
            Values::Branches(branches) => one_of(branches, row, self.is_null(row), out)?,
            _ if self.is_null(row) => return Err(Stop::new(Fault::Missing)),
            Values::List(ends, items) => block(ends, row, out, |at, out| {
                items.write(at, out).map_err(|stop| stop.within("[]"))
            })?,
            Values::Map(ends, keys, values) => block(ends, row, out, |at, out| {
                put_bytes(keys.value(at).as_bytes(), out);
                values.write(at, out).map_err(|stop| stop.within("{}"))
            })?,
            Values::Struct(members) => record(members, row, out)?,
            plain => plain.write_plain(row, out)?,
        }
        Ok(())
    }
}

impl<'a> Values<'a> {
    /// A column of the type that `plain` fills.
    fn plain(schema: &'a Schema, plain: Plain, column: &'a dyn Array) -> Option<Self> {
        Some(match plain {
            Plain::Boolean => Self::Bool(column.as_boolean_opt()?),
            Plain::Int => Self::Int(ints(column)?),
            // The writer's own table counts as the writer does.
            Plain::Long | Plain::LongTimesThousand | Plain::TimeMicros => {
                Self::Long(longs(column)?)
            }
            Plain::TimeMillis => Self::TimeMillis(longs(column)?),
            Plain::Float => Self::Float(numbers::<Float32Type>(column)?),
            Plain::Double => Self::Double(numbers::<Float64Type>(column)?),
            Plain::Text => Self::Text(column.as_string_opt()?),
            Plain::Bytes => Self::Bytes(column.as_binary_opt()?),
            Plain::Fixed(size) => Self::Fixed(column.as_binary_opt()?, size),
            Plain::Uuid => Self::Uuid(column.as_string_opt()?),
            Plain::Decimal { size, .. } => Self::Decimal {
                values: numbers::<Decimal128Type>(column)?,
                size,
            },
            Plain::Symbol(id) => match schema.form(id) {
                Form::Enum(of) => Self::Symbol(column.as_string_opt()?, &of.symbols),
                _ => return None,
            },
        })
    }

    /// A value without others inside.
    fn write_plain(&self, row: usize, out: &mut Vec<u8>) -> Outcome<()> {
        let not_of = |expected: &str| {
            let expected = expected.to_owned();
            Stop::new(Fault::Value { expected })
        };
        match self {
            Self::Bool(bits) => out.push(u8::from(bits.value(row))),
            Self::Int(values) => put_long(values[row].into(), out),
            Self::Long(values) => put_long(values[row], out),
            Self::TimeMillis(values) => match values[row] {
                us if us % 1000 == 0 => put_long(us / 1000, out),
                _ => return Err(not_of("time in milliseconds")),
            },
            Self::Float(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Double(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Text(texts) => put_bytes(texts.value(row).as_bytes(), out),
            Self::Bytes(blobs) => put_bytes(blobs.value(row), out),
            Self::Fixed(blobs, size) => match blobs.value(row) {
                blob if blob.len() == *size => out.extend_from_slice(blob),
                _ => return Err(not_of(&format!("fixed of {size} bytes"))),
            },
            Self::Uuid(texts) => match uuid(texts.value(row)) {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => return Err(not_of("uuid")),
            },
            Self::Symbol(texts, symbols) => {
                let place = symbols.iter().position(|one| one == texts.value(row));
                put_place(place.ok_or_else(|| not_of("enum"))?, out);
            }
            Self::Decimal { values, size } => {
                if !put_decimal(values[row], *size, out) {
                    return Err(not_of("decimal"));
                }
            }
            // Written by who holds what is inside.
            Self::Absent(_) | Self::Optional { .. } | Self::Branches(_) => {}
            Self::List(..) | Self::Map(..) | Self::Struct(_) => {}
        }
        Ok(())
    }
}

fn record(members: &[Member<'_>], row: usize, out: &mut Vec<u8>) -> Outcome<()> {
    members.iter().try_for_each(|member| {
        let written = member.of.write(row, out);
        written.map_err(|stop| stop.within(member.name))
    })
}

/// The branches of a union, each with the member that is called as it is.
fn branches<'a>(
    schema: &'a Schema,
    union: &'a [TypeId],
    fields: &Fields,
    columns: &'a [ArrayRef],
) -> Result<Vec<Branch<'a>>, Mismatch> {
    let label = |id: &TypeId| schema.form(*id).label();
    if let Some(field) = fields
        .iter()
        .find(|field| !union.iter().any(|id| label(id) == field.name()))
    {
        return Err(mismatch(field.name(), "is no branch of the union"));
    }
    let branch = |id: &'a TypeId| {
        if let Form::Null = schema.form(*id) {
            return Ok(Branch::Null);
        }
        let name = label(id);
        let Some(place) = fields.iter().position(|field| field.name() == name) else {
            return Ok(Branch::Absent);
        };
        let of = Cells::of(schema, *id, columns[place].as_ref());
        let of = of.map_err(|inner| inner.within(name))?;
        Ok(Branch::Member(Member { name, of }))
    };
    union.iter().map(branch).collect()
}

/// The one member that is not null, or the null that the struct is.
fn one_of(branches: &[Branch<'_>], row: usize, is_null: bool, out: &mut Vec<u8>) -> Outcome<()> {
    let is_meant = |branch: &Branch<'_>| match branch {
        Branch::Null => is_null,
        Branch::Member(member) => !is_null && !member.of.is_null(row),
        Branch::Absent => false,
    };
    let mut meant = branches
        .iter()
        .enumerate()
        .filter(|(_, branch)| is_meant(branch));
    match (meant.next(), meant.next()) {
        (Some((place, branch)), None) => {
            put_place(place, out);
            match branch {
                Branch::Member(Member { name, of }) => {
                    of.write(row, out).map_err(|stop| stop.within(name))
                }
                Branch::Null | Branch::Absent => Ok(()),
            }
        }
        (None, _) if is_null => Err(Stop::new(Fault::Missing)),
        _ => {
            let expected = "a union: one member that is not null".to_owned();
            Err(Stop::new(Fault::Value { expected }))
        }
    }
}

/// The items of list `row` as one block, and the end.
fn block(
    ends: &[i32],
    row: usize,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Outcome<()>,
) -> Outcome<()> {
    // Arrow's offsets ascend and are not negative.
    let (first, end) = (ends[row] as usize, ends[row + 1] as usize);
    if end > first {
        put_place(end - first, out);
        (first..end).try_for_each(|at| item(at, out))?;
    }
    out.push(0);
    Ok(())
}

/// Appends the value that stands for "no column"; false if there is none.
fn nothing(schema: &Schema, id: TypeId, out: &mut Vec<u8>) -> bool {
    match schema.form(id) {
        Form::Null => true,
        Form::Union(branches) => {
            let is_null = |id: &TypeId| matches!(schema.form(*id), Form::Null);
            let place = branches.iter().position(is_null);
            place.inspect(|place| put_place(*place, out)).is_some()
        }
        Form::Record(record) => {
            let mut fields = record.fields.iter();
            fields.all(|field| nothing(schema, field.of, out))
        }
        _ => false,
    }
}

fn numbers<T: ArrowPrimitiveType>(column: &dyn Array) -> Option<&[T::Native]> {
    Some(column.as_primitive_opt::<T>()?.values())
}

/// What is 32 bits wide.
fn ints(column: &dyn Array) -> Option<&[i32]> {
    match column.data_type() {
        DataType::Date32 => numbers::<Date32Type>(column),
        _ => numbers::<Int32Type>(column),
    }
}

/// What is 64 bits wide.
fn longs(column: &dyn Array) -> Option<&[i64]> {
    match column.data_type() {
        DataType::Time64(_) => numbers::<Time64MicrosecondType>(column),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            numbers::<TimestampMillisecondType>(column)
        }
        DataType::Timestamp(..) => numbers::<TimestampMicrosecondType>(column),
        _ => numbers::<Int64Type>(column),
    }
}

fn mismatch(column: &str, what: impl Into<String>) -> Mismatch {
    Mismatch {
        column: column.to_owned(),
        what: what.into(),
    }
}
