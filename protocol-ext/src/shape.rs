//! The shape of a request body: enough of Kafka's schema to walk the bytes before decoding them.
//!
//! The generated decoders allocate `Vec::with_capacity(count)` from counts they have just read:
//! twelve bytes can ask for gigabytes. [`check`] walks a body first and accepts it only if every
//! length is non-negative (or an allowed null) and backed by bytes, every string is UTF-8, every tag
//! is valid in its version and as long as it claims, and the elements stay under
//! [`ELEMENTS_MAX`](crate::primitives::ELEMENTS_MAX). What it accepts the decoder decodes, to the
//! same last byte.
//!
//! Bytes after the last field are tolerated and reported, as Kafka reads a body and looks no further.
//!
//! A shape reads like the schema it stands for:
//!
//! ```
//! use tidelog_protocol_ext::shape::{Shape, array, bytes, int32, string};
//!
//! const SHAPE: Shape = Shape::new(0, "Produce", 3, 13).flexible_from(9).fields(&[
//!     string("transactional_id").nullable(),
//!     int32("timeout_ms"),
//!     array("topics", &[string("name").until(12), bytes("records").nullable()]),
//! ]);
//! assert_eq!(SHAPE.key, 0);
//! ```

use bytes::Bytes;

use crate::error::{Fault, Malformed, WireError};
use crate::primitives::Reader;

/// One request: its key, the versions that can be decoded, and its fields.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub key: i16,
    pub name: &'static str,
    /// Lowest and highest version that can be walked and decoded.
    pub versions: Span,
    /// First version with compact lengths and tagged fields.
    pub flexible: i16,
    pub fields: &'static [Field],
}

/// An inclusive range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: i16,
    pub last: i16,
}

/// One field in wire order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// Versions in which the field is on the wire.
    pub versions: Span,
    /// Versions in which it may be null.
    pub nullable: Span,
    /// Its number, if it travels in the tagged section of flexible versions.
    pub tag: Option<u32>,
}

/// The type of a field or array element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Struct(&'static [Field]),
    /// An array of primitives.
    Array(&'static Kind),
    /// An array of structs.
    Structs(&'static [Field]),
}

/// What a walk learned about a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Array elements and tagged fields: decoding allocates in proportion to these.
    pub elements: usize,
    /// Bytes after the last field.
    pub trailing: usize,
}

impl Span {
    const ALWAYS: Self = Self::new(0, i16::MAX);
    const NEVER: Self = Self::new(0, -1);

    pub const fn new(first: i16, last: i16) -> Self {
        Self { first, last }
    }

    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

impl Shape {
    /// A request that is never flexible and has no fields yet.
    pub const fn new(key: i16, name: &'static str, first: i16, last: i16) -> Self {
        Self {
            key,
            name,
            versions: Span::new(first, last),
            flexible: i16::MAX,
            fields: &[],
        }
    }

    pub const fn flexible_from(self, version: i16) -> Self {
        Self {
            flexible: version,
            ..self
        }
    }

    pub const fn fields(self, fields: &'static [Field]) -> Self {
        Self { fields, ..self }
    }
}

impl Field {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            versions: Span::ALWAYS,
            nullable: Span::NEVER,
            tag: None,
        }
    }

    /// On the wire from `version` on.
    pub const fn since(self, version: i16) -> Self {
        let versions = Span::new(version, self.versions.last);
        Self { versions, ..self }
    }

    /// On the wire up to and including `version`.
    pub const fn until(self, version: i16) -> Self {
        let versions = Span::new(self.versions.first, version);
        Self { versions, ..self }
    }

    /// May be null in every version.
    pub const fn nullable(self) -> Self {
        self.nullable_since(0)
    }

    /// May be null from `version` on.
    pub const fn nullable_since(self, version: i16) -> Self {
        let nullable = Span::new(version, i16::MAX);
        Self { nullable, ..self }
    }

    /// Travels as tagged field `number`.
    pub const fn tagged(self, number: u32) -> Self {
        let tag = Some(number);
        Self { tag, ..self }
    }
}

macro_rules! field_constructors {
    ($($name:ident: $kind:ident),*) => {$(
        #[doc = concat!("A field of kind [`Kind::", stringify!($kind), "`].")]
        pub const fn $name(name: &'static str) -> Field {
            Field::new(name, Kind::$kind)
        }
    )*};
}

field_constructors!(
    boolean: Bool, int8: Int8, int16: Int16, uint16: UInt16, int32: Int32, int64: Int64,
    float64: Float64, uuid: Uuid, string: String, bytes: Bytes
);

/// A field holding one struct.
pub const fn structure(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Kind::Struct(fields))
}

/// A field holding an array of structs.
pub const fn array(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Kind::Structs(fields))
}

/// A field holding an array of primitives.
pub const fn array_of(name: &'static str, element: &'static Kind) -> Field {
    Field::new(name, Kind::Array(element))
}

