//! Reading a table in the order of its keys: ranges, where to go on, sums over what is read.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidelog_storage::ids::Offset;

use crate::merge::{Cells, CellsOfError, FieldId, Merger, RuleColumn, Value};
use crate::row::Row;
use crate::table::TableView;

/// Keys from one on, up to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    /// The first key beyond.
    end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::prefix(&[])
    }

    /// The keys that begin with these bytes.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: Bytes::copy_from_slice(prefix),
            end: successor(prefix),
        }
    }

    /// The keys from `start` to below `end`.
    pub fn between(start: Bytes, end: Bytes) -> Self {
        let end = Some(end);
        Self { start, end }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    pub(crate) fn start(&self) -> &[u8] {
        &self.start
    }

    /// The part of the range behind a key.
    pub(crate) fn behind(&self, key: &[u8]) -> Self {
        // The smallest key that is greater.
        let next = Bytes::from([key, &[0]].concat());
        Self {
            start: next.max(self.start.clone()),
            end: self.end.clone(),
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<Bytes>, Bound<Bytes>) {
        let end = self.end.clone();
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.start.clone()), end)
    }
}

/// The first key beyond all that begin with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next.into())
}

/// Where a scan stands, to be handed out and taken back. Whoever goes on with it in a view of the
/// same offset misses nothing and sees nothing twice; in a later view it sees the rows behind the
/// key as they are then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the scan's view reflects.
    pub reflects: Offset,
    /// The last key that was given out.
    pub after: Bytes,
}

/// First byte of a cursor.
const CURSOR_VERSION: u8 = 1;

impl Cursor {
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(9 + self.after.len());
        out.put_u8(CURSOR_VERSION);
        out.put_i64(self.reflects);
        out.extend_from_slice(&self.after);
        out.freeze()
    }

    /// `None` for bytes that are no cursor.
    pub fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        let is_ours = bytes.try_get_u8() == Ok(CURSOR_VERSION);
        let reflects = bytes.try_get_i64().ok()?;
        is_ours.then_some(Self {
            reflects,
            after: bytes,
        })
    }
}

/// What is asked of all rows together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    /// Of the values that are not null.
    Sum(FieldId),
    Min(FieldId),
    Max(FieldId),
}

/// What all rows together answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Total {
    Count(u64),
    /// Null if no row has a value.
    Cell(Value),
    /// Of integers, or unscaled of decimals; exact. `None` once it passed 128 bits.
    Sum(Option<i128>),
    FloatSum(f64),
}

/// Totals of rows that come one by one.
#[derive(Debug, Clone)]
pub struct Totals {
    asked: Vec<Aggregate>,
    totals: Vec<Total>,
}

impl Totals {
    pub fn new(asked: Vec<Aggregate>) -> Self {
        let totals = asked.iter().map(|aggregate| match aggregate {
            Aggregate::Count => Total::Count(0),
            _ => Total::Cell(Value::Null),
        });
        Self {
            totals: totals.collect(),
            asked,
        }
    }

    /// Adds one row. A row whose value is not of the schema counts, and has no cells.
    pub fn add(&mut self, row: Option<&Cells>) {
        let cell = |id| row.map_or(&Value::Null, |row| row.value(id));
        for (aggregate, total) in self.asked.iter().zip(&mut self.totals) {
            match *aggregate {
                Aggregate::Count => count(total),
                Aggregate::Sum(id) => add(total, cell(id)),
                Aggregate::Min(id) => choose(total, cell(id), Ordering::Less),
                Aggregate::Max(id) => choose(total, cell(id), Ordering::Greater),
            }
        }
    }

    /// One answer for each question, in their order.
    pub fn finish(self) -> Vec<Total> {
        self.totals
    }
}

fn count(total: &mut Total) {
    if let Total::Count(rows) = total {
        *rows += 1;
    }
}

