//! Keys of several typed columns as bytes that sort as the columns do.
//!
//! | type | bytes |
//! |---|---|
//! | bool | `00`, `01` |
//! | int, date | 4, big-endian, the sign bit turned |
//! | long, time, timestamp | 8, the same |
//! | decimal | 16, the unscaled value the same |
//! | string, binary | each `00` as `00 FF`, at the end `00 00` |
//!
//! Columns stand one behind the other. So the bytes of the first columns are a prefix of the bytes of
//! all, and of no other key: a prefix lookup is a range of bytes. Floats are no keys (two zeros, many
//! NaNs), and a key has no nulls. The bytes are in indexes and checkpoints: they never change.

use bytes::{BufMut, Bytes, BytesMut};

use crate::merge::{Kind, Value};

/// Why columns are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyOrderError {
    #[error("a column of type {0} cannot be part of a key")]
    Kind(Kind),
    #[error("column {at} of the key is null")]
    Null { at: usize },
    #[error("column {at} of the key is not of type {kind}")]
    Type { at: usize, kind: Kind },
    #[error("the key has {got} columns; the table's has {of}")]
    Columns { got: usize, of: usize },
    #[error("the bytes are no key of these columns")]
    Bytes,
}

const ESCAPED: u8 = 0xff;

/// The columns of a key, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOrder(Vec<Kind>);

impl KeyOrder {
    /// # Errors
    /// [`KeyOrderError::Kind`] for floats.
    pub fn new(kinds: Vec<Kind>) -> Result<Self, KeyOrderError> {
        let float = kinds
            .iter()
            .find(|kind| matches!(kind, Kind::Float | Kind::Double));
        match float {
            Some(kind) => Err(KeyOrderError::Kind(*kind)),
            None => Ok(Self(kinds)),
        }
    }

    /// The bytes of a whole key.
    ///
    /// # Errors
    /// [`KeyOrderError`]: a column is missing, null or of another type.
    pub fn encode(&self, values: &[Value]) -> Result<Bytes, KeyOrderError> {
        if values.len() < self.0.len() {
            return Err(self.wrong_count(values));
        }
        self.encode_prefix(values)
    }

    /// What the bytes of every key that has these first columns begin with.
    ///
    /// # Errors
    /// [`KeyOrderError`]: there are too many columns, or one is null or of another type.
    pub fn encode_prefix(&self, values: &[Value]) -> Result<Bytes, KeyOrderError> {
        if values.len() > self.0.len() {
            return Err(self.wrong_count(values));
        }
        let mut out = BytesMut::new();
        for (at, (kind, value)) in self.0.iter().zip(values).enumerate() {
            if value.is_null() {
                return Err(KeyOrderError::Null { at });
            }
            let of_type = kind.accept(value.clone());
            let of_type = of_type.ok_or(KeyOrderError::Type { at, kind: *kind })?;
            put(&mut out, *kind, &of_type);
        }
        Ok(out.freeze())
    }

    /// The columns of a whole key.
    ///
    /// # Errors
    /// [`KeyOrderError::Bytes`].
    pub fn decode(&self, key: &[u8]) -> Result<Vec<Value>, KeyOrderError> {
        let mut rest = key;
        let values = self.0.iter().map(|kind| take(&mut rest, *kind));
        let values: Option<Vec<_>> = values.collect();
        let whole = values.filter(|_| rest.is_empty());
        whole.ok_or(KeyOrderError::Bytes)
    }

    fn wrong_count(&self, values: &[Value]) -> KeyOrderError {
        KeyOrderError::Columns {
            got: values.len(),
            of: self.0.len(),
        }
    }
}

/// The value is of the kind: floats and nulls are kept out before.
fn put(out: &mut BytesMut, kind: Kind, value: &Value) {
    match value {
        Value::Bool(bool) => out.put_u8((*bool).into()),
        // Integers of narrow kinds were checked for their range.
        Value::Int(number) if is_narrow(kind) => out.put_i32(*number as i32 ^ i32::MIN),
        Value::Int(number) => out.put_i64(number ^ i64::MIN),
        Value::Decimal(unscaled) => out.put_i128(unscaled ^ i128::MIN),
        Value::Text(bytes) | Value::Binary(bytes) => {
            for byte in bytes {
                out.put_u8(*byte);
                if *byte == 0 {
                    out.put_u8(ESCAPED);
                }
            }
            out.put_u16(0);
        }
        Value::Null | Value::Float(_) | Value::Double(_) => {}
    }
}

fn is_narrow(kind: Kind) -> bool {
    matches!(kind, Kind::Int | Kind::Date)
}

fn take(rest: &mut &[u8], kind: Kind) -> Option<Value> {
    let value = match kind {
        Kind::Bool => match array::<1>(rest)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return None,
        },
        Kind::Int | Kind::Date => {
            let number = i32::from_be_bytes(array(rest)?) ^ i32::MIN;
            Value::Int(number.into())
        }
        Kind::Long | Kind::Time | Kind::Timestamp { .. } => {
            Value::Int(i64::from_be_bytes(array(rest)?) ^ i64::MIN)
        }
        Kind::Decimal { .. } => Value::Decimal(i128::from_be_bytes(array(rest)?) ^ i128::MIN),
        Kind::Text => {
            let text = take_string(rest)?;
            std::str::from_utf8(&text).ok()?;
            Value::Text(text)
        }
        Kind::Binary => Value::Binary(take_string(rest)?),
        Kind::Float | Kind::Double => return None,
    };
    kind.accept(value)
}

fn take_string(rest: &mut &[u8]) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    loop {
        match array::<1>(rest)? {
            [0] => match array::<1>(rest)? {
                [0] => return Some(bytes.freeze()),
                [ESCAPED] => bytes.put_u8(0),
                _ => return None,
            },
            [byte] => bytes.put_u8(byte),
        }
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests;
