//! Kafka's primitive types, big-endian, over a byte slice: just what the record formats of
//! `__consumer_offsets` need. Every read is bounds-checked; no length is trusted for an allocation.

use bytes::Bytes;

/// Longest string that an i16 length can carry.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Bytes that do not follow their format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("cut short: {needed} bytes needed at {at}, {left} left")]
    CutShort {
        at: usize,
        needed: usize,
        left: usize,
    },
    #[error("negative length {length} at {at}")]
    NegativeLength { at: usize, length: i32 },
    #[error("string at {at} is not UTF-8")]
    NotUtf8 { at: usize },
    #[error("variable-length integer at {at} does not end")]
    EndlessVarint { at: usize },
    #[error("unknown version {version}")]
    UnknownVersion { version: i16 },
}

/// Reads values one after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, needed: usize) -> Result<&'a [u8], WireError> {
        let left = self.bytes.len() - self.at;
        if needed > left {
            return Err(WireError::CutShort {
                at: self.at,
                needed,
                left,
            });
        }
        let taken = &self.bytes[self.at..self.at + needed];
        self.at += needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A length that must not be negative (a null where none is allowed is an error).
    fn length(&self, length: i32) -> Result<usize, WireError> {
        usize::try_from(length).map_err(|_| WireError::NegativeLength {
            at: self.at,
            length,
        })
    }

    fn utf8(&mut self, length: usize) -> Result<String, WireError> {
        let at = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| WireError::NotUtf8 { at })
    }

    pub(super) fn string(&mut self) -> Result<String, WireError> {
        let length = i32::from(self.i16()?);
        let length = self.length(length)?;
        self.utf8(length)
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<String>, WireError> {
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let length = self.length(i32::from(length))?;
                self.utf8(length).map(Some)
            }
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.i32()?;
        let length = self.length(length)?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    pub(super) fn array_len(&mut self) -> Result<usize, WireError> {
        let length = self.i32()?;
        self.length(length)
    }

    pub(super) fn unsigned_varint(&mut self) -> Result<u32, WireError> {
        let at = self.at;
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::EndlessVarint { at })
    }

    /// Length of a flexible type, stored plus one; zero is null.
    fn compact_length(&mut self) -> Result<Option<usize>, WireError> {
        Ok(self
            .unsigned_varint()?
            .checked_sub(1)
            .map(|length| length as usize))
    }

    fn non_null(&self, length: Option<usize>) -> Result<usize, WireError> {
        length.ok_or(WireError::NegativeLength {
            at: self.at,
            length: -1,
        })
    }

    pub(super) fn compact_string(&mut self) -> Result<String, WireError> {
        let length = self.compact_length()?;
        let length = self.non_null(length)?;
        self.utf8(length)
    }

    pub(super) fn compact_nullable_string(&mut self) -> Result<Option<String>, WireError> {
        match self.compact_length()? {
            None => Ok(None),
            Some(length) => self.utf8(length).map(Some),
        }
    }

    pub(super) fn compact_bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.compact_length()?;
        let length = self.non_null(length)?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    pub(super) fn compact_array_len(&mut self) -> Result<usize, WireError> {
        let length = self.compact_length()?;
        self.non_null(length)
    }

    /// Steps over the tagged fields that end a flexible structure.
    pub(super) fn skip_tagged_fields(&mut self) -> Result<(), WireError> {
        for _ in 0..self.unsigned_varint()? {
            let _tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            self.take(length)?;
        }
        Ok(())
    }
}

/// Appends values one after the other.
#[derive(Default)]
pub(super) struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Strings were checked against [`STRING_BYTES_MAX`] when their command came in; should one be
    /// longer, it is cut at a character rather than written under a wrong length.
    pub(super) fn string(&mut self, value: &str) {
        let value = &value[..value.floor_char_boundary(STRING_BYTES_MAX)];
        self.i16(value.len() as i16);
        self.buffer.extend_from_slice(value.as_bytes());
    }

    pub(super) fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// Byte fields come out of request frames, whose size an i32 already bounds.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.i32(value.len() as i32);
        self.buffer.extend_from_slice(value);
    }

    pub(super) fn array_len(&mut self, length: usize) {
        self.i32(length as i32);
    }

    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.buffer)
    }
}
