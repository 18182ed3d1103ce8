//! Rows as Avro values: the way back.
//!
//! The rows' columns are those of the writer's draft, so each stands in the very type that
//! [`shape`] gives it; what a narrower Avro type cannot hold is that row's fault. Columns that are not
//! there are null.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, RecordBatch, StringArray,
};
use arrow_schema::{DataType, TimeUnit};

use super::Writer;
use super::cursor::{Outcome, Stop};
use super::draft::ROOT;
use super::mapping::{Plain, Shape, shape};
use super::put::{put_bytes, put_decimal, put_long, put_place, uuid};
use super::schema::{Form, Record, Schema, TypeId};
use crate::encode::EncodeError;
use crate::json::{Fault, Reason, UnwritableType};

/// The rows of one record batch, ready to be written.
pub(crate) struct AvroRows<'a> {
    schema: &'a Schema,
    root: Cells<'a>,
}

/// A column's values as a type's.
enum Cells<'a> {
    /// The same bytes in every row: a type that holds nothing, or a null.
    Nothing(Vec<u8>),
    /// Nobody sent it. Rows are refused before they come to this.
    Missing,
    Plain(Plain, Leaf<'a>),
    /// A union with null in place `null` and one other type.
    Optional {
        null: usize,
        column: &'a ArrayRef,
        of: Box<Cells<'a>>,
    },
    Branches(Branches<'a>),
    List(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, Box<Cells<'a>>),
    Struct(Vec<(&'a str, Cells<'a>)>),
}

/// A union that is a struct of its branches.
struct Branches<'a> {
    column: &'a ArrayRef,
    /// The bytes of null, if that is a branch.
    null: Option<Vec<u8>>,
    /// The bytes of a branch that holds nothing but is not null.
    empty: Option<Vec<u8>>,
    /// Place, column and values of the others that were sent.
    others: Vec<(usize, &'a ArrayRef, Cells<'a>)>,
}

/// Plain values.
enum Leaf<'a> {
    Bool(&'a BooleanArray),
    /// Ints and dates.
    Int(&'a [i32]),
    /// Longs, times and timestamps.
    Long(&'a [i64]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Decimal(&'a [i128]),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
}

impl Writer {
    /// Rows to be written under this schema, of columns of its draft.
    ///
    /// # Errors
    /// [`UnwritableType`] for columns of other types.
    pub(crate) fn rows<'a>(
        &'a self,
        rows: &'a RecordBatch,
    ) -> Result<AvroRows<'a>, UnwritableType> {
        let schema = &*self.schema;
        let builder = Builder { schema };
        let root = match shape(schema, schema.root()) {
            Shape::Struct(record) => {
                builder.record(record, &|name: &str| rows.column_by_name(name))?
            }
            _ => builder.cells(schema.root(), rows.column_by_name(ROOT))?,
        };
        Ok(AvroRows { schema, root })
    }
}

impl AvroRows<'_> {
    /// Appends row `row`, which exists, to `out` as one value.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` then ends with half a value. `TooLong` soon after `out` holds more than
    /// `bytes_max`.
    pub(crate) fn write_within(
        &self,
        row: usize,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut pen = Pen {
            schema: self.schema,
            bytes_max,
            out,
        };
        let written = pen.write(&self.root, row);
        if pen.out.len() > bytes_max {
            return Err(EncodeError::TooLong);
        }
        written.map_err(|stop| {
            let Stop { path, fault } = *stop;
            EncodeError::Value(Reason::Field { path, fault })
        })
    }
}

struct Builder<'a> {
    schema: &'a Schema,
}

