//! Sent values as values of the table. Each shown one fits exactly, or its row is at fault.
//!
//! `shown` says along the way down which values anybody can see; places of faults are turned into
//! rows on the way up.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, ArrowTimestampType, Date64Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int64Array, ListArray, MapArray, RecordBatch, RecordBatchOptions,
    StringArray, StructArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Fields, Schema, TimeUnit};

use super::resolve::{Leaf, Members, Node, Slot};
use super::{FAULTS_MAX, Intake, RowFault, TakeError, Taken};
use crate::json::{Fault, Reason};
use crate::scalar;

pub(super) fn take(intake: &Intake, rows: &RecordBatch) -> Result<Taken, TakeError> {
    let mut faults = Faults(Vec::new());
    let mut own = |slot: &Option<Slot>| {
        let column = slot.as_ref().map(|slot| (slot, rows.column(slot.source)));
        column
            .map(|(slot, column)| slot.take(column, None, &mut faults))
            .transpose()
    };
    let (key, timestamp) = (own(&intake.key)?, own(&intake.timestamp)?);
    let headers = own(&intake.headers)?;
    let members = &intake.values;
    let columns = members.take(rows.columns(), rows.num_rows(), None, &mut faults)?;
    let Faults(mut faults) = faults;
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.row);
        return Err(TakeError::Rows(faults));
    }
    let schema = Arc::new(Schema::new(members.fields()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(Taken {
        key,
        timestamp,
        headers,
        values: RecordBatch::try_new_with_options(schema, columns, &options)?,
    })
}

/// What was found, by place in the array looked at. Enough is enough.
struct Faults(Vec<RowFault>);

impl Faults {
    /// Notes a fault for each of these places that is shown.
    fn note(
        &mut self,
        places: impl Iterator<Item = usize>,
        shown: Option<&NullBuffer>,
        reason: impl Fn() -> Reason,
    ) {
        let is_shown = |place: &usize| shown.is_none_or(|shown| shown.is_valid(*place));
        let left = FAULTS_MAX.saturating_sub(self.0.len());
        let places = places.filter(is_shown).take(left);
        self.0.extend(places.map(|row| RowFault {
            row,
            reason: reason(),
        }));
    }

    /// The faults from the `from`-th on lie inside `name`.
    fn within(&mut self, from: usize, name: &str) {
        for fault in &mut self.0[from..] {
            fault.reason = fault.reason.clone().within(name);
        }
    }

    /// Places of items become those of the lists that hold them.
    fn lift(&mut self, from: usize, offsets: &[i32]) {
        for fault in &mut self.0[from..] {
            let begun = offsets.partition_point(|start| *start as usize <= fault.row);
            fault.row = begun.saturating_sub(1);
        }
    }
}

fn fault(fault: Fault) -> Reason {
    Reason::Field {
        path: String::new(),
        fault,
    }
}

impl Members {
    fn take(
        &self,
        sent: &[ArrayRef],
        len: usize,
        shown: Option<&NullBuffer>,
        faults: &mut Faults,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        for name in &self.missing {
            faults.note(0..len, shown, || fault(Fault::Missing).within(name));
        }
        let slots = self.slots.iter();
        slots
            .map(|slot| slot.take(&sent[slot.source], shown, faults))
            .collect()
    }
}

impl Slot {
    fn take(
        &self,
        sent: &ArrayRef,
        shown: Option<&NullBuffer>,
        faults: &mut Faults,
    ) -> Result<ArrayRef, ArrowError> {
        let from = faults.0.len();
        if !self.nullable && sent.null_count() > 0 {
            let nulls = (0..sent.len()).filter(|place| sent.is_null(*place));
            faults.note(nulls, shown, || fault(Fault::Missing));
        }
        let taken = match &self.node {
            Node::Leaf(leaf) => self.leaf(*leaf, sent, shown, faults)?,
            Node::Struct(members) => structure(members, sent.as_struct(), shown, faults)?,
            Node::List(item) => list(item, sent, shown, faults)?,
            Node::Map(pair) => self.map(pair, sent.as_map(), shown, faults)?,
        };
        faults.within(from, &self.name);
        Ok(taken)
    }

    fn leaf(
        &self,
        leaf: Leaf,
        sent: &ArrayRef,
        shown: Option<&NullBuffer>,
        faults: &mut Faults,
    ) -> Result<ArrayRef, ArrowError> {
        let taken = leaf.convert(sent, &self.data_type)?;
        if taken.null_count() > sent.null_count() {
            let lost = |place: &usize| taken.is_null(*place) && sent.is_valid(*place);
            let expected = || self.kind.clone();
            faults.note((0..sent.len()).filter(lost), shown, || {
                fault(Fault::Value {
                    expected: expected(),
                })
            });
        }
        Ok(taken)
    }

    fn map(
        &self,
        [key, value]: &[Slot; 2],
        sent: &MapArray,
        shown: Option<&NullBuffer>,
        faults: &mut Faults,
    ) -> Result<ArrayRef, ArrowError> {
        let DataType::Map(field, _) = &self.data_type else {
            return Err(foreign());
        };
        let DataType::Struct(pair) = field.data_type() else {
            return Err(foreign());
        };
        let entries = sent.entries();
        if entries.null_count() > 0 {
            let what = "a map with an entry that is null".to_owned();
            return Err(ArrowError::InvalidArgumentError(what));
        }
        let (offsets, nulls) = (sent.offsets(), sent.nulls());
        let from = faults.0.len();
        let maps = NullBuffer::union(shown, nulls);
        let inside = items_shown(offsets, maps.as_ref(), entries.len());
        let keys = key.take(entries.column(0), inside.as_ref(), faults)?;
        let values = value.take(entries.column(1), inside.as_ref(), faults)?;
        faults.lift(from, offsets);
        let twice = |map: &usize| has_twins(&keys, places(offsets, *map));
        let twice = (0..sent.len()).filter(twice);
        faults.note(twice, maps.as_ref(), || fault(Fault::Twice));
        if keys.null_count() > 0 {
            // At fault where it is shown; elsewhere there is nothing that Arrow could hold.
            return match faults.0.len() > from {
                true => Ok(Arc::new(sent.clone())),
                false => Err(ArrowError::InvalidArgumentError(
                    "a map with a key that is null".to_owned(),
                )),
            };
        }
        let pairs = StructArray::try_new(pair.clone(), vec![keys, values], None)?;
        let field = Arc::clone(field);
        let map = MapArray::try_new(field, offsets.clone(), pairs, nulls.cloned(), false)?;
        Ok(Arc::new(map))
    }
}

fn structure(
    members: &Members,
    sent: &StructArray,
    shown: Option<&NullBuffer>,
    faults: &mut Faults,
) -> Result<ArrayRef, ArrowError> {
    let inside = NullBuffer::union(shown, sent.nulls());
    let columns = members.take(sent.columns(), sent.len(), inside.as_ref(), faults)?;
    let (fields, nulls): (Fields, _) = (members.fields(), sent.nulls().cloned());
    let taken = StructArray::try_new_with_length(fields, columns, nulls, sent.len())?;
    Ok(Arc::new(taken))
}

fn list(
    item: &Slot,
    sent: &ArrayRef,
    shown: Option<&NullBuffer>,
    faults: &mut Faults,
) -> Result<ArrayRef, ArrowError> {
    let (offsets, values) = match sent.as_list_opt::<i64>() {
        Some(large) => (narrow(large.value_offsets())?, large.values()),
        None => {
            let list = sent.as_list::<i32>();
            (list.offsets().clone(), list.values())
        }
    };
    let from = faults.0.len();
    let lists = NullBuffer::union(shown, sent.nulls());
    let inside = items_shown(&offsets, lists.as_ref(), values.len());
    let items = item.take(values, inside.as_ref(), faults)?;
    faults.lift(from, &offsets);
    let field = Arc::new(item.field());
    let list = ListArray::try_new(field, offsets, items, sent.nulls().cloned())?;
    Ok(Arc::new(list))
}

/// Offsets of at most 31 bits.
fn narrow(offsets: &[i64]) -> Result<OffsetBuffer<i32>, ArrowError> {
    let narrow = offsets.iter().map(|offset| i32::try_from(*offset));
    let narrow = narrow.collect::<Result<Vec<_>, _>>().map_err(|_| {
        ArrowError::InvalidArgumentError("a list column with more than 2³¹ items".to_owned())
    })?;
    // They ascend as those they were.
    Ok(OffsetBuffer::new(ScalarBuffer::from(narrow)))
}

fn places(offsets: &[i32], list: usize) -> Range<usize> {
    // Offsets of an array ascend and are not negative.
    offsets[list] as usize..offsets[list + 1] as usize
}

/// Which of `len` items lie in a list that is shown; `None` if all do.
fn items_shown(offsets: &[i32], lists: Option<&NullBuffer>, len: usize) -> Option<NullBuffer> {
    let covered = offsets.first() == Some(&0) && offsets.last() == i32::try_from(len).ok().as_ref();
    if covered && lists.is_none() {
        return None;
    }
    let mut shown = BooleanBufferBuilder::new(len);
    for list in 0..offsets.len().saturating_sub(1) {
        let places = places(offsets, list);
        shown.append_n(places.start - shown.len(), false);
        let is_shown = lists.is_none_or(|lists| lists.is_valid(list));
        shown.append_n(places.len(), is_shown);
    }
    shown.append_n(len - shown.len(), false);
    Some(NullBuffer::new(shown.finish()))
}

/// Whether a key stands twice among these.
fn has_twins(keys: &ArrayRef, places: Range<usize>) -> bool {
    fn twins<T: Ord>(keys: impl Iterator<Item = T>) -> bool {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }
    if places.len() < 2 {
        return false;
    }
    let places = places.filter(|place| keys.is_valid(*place));
    match keys.data_type() {
        DataType::Utf8 => twins(places.map(|place| keys.as_string::<i32>().value(place))),
        DataType::Int32 => twins(places.map(|place| keys.as_primitive::<Int32Type>().value(place))),
        DataType::Int64 => twins(places.map(|place| keys.as_primitive::<Int64Type>().value(place))),
        DataType::Boolean => twins(places.map(|place| keys.as_boolean().value(place))),
        // No other type is a map's key.
        _ => false,
    }
}

impl Leaf {
    /// The values in the type wanted; null where one does not fit exactly.
    fn convert(self, sent: &ArrayRef, into: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Same => Arc::clone(sent),
            Self::Bytes => match sent.data_type() {
                DataType::LargeUtf8 => Arc::new(StringArray::from_iter(sent.as_string::<i64>())),
                DataType::LargeBinary => Arc::new(BinaryArray::from_iter(sent.as_binary::<i64>())),
                _ => Arc::new(BinaryArray::from_iter(sent.as_fixed_size_binary())),
            },
            Self::SingleToDouble => {
                let single = sent.as_primitive::<Float32Type>();
                Arc::new(single.unary::<_, Float64Type>(f64::from))
            }
            Self::WholeToDouble => Arc::new(wholes(sent)?.unary_opt::<_, Float64Type>(double)),
            Self::Whole { times, over } => {
                let whole = wholes(sent)?;
                typed(&whole, into, |value| scaled(value, times, over))?
            }
            Self::TimeOfDay { times, over } => {
                let whole = wholes(sent)?;
                typed(&whole, into, |value| {
                    scaled(value, times, over).filter(|us| scalar::is_time_us(*us))
                })?
            }
            Self::Decimal {
                from_scale,
                precision,
                scale,
            } => {
                let digits = i32::from(scale) - i32::from(from_scale);
                let fit = |value: i128| {
                    let factor = 10_i128.checked_pow(digits.unsigned_abs())?;
                    let value = match digits {
                        0.. => value.checked_mul(factor)?,
                        _ if value % factor == 0 => value / factor,
                        _ => return None,
                    };
                    let limit = 10_u128.checked_pow(u32::from(precision))?;
                    (value.unsigned_abs() < limit).then_some(value)
                };
                let decimals = match sent.as_primitive_opt::<Decimal128Type>() {
                    Some(decimals) => decimals.unary_opt::<_, Decimal128Type>(fit),
                    None => wholes(sent)?.unary_opt(|value| fit(value.into())),
                };
                Arc::new(decimals.with_precision_and_scale(precision, scale)?)
            }
        })
    }
}

