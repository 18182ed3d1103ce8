//! Rows, changes, and which keys a table takes.

use bytes::Bytes;
use tidelog_storage::ids::{Offset, Timestamp};

/// Longest key in bytes. The engine counts key lengths in 16 bits, one byte of which is a prefix.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize - 1;

/// The newest record of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Of the record that wrote it.
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// The record's value, byte for byte.
    pub value: Bytes,
}

/// What one record does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Bytes,
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// `None` deletes the row.
    pub value: Option<Bytes>,
}

impl Change {
    /// The row as it stands after the change.
    pub fn row(&self) -> Option<Row> {
        self.value.as_ref().map(|value| Row {
            offset: self.offset,
            timestamp: self.timestamp,
            value: value.clone(),
        })
    }

    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Why a record's key cannot be a primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a record of a keyed topic needs a key")]
    Null,
    #[error("the key has {bytes} bytes; a keyed topic takes up to {KEY_BYTES_MAX}")]
    TooLong { bytes: usize },
}

/// Answers the key if a keyed topic takes it. For the produce path: a record that fails here must
/// not reach the log, because the fold passes it over.
pub fn check_key(key: Option<&[u8]>) -> Result<&[u8], KeyError> {
    match key {
        None => Err(KeyError::Null),
        Some(key) if key.len() > KEY_BYTES_MAX => Err(KeyError::TooLong { bytes: key.len() }),
        Some(key) => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_present_and_fit() {
        let longest = vec![0; KEY_BYTES_MAX];
        let bytes = KEY_BYTES_MAX + 1;
        assert_eq!(check_key(None), Err(KeyError::Null));
        assert_eq!(check_key(Some(b"")), Ok(&b""[..]));
        assert_eq!(check_key(Some(&longest)), Ok(&longest[..]));
        assert_eq!(
            check_key(Some(&vec![0; bytes])),
            Err(KeyError::TooLong { bytes })
        );
    }
}
