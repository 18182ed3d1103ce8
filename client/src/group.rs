//! Groups: several readers share out the partitions of tables, and go on where the group stands.
//!
//! ```text
//!                      Membership (pure)          what to say, and when
//!                         │
//! Coordinator ◀── Heart (a task: beats while the caller works)
//!     ▲                   │ Standing: what is to be owned
//!     │ commits           ▼
//!     └───────────── GroupReader ─► Event { Rows, Assigned, Revoked, Lost }
//!                         └─► RowStream of each table
//! ```
//!
//! A member is one of Kafka's (KIP-848, ConsumerGroupHeartbeat): brokers that know the protocol are
//! Tidelog and Apache Kafka from 4.0 on, and others are refused with [`Error::Unsupported`]. Offsets
//! are the group's in `__consumer_offsets`, so that the same group can be read on by any consumer, be
//! looked at and be reset with Kafka's tools. A group may hold other members than these.
//!
//! Promises, beside those of the crate:
//! - **One owner.** A partition is read by one member at a time, as far as the coordinator can tell:
//!   it is given on when its owner has given it up, or was silent for the session's time.
//! - **At least once.** What is committed was handed out before the call that commits it. After a loss
//!   rows come again from the last commit; none is passed over.
//! - **Filters move on.** Where no row matches, the position moves all the same and is committed.
//! - **Nothing under another's name.** What was read before a member was lost cannot be committed after it.
//!
//! [`Error::Unsupported`]: crate::Error::Unsupported

mod coordinator;
mod heart;
mod membership;
mod reader;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::stream::Rows;

pub use reader::GroupReader;

/// A partition of a topic by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// As Kafka's logs have it: `orders-3`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Rows of one topic's partition.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRows {
    pub topic: Arc<str>,
    /// Partition, offsets and the batch, of the schema of the topic's scan.
    pub rows: Rows,
}

/// What happens to a member of a group. It has happened once the reader is asked for the next event:
/// until then what was revoked is still the member's, and can be committed.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Rows(GroupRows),
    /// These partitions are read from now on, each from where the group stands.
    Assigned(Vec<TopicPartition>),
    /// These are another member's next. Rows of them that were handed out are committed if the reader
    /// commits by itself; else this is the time to do so.
    Revoked(Vec<TopicPartition>),
    /// These may be another member's already: this one was not heard of for too long, or did not ask
    /// for rows. What was not committed comes again, to whoever has them.
    Lost(Vec<TopicPartition>),
}

/// How a member takes part.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// How often positions are committed by themselves, when the next event is asked for; `None`: only
    /// by [`GroupReader::commit`]. 5 s.
    pub auto_commit: Option<Duration>,
    /// How long the caller may work on what it was handed before its partitions are given to others,
    /// and how long others wait for it to give up a partition. 5 minutes.
    pub max_poll_interval: Duration,
    /// A name of its own among all members makes this a static one: it may be away for as long as a
    /// session lasts, restarted say, and finds its partitions unmoved.
    pub instance_id: Option<String>,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            auto_commit: Some(Duration::from_secs(5)),
            max_poll_interval: Duration::from_secs(300),
            instance_id: None,
        }
    }
}
