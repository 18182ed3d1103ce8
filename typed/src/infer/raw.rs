//! JSON text, one level at a time: each value stays text until somebody wants what is in it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Error;
use serde_json::value::RawValue;

use crate::json::Reason;
use crate::schema::Kind;

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Bool,
    /// A number a long takes.
    Long,
    /// Any other number.
    Double,
    String,
    Array,
    Object,
}

impl Type {
    /// Of text that was checked to be one JSON value.
    pub(super) fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            // Minus zero is no long: a long has one zero.
            _ if text != "-0" && text.parse::<i64>().is_ok() => Self::Long,
            _ => Self::Double,
        }
    }

    /// The siblings that take such a value where its column does not, the best first.
    pub(super) fn siblings(self) -> &'static [Sibling] {
        match self {
            Self::Null => &[],
            Self::Bool => &[Sibling::Bool],
            Self::Long => &[Sibling::Long, Sibling::Double],
            Self::Double => &[Sibling::Double],
            Self::String => &[Sibling::String],
            Self::Array | Self::Object => &[Sibling::Json],
        }
    }

    /// As serde and the plain walk call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Long | Self::Double => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// A column beside `name` for values that `name` does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sibling {
    Bool,
    Long,
    Double,
    String,
    /// Arrays and objects as their text.
    Json,
}

impl Sibling {
    pub(super) fn name(self, of: &str) -> String {
        let kind = match self {
            Self::Json => "json".to_owned(),
            typed => typed.kind().name(),
        };
        format!("{of}__{kind}")
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Long => Kind::Long,
            Self::Double => Kind::Double,
            Self::String | Self::Json => Kind::String,
        }
    }
}

/// `value` as text, if it is one JSON object.
pub(super) fn object(value: &[u8]) -> Result<&str, Reason> {
    let text: &RawValue = serde_json::from_slice(value).map_err(|error| not_json(&error))?;
    let text = text.get();
    match Type::of(text) {
        Type::Object => Ok(text),
        other => Err(Reason::NotAnObject {
            found: other.name(),
        }),
    }
}

pub(super) fn not_json(error: &Error) -> Reason {
    Reason::NotJson(error.to_string())
}

/// Calls `see` with every member of an object; what it answers ends the walk.
pub(super) fn each_member<E>(
    object: &str,
    see: impl FnMut(String, &str) -> Result<(), E>,
) -> Result<Result<(), E>, Error> {
    let mut failed = None;
    let mut text = serde_json::Deserializer::from_str(object);
    let each = Each {
        see,
        failed: &mut failed,
    };
    ended(each.deserialize(&mut text), failed)
}

/// As [`each_member`], for the items of an array.
pub(super) fn each_item<E>(
    array: &str,
    mut see: impl FnMut(&str) -> Result<(), E>,
) -> Result<Result<(), E>, Error> {
    each_member(array, |_, item| see(item))
}

fn ended<E>(walked: Result<(), Error>, failed: Option<E>) -> Result<Result<(), E>, Error> {
    match failed {
        Some(failed) => Ok(Err(failed)),
        None => walked.map(Ok),
    }
}

/// Items come with an empty name.
struct Each<'a, F, E> {
    see: F,
    failed: &'a mut Option<E>,
}

impl<F: FnMut(String, &str) -> Result<(), E>, E> Each<'_, F, E> {
    fn see<S: serde::de::Error>(&mut self, name: String, value: &RawValue) -> Result<(), S> {
        (self.see)(name, value.get()).map_err(|failed| {
            *self.failed = Some(failed);
            S::custom("")
        })
    }
}

impl<'de, F, E> DeserializeSeed<'de> for Each<'_, F, E>
where
    F: FnMut(String, &str) -> Result<(), E>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de, F, E> Visitor<'de> for Each<'_, F, E>
where
    F: FnMut(String, &str) -> Result<(), E>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, value)) = members.next_entry::<String, &RawValue>()? {
            self.see(name, value)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            self.see(String::new(), item)?;
        }
        Ok(())
    }
}

/// False for a value that holds nothing but nulls, at whatever depth: null, `[]`, `{"a":[null]}`.
/// `text` was checked to be one JSON value.
pub(crate) fn says_something(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = behind_string(bytes, at);
                let next = bytes[at.min(bytes.len())..]
                    .iter()
                    .find(|byte| !byte.is_ascii_whitespace());
                if next != Some(&b':') {
                    return true;
                }
            }
            b'n' => at += "null".len(),
            b't' | b'f' | b'-' | b'0'..=b'9' => return true,
            // Brackets, commas, colons, blanks.
            _ => at += 1,
        }
    }
    false
}

/// The place behind the string that begins at `at`.
fn behind_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return at,
        }
    }
}
