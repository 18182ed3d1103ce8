//! Whether a partition is worth a round, and over which offsets: pure decisions over its manifest.
//!
//! As Kafka decides: a round is due when the dirty part is a large enough share of the bytes, or when
//! its oldest record has waited for longer than the topic allows. Beyond Kafka, a round is due when
//! tombstones or markers that an earlier one left may go: such a round comes at most once after each
//! of the others, so that it no more than doubles what is written.

use super::CompactionSettings;
use crate::ids::{Offset, Timestamp};
use crate::manifest::PartitionManifest;

/// What of the log may be touched, whatever its segments say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// What lies below is not read any more.
    pub log_start: Offset,
    /// Nothing at or above is touched: it is not stable yet, or somebody still needs every record.
    pub end: Offset,
}

/// What a round over a partition would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dirt {
    /// Where the dirty part begins, and where the round would end: at the end of a segment.
    pub from: Offset,
    pub limit: Offset,
    /// Bytes of whole segments below the dirty part, and of those that hold it.
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    /// Records in the dirty part, about.
    pub dirty_records: u64,
    /// Smallest timestamp in it, if any record has one.
    pub oldest_dirty: Option<Timestamp>,
    /// When the first tombstone or marker below `from` may go.
    pub next_horizon: Option<Timestamp>,
}

impl Dirt {
    /// `None` where a round may not even go as far as the last one did.
    pub(crate) fn of(
        manifest: &PartitionManifest,
        bounds: Bounds,
        settings: &CompactionSettings,
        now: Timestamp,
    ) -> Option<Self> {
        let from = manifest.cleaned_to.max(bounds.log_start);
        let mut dirt = Self {
            from,
            limit: 0,
            clean_bytes: 0,
            dirty_bytes: 0,
            dirty_records: 0,
            oldest_dirty: None,
            next_horizon: manifest.delete_horizon,
        };
        for segment in &manifest.segments {
            let is_dirty = segment.end_offset > from;
            let is_young = settings.min_lag_ms > 0
                && segment.max_timestamp > now.saturating_sub(settings.min_lag_ms);
            if segment.end_offset > bounds.end || (is_dirty && is_young) {
                break;
            }
            dirt.limit = dirt.limit.max(segment.end_offset);
            if is_dirty {
                dirt.dirty_bytes += segment.batch_bytes;
                dirt.dirty_records += segment.record_count;
                let oldest = Some(segment.min_timestamp).filter(|time| *time >= 0);
                dirt.oldest_dirty = super::earlier(dirt.oldest_dirty, oldest);
            } else {
                dirt.clean_bytes += segment.batch_bytes;
            }
        }
        (dirt.limit >= from).then_some(dirt)
    }

