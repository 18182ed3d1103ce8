//! How a Rust type is a wire type, and the macro that makes a struct of such types a message.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::error::{Fault, Malformed};
use crate::primitives::{Reader, Writer};
use crate::rope::Rope;
use crate::shape::{Field, Kind};

/// Elements room is made for before they have been read.
const ELEMENTS_RESERVED_MAX: usize = 256;

/// What was wrong, and in which field (empty for the value itself).
pub type Misread = (&'static str, Malformed);

/// A type with a flexible encoding: one, but for structs with fields that came in later versions.
pub trait Wire: Sized {
    /// How it looks to [`shape`](crate::shape) and to the message schemas.
    const KIND: Kind;
    /// Whether it has a null.
    const NULLABLE: bool = false;

    /// Writes what a version of the message carries of it.
    fn put(&self, out: &mut Writer, version: i16);

    /// Reads it from a version of the message; what that does not carry is the default.
    ///
    /// # Errors
    /// The fault and the field it was met in.
    fn get(reader: &mut Reader, version: i16) -> Result<Self, Misread>;
}

macro_rules! fixed {
    ($($type:ty, $method:ident, $kind:ident;)*) => {$(
        impl Wire for $type {
            const KIND: Kind = Kind::$kind;

            fn put(&self, out: &mut Writer, _: i16) {
                out.$method(*self);
            }

            fn get(reader: &mut Reader, _: i16) -> Result<Self, Misread> {
                reader.$method().map_err(unnamed)
            }
        }
    )*};
}

fixed! {
    bool, bool, Bool;
    i8, i8, Int8;
    i16, i16, Int16;
    u16, u16, UInt16;
    i32, i32, Int32;
    u32, u32, UInt32;
    i64, i64, Int64;
    Uuid, uuid, Uuid;
}

macro_rules! lengthy {
    ($($type:ty, $kind:ident, |$reader:ident| $get:expr, |$value:ident, $out:ident| $put:expr;)*) => {$(
        impl Wire for $type {
            const KIND: Kind = Kind::$kind;

            fn put(&self, $out: &mut Writer, _: i16) {
                let $value = self;
                $put
            }

            fn get($reader: &mut Reader, _: i16) -> Result<Self, Misread> {
                let value: Option<Self> = $get.map_err(unnamed)?;
                value.ok_or(()).or_else(|()| $reader.fail(Fault::Null).map_err(unnamed))
            }
        }

        impl Wire for Option<$type> {
            const KIND: Kind = Kind::$kind;
            const NULLABLE: bool = true;

            fn put(&self, $out: &mut Writer, _: i16) {
                match self {
                    Some($value) => $put,
                    None => $out.null(true),
                }
            }

            fn get($reader: &mut Reader, _: i16) -> Result<Self, Misread> {
                $get.map_err(unnamed)
            }
        }
    )*};
}

lengthy! {
    StrBytes, String, |reader| reader.text(true), |value, out| out.text(true, Some(value));
    Bytes, Bytes, |reader| reader.byte_string(true), |value, out| out.byte_string(true, Some(value));
}

/// Written as bytes; read as one piece.
impl Wire for Rope {
    const KIND: Kind = Kind::Bytes;

    fn put(&self, out: &mut Writer, _: i16) {
        out.rope(true, self);
    }

    fn get(reader: &mut Reader, version: i16) -> Result<Self, Misread> {
        Bytes::get(reader, version).map(Self::from)
    }
}

impl<T: Wire> Wire for Vec<T> {
    const KIND: Kind = match T::KIND {
        Kind::Struct(fields) => Kind::Structs(fields),
        _ => Kind::Array(&T::KIND),
    };

    fn put(&self, out: &mut Writer, version: i16) {
        out.array_len(true, self.len());
        self.iter().for_each(|element| element.put(out, version));
    }

    fn get(reader: &mut Reader, version: i16) -> Result<Self, Misread> {
        match Option::get(reader, version)? {
            Some(elements) => Ok(elements),
            None => reader.fail(Fault::Null).map_err(unnamed),
        }
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    const KIND: Kind = <Vec<T> as Wire>::KIND;
    const NULLABLE: bool = true;

    fn put(&self, out: &mut Writer, version: i16) {
        match self {
            Some(elements) => elements.put(out, version),
            None => out.null(true),
        }
    }

    fn get(reader: &mut Reader, version: i16) -> Result<Self, Misread> {
        let Some(count) = reader.array_len(true).map_err(unnamed)? else {
            return Ok(None);
        };
        // A count is backed by a byte per element only, and an element may be much larger in memory.
        let mut elements = Vec::with_capacity(count.min(ELEMENTS_RESERVED_MAX));
        for _ in 0..count {
            elements.push(T::get(reader, version)?);
        }
        Ok(Some(elements))
    }
}

/// The schema entry of a field holding a `T`, which came in version `since`.
pub(crate) const fn field<T: Wire>(name: &'static str, since: i16) -> Field {
    let field = Field::new(name, T::KIND).since(since);
    if T::NULLABLE { field.nullable() } else { field }
}

/// Reads one field and puts its name to a fault.
pub(crate) fn named<T: Wire>(
    reader: &mut Reader,
    name: &'static str,
    version: i16,
) -> Result<T, Misread> {
    T::get(reader, version).map_err(|(inner, malformed)| match inner {
        "" => (name, malformed),
        inner => (inner, malformed),
    })
}

/// Passes over the tagged section that ends a struct.
pub(crate) fn end(reader: &mut Reader) -> Result<(), Misread> {
    reader
        .skip_tags()
        .map_err(|malformed| ("tagged fields", malformed))
}

fn unnamed(malformed: Malformed) -> Misread {
    ("", malformed)
}

/// Declares structs whose fields, in order, are their wire format. A field that came in a later
/// version says so: `pub limit: i32 = since 1,`.
macro_rules! message {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$field_about:meta])* pub $field:ident: $type:ty $(= since $since:literal)?,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl $crate::ext::Wire for $name {
            const KIND: $crate::shape::Kind = $crate::shape::Kind::Struct(&[
                $($crate::ext::wire::field::<$type>(
                    stringify!($field),
                    $crate::ext::wire::since!($($since)?),
                ),)*
            ]);

            fn put(&self, out: &mut $crate::primitives::Writer, version: i16) {
                $(if version >= $crate::ext::wire::since!($($since)?) {
                    $crate::ext::Wire::put(&self.$field, out, version);
                })*
                out.no_tags();
            }

            fn get(
                reader: &mut $crate::primitives::Reader,
                version: i16,
            ) -> Result<Self, $crate::ext::wire::Misread> {
                let message = Self {
                    $($field: match version >= $crate::ext::wire::since!($($since)?) {
                        true => $crate::ext::wire::named(reader, stringify!($field), version)?,
                        false => Default::default(),
                    },)*
                };
                $crate::ext::wire::end(reader)?;
                Ok(message)
            }
        }
    )*};
}

/// The version a field came in: the first, unless it says another.
macro_rules! since {
    () => {
        0
    };
    ($since:literal) => {
        $since
    };
}

/// Ties a request to its key, name, versions and response. With `needs`, a function says the oldest
/// version that carries all of a request.
macro_rules! api {
    ($key:literal $name:literal v0..=$last:literal: $request:ident -> $response:ident
        $(, needs $needs:expr)?) => {
        impl $crate::ext::Request for $request {
            const KEY: i16 = $key;
            const NAME: &'static str = $name;
            const VERSIONS: $crate::shape::Span = $crate::shape::Span::new(0, $last);
            type Response = $response;

            $(fn needs(&self) -> i16 {
                let needs: fn(&Self) -> i16 = $needs;
                needs(self)
            })?
        }
    };
}

pub(super) use api;
pub(crate) use {message, since};
