//! When storage that failed is opened again: at once, then after growing pauses.

use crate::ids::Timestamp;

/// Pause after the first attempt, in milliseconds; each one after it takes twice as long.
const PAUSE_MS_MIN: i64 = 1_000;
const PAUSE_MS_MAX: i64 = 30_000;
/// Without an attempt for this long, a failure is a new one.
const QUIET_MS: i64 = 60_000;

/// Spaces attempts, whether they come to something or not: a disk that opens and fails in turns must
/// not make incarnations as fast as it can.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// In a row, and when the last one was.
    attempts: u32,
    last: Timestamp,
}

impl Patience {
    /// Whether to try now; if so, that counts as an attempt.
    pub fn is_over(&mut self, now: Timestamp) -> bool {
        let since_last = now.saturating_sub(self.last);
        if since_last >= QUIET_MS {
            self.attempts = 0;
        }
        if self.attempts > 0 && since_last < self.pause_ms() {
            return false;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.last = now;
        true
    }

    fn pause_ms(&self) -> i64 {
        let doublings = self.attempts.saturating_sub(1).min(16);
        (PAUSE_MS_MIN << doublings).min(PAUSE_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(patience: &mut Patience, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let ticks = (from..to).step_by(500);
        ticks.filter(|now| patience.is_over(*now)).collect()
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        let tried = attempts(&mut Patience::default(), 5_000, 150_000);
        let expected = [5, 6, 8, 12, 20, 36, 66, 96, 126].map(|s| s * 1_000);
        assert_eq!(tried, expected);
    }

    #[test]
    fn a_failure_after_a_quiet_time_is_a_new_one() {
        let mut patience = Patience::default();
        assert_eq!(attempts(&mut patience, 0, 9_000).len(), 4);
        assert!(!patience.is_over(9_000));
        assert_eq!(
            attempts(&mut patience, 70_000, 72_000),
            [70_000, 71_000],
            "at once, then after a second"
        );
    }

    #[test]
    fn a_clock_that_runs_backwards_ends_nothing() {
        let mut patience = Patience::default();
        assert!(patience.is_over(1_000_000));
        assert!(!patience.is_over(0));
        assert!(patience.is_over(1_001_000));
    }
}
