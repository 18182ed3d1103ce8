//! The states of a transactional id, and the versions of the protocol that moves it.
//!
//! ```text
//!              AddPartitions            EndTxn, timeout, fencing             all markers durable
//!   settled ─────────────────▶ Ongoing ─────────────────────────▶ Prepare* ─────────────────────▶ settled
//!      │                                                             ▲
//!      └────────────────────── abort of nothing (version 2) ─────────┘
//! ```
//! Settled are Empty, CompleteCommit and CompleteAbort; InitProducerId leads from each to Empty.

use crate::producer::Outcome;

/// Where a transactional id stands. Ids and names are Kafka's, of the log and of KIP-664.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxnState {
    /// The producer is known; no transaction so far.
    Empty,
    /// Partitions have been added.
    Ongoing,
    /// The outcome is certain; markers are being written.
    PrepareCommit,
    PrepareAbort,
    /// Every partition has its marker.
    CompleteCommit,
    CompleteAbort,
}

/// States that Kafka names although no transactional id can be seen in them.
const NEVER_SEEN: [&str; 2] = ["Dead", "PrepareEpochFence"];

impl TxnState {
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The name Kafka uses on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether `name` means a state, be it one that is never seen.
    pub(super) fn is_name(name: &str) -> bool {
        NEVER_SEEN.contains(&name) || Self::ALL.iter().any(|state| state.name() == name)
    }

    /// The number Kafka uses in the log.
    pub(super) const fn id(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    pub(super) fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    pub(super) const fn prepared(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Commit => Self::PrepareCommit,
            Outcome::Abort => Self::PrepareAbort,
        }
    }

    pub(super) const fn complete(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Commit => Self::CompleteCommit,
            Outcome::Abort => Self::CompleteAbort,
        }
    }

    /// The outcome whose markers are being written.
    pub const fn ending(self) -> Option<Outcome> {
        match self {
            Self::PrepareCommit => Some(Outcome::Commit),
            Self::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// The outcome whose markers have all been written.
    pub const fn ended(self) -> Option<Outcome> {
        match self {
            Self::CompleteCommit => Some(Outcome::Commit),
            Self::CompleteAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// Nothing is under way: the id may begin, begin anew, or be forgotten.
    pub const fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort
        )
    }

    /// The legal moves; `None` stands for an id nobody has heard of.
    pub fn may_follow(self, before: Option<Self>) -> bool {
        match self {
            Self::Empty => before.is_none_or(Self::is_settled),
            Self::Ongoing => {
                before.is_some_and(|state| state == Self::Ongoing || state.is_settled())
            }
            Self::PrepareCommit => before == Some(Self::Ongoing),
            // An abort is always possible in version 2, also of nothing.
            Self::PrepareAbort => {
                before.is_some_and(|state| state == Self::Ongoing || state.is_settled())
            }
            Self::CompleteCommit => before == Some(Self::PrepareCommit),
            Self::CompleteAbort => before == Some(Self::PrepareAbort),
        }
    }
}

/// The feature `transaction.version` (KIP-890): what the broker has finalized, or what the client
/// showed itself to speak by the version of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    #[default]
    V0,
    /// Tagged fields in the log's values.
    V1,
    /// The epoch grows at the end of every transaction; partitions need not be announced.
    V2,
}

impl TransactionVersion {
    pub const fn level(self) -> i16 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    pub(super) const fn from_level(level: i16) -> Option<Self> {
        match level {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// Whether ending a transaction gives the producer a new epoch.
    pub const fn bumps_epoch(self) -> bool {
        matches!(self, Self::V2)
    }
}