fn add(total: &mut Total, cell: &Value) {
    let so_far = match total {
        Total::Sum(sum) => *sum,
        _ => Some(0),
    };
    let float = match total {
        Total::FloatSum(sum) => *sum,
        _ => 0.0,
    };
    *total = match cell {
        Value::Int(number) => Total::Sum(so_far.and_then(|sum| sum.checked_add((*number).into()))),
        Value::Decimal(unscaled) => Total::Sum(so_far.and_then(|sum| sum.checked_add(*unscaled))),
        Value::Float(number) => Total::FloatSum(float + f64::from(*number)),
        Value::Double(number) => Total::FloatSum(float + number),
        _ => return,
    };
}

fn choose(total: &mut Total, cell: &Value, wanted: Ordering) {
    if let Total::Cell(best) = total
        && !cell.is_null()
        && (best.is_null() || cell.compare(best) == Some(wanted))
    {
        *best = cell.clone();
    }
}

/// Rows read as cells at a time end with the one that reaches either.
const BLOCK_ROWS: usize = 1_024;
const BLOCK_BYTES: usize = 4 << 20;

/// The totals of all rows of a view.
///
/// # Errors
/// The engine failed, or a value could not be read at all.
pub fn totals(
    view: &TableView,
    merger: &Merger,
    columns: &[RuleColumn],
    asked: Vec<Aggregate>,
) -> Result<Vec<Total>, CellsOfError> {
    let mut totals = Totals::new(asked);
    let mut block: Vec<(Bytes, Row)> = Vec::with_capacity(BLOCK_ROWS);
    let mut rows = view.rows(None);
    loop {
        let mut bytes = 0;
        while block.len() < BLOCK_ROWS && bytes < BLOCK_BYTES {
            let Some(row) = rows.next() else { break };
            let (key, row) = row?;
            bytes += key.len() + row.value.len();
            block.push((key, row));
        }
        if block.is_empty() {
            return Ok(totals.finish());
        }
        for cells in merger.cells(columns, &block)? {
            totals.add(cells.as_ref());
        }
        block.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        let range = KeyRange::prefix(b"a\xff");
        for (key, inside) in [
            (&b"a"[..], false),
            (b"a\xff", true),
            (b"a\xff\xff", true),
            (b"b", false),
        ] {
            assert_eq!(range.contains(key), inside, "{key:?}");
        }
        assert!(KeyRange::prefix(b"\xff").contains(b"\xff\xff\xff"));
        assert!(KeyRange::all().contains(b""));
    }

    #[test]
    fn behind_a_key_is_not_the_key() {
        let range = KeyRange::prefix(b"a").behind(b"ab");
        assert!(!range.contains(b"ab") && range.contains(b"ab\0"));
        assert_eq!(KeyRange::prefix(b"b").behind(b"a"), KeyRange::prefix(b"b"));
        assert!(KeyRange::prefix(b"a").behind(b"b").is_empty());
    }

    #[test]
    fn a_cursor_comes_back() {
        let cursor = Cursor {
            reflects: 77,
            after: Bytes::from_static(b"key"),
        };
        assert_eq!(cursor.to_bytes(), &b"\x01\0\0\0\0\0\0\0\x4dkey"[..]);
        assert_eq!(Cursor::from_bytes(cursor.to_bytes()), Some(cursor));
        for bytes in [&b""[..], b"\x01\0", b"\x02\0\0\0\0\0\0\0\0"] {
            assert_eq!(Cursor::from_bytes(Bytes::copy_from_slice(bytes)), None);
        }
    }

    #[test]
    fn totals_leave_nulls_out() {
        let row = |number: Option<i64>| {
            let cell = number.map_or(Value::Null, Value::Int);
            Cells::from_iter([(1, cell)])
        };
        let asked = vec![
            Aggregate::Count,
            Aggregate::Sum(1),
            Aggregate::Min(1),
            Aggregate::Max(1),
            Aggregate::Max(2),
        ];
        let mut totals = Totals::new(asked);
        for number in [Some(i64::MAX), None, Some(-3), Some(i64::MAX)] {
            totals.add(Some(&row(number)));
        }
        totals.add(None);
        assert_eq!(
            totals.finish(),
            [
                Total::Count(5),
                Total::Sum(Some(2 * i128::from(i64::MAX) - 3)),
                Total::Cell(Value::Int(-3)),
                Total::Cell(Value::Int(i64::MAX)),
                Total::Cell(Value::Null),
            ]
        );
    }
}
