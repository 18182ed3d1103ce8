//! A bounded cursor over received bytes.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::TEXT_BYTES_MAX;
use crate::error::{Fault, Malformed};

/// Elements and unknown tags one body may hold.
///
/// An empty string is one byte on the wire and some tens in memory, so the frame limit alone would
/// let a 100 MiB body ask for gigabytes. A million is far beyond any list a client has reason to send.
pub const ELEMENTS_MAX: usize = 1_000_000;

/// Reads primitives in order; every method fails rather than pass the end.
///
/// After an error the position is unspecified: the only sound thing left is to drop the frame.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
    elements_left: usize,
}

macro_rules! big_endian {
    ($($name:ident: $t:ty),*) => {$(
        pub fn $name(&mut self) -> Result<$t, Malformed> {
            self.array().map(<$t>::from_be_bytes)
        }
    )*};
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            at: 0,
            elements_left: ELEMENTS_MAX,
        }
    }

    /// Bytes consumed so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not consumed yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Array elements and tagged fields met so far.
    pub fn elements(&self) -> usize {
        ELEMENTS_MAX - self.elements_left
    }

    /// What was not consumed, as a slice of the same buffer.
    pub fn into_rest(self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    /// An error at the current position.
    pub fn fail<T>(&self, fault: Fault) -> Result<T, Malformed> {
        Err(Malformed { at: self.at, fault })
    }

    big_endian!(i8: i8, i16: i16, u16: u16, i32: i32, u32: u32, i64: i64);

    /// Any byte but 0 is true, as in Kafka.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.i8()? != 0)
    }

    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        self.array().map(Uuid::from_bytes)
    }

    /// An unsigned varint of at most 32 bits in at most five bytes.
    pub fn uvarint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).or_else(|_| self.fail(Fault::VarintTooLong));
            }
        }
        self.fail(Fault::VarintTooLong)
    }

    /// The length of a string, `None` for null; the text itself has not been checked to be there.
    pub fn text_len(&mut self, flexible: bool) -> Result<Option<usize>, Malformed> {
        if !flexible {
            let length = self.i16()?;
            return self.length(i32::from(length));
        }
        match self.compact_length()? {
            Some(length) if length > TEXT_BYTES_MAX => self.fail(Fault::TextTooLong(length)),
            length => Ok(length),
        }
    }

    /// The length of a byte string, `None` for null; the bytes have not been checked to be there.
    pub fn bytes_len(&mut self, flexible: bool) -> Result<Option<usize>, Malformed> {
        if flexible {
            self.compact_length()
        } else {
            let length = self.i32()?;
            self.length(length)
        }
    }

    /// The number of elements of an array, `None` for null.
    ///
    /// Every element takes at least one byte, so a count above the bytes left is refused, and
    /// the elements of one body are counted against [`ELEMENTS_MAX`].
    pub fn array_len(&mut self, flexible: bool) -> Result<Option<usize>, Malformed> {
        let Some(count) = self.bytes_len(flexible)? else {
            return Ok(None);
        };
        self.claim(count)?;
        Ok(Some(count))
    }

    /// A string as a slice of the frame.
    pub fn text(&mut self, flexible: bool) -> Result<Option<StrBytes>, Malformed> {
        let Some(length) = self.text_len(flexible)? else {
            return Ok(None);
        };
        let at = self.at;
        let bytes = self.take(length)?;
        StrBytes::from_utf8(bytes).map(Some).map_err(|_| Malformed {
            at,
            fault: Fault::NotUtf8,
        })
    }

    /// Bytes as a slice of the frame.
    pub fn byte_string(&mut self, flexible: bool) -> Result<Option<Bytes>, Malformed> {
        match self.bytes_len(flexible)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// The next `length` bytes, sharing the buffer.
    pub fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        let start = self.at;
        self.skip(length)?;
        Ok(self.bytes.slice(start..self.at))
    }

    /// The next `length` bytes, borrowed.
    pub fn view(&mut self, length: usize) -> Result<&[u8], Malformed> {
        let start = self.at;
        self.skip(length)?;
        Ok(&self.bytes[start..self.at])
    }

    /// Passes over `length` bytes.
    pub fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        let left = self.remaining();
        if length > left {
            let needed = length;
            return self.fail(Fault::Truncated { needed, left });
        }
        self.at += length;
        Ok(())
    }

    /// How many tagged fields follow; each takes at least two bytes and counts as an element.
    pub fn tag_count(&mut self) -> Result<usize, Malformed> {
        let count = self.uvarint()? as usize;
        self.claim(count)?;
        Ok(count)
    }

    /// The number of one tagged field and the bytes it claims.
    pub fn tag_head(&mut self) -> Result<(u32, usize), Malformed> {
        Ok((self.uvarint()?, self.uvarint()? as usize))
    }

    /// Passes over a whole section of tagged fields.
    pub fn skip_tags(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.tag_count()? {
            let (_, size) = self.tag_head()?;
            self.skip(size)?;
        }
        Ok(())
    }

    fn claim(&mut self, count: usize) -> Result<(), Malformed> {
        let left = self.remaining();
        if count > left {
            return self.fail(Fault::CountExceedsBytes { count, left });
        }
        let Some(elements_left) = self.elements_left.checked_sub(count) else {
            return self.fail(Fault::TooManyElements);
        };
        self.elements_left = elements_left;
        Ok(())
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    fn length(&self, length: i32) -> Result<Option<usize>, Malformed> {
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => self.fail(Fault::NegativeLength(length)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let left = &self.bytes[self.at..];
        match left.first_chunk() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => self.fail(Fault::Truncated {
                needed: N,
                left: left.len(),
            }),
        }
    }
}
