//! `tidelog.table.mode`: how the values of a topic become columns.
//!
//! ```text
//! mode   = "disabled" | "key_value" | "inline" | "inferred" | "auto" | "value_schema_id_prefix"
//!        | "value_schema_latest" [":" option {"," option}]
//! option = "subject=" name | "protobuf_name=" full name of a message
//! ```
//! The words are Redpanda's where it has one.

use std::fmt;

/// How records become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableMode {
    /// They do not.
    Disabled,
    /// Key and value stay bytes.
    KeyValue,
    /// JSON values described by this schema text, a JSON object.
    Inline { schema: String },
    /// JSON values whose first records say what the columns are.
    Inferred,
    /// As `Inferred` if the first records are JSON objects, else as `KeyValue`.
    Auto,
    /// Every value begins with the id of its schema, or a header names it.
    SchemaIdPrefix,
    /// Values are bare and of the newest schema of a subject.
    SchemaLatest(LatestSchema),
}

/// Where the schema of bare values is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatestSchema {
    /// `None`: the topic's name and `-value`.
    pub subject: Option<String>,
    /// Which message of a Protobuf schema values are; `None`: its first.
    pub protobuf_name: Option<String>,
}

const INLINE: &str = "inline";
const LATEST: &str = "value_schema_latest";
const PREFIX: &str = "value_schema_id_prefix";
const USE: &str = "use disabled, key_value, inline, inferred, auto, value_schema_id_prefix or \
                   value_schema_latest[:subject=NAME,protobuf_name=NAME]";

impl TableMode {
    /// Reads the setting; `schema` is what `tidelog.table.schema` says, which only `inline` reads.
    /// Total: a text that is none, and `inline` without a schema, count as `Disabled`.
    pub(super) fn resolve(text: &str, schema: String) -> Self {
        match text.trim() {
            "key_value" => Self::KeyValue,
            INLINE if !schema.trim().is_empty() => Self::Inline { schema },
            "inferred" => Self::Inferred,
            "auto" => Self::Auto,
            PREFIX => Self::SchemaIdPrefix,
            text => match text.strip_prefix(LATEST).map(latest) {
                Some(Ok(latest)) => Self::SchemaLatest(latest),
                _ => Self::Disabled,
            },
        }
    }

    /// True if a schema registry says what values are.
    pub fn needs_registry(&self) -> bool {
        matches!(self, Self::SchemaIdPrefix | Self::SchemaLatest(_))
    }
}

impl fmt::Display for TableMode {
    /// As the setting spells it, without options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::KeyValue => "key_value",
            Self::Inline { .. } => INLINE,
            Self::Inferred => "inferred",
            Self::Auto => "auto",
            Self::SchemaIdPrefix => PREFIX,
            Self::SchemaLatest(_) => LATEST,
        })
    }
}

pub(super) fn check_mode(value: &str) -> Result<(), String> {
    match value.trim() {
        "disabled" | "key_value" | INLINE | "inferred" | "auto" | PREFIX => Ok(()),
        value => match value.strip_prefix(LATEST) {
            Some(options) => latest(options).map(|_| ()),
            None => Err(USE.into()),
        },
    }
}

/// The options behind `value_schema_latest`.
fn latest(options: &str) -> Result<LatestSchema, String> {
    let mut found = LatestSchema::default();
    let Some(options) = options.strip_prefix(':') else {
        return match options {
            "" => Ok(found),
            _ => Err(USE.into()),
        };
    };
    for option in options.split(',') {
        let place = match option.split_once('=') {
            Some(("subject", _)) => &mut found.subject,
            Some(("protobuf_name", _)) => &mut found.protobuf_name,
            _ => return Err(format!("no option {option:?}; {USE}")),
        };
        let name = option.split_once('=').map_or("", |(_, name)| name.trim());
        if name.is_empty() {
            return Err(format!("{option:?} names nothing; {USE}"));
        }
        if place.replace(name.to_owned()).is_some() {
            return Err(format!("{option:?} is an option given twice; {USE}"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_is_what_is_resolved() {
        let named = |subject: Option<&str>, protobuf_name: Option<&str>| {
            TableMode::SchemaLatest(LatestSchema {
                subject: subject.map(Into::into),
                protobuf_name: protobuf_name.map(Into::into),
            })
        };
        for (text, expected) in [
            ("disabled", TableMode::Disabled),
            (" key_value ", TableMode::KeyValue),
            ("inferred", TableMode::Inferred),
            ("auto", TableMode::Auto),
            ("value_schema_id_prefix", TableMode::SchemaIdPrefix),
            ("value_schema_latest", named(None, None)),
            ("value_schema_latest:subject=a.b", named(Some("a.b"), None)),
            (
                "value_schema_latest:protobuf_name=x.Y,subject=a",
                named(Some("a"), Some("x.Y")),
            ),
        ] {
            assert_eq!(check_mode(text), Ok(()), "{text}");
            let mode = TableMode::resolve(text, String::new());
            assert_eq!(mode, expected, "{text}");
        }
        for text in [
            "",
            "json",
            "value_schema_latest:",
            "value_schema_latest:subject=",
            "value_schema_latest:subject",
            "value_schema_latest:topic=a",
            "value_schema_latest:subject=a,subject=b",
            "value_schema_latestsubject=a",
        ] {
            let error = check_mode(text).unwrap_err();
            assert!(error.contains("value_schema_latest["), "{text}: {error}");
            let mode = TableMode::resolve(text, String::new());
            assert_eq!(mode, TableMode::Disabled, "{text}");
        }
        let schema = || "{}".to_owned();
        let inline = TableMode::resolve("inline", schema());
        assert_eq!(inline, TableMode::Inline { schema: schema() });
    }
}
