//! A JSON value whose members stay in the order of the text.
//!
//! A schema is compared and handed out as a text, with all the properties its author gave it, and its
//! order is that of the columns: so it has to survive reading.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// One JSON value. Its `Display` is the text without blanks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<Member>),
}

/// A name and its value.
pub(crate) type Member = (String, Tree);

/// What a name that stands twice in an object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twice {
    /// The text is none.
    Refused,
    /// The last one counts, as for most parsers.
    LastCounts,
}

impl Tree {
    /// Reads a text; nesting is bounded by the parser (128).
    pub(crate) fn parse(text: &str, twice: Twice) -> Result<Self, serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let tree = Reader { twice }.deserialize(&mut parser)?;
        parser.end()?;
        Ok(tree)
    }

    /// The member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        member(self.as_object()?, name)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&[Member]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The value at a JSON pointer (RFC 6901), without its `#`.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        let Some(rest) = pointer.strip_prefix('/') else {
            return pointer.is_empty().then_some(self);
        };
        rest.split('/').try_fold(self, |value, step| {
            let name = step.replace("~1", "/").replace("~0", "~");
            match value {
                Self::Array(items) => items.get(name.parse::<usize>().ok()?),
                value => value.get(&name),
            }
        })
    }

    /// The same value with the members of all objects in the order of their names: its text is equal
    /// for equal values.
    pub(crate) fn sorted(&self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.iter().map(Self::sorted).collect()),
            Self::Object(members) => {
                let sorted = members.iter().map(|(name, of)| (name.clone(), of.sorted()));
                let mut members: Vec<_> = sorted.collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Object(members)
            }
            plain => plain.clone(),
        }
    }
}

/// The member of this name; the last one, where names may stand twice.
pub(crate) fn member<'t>(members: &'t [Member], name: &str) -> Option<&'t Tree> {
    let found = members.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, value)| value)
}

/// A text as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{value}", quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
struct Reader {
    twice: Twice,
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<Tree, D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // The parser gives finite numbers only.
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object: Vec<Member> = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if self.twice == Twice::Refused && !names.insert(name.clone()) {
                let twice = format!("the member {name:?} is given twice");
                return Err(de::Error::custom(twice));
            }
            object.push((name, value));
        }
        Ok(Tree::Object(object))
    }
}
