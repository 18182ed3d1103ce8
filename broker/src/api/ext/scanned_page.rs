//! What a scan takes from one page of a table: the rows it is to answer, or their part of totals.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use tidelog_keyed::Page;
use tidelog_predicate::{Bound, Totals};
use tidelog_protocol_ext::Rope;
use tidelog_storage::rows::Projection;

use super::rows_of_keys::{self, FoundRow, RowsError};
use super::scan::ScanFault;
use crate::jobs::rows::format::Format;
use crate::owners::keyed::Merging;

/// What is wanted of every row, bound to the columns of one format.
pub struct Wanted {
    pub format: Arc<Format>,
    pub columns: Projection,
    pub filter: Option<Bound>,
    /// In the place of rows; of none yet.
    pub totals: Option<Totals>,
}

/// What was found of one partition so far.
pub struct Answered {
    pub rows: usize,
    pub undecodable: usize,
    pub messages: Rope,
    pub totals: Option<Totals>,
}

impl Wanted {
    /// Whether rows have to be decoded; if not, they are only counted.
    fn reads_columns(&self) -> bool {
        self.filter.is_some()
            || match &self.totals {
                Some(totals) => !totals.only_counts(),
                None => !self.columns.is_empty(),
            }
    }
}

impl Answered {
    /// Nothing yet.
    pub fn new(wanted: &Wanted) -> Self {
        Self {
            rows: 0,
            undecodable: 0,
            messages: Rope::default(),
            totals: wanted.totals.clone(),
        }
    }

    /// Takes up to `rows_max` rows, at least one, from a page of a partition. Answers the key to go
    /// on behind; `None` at the end of the table.
    ///
    /// # Errors
    /// Its rows could not be made columns, or a total is too great.
    pub fn take(
        &mut self,
        wanted: &Wanted,
        merging: Option<&Merging>,
        partition: i32,
        page: Page,
        rows_max: usize,
    ) -> Result<Option<Bytes>, ScanFault> {
        if !wanted.reads_columns() {
            self.rows += page.rows.len();
            if let Some(totals) = &mut self.totals {
                totals.add_count(page.rows.len());
            }
            return Ok(page.next);
        }
        let found = page.rows.into_iter().map(|(key, row)| FoundRow {
            partition,
            key,
            row,
        });
        let found: Vec<_> = found.collect();
        let decoded = rows_of_keys::decode(&wanted.format, merging, &found)?;
        let chosen = choose(wanted.filter.as_ref(), decoded.rows, rows_max)?;
        // Rows behind the last one taken are looked at again.
        let (next, end) = match chosen.last {
            Some(row) => {
                let place = decoded.places[row];
                (Some(found[place].key.clone()), place)
            }
            None => (page.next, usize::MAX),
        };
        self.undecodable += decoded.undecodable.partition_point(|place| *place < end);
        self.rows += chosen.rows.num_rows();
        match &mut self.totals {
            Some(totals) => totals.add(&chosen.rows)?,
            None => {
                let compression = wanted.format.compression;
                let encoded = rows_of_keys::encode(&wanted.columns, &chosen.rows, compression)?;
                let pieces = encoded.pieces().iter().cloned();
                pieces.for_each(|piece| self.messages.push(piece));
            }
        }
        Ok(next)
    }
}

/// Rows of a page.
struct Chosen {
    rows: RecordBatch,
    /// The last one looked at, where there were more that could not be taken.
    last: Option<usize>,
}

/// The first `rows_max` rows that a filter is true of.
fn choose(filter: Option<&Bound>, rows: RecordBatch, rows_max: usize) -> Result<Chosen, RowsError> {
    let Some(filter) = filter else {
        let last = (rows.num_rows() > rows_max).then(|| rows_max.saturating_sub(1));
        let rows = rows.slice(0, rows.num_rows().min(rows_max));
        return Ok(Chosen { rows, last });
    };
    let matches = filter.eval(&rows)?;
    if matches.true_count() <= rows_max {
        let rows = filter_record_batch(&rows, &matches)?;
        return Ok(Chosen { rows, last: None });
    }
    let is_match = |row: &usize| matches.is_valid(*row) && matches.value(*row);
    let taken = (0..rows.num_rows()).filter(is_match).take(rows_max);
    let last = taken.last().unwrap_or(0);
    let (rows, matches) = (rows.slice(0, last + 1), matches.slice(0, last + 1));
    let rows = filter_record_batch(&rows, &matches)?;
    Ok(Chosen {
        rows,
        last: Some(last),
    })
}
