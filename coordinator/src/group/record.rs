//! The records of `__consumer_offsets`, byte for byte in Kafka's formats, so that any tool that
//! reads Kafka's topic can read ours.
//!
//! | record | key | value read | value written |
//! |---|---|---|---|
//! | committed offset | `OffsetCommitKey` v0, v1 (written: v1) | `OffsetCommitValue` v0–v4 | v3, or v1 with an expiry of its own |
//! | group of a generation | `GroupMetadataKey` v2 | `GroupMetadataValue` v0–v4 | v3 |
//!
//! Groups of the new protocol have records of their own: see [`ConsumerRecord`]. Transactions have
//! theirs in batches of their own: see [`TxnOffset`] and [`TxnEnd`].
//!
//! A key without a value is a tombstone. Keys of other versions belong to group types that we do
//! not keep here (share, streams) and decode to nothing. Schemas:
//! `group-coordinator/src/main/resources/common/message` in Apache Kafka.

use bytes::Bytes;

use super::consumer::ConsumerRecord;
use super::txn_record::{TxnEnd, TxnOffset};
use crate::wire::{Reader, WireError, Writer};

const OFFSET_KEY_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
const GROUP_KEY_VERSION: i16 = 2;
const VALUE_VERSION: i16 = 3;
/// The one value version with a field for an expiry time; it has none for the leader epoch.
const EXPIRING_OFFSET_VALUE_VERSION: i16 = 1;
const FLEXIBLE_VALUE_VERSION: i16 = 4;

/// One durable change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// `group` committed an offset, or (`None`) the commit was removed.
    Offset {
        group: String,
        topic: String,
        partition: i32,
        value: Option<CommittedOffset>,
    },
    /// A generation of `group`, or (`None`) the group is gone. Offsets are removed on their own.
    Group {
        group: String,
        value: Option<GroupMetadata>,
    },
    /// A change of `group`, which is of the new protocol (KIP-848).
    Consumer {
        group: String,
        change: ConsumerRecord,
    },
    /// An offset within a transaction.
    TxnOffset(TxnOffset),
    /// The end of a transaction.
    TxnEnd(TxnEnd),
}

/// A committed position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    /// −1 when unknown.
    pub leader_epoch: i32,
    /// What the client attached, returned as it came.
    pub metadata: String,
    pub commit_timestamp_ms: i64,
    /// Set by old clients that name a retention time of their own.
    pub expire_timestamp_ms: Option<i64>,
}

/// A group as it was at the end of a rebalance: stable with members, or empty without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Empty for a group that has only ever committed offsets.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When the group reached this state; unknown in old records.
    pub state_timestamp_ms: Option<i64>,
    pub members: Vec<MemberMetadata>,
}

/// A member within [`GroupMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The member's metadata for the protocol the group chose.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl GroupRecord {
    /// Key and value to append; no value is a tombstone.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let key = offset_key(group, topic, *partition);
                (key, value.as_ref().map(CommittedOffset::encode))
            }
            Self::TxnOffset(offset) => {
                let key = offset_key(&offset.group, &offset.topic, offset.partition);
                (key, Some(offset.value.encode()))
            }
            Self::TxnEnd(end) => end.encode(),
            Self::Group { group, value } => {
                let mut key = Writer::default();
                key.i16(GROUP_KEY_VERSION);
                key.string(group);
                (key.finish(), value.as_ref().map(GroupMetadata::encode))
            }
            Self::Consumer { group, change } => change.encode(group),
        }
    }

    /// Reads a record out of a batch without a producer; `None` for a kind of record that is not ours.
    ///
    /// # Errors
    /// The bytes are cut short or malformed, or the value has a version above those listed.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, WireError> {
        let mut key = Reader::new(key);
        let version = key.i16()?;
        if OFFSET_KEY_VERSIONS.contains(&version) {
            let (group, topic, partition) = (key.string()?, key.string()?, key.i32()?);
            let value = value.map(CommittedOffset::decode).transpose()?;
            Ok(Some(Self::Offset {
                group,
                topic,
                partition,
                value,
            }))
        } else if version == GROUP_KEY_VERSION {
            let group = key.string()?;
            let value = value.map(GroupMetadata::decode).transpose()?;
            Ok(Some(Self::Group { group, value }))
        } else {
            let decoded = ConsumerRecord::decode(version, &mut key, value)?;
            Ok(decoded.map(|(group, change)| Self::Consumer { group, change }))
        }
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Bytes {
    let mut key = Writer::default();
    key.i16(*OFFSET_KEY_VERSIONS.end());
    key.string(group);
    key.string(topic);
    key.i32(partition);
    key.finish()
}

