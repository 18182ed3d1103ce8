//! One step of a member towards its target.
//!
//! ```text
//!                 must give up              said it gave up
//!   Stable ──────────────────▶ Unrevoked ───────────────────▶ (looks again)
//!      │  others still hold some of its target                     │
//!      └──────────────────▶ Unreleased ◀───────────────────────────┘
//!                               └── all released ──▶ Stable
//! ```
//!
//! A member gives up before it is given anything, and is given nothing that somebody holds: that is
//! how no partition ever has two owners. It stays in its epoch until it has given up what the
//! target takes away; then it is in the target's epoch, be its share complete or not.

use std::collections::HashSet;

use uuid::Uuid;

use super::assignment::Assignment;
use super::record::{CurrentAssignment, MemberState};
use super::since::Since;

/// Where members are to go, and what is in the way.
pub(super) struct Aim<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    /// What the member says it owns; it does not say so in every heartbeat.
    pub(super) owned: Option<&'a Assignment>,
    /// Partitions that somebody holds, be it this member.
    pub(super) held: &'a HashSet<(Uuid, i32)>,
}

impl Aim<'_> {
    /// What the member holds next; `None` if it is in a state this broker does not know and has to
    /// begin anew, owning nothing.
    pub(super) fn step(&self, current: &CurrentAssignment) -> Option<CurrentAssignment> {
        match current.state {
            MemberState::Stable if current.epoch == self.epoch => Some(current.clone()),
            MemberState::Stable | MemberState::Unreleased => {
                Some(self.next(current, current.epoch))
            }
            MemberState::Unrevoked if self.still_owns(&current.revoking) => Some(current.clone()),
            MemberState::Unrevoked => {
                // What was to be given up belonged to the epoch that is now over.
                let epoch = current.epoch.saturating_add(1);
                Some(self.next(current, epoch))
            }
            MemberState::Unknown => {
                let owns_nothing = self.owned.is_some_and(Assignment::is_empty);
                owns_nothing.then(|| self.next(current, self.epoch))
            }
        }
    }

    /// Silence counts as "still owns".
    fn still_owns(&self, revoking: &Assignment) -> bool {
        self.owned.is_none_or(|owned| owned.overlaps(revoking))
    }

    fn next(&self, current: &CurrentAssignment, epoch: i32) -> CurrentAssignment {
        let kept = current.assigned.and(self.target);
        let revoking = current.assigned.without(self.target);
        if !revoking.is_empty() && self.still_owns(&revoking) {
            return CurrentAssignment {
                epoch,
                previous_epoch: current.epoch,
                state: MemberState::Unrevoked,
                assigned: kept,
                revoking,
                since: current.since.of(&current.assigned),
            };
        }
        let wanted = self.target.without(&kept);
        let free = wanted.filtered(|topic, partition| !self.held.contains(&(topic, partition)));
        let complete = free.len() == wanted.len();
        let since = current.since.of(&kept);
        CurrentAssignment {
            epoch: self.epoch,
            previous_epoch: current.epoch,
            state: if complete {
                MemberState::Stable
            } else {
                MemberState::Unreleased
            },
            assigned: kept.plus(&free),
            revoking: Assignment::default(),
            since: since.plus(Since::all(&free, self.epoch)),
        }
    }
}
