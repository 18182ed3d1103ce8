//! What can be wrong with a history. The names in brackets are Jepsen's.

use std::fmt;

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Records are named `WRITER#SEQ`, transactions `WRITER/TXN`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    #[error(
        "lost: {record} was acknowledged (or its transaction committed), and nobody can read it"
    )]
    Lost { record: String },
    #[error("duplicate: {record} is at {first} and at {second}")]
    Duplicate {
        record: String,
        first: Place,
        second: Place,
    },
    #[error("aborted read [G1a]: {reader} read {record} at {place}; its transaction was aborted")]
    AbortedRead {
        reader: String,
        record: String,
        place: Place,
    },
    #[error(
        "early read: {reader} read {record} at {place} {by_ms} ms before its commit was asked for"
    )]
    EarlyRead {
        reader: String,
        record: String,
        place: Place,
        by_ms: u64,
    },
    #[error("{reader} read {record} at {place}; nobody ever asked to commit its transaction")]
    UnaskedCommit {
        reader: String,
        record: String,
        place: Place,
    },
    #[error("torn transaction: {seen} of {of} records of {transaction} are committed")]
    Torn {
        transaction: String,
        seen: usize,
        of: usize,
    },
    #[error(
        "reordered [nonmonotonic send]: {then} was sent before {first} and is behind it, at {place}"
    )]
    Reordered {
        first: String,
        then: String,
        place: Place,
    },
    #[error("misplaced [inconsistent offsets]: {record} should be at {told} and is at {found}")]
    Misplaced {
        record: String,
        told: Place,
        found: Place,
    },
    #[error("invented: {value:?} at {place} was never sent")]
    Invented { value: String, place: Place },
    #[error("changed: {place} is {one:?} for {first} and {other:?} for {second}")]
    Changed {
        place: Place,
        first: String,
        one: String,
        second: String,
        other: String,
    },
    #[error("went back [nonmonotonic poll]: {reader} was given {place} after offset {after}")]
    WentBack {
        reader: String,
        place: Place,
        after: u64,
    },
    #[error("skipped [poll skip]: {reader} read on to offset {reached} without {place}")]
    Skipped {
        reader: String,
        place: Place,
        reached: u64,
    },
    #[error("unseen: {reader} did not get to {place}, the last it can read; it is at {reached:?}")]
    Unseen {
        reader: String,
        place: Place,
        reached: Option<u64>,
    },
    #[error("copied twice: {source_place} is at {first} and at {second}")]
    CopiedTwice {
        source_place: Place,
        first: Place,
        second: Place,
    },
    #[error("not copied: {source_place}")]
    NotCopied { source_place: Place },
    #[error("copied what was not committed: {source_place}, to {place}")]
    CopiedUncommitted { source_place: Place, place: Place },
    #[error(
        "copied out of order: {place} is {source_place}, which is before what was copied before it"
    )]
    CopiedOutOfOrder { source_place: Place, place: Place },
    #[error("stuck: {who} got nothing done in {for_ms} ms")]
    Stuck { who: String, for_ms: u64 },
}
