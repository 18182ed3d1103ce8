//! Columns being filled: append, take back, finish.
//!
//! A row is appended column by column and may turn out wrong half way, so every column can be cut
//! back to a length. Arrow's builders cannot; these are plain vectors that become Arrow buffers
//! without a copy.
//!
//! Whoever appends checks the fit first: [`Data`] is matched by the decoder, and a column only
//! keeps `nulls` and `data` at one length.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit as ArrowUnit};

use crate::schema::{Field, Kind};

pub(crate) struct Column {
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    nulls: NullBufferBuilder,
    pub(crate) data: Data,
}

/// What a column holds so far.
pub(crate) enum Data {
    Bool(BooleanBufferBuilder),
    /// Ints and dates.
    Int(Vec<i32>),
    /// Longs, times and timestamps.
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal(Vec<i128>),
    Text(Blob),
    Binary(Blob),
    List(Box<Nested<Column>>),
    Map(Box<Nested<Entries>>),
    Struct(Box<Group>),
}

/// Byte strings side by side; string *i* ends at `ends[i]`.
#[derive(Default)]
pub(crate) struct Blob {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

/// Lists side by side; list *i* ends at `ends[i]` of `items`.
pub(crate) struct Nested<T> {
    ends: Vec<i32>,
    pub(crate) items: T,
}

/// Keys and values of all maps of a column.
pub(crate) struct Entries {
    pub(crate) keys: Column,
    pub(crate) values: Column,
}

/// Columns side by side: a struct's, or the value columns of a row.
pub(crate) struct Group {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    pub(crate) columns: Vec<Column>,
}

/// A column has no room for 32-bit positions any more. Limits on input keep it from happening.
#[derive(Debug)]
pub(crate) struct Full;

impl Column {
    pub(crate) fn new(field: &Field) -> Self {
        Self {
            kind: field.kind.clone(),
            nullable: field.nullable,
            nulls: NullBufferBuilder::new(0),
            data: Data::new(&field.kind),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Marks the value that `data` just took as there.
    pub(crate) fn set(&mut self) {
        self.nulls.append_non_null();
    }

    /// Appends a null; where none is allowed, an empty value for a null parent to hide.
    pub(crate) fn push_absent(&mut self) {
        self.nulls.append(!self.nullable);
        self.data.push_empty();
    }

    /// Takes back everything from the `len`-th value on, whole or half appended.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.nulls.truncate(len);
        self.data.truncate(len);
    }

    /// Bytes held, nearly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.len() / 8 + self.data.size_bytes()
    }

    /// The values so far as an Arrow array of the field's type; leaves the column empty.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        let into = crate::arrow::data_type(&self.kind);
        Ok(match (&mut self.data, into) {
            (Data::Bool(bits), _) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            (Data::Int(values), DataType::Date32) => {
                Arc::new(Date32Array::try_new(take(values), nulls)?)
            }
            (Data::Int(values), _) => Arc::new(Int32Array::try_new(take(values), nulls)?),
            (Data::Long(values), DataType::Timestamp(ArrowUnit::Millisecond, zone)) => {
                let array = TimestampMillisecondArray::try_new(take(values), nulls)?;
                Arc::new(array.with_timezone_opt(zone))
            }
            (Data::Long(values), DataType::Timestamp(_, zone)) => {
                let array = TimestampMicrosecondArray::try_new(take(values), nulls)?;
                Arc::new(array.with_timezone_opt(zone))
            }
            (Data::Long(values), DataType::Time64(_)) => {
                Arc::new(Time64MicrosecondArray::try_new(take(values), nulls)?)
            }
            (Data::Long(values), _) => Arc::new(Int64Array::try_new(take(values), nulls)?),
            (Data::Float(values), _) => Arc::new(Float32Array::try_new(take(values), nulls)?),
            (Data::Double(values), _) => Arc::new(Float64Array::try_new(take(values), nulls)?),
            (Data::Decimal(values), into) => {
                let array = Decimal128Array::try_new(take(values), nulls)?;
                Arc::new(array.with_data_type(into))
            }
            (Data::Text(blob), _) => {
                let (offsets, bytes) = blob.finish()?;
                Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?)
            }
            (Data::Binary(blob), _) => {
                let (offsets, bytes) = blob.finish()?;
                Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls)?)
            }
            (Data::List(list), DataType::List(element)) => {
                let items = list.items.finish()?;
                Arc::new(ListArray::try_new(
                    element,
                    offsets(&mut list.ends)?,
                    items,
                    nulls,
                )?)
            }
            (Data::Map(map), DataType::Map(entries, ordered)) => {
                let pairs = map.items.finish(entries.data_type())?;
                let offsets = offsets(&mut map.ends)?;
                Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, ordered)?)
            }
            (Data::Struct(group), DataType::Struct(fields)) => {
                Arc::new(StructArray::try_new(fields, group.finish()?, nulls)?)
            }
            (_, into) => {
                let what = format!("the column does not hold {into}");
                return Err(ArrowError::SchemaError(what));
            }
        })
    }
}

