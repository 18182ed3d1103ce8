//! Totals of rows: how many there are, sums, smallest and greatest values.
//!
//! As SQL has them: nulls take no part, `count(*)` aside, and a sum, a smallest or a greatest of no
//! values is null. Sums of integers and decimals are exact, in decimals of 38 digits, and never
//! wrap: one that needs more is an error. Order is that of predicates: NaN is the greatest.
//!
//! Totals of parts [`absorb`](Totals::absorb)ed are those of the whole; only sums of floating-point
//! numbers may differ in their last digits.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, UInt64Array,
    new_null_array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DECIMAL128_MAX_PRECISION, DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;

use crate::bind::find;
use crate::column::{self, with_values};
use crate::eval::WrongRows;
use crate::value::Value;

/// The greatest number of 38 digits.
const DECIMAL_MAX: i128 = 10_i128.pow(DECIMAL128_MAX_PRECISION as u32) - 1;

/// What is made of many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    Min,
    Max,
}

/// A question about all rows together. As text `count(*)`, `count(city)`, `sum(price)`, ….
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    pub function: Function,
    /// A dotted name, or `#` and a field id; `None` to count rows.
    pub column: Option<String>,
}

/// A text that is no total.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of count(*), count(COLUMN), sum(COLUMN), min(COLUMN) and max(COLUMN)")]
pub struct BadTotal(String);

/// Why there is no total.
#[derive(Debug, thiserror::Error)]
pub enum TotalError {
    #[error("{0} has no column, and only count needs none")]
    NoColumn(Function),
    #[error("there is no column {0:?} to make a total of")]
    UnknownColumn(String),
    #[error("{total}: the column is of type {data_type}")]
    Type { total: Total, data_type: DataType },
    #[error("{0} has more than 38 digits")]
    Overflow(Total),
    #[error(transparent)]
    Rows(#[from] WrongRows),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Totals of rows that come some at a time.
#[derive(Debug, Clone)]
pub struct Totals {
    schema: SchemaRef,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    total: Total,
    /// `None` to count rows.
    place: Option<Vec<usize>>,
    so_far: SoFar,
}

#[derive(Debug, Clone)]
enum SoFar {
    Count(i64),
    /// Of integers, or unscaled.
    Whole(Option<i128>),
    Float(Option<f64>),
    /// An array of one value.
    Best(Option<ArrayRef>, Ordering),
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}({})",
            self.function,
            self.column.as_deref().unwrap_or("*")
        )
    }
}

impl FromStr for Total {
    type Err = BadTotal;

    fn from_str(text: &str) -> Result<Self, BadTotal> {
        let bad = || BadTotal(text.to_owned());
        let inner = text.trim().strip_suffix(')').ok_or_else(bad)?;
        let (name, column) = inner.split_once('(').ok_or_else(bad)?;
        let all = [Function::Count, Function::Sum, Function::Min, Function::Max];
        let named = |function: &Function| name.trim().eq_ignore_ascii_case(function.name());
        let function = all.into_iter().find(named).ok_or_else(bad)?;
        let column = match (column.trim(), function) {
            ("*", Function::Count) => None,
            ("" | "*", _) => return Err(bad()),
            (column, _) => Some(column.to_owned()),
        };
        Ok(Self { function, column })
    }
}

