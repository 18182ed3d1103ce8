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
    put_len(&mut out, place);
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
                true => put_len(self.out, *null),
                false => {
                    put_len(self.out, 1 - *null);
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
                    put_bytes(pen.out, keys.value(at).as_bytes());
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
            put_len(self.out, end - first);
            (first..end).try_for_each(|at| item(self, at))?;
        }
        put_len(self.out, 0);
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
                put_len(self.out, *place);
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
            (Plain::Int, Leaf::Int(values)) => put_long(out, values[row].into()),
            (Plain::Long | Plain::TimeMicros, Leaf::Long(values)) => put_long(out, values[row]),
            (Plain::TimeMillis, Leaf::Long(values)) => match values[row] % 1_000 {
                0 => put_long(out, values[row] / 1_000),
                _ => return Err(unlike("time-millis")),
            },
            (Plain::Float, Leaf::Float(values)) => out.extend(values[row].to_le_bytes()),
            (Plain::Double, Leaf::Double(values)) => out.extend(values[row].to_le_bytes()),
            (Plain::Text, Leaf::Text(texts)) => put_bytes(out, texts.value(row).as_bytes()),
            (Plain::Bytes, Leaf::Binary(blobs)) => put_bytes(out, blobs.value(row)),
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
                    Some(place) => put_len(out, place),
                    None => return Err(unlike(&format!("enum {}", of.named.name.as_str()))),
                }
            }
            (Plain::Decimal { size, .. }, Leaf::Decimal(values)) => {
                let bytes = values[row].to_be_bytes();
                match size {
                    None => put_bytes(out, shortest(&bytes)),
                    Some(size) => match sized(&bytes, size) {
                        Some(bytes) => out.extend(bytes),
                        None => return Err(unlike(&format!("a decimal of {size} bytes"))),
                    },
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

/// Zigzag, seven bits a byte, least significant first.
fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A length, count or place, which is what memory holds and no more.
fn put_len(out: &mut Vec<u8>, len: usize) {
    put_long(out, len as i64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Two's complement without bytes that only repeat the sign.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let repeats = |pair: &&[u8]| {
        matches!(pair, [0, next, ..] if *next < 0x80)
            || matches!(pair, [0xff, next, ..] if *next >= 0x80)
    };
    let skipped = bytes.windows(2).take_while(repeats).count();
    &bytes[skipped..]
}

/// Two's complement in `size` bytes.
fn sized(bytes: &[u8; 16], size: usize) -> Option<Vec<u8>> {
    let short = shortest(bytes);
    let missing = size.checked_sub(short.len())?;
    let sign = if bytes[0] < 0x80 { 0 } else { 0xff };
    let mut sized = vec![sign; missing];
    sized.extend_from_slice(short);
    Some(sized)
}

/// The bytes of `8-4-4-4-12` hexadecimal digits (RFC 9562).
fn uuid(text: &str) -> Option<[u8; 16]> {
    let has_hyphens = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
    let digits: String = text.split('-').collect();
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = (has_hyphens && all_digits).then(|| u128::from_str_radix(&digits, 16));
    Some(number?.ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_as_many_bytes_as_they_need() {
        for (value, expected) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (-1, &[0xff]),
            (-129, &[0xff, 0x7f]),
            (1234, &[0x04, 0xd2]),
        ] {
            let bytes = i128::to_be_bytes(value);
            assert_eq!(shortest(&bytes), expected, "{value}");
            assert_eq!(sized(&bytes, expected.len()).as_deref(), Some(expected));
            assert_eq!(sized(&bytes, 20).map(|bytes| bytes.len()), Some(20));
            assert_eq!(sized(&bytes, expected.len() - 1), None);
        }
        let mut out = Vec::new();
        for value in [0, -1, 1, -64, 64, i64::MIN] {
            put_long(&mut out, value);
        }
        let last = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(out[..6], [0, 1, 2, 0x7f, 0x80, 0x01]);
        assert_eq!(out[6..], last);
    }

    #[test]
    fn texts_that_are_uuids() {
        let expected = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(uuid("01234567-89AB-cdef-0123-456789abcdef"), Some(expected));
        for text in [
            "",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdeg",
        ] {
            assert_eq!(uuid(text), None);
        }
    }
}