fn scaled(value: i64, times: i64, over: i64) -> Option<i64> {
    match value % over {
        0 => (value / over).checked_mul(times),
        _ => None,
    }
}

/// Whole numbers up to 2⁵³ are doubles.
fn double(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS).then_some(value as f64)
}

/// Whole numbers of any width, dates, times and timestamps as what they count.
fn wholes(sent: &ArrayRef) -> Result<Int64Array, ArrowError> {
    fn wide<T: ArrowPrimitiveType<Native: Into<i64>>>(sent: &ArrayRef) -> Int64Array {
        sent.as_primitive::<T>().unary(Into::into)
    }
    Ok(match sent.data_type() {
        DataType::Int8 => wide::<Int8Type>(sent),
        DataType::Int16 => wide::<Int16Type>(sent),
        DataType::Int32 => wide::<Int32Type>(sent),
        DataType::Int64 => wide::<Int64Type>(sent),
        DataType::UInt8 => wide::<UInt8Type>(sent),
        DataType::UInt16 => wide::<UInt16Type>(sent),
        DataType::UInt32 => wide::<UInt32Type>(sent),
        DataType::UInt64 => {
            let counts = sent.as_primitive::<UInt64Type>();
            counts.unary_opt(|count| i64::try_from(count).ok())
        }
        DataType::Date64 => wide::<Date64Type>(sent),
        DataType::Time32(TimeUnit::Second) => wide::<Time32SecondType>(sent),
        DataType::Time32(_) => wide::<Time32MillisecondType>(sent),
        DataType::Time64(TimeUnit::Microsecond) => wide::<Time64MicrosecondType>(sent),
        DataType::Time64(_) => wide::<Time64NanosecondType>(sent),
        DataType::Timestamp(TimeUnit::Second, _) => wide::<TimestampSecondType>(sent),
        DataType::Timestamp(TimeUnit::Millisecond, _) => wide::<TimestampMillisecondType>(sent),
        DataType::Timestamp(TimeUnit::Microsecond, _) => wide::<TimestampMicrosecondType>(sent),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => wide::<TimestampNanosecondType>(sent),
        _ => return Err(foreign()),
    })
}

