//! A growing message: small fields in one buffer, payloads kept as references between them.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::error::WireError;
use crate::rope::Rope;

/// Payload pieces below this are copied: a few bytes cost less than another entry in the write vector.
const INLINE_BYTES_MAX: usize = 256;

/// Writes primitives in order and yields the message as chunks.
///
/// A length that does not fit its prefix is remembered and reported by the methods that end the
/// message, so that the calls in between need no error handling.
#[derive(Debug, Default)]
pub struct Writer {
    fields: BytesMut,
    /// Payload pieces with the position in `fields` before which each belongs, ascending.
    payloads: Vec<(usize, Bytes)>,
    payload_bytes: usize,
    too_long: Option<(&'static str, usize)>,
}

macro_rules! big_endian {
    ($($name:ident: $t:ty),*) => {$(
        pub fn $name(&mut self, value: $t) {
            self.fields.put_slice(&value.to_be_bytes());
        }
    )*};
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far, payloads included.
    pub fn len(&self) -> usize {
        self.fields.len() + self.payload_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    big_endian!(i8: i8, i16: i16, u16: u16, i32: i32, u32: u32, i64: i64);

    pub fn bool(&mut self, value: bool) {
        self.fields.put_u8(u8::from(value));
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.fields.put_slice(value.as_bytes());
    }

    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.fields.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.fields.put_u8(value as u8);
    }

    /// A string of at most 32767 bytes, or null.
    pub fn text(&mut self, flexible: bool, value: Option<&str>) {
        let Some(text) = value else {
            return if flexible {
                self.uvarint(0)
            } else {
                self.i16(-1)
            };
        };
        match i16::try_from(text.len()) {
            Ok(length) if !flexible => self.i16(length),
            Ok(length) => self.uvarint(u32::from(length.unsigned_abs()) + 1),
            Err(_) => self.note_too_long("string", text.len()),
        }
        self.fields.put_slice(text.as_bytes());
    }

    /// Bytes held in one piece, or null.
    pub fn byte_string(&mut self, flexible: bool, value: Option<&Bytes>) {
        match value {
            Some(bytes) => {
                self.prefix(flexible, "bytes", bytes.len());
                self.payload(bytes);
            }
            None => self.null(flexible),
        }
    }

    /// Bytes held in several pieces, with their common length; never null.
    pub fn rope(&mut self, flexible: bool, value: &Rope) {
        self.prefix(flexible, "bytes", value.len());
        value.pieces().iter().for_each(|piece| self.payload(piece));
    }

    /// The count that opens an array of `count` elements.
    pub fn array_len(&mut self, flexible: bool, count: usize) {
        self.prefix(flexible, "array", count);
    }

    /// A null array or null bytes.
    pub fn null(&mut self, flexible: bool) {
        if flexible {
            self.uvarint(0);
        } else {
            self.i32(-1);
        }
    }

    /// A section of no tagged fields.
    pub fn no_tags(&mut self) {
        self.uvarint(0);
    }

    /// A section of tagged fields, written in ascending order of tag as the protocol wants it.
    pub fn tags<const N: usize>(&mut self, mut fields: [Option<(u32, Writer)>; N]) {
        fields.sort_by_key(|field| field.as_ref().map(|(tag, _)| *tag));
        self.uvarint(fields.iter().flatten().count() as u32);
        for (tag, value) in fields.into_iter().flatten() {
            self.uvarint(tag);
            match u32::try_from(value.len()) {
                Ok(size) => self.uvarint(size),
                Err(_) => self.note_too_long("tagged field", value.len()),
            }
            self.append(value);
        }
    }

    /// The message as chunks in order, ready for one vectored write; no chunk is empty.
    ///
    /// # Errors
    /// [`WireError::TooLong`] if some length did not fit its prefix.
    pub fn into_chunks(self) -> Result<Vec<Bytes>, WireError> {
        if let Some((what, length)) = self.too_long {
            return Err(WireError::TooLong { what, length });
        }
        let fields = self.fields.freeze();
        let mut chunks = Vec::with_capacity(2 * self.payloads.len() + 1);
        let mut start = 0;
        for (position, payload) in self.payloads {
            if position > start {
                chunks.push(fields.slice(start..position));
            }
            chunks.push(payload);
            start = position;
        }
        if start < fields.len() {
            chunks.push(fields.slice(start..));
        }
        Ok(chunks)
    }

    /// Overwrites the four bytes at `position`; they must have been written by [`Writer::i32`].
    pub(crate) fn patch_i32(&mut self, position: usize, value: i32) {
        self.fields[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn prefix(&mut self, flexible: bool, what: &'static str, length: usize) {
        match i32::try_from(length) {
            Ok(length) if !flexible => self.i32(length),
            // Flexible versions write n + 1, leaving 0 for null.
            Ok(length) => self.uvarint(length.unsigned_abs() + 1),
            Err(_) => self.note_too_long(what, length),
        }
    }

    fn payload(&mut self, piece: &Bytes) {
        if piece.len() < INLINE_BYTES_MAX {
            self.fields.put_slice(piece);
        } else {
            self.payload_bytes += piece.len();
            self.payloads.push((self.fields.len(), piece.clone()));
        }
    }

    fn append(&mut self, other: Writer) {
        let base = self.fields.len();
        self.fields.extend_from_slice(&other.fields);
        self.payload_bytes += other.payload_bytes;
        let moved = other.payloads.into_iter();
        self.payloads
            .extend(moved.map(|(at, piece)| (base + at, piece)));
        self.too_long = self.too_long.or(other.too_long);
    }

    fn note_too_long(&mut self, what: &'static str, length: usize) {
        self.too_long.get_or_insert((what, length));
    }
}