impl Data {
    fn new(kind: &Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(BooleanBufferBuilder::new(0)),
            Kind::Int | Kind::Date => Self::Int(Vec::new()),
            Kind::Long | Kind::Time | Kind::Timestamp(_) | Kind::LocalTimestamp(_) => {
                Self::Long(Vec::new())
            }
            Kind::Float => Self::Float(Vec::new()),
            Kind::Double => Self::Double(Vec::new()),
            Kind::Decimal { .. } => Self::Decimal(Vec::new()),
            Kind::String => Self::Text(Blob::default()),
            Kind::Binary => Self::Binary(Blob::default()),
            Kind::List(element) => Self::List(Box::new(Nested::new(Column::new(element)))),
            Kind::Map { key, value } => Self::Map(Box::new(Nested::new(Entries {
                keys: Column::new(key),
                values: Column::new(value),
            }))),
            Kind::Struct(fields) => Self::Struct(Box::new(Group::new(fields))),
        }
    }

    fn push_empty(&mut self) {
        match self {
            Self::Bool(bits) => bits.append(false),
            Self::Int(values) => values.push(0),
            Self::Long(values) => values.push(0),
            Self::Float(values) => values.push(0.0),
            Self::Double(values) => values.push(0.0),
            Self::Decimal(values) => values.push(0),
            Self::Text(blob) | Self::Binary(blob) => blob.push_empty(),
            Self::List(list) => list.push_empty(),
            Self::Map(map) => map.push_empty(),
            Self::Struct(group) => group.columns.iter_mut().for_each(Column::push_absent),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Bool(bits) => bits.truncate(len),
            Self::Int(values) => values.truncate(len),
            Self::Long(values) => values.truncate(len),
            Self::Float(values) => values.truncate(len),
            Self::Double(values) => values.truncate(len),
            Self::Decimal(values) => values.truncate(len),
            Self::Text(blob) | Self::Binary(blob) => blob.truncate(len),
            Self::List(list) => {
                let items = list.truncate(len);
                list.items.truncate(items);
            }
            Self::Map(map) => {
                let entries = map.truncate(len);
                map.items.keys.truncate(entries);
                map.items.values.truncate(entries);
            }
            Self::Struct(group) => group.truncate(len),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Bool(bits) => bits.len() / 8,
            Self::Int(values) => size_of_val(&values[..]),
            Self::Long(values) => size_of_val(&values[..]),
            Self::Float(values) => size_of_val(&values[..]),
            Self::Double(values) => size_of_val(&values[..]),
            Self::Decimal(values) => size_of_val(&values[..]),
            Self::Text(blob) | Self::Binary(blob) => blob.size_bytes(),
            Self::List(list) => size_of_val(&list.ends[..]) + list.items.size_bytes(),
            Self::Map(map) => {
                let entries = &map.items;
                size_of_val(&map.ends[..]) + entries.keys.size_bytes() + entries.values.size_bytes()
            }
            Self::Struct(group) => group.size_bytes(),
        }
    }
}

impl Blob {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = i32::try_from(self.bytes.len() + bytes.len()).map_err(|_| Full)?;
        self.bytes.extend_from_slice(bytes);
        self.ends.push(end);
        Ok(())
    }

    /// The strings from the `from`-th on.
    pub(crate) fn iter_from(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        (from..self.ends.len()).map(|i| &self.bytes[start(&self.ends, i)..self.ends[i] as usize])
    }

    fn push_empty(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(start(&self.ends, self.ends.len()));
    }

    fn size_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&self.ends[..])
    }

    fn finish(&mut self) -> Result<(OffsetBuffer<i32>, Vec<u8>), ArrowError> {
        Ok((offsets(&mut self.ends)?, mem::take(&mut self.bytes)))
    }
}

