//! What can be set for a subject, or for all: how new schemas have to fit old ones, and what may
//! change at all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Refusal;

/// How a new schema of a subject must fit the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    None,
    /// Readers of the new schema understand what the last one wrote.
    #[default]
    Backward,
    BackwardTransitive,
    /// Readers of the last schema understand what the new one writes.
    Forward,
    ForwardTransitive,
    /// Both.
    Full,
    FullTransitive,
}

impl Level {
    const ALL: [(Self, &'static str); 7] = [
        (Self::None, "NONE"),
        (Self::Backward, "BACKWARD"),
        (Self::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (Self::Forward, "FORWARD"),
        (Self::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (Self::Full, "FULL"),
        (Self::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// In either case of letters.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, n)| n.eq_ignore_ascii_case(name));
        found.map(|(level, _)| *level)
    }

    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(level, _)| *level == self);
        found.map_or("NONE", |(_, name)| name)
    }

    /// Whether every older version counts, or only the last one.
    pub fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }

    /// Whether the new schema must read what older ones wrote.
    pub fn reads_old(self) -> bool {
        matches!(
            self,
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    /// Whether older schemas must read what the new one writes.
    pub fn is_read_by_old(self) -> bool {
        matches!(
            self,
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive
        )
    }
}

/// What may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    #[default]
    ReadWrite,
    ReadOnly,
    /// Set for all: read-only, whatever is set for a subject.
    #[serde(rename = "READONLY_OVERRIDE")]
    ReadOnlyOverride,
    /// Schemas come with the ids and versions they had elsewhere, and are not compared.
    Import,
}

impl Mode {
    const ALL: [(Self, &'static str); 4] = [
        (Self::ReadWrite, "READWRITE"),
        (Self::ReadOnly, "READONLY"),
        (Self::ReadOnlyOverride, "READONLY_OVERRIDE"),
        (Self::Import, "IMPORT"),
    ];

    /// In either case of letters.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, n)| n.eq_ignore_ascii_case(name));
        found.map(|(mode, _)| *mode)
    }

    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(mode, _)| *mode == self);
        found.map_or("READWRITE", |(_, name)| name)
    }

    pub fn is_read_only(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadOnlyOverride)
    }
}

/// Everything set for a subject, or for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    #[serde(default)]
    pub config: Config,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

impl Settings {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The settings of the `/config` routes. What is `None` is not set here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Register and look up schemas in their normal form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// This subject is another name of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// A property of metadata: only versions where it has the same value are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Config {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These settings, and below them those of `all`.
    pub fn over(&self, all: &Self) -> Self {
        Self {
            level: self.level.or(all.level),
            normalize: self.normalize.or(all.normalize),
            // The name of one subject, and so of no use to the others.
            alias: self.alias.clone(),
            group: self.group.clone().or_else(|| all.group.clone()),
        }
    }

    /// The level that holds; Confluent's default if nobody set one.
    pub fn level(&self) -> Level {
        self.level.unwrap_or_default()
    }
}

/// A change of a [`Config`]: what is not named stays, what is `null` goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigUpdate {
    level: Option<Option<Level>>,
    normalize: Option<Option<bool>>,
    alias: Option<Option<String>>,
    group: Option<Option<String>>,
}

/// Settings of Confluent's registry that change what it does and are not there.
const UNSUPPORTED: [&str; 9] = [
    "aliasForDeks",
    "validateFields",
    "validateNewSchemas",
    "validateRules",
    "compatibilityPolicy",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
];

impl ConfigUpdate {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// A value is of the wrong form, or of a setting that is not there; settings nobody knows are
    /// passed over, as Confluent's registry does.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, Refusal> {
        let is_asked = |name: &&&str| {
            let value = body.get(**name);
            !matches!(value, None | Some(Value::Null | Value::Bool(false)))
        };
        if let Some(name) = UNSUPPORTED.iter().find(is_asked) {
            return Err(Refusal::NotPermitted(format!(
                "The setting {name} is not supported by this registry"
            )));
        }
        let text = |name: &str| {
            let value = body.get(name)?;
            Some(match value {
                Value::Null => Ok(None),
                Value::String(text) => Ok(Some(text.clone())),
                _ => Err(Refusal::BadRequest(format!("{name} must be a string"))),
            })
        };
        let level = text("compatibility").transpose()?.map(|name| {
            let found = name.as_deref().map(Level::named);
            found
                .map(|level| level.ok_or(Refusal::InvalidLevel))
                .transpose()
        });
        let normalize = body.get("normalize").map(|value| match value {
            Value::Null => Ok(None),
            Value::Bool(yes) => Ok(Some(*yes)),
            _ => Err(Refusal::BadRequest("normalize must be a boolean".into())),
        });
        let alias = text("alias").transpose()?.map(|name| {
            let named = name.filter(|name| !name.is_empty());
            named.map(|name| crate::subject(&name)).transpose()
        });
        Ok(Self {
            level: level.transpose()?,
            normalize: normalize.transpose()?,
            alias: alias.transpose()?,
            group: text("compatibilityGroup").transpose()?,
        })
    }

    /// `config` with the change made.
    pub fn apply(&self, config: &Config) -> Config {
        Config {
            level: self.level.unwrap_or(config.level),
            normalize: self.normalize.unwrap_or(config.normalize),
            alias: self.alias.clone().unwrap_or_else(|| config.alias.clone()),
            group: self.group.clone().unwrap_or_else(|| config.group.clone()),
        }
    }
}