impl<'a> Builder<'a> {
    fn record(
        &self,
        record: &'a Record,
        column: &dyn Fn(&str) -> Option<&'a ArrayRef>,
    ) -> Result<Cells<'a>, UnwritableType> {
        let fields = record.fields.iter();
        let fields = fields.map(|field| {
            let name = field.name.as_str();
            Ok((name, self.cells(field.of, column(name))?))
        });
        Ok(Cells::Struct(fields.collect::<Result<_, _>>()?))
    }

    fn cells(&self, id: TypeId, column: Option<&'a ArrayRef>) -> Result<Cells<'a>, UnwritableType> {
        let Some(column) = column else {
            let nothing = self.nothing(id);
            return Ok(nothing.map_or(Cells::Missing, Cells::Nothing));
        };
        let other = || UnwritableType {
            column: self.schema.form(id).label().to_owned(),
            kind: column.data_type().to_string(),
        };
        Ok(match shape(self.schema, id) {
            Shape::Nothing => Cells::Nothing(self.nothing(id).unwrap_or_default()),
            Shape::Plain(_, plain) => Cells::Plain(plain, leaf(column).ok_or_else(other)?),
            Shape::Optional { null, of } => Cells::Optional {
                null,
                column,
                of: Box::new(self.cells(of, Some(column))?),
            },
            Shape::Branches(branches) => Cells::Branches(self.branches(branches, column)?),
            Shape::List(items) => {
                let list = column.as_list_opt::<i32>().ok_or_else(other)?;
                Cells::List(list, Box::new(self.cells(items, Some(list.values()))?))
            }
            Shape::Map(values) => {
                let map = column.as_map_opt().ok_or_else(other)?;
                map.keys().as_string_opt::<i32>().ok_or_else(other)?;
                Cells::Map(map, Box::new(self.cells(values, Some(map.values()))?))
            }
            Shape::Struct(record) => {
                let members = column.as_struct_opt().ok_or_else(other)?;
                self.record(record, &|name| members.column_by_name(name))?
            }
        })
    }

    fn branches(
        &self,
        branches: &'a [TypeId],
        column: &'a ArrayRef,
    ) -> Result<Branches<'a>, UnwritableType> {
        let mut built = Branches {
            column,
            null: None,
            empty: None,
            others: Vec::new(),
        };
        let members = column.as_struct_opt();
        for (place, id) in branches.iter().enumerate() {
            let form = self.schema.form(*id);
            let sent = members.and_then(|members| members.column_by_name(form.label()));
            if let Form::Null = form {
                built.null = Some(placed(place, &[]));
            } else if let Some(sent) = sent {
                let cells = self.cells(*id, Some(sent))?;
                built.others.push((place, sent, cells));
            } else if self.holds_nothing(*id) {
                let bytes = self.nothing(*id).unwrap_or_default();
                built.empty.get_or_insert_with(|| placed(place, &bytes));
            }
        }
        Ok(built)
    }

    /// Whether a type has no values, and so no column.
    fn holds_nothing(&self, id: TypeId) -> bool {
        match shape(self.schema, id) {
            Shape::Nothing => true,
            Shape::Optional { of, .. } => self.holds_nothing(of),
            Shape::Branches(branches) => branches.iter().all(|id| self.holds_nothing(*id)),
            Shape::Struct(record) => record
                .fields
                .iter()
                .all(|field| self.holds_nothing(field.of)),
            Shape::Plain(..) | Shape::List(_) | Shape::Map(_) => false,
        }
    }

    /// The bytes of no value: a null, or a record of such; `None` for a type that must have one.
    fn nothing(&self, id: TypeId) -> Option<Vec<u8>> {
        match self.schema.form(id) {
            Form::Null => Some(Vec::new()),
            Form::Union(branches) => {
                let is_null = |id: &TypeId| matches!(self.schema.form(*id), Form::Null);
                let null = branches.iter().position(is_null);
                let empty = || branches.iter().position(|id| self.holds_nothing(*id));
                let place = null.or_else(empty)?;
                Some(placed(place, &self.nothing(branches[place])?))
            }
            Form::Record(record) if self.holds_nothing(id) => {
                let fields = record.fields.iter().map(|field| self.nothing(field.of));
                Some(fields.collect::<Option<Vec<_>>>()?.concat())
            }
            _ => None,
        }
    }
}

