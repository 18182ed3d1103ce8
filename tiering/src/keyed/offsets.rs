//! Which row of a data file has which offset.
//!
//! Our files are sorted by offset, so that the position of a row is the rank of its offset in a
//! set. Memory per row: an eighth of a byte where every offset of a range is there, two bytes where
//! one in a hundred is, ten where one in 65,536 is. A file in another order, which others may have
//! written, takes 16 bytes per row.

use iceberg::Result;
use iceberg::io::FileIO;
use roaring::RoaringTreemap;

use crate::parquet_file::{self, longs, unreadable};
use crate::schema::id;

/// The offset column of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OffsetColumn {
    /// Row *n* has the *n*th offset.
    Sorted(RoaringTreemap),
    /// Offset and position of each row, by offset.
    Any(Vec<(u64, u64)>),
}

impl OffsetColumn {
    /// Reads the column of a data file.
    pub async fn load(io: &FileIO, location: &str) -> Result<Self> {
        let bad = |error| unreadable(location, error);
        let opened = parquet_file::open(io, location).await?.map_err(bad)?;
        let mask = parquet_file::columns(&opened, &[id::OFFSET]);
        let mut stream = opened.with_projection(mask).build().map_err(bad)?;
        let mut builder = Builder::default();
        while let Some(rows) = parquet_file::next(&mut stream, location).await? {
            for &offset in longs(&rows, id::OFFSET, location)?.values() {
                let offset = u64::try_from(offset);
                builder.push(offset.map_err(|_| unreadable(location, "a negative offset"))?);
            }
        }
        builder
            .finish()
            .ok_or_else(|| unreadable(location, "an offset is there twice"))
    }

    /// Those of `wanted` that the file has, and their positions.
    pub fn find(&self, wanted: &RoaringTreemap) -> (RoaringTreemap, RoaringTreemap) {
        let mut positions = RoaringTreemap::new();
        let mut found = RoaringTreemap::new();
        match self {
            Self::Sorted(offsets) => {
                found = offsets & wanted;
                let (mut at, mut rank) = (0, 0);
                for offset in &found {
                    rank += offsets.range_cardinality(at..offset);
                    positions.insert(rank);
                    at = offset;
                }
            }
            Self::Any(rows) => {
                for &(offset, position) in rows.iter().filter(|row| wanted.contains(row.0)) {
                    found.insert(offset);
                    positions.insert(position);
                }
            }
        }
        (found, positions)
    }

    /// The offsets at `positions`; positions beyond the file have none.
    pub fn at(&self, positions: &RoaringTreemap) -> RoaringTreemap {
        match self {
            Self::Sorted(offsets) => positions.iter().filter_map(|n| offsets.select(n)).collect(),
            Self::Any(rows) => {
                let at = rows.iter().filter(|row| positions.contains(row.1));
                at.map(|row| row.0).collect()
            }
        }
    }

    /// Memory taken, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Sorted(offsets) => offsets.serialized_size(),
            Self::Any(rows) => rows.capacity() * size_of::<(u64, u64)>(),
        }
    }
}

/// Takes up offsets in the order of a file's rows.
#[derive(Debug, Default)]
struct Builder {
    sorted: RoaringTreemap,
    last: Option<u64>,
    /// Set from the first row on that is out of order.
    any: Option<Vec<(u64, u64)>>,
}

impl Builder {
    fn push(&mut self, offset: u64) {
        if let Some(any) = &mut self.any {
            any.push((offset, any.len() as u64));
        } else if self.last < Some(offset) {
            self.sorted.insert(offset);
            self.last = Some(offset);
        } else {
            let mut any: Vec<_> = self.sorted.iter().zip(0..).collect();
            any.push((offset, any.len() as u64));
            self.any = Some(any);
        }
    }

    /// `None` if an offset came twice.
    fn finish(self) -> Option<OffsetColumn> {
        let Some(mut any) = self.any else {
            return Some(OffsetColumn::Sorted(self.sorted));
        };
        any.sort_unstable();
        let is_unique = any.is_sorted_by(|a, b| a.0 < b.0);
        is_unique.then_some(OffsetColumn::Any(any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(offsets: impl IntoIterator<Item = u64>) -> Option<OffsetColumn> {
        let mut builder = Builder::default();
        offsets.into_iter().for_each(|offset| builder.push(offset));
        builder.finish()
    }

    fn set<const N: usize>(values: [u64; N]) -> RoaringTreemap {
        values.into_iter().collect()
    }

    #[test]
    fn offsets_are_found_in_whatever_order_a_file_has_them() {
        let wanted = set([1, 5, 9, 1 << 33]);
        for (offsets, found, positions) in [
            (vec![], set([]), set([])),
            (vec![0, 5, 6, 1 << 33], set([5, 1 << 33]), set([1, 3])),
            (vec![9, 2, 5, 4], set([5, 9]), set([0, 2])),
            (vec![1 << 33, 1], set([1, 1 << 33]), set([0, 1])),
        ] {
            let column = column(offsets.clone()).unwrap();
            let answer = column.find(&wanted);
            assert_eq!(answer, (found.clone(), positions.clone()), "{offsets:?}");
            assert_eq!(column.at(&positions), found, "{offsets:?}");
        }
        assert_eq!(column([3, 4, 4]), None);
        assert_eq!(column([7, 1, 7]), None);
    }

    #[test]
    fn a_row_takes_few_bytes() {
        let rows = 1_000_000;
        for (stride, per_million) in [(1, 140_000), (100, 2_100_000), (1 << 16, 20_000_000)] {
            let column = column((0..rows).map(|row| row * stride)).unwrap();
            assert!(
                column.bytes() < per_million,
                "{} bytes at {stride}",
                column.bytes()
            );
        }
    }
}
