//! What is asked of producers' batches and of markers, beyond what stands in them.

use crate::ids::Offset;

/// What a producer's batch brings besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    pub verification: Verification,
    /// The producer speaks transactions version 2 (KIP-890): where nobody remembers it, it begins at
    /// sequence 0.
    pub transactions_v2: bool,
}

/// Why a transactional batch may open a transaction here (KIP-890): the coordinator must know of it,
/// or nobody would ever end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// It may not: it belongs to one that is open.
    #[default]
    None,
    /// The coordinator was asked after the guard was taken, and knows it.
    Since(VerificationGuard),
    /// The operator does not want it asked.
    Waived,
}

/// A moment in the life of a partition; see `Partition::guard_verification`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard {
    pub(super) end: Offset,
    /// Offsets at the end are given anew under the next one.
    pub(super) leader_epoch: i32,
}

impl Terms {
    /// As they count under this leader epoch: guards of others are worth nothing.
    pub fn under(self, leader_epoch: i32) -> Self {
        match self.verification {
            Verification::Since(guard) if guard.leader_epoch != leader_epoch => Self {
                verification: Verification::None,
                ..self
            },
            _ => self,
        }
    }
}

/// Which rule the epoch of a marker follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerRule {
    /// Transactions version 0 and 1: the producer's epoch or a later one.
    AtLeast,
    /// Version 2, where every end of a transaction raises the epoch: a later one. The same one is a
    /// repetition, if nothing is open.
    Above,
}
