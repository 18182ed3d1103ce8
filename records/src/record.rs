//! One record of a batch, borrowed from the decompressed bytes.
//!
//! ```text
//! length varint │ attributes i8 · timestamp delta varlong · offset delta varint
//!               │ key length varint (−1 = null) · key · value length varint (−1 = null) · value
//!               │ header count varint · header …
//! header = key length varint · key · value length varint (−1 = null) · value
//! ```
//!
//! A [`Record`] exists only when its length, its fields and all its headers agree to the byte.

use crate::varint;

/// A record as applications see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Place in the partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch: the producer's, or the batch's where the broker's clock
    /// gave it. −1 for none.
    pub timestamp: i64,
    /// Null and empty are different keys.
    pub key: Option<&'a [u8]>,
    /// Null is a tombstone where the topic is compacted.
    pub value: Option<&'a [u8]>,
    /// In the order they were written.
    pub headers: Headers<'a>,
}

/// A header: the key as bytes (UTF-8 by custom only) and a value that may be null.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// The headers of a record in the order they were written, duplicates kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    remaining: usize,
    /// Walked once by [`RawRecord::take`]: holds exactly `remaining` whole headers.
    bytes: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        take_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// A field reaches past the end of its record, or the record past the end of the batch.
    #[error("cut short")]
    Truncated,
    /// More bytes or bits than the number's type has room for.
    #[error("a varint is longer than its type allows")]
    Varint,
    /// A length or count below zero where null is not allowed, or below −1 where it is.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// The record's length counts bytes that none of its fields take.
    #[error("{bytes} bytes left after the last field")]
    Slack { bytes: usize },
    /// The batch counts more records than it holds.
    #[error("missing: the records end here")]
    Missing,
    /// The batch holds bytes behind its last record.
    #[error("{bytes} bytes behind the last record")]
    TrailingBytes { bytes: usize },
    /// Offsets in a produced batch count up from zero.
    #[error("offset delta {got} where {expected} is due")]
    OffsetDelta { expected: i32, got: i32 },
}

/// A record with the deltas as they are stored.
pub(crate) struct RawRecord<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Takes one record off the front of `input`.
    pub(crate) fn take(input: &mut &'a [u8]) -> Result<Self, RecordFault> {
        let mut body = take_sized(input)?;
        // The attributes byte has no meaning in magic 2.
        take(&mut body, 1)?;
        let timestamp_delta = varint::take_i64(&mut body)?;
        let offset_delta = varint::take_i32(&mut body)?;
        let key = take_nullable(&mut body)?;
        let value = take_nullable(&mut body)?;
        let count = take_length(&mut body)?;
        let headers = Headers {
            remaining: count,
            bytes: body,
        };
        for _ in 0..count {
            take_header(&mut body)?;
        }
        match body.len() {
            0 => Ok(Self {
                timestamp_delta,
                offset_delta,
                key,
                value,
                headers,
            }),
            bytes => Err(RecordFault::Slack { bytes }),
        }
    }
}

fn take_header<'a>(input: &mut &'a [u8]) -> Result<Header<'a>, RecordFault> {
    Ok((take_sized(input)?, take_nullable(input)?))
}

fn take_sized<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], RecordFault> {
    let len = take_length(input)?;
    take(input, len)
}

fn take_nullable<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFault> {
    match varint::take_i32(input)? {
        -1 => Ok(None),
        len => take(input, non_negative(len)?).map(Some),
    }
}

fn take_length(input: &mut &[u8]) -> Result<usize, RecordFault> {
    non_negative(varint::take_i32(input)?)
}

fn non_negative(len: i32) -> Result<usize, RecordFault> {
    usize::try_from(len).map_err(|_| RecordFault::NegativeLength(len))
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], RecordFault> {
    let (head, rest) = input
        .split_at_checked(count)
        .ok_or(RecordFault::Truncated)?;
    *input = rest;
    Ok(head)
}
