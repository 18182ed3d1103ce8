//! Which rows a predicate is true of.

use arrow_array::cast::AsArray;
use arrow_array::types as arrow;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, TimeUnit};

use crate::bind::{Bound, Leaf, Node, Test};
use crate::truth::Truth;
use crate::value::Value;

/// Rows were given that do not have the columns of the schema the predicate was bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rows are not of the schema the predicate was bound to")]
pub struct WrongRows;

impl Bound {
    /// For each row whether the predicate is true of it; null where it is neither true nor false.
    /// `rows` have the schema it was bound to, or at least columns of the same types in the places
    /// of those it looks at.
    ///
    /// # Errors
    /// [`WrongRows`].
    pub fn eval(&self, rows: &RecordBatch) -> Result<BooleanArray, WrongRows> {
        truth(&self.root, rows).map(Truth::into_array)
    }
}

fn truth(node: &Node, rows: &RecordBatch) -> Result<Truth, WrongRows> {
    let count = rows.num_rows();
    let all = |parts: &[Node], neutral, join: fn(Truth, &Truth) -> Truth| {
        let neutral = Truth::of_all(Some(neutral), count);
        parts
            .iter()
            .try_fold(neutral, |sum, part| Ok(join(sum, &truth(part, rows)?)))
    };
    match node {
        Node::Constant(constant) => Ok(Truth::of_all(*constant, count)),
        Node::Test(leaf) => test(leaf, rows),
        Node::Not(part) => Ok(truth(part, rows)?.not()),
        Node::And(parts) => all(parts, true, Truth::and),
        Node::Or(parts) => all(parts, false, Truth::or),
    }
}

fn test(leaf: &Leaf, rows: &RecordBatch) -> Result<Truth, WrongRows> {
    let (column, nulls) = column(leaf, rows)?;
    let nulls = nulls.as_ref();
    let count = rows.num_rows();
    let holds = match &leaf.test {
        Test::IsNull => {
            let is_null = nulls.map_or(BooleanBuffer::new_unset(count), |nulls| !nulls.inner());
            return Ok(Truth::of_values(is_null, None));
        }
        Test::Same(truth) => match truth {
            true => BooleanBuffer::new_set(count),
            false => BooleanBuffer::new_unset(count),
        },
        test => values(test, column).ok_or(WrongRows)?,
    };
    Ok(Truth::of_values(holds, nulls))
}

/// The column, and which of its rows are null: themselves or with a struct around them.
fn column<'a>(
    leaf: &Leaf,
    rows: &'a RecordBatch,
) -> Result<(&'a ArrayRef, Option<NullBuffer>), WrongRows> {
    let (first, members) = leaf.place.split_first().ok_or(WrongRows)?;
    let mut column = rows.columns().get(*first).ok_or(WrongRows)?;
    let mut nulls = column.nulls().cloned();
    for member in members {
        let group = column.as_struct_opt().ok_or(WrongRows)?;
        column = group.columns().get(*member).ok_or(WrongRows)?;
        nulls = NullBuffer::union(nulls.as_ref(), column.nulls());
    }
    match *column.data_type() == leaf.data_type || leaf.test == Test::IsNull {
        true => Ok((column, nulls)),
        false => Err(WrongRows),
    }
}

/// What a test says of each value, nulls aside; `None` for a type that is not compared.
fn values(test: &Test, column: &dyn Array) -> Option<BooleanBuffer> {
    macro_rules! ints {
        ($type:ident) => {{
            let values = column.as_primitive::<arrow::$type>().values();
            over(test, values.len(), |row| Value::Int(values[row].into()))
        }};
    }
    macro_rules! bytes {
        ($values:expr) => {{
            let values = $values;
            over(test, values.len(), |row| {
                Value::Bytes(values.value(row).as_ref())
            })
        }};
    }
    macro_rules! floats {
        ($type:ident) => {{
            let values = column.as_primitive::<arrow::$type>().values();
            over(test, values.len(), |row| Value::Float(values[row].into()))
        }};
    }
    Some(match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            over(test, values.len(), |row| Value::Bool(values.value(row)))
        }
        DataType::Int8 => ints!(Int8Type),
        DataType::Int16 => ints!(Int16Type),
        DataType::Int32 => ints!(Int32Type),
        DataType::Int64 => ints!(Int64Type),
        DataType::UInt8 => ints!(UInt8Type),
        DataType::UInt16 => ints!(UInt16Type),
        DataType::UInt32 => ints!(UInt32Type),
        DataType::UInt64 => ints!(UInt64Type),
        DataType::Decimal128(..) => ints!(Decimal128Type),
        DataType::Date32 => ints!(Date32Type),
        DataType::Timestamp(TimeUnit::Second, _) => ints!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => ints!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => ints!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => ints!(TimestampNanosecondType),
        DataType::Float32 => floats!(Float32Type),
        DataType::Float64 => floats!(Float64Type),
        DataType::Utf8 => bytes!(column.as_string::<i32>()),
        DataType::LargeUtf8 => bytes!(column.as_string::<i64>()),
        DataType::Binary => bytes!(column.as_binary::<i32>()),
        DataType::LargeBinary => bytes!(column.as_binary::<i64>()),
        DataType::FixedSizeBinary(_) => bytes!(column.as_fixed_size_binary()),
        _ => return None,
    })
}

/// A test of `count` values.
fn over<'a>(test: &Test, count: usize, value: impl Fn(usize) -> Value<'a>) -> BooleanBuffer {
    match test {
        Test::Compare(op, operand) => {
            let operand = operand.value();
            BooleanBuffer::collect_bool(count, |row| {
                value(row)
                    .order(operand)
                    .is_some_and(|order| op.holds(order))
            })
        }
        Test::In(operands) => BooleanBuffer::collect_bool(count, |row| {
            let value = value(row);
            let found = operands.binary_search_by(|operand| {
                // Operands are of the column's kind.
                operand
                    .value()
                    .order(value)
                    .unwrap_or(std::cmp::Ordering::Less)
            });
            found.is_ok()
        }),
        Test::Like(matcher) => BooleanBuffer::collect_bool(
            count,
            |row| matches!(value(row), Value::Bytes(bytes) if matcher.matches(bytes)),
        ),
        Test::Same(true) => BooleanBuffer::new_set(count),
        Test::Same(false) | Test::IsNull => BooleanBuffer::new_unset(count),
    }
}
