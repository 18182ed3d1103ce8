//! The table at one moment, in the order of its keys: for prefix lookups and scans.

use std::collections::BTreeMap;
use std::iter::Peekable;

use bytes::Bytes;
use tidelog_storage::ids::Offset;

use super::KeyedTable;
use crate::engine::{EngineError, KeySnapshot, Rows};
use crate::row::Row;
use crate::scan::KeyRange;

/// A range of the table as of one offset. Later changes do not show, however long it is kept; what
/// it holds of the overlay stays in memory, and what it holds of the engine on the disk.
pub struct TableView {
    /// The rows are the fold of all records below this offset and of none at or above it.
    pub reflects: Offset,
    range: KeyRange,
    /// What the overlay says of the range; `None` for a row that is gone.
    changed: BTreeMap<Bytes, Option<Row>>,
    engine: Box<dyn KeySnapshot>,
}

/// Some rows of a view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the order of their keys' bytes.
    pub rows: Vec<(Bytes, Row)>,
    /// The key after which the next page begins; `None` if this is the last.
    pub next: Option<Bytes>,
}

impl KeyedTable {
    /// A view of `range` as of the stable end, of which the caller knows at least `stable_end`.
    /// Takes a look at each key of the overlay.
    ///
    /// # Errors
    /// The engine failed.
    pub fn view(&self, range: KeyRange, stable_end: Offset) -> Result<TableView, EngineError> {
        self.advance(stable_end);
        let state = self.state.read();
        let reflects = state.visible_end();
        let changed = state.overlay.changed(reflects, |key| range.contains(key));
        let changed = changed.map(|change| (change.key.clone(), change.row()));
        Ok(TableView {
            reflects,
            changed: changed.collect(),
            // Taken under the lock: what the overlay does not hold now, this snapshot does.
            engine: self.engine.snapshot()?,
            range,
        })
    }
}

impl TableView {
    /// The rows in the order of their keys' bytes, behind the key `after`.
    pub fn rows(&self, after: Option<&[u8]>) -> Rows<'_> {
        self.rows_in(&self.range, after)
    }

    /// As [`rows`](Self::rows), of a part of the view's range.
    fn rows_in(&self, range: &KeyRange, after: Option<&[u8]>) -> Rows<'_> {
        let range = match after {
            Some(key) => range.behind(key),
            None => range.clone(),
        };
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let in_range = range.clone();
        let engine = self.engine.rows_from(range.start());
        let engine = engine.take_while(move |row| match row {
            Ok((key, _)) => in_range.contains(key),
            Err(_) => true,
        });
        Box::new(Merged {
            changed: self.changed.range(range.bounds()).peekable(),
            engine: engine.peekable(),
        })
    }

    /// Bytes of memory that the view alone may keep from being given back, about.
    pub fn held_bytes(&self) -> usize {
        let changed = self.changed.iter();
        let bytes = changed.map(|(key, row)| key.len() + row.as_ref().map_or(0, |r| r.value.len()));
        bytes.sum::<usize>() + self.changed.len() * size_of::<(Bytes, Option<Row>)>()
    }

    /// Rows of a part of the view's range behind the key `after`: up to `rows_max`, and about
    /// `bytes_max` of keys and values, but at least one if there is one.
    ///
    /// # Errors
    /// The engine failed.
    pub fn page(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Page, EngineError> {
        let mut page = Page::default();
        let mut bytes = 0;
        for row in self.rows_in(range, after) {
            let (key, row) = row?;
            bytes += key.len() + row.value.len();
            let is_full = page.rows.len() >= rows_max || bytes > bytes_max;
            if let Some((last, _)) = page.rows.last()
                && is_full
            {
                page.next = Some(last.clone());
                break;
            }
            page.rows.push((key, row));
        }
        Ok(page)
    }

    /// Counts the rows, one by one.
    ///
    /// # Errors
    /// The engine failed.
    pub fn count(&self) -> Result<u64, EngineError> {
        self.rows(None)
            .try_fold(0, |count, row| row.map(|_| count + 1))
    }
}

/// Two ascending sources of rows as one: where both know a key, what changed goes before.
struct Merged<C: Iterator, E: Iterator> {
    changed: Peekable<C>,
    engine: Peekable<E>,
}

impl<'a, C, E> Iterator for Merged<C, E>
where
    C: Iterator<Item = (&'a Bytes, &'a Option<Row>)>,
    E: Iterator<Item = Result<(Bytes, Row), EngineError>>,
{
    type Item = Result<(Bytes, Row), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match (self.changed.peek(), self.engine.peek()) {
                (None, _) | (_, Some(Err(_))) => return self.engine.next(),
                (Some((key, _)), Some(Ok((kept, _)))) if kept < *key => return self.engine.next(),
                (Some((key, _)), _) => *key,
            };
            let is_replaced = |kept: &E::Item| matches!(kept, Ok((kept, _)) if kept == key);
            self.engine.next_if(is_replaced);
            if let Some((key, Some(row))) = self.changed.next() {
                return Some(Ok((key.clone(), row.clone())));
            }
        }
    }
}
