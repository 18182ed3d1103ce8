//! Which step is next, and when. Pure.

use super::policy::Pace;

/// A piece of maintenance: one commit at most, and bounded work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Deletes files whose grace is over.
    Delete,
    /// Turns small data files into one.
    Compact,
    /// Turns small manifests into few.
    Merge,
    /// Removes snapshots by age.
    Thin,
    /// Looks for files that nothing names.
    Clean,
}

impl Step {
    pub const ALL: [Self; 5] = [
        Self::Delete,
        Self::Compact,
        Self::Merge,
        Self::Thin,
        Self::Clean,
    ];
}

/// When each step is due.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    due_ms: [i64; Step::ALL.len()],
}

impl Schedule {
    /// Everything is due at `now_ms`, but deletions, which wait for something to delete.
    pub fn new(pace: Pace, now_ms: i64) -> Self {
        let mut schedule = Self {
            pace,
            due_ms: [now_ms; Step::ALL.len()],
        };
        schedule.set(Step::Delete, i64::MAX);
        schedule
    }

    /// The step that has been due for longest, and since when it is or will be.
    pub fn next(&self) -> (Step, i64) {
        let dues = Step::ALL.into_iter().zip(self.due_ms);
        // The first of equals, in the order of `ALL`; there is always one.
        dues.min_by_key(|(_, due_ms)| *due_ms)
            .unwrap_or((Step::Clean, i64::MAX))
    }

    pub fn set(&mut self, step: Step, due_ms: i64) {
        self.due_ms[step as usize] = due_ms;
    }

    /// The step ended at `now_ms`; `more` says that it should go on at once.
    pub fn ended(&mut self, step: Step, now_ms: i64, more: bool) {
        let pause_ms = match step {
            _ if more => 0,
            // Due again when a file is doomed.
            Step::Delete => return self.set(step, i64::MAX),
            Step::Compact | Step::Merge => self.pace.rewrite_every_ms,
            Step::Thin => self.pace.thin_every_ms,
            Step::Clean => self.pace.clean_every_ms,
        };
        self.set(step, now_ms.saturating_add(pause_ms));
    }

    pub fn failed(&mut self, step: Step, now_ms: i64) {
        self.set(step, now_ms.saturating_add(self.pace.retry_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintain::Policy;

    #[test]
    fn the_longest_due_goes_first_and_pauses_after_work() {
        let pace = Policy::default().pace;
        let mut schedule = Schedule::new(pace, 0);
        for step in [Step::Compact, Step::Merge, Step::Thin, Step::Clean] {
            assert_eq!(schedule.next(), (step, 0));
            schedule.ended(step, 10, false);
        }
        assert_eq!(schedule.next(), (Step::Compact, 10 + pace.rewrite_every_ms));
        schedule.set(Step::Delete, 5);
        assert_eq!(schedule.next(), (Step::Delete, 5));
        schedule.ended(Step::Delete, 20, true);
        assert_eq!(schedule.next(), (Step::Delete, 20));
        schedule.ended(Step::Delete, 20, false);
        schedule.failed(Step::Compact, 20);
        assert_eq!(schedule.next().0, Step::Merge);
    }
}
