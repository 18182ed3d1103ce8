//! What makes a topic a view of another one.

use super::Overrides;
use super::kind::{ConfigError, list_items};
use super::layers::Layers;
use super::table::{VIEW_COLUMNS, VIEW_FILTER, VIEW_FORMAT, VIEW_OF};

/// What the values of a view are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewFormat {
    /// One object for each row.
    Json,
    /// With the id of a schema in front, as Confluent's serializers have it.
    Avro,
    /// What happened to a row of a keyed table, in the envelope that Debezium writes.
    DebeziumJson,
}

/// How a topic shows the records of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSettings {
    /// Name of the topic with the records.
    pub of: String,
    /// Dotted names; empty for all columns of the values.
    pub columns: Vec<String>,
    /// Text of a predicate; empty for every row.
    pub filter: String,
    pub format: ViewFormat,
}

impl ViewSettings {
    /// `None` for a topic that is no view.
    pub(crate) fn resolve(layers: &Layers<'_>) -> Option<Self> {
        let of = layers.value(&VIEW_OF).trim().to_owned();
        let columns = layers.value(&VIEW_COLUMNS);
        let columns = list_items(&columns).into_iter().map(str::to_owned);
        (!of.is_empty()).then(|| Self {
            of,
            columns: columns.collect(),
            filter: layers.value(&VIEW_FILTER).trim().to_owned(),
            format: match layers.value(&VIEW_FORMAT).trim() {
                "avro" => ViewFormat::Avro,
                "debezium-json" => ViewFormat::DebeziumJson,
                _ => ViewFormat::Json,
            },
        })
    }
}

/// Whether the settings of a view are those of one, and nothing asks for what a view has not.
pub(super) fn check_view(overrides: &Overrides) -> Result<(), ConfigError> {
    let is_set = |name: &str| {
        overrides
            .get(name)
            .is_some_and(|text| !text.trim().is_empty())
    };
    let is_of_views = |name: &str| name.starts_with("tidelog.view.");
    let refused = match is_set(VIEW_OF.name) {
        true => overrides
            .keys()
            .find(|name| name.starts_with("tidelog.") && !is_of_views(name) && is_set(name)),
        false => overrides
            .keys()
            .find(|name| is_of_views(name) && is_set(name)),
    };
    match refused {
        None => Ok(()),
        Some(name) if is_of_views(name) => {
            let reason = "has no effect without tidelog.view.of: set both, or leave it out";
            Err(ConfigError::conflict(name, reason))
        }
        Some(name) => {
            let reason = "a view has no records of its own: set it for the topic it shows";
            Err(ConfigError::conflict(name, reason))
        }
    }
}

/// A view stays what it was made as, and nothing becomes one later.
pub(crate) fn check_unchanged(old: &Overrides, new: &Overrides) -> Result<(), ConfigError> {
    for fixed in [&VIEW_OF, &VIEW_COLUMNS, &VIEW_FILTER, &VIEW_FORMAT] {
        let text = |set: &Overrides| {
            let text = set.get(fixed.name).map_or(fixed.default, String::as_str);
            fixed.kind.normal(text)
        };
        if text(old) != text(new) {
            let reason = "is chosen when a topic is created: make a new topic";
            return Err(ConfigError::conflict(fixed.name, reason));
        }
    }
    Ok(())
}