/// Walks `body` as version `version` of `shape`.
///
/// # Errors
/// [`WireError::UnsupportedVersion`], or [`WireError::Body`] naming the field and the fault.
pub fn check(shape: &Shape, version: i16, body: &Bytes) -> Result<Walked, WireError> {
    if !shape.versions.contains(version) {
        let api = shape.name;
        return Err(WireError::UnsupportedVersion { api, version });
    }
    let mut walk = Walk {
        reader: Reader::new(body.clone()),
        version,
        flexible: version >= shape.flexible,
        field: "",
    };
    match walk.structure(shape.fields) {
        Ok(()) => Ok(Walked {
            elements: walk.reader.elements(),
            trailing: walk.reader.remaining(),
        }),
        Err(malformed) => Err(WireError::Body {
            api: shape.name,
            version,
            field: walk.field,
            malformed,
        }),
    }
}

struct Walk {
    reader: Reader,
    version: i16,
    flexible: bool,
    /// The field being read, for the error.
    field: &'static str,
}

impl Walk {
    fn structure(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        for field in fields {
            if field.tag.is_none() && field.versions.contains(self.version) {
                self.field(field)?;
            }
        }
        if self.flexible {
            self.tags(fields)?;
        }
        Ok(())
    }

    fn field(&mut self, field: &Field) -> Result<(), Malformed> {
        self.field = field.name;
        let nullable = field.nullable.contains(self.version);
        match field.kind {
            Kind::Struct(fields) if nullable => match self.reader.i8()? {
                1 => self.structure(fields),
                -1 => Ok(()),
                other => self.reader.fail(Fault::Presence(other)),
            },
            kind if self.value(kind)? || nullable => Ok(()),
            _ => self.reader.fail(Fault::Null),
        }
    }

    /// Passes over one value; false if it was null.
    fn value(&mut self, kind: Kind) -> Result<bool, Malformed> {
        if let Some(width) = kind.width() {
            return self.reader.skip(width).map(|()| true);
        }
        match kind {
            Kind::String => self.text(),
            Kind::Struct(fields) => self.structure(fields).map(|()| true),
            Kind::Array(element) => self.primitives(*element),
            Kind::Structs(fields) => {
                let Some(count) = self.reader.array_len(self.flexible)? else {
                    return Ok(false);
                };
                for _ in 0..count {
                    self.structure(fields)?;
                }
                Ok(true)
            }
            _ => match self.reader.bytes_len(self.flexible)? {
                Some(length) => self.reader.skip(length).map(|()| true),
                None => Ok(false),
            },
        }
    }

    fn text(&mut self) -> Result<bool, Malformed> {
        let Some(length) = self.reader.text_len(self.flexible)? else {
            return Ok(false);
        };
        let at = self.reader.position();
        match std::str::from_utf8(self.reader.view(length)?) {
            Ok(_) => Ok(true),
            Err(_) => Err(Malformed {
                at,
                fault: Fault::NotUtf8,
            }),
        }
    }

    fn primitives(&mut self, element: Kind) -> Result<bool, Malformed> {
        let Some(count) = self.reader.array_len(self.flexible)? else {
            return Ok(false);
        };
        if let Some(width) = element.width() {
            // No overflow: the count is at most ELEMENTS_MAX.
            return self.reader.skip(count * width).map(|()| true);
        }
        for _ in 0..count {
            if !self.value(element)? {
                return self.reader.fail(Fault::Null);
            }
        }
        Ok(true)
    }

    fn tags(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        for _ in 0..self.reader.tag_count()? {
            let (tag, claimed) = self.reader.tag_head()?;
            match fields.iter().find(|field| field.tag == Some(tag)) {
                None => self.reader.skip(claimed)?,
                Some(field) => self.known_tag(field, tag, claimed)?,
            }
        }
        Ok(())
    }

    /// The decoder reads a known tag by its type and ignores the size, so the two must agree.
    fn known_tag(&mut self, field: &Field, tag: u32, claimed: usize) -> Result<(), Malformed> {
        self.field = field.name;
        if !field.versions.contains(self.version) {
            return self.reader.fail(Fault::TagNotValid(tag));
        }
        let start = self.reader.position();
        self.field(field)?;
        let held = self.reader.position() - start;
        if held == claimed {
            Ok(())
        } else {
            self.reader.fail(Fault::TagSize { tag, claimed, held })
        }
    }
}

impl Kind {
    /// Bytes on the wire, if that is the same for every value.
    pub const fn width(self) -> Option<usize> {
        Some(match self {
            Kind::Bool | Kind::Int8 => 1,
            Kind::Int16 | Kind::UInt16 => 2,
            Kind::Int32 | Kind::UInt32 => 4,
            Kind::Int64 | Kind::Float64 => 8,
            Kind::Uuid => 16,
            _ => return None,
        })
    }
}
