//! The records of groups of the new protocol (KIP-848), byte for byte in Kafka's formats.
//!
//! | record | key version | value | names the |
//! |---|---|---|---|
//! | [`ConsumerRecord::Group`] | 3 | `ConsumerGroupMetadataValue` v0 | group epoch |
//! | [`ConsumerRecord::Topics`] | 4 | `ConsumerGroupPartitionMetadataValue` v0 | topics subscribed to, as they were |
//! | [`ConsumerRecord::Member`] | 5 | `ConsumerGroupMemberMetadataValue` v0 | member and its subscription |
//! | [`ConsumerRecord::TargetEpoch`] | 6 | `ConsumerGroupTargetAssignmentMetadataValue` v0 | epoch of the target |
//! | [`ConsumerRecord::Target`] | 7 | `ConsumerGroupTargetAssignmentMemberValue` v0 | member's share of the target |
//! | [`ConsumerRecord::Current`] | 8 | `ConsumerGroupCurrentMemberAssignmentValue` v0 | what the member has, and how far it is |
//! | [`ConsumerRecord::Regex`] | 16 | `ConsumerGroupRegularExpressionValue` v0 | topics a regular expression stands for |
//!
//! No value is a tombstone. Tagged fields that later brokers add (hash of the topics, time of the
//! target) are read over and not written: their defaults mean "not known". The epochs of single
//! partitions (KIP-1251) are written where they differ from the member's, which is their default. Schemas: `group-coordinator/src/main/resources/common/message` in Apache Kafka.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::assignment::Assignment;
use super::since::Since;
use super::topics::TopicShape;
use super::values::{
    decode_epoch, decode_target, decode_topics, encode_epoch, encode_target, encode_topics, read,
};
use crate::wire::{Reader, WireError, Writer};

const GROUP_KEY: i16 = 3;
const TOPICS_KEY: i16 = 4;
const MEMBER_KEY: i16 = 5;
const TARGET_EPOCH_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
const REGEX_KEY: i16 = 16;

/// One durable change of a group of the new protocol; `None` takes away what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRecord {
    Group(Option<i32>),
    Topics(Option<BTreeMap<String, TopicShape>>),
    Member {
        member_id: String,
        value: Option<ConsumerMemberMetadata>,
    },
    TargetEpoch(Option<i32>),
    Target {
        member_id: String,
        value: Option<Assignment>,
    },
    Current {
        member_id: String,
        value: Option<CurrentAssignment>,
    },
    Regex {
        regex: String,
        value: Option<ResolvedRegex>,
    },
}

/// What a member says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMemberMetadata {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<String>,
    /// Never empty.
    pub regex: Option<String>,
    /// −1 if never told.
    pub rebalance_timeout_ms: i32,
    /// The server-side assignor it wishes for.
    pub assignor: Option<String>,
    /// Set while the member speaks the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
}

/// What JoinGroup told of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    pub session_timeout_ms: i32,
    /// Name and metadata, most preferred first.
    pub protocols: Vec<(String, Bytes)>,
}

/// Where a member is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// At the target, or not asked to go there yet.
    #[default]
    Stable,
    /// Has been asked to give partitions up and has not said yet that it did.
    Unrevoked,
    /// Waits for partitions that others have not given up yet.
    Unreleased,
    /// Written by a later broker.
    Unknown,
}

/// What a member holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignment {
    pub epoch: i32,
    /// The epoch before, in case the answer that raised it was lost.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Assignment,
    /// Still held, to be given up.
    pub revoking: Assignment,
    /// Of everything assigned or still held, and of nothing else.
    pub since: Since,
}

/// The topics a regular expression stood for when it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    pub topics: BTreeSet<String>,
    /// Of the topic image.
    pub version: i64,
    pub timestamp_ms: i64,
}

impl ConsumerRecord {
    /// Whether it takes away what was there.
    pub(in crate::group) const fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) | Self::TargetEpoch(value) => value.is_none(),
            Self::Topics(topics) => topics.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
            Self::Regex { value, .. } => value.is_none(),
        }
    }

    /// Key and value to append for `group`.
    pub(in crate::group) fn encode(&self, group: &str) -> (Bytes, Option<Bytes>) {
        let (version, detail, value) = match self {
            Self::Group(epoch) => (GROUP_KEY, None, epoch.map(encode_epoch)),
            Self::Topics(topics) => (TOPICS_KEY, None, topics.as_ref().map(encode_topics)),
            Self::Member { member_id, value } => {
                let value = value.as_ref().map(ConsumerMemberMetadata::encode);
                (MEMBER_KEY, Some(member_id), value)
            }
            Self::TargetEpoch(epoch) => (TARGET_EPOCH_KEY, None, epoch.map(encode_epoch)),
            Self::Target { member_id, value } => (
                TARGET_KEY,
                Some(member_id),
                value.as_ref().map(encode_target),
            ),
            Self::Current { member_id, value } => {
                let value = value.as_ref().map(CurrentAssignment::encode);
                (CURRENT_KEY, Some(member_id), value)
            }
            Self::Regex { regex, value } => (
                REGEX_KEY,
                Some(regex),
                value.as_ref().map(ResolvedRegex::encode),
            ),
        };
        let mut key = Writer::default();
        key.i16(version);
        key.string(group);
        if let Some(detail) = detail {
            key.string(detail);
        }
        (key.finish(), value)
    }

    /// Reads the rest of a key of this `version`; `None` if it is of another kind.
    pub(in crate::group) fn decode(
        version: i16,
        key: &mut Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<Option<(String, Self)>, WireError> {
        if !(GROUP_KEY..=CURRENT_KEY).contains(&version) && version != REGEX_KEY {
            return Ok(None);
        }
        let group = key.string()?;
        let record = match version {
            GROUP_KEY => Self::Group(read(value, decode_epoch)?),
            TOPICS_KEY => Self::Topics(read(value, decode_topics)?),
            TARGET_EPOCH_KEY => Self::TargetEpoch(read(value, decode_epoch)?),
            MEMBER_KEY => Self::Member {
                member_id: key.string()?,
                value: read(value, ConsumerMemberMetadata::decode)?,
            },
            TARGET_KEY => Self::Target {
                member_id: key.string()?,
                value: read(value, decode_target)?,
            },
            CURRENT_KEY => Self::Current {
                member_id: key.string()?,
                value: read(value, CurrentAssignment::decode)?,
            },
            _ => Self::Regex {
                regex: key.string()?,
                value: read(value, ResolvedRegex::decode)?,
            },
        };
        Ok(Some((group, record)))
    }
}
