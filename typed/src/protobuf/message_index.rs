//! Which message of a schema a value is: by its place, as the wire format says, or by name.
//!
//! Behind the schema's id a value has a list of indexes: the place of a top-level message in its
//! file, then of a nested one in that, and so on. The list is its length and its members as zigzag
//! varints; the list `[0]`, the first message, is written as the single byte 0. The messages that
//! the compiler makes for maps have no place.

use prost_reflect::{FileDescriptor, MessageDescriptor};
use thiserror::Error;

use super::BadSchema;
use super::wire::{Malformed, Reader};

/// Longest list of indexes: messages nest no deeper in a schema.
const INDEXES_MAX: usize = 64;

/// Which message of a schema is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageChoice {
    /// By place, as [`parse_message_indexes`] reads it; `[0]` is the first.
    Indexes(Vec<i32>),
    /// By full name (`shop.v1.Order`, `shop.v1.Order.Line`), or without the schema's package.
    Name(String),
}

/// Why a value has no list of message indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no message indexes behind the schema's id")]
pub struct BadIndexes;

/// The message indexes a value begins with, behind the schema's id, and the message's bytes.
///
/// # Errors
/// [`BadIndexes`] when the bytes end too early, or the list is longer than messages nest or has
/// members that are no places.
pub fn parse_message_indexes(value: &[u8]) -> Result<(Vec<i32>, &[u8]), BadIndexes> {
    let mut reader = Reader::new(value);
    let mut next = || {
        let number = reader.varint().map_err(|Malformed(_)| BadIndexes)?;
        // Zigzag: even numbers are the positive ones, and no place is negative.
        let place = (number % 2 == 0).then_some(number / 2);
        place
            .and_then(|place| i32::try_from(place).ok())
            .ok_or(BadIndexes)
    };
    let count = next()?;
    if count == 0 {
        return Ok((vec![0], reader.rest()));
    }
    if usize::try_from(count).map_or(true, |count| count > INDEXES_MAX) {
        return Err(BadIndexes);
    }
    let indexes = (0..count).map(|_| next()).collect::<Result<_, _>>()?;
    Ok((indexes, reader.rest()))
}

impl Default for MessageChoice {
    /// The first message.
    fn default() -> Self {
        Self::Indexes(vec![0])
    }
}

impl MessageChoice {
    pub(super) fn find(&self, file: &FileDescriptor) -> Result<MessageDescriptor, BadSchema> {
        match self {
            Self::Indexes(indexes) => {
                by_place(file, indexes).ok_or_else(|| BadSchema::NoMessage(format!("{indexes:?}")))
            }
            Self::Name(name) => {
                let full = format!("{}.{name}", file.package_name());
                let pool = file.parent_pool();
                pool.get_message_by_name(name)
                    .or_else(|| pool.get_message_by_name(&full))
                    .filter(|message| !message.is_map_entry())
                    .ok_or_else(|| BadSchema::NoMessage(name.clone()))
            }
        }
    }
}

fn by_place(file: &FileDescriptor, indexes: &[i32]) -> Option<MessageDescriptor> {
    let (first, nested) = indexes.split_first()?;
    let mut message = file.messages().nth(usize::try_from(*first).ok()?)?;
    for index in nested {
        let index = usize::try_from(*index).ok()?;
        let place = message
            .child_messages()
            .filter(|child| !child.is_map_entry())
            .nth(index)?;
        message = place;
    }
    Some(message)
}
