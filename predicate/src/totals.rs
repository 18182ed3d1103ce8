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
mod tests {
    use arrow_array::types::{Decimal128Type, Float64Type, Int32Type};
    use arrow_array::{Date32Array, Int32Array, StringArray, StructArray};

    use super::*;

    fn rows() -> RecordBatch {
        let id = Int64Array::from(vec![Some(i64::MAX), None, Some(-3), Some(i64::MAX)]);
        let price = Decimal128Array::from(vec![Some(150), Some(-25), None, None]);
        let price = price.with_precision_and_scale(10, 2).expect("fits");
        let city = StringArray::from(vec![Some("Bonn"), Some("Aachen"), None, Some("Ü")]);
        let nan = Float64Array::from(vec![-f64::NAN, f64::INFINITY, -1.0, 0.5]);
        let day = Date32Array::from(vec![None, None, None, None]);
        let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
        let member = Arc::new(Field::new("n", DataType::Int32, false));
        let nulls = NullBuffer::from(vec![true, true, true, false]);
        let group = StructArray::new(vec![member].into(), vec![inner], Some(nulls));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(id)),
            ("price", Arc::new(price)),
            ("city", Arc::new(city)),
            ("nan", Arc::new(nan)),
            ("day", Arc::new(day)),
            ("group", Arc::new(group)),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .expect("columns of one length")
    }

    const ASKED: [&str; 12] = [
        "count(*)",
        "COUNT( city )",
        "sum(id)",
        "sum(price)",
        "min(price)",
        "max(city)",
        "min(nan)",
        "max(nan)",
        "max(day)",
        "sum(group.n)",
        "max(group.n)",
        "count(group.n)",
    ];

    fn totals() -> Totals {
        let asked: Vec<Total> = ASKED.iter().map(|text| text.parse().unwrap()).collect();
        Totals::bind(&asked, rows().schema_ref()).unwrap()
    }

    fn check(row: &RecordBatch) {
        let int = |at: usize| row.column(at).as_primitive::<Int64Type>().value(0);
        let decimal = |at: usize| row.column(at).as_primitive::<Decimal128Type>().value(0);
        let float = |at: usize| row.column(at).as_primitive::<Float64Type>().value(0);
        assert_eq!((int(0), int(1), int(11)), (4, 3, 3));
        assert_eq!(decimal(2), 2 * i128::from(i64::MAX) - 3);
        assert_eq!((decimal(3), decimal(4)), (125, -25));
        assert_eq!(*row.column(3).data_type(), DataType::Decimal128(38, 2));
        assert_eq!(*row.column(4).data_type(), DataType::Decimal128(10, 2));
        assert_eq!(row.column(5).as_string::<i32>().value(0), "Ü");
        assert_eq!(float(6), -1.0);
        assert!(float(7).is_nan());
        assert!(row.column(8).is_null(0));
        assert_eq!(decimal(9), 6);
        let greatest = row.column(10).as_primitive::<Int32Type>();
        assert_eq!(greatest.value(0), 3);
    }

    #[test]
    fn nulls_take_no_part_and_parts_make_up_the_whole() {
        let rows = rows();
        let mut whole = totals();
        whole.add(&rows).unwrap();
        check(&whole.finish().unwrap());
        let mut sum = totals();
        for at in 0..rows.num_rows() {
            let mut part = totals();
            part.add(&rows.slice(at, 1)).unwrap();
            sum.absorb(&part.finish().unwrap()).unwrap();
        }
        check(&sum.finish().unwrap());
        assert!(sum.absorb(&rows).is_err());
    }

    #[test]
    fn totals_of_nothing_are_null_and_counts_zero() {
        let none = totals().finish().unwrap();
        for (at, name) in ASKED.iter().enumerate() {
            let is_count = name.to_lowercase().starts_with("count");
            assert_eq!(none.column(at).is_null(0), !is_count, "{name}");
        }
        let mut twice = totals();
        twice.absorb(&none).unwrap();
        assert_eq!(twice.finish().unwrap(), none);
    }

    #[test]
    fn too_much_is_an_error_and_not_another_number() {
        let big = Decimal128Array::from(vec![DECIMAL_MAX, 1]);
        let big = big.with_precision_and_scale(38, 0).expect("fits");
        let rows = RecordBatch::try_from_iter([("big", Arc::new(big) as ArrayRef)]).unwrap();
        let asked = ["sum(big)".parse().unwrap()];
        let mut totals = Totals::bind(&asked, rows.schema_ref()).unwrap();
        totals.add(&rows.slice(0, 1)).unwrap();
        assert!(totals.finish().is_ok());
        totals.add(&rows.slice(1, 1)).unwrap();
        let error = totals.finish().unwrap_err();
        assert_eq!(error.to_string(), "sum(big) has more than 38 digits");
        assert!(matches!(totals.add(&rows), Err(TotalError::Overflow(_))));
    }

    #[test]
    fn what_has_no_total_is_named() {
        let schema = rows().schema();
        for (asked, expected) in [
            ("sum(city)", "sum(city): the column is of type Utf8"),
            ("sum(day)", "sum(day): the column is of type Date32"),
            (
                "min(town)",
                "there is no column \"town\" to make a total of",
            ),
        ] {
            let error = Totals::bind(&[asked.parse().unwrap()], &schema).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(Totals::bind(&["max(group)".parse().unwrap()], &schema).is_err());
        for text in ["", "sum", "sum()", "sum(*)", "avg(id)", "sum(id", "(id)"] {
            assert!(text.parse::<Total>().is_err(), "{text}");
        }
        let total: Total = " Min( a.b ) ".parse().unwrap();
        assert_eq!(total.to_string(), "min(a.b)");
    }
}
