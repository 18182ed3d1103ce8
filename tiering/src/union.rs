//! Union read: which rows of a topic to take from the lake and which from the log, so that a
//! reader of both sees every row once.
//!
//! The cut-over of a partition is its lake end *in the snapshot that is read*. Snapshot and ends
//! must come from the same load of the table ([`crate::TierMark`] holds both), and both sides must
//! be pinned until the reader is done: the snapshot against expiry, the log against retention.

use std::collections::{BTreeMap, HashMap};

use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFile, Datum, PrimitiveLiteral, TableMetadata};
use thiserror::Error;

use crate::mark::{OffsetRange, TierMark};
use crate::plan::LogBounds;
use crate::schema::id;
use crate::snapshot::manifests;

/// What to read of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Lake rows with `_offset` below this; `None` when the lake has none of this partition.
    pub lake_to: Option<i64>,
    /// Log rows with these offsets; empty when the lake has everything.
    pub log: OffsetRange,
}

/// What to read of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnionPlan {
    /// The snapshot to read; `None` when all comes from the log.
    pub snapshot_id: Option<i64>,
    pub partitions: BTreeMap<i32, PartitionPlan>,
}

/// Why no exact plan exists.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("partition {partition} lacks offsets {lake_end}..{log_start} in lake and log")]
pub struct UnionGap {
    pub partition: i32,
    pub lake_end: i64,
    pub log_start: i64,
}

/// Plans a read of everything up to each partition's stable end.
///
/// # Errors
/// [`UnionGap`] when the log starts after the lake ends.
pub fn plan(mark: &TierMark, log: &BTreeMap<i32, LogBounds>) -> Result<UnionPlan, UnionGap> {
    let mut partitions = BTreeMap::new();
    for (&partition, bounds) in log {
        let lake_to = mark.ends.get(&partition).copied();
        let start = lake_to.unwrap_or(bounds.log_start);
        if start < bounds.log_start {
            return Err(UnionGap {
                partition,
                lake_end: start,
                log_start: bounds.log_start,
            });
        }
        let log = OffsetRange {
            start,
            end: bounds.stable_end.max(start),
        };
        partitions.insert(partition, PartitionPlan { lake_to, log });
    }
    Ok(UnionPlan {
        snapshot_id: mark.snapshot_id,
        partitions,
    })
}

/// One file of a snapshot, with what a reader needs to choose and to merge.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeFile {
    pub location: String,
    /// Rows, or deletes by position or key: somebody may delete rows of a table, and a reader
    /// that cannot apply the deletes must not skip them.
    pub content: DataContentType,
    pub file_bytes: u64,
    pub rows: u64,
    pub sequence_number: i64,
    /// Lowest and highest partition, inclusive, if known.
    pub partitions: Option<(i32, i32)>,
    /// Lowest and highest offset over all partitions in the file, inclusive, if known.
    pub offsets: Option<(i64, i64)>,
}

/// The live files of a snapshot, oldest first. An unknown snapshot has none.
pub async fn lake_files(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot_id: i64,
) -> iceberg::Result<Vec<LakeFile>> {
    let Some(snapshot) = metadata.snapshot_by_id(snapshot_id) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for manifest in manifests(io, metadata, snapshot).await? {
        let entries = manifest.load_manifest(io).await?;
        files.extend(
            entries
                .entries()
                .iter()
                .filter(|entry| entry.is_alive())
                .map(|entry| {
                    let sequence_number =
                        entry.sequence_number().unwrap_or(manifest.sequence_number);
                    lake_file(entry.data_file(), sequence_number)
                }),
        );
    }
    files.sort_by_key(|file| file.sequence_number);
    Ok(files)
}

/// Lowest and highest value of a column of integers, inclusive, if stated.
pub(crate) fn bounds(file: &DataFile, id: i32) -> Option<(i64, i64)> {
    let bound = |bounds: &HashMap<i32, Datum>| long(bounds.get(&id)?);
    Some((bound(file.lower_bounds())?, bound(file.upper_bounds())?))
}

fn lake_file(file: &DataFile, sequence_number: i64) -> LakeFile {
    LakeFile {
        location: file.file_path().to_owned(),
        content: file.content_type(),
        file_bytes: file.file_size_in_bytes(),
        rows: file.record_count(),
        sequence_number,
        partitions: bounds(file, id::PARTITION)
            .and_then(|(low, high)| Some((low.try_into().ok()?, high.try_into().ok()?))),
        offsets: bounds(file, id::OFFSET),
    }
}

fn long(datum: &Datum) -> Option<i64> {
    match datum.literal() {
        PrimitiveLiteral::Int(value) => Some(i64::from(*value)),
        PrimitiveLiteral::Long(value) => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(log_start: i64, stable_end: i64) -> LogBounds {
        LogBounds {
            log_start,
            stable_end,
        }
    }

    fn mark(ends: impl Into<BTreeMap<i32, i64>>) -> TierMark {
        TierMark {
            ends: ends.into(),
            snapshot_id: Some(7),
            metadata_location: "m".to_owned(),
            committed_ms: None,
        }
    }

    #[test]
    fn every_offset_is_read_from_one_side() {
        let mark = mark([(0, 100), (1, 50)]);
        let log = BTreeMap::from([(0, bounds(40, 120)), (1, bounds(50, 45)), (2, bounds(3, 9))]);
        let plan = plan(&mark, &log).unwrap();
        let of = |lake_to, start, end| PartitionPlan {
            lake_to,
            log: OffsetRange { start, end },
        };
        let expected = [
            (0, of(Some(100), 100, 120)),
            (1, of(Some(50), 50, 50)),
            (2, of(None, 3, 9)),
        ];
        assert_eq!(plan.partitions, BTreeMap::from(expected));
        assert_eq!(plan.snapshot_id, Some(7));
    }

    #[test]
    fn a_hole_between_lake_and_log_is_named() {
        let mark = mark([(0, 10)]);
        let gap = plan(&mark, &BTreeMap::from([(0, bounds(12, 20))])).unwrap_err();
        assert_eq!(
            gap,
            UnionGap {
                partition: 0,
                lake_end: 10,
                log_start: 12
            }
        );
    }
}