    /// How much a round is wanted now, the largest first; `None` if it is not due.
    pub(crate) fn urgency(&self, settings: &CompactionSettings, now: Timestamp) -> Option<f64> {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 {
            return None;
        }
        let ratio = self.dirty_bytes as f64 / total as f64;
        let too_dirty = ratio > settings.min_dirty_ratio;
        let waited = |max_lag: Timestamp| {
            let oldest = self.oldest_dirty.filter(|_| self.dirty_bytes > 0);
            oldest.is_some_and(|oldest| oldest < now.saturating_sub(max_lag))
        };
        let too_old = settings.max_lag_ms.is_some_and(waited);
        let may_go = self.next_horizon.is_some_and(|horizon| horizon <= now);
        (too_dirty || too_old || may_go).then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::{PartitionId, TopicId};
    use crate::segment::{FileId, SegmentKind, SegmentMeta};

    /// A segment of 100 bytes over ten offsets, whose records have the times `base` to `base + 9`.
    fn segment(base: Offset) -> Arc<SegmentMeta> {
        Arc::new(SegmentMeta {
            file: FileId([base as u8; 16]),
            format_version: 1,
            kind: SegmentKind::Own,
            base_offset: base,
            end_offset: base + 10,
            batch_bytes: 100,
            record_count: 10,
            min_timestamp: base,
            max_timestamp: base + 9,
            max_timestamp_offset: base,
            epochs: Vec::new(),
            file_len: 0,
            file_crc: 0,
            blocks: Vec::new(),
        })
    }

    /// Offsets 0 to 40.
    fn manifest(cleaned_to: Offset) -> PartitionManifest {
        let partition = PartitionId {
            topic: TopicId([1; 16]),
            index: 0,
        };
        PartitionManifest {
            segments: (0..4).map(|i| segment(i * 10)).collect(),
            cleaned_to,
            ..PartitionManifest::new(partition, 0)
        }
    }

    fn dirt(cleaned_to: Offset, log_start: Offset, end: Offset, min_lag_ms: i64) -> Option<Dirt> {
        let settings = CompactionSettings {
            min_lag_ms,
            ..CompactionSettings::default()
        };
        Dirt::of(
            &manifest(cleaned_to),
            Bounds { log_start, end },
            &settings,
            50,
        )
    }

    #[test]
    fn a_round_ends_where_a_segment_does_below_every_bound() {
        // cleaned to, log start, end, min lag => from, limit, clean, dirty, oldest
        for ((cleaned_to, log_start, end, min_lag), expected) in [
            ((0, 0, 40, 0), Some((0, 40, 0, 400, Some(0)))),
            ((20, 0, 40, 0), Some((20, 40, 200, 200, Some(20)))),
            ((25, 0, 40, 0), Some((25, 40, 200, 200, Some(20)))),
            ((0, 0, 39, 0), Some((0, 30, 0, 300, Some(0)))),
            ((20, 0, 20, 0), Some((20, 20, 200, 0, None))),
            ((20, 0, 19, 0), None),
            ((0, 0, 9, 0), Some((0, 0, 0, 0, None))),
            ((0, 15, 40, 0), Some((15, 40, 100, 300, Some(10)))),
            ((40, 0, 40, 0), Some((40, 40, 400, 0, None))),
            // The segments at 20 and 30 hold records younger than 22 ms.
            ((0, 0, 40, 22), Some((0, 20, 0, 200, Some(0)))),
            ((30, 0, 40, 22), Some((30, 30, 300, 0, None))),
        ] {
            let found = dirt(cleaned_to, log_start, end, min_lag).map(|d| {
                (
                    d.from,
                    d.limit,
                    d.clean_bytes,
                    d.dirty_bytes,
                    d.oldest_dirty,
                )
            });
            assert_eq!(found, expected, "{cleaned_to} {log_start} {end} {min_lag}");
        }
    }

    #[test]
    fn a_round_is_due_by_ratio_by_age_and_by_horizon() {
        let dirt = |clean_bytes, dirty_bytes, next_horizon| Dirt {
            from: 0,
            limit: 0,
            clean_bytes,
            dirty_bytes,
            dirty_records: 0,
            oldest_dirty: Some(1_000),
            next_horizon,
        };
        let settings = |min_dirty_ratio, max_lag_ms| CompactionSettings {
            min_dirty_ratio,
            max_lag_ms,
            ..CompactionSettings::default()
        };
        for (dirt, settings, expected) in [
            (dirt(100, 100, None), settings(0.5, None), None),
            (dirt(99, 101, None), settings(0.5, None), Some(0.505)),
            (dirt(100, 0, None), settings(0.0, None), None),
            (dirt(99, 1, None), settings(0.0, None), Some(0.01)),
            (dirt(0, 0, Some(0)), settings(0.0, Some(0)), None),
            (dirt(99, 1, None), settings(0.5, Some(1_001)), Some(0.01)),
            (dirt(99, 1, None), settings(0.5, Some(1_002)), None),
            (dirt(100, 0, None), settings(0.5, Some(1)), None),
            (dirt(100, 0, Some(2_002)), settings(0.5, None), Some(0.0)),
            (dirt(100, 0, Some(2_003)), settings(0.5, None), None),
        ] {
            assert_eq!(
                dirt.urgency(&settings, 2_002),
                expected,
                "{dirt:?} {settings:?}"
            );
        }
    }
}
