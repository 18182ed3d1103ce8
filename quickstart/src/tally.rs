//! What a program counted and hashed, by partition.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Records of a topic as one program saw them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    /// Of keys and values, uncompressed.
    pub(crate) bytes: u64,
    pub(crate) partitions: BTreeMap<i32, Range>,
}

/// Records of one partition, without a gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) first: i64,
    pub(crate) end: i64,
    /// Of offset, timestamp, key and value of each record in turn.
    pub(crate) sha256: String,
}

impl Tally {
    /// The end of each partition.
    pub(crate) fn ends(&self) -> BTreeMap<i32, i64> {
        let each = self.partitions.iter();
        each.map(|(partition, range)| (*partition, range.end))
            .collect()
    }

    /// Checks that what was read is what was written.
    pub(crate) fn check_same(&self, read: &Self) -> Result<()> {
        for (partition, written) in &self.partitions {
            let found = read.partitions.get(partition);
            ensure!(
                found == Some(written),
                "partition {partition}: {written:?} was acknowledged, {found:?} was consumed"
            );
        }
        ensure!(
            self == read,
            "{} records of {} bytes were acknowledged, {} of {} consumed",
            self.records,
            self.bytes,
            read.records,
            read.bytes
        );
        Ok(())
    }
}

/// Rows of a partition as an engine saw them in the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LakeRange {
    pub(crate) rows: u64,
    /// How many different offsets they have.
    pub(crate) distinct: u64,
    pub(crate) first: i64,
    pub(crate) end: i64,
}

/// A snapshot of the lake table as an engine saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LakeView {
    pub(crate) snapshot_id: i64,
    pub(crate) files: u64,
    pub(crate) rows: u64,
    /// The sum of the column of this name.
    pub(crate) quantity: i64,
    pub(crate) partitions: BTreeMap<i32, LakeRange>,
}

impl LakeView {
    /// Checks that the snapshot is `id` and holds each offset from 0 up to `ends` once, and nothing else.
    pub(crate) fn check(&self, id: i64, ends: &BTreeMap<i32, i64>) -> Result<()> {
        ensure!(
            self.snapshot_id == id,
            "it read snapshot {}, the broker says {id}",
            self.snapshot_id
        );
        let due = ends
            .iter()
            .filter(|(_, end)| **end > 0)
            .map(|(partition, &end)| {
                let rows = end.unsigned_abs();
                let range = LakeRange {
                    rows,
                    distinct: rows,
                    first: 0,
                    end,
                };
                (*partition, range)
            });
        let due: BTreeMap<_, _> = due.collect();
        ensure!(
            self.partitions == due,
            "it found {:?}, due is {due:?}",
            self.partitions
        );
        let rows: u64 = due.values().map(|range| range.rows).sum();
        ensure!(self.rows == rows, "it counted {} rows of {rows}", self.rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let range = |end| Range {
            first: 0,
            end,
            sha256: format!("of {end}"),
        };
        Tally {
            records: 5,
            bytes: 50,
            partitions: [(0, range(2)), (1, range(3))].into(),
        }
    }

    #[test]
    fn every_difference_is_an_error() {
        let changes: [fn(&mut Tally); 5] = [
            |tally| tally.records += 1,
            |tally| tally.bytes -= 1,
            |tally| drop(tally.partitions.remove(&1)),
            |tally| {
                tally
                    .partitions
                    .entry(0)
                    .or_insert_with(|| unreachable!())
                    .end = 1
            },
            |tally| {
                tally
                    .partitions
                    .values_mut()
                    .for_each(|range| range.sha256.clear())
            },
        ];
        tally().check_same(&tally()).unwrap();
        for (number, change) in changes.into_iter().enumerate() {
            let mut read = tally();
            change(&mut read);
            assert!(tally().check_same(&read).is_err(), "change {number}");
        }
    }

    #[test]
    fn a_lake_holds_each_offset_once() {
        let range = LakeRange {
            rows: 2,
            distinct: 2,
            first: 0,
            end: 2,
        };
        let view = LakeView {
            snapshot_id: 7,
            files: 1,
            rows: 2,
            quantity: 0,
            partitions: [(0, range)].into(),
        };
        let ends = [(0, 2), (1, 0)].into();
        view.check(7, &ends).unwrap();
        assert!(view.check(8, &ends).is_err());
        assert!(view.check(7, &[(0, 3)].into()).is_err());
        assert!(view.check(7, &[(0, 2), (1, 1)].into()).is_err());
        let mut doubled = view.clone();
        doubled.partitions.insert(
            0,
            LakeRange {
                distinct: 1,
                ..range
            },
        );
        assert!(doubled.check(7, &ends).is_err());
        let mut miscounted = view;
        miscounted.rows = 3;
        assert!(miscounted.check(7, &ends).is_err());
    }
}
