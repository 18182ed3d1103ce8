//! What values a setting takes: its type, its range, and the errors a bad value gets.

use std::collections::HashSet;

use thiserror::Error;

/// Longest value of one setting in bytes: DescribeConfigs below version 4 counts a string's length
/// in 15 bits, so a longer value could be stored but never shown.
pub const VALUE_BYTES_MAX: usize = 32_767;

/// Values longer than this are cut in error messages.
const SHOWN_CHARS_MAX: usize = 64;

/// A setting's type as clients see it (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
    /// Text whose value is never shown.
    Password,
    /// Of a setting nobody here knows.
    Unknown,
}

/// The values a setting accepts. Ranges include both ends.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Boolean,
    Int {
        min: i32,
        max: i32,
    },
    Long {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Comma-separated words; a repeat counts once. An empty `allowed` takes any word.
    List {
        allowed: &'static [&'static str],
        items_min: usize,
    },
    /// Comma-separated items with a grammar of their own; the check says what is wrong with one.
    Items(fn(&str) -> Result<(), String>),
    /// Text with its own grammar; the check says what is wrong.
    Text(fn(&str) -> Result<(), String>),
}

impl Kind {
    /// The type clients are told.
    pub fn config_type(self) -> ConfigType {
        match self {
            Kind::Boolean => ConfigType::Boolean,
            Kind::Int { .. } => ConfigType::Int,
            Kind::Long { .. } => ConfigType::Long,
            Kind::Double { .. } => ConfigType::Double,
            Kind::List { .. } | Kind::Items(_) => ConfigType::List,
            Kind::Choice(_) | Kind::Text(_) => ConfigType::String,
        }
    }

    /// Whether APPEND and SUBTRACT make sense.
    pub fn is_list(self) -> bool {
        matches!(self, Kind::List { .. } | Kind::Items(_))
    }

    /// Checks `value`; the error is the reason, to be put behind the setting's name and value.
    pub fn check(self, value: &str) -> Result<(), String> {
        match self {
            Kind::Boolean => parse_bool(value)
                .map(|_| ())
                .ok_or_else(|| "must be true or false".into()),
            Kind::Int { min, max } => in_range(value, min, max, "a 32-bit whole number"),
            Kind::Long { min, max } => in_range(value, min, max, "a 64-bit whole number"),
            Kind::Double { min, max } => in_range(value, min, max, "a number"),
            Kind::Choice(words) => match words.contains(&value.trim()) {
                true => Ok(()),
                false => Err(format!("must be one of {}", words.join(", "))),
            },
            Kind::List { allowed, items_min } => check_list(value, allowed, items_min),
            Kind::Items(check) => list_items(value).into_iter().try_for_each(check),
            Kind::Text(check) => check(value),
        }
    }

    /// A value that passed the check, as Kafka shows it: without blanks around it, a list without
    /// repeats.
    pub(super) fn normal(self, value: &str) -> String {
        match self {
            Kind::Boolean => value.trim().to_ascii_lowercase(),
            Kind::List { .. } | Kind::Items(_) => {
                let mut seen = HashSet::new();
                let mut items = list_items(value);
                items.retain(|item| seen.insert(*item));
                items.join(",")
            }
            Kind::Int { .. } | Kind::Long { .. } | Kind::Double { .. } | Kind::Choice(_) => {
                value.trim().to_owned()
            }
            Kind::Text(_) => value.to_owned(),
        }
    }
}

/// `true` and `false` in any case, as Kafka reads them.
pub(super) fn parse_bool(value: &str) -> Option<bool> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The items of a comma-separated list, trimmed; an empty text has none.
pub(crate) fn list_items(value: &str) -> Vec<&str> {
    match value.trim() {
        "" => Vec::new(),
        text => text.split(',').map(str::trim).collect(),
    }
}

fn in_range<T>(value: &str, min: T, max: T, what: &str) -> Result<(), String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    match value.trim().parse::<T>() {
        Err(_) => Err(format!("must be {what}")),
        Ok(number) if number >= min && number <= max => Ok(()),
        Ok(_) => Err(format!("must be between {min} and {max}")),
    }
}

fn check_list(value: &str, allowed: &[&str], items_min: usize) -> Result<(), String> {
    let items = list_items(value);
    if items.len() < items_min {
        return Err(format!("must name at least one of {}", allowed.join(", ")));
    }
    if items.contains(&"") {
        return Err("has an empty item".into());
    }
    if !allowed.is_empty() && !items.iter().all(|item| allowed.contains(item)) {
        return Err(format!("may only name {}", allowed.join(", ")));
    }
    Ok(())
}

/// No item of a list is empty or repeated.
pub(super) fn check_items(items: &[&str]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for item in items {
        if item.is_empty() {
            return Err("has an empty item".into());
        }
        if !seen.insert(item) {
            return Err(format!("names {item} twice"));
        }
    }
    Ok(())
}

/// Why a setting or its value was refused. Kafka's INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("unknown {scope} setting {name}{}", hint(nearest))]
    Unknown {
        scope: &'static str,
        name: String,
        nearest: Option<&'static str>,
    },
    #[error("invalid value {value:?} for {name}: {reason}")]
    Invalid {
        name: String,
        value: String,
        reason: String,
    },
    #[error("{name} has no value: give one, or delete the setting to return to its default")]
    Null { name: String },
    #[error("{name} is given more than once")]
    Duplicate { name: String },
    #[error("{name} is not a list: use SET instead of APPEND or SUBTRACT")]
    NotAList { name: String },
    #[error("{name} is read only: set it in the broker's file or flags and restart")]
    ReadOnly { name: String },
    #[error("the value of {name} has {bytes} bytes: at most {VALUE_BYTES_MAX} are kept")]
    TooLong { name: String, bytes: usize },
    /// Each value is legal, but not beside the others.
    #[error("{name}: {reason}")]
    Conflict { name: String, reason: String },
}

impl ConfigError {
    pub(super) fn unknown(
        scope: &'static str,
        name: &str,
        known: impl Iterator<Item = &'static str>,
    ) -> Self {
        ConfigError::Unknown {
            scope,
            name: shortened(name),
            nearest: nearest(name, known),
        }
    }

    pub(super) fn invalid(name: &str, value: &str, reason: String) -> Self {
        ConfigError::Invalid {
            name: name.into(),
            value: shortened(value),
            reason,
        }
    }

    pub(super) fn conflict(name: &str, reason: impl Into<String>) -> Self {
        ConfigError::Conflict {
            name: name.into(),
            reason: reason.into(),
        }
    }
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The known name a person most likely meant, if one is near: at most a third of it mistyped.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Edit distance costs the product of both lengths; no real name is this long.
    if name.len() > 128 {
        return None;
    }
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .map(|(_, candidate)| candidate)
}