impl Totals {
    /// Totals of no rows yet, of rows with a schema.
    ///
    /// # Errors
    /// [`TotalError::UnknownColumn`], or one whose type has no such total.
    pub fn bind(totals: &[Total], schema: &Schema) -> Result<Self, TotalError> {
        let bound = totals.iter().map(|total| bind(total, schema));
        let (parts, fields): (Vec<_>, Vec<_>) =
            bound.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            parts,
        })
    }

    /// The columns of [`finish`](Self::finish), one for each total.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether nothing but the number of rows is asked for.
    pub fn only_counts(&self) -> bool {
        self.parts.iter().all(|part| part.place.is_none())
    }

    /// Adds rows that nobody looks at.
    pub fn add_count(&mut self, rows: usize) {
        for part in &mut self.parts {
            if let (SoFar::Count(count), None) = (&mut part.so_far, &part.place) {
                *count += rows as i64;
            }
        }
    }

    /// Adds rows of the schema it was bound to.
    ///
    /// # Errors
    /// [`TotalError::Overflow`], or the rows are of another schema.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), TotalError> {
        self.add_count(rows.num_rows());
        for part in &mut self.parts {
            if let Some(place) = &part.place {
                let (column, nulls) = column::at(place, rows)?;
                let added = part.so_far.add(column, nulls.as_ref())?;
                added.ok_or_else(|| TotalError::Overflow(part.total.clone()))?;
            }
        }
        Ok(())
    }

    /// Adds what another [`finish`](Self::finish)ed with.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn absorb(&mut self, totals: &RecordBatch) -> Result<(), TotalError> {
        let types = |schema: &Schema| -> Vec<DataType> {
            let fields = schema.fields().iter();
            fields.map(|field| field.data_type().clone()).collect()
        };
        if totals.num_rows() != 1 || types(totals.schema_ref()) != types(&self.schema) {
            return Err(WrongRows.into());
        }
        for (part, column) in self.parts.iter_mut().zip(totals.columns()) {
            let added = match &mut part.so_far {
                SoFar::Count(count) => {
                    let more = column.as_primitive::<Int64Type>().value(0);
                    let sum = count.checked_add(more);
                    sum.map(|sum| *count = sum)
                }
                other => other.add(column, column.nulls())?,
            };
            added.ok_or_else(|| TotalError::Overflow(part.total.clone()))?;
        }
        Ok(())
    }

    /// One row, a column for each total.
    ///
    /// # Errors
    /// [`TotalError::Overflow`].
    pub fn finish(&self) -> Result<RecordBatch, TotalError> {
        let columns = self.parts.iter().zip(self.schema.fields());
        let columns = columns.map(|(part, field)| part.finish(field.data_type()));
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn bind(total: &Total, schema: &Schema) -> Result<(Part, Field), TotalError> {
    let name = total.to_string();
    let part = |place, so_far| Part {
        total: total.clone(),
        place,
        so_far,
    };
    let Some(column) = &total.column else {
        return match total.function {
            Function::Count => {
                let field = Field::new(name, DataType::Int64, false);
                Ok((part(None, SoFar::Count(0)), field))
            }
            function => Err(TotalError::NoColumn(function)),
        };
    };
    let found = find(schema.fields(), column);
    let (place, field) = found.ok_or_else(|| TotalError::UnknownColumn(column.clone()))?;
    let refused = || TotalError::Type {
        total: total.clone(),
        data_type: field.data_type().clone(),
    };
    let best = |wanted| match is_ordered(field.data_type()) {
        true => Ok((SoFar::Best(None, wanted), field.data_type().clone())),
        false => Err(refused()),
    };
    let (so_far, data_type) = match total.function {
        Function::Count => (SoFar::Count(0), DataType::Int64),
        Function::Sum => sum_of(field.data_type()).ok_or_else(refused)?,
        Function::Min => best(Ordering::Less)?,
        Function::Max => best(Ordering::Greater)?,
    };
    let nullable = total.function != Function::Count;
    let field = Field::new(name, data_type, nullable);
    Ok((part(Some(place), so_far), field))
}

/// Where a sum starts, and its type.
fn sum_of(data_type: &DataType) -> Option<(SoFar, DataType)> {
    let whole = |scale| {
        let of = DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale);
        Some((SoFar::Whole(None), of))
    };
    match data_type {
        DataType::Decimal128(_, scale) => whole(*scale),
        integer if integer.is_integer() => whole(0),
        DataType::Float32 | DataType::Float64 => Some((SoFar::Float(None), DataType::Float64)),
        _ => None,
    }
}

