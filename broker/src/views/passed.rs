//! How far looks came that found nothing: the next one from the same offset goes on from there.
//!
//! Only saves work. What is true of a view's partition and one schema of its source stays so.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tidelog_storage::ids::Offset;
use uuid::Uuid;

/// Readers that are remembered; each waits at one place for its next record.
const PLACES_MAX: usize = 1_024;

/// Where a look began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub view: Uuid,
    pub index: i32,
    /// Of the source's rows.
    pub schema_id: i32,
    pub offset: Offset,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Passed {
    /// With the next offset that was not looked at; what was put last stands behind.
    places: Mutex<VecDeque<(Place, Offset)>>,
}

impl Passed {
    /// Up to where nothing is shown from `place` on, as far as that is remembered.
    pub fn get(&self, place: &Place) -> Option<Offset> {
        let places = self.places.lock();
        let found = places.iter().rev().find(|(known, _)| known == place);
        found.map(|(_, to)| *to)
    }

    /// Nothing is shown from `place` up to `to`.
    pub fn put(&self, place: Place, to: Offset) {
        let mut places = self.places.lock();
        if let Some(known) = places.iter().rposition(|(known, _)| *known == place) {
            places.remove(known);
        } else if places.len() == PLACES_MAX {
            places.pop_front();
        }
        places.push_back((place, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: Offset) -> Place {
        Place {
            view: Uuid::nil(),
            index: 0,
            schema_id: 1,
            offset,
        }
    }

    #[test]
    fn what_was_put_longest_ago_is_forgotten() {
        let passed = Passed::default();
        let max = PLACES_MAX as Offset;
        for offset in 0..max {
            passed.put(place(offset), offset + 7);
        }
        passed.put(place(0), 100);
        passed.put(place(max), max + 7);
        assert_eq!(passed.get(&place(0)), Some(100));
        assert_eq!(passed.get(&place(1)), None);
        assert_eq!(passed.get(&place(max)), Some(max + 7));
        assert_eq!(
            passed.get(&Place {
                index: 1,
                ..place(0)
            }),
            None
        );
        assert_eq!(passed.places.lock().len(), PLACES_MAX);
    }
}
