//! The values of [`ConsumerRecord`](super::record::ConsumerRecord)s: how their fields lie in Kafka's
//! bytes. All are of version 0, which is flexible.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::assignment::Assignment;
use super::record::{
    ClassicMemberMetadata, ConsumerMemberMetadata, CurrentAssignment, MemberState, ResolvedRegex,
};
use super::topics::TopicShape;
use crate::wire::{Reader, WireError, Writer};

const VALUE_VERSION: i16 = 0;
/// The tagged field of a member that speaks the classic protocol.
const CLASSIC_TAG: u32 = 0;
/// The tagged field of held partitions that are in epochs of their own.
const SINCE_TAG: u32 = 0;

/// Reads a whole value: its version, its fields and the tagged fields at its end.
pub(super) fn read<T>(
    value: Option<&[u8]>,
    fields: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let mut reader = Reader::new(value);
    match reader.i16()? {
        VALUE_VERSION => fields(&mut reader).map(Some),
        version => Err(WireError::UnknownVersion { version }),
    }
}

fn value() -> Writer {
    let mut writer = Writer::default();
    writer.i16(VALUE_VERSION);
    writer
}

pub(super) fn encode_epoch(epoch: i32) -> Bytes {
    let mut writer = value();
    writer.i32(epoch);
    writer.no_tagged_fields();
    writer.finish()
}

pub(super) fn decode_epoch(reader: &mut Reader<'_>) -> Result<i32, WireError> {
    let epoch = reader.i32()?;
    reader.skip_tagged_fields()?;
    Ok(epoch)
}

pub(super) fn encode_topics(topics: &BTreeMap<String, TopicShape>) -> Bytes {
    let mut writer = value();
    writer.compact_array_len(topics.len());
    for (name, topic) in topics {
        writer.uuid(topic.id);
        writer.compact_string(name);
        writer.i32(topic.partitions);
        // Racks of the partitions, which no broker uses any more.
        writer.compact_array_len(0);
        writer.no_tagged_fields();
    }
    writer.no_tagged_fields();
    writer.finish()
}

pub(super) fn decode_topics(
    reader: &mut Reader<'_>,
) -> Result<BTreeMap<String, TopicShape>, WireError> {
    let mut topics = BTreeMap::new();
    for _ in 0..reader.compact_array_len()? {
        let id = reader.uuid()?;
        let name = reader.compact_string()?;
        let partitions = reader.i32()?;
        for _ in 0..reader.compact_array_len()? {
            let _partition = reader.i32()?;
            decode_strings(reader)?;
            reader.skip_tagged_fields()?;
        }
        reader.skip_tagged_fields()?;
        topics.insert(name, TopicShape { id, partitions });
    }
    reader.skip_tagged_fields()?;
    Ok(topics)
}

fn encode_strings(writer: &mut Writer, strings: &BTreeSet<String>) {
    writer.compact_array_len(strings.len());
    for string in strings {
        writer.compact_string(string);
    }
}

fn decode_strings(reader: &mut Reader<'_>) -> Result<BTreeSet<String>, WireError> {
    let count = reader.compact_array_len()?;
    (0..count).map(|_| reader.compact_string()).collect()
}

pub(super) fn encode_target(target: &Assignment) -> Bytes {
    let mut writer = value();
    target.encode(&mut writer);
    writer.no_tagged_fields();
    writer.finish()
}

pub(super) fn decode_target(reader: &mut Reader<'_>) -> Result<Assignment, WireError> {
    let target = Assignment::decode(reader)?;
    reader.skip_tagged_fields()?;
    Ok(target)
}