/// A branch's place and its bytes.
fn placed(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_place(place, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn leaf(column: &ArrayRef) -> Option<Leaf<'_>> {
    use TimeUnit::{Microsecond, Millisecond};
    Some(match column.data_type() {
        DataType::Boolean => Leaf::Bool(column.as_boolean()),
        DataType::Int32 => Leaf::Int(column.as_primitive::<Int32Type>().values()),
        DataType::Date32 => Leaf::Int(column.as_primitive::<Date32Type>().values()),
        DataType::Int64 => Leaf::Long(column.as_primitive::<Int64Type>().values()),
        DataType::Time64(Microsecond) => {
            Leaf::Long(column.as_primitive::<Time64MicrosecondType>().values())
        }
        DataType::Timestamp(Millisecond, _) => {
            Leaf::Long(column.as_primitive::<TimestampMillisecondType>().values())
        }
        DataType::Timestamp(Microsecond, _) => {
            Leaf::Long(column.as_primitive::<TimestampMicrosecondType>().values())
        }
        DataType::Float32 => Leaf::Float(column.as_primitive::<Float32Type>().values()),
        DataType::Float64 => Leaf::Double(column.as_primitive::<Float64Type>().values()),
        DataType::Decimal128(..) => Leaf::Decimal(column.as_primitive::<Decimal128Type>().values()),
        DataType::Utf8 => Leaf::Text(column.as_string()),
        DataType::Binary => Leaf::Binary(column.as_binary()),
        _ => return None,
    })
}

/// Writes one value.
struct Pen<'o, 's> {
    schema: &'s Schema,
    bytes_max: usize,
    out: &'o mut Vec<u8>,
}

impl Pen<'_, '_> {
    fn write(&mut self, cells: &Cells<'_>, row: usize) -> Outcome<()> {
        if self.out.len() > self.bytes_max {
            return Err(Stop::new(Fault::Full));
        }
        match cells {
            Cells::Nothing(bytes) => self.out.extend_from_slice(bytes),
            Cells::Missing => return Err(Stop::new(Fault::Missing)),
            Cells::Plain(plain, values) => return self.plain(*plain, values, row),
            Cells::Optional { null, column, of } => match column.is_null(row) {
                true => put_place(*null, self.out),
                false => {
                    put_place(1 - *null, self.out);
                    return self.write(of, row);
                }
            },
            Cells::Branches(branches) => return self.one_of(branches, row),
            Cells::List(list, items) => {
                return self.block(list.value_offsets(), row, |pen, at| {
                    pen.write(items, at).map_err(|stop| stop.within("[]"))
                });
            }
            Cells::Map(map, values) => {
                let keys = map.keys().as_string::<i32>();
                return self.block(map.value_offsets(), row, |pen, at| {
                    put_bytes(keys.value(at).as_bytes(), pen.out);
                    pen.write(values, at).map_err(|stop| stop.within("{}"))
                });
            }
            Cells::Struct(fields) => {
                for (name, cells) in fields {
                    self.write(cells, row).map_err(|stop| stop.within(name))?;
                }
            }
        }
        Ok(())
    }

    /// All items of a list in one block, and the end.
    fn block(
        &mut self,
        ends: &[i32],
        row: usize,
        mut item: impl FnMut(&mut Self, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        // Arrow's offsets ascend and are not negative.
        let (first, end) = (ends[row] as usize, ends[row + 1] as usize);
        if end > first {
            put_place(end - first, self.out);
            (first..end).try_for_each(|at| item(self, at))?;
        }
        put_place(0, self.out);
        Ok(())
    }

    fn one_of(&mut self, branches: &Branches<'_>, row: usize) -> Outcome<()> {
        let Branches {
            column,
            null,
            empty,
            others,
        } = branches;
        if column.is_null(row) {
            let null = null.as_ref().ok_or_else(|| Stop::new(Fault::Missing))?;
            self.out.extend_from_slice(null);
            return Ok(());
        }
        let mut given = others.iter().filter(|(_, sent, _)| sent.is_valid(row));
        match (given.next(), given.next(), empty) {
            (Some((place, _, cells)), None, _) => {
                put_place(*place, self.out);
                self.write(cells, row)
            }
            (None, _, Some(empty)) => {
                self.out.extend_from_slice(empty);
                Ok(())
            }
            _ => Err(unlike("a union, which takes exactly one of its branches")),
        }
    }

    fn plain(&mut self, plain: Plain, values: &Leaf<'_>, row: usize) -> Outcome<()> {
        let out = &mut *self.out;
        match (plain, values) {
            (Plain::Boolean, Leaf::Bool(bits)) => out.push(bits.value(row).into()),
            (Plain::Int, Leaf::Int(values)) => put_long(values[row].into(), out),
            (Plain::Long | Plain::TimeMicros, Leaf::Long(values)) => put_long(values[row], out),
            (Plain::TimeMillis, Leaf::Long(values)) => match values[row] % 1_000 {
                0 => put_long(values[row] / 1_000, out),
                _ => return Err(unlike("time-millis")),
            },
            (Plain::Float, Leaf::Float(values)) => out.extend(values[row].to_le_bytes()),
            (Plain::Double, Leaf::Double(values)) => out.extend(values[row].to_le_bytes()),
            (Plain::Text, Leaf::Text(texts)) => put_bytes(texts.value(row).as_bytes(), out),
            (Plain::Bytes, Leaf::Binary(blobs)) => put_bytes(blobs.value(row), out),
            (Plain::Fixed(size), Leaf::Binary(blobs)) => match blobs.value(row) {
                bytes if bytes.len() == size => out.extend_from_slice(bytes),
                _ => return Err(unlike(&format!("fixed({size})"))),
            },
            (Plain::Uuid, Leaf::Text(texts)) => match uuid(texts.value(row)) {
                Some(bytes) => out.extend(bytes),
                None => return Err(unlike("uuid")),
            },
            (Plain::Symbol(of), Leaf::Text(texts)) => {
                let Form::Enum(of) = self.schema.form(of) else {
                    return Err(Stop::new(Fault::Missing));
                };
                let text = texts.value(row);
                match of.symbols.iter().position(|symbol| symbol == text) {
                    Some(place) => put_place(place, out),
                    None => return Err(unlike(&format!("enum {}", of.named.name.as_str()))),
                }
            }
            (Plain::Decimal { size, .. }, Leaf::Decimal(values)) => {
                if !put_decimal(values[row], size, out) {
                    let size = size.unwrap_or_default();
                    return Err(unlike(&format!("a decimal of {size} bytes")));
                }
            }
            // The columns are of the draft, so no row comes to this.
            _ => return Err(Stop::encoding("the column is not of the writer's schema")),
        }
        Ok(())
    }
}

fn unlike(expected: &str) -> Box<Stop> {
    let expected = expected.to_owned();
    Stop::new(Fault::Value { expected })
}
