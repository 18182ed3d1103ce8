//! The formats that classic consumers put into JoinGroup and SyncGroup (Kafka's `ConsumerProtocol`):
//! subscriptions come in, assignments go both ways.
//!
//! Layout: version i16, then fields of which later versions only append more. Subscription: topics,
//! user data, owned partitions (1+), generation (2+), rack (3+). Assignment: partitions by topic
//! name, user data.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::assignment::Assignment;
use super::topics::TopicImage;
use crate::wire::{Reader, WireError, Writer};

/// What a classic member wants, and still has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) version: i16,
    pub(super) topics: BTreeSet<String>,
    /// Nothing from clients that do not say: those give everything up before they join.
    pub(super) owned: Vec<(String, Vec<i32>)>,
    pub(super) rack_id: Option<String>,
}

impl Subscription {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let version = version(&mut reader)?;
        let count = reader.array_len()?;
        let topics = (0..count)
            .map(|_| reader.string())
            .collect::<Result<_, _>>()?;
        let _user_data = reader.nullable_bytes()?;
        let owned = if version >= 1 {
            partitions_by_name(&mut reader)?
        } else {
            Vec::new()
        };
        if version >= 2 {
            let _generation = reader.i32()?;
        }
        let rack_id = if version >= 3 {
            reader.nullable_string()?
        } else {
            None
        };
        Ok(Self {
            version,
            topics,
            owned,
            rack_id,
        })
    }

    /// The owned partitions of topics that exist.
    pub(super) fn owned(&self, image: &TopicImage) -> Assignment {
        by_id(&self.owned, image)
    }
}

/// A classic member's share, of topics that exist; and whether it carries data of a client-side
/// assignor that a server-side one would lose.
pub(super) fn decode_assignment(
    bytes: &[u8],
    image: &TopicImage,
) -> Result<(Assignment, bool), WireError> {
    let mut reader = Reader::new(bytes);
    version(&mut reader)?;
    let partitions = partitions_by_name(&mut reader)?;
    let user_data = reader.nullable_bytes()?;
    let has_user_data = user_data.is_some_and(|data| !data.is_empty());
    Ok((by_id(&partitions, image), has_user_data))
}

/// A share as a classic member of this `version` reads it.
pub(super) fn encode_assignment(version: i16, share: &Assignment, image: &TopicImage) -> Bytes {
    let named: Vec<_> = share
        .topics()
        .filter_map(|(topic, partitions)| Some((image.name(topic)?, partitions)))
        .collect();
    let mut writer = Writer::default();
    writer.i16(version);
    writer.array_len(named.len());
    for (topic, partitions) in named {
        writer.string(topic);
        writer.array_len(partitions.len());
        for &partition in partitions {
            writer.i32(partition);
        }
    }
    // No user data.
    writer.i32(-1);
    writer.finish()
}

fn version(reader: &mut Reader<'_>) -> Result<i16, WireError> {
    match reader.i16()? {
        version @ 0.. => Ok(version),
        version => Err(WireError::UnknownVersion { version }),
    }
}

fn partitions_by_name(reader: &mut Reader<'_>) -> Result<Vec<(String, Vec<i32>)>, WireError> {
    let count = reader.array_len()?;
    let topic = |_| {
        let name = reader.string()?;
        let count = reader.array_len()?;
        let partitions = (0..count).map(|_| reader.i32()).collect::<Result<_, _>>()?;
        Ok((name, partitions))
    };
    (0..count).map(topic).collect()
}

fn by_id(partitions: &[(String, Vec<i32>)], image: &TopicImage) -> Assignment {
    let existing = partitions
        .iter()
        .filter_map(|(name, partitions)| Some((image.get(name)?.id, partitions)));
    existing
        .flat_map(|(topic, partitions)| partitions.iter().map(move |&partition| (topic, partition)))
        .collect()
}