impl Assignment {
    fn encode(&self, writer: &mut Writer) {
        writer.compact_array_len(self.topics().len());
        for (topic, partitions) in self.topics() {
            writer.uuid(topic);
            writer.compact_array_len(partitions.len());
            for &partition in partitions {
                writer.i32(partition);
            }
            writer.no_tagged_fields();
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut assignment = Self::default();
        for _ in 0..reader.compact_array_len()? {
            let topic = reader.uuid()?;
            for _ in 0..reader.compact_array_len()? {
                assignment.insert(topic, reader.i32()?);
            }
            reader.skip_tagged_fields()?;
        }
        Ok(assignment)
    }
}

impl ConsumerMemberMetadata {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = value();
        writer.compact_nullable_string(self.instance_id.as_deref());
        writer.compact_nullable_string(self.rack_id.as_deref());
        writer.compact_string(&self.client_id);
        writer.compact_string(&self.client_host);
        encode_strings(&mut writer, &self.topics);
        writer.compact_nullable_string(self.regex.as_deref());
        writer.i32(self.rebalance_timeout_ms);
        writer.compact_nullable_string(self.assignor.as_deref());
        match &self.classic {
            Some(classic) => writer.tagged_field(CLASSIC_TAG, &classic.encode()),
            None => writer.no_tagged_fields(),
        }
        writer.finish()
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut metadata = Self {
            instance_id: reader.compact_nullable_string()?,
            rack_id: reader.compact_nullable_string()?,
            client_id: reader.compact_string()?,
            client_host: reader.compact_string()?,
            topics: decode_strings(reader)?,
            regex: reader
                .compact_nullable_string()?
                .filter(|regex| !regex.is_empty()),
            rebalance_timeout_ms: reader.i32()?,
            assignor: reader.compact_nullable_string()?,
            classic: None,
        };
        reader.tagged_fields(|tag, field| {
            if tag == CLASSIC_TAG {
                metadata.classic = ClassicMemberMetadata::decode(field)?;
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

impl ClassicMemberMetadata {
    /// A nullable structure begins with a byte that tells whether it is there: 1 if it is, 0 (or −1,
    /// from brokers before 4.3) if not.
    fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.i8(1);
        writer.i32(self.session_timeout_ms);
        writer.compact_array_len(self.protocols.len());
        for (name, metadata) in &self.protocols {
            writer.compact_string(name);
            writer.compact_bytes(metadata);
            writer.no_tagged_fields();
        }
        writer.no_tagged_fields();
        writer.finish()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        if reader.i8()? <= 0 {
            return Ok(None);
        }
        let session_timeout_ms = reader.i32()?;
        let count = reader.compact_array_len()?;
        let protocol = |_| {
            let protocol = (reader.compact_string()?, reader.compact_bytes()?);
            reader.skip_tagged_fields()?;
            Ok(protocol)
        };
        let protocols = (0..count).map(protocol).collect::<Result<_, _>>()?;
        reader.skip_tagged_fields()?;
        Ok(Some(Self {
            session_timeout_ms,
            protocols,
        }))
    }
}

impl MemberState {
    const fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Unrevoked => 1,
            Self::Unreleased => 2,
            Self::Unknown => 127,
        }
    }

    const fn of(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::Unrevoked,
            2 => Self::Unreleased,
            _ => Self::Unknown,
        }
    }
}

impl CurrentAssignment {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = value();
        writer.i32(self.epoch);
        writer.i32(self.previous_epoch);
        writer.i8(self.state.code());
        self.encode_held(&self.assigned, &mut writer);
        self.encode_held(&self.revoking, &mut writer);
        writer.no_tagged_fields();
        writer.finish()
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut current = Self {
            epoch: reader.i32()?,
            previous_epoch: reader.i32()?,
            state: MemberState::of(reader.i8()?),
            ..Self::default()
        };
        current.assigned = current.decode_held(reader)?;
        current.revoking = current.decode_held(reader)?;
        reader.skip_tagged_fields()?;
        Ok(current)
    }

    /// What is known of a partition that carries no epoch.
    fn default_epoch(&self) -> i32 {
        self.epoch.max(0)
    }

    fn encode_held(&self, held: &Assignment, writer: &mut Writer) {
        let default_epoch = self.default_epoch();
        writer.compact_array_len(held.topics().len());
        for (topic, partitions) in held.topics() {
            writer.uuid(topic);
            writer.compact_array_len(partitions.len());
            for &partition in partitions {
                writer.i32(partition);
            }
            let since = |&partition: &i32| self.since.epoch_of(topic, partition);
            let epochs = partitions.iter().map(since);
            let epochs: Vec<i32> = epochs.map(|epoch| epoch.unwrap_or(default_epoch)).collect();
            if epochs.iter().all(|&epoch| epoch == default_epoch) {
                writer.no_tagged_fields();
            } else {
                let mut field = Writer::default();
                field.compact_array_len(epochs.len());
                epochs.into_iter().for_each(|epoch| field.i32(epoch));
                writer.tagged_field(SINCE_TAG, &field.finish());
            }
        }
    }

    /// Partitions, whose epochs go to `since`. A list of epochs of another length is passed over.
    fn decode_held(&mut self, reader: &mut Reader<'_>) -> Result<Assignment, WireError> {
        let mut held = Assignment::default();
        for _ in 0..reader.compact_array_len()? {
            let topic = reader.uuid()?;
            let count = reader.compact_array_len()?;
            let partitions: Vec<i32> =
                (0..count).map(|_| reader.i32()).collect::<Result<_, _>>()?;
            let mut epochs = Vec::new();
            reader.tagged_fields(|tag, field| {
                if tag == SINCE_TAG
                    && let Some(count) = field.compact_nullable_array_len()?
                {
                    epochs = (0..count).map(|_| field.i32()).collect::<Result<_, _>>()?;
                }
                Ok(())
            })?;
            if epochs.len() != partitions.len() {
                epochs = vec![self.default_epoch(); partitions.len()];
            }
            for (partition, epoch) in partitions.into_iter().zip(epochs) {
                held.insert(topic, partition);
                self.since.insert(topic, partition, epoch);
            }
        }
        Ok(held)
    }
}

impl ResolvedRegex {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = value();
        encode_strings(&mut writer, &self.topics);
        writer.i64(self.version);
        writer.i64(self.timestamp_ms);
        writer.no_tagged_fields();
        writer.finish()
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let resolved = Self {
            topics: decode_strings(reader)?,
            version: reader.i64()?,
            timestamp_ms: reader.i64()?,
        };
        reader.skip_tagged_fields()?;
        Ok(resolved)
    }
}
