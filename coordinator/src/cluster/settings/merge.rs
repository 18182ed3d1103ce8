//! How records of a keyed table become its rows, as the settings have it.
//!
//! Here they are words. What they mean for a table's columns, and whether they fit them, is said by
//! who folds its records, before a topic is made. From then on they stay: a row is read by the rule
//! that made it.

use std::collections::BTreeMap;

use super::Overrides;
use super::kind::{ConfigError, list_items};
use super::table::{
    CLEANUP_POLICY, MERGE, MERGE_AGGREGATES, MERGE_DELETES, MERGE_ENGINE, MERGE_IMAGE,
    MERGE_VERSION_COLUMN, TABLE_KEY, TopicConfig,
};

/// A merge engine, and what was set of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeSettings {
    /// `last_row`, `first_row`, `versioned` or `aggregation`.
    pub engine: String,
    /// By the engine's own names: `merge`, `deletes`, `image`, `version.column`, `agg.<column>`.
    pub options: BTreeMap<String, String>,
}

/// Settings that are an option each, and the engine's name of it. A default is no option.
const OPTIONS: [(&TopicConfig, &str); 4] = [
    (&MERGE, "merge"),
    (&MERGE_DELETES, "deletes"),
    (&MERGE_IMAGE, "image"),
    (&MERGE_VERSION_COLUMN, "version.column"),
];

/// Every setting of a merge engine.
pub(crate) const MERGE_CONFIGS: [&TopicConfig; 6] = [
    &MERGE_ENGINE,
    &MERGE,
    &MERGE_DELETES,
    &MERGE_IMAGE,
    &MERGE_VERSION_COLUMN,
    &MERGE_AGGREGATES,
];

impl MergeSettings {
    /// What a topic's own settings say; no broker-level name stands behind them. Total: a text that
    /// no longer parses counts as its default.
    pub(crate) fn of(overrides: &Overrides) -> Self {
        let named = OPTIONS.iter().filter_map(|(config, option)| {
            let value = value(overrides, config);
            (value != config.default).then(|| ((*option).to_owned(), value))
        });
        let aggregates = value(overrides, &MERGE_AGGREGATES);
        let columns = list_items(&aggregates)
            .into_iter()
            .filter_map(aggregate)
            .map(|(column, function)| (format!("agg.{column}"), function.to_owned()));
        Self {
            engine: value(overrides, &MERGE_ENGINE),
            options: named.chain(columns).collect(),
        }
    }

    /// Whether rows are made of columns; else they are records' values as they came.
    pub fn reads_columns(&self) -> bool {
        match self.engine.as_str() {
            "last_row" => self.options.contains_key("merge"),
            "first_row" => false,
            _ => true,
        }
    }

    /// Whether the changelog has the row before an update.
    pub fn shows_row_before(&self) -> bool {
        self.options
            .get("image")
            .is_none_or(|image| image == "full")
    }

    /// Whether the newest record of each key makes the table that all of them make.
    pub(super) fn is_compactable(&self) -> bool {
        let deletes = self.options.get("deletes").map(String::as_str);
        self.engine == "last_row"
            && !self.reads_columns()
            && matches!(deletes, None | Some("allow"))
    }
}

/// Whether the settings of a merge engine have a keyed table that they are for, and nothing asks for
/// what it would break.
pub(super) fn check_merge(overrides: &Overrides) -> Result<(), ConfigError> {
    let is_set = |config: &TopicConfig| value(overrides, config) != config.default;
    let is_keyed = is_set(&TABLE_KEY);
    if let Some(config) = MERGE_CONFIGS.into_iter().find(|config| is_set(config))
        && !is_keyed
    {
        let reason = "has no effect without tidelog.table.key: set both, or leave it out";
        return Err(ConfigError::conflict(config.name, reason));
    }
    let policies = overrides.get(CLEANUP_POLICY.name).map(String::as_str);
    let compacts = list_items(policies.unwrap_or_default()).contains(&"compact");
    if compacts && !MergeSettings::of(overrides).is_compactable() {
        let reason = "compact would remove records that rows are made of: with this merge engine leave it out";
        return Err(ConfigError::conflict(CLEANUP_POLICY.name, reason));
    }
    let aggregates = value(overrides, &MERGE_AGGREGATES);
    let mut seen = BTreeMap::new();
    for (column, function) in list_items(&aggregates).into_iter().filter_map(aggregate) {
        if let Some(other) = seen.insert(column, function) {
            let reason = format!("column {column} cannot be both {other} and {function}");
            return Err(ConfigError::conflict(MERGE_AGGREGATES.name, reason));
        }
    }
    Ok(())
}

