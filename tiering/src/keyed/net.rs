//! What consecutive changes of a partition come to. Pure.
//!
//! The row of an offset is live until a change names it as the one it replaces. So the net of a run
//! of changes is: of the rows that it brought, those still live at its end; and of the rows there
//! were before, those it replaced. Memory: about two bytes per row of either set at worst, a
//! fraction of a bit where offsets are dense.

use roaring::RoaringTreemap;

use super::change::{BadChange, Change, ChangeKind};

/// The net of the changes from an offset on.
#[derive(Debug, Clone, Default)]
pub struct Net {
    start: i64,
    /// Changes below this were taken up.
    end: i64,
    live: RoaringTreemap,
    replaced: RoaringTreemap,
}

impl Net {
    /// The net of no changes, those from offset `start` on being next.
    pub fn new(start: i64) -> Self {
        Self {
            start,
            end: start,
            ..Self::default()
        }
    }

    /// Takes up the next change.
    ///
    /// # Errors
    /// The change does not follow those before: nothing that is built on this net may be used.
    pub fn apply(&mut self, change: Change) -> Result<(), BadChange> {
        let Change { offset, kind, prev } = change;
        if kind == ChangeKind::Before {
            return Ok(());
        }
        let (true, Some(own)) = (offset >= self.end, key(offset)) else {
            let last = self.end - 1;
            return Err(BadChange::Order { offset, last });
        };
        self.end = offset + 1;
        if let Some(prev) = prev {
            let of_lake = prev < self.start;
            let known = key(prev).is_some_and(|prev| match of_lake {
                true => self.replaced.insert(prev),
                false => self.live.remove(prev),
            });
            if !known {
                return Err(BadChange::Dead { offset, prev });
            }
        }
        match (kind, prev) {
            (ChangeKind::Put, _) => drop(self.live.insert(own)),
            (ChangeKind::Delete, None) => return Err(BadChange::Nameless { offset }),
            _ => {}
        }
        Ok(())
    }

    /// Offsets of rows these changes brought that are live after them.
    pub fn live(&self) -> &RoaringTreemap {
        &self.live
    }

    /// Offsets of rows from before these changes that they replaced or deleted.
    pub fn replaced(&self) -> &RoaringTreemap {
        &self.replaced
    }

    /// Whether the row that the change at `offset` brought is live after all of them.
    pub fn is_live(&self, offset: i64) -> bool {
        key(offset).is_some_and(|offset| self.live.contains(offset))
    }

    /// Whether the row of an offset before these changes is gone after them.
    pub fn replaces(&self, offset: i64) -> bool {
        key(offset).is_some_and(|offset| self.replaced.contains(offset))
    }
}

/// Offsets are never negative.
fn key(offset: i64) -> Option<u64> {
    u64::try_from(offset).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChangeKind::{Before, Delete, Put};

    fn net(start: i64, changes: &[(i64, ChangeKind, Option<i64>)]) -> Result<Net, BadChange> {
        let mut net = Net::new(start);
        for &(offset, kind, prev) in changes {
            net.apply(Change { offset, kind, prev })?;
        }
        Ok(net)
    }

    #[test]
    fn a_run_leaves_its_last_rows_and_takes_what_they_replace() {
        for (changes, live, replaced) in [
            (vec![], vec![], vec![]),
            (vec![(10, Put, None), (12, Put, None)], vec![10, 12], vec![]),
            // Twice in a run: the last one, and the lake's row goes once.
            (
                vec![(10, Put, Some(3)), (11, Before, None), (11, Put, Some(10))],
                vec![11],
                vec![3],
            ),
            // Came and went.
            (
                vec![(10, Put, None), (11, Delete, Some(10))],
                vec![],
                vec![],
            ),
            (vec![(10, Delete, Some(9))], vec![], vec![9]),
            // Went and came.
            (
                vec![(10, Delete, Some(9)), (11, Put, None)],
                vec![11],
                vec![9],
            ),
        ] {
            let net = net(10, &changes).unwrap();
            assert_eq!(net.live().iter().collect::<Vec<_>>(), live, "{changes:?}");
            let found: Vec<_> = net.replaced().iter().collect();
            assert_eq!(found, replaced, "{changes:?}");
        }
    }

    #[test]
    fn changes_that_cannot_be_true_are_refused() {
        let dead = |offset, prev| BadChange::Dead { offset, prev };
        for (changes, error) in [
            (
                vec![(9, Put, None)],
                BadChange::Order { offset: 9, last: 9 },
            ),
            (
                vec![(10, Put, None), (10, Put, None)],
                BadChange::Order {
                    offset: 10,
                    last: 10,
                },
            ),
            (vec![(10, Put, Some(10))], dead(10, 10)),
            (vec![(10, Put, Some(3)), (11, Put, Some(3))], dead(11, 3)),
            (vec![(10, Put, Some(-1))], dead(10, -1)),
            (vec![(10, Delete, None)], BadChange::Nameless { offset: 10 }),
        ] {
            assert_eq!(net(10, &changes).unwrap_err(), error);
        }
    }
}
