//! Where in the lake the row of an offset is.
//!
//! The answer is made from the files of exactly the snapshot asked for, so it cannot be stale; what
//! is kept from one question to the next is the content of files that never change. Offset columns
//! are read when an offset may be in them and kept within a budget, the least recently used going
//! first: a table larger than that costs reading, not memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use roaring::RoaringTreemap;

use super::live::{DataEntry, LiveError, Manifests};
use super::offsets::OffsetColumn;

/// Memory for offset columns of one table: some ten million rows at two bytes each.
const COLUMN_BYTES_MAX: usize = 32 << 20;

/// Positions of rows by partition and file.
pub(crate) type Found = BTreeMap<i32, BTreeMap<String, RoaringTreemap>>;

/// What is remembered of a keyed table's files. All of it may be lost.
#[derive(Debug)]
pub(crate) struct Places {
    manifests: Manifests,
    columns: HashMap<String, Kept>,
    /// Of all columns.
    bytes: usize,
    bytes_max: usize,
    /// Grows with every use of a column.
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    column: Arc<OffsetColumn>,
    used: u64,
}

/// Offsets that no live file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub partition: i32,
    pub offset: u64,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            manifests: Manifests::default(),
            columns: HashMap::new(),
            bytes: 0,
            bytes_max: COLUMN_BYTES_MAX,
            uses: 0,
        }
    }
}

impl Places {
    /// Where the rows with these offsets are in the table's current snapshot. A row that was
    /// deleted already, but whose file is still there, is found too: to delete it again is nothing.
    pub async fn find(
        &mut self,
        io: &FileIO,
        metadata: &TableMetadata,
        wanted: &BTreeMap<i32, RoaringTreemap>,
    ) -> Result<Result<Found, Missing>, LiveError> {
        let all = self.manifests.live(io, metadata).await?;
        let mut found = Found::new();
        for (&partition, offsets) in wanted.iter().filter(|(_, offsets)| !offsets.is_empty()) {
            let mut left = offsets.clone();
            let files = all.get(&partition).map_or(&[][..], |live| &live.data[..]);
            for file in files.iter().filter(|file| may_have(file, offsets)) {
                let column = self.column(io, &file.location).await?;
                let (hits, positions) = column.find(offsets);
                if !hits.is_empty() {
                    left -= hits;
                    let files = found.entry(partition).or_default();
                    files.insert(file.location.clone(), positions);
                }
            }
            if let Some(offset) = left.min() {
                return Ok(Err(Missing { partition, offset }));
            }
        }
        Ok(Ok(found))
    }

    /// Every row of a partition in the table's current snapshot, deleted ones too, by file.
    pub async fn all(
        &mut self,
        io: &FileIO,
        metadata: &TableMetadata,
        partition: i32,
    ) -> Result<BTreeMap<String, RoaringTreemap>, LiveError> {
        let live = self.manifests.live(io, metadata).await?.remove(&partition);
        let files = live.map(|live| live.data).unwrap_or_default().into_iter();
        let all = |rows| {
            let mut positions = RoaringTreemap::new();
            positions.insert_range(0..rows);
            positions
        };
        Ok(files.map(|file| (file.location, all(file.rows))).collect())
    }

    /// Takes note of a file whose offsets are known.
    pub fn remember(&mut self, location: String, offsets: RoaringTreemap) {
        self.uses += 1;
        self.keep(location, Arc::new(OffsetColumn::Sorted(offsets)));
    }

    async fn column(
        &mut self,
        io: &FileIO,
        location: &str,
    ) -> Result<Arc<OffsetColumn>, LiveError> {
        self.uses += 1;
        if let Some(kept) = self.columns.get_mut(location) {
            kept.used = self.uses;
            return Ok(Arc::clone(&kept.column));
        }
        let column = Arc::new(OffsetColumn::load(io, location).await?);
        self.keep(location.to_owned(), Arc::clone(&column));
        Ok(column)
    }

    fn keep(&mut self, location: String, column: Arc<OffsetColumn>) {
        self.bytes += column.bytes();
        let used = self.uses;
        if let Some(before) = self.columns.insert(location, Kept { column, used }) {
            self.bytes -= before.column.bytes();
        }
        while self.bytes > self.bytes_max {
            let oldest = self.columns.iter().min_by_key(|(_, kept)| kept.used);
            let Some(location) = oldest.map(|(location, _)| location.clone()) else {
                return;
            };
            if let Some(gone) = self.columns.remove(&location) {
                self.bytes -= gone.column.bytes();
            }
        }
    }
}

fn may_have(file: &DataEntry, offsets: &RoaringTreemap) -> bool {
    let Some((low, high)) = file.offsets else {
        return true;
    };
    let bound = |offset| u64::try_from(offset).unwrap_or_default();
    offsets.range_cardinality(bound(low)..=bound(high)) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_within_the_budget_and_the_newest_stay() {
        let column = |file: u64| (0..1_000).map(|row| file + row * 10).collect();
        let mut places = Places {
            bytes_max: 10_000,
            ..Places::default()
        };
        for file in 0..20 {
            places.remember(file.to_string(), column(file));
            places.remember(file.to_string(), column(file));
            assert!(places.bytes <= 10_000);
            let kept = places.columns.values().map(|kept| kept.column.bytes());
            assert_eq!(places.bytes, kept.sum::<usize>());
        }
        let mut kept: Vec<_> = places.columns.keys().map(String::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["16", "17", "18", "19"]);
    }
}
