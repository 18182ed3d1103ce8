//! When what is not in the lake yet came into the log. Pure.
//!
//! The end of a partition is looked at now and then; each look that finds it moved leaves a note.
//! The age of the oldest row not in the lake follows from the notes, never too young: a row counts
//! from the look before the one that found it.

use std::collections::VecDeque;

/// Notes kept; further looks widen the newest one.
const NOTES_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Note {
    /// Everything below was there when we looked.
    end: i64,
    /// Nothing from the note before on was there at this time.
    since_ms: i64,
}

/// What came into one partition since the lake's end.
#[derive(Debug, Default)]
pub struct Arrivals {
    notes: VecDeque<Note>,
    looked_ms: Option<i64>,
}

impl Arrivals {
    /// The partition ends at `end` at `now_ms`; the lake has what lies below `lake_end`.
    pub fn look(&mut self, end: i64, lake_end: i64, now_ms: i64) {
        let since_ms = self.looked_ms.replace(now_ms).unwrap_or(now_ms);
        while self.notes.front().is_some_and(|note| note.end <= lake_end) {
            self.notes.pop_front();
        }
        let known = self.notes.back().map_or(lake_end, |note| note.end);
        if end <= known {
            return;
        }
        if self.notes.len() == NOTES_MAX
            && let Some(newest) = self.notes.back_mut()
        {
            newest.end = end;
        } else {
            self.notes.push_back(Note { end, since_ms });
        }
    }

    /// How long the oldest row at or above `lake_end` has waited, in milliseconds; 0 if none waits
    /// that was seen.
    pub fn age_ms(&self, lake_end: i64, now_ms: i64) -> i64 {
        let oldest = self.notes.iter().find(|note| note.end > lake_end);
        oldest.map_or(0, |note| (now_ms - note.since_ms).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_from_the_look_before_it_was_seen() {
        let mut arrivals = Arrivals::default();
        arrivals.look(0, 0, 1_000);
        assert_eq!(arrivals.age_ms(0, 5_000), 0);
        arrivals.look(10, 0, 2_000);
        arrivals.look(10, 0, 3_000);
        arrivals.look(20, 0, 4_000);
        assert_eq!(arrivals.age_ms(0, 4_000), 3_000);
        assert_eq!(arrivals.age_ms(9, 4_000), 3_000);
        assert_eq!(arrivals.age_ms(10, 4_000), 1_000);
        assert_eq!(arrivals.age_ms(20, 4_000), 0);
        arrivals.look(20, 15, 5_000);
        assert_eq!(arrivals.age_ms(15, 5_000), 2_000);
    }

    #[test]
    fn notes_are_bounded_and_never_make_rows_younger() {
        let mut arrivals = Arrivals::default();
        for second in 0..1_000 {
            arrivals.look(second * 10, 0, second * 1_000);
        }
        assert!(arrivals.notes.len() <= NOTES_MAX);
        assert_eq!(arrivals.age_ms(0, 1_000_000), 1_000_000);
        assert!(arrivals.age_ms(9_985, 1_000_000) >= 1_000);
        assert_eq!(arrivals.age_ms(9_990, 1_000_000), 0);
    }
}
