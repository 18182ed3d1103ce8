//! Which records are too old or too many: pure decisions over a partition's pieces.
//!
//! A piece (segment or tail run) goes whole. Time: the largest record timestamp in it is older than
//! the limit. Size: the log without the piece still holds at least the limit. Only the durable part
//! of the log is considered, and pieces go strictly from the front.

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
    fn a_young_piece_protects_what_follows() {
        let mut pieces = PIECES;
        pieces[0].max_timestamp = 9_000;
        let settings = LogSettings {
            retention_ms: Some(500),
            retention_bytes: None,
        };
        assert_eq!(new_log_start(&pieces, 5, &settings, 9_100), 5);
        pieces[0].max_timestamp = -1;
        assert_eq!(new_log_start(&pieces, 5, &settings, 9_100), 5);
    }
}
