//! Which records are too old or too many: pure decisions over a partition's pieces.
//!
//! A piece (segment or tail run) goes whole. Time: the largest record timestamp in it is older than
//! the limit. Size: the log without the piece still holds at least the limit. Only the durable part
//! of the log is considered, and pieces go strictly from the front.
//!
//! A floor holds pieces back that somebody still needs, newest first, up to a number of bytes.

use crate::ids::{Offset, Timestamp};
use crate::partition::LogSettings;

/// What retention must know of a segment or tail run.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub end_offset: Offset,
    pub bytes: u64,
    /// -1 where no record has a timestamp: such a piece never expires by time.
    pub max_timestamp: Timestamp,
}

/// Where the log should start; `log_start` itself if nothing may go.
pub fn new_log_start(
    pieces: &[Piece],
    log_start: Offset,
    settings: &LogSettings,
    now: Timestamp,
) -> Offset {
    let mut left: u64 = pieces.iter().map(|piece| piece.bytes).sum();
    let mut start = log_start;
    for piece in pieces {
        left -= piece.bytes;
        let too_old = settings
            .retention_ms
            .is_some_and(|ms| piece.max_timestamp >= 0 && now - piece.max_timestamp > ms);
        let too_many = settings.retention_bytes.is_some_and(|limit| left >= limit);
        if !too_old && !too_many {
            break;
        }
        start = start.max(piece.end_offset);
    }
    start
}

/// Where the log should start if what lies from `floor` on is to stay, as far as `bytes_max` allows:
/// at or below `start`, which retention alone would choose.
pub fn hold(
    pieces: &[Piece],
    log_start: Offset,
    start: Offset,
    floor: Offset,
    bytes_max: u64,
) -> Offset {
    let going = &pieces[..pieces.partition_point(|piece| piece.end_offset <= start)];
    let mut bytes_left = bytes_max;
    let held = going.iter().rev().take_while(|piece| {
        let fits = piece.bytes <= bytes_left;
        bytes_left = bytes_left.saturating_sub(piece.bytes);
        piece.end_offset > floor && fits
    });
    match going[..going.len() - held.count()].last() {
        Some(last_gone) => last_gone.end_offset,
        None => log_start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [Piece; 3] = [
        Piece {
            end_offset: 10,
            bytes: 100,
            max_timestamp: 1_000,
        },
        Piece {
            end_offset: 20,
            bytes: 100,
            max_timestamp: 2_000,
        },
        Piece {
            end_offset: 30,
            bytes: 100,
            max_timestamp: 3_000,
        },
    ];

    fn check(retention_ms: Option<i64>, retention_bytes: Option<u64>, now: i64, expected: Offset) {
        let settings = LogSettings {
            retention_ms,
            retention_bytes,
            ..LogSettings::default()
        };
        assert_eq!(
            new_log_start(&PIECES, 5, &settings, now),
            expected,
            "{settings:?} at {now}"
        );
    }

    #[test]
    fn pieces_go_from_the_front_by_time_or_size() {
        check(None, None, 1_000_000, 5);
        check(Some(500), None, 1_500, 5);
        check(Some(500), None, 1_501, 10);
        check(Some(500), None, 9_000, 30);
        check(None, Some(300), 0, 5);
        check(None, Some(200), 0, 10);
        check(None, Some(199), 0, 10);
        check(None, Some(100), 0, 20);
        check(None, Some(0), 0, 30);
    }

    #[test]
    fn a_floor_holds_back_what_its_budget_allows() {
        for (start, floor, bytes_max, expected) in [
            (30, 0, 1_000, 5),
            (30, 10, 1_000, 10),
            (30, 11, 1_000, 10),
            (30, 30, 1_000, 30),
            (20, 0, 100, 10),
            (30, 0, 200, 10),
            (30, 0, 199, 20),
            (30, 0, 99, 30),
            (5, 0, 1_000, 5),
        ] {
            let held = hold(&PIECES, 5, start, floor, bytes_max);
            assert_eq!(held, expected, "{start} {floor} {bytes_max}");
        }
    }

    #[test]
    fn a_young_piece_protects_what_follows() {
        let mut pieces = PIECES;
        pieces[0].max_timestamp = 9_000;
        let settings = LogSettings {
            retention_ms: Some(500),
            ..LogSettings::default()
        };
        assert_eq!(new_log_start(&pieces, 5, &settings, 9_100), 5);
        pieces[0].max_timestamp = -1;
        assert_eq!(new_log_start(&pieces, 5, &settings, 9_100), 5);
    }
}
