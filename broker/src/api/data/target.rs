//! Which partition a request means, and what may be wrong with reading it.

use std::sync::Arc;

use tidelog_coordinator::cluster::{Image, Topic};
use tidelog_protocol_ext::StrBytes;
use tidelog_storage::{Marks, Partition, ReadError, Standing};
use uuid::Uuid;

use crate::log::Log;
use crate::views::ViewError;

/// Leader epoch of a client that knows none; nothing is compared.
pub const ANY_EPOCH: i32 = -1;

/// A topic as a request names it: by name, or by id where the version has ids instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    Name(StrBytes),
    Id(Uuid),
}

/// Why a partition cannot be read or asked about.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    #[error("there is no such topic or partition")]
    Unknown,
    #[error("there is no topic of this id")]
    UnknownId,
    /// The topic of a fetch session was deleted and made again.
    #[error("the topic's name belongs to another id now")]
    InconsistentId,
    #[error("leader epoch {asked} is older than {current}")]
    FencedEpoch { asked: i32, current: i32 },
    #[error("leader epoch {asked} is newer than {current}")]
    UnknownEpoch { asked: i32, current: i32 },
    /// The offset follows a record of an epoch this log knows no end of.
    #[error("no end is known of leader epoch {0}")]
    NoEpochEnd(i32),
    #[error("the topic is a view: use {source_name}, whose records it shows")]
    IsView { source_name: String },
    #[error("the view cannot be read: {0}")]
    View(#[from] ViewError),
    #[error(transparent)]
    Read(ReadError),
}

impl From<ReadError> for PartitionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Deleted => Self::Unknown,
            other => Self::Read(other),
        }
    }
}

impl TopicKey {
    /// A key of its own: a request's strings hold on to its whole frame.
    pub fn by_name(name: &str) -> Self {
        Self::Name(StrBytes::from_string(name.to_owned()))
    }

    /// By id, unless that is the nil id; else by name, if there is one.
    pub fn of(id: Uuid, name: Option<&StrBytes>) -> Option<Self> {
        match id.is_nil() {
            false => Some(Self::Id(id)),
            true => name.map(|name| Self::by_name(name)),
        }
    }

    /// # Errors
    /// The image has no such topic.
    pub fn find<'a>(&self, image: &'a Image) -> Result<&'a Arc<Topic>, PartitionError> {
        match self {
            Self::Name(name) => image.topic(name).ok_or(PartitionError::Unknown),
            Self::Id(id) => image.topic_by_id(*id).ok_or(PartitionError::UnknownId),
        }
    }

    /// What a client that uses such keys is told of a topic that was deleted.
    pub fn gone(&self) -> PartitionError {
        match self {
            Self::Name(_) => PartitionError::Unknown,
            Self::Id(_) => PartitionError::UnknownId,
        }
    }
}

/// The partition `index` of `topic`. Just after a topic was made it may not be there yet; clients
/// ask again.
///
/// # Errors
/// [`PartitionError::Unknown`].
pub fn partition_of(
    log: &Log,
    topic: &Topic,
    index: i32,
) -> Result<Arc<Partition>, PartitionError> {
    log.partition(topic.id, index)
        .ok_or(PartitionError::Unknown)
}

/// As [`partition_of`], for readers: that of a view is its source's.
///
/// # Errors
/// [`PartitionError::Unknown`].
pub fn log_of(log: &Log, topic: &Topic, index: i32) -> Result<Arc<Partition>, PartitionError> {
    // The source may have its new partitions a moment before.
    let is_there = (0..topic.partitions).contains(&index);
    let partition = log.partition(topic.log_id(), index);
    partition
        .filter(|_| is_there)
        .ok_or(PartitionError::Unknown)
}

/// Refuses a view where records are written or rows are read.
///
/// # Errors
/// [`PartitionError::IsView`].
pub fn check_no_view(image: &Image, topic: &Topic) -> Result<(), PartitionError> {
    match image.source_of(topic) {
        None => Ok(()),
        Some(source) => Err(PartitionError::IsView {
            source_name: source.name.clone(),
        }),
    }
}

/// As [`partition_of`], by the topic's name.
///
/// # Errors
/// [`PartitionError::Unknown`].
pub fn partition_named(
    log: &Log,
    image: &Image,
    name: &str,
    index: i32,
) -> Result<Arc<Partition>, PartitionError> {
    let topic = image.topic(name).ok_or(PartitionError::Unknown)?;
    partition_of(log, topic, index)
}

/// The marks of a partition that may be asked about, to a client that knows it by this leader epoch.
///
/// # Errors
/// It is gone or damaged, or the epochs differ; see [`check_leader_epoch`].
pub fn marks_of(partition: &Partition, leader_epoch: i32) -> Result<Marks, PartitionError> {
    match partition.standing() {
        Standing::Open => {}
        Standing::Deleted => return Err(PartitionError::Unknown),
        Standing::Damaged(why) => return Err(ReadError::Damaged(why).into()),
    }
    let marks = partition.marks();
    check_leader_epoch(leader_epoch, marks.leader_epoch)?;
    Ok(marks)
}

/// The marks of a view: it ends where nothing of its source can change any more.
pub fn marks_of_view(source: &Partition) -> Marks {
    let marks = source.marks();
    Marks {
        high_watermark: marks.stable_end,
        ..marks
    }
}

/// Compares the leader epoch a client knows with ours (KIP-320); a negative one is not compared.
///
/// # Errors
/// [`PartitionError::FencedEpoch`], [`PartitionError::UnknownEpoch`].
pub fn check_leader_epoch(asked: i32, current: i32) -> Result<(), PartitionError> {
    if asked < 0 || asked == current {
        Ok(())
    } else if asked < current {
        Err(PartitionError::FencedEpoch { asked, current })
    } else {
        Err(PartitionError::UnknownEpoch { asked, current })
    }
}
