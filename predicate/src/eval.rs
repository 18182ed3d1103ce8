//! Which rows a predicate is true of.

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer};

use crate::bind::{Bound, Leaf, Node, Test};
use crate::column::{self, with_values};
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

/// The column of a test, and which of its rows are null.
fn column<'a>(
    leaf: &Leaf,
    rows: &'a RecordBatch,
) -> Result<(&'a ArrayRef, Option<NullBuffer>), WrongRows> {
    let (column, nulls) = column::at(&leaf.place, rows)?;
    match *column.data_type() == leaf.data_type || leaf.test == Test::IsNull {
        true => Ok((column, nulls)),
        false => Err(WrongRows),
    }
}

/// What a test says of each value, nulls aside; `None` for a type that is not compared.
fn values(test: &Test, column: &dyn Array) -> Option<BooleanBuffer> {
    with_values!(column, |value| over(test, column.len(), value))
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