/// Whole numbers as an array of the type wanted.
fn typed(
    whole: &Int64Array,
    into: &DataType,
    fit: impl Fn(i64) -> Option<i64>,
) -> Result<ArrayRef, ArrowError> {
    fn moments<T: ArrowTimestampType>(counts: &Int64Array, zone: Option<Arc<str>>) -> ArrayRef {
        Arc::new(counts.reinterpret_cast::<T>().with_timezone_opt(zone))
    }
    let small = |value| fit(value).and_then(|value| i32::try_from(value).ok());
    let large = || whole.unary_opt::<_, Int64Type>(&fit);
    Ok(match into {
        DataType::Int32 => Arc::new(whole.unary_opt::<_, Int32Type>(small)),
        DataType::Date32 => {
            let days = whole.unary_opt::<_, Int32Type>(small);
            Arc::new(days.reinterpret_cast::<arrow_array::types::Date32Type>())
        }
        DataType::Int64 => Arc::new(large()),
        DataType::Time64(_) => Arc::new(large().reinterpret_cast::<Time64MicrosecondType>()),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            moments::<TimestampMillisecondType>(&large(), zone.clone())
        }
        DataType::Timestamp(_, zone) => moments::<TimestampMicrosecondType>(&large(), zone.clone()),
        _ => return Err(foreign()),
    })
}

/// Rows of another schema than the intake was made for.
fn foreign() -> ArrowError {
    ArrowError::SchemaError("the rows are not of the schema they were announced with".to_owned())
}