/// `column:function`.
pub(super) fn check_aggregate(item: &str) -> Result<(), String> {
    match aggregate(item) {
        Some(_) => Ok(()),
        None => Err(format!(
            "{item:?} is not COLUMN:FUNCTION, such as total:sum"
        )),
    }
}

fn aggregate(item: &str) -> Option<(&str, &str)> {
    let (column, function) = item.split_once(':')?;
    let (column, function) = (column.trim(), function.trim());
    (!column.is_empty() && !function.is_empty()).then_some((column, function))
}

/// The value in force: what was set, if its row still takes it.
fn value(overrides: &Overrides, config: &TopicConfig) -> String {
    let set = overrides.get(config.name).map(|text| text.trim());
    let set = set.filter(|text| config.kind.check(text).is_ok());
    set.unwrap_or(config.default).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{BrokerSettings, Layers, TopicSettings, check_topic};
    use super::*;

    const KEY: (&str, &str) = ("tidelog.table.key", "record_key");
    const MODE: (&str, &str) = ("tidelog.table.mode", "key_value");
    const SUMS: (&str, &str) = ("tidelog.table.merge-engine", "aggregation");

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn check(pairs: &[(&str, &str)]) -> Result<(), String> {
        let settings = BrokerSettings::new([]);
        let layers = Layers::new(&settings, None, None);
        let checked = check_topic(&Overrides::new(), &overrides(pairs), &layers, 3);
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn settings_become_an_engine_with_its_options() {
        let merge = MergeSettings::of(&overrides(&[
            SUMS,
            ("tidelog.table.deletes", "disable"),
            ("tidelog.table.image", "full"),
            (
                "tidelog.table.aggregates",
                "total:sum, names: listagg(:) ,total:sum",
            ),
        ]));
        let options: Vec<_> = merge
            .options
            .iter()
            .map(|(a, b)| (&a[..], &b[..]))
            .collect();
        let expected = [
            ("agg.names", "listagg(:)"),
            ("agg.total", "sum"),
            ("deletes", "disable"),
        ];
        assert_eq!(
            (&merge.engine[..], &options[..]),
            ("aggregation", &expected[..])
        );
        assert!(merge.reads_columns());
        let unset = MergeSettings::of(&overrides(&[("tidelog.table.merge-engine", "newest")]));
        assert_eq!((&unset.engine[..], unset.options.len()), ("last_row", 0));
        assert!(unset.is_compactable() && !unset.reads_columns());
    }

    #[test]
    fn what_has_no_effect_or_breaks_the_table_is_refused() {
        let sums = |aggregates| check(&[KEY, MODE, SUMS, ("tidelog.table.aggregates", aggregates)]);
        assert_eq!(sums("a:sum,b:max"), Ok(()));
        assert!(sums("a").unwrap_err().contains("COLUMN:FUNCTION"));
        assert!(
            sums("a:sum,a:max")
                .unwrap_err()
                .contains("both sum and max")
        );
        let keyless = check(&[MODE, SUMS]).unwrap_err();
        assert!(keyless.contains("without tidelog.table.key"), "{keyless}");
        let compacted = |pair| check(&[KEY, MODE, pair, ("cleanup.policy", "delete,compact")]);
        assert_eq!(compacted(("tidelog.table.deletes", "allow")), Ok(()));
        for broken in [
            SUMS,
            ("tidelog.table.deletes", "ignore"),
            ("tidelog.table.merge", "partial"),
            ("tidelog.table.merge-engine", "first_row"),
        ] {
            let error = compacted(broken).unwrap_err();
            assert!(error.starts_with("cleanup.policy"), "{error}");
        }
    }

    #[test]
    fn what_a_broker_compacts_by_default_leaves_rows_whole() {
        let settings = BrokerSettings::new([]);
        let cluster = overrides(&[("log.cleanup.policy", "compact")]);
        let layers = Layers::new(&settings, None, Some(&cluster));
        let compacts = |pairs: &[(&str, &str)]| {
            let overrides = overrides(pairs);
            let layers = layers.with_topic(&overrides);
            TopicSettings::resolve(&layers).cleanup.compact
        };
        assert!(compacts(&[KEY, MODE]));
        assert!(!compacts(&[KEY, MODE, SUMS]));
    }
}
