//! Kafka's primitive types, big-endian, over a byte slice: just what the record formats of
//! `__consumer_offsets` and `__transaction_state` need. Every read is bounds-checked; no length is trusted for an allocation.

use bytes::Bytes;
use uuid::Uuid;

/// Longest string that an i16 length can carry.
pub(crate) const STRING_BYTES_MAX: usize = i16::MAX as usize;

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
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
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

    pub(crate) fn i8(&mut self) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, WireError> {
        Ok(Uuid::from_bytes(self.array()?))
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

    pub(crate) fn string(&mut self) -> Result<String, WireError> {
        let length = i32::from(self.i16()?);
        let length = self.length(length)?;
        self.utf8(length)
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<String>, WireError> {
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let length = self.length(i32::from(length))?;
                self.utf8(length).map(Some)
            }
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.i32()?;
        let length = self.length(length)?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = self.length(length)?;
                self.take(length)
                    .map(|bytes| Some(Bytes::copy_from_slice(bytes)))
            }
        }
    }

    pub(crate) fn array_len(&mut self) -> Result<usize, WireError> {
        let length = self.i32()?;
        self.length(length)
    }

    pub(crate) fn nullable_array_len(&mut self) -> Result<Option<usize>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.length(length).map(Some),
        }
    }

    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, WireError> {
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

    pub(crate) fn compact_string(&mut self) -> Result<String, WireError> {
        let length = self.compact_length()?;
        let length = self.non_null(length)?;
        self.utf8(length)
    }

    pub(crate) fn compact_nullable_string(&mut self) -> Result<Option<String>, WireError> {
        match self.compact_length()? {
            None => Ok(None),
            Some(length) => self.utf8(length).map(Some),
        }
    }

    pub(crate) fn compact_bytes(&mut self) -> Result<Bytes, WireError> {
        let length = self.compact_length()?;
        let length = self.non_null(length)?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    pub(crate) fn compact_array_len(&mut self) -> Result<usize, WireError> {
        let length = self.compact_length()?;
        self.non_null(length)
    }

    pub(crate) fn compact_nullable_array_len(&mut self) -> Result<Option<usize>, WireError> {
        self.compact_length()
    }

    /// Steps over the tagged fields that end a flexible structure.
    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), WireError> {
        self.tagged_fields(|_, _| Ok(()))
    }

    /// Shows each tagged field that ends a flexible structure: its tag and its bytes.
    pub(crate) fn tagged_fields(
        &mut self,
        mut show: impl FnMut(u32, &mut Reader<'a>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            show(tag, &mut Reader::new(self.take(length)?))?;
        }
        Ok(())
    }
}

/// Appends values one after the other.
#[derive(Default)]
pub(crate) struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn i8(&mut self, value: i8) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(value.as_bytes());
    }

    /// Strings were checked against [`STRING_BYTES_MAX`] when their command came in; should one be
    /// longer, it is cut at a character rather than written under a wrong length.
    pub(crate) fn string(&mut self, value: &str) {
        let value = &value[..value.floor_char_boundary(STRING_BYTES_MAX)];
        self.i16(value.len() as i16);
        self.buffer.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// Byte fields come out of request frames, whose size an i32 already bounds.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.i32(value.len() as i32);
        self.buffer.extend_from_slice(value);
    }

    pub(crate) fn array_len(&mut self, length: usize) {
        self.i32(length as i32);
    }

    pub(crate) fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Lengths of flexible types are stored plus one; like all that comes out of request frames
    /// they are far below an i32.
    pub(crate) fn compact_array_len(&mut self, length: usize) {
        self.unsigned_varint(length as u32 + 1);
    }

    pub(crate) fn compact_bytes(&mut self, value: &[u8]) {
        self.compact_array_len(value.len());
        self.buffer.extend_from_slice(value);
    }

    pub(crate) fn compact_string(&mut self, value: &str) {
        self.compact_bytes(value.as_bytes());
    }

    pub(crate) fn compact_nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.compact_string(value),
            None => self.unsigned_varint(0),
        }
    }

    pub(crate) fn no_tagged_fields(&mut self) {
        self.unsigned_varint(0);
    }

    /// The one tagged field of a structure.
    pub(crate) fn tagged_field(&mut self, tag: u32, value: &[u8]) {
        self.unsigned_varint(1);
        self.unsigned_varint(tag);
        self.unsigned_varint(value.len() as u32);
        self.buffer.extend_from_slice(value);
    }

    /// Tagged fields in ascending order of their tags, which the format demands.
    pub(crate) fn tagged_fields(&mut self, fields: &[(u32, Vec<u8>)]) {
        self.unsigned_varint(fields.len() as u32);
        for (tag, value) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(value.len() as u32);
            self.buffer.extend_from_slice(value);
        }
    }

    pub(crate) fn finish(self) -> Bytes {
        Bytes::from(self.buffer)
    }
}
