//! Which checkpoints to keep, to use, and when to write the next. Decides; others act.

use tidelog_storage::checkpoint::KEPT;
use tidelog_storage::ids::Offset;
use tidelog_storage::segment::FileId;

use super::{CheckpointMeta, FORMAT_VERSION};

/// A partition's checkpoints after a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// For the manifest, oldest first.
    pub keep: Vec<CheckpointMeta>,
    /// To be removed once the manifest no longer names them.
    pub drop: Vec<FileId>,
}

/// The newest two of `checkpoints`, by the offset they reflect.
pub fn keep_newest(mut checkpoints: Vec<CheckpointMeta>) -> Kept {
    checkpoints.sort_by_key(|checkpoint| checkpoint.reflects);
    let keep = checkpoints.split_off(checkpoints.len().saturating_sub(KEPT));
    let drop = checkpoints.iter().map(|old| old.file).collect();
    Kept { keep, drop }
}

/// Those from which a log of `log_start..log_end` goes on without a hole, newest first (of equal
/// ones the later named). One beyond the log's end stems from records that are gone.
pub fn usable(
    checkpoints: &[CheckpointMeta],
    log_start: Offset,
    log_end: Offset,
) -> Vec<&CheckpointMeta> {
    let mut usable: Vec<_> = checkpoints
        .iter()
        .rev()
        .filter(|c| (log_start..=log_end).contains(&c.reflects) && c.min_reader <= FORMAT_VERSION)
        .collect();
    usable.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.reflects));
    usable
}

/// Whether to write a new checkpoint. It is worth its bytes once the log has grown by as much as the
/// newest one takes, and by `min_bytes` at least: so checkpoints at most double what is written, and
/// a restore replays about as much as it loads. It is due at once where there is nothing to fall
/// back on, because one turned out unreadable after the log was cut.
pub fn is_due(
    checkpoints: &[CheckpointMeta],
    log_start: Offset,
    log_bytes_since: u64,
    min_bytes: u64,
) -> bool {
    let newest = checkpoints.iter().max_by_key(|c| c.reflects);
    let outgrown = log_bytes_since >= newest.map_or(0, |newest| newest.file_len).max(min_bytes);
    outgrown || (log_start > 0 && checkpoints.len() < KEPT)
}

#[cfg(test)]
mod tests {
    use tidelog_storage::checkpoint::retention_floor;
    use tidelog_storage::ids::{PartitionId, TopicId};

    use super::*;

    fn at(reflects: Offset) -> CheckpointMeta {
        CheckpointMeta {
            file: FileId([reflects as u8; 16]),
            format_version: 1,
            min_reader: 1,
            partition: PartitionId {
                topic: TopicId::default(),
                index: 0,
            },
            reflects,
            rows: 1,
            file_len: 1_000,
            file_crc: 0,
        }
    }

    #[test]
    fn the_newest_two_stay() {
        let kept = keep_newest(vec![at(30), at(10), at(20)]);
        assert_eq!(kept.keep, [at(20), at(30)]);
        assert_eq!(kept.drop, [FileId([10; 16])]);
        assert_eq!(keep_newest(vec![at(5)]).keep, [at(5)]);
    }

    #[test]
    fn the_log_stays_from_the_older_one_on() {
        let floors = [
            vec![],
            vec![at(9)],
            vec![at(9), at(7)],
            vec![at(1), at(9), at(7)],
        ];
        assert_eq!(floors.map(|c| retention_floor(&c)), [0, 0, 7, 7]);
    }

    #[test]
    fn only_those_the_log_continues_are_usable() {
        let all = [at(10), at(20), at(30)];
        let offsets = |start, end| -> Vec<_> {
            let usable = usable(&all, start, end);
            usable.iter().map(|c| c.reflects).collect()
        };
        assert_eq!(offsets(0, 30), [30, 20, 10]);
        assert_eq!(offsets(11, 29), [20]);
        assert!(offsets(31, 40).is_empty());
        let newer = CheckpointMeta {
            min_reader: FORMAT_VERSION + 1,
            ..at(10)
        };
        assert!(usable(&[newer], 0, 10).is_empty());
    }

    #[test]
    fn a_checkpoint_is_due_when_the_log_outgrew_it() {
        assert!(!is_due(&[], 0, 99, 100));
        assert!(is_due(&[], 0, 100, 100));
        assert!(!is_due(&[at(1)], 0, 999, 100));
        assert!(is_due(&[at(1)], 0, 1_000, 100));
    }

    #[test]
    fn one_is_due_where_nothing_is_left_to_fall_back_on() {
        assert!(is_due(&[at(9)], 5, 0, 100));
        assert!(!is_due(&[at(9), at(5)], 5, 0, 100));
    }
}