impl CommittedOffset {
    fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        if let Some(expire_timestamp_ms) = self.expire_timestamp_ms {
            writer.i16(EXPIRING_OFFSET_VALUE_VERSION);
            writer.i64(self.offset);
            writer.string(&self.metadata);
            writer.i64(self.commit_timestamp_ms);
            writer.i64(expire_timestamp_ms);
        } else {
            writer.i16(VALUE_VERSION);
            writer.i64(self.offset);
            writer.i32(self.leader_epoch);
            writer.string(&self.metadata);
            writer.i64(self.commit_timestamp_ms);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let version = value_version(&mut reader)?;
        let flexible = version >= FLEXIBLE_VALUE_VERSION;
        let offset = reader.i64()?;
        let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
        let metadata = if flexible {
            reader.compact_string()?
        } else {
            reader.string()?
        };
        let commit_timestamp_ms = reader.i64()?;
        let expire_timestamp_ms = match version {
            EXPIRING_OFFSET_VALUE_VERSION => Some(reader.i64()?).filter(|&at| at >= 0),
            _ => None,
        };
        if flexible {
            // The topic id may stand here; offsets are keyed by topic name.
            reader.skip_tagged_fields()?;
        }
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp_ms,
            expire_timestamp_ms,
        })
    }
}

impl GroupMetadata {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.i16(VALUE_VERSION);
        writer.string(&self.protocol_type);
        writer.i32(self.generation);
        writer.nullable_string(self.protocol.as_deref());
        writer.nullable_string(self.leader.as_deref());
        writer.i64(self.state_timestamp_ms.unwrap_or(-1));
        writer.array_len(self.members.len());
        for member in &self.members {
            writer.string(&member.member_id);
            writer.nullable_string(member.instance_id.as_deref());
            writer.string(&member.client_id);
            writer.string(&member.client_host);
            writer.i32(member.rebalance_timeout_ms);
            writer.i32(member.session_timeout_ms);
            writer.bytes(&member.subscription);
            writer.bytes(&member.assignment);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let version = value_version(&mut reader)?;
        let flexible = version >= FLEXIBLE_VALUE_VERSION;
        let protocol_type = if flexible {
            reader.compact_string()?
        } else {
            reader.string()?
        };
        let generation = reader.i32()?;
        let (protocol, leader) = if flexible {
            (
                reader.compact_nullable_string()?,
                reader.compact_nullable_string()?,
            )
        } else {
            (reader.nullable_string()?, reader.nullable_string()?)
        };
        let state_timestamp_ms = if version >= 2 {
            Some(reader.i64()?).filter(|&at| at >= 0)
        } else {
            None
        };
        let count = if flexible {
            reader.compact_array_len()?
        } else {
            reader.array_len()?
        };
        let members = (0..count)
            .map(|_| MemberMetadata::decode(&mut reader, version))
            .collect::<Result<_, _>>()?;
        if flexible {
            reader.skip_tagged_fields()?;
        }
        Ok(Self {
            protocol_type,
            generation,
            protocol,
            leader,
            state_timestamp_ms,
            members,
        })
    }
}

impl MemberMetadata {
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, WireError> {
        let flexible = version >= FLEXIBLE_VALUE_VERSION;
        let string = if flexible {
            Reader::compact_string
        } else {
            Reader::string
        };
        let bytes = if flexible {
            Reader::compact_bytes
        } else {
            Reader::bytes
        };
        let member_id = string(reader)?;
        let instance_id = match version {
            ..3 => None,
            3 => reader.nullable_string()?,
            _ => reader.compact_nullable_string()?,
        };
        let (client_id, client_host) = (string(reader)?, string(reader)?);
        let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
        let session_timeout_ms = reader.i32()?;
        let (subscription, assignment) = (bytes(reader)?, bytes(reader)?);
        if flexible {
            reader.skip_tagged_fields()?;
        }
        Ok(Self {
            member_id,
            instance_id,
            client_id,
            client_host,
            // Before version 1 a rebalance was given the session timeout.
            rebalance_timeout_ms: match rebalance_timeout_ms {
                -1 => session_timeout_ms,
                known => known,
            },
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}

fn value_version(reader: &mut Reader<'_>) -> Result<i16, WireError> {
    match reader.i16()? {
        version @ 0..=FLEXIBLE_VALUE_VERSION => Ok(version),
        version => Err(WireError::UnknownVersion { version }),
    }
}