impl<T> Nested<T> {
    fn new(items: T) -> Self {
        Self {
            ends: Vec::new(),
            items,
        }
    }

    /// Ends the list whose items are now all there: `items_len` in the whole column.
    pub(crate) fn end(&mut self, items_len: usize) -> Result<(), Full> {
        self.ends.push(i32::try_from(items_len).map_err(|_| Full)?);
        Ok(())
    }

    /// Where the items of the list begin that was not ended yet.
    pub(crate) fn open_from(&self) -> usize {
        start(&self.ends, self.ends.len())
    }

    fn push_empty(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
    }

    /// Answers how many items are left.
    fn truncate(&mut self, len: usize) -> usize {
        self.ends.truncate(len);
        start(&self.ends, self.ends.len())
    }
}

impl Entries {
    /// True if one of the keys from the `from`-th on is there twice.
    pub(crate) fn has_twins(&self, from: usize) -> bool {
        match &self.keys.data {
            Data::Text(keys) => twins(keys.iter_from(from).collect()),
            Data::Int(keys) => twins(keys[from..].to_vec()),
            Data::Long(keys) => twins(keys[from..].to_vec()),
            Data::Bool(keys) => twins((from..keys.len()).map(|i| keys.get_bit(i)).collect()),
            // No other type is a map's key.
            _ => false,
        }
    }

    fn finish(&mut self, pair: &DataType) -> Result<StructArray, ArrowError> {
        let DataType::Struct(fields) = pair else {
            let what = format!("map entries of {pair}");
            return Err(ArrowError::SchemaError(what));
        };
        let columns = vec![self.keys.finish()?, self.values.finish()?];
        StructArray::try_new(fields.clone(), columns, None)
    }
}

impl Group {
    pub(crate) fn new(fields: &[Field]) -> Self {
        let names: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
        let called = |(at, field): (usize, &Field)| {
            let names: Vec<_> = field.names().map(|name| (name.clone(), at)).collect();
            names
        };
        let by_name = fields.iter().enumerate().flat_map(called).collect();
        Self {
            names,
            by_name,
            columns: fields.iter().map(Column::new).collect(),
        }
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The column of this name, looked for first where it is expected: objects of one producer
    /// have their members in one order.
    pub(crate) fn find(&self, name: &str, expected: usize) -> Option<usize> {
        match self.names.get(expected) {
            Some(here) if here == name => Some(expected),
            _ => self.by_name.get(name).copied(),
        }
    }

    /// How many rows are whole: between rows all columns have one length, within one those that had
    /// their value are longer.
    pub(crate) fn rows(&self) -> usize {
        self.columns.iter().map(Column::len).min().unwrap_or(0)
    }

    /// Ends the row behind `rows`: what had no value becomes null. An error is the first column that
    /// may not be.
    pub(crate) fn end_row(&mut self, rows: usize) -> Result<(), usize> {
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.len() > rows {
                continue;
            }
            if !column.nullable {
                return Err(index);
            }
            column.push_absent();
        }
        Ok(())
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(len));
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.columns.iter().map(Column::size_bytes).sum()
    }

    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

/// Where item `index` starts: at the end of the one before.
fn start(ends: &[i32], index: usize) -> usize {
    let before = index.checked_sub(1).and_then(|before| ends.get(before));
    // Ends come from lengths, so they are not negative.
    before.map_or(0, |end| *end as usize)
}

fn twins<T: Ord>(mut keys: Vec<T>) -> bool {
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

fn take<T>(values: &mut Vec<T>) -> ScalarBuffer<T>
where
    T: arrow_buffer::ArrowNativeType,
{
    ScalarBuffer::from(mem::take(values))
}

/// Ends as Arrow's offsets, which begin with 0. They ascend because every end counts what is there.
fn offsets(ends: &mut Vec<i32>) -> Result<OffsetBuffer<i32>, ArrowError> {
    let mut offsets = mem::take(ends);
    offsets.insert(0, 0);
    if offsets.is_sorted() {
        Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
    } else {
        let what = "positions in a column do not ascend".to_owned();
        Err(ArrowError::ComputeError(what))
    }
}
