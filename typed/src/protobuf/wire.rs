//! The wire format: tags, and the values behind them, taken from bytes that may be anything.

use std::sync::Arc;

use prost_reflect::{EnumDescriptor, Kind as ProtoKind};

use crate::schema::Kind;

/// Highest field number.
const NUMBER_MAX: u64 = (1 << 29) - 1;
/// Deepest nesting of groups, known or not.
const GROUPS_MAX: usize = 64;

/// Bytes that are not in the wire format, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

const CUT: Malformed = Malformed("the bytes end inside a field");

/// The value behind a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// The fields of a group.
    Group(&'a [u8]),
}

/// Fields one after the other.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A type that is no message: how its values stand on the wire.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(Arc<EnumNames>),
}

/// The names of an enum's numbers, by number.
#[derive(Debug)]
pub(super) struct EnumNames(Vec<(i32, String)>);

impl<'a> Token<'a> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Varint(_) => "varint",
            Self::Fixed64(_) => "64-bit number",
            Self::Fixed32(_) => "32-bit number",
            Self::Bytes(_) => "length-delimited value",
            Self::Group(_) => "group",
        }
    }

    /// The fields of a message.
    pub(super) fn message(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) | Self::Group(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<(u32, Token<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire) = self.tag()?;
        let token = match wire {
            0 => Token::Varint(self.varint()?),
            1 => Token::Fixed64(self.fixed64()?),
            2 => Token::Bytes(self.bytes()?),
            3 => Token::Group(self.group(number)?),
            5 => Token::Fixed32(self.fixed32()?),
            4 => return Err(Malformed("a group ends that did not begin")),
            _ => return Err(Malformed("no such wire type")),
        };
        Ok(Some((number, token)))
    }

    /// The next of packed values of one type; `None` at the end.
    #[inline]
    pub(super) fn packed(&mut self, scalar: &Scalar) -> Result<Option<Token<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        Ok(Some(match scalar {
            Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => Token::Fixed64(self.fixed64()?),
            Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => Token::Fixed32(self.fixed32()?),
            _ => Token::Varint(self.varint()?),
        }))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte's upper bits are lost, as in every decoder.
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(match self.rest.len() {
            ..10 => CUT,
            _ => Malformed("a varint of more than ten bytes"),
        })
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = self.varint()?;
        match tag >> 3 {
            number @ 1..=NUMBER_MAX => Ok((number as u32, (tag & 7) as u8)),
            _ => Err(Malformed("no such field number")),
        }
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    fn fixed32(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| CUT)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(CUT)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The fields up to the end of the group that just began. Groups inside are passed over with
    /// their ends checked, without recursion.
    fn group(&mut self, number: u32) -> Result<&'a [u8], Malformed> {
        let fields = self.rest;
        let mut open = vec![number];
        loop {
            let before = self.rest.len();
            let (number, wire) = self.tag()?;
            match wire {
                0 => drop(self.varint()?),
                1 => drop(self.fixed64()?),
                2 => drop(self.bytes()?),
                3 if open.len() == GROUPS_MAX => return Err(Malformed("groups nested too deep")),
                3 => open.push(number),
                4 if open.pop() != Some(number) => {
                    return Err(Malformed("a group ends that did not begin"));
                }
                4 if open.is_empty() => return Ok(&fields[..fields.len() - before]),
                4 => {}
                5 => drop(self.fixed32()?),
                _ => return Err(Malformed("no such wire type")),
            }
        }
    }
}

impl Scalar {
    /// `None` for messages.
    pub(super) fn of(kind: &ProtoKind) -> Option<Self> {
        Some(match kind {
            ProtoKind::Double => Self::Double,
            ProtoKind::Float => Self::Float,
            ProtoKind::Int32 => Self::Int32,
            ProtoKind::Int64 => Self::Int64,
            ProtoKind::Uint32 => Self::Uint32,
            ProtoKind::Uint64 => Self::Uint64,
            ProtoKind::Sint32 => Self::Sint32,
            ProtoKind::Sint64 => Self::Sint64,
            ProtoKind::Fixed32 => Self::Fixed32,
            ProtoKind::Fixed64 => Self::Fixed64,
            ProtoKind::Sfixed32 => Self::Sfixed32,
            ProtoKind::Sfixed64 => Self::Sfixed64,
            ProtoKind::Bool => Self::Bool,
            ProtoKind::String => Self::String,
            ProtoKind::Bytes => Self::Bytes,
            ProtoKind::Enum(names) => Self::Enum(Arc::new(EnumNames::new(names))),
            ProtoKind::Message(_) => return None,
        })
    }

    /// The column it becomes.
    pub(super) fn column(&self) -> Kind {
        match self {
            Self::Double => Kind::Double,
            Self::Float => Kind::Float,
            Self::Int32 | Self::Sint32 | Self::Sfixed32 => Kind::Int,
            Self::Int64 | Self::Sint64 | Self::Sfixed64 | Self::Uint32 | Self::Fixed32 => {
                Kind::Long
            }
            Self::Uint64 | Self::Fixed64 => Kind::Decimal {
                precision: 20,
                scale: 0,
            },
            Self::Bool => Kind::Bool,
            Self::String | Self::Enum(_) => Kind::String,
            Self::Bytes => Kind::Binary,
        }
    }

    /// The column it becomes as the key of a map: no decimal is one.
    pub(super) fn key_column(&self) -> Kind {
        match self {
            Self::Uint64 | Self::Fixed64 => Kind::String,
            other => other.column(),
        }
    }

    /// True for types whose repeated values may stand packed in one field.
    pub(super) fn is_packable(&self) -> bool {
        !matches!(self, Self::String | Self::Bytes)
    }

    /// The value of `bits` and `bytes`, one of which the type has.
    pub(super) fn token<'a>(&self, bits: u64, bytes: &'a [u8]) -> Token<'a> {
        match self {
            Self::String | Self::Bytes => Token::Bytes(bytes),
            Self::Double | Self::Fixed64 | Self::Sfixed64 => Token::Fixed64(bits),
            Self::Float | Self::Fixed32 | Self::Sfixed32 => Token::Fixed32(bits as u32),
            _ => Token::Varint(bits),
        }
    }

    /// As a schema writes it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
            Self::Fixed32 => "fixed32",
            Self::Fixed64 => "fixed64",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Enum(_) => "enum",
        }
    }
}

impl EnumNames {
    fn new(of: &EnumDescriptor) -> Self {
        let declared = &of.enum_descriptor_proto().value;
        let mut names: Vec<_> = declared
            .iter()
            .map(|value| (value.number(), value.name().to_owned()))
            .collect();
        // Stable: of two names for one number, the first declared.
        names.sort_by_key(|(number, _)| *number);
        names.dedup_by_key(|(number, _)| *number);
        Self(names)
    }

    /// Bytes of the longest name.
    pub(super) fn longest(&self) -> usize {
        let names = self.0.iter().map(|(_, name)| name.len());
        names.max().unwrap_or(0)
    }

    /// The name of a number; `None` where the schema has none.
    #[inline]
    pub(super) fn get(&self, number: i32) -> Option<&str> {
        let names = &self.0;
        // Most enums count from 0 on.
        let expected = usize::try_from(number).ok().and_then(|at| names.get(at));
        if let Some((_, name)) = expected.filter(|(found, _)| *found == number) {
            return Some(name);
        }
        let at = names.binary_search_by_key(&number, |(number, _)| *number);
        at.ok().map(|at| names[at].1.as_str())
    }
}
