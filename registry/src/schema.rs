//! A schema as it is kept, and the numbers it goes by.

use std::fmt;
use std::str::FromStr;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Refusal;

/// The language a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Format {
    Avro,
    Protobuf,
    Json,
}

impl Format {
    /// In the order `GET /schemas/types` names them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Protobuf, Self::Avro];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }

    /// The format called `name` in the API.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number records carry; given by the registry, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SchemaId(pub i32);

/// The number of a schema within a subject, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version as callers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRef {
    Number(Version),
    /// `latest`, or -1.
    Latest,
}

impl VersionRef {
    /// # Errors
    /// The number is neither -1 nor at least 1.
    pub fn number(number: i32) -> Result<Self, Refusal> {
        match number {
            -1 => Ok(Self::Latest),
            1.. => Ok(Self::Number(Version(number))),
            _ => Err(Refusal::InvalidVersion(number.to_string())),
        }
    }
}

impl FromStr for VersionRef {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("latest") {
            return Ok(Self::Latest);
        }
        let number = trimmed.parse().ok();
        number.map_or_else(
            || Err(Refusal::InvalidVersion(text.to_owned())),
            Self::number,
        )
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(version) => version.fmt(f),
            Self::Latest => f.write_str("-1"),
        }
    }
}

/// What a schema calls `name` is the schema of a version of another subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    pub subject: String,
    /// Always one that was there when the reference was registered, never "latest".
    pub version: Version,
}

/// Everything that makes a schema this one and no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schema {
    pub format: Format,
    /// In the form [`crate::compat`] gives it.
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Tags and properties; kept as they came and given no meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Rules clients apply; kept as they came and given no meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
}

impl Schema {
    /// What it takes in memory, about.
    pub fn size_bytes(&self) -> usize {
        let reference = |one: &Reference| 64 + one.name.len() + one.subject.len();
        let value = |value: &Option<Value>| value.as_ref().map_or(0, value_bytes);
        let references: usize = self.references.iter().map(reference).sum();
        256 + self.text.len() + references + value(&self.metadata) + value(&self.rule_set)
    }

    /// The id some clients write into a header, the same wherever the schema is registered: an MD5 of
    /// text and references as Confluent's registry takes it, so that records keep their schema when
    /// they move; metadata and rules come in as JSON, which is our own way.
    pub fn guid(&self) -> String {
        let mut hash = Md5::new();
        hash.update(&self.text);
        for reference in &self.references {
            hash.update(&reference.name);
            hash.update(&reference.subject);
            hash.update(reference.version.0.to_be_bytes());
        }
        for value in [&self.metadata, &self.rule_set].into_iter().flatten() {
            hash.update([1]);
            hash.update(value.to_string());
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }
}

/// A JSON value in memory, about; the depth was bounded when it was parsed.
fn value_bytes(value: &Value) -> usize {
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + value_bytes(v)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
