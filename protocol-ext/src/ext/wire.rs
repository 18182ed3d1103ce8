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

/// A type with one flexible encoding.
pub trait Wire: Sized {
    /// How it looks to [`shape`](crate::shape) and to the message schemas.
    const KIND: Kind;
    /// Whether it has a null.
    const NULLABLE: bool = false;

    fn put(&self, out: &mut Writer);

    /// # Errors
    /// The fault and the field it was met in.
    fn get(reader: &mut Reader) -> Result<Self, Misread>;
}

macro_rules! fixed {
    ($($type:ty, $method:ident, $kind:ident;)*) => {$(
        impl Wire for $type {
            const KIND: Kind = Kind::$kind;

            fn put(&self, out: &mut Writer) {
                out.$method(*self);
            }

            fn get(reader: &mut Reader) -> Result<Self, Misread> {
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

            fn put(&self, $out: &mut Writer) {
                let $value = self;
                $put
            }

            fn get($reader: &mut Reader) -> Result<Self, Misread> {
                let value: Option<Self> = $get.map_err(unnamed)?;
                value.ok_or(()).or_else(|()| $reader.fail(Fault::Null).map_err(unnamed))
            }
        }

        impl Wire for Option<$type> {
            const KIND: Kind = Kind::$kind;
            const NULLABLE: bool = true;

            fn put(&self, $out: &mut Writer) {
                match self {
                    Some($value) => $put,
                    None => $out.null(true),
                }
            }

            fn get($reader: &mut Reader) -> Result<Self, Misread> {
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

    fn put(&self, out: &mut Writer) {
        out.rope(true, self);
    }

    fn get(reader: &mut Reader) -> Result<Self, Misread> {
        Bytes::get(reader).map(Self::from)
    }
}

impl<T: Wire> Wire for Vec<T> {
    const KIND: Kind = match T::KIND {
        Kind::Struct(fields) => Kind::Structs(fields),
        _ => Kind::Array(&T::KIND),
    };

    fn put(&self, out: &mut Writer) {
        out.array_len(true, self.len());
        self.iter().for_each(|element| element.put(out));
    }

    fn get(reader: &mut Reader) -> Result<Self, Misread> {
        match Option::get(reader)? {
            Some(elements) => Ok(elements),
            None => reader.fail(Fault::Null).map_err(unnamed),
        }
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    const KIND: Kind = <Vec<T> as Wire>::KIND;
    const NULLABLE: bool = true;

    fn put(&self, out: &mut Writer) {
        match self {
            Some(elements) => elements.put(out),
            None => out.null(true),
        }
    }

    fn get(reader: &mut Reader) -> Result<Self, Misread> {
        let Some(count) = reader.array_len(true).map_err(unnamed)? else {
            return Ok(None);
        };
        // A count is backed by a byte per element only, and an element may be much larger in memory.
        let mut elements = Vec::with_capacity(count.min(ELEMENTS_RESERVED_MAX));
        for _ in 0..count {
            elements.push(T::get(reader)?);
        }
        Ok(Some(elements))
    }
}

/// The schema entry of a field holding a `T`.
pub(crate) const fn field<T: Wire>(name: &'static str) -> Field {
    let field = Field::new(name, T::KIND);
    if T::NULLABLE { field.nullable() } else { field }
}

/// Reads one field and puts its name to a fault.
pub(crate) fn named<T: Wire>(reader: &mut Reader, name: &'static str) -> Result<T, Misread> {
    T::get(reader).map_err(|(inner, malformed)| match inner {
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

/// Declares structs whose fields, in order, are their wire format.
macro_rules! message {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$field_about:meta])* pub $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl $crate::ext::Wire for $name {
            const KIND: $crate::shape::Kind = $crate::shape::Kind::Struct(&[
                $($crate::ext::wire::field::<$type>(stringify!($field)),)*
            ]);

            fn put(&self, out: &mut $crate::primitives::Writer) {
                $($crate::ext::Wire::put(&self.$field, out);)*
                out.no_tags();
            }

            fn get(
                reader: &mut $crate::primitives::Reader,
            ) -> Result<Self, $crate::ext::wire::Misread> {
                let message = Self {
                    $($field: $crate::ext::wire::named(reader, stringify!($field))?,)*
                };
                $crate::ext::wire::end(reader)?;
                Ok(message)
            }
        }
    )*};
}

/// Ties a request to its key, name, versions and response.
macro_rules! api {
    ($key:literal $name:literal v0..=$last:literal: $request:ident -> $response:ident) => {
        impl $crate::ext::Request for $request {
            const KEY: i16 = $key;
            const NAME: &'static str = $name;
            const VERSIONS: $crate::shape::Span = $crate::shape::Span::new(0, $last);
            type Response = $response;
        }
    };
}

pub(super) use api;
pub(crate) use message;
