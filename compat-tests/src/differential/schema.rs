//! The shapes of Kafka's messages, read from `differential/messages.txt`.
//!
//! Written down apart from the broker's own message types, so that a mistake in those is seen here and
//! not repeated, and so that the newest versions can be asked for before the broker has them.

use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Versions of an API, both ends included.
pub type Versions = RangeInclusive<i16>;

/// One API with the fields of both directions.
#[derive(Debug)]
pub struct Api {
    pub key: i16,
    pub name: String,
    pub versions: Versions,
    /// First version with compact lengths and tags; `i16::MAX` if none has them.
    pub flexible_from: i16,
    pub request: Vec<Field>,
    pub response: Vec<Field>,
}

impl Api {
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

/// One field in the versions that have it.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    pub versions: Versions,
    /// Versions in which the field may be null.
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    pub default: Value,
}

impl Field {
    pub fn is_in(&self, version: i16) -> bool {
        self.versions.contains(&version)
    }

    pub fn is_nullable(&self, version: i16) -> bool {
        self.nullable
            .as_ref()
            .is_some_and(|versions| versions.contains(&version))
    }
}

#[derive(Debug)]
pub enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    String,
    Uuid,
    Bytes,
    /// Bytes that hold record batches.
    Records,
    Struct(Vec<Field>),
    Array(Box<Kind>),
}

impl Kind {
    fn parse(text: &str) -> Result<Self> {
        if let Some(element) = text.strip_prefix("[]") {
            let element = if element.is_empty() { "{}" } else { element };
            return Ok(Self::Array(Box::new(Self::parse(element)?)));
        }
        Ok(match text {
            "{}" => Self::Struct(Vec::new()),
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "string" => Self::String,
            "uuid" => Self::Uuid,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            _ => bail!("no such type: {text}"),
        })
    }

    /// The fields of a structure, or of the elements of an array of structures.
    fn fields_mut(&mut self) -> Option<&mut Vec<Field>> {
        match self {
            Self::Struct(fields) => Some(fields),
            Self::Array(element) => element.fields_mut(),
            _ => None,
        }
    }

    fn default_value(&self) -> Value {
        match self {
            Self::Bool => false.into(),
            Self::String | Self::Bytes | Self::Records => "".into(),
            Self::Uuid => NO_UUID.into(),
            Self::Struct(_) => Value::Object(serde_json::Map::new()),
            Self::Array(_) => Value::Array(Vec::new()),
            Self::Float64 => 0.0.into(),
            _ => 0.into(),
        }
    }
}

/// The id that stands for none.
pub const NO_UUID: &str = "00000000000000000000000000000000";

/// All of Kafka's messages for clients, in ascending order of key.
#[derive(Debug)]
pub struct Messages {
    apis: Vec<Api>,
}

impl Messages {
    /// The table in this folder.
    pub fn kafka() -> Result<Self> {
        Self::parse(include_str!("../../differential/messages.txt"))
    }

    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    pub fn by_name(&self, name: &str) -> Result<&Api> {
        let found = self.apis.iter().find(|api| api.name == name);
        found.with_context(|| format!("no API is called {name}"))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut apis: Vec<Api> = Vec::new();
        let mut in_response = false;
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = || format!("line {}: {line}", index + 1);
            if !line.starts_with(' ') {
                apis.push(parse_api(line).with_context(place)?);
                continue;
            }
            let api = apis.last_mut().with_context(place)?;
            if matches!(line, " request" | " response") {
                in_response = line == " response";
                continue;
            }
            let fields = match in_response {
                true => &mut api.response,
                false => &mut api.request,
            };
            add_field(fields, &api.versions, line).with_context(place)?;
        }
        Ok(Self { apis })
    }
}

fn parse_api(line: &str) -> Result<Api> {
    let words: Vec<&str> = line.split(' ').collect();
    let (key, name, versions, flexible_from) = match words[..] {
        [key, name, versions] => (key, name, versions, i16::MAX),
        [key, name, versions, "flexible", first] => (key, name, versions, first.parse()?),
        _ => bail!("not KEY NAME VERSIONS [flexible FIRST]"),
    };
    Ok(Api {
        key: key.parse()?,
        name: name.to_owned(),
        versions: parse_versions(versions, &(0..=i16::MAX))?,
        flexible_from,
        request: Vec::new(),
        response: Vec::new(),
    })
}

/// Parses a field and hangs it below the last field of one depth less.
fn add_field(top: &mut Vec<Field>, within: &Versions, line: &str) -> Result<()> {
    let text = line.trim_start();
    let depth = (line.len() - text.len()) / 2;
    let mut fields = top;
    let mut within = within.clone();
    for _ in 1..depth {
        let parent = fields.last_mut().context("nothing stands above")?;
        within = parent.versions.clone();
        fields = parent
            .kind
            .fields_mut()
            .context("no structure stands above")?;
    }
    fields.push(parse_field(text, &within)?);
    Ok(())
}

fn parse_field(text: &str, within: &Versions) -> Result<Field> {
    let (text, default) = match text.split_once(" = ") {
        Some((text, default)) => (text, Some(default)),
        None => (text, None),
    };
    let mut words = text.split(' ');
    let name = words.next().context("no name")?;
    let kind = words.next().context("no type")?;
    let (kind, nullable) = match kind.split_once('?') {
        Some((kind, versions)) => (kind, Some(versions)),
        None => (kind, None),
    };
    let kind = Kind::parse(kind)?;
    let mut versions = within.clone();
    let mut tag = None;
    while let Some(word) = words.next() {
        match word {
            "tag" => tag = Some(words.next().context("no number of the tag")?.parse()?),
            _ => versions = parse_versions(word, within)?,
        }
    }
    let nullable = match nullable {
        Some("") => Some(versions.clone()),
        Some(some) => Some(parse_versions(some, &versions)?),
        None => None,
    };
    let default = match default {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        None => kind.default_value(),
    };
    Ok(Field {
        name: name.to_owned(),
        kind,
        versions,
        nullable,
        tag,
        default,
    })
}

/// `3`, `3-12` or `3+`, which ends where `within` does.
pub fn parse_versions(text: &str, within: &Versions) -> Result<Versions> {
    if let Some(first) = text.strip_suffix('+') {
        return Ok(first.parse()?..=*within.end());
    }
    match text.split_once('-') {
        Some((first, last)) => Ok(first.parse()?..=last.parse()?),
        None => {
            let only = text.parse()?;
            Ok(only..=only)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_and_is_in_order() {
        let messages = Messages::kafka().unwrap();
        assert!(messages.apis.is_sorted_by(|a, b| a.key < b.key));
        let fetch = messages.by_name("Fetch").unwrap();
        assert_eq!((fetch.key, fetch.flexible_from), (1, 12));
        assert_eq!(fetch.versions, 4..=18);
        let state = fetch
            .request
            .iter()
            .find(|field| field.name == "replica_state");
        assert_eq!(state.and_then(|field| field.tag), Some(1));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for text in [
            " request",
            "0 Produce",
            "0 P 1-2\n request\n  a int31",
            "0 P 1\n request\n    a int8",
        ] {
            assert!(Messages::parse(text).is_err(), "{text}");
        }
    }
}
