//! `google.protobuf.Struct`, `Value` and `ListValue` as the JSON text they stand for.
//!
//! Members are sorted by name, so that one value has one text whatever order its map was written in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::wire::{Reader, Token};
use crate::json::Fault;

/// Deepest nesting of lists and objects.
const DEPTH_MAX: usize = 64;
/// Whole numbers up to here are written without a point.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What a message stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum JsonType {
    Struct,
    Value,
    List,
}

/// The text of a message; `bytes_max` bounds it.
pub(super) fn text(of: JsonType, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut text = Text {
        out: Vec::new(),
        bytes_max,
    };
    match of {
        JsonType::Struct => text.object(bytes, 0)?,
        JsonType::Value => text.value(bytes, 0)?,
        JsonType::List => text.list(bytes, 0)?,
    }
    Ok(text.out)
}

struct Text {
    out: Vec<u8>,
    bytes_max: usize,
}

/// The kinds of a `Value`; the last one written is the one it has.
enum Found<'a> {
    Null,
    Number(f64),
    String(&'a [u8]),
    Bool(bool),
    Struct(Cow<'a, [u8]>),
    List(Cow<'a, [u8]>),
}

impl Text {
    fn value(&mut self, bytes: &[u8], depth: usize) -> Result<(), Fault> {
        match kind_of(bytes)? {
            Found::Null => self.out.extend_from_slice(b"null"),
            Found::Bool(true) => self.out.extend_from_slice(b"true"),
            Found::Bool(false) => self.out.extend_from_slice(b"false"),
            Found::Number(number) => self.number(number)?,
            Found::String(text) => self.string(text)?,
            Found::Struct(bytes) => self.object(&bytes, depth + 1)?,
            Found::List(bytes) => self.list(&bytes, depth + 1)?,
        }
        self.check(depth)
    }

    fn object(&mut self, bytes: &[u8], depth: usize) -> Result<(), Fault> {
        self.check(depth)?;
        let mut members = BTreeMap::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, token)) = fields(&mut reader)? {
            if let (1, Some(entry)) = (number, token.message()) {
                let (name, value) = member(entry)?;
                // The last of two members of one name.
                members.insert(name, value);
            }
        }
        self.out.push(b'{');
        for (at, (name, value)) in members.into_iter().enumerate() {
            self.comma(at);
            self.string(name)?;
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn list(&mut self, bytes: &[u8], depth: usize) -> Result<(), Fault> {
        self.check(depth)?;
        self.out.push(b'[');
        let mut reader = Reader::new(bytes);
        let mut items = 0;
        while let Some((number, token)) = fields(&mut reader)? {
            if let (1, Some(value)) = (number, token.message()) {
                self.comma(items);
                self.value(value, depth)?;
                items += 1;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn comma(&mut self, at: usize) {
        if at > 0 {
            self.out.push(b',');
        }
    }

    fn number(&mut self, number: f64) -> Result<(), Fault> {
        if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
            // Exact: it has no fraction and fits 54 bits.
            self.out
                .extend_from_slice((number as i64).to_string().as_bytes());
            return Ok(());
        }
        if !number.is_finite() {
            return Err(not_json());
        }
        serde_json::to_writer(&mut self.out, &number).map_err(|_| not_json())
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| not_json())?;
        serde_json::to_writer(&mut self.out, text).map_err(|_| not_json())
    }

    fn check(&self, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::Malformed("JSON nested too deep"));
        }
        if self.out.len() > self.bytes_max {
            return Err(Fault::Expands);
        }
        Ok(())
    }
}

fn kind_of(bytes: &[u8]) -> Result<Found<'_>, Fault> {
    let mut found = Found::Null;
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = fields(&mut reader)? {
        found = match (number, token) {
            (1, Token::Varint(_)) => Found::Null,
            (2, Token::Fixed64(bits)) => Found::Number(f64::from_bits(bits)),
            (3, Token::Bytes(text)) => Found::String(text),
            (4, Token::Varint(number)) => Found::Bool(number != 0),
            (5, Token::Bytes(part)) => Found::Struct(match found {
                Found::Struct(parts) => joined(parts, part),
                _ => Cow::Borrowed(part),
            }),
            (6, Token::Bytes(part)) => Found::List(match found {
                Found::List(parts) => joined(parts, part),
                _ => Cow::Borrowed(part),
            }),
            (1..=6, _) => return Err(not_json()),
            _ => found,
        };
    }
    Ok(found)
}

/// Name and value of one entry.
fn member(entry: &[u8]) -> Result<(&[u8], Cow<'_, [u8]>), Fault> {
    let (mut name, mut value) = (&[][..], Cow::Borrowed(&[][..]));
    let mut reader = Reader::new(entry);
    while let Some((number, token)) = fields(&mut reader)? {
        match (number, token) {
            (1, Token::Bytes(bytes)) => name = bytes,
            (2, Token::Bytes(part)) => value = joined(value, part),
            (1 | 2, _) => return Err(not_json()),
            _ => {}
        }
    }
    Ok((name, value))
}

/// Parts of one message side by side are the message merged.
fn joined<'a>(parts: Cow<'a, [u8]>, part: &'a [u8]) -> Cow<'a, [u8]> {
    if parts.is_empty() {
        return Cow::Borrowed(part);
    }
    let mut parts = parts.into_owned();
    parts.extend_from_slice(part);
    Cow::Owned(parts)
}

fn fields<'a>(reader: &mut Reader<'a>) -> Result<Option<(u32, Token<'a>)>, Fault> {
    reader
        .field()
        .map_err(|malformed| Fault::Malformed(malformed.0))
}

fn not_json() -> Fault {
    let expected = "JSON".to_owned();
    Fault::Value { expected }
}
