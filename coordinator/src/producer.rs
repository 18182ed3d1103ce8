//! Producers and how their transactions end: the words that groups and transactions share.

/// The id of nobody, as Kafka writes it.
pub const NO_PRODUCER_ID: i64 = -1;
/// The epoch of a producer that has none yet, as Kafka writes it.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// A producer id in one of its epochs; a higher epoch fences all lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

impl Producer {
    pub const fn new(id: i64, epoch: i16) -> Self {
        Self { id, epoch }
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Commit,
    Abort,
}