fn is_ordered(data_type: &DataType) -> bool {
    let none = new_null_array(data_type, 0);
    with_values!(&none, |_value| ()).is_some()
}

impl SoFar {
    /// Adds a column's values; `None` if that is too much.
    fn add(
        &mut self,
        column: &ArrayRef,
        nulls: Option<&NullBuffer>,
    ) -> Result<Option<()>, TotalError> {
        let present = |row: &usize| nulls.is_none_or(|nulls| nulls.is_valid(*row));
        let rows = (0..column.len()).filter(present);
        match self {
            Self::Count(count) => {
                let absent = nulls.map_or(0, NullBuffer::null_count);
                *count += (column.len() - absent) as i64;
            }
            Self::Whole(sum) => {
                let added = with_values!(column, |value| whole_sum(*sum, rows.map(value)));
                match added.ok_or(WrongRows)? {
                    Some(added) => *sum = added,
                    None => return Ok(None),
                }
            }
            Self::Float(sum) => {
                let added = with_values!(column, |value| float_sum(*sum, rows.map(value)));
                *sum = added.ok_or(WrongRows)?;
            }
            Self::Best(best, wanted) => {
                let at = with_values!(column, |value| best_row(rows, value, *wanted));
                if let Some(at) = at.ok_or(WrongRows)?
                    && is_better(column, at, best.as_ref(), *wanted)
                {
                    let at = UInt64Array::from(vec![at as u64]);
                    *best = Some(take(column, &at, None)?);
                }
            }
        }
        Ok(Some(()))
    }
}

/// `None` beyond 128 bits.
fn whole_sum<'a>(
    sum: Option<i128>,
    values: impl Iterator<Item = Value<'a>>,
) -> Option<Option<i128>> {
    let mut sum = sum;
    for value in values {
        if let Value::Int(more) = value {
            sum = Some(sum.unwrap_or(0).checked_add(more)?);
        }
    }
    Some(sum)
}

fn float_sum<'a>(sum: Option<f64>, values: impl Iterator<Item = Value<'a>>) -> Option<f64> {
    values.fold(sum, |sum, value| match value {
        Value::Float(more) => Some(sum.unwrap_or(0.0) + more),
        _ => sum,
    })
}

fn best_row<'a>(
    rows: impl Iterator<Item = usize>,
    value: impl Fn(usize) -> Value<'a>,
    wanted: Ordering,
) -> Option<usize> {
    let mut best: Option<(usize, Value<'_>)> = None;
    for row in rows {
        let value = value(row);
        if best.is_none_or(|(_, best)| value.order(best) == Some(wanted)) {
            best = Some((row, value));
        }
    }
    best.map(|(row, _)| row)
}

fn is_better(column: &ArrayRef, at: usize, best: Option<&ArrayRef>, wanted: Ordering) -> bool {
    let Some(best) = best else { return true };
    let values = value(column, at).zip(value(best, 0));
    values.is_some_and(|(new, old)| new.order(old) == Some(wanted))
}

fn value(column: &ArrayRef, row: usize) -> Option<Value<'_>> {
    with_values!(column, |value| value(row))
}

impl Part {
    fn finish(&self, data_type: &DataType) -> Result<ArrayRef, TotalError> {
        Ok(match &self.so_far {
            SoFar::Count(count) => Arc::new(Int64Array::from(vec![*count])),
            SoFar::Whole(sum) => {
                let fits = |sum: &i128| (-DECIMAL_MAX..=DECIMAL_MAX).contains(sum);
                if !sum.as_ref().is_none_or(fits) {
                    return Err(TotalError::Overflow(self.total.clone()));
                }
                Arc::new(Decimal128Array::from(vec![*sum]).with_data_type(data_type.clone()))
            }
            SoFar::Float(sum) => Arc::new(Float64Array::from(vec![*sum])),
            SoFar::Best(Some(best), _) => Arc::clone(best),
            SoFar::Best(None, _) => new_null_array(data_type, 1),
        })
    }
}

#[cfg(test)]
mod tests;
