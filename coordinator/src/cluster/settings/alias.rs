//! Redpanda's names of topic settings, for tools and scripts that set those.
//!
//! An alias is read as the settings it stands for before anything else looks at a request, and only
//! those are kept. So both names may stand in one request where they say the same, as in one made of
//! what DescribeConfigs answered. What an alias asks for beyond what there is here is refused.
//!
//! | alias | stands for |
//! |---|---|
//! | `redpanda.iceberg.mode` | `tidelog.table.mode` and `tidelog.lake.enable`=true; `disabled`: the latter false |
//! | `redpanda.iceberg.invalid.record.action` | `tidelog.table.invalid.records`; `dlq_table` is `dead_letter` |
//! | `redpanda.iceberg.target.lag.ms` | `tidelog.lake.target.lag.ms` |
//! | `redpanda.iceberg.delete` | nothing: only `false`, tables outlive their topics |
//! | `redpanda.iceberg.partition.spec` | nothing: only `()`, tables are unpartitioned |

use super::entry::{ConfigEntry, ConfigSource, Synonym};
use super::kind::{ConfigError, ConfigType};
use super::layers::Layers;
use super::mode::check_mode;
use super::table::{LAKE_ENABLE, LAKE_TARGET_LAG_MS, TABLE_INVALID_RECORDS, TABLE_MODE};
use super::{TableMode, TopicConfig, TopicSettings};
use crate::cluster::{Alteration, ConfigEdit, EditOp};

/// A name that stands for settings of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alias {
    Mode,
    InvalidRecordAction,
    TargetLag,
    Delete,
    PartitionSpec,
}

const ALIASES: [Alias; 5] = [
    Alias::Mode,
    Alias::InvalidRecordAction,
    Alias::TargetLag,
    Alias::Delete,
    Alias::PartitionSpec,
];

impl Alias {
    fn named(name: &str) -> Option<Self> {
        ALIASES.into_iter().find(|alias| alias.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Mode => "redpanda.iceberg.mode",
            Self::InvalidRecordAction => "redpanda.iceberg.invalid.record.action",
            Self::TargetLag => "redpanda.iceberg.target.lag.ms",
            Self::Delete => "redpanda.iceberg.delete",
            Self::PartitionSpec => "redpanda.iceberg.partition.spec",
        }
    }

    /// The setting that goes back to its default with the alias; `None` where nothing is kept.
    const fn of(self) -> Option<&'static TopicConfig> {
        match self {
            Self::Mode => Some(&LAKE_ENABLE),
            Self::InvalidRecordAction => Some(&TABLE_INVALID_RECORDS),
            Self::TargetLag => Some(&LAKE_TARGET_LAG_MS),
            Self::Delete | Self::PartitionSpec => None,
        }
    }

    /// The settings that `value` stands for, or why there are none.
    fn read(self, value: &str) -> Result<Vec<(&'static str, String)>, String> {
        let value = value.trim();
        match self {
            Self::Mode if value == "disabled" => Ok(vec![(LAKE_ENABLE.name, "false".into())]),
            Self::Mode => match check_mode(value) {
                Ok(()) if is_theirs(value) => Ok(vec![
                    (TABLE_MODE.name, value.into()),
                    (LAKE_ENABLE.name, "true".into()),
                ]),
                _ => Err("must be disabled, key_value, value_schema_id_prefix or \
                          value_schema_latest[:subject=NAME,protobuf_name=NAME]; other modes are \
                          set by tidelog.table.mode"
                    .into()),
            },
            Self::InvalidRecordAction => match value {
                "drop" => Ok(vec![(TABLE_INVALID_RECORDS.name, "drop".into())]),
                "dlq_table" => Ok(vec![(TABLE_INVALID_RECORDS.name, "dead_letter".into())]),
                _ => Err("must be drop or dlq_table; other actions are set by \
                          tidelog.table.invalid.records"
                    .into()),
            },
            Self::TargetLag => Ok(vec![(LAKE_TARGET_LAG_MS.name, value.into())]),
            Self::Delete if value.eq_ignore_ascii_case("false") => Ok(Vec::new()),
            Self::Delete => Err(
                "must be false: a table outlives its topic here, until it is \
                                 dropped in the catalog"
                    .into(),
            ),
            Self::PartitionSpec if matches!(value, "" | "()") => Ok(Vec::new()),
            Self::PartitionSpec => Err(
                "must be (): tables are unpartitioned here, and sorted by partition and offset"
                    .into(),
            ),
        }
    }

    /// The value that stands for what is in force, if there is a word for that.
    fn shown(self, layers: &Layers<'_>) -> Option<String> {
        match self {
            Self::Mode => {
                let settings = TopicSettings::resolve(layers);
                let is_on = settings.lake.enabled && settings.table.mode != TableMode::Disabled;
                let mode = layers.value(&TABLE_MODE).trim().to_owned();
                match is_on {
                    true => Some(mode).filter(|mode| is_theirs(mode)),
                    false => Some("disabled".into()),
                }
            }
            Self::InvalidRecordAction => match layers.value(&TABLE_INVALID_RECORDS).trim() {
                "drop" => Some("drop".into()),
                "dead_letter" => Some("dlq_table".into()),
                _ => None,
            },
            Self::TargetLag => Some(layers.value(&LAKE_TARGET_LAG_MS).trim().to_owned()),
            Self::Delete => Some("false".into()),
            Self::PartitionSpec => Some("()".into()),
        }
    }

    const fn config_type(self) -> ConfigType {
        match self {
            Self::TargetLag => ConfigType::Long,
            Self::Delete => ConfigType::Boolean,
            Self::Mode | Self::InvalidRecordAction | Self::PartitionSpec => ConfigType::String,
        }
    }
}

/// Whether Redpanda has this mode too.
fn is_theirs(mode: &str) -> bool {
    mode == "key_value" || mode.starts_with("value_schema_")
}

/// One setting of a request: `None` for one that goes back to its default.
type Given = (String, Option<String>);

/// The settings of a topic to be made, without aliases.
///
/// # Errors
/// An alias has a value that nothing here stands for, is given twice, or contradicts another setting.
pub fn without_aliases(configs: Vec<Given>) -> Result<Vec<Given>, ConfigError> {
    if let Some((name, _)) = configs
        .iter()
        .find(|(name, value)| value.is_none() && Alias::named(name).is_some())
    {
        return Err(ConfigError::Null { name: name.clone() });
    }
    translated(configs)
}

impl Alteration {
    /// The same change of a topic's settings, without aliases.
    ///
    /// # Errors
    /// As [`without_aliases`].
    pub fn without_aliases(self) -> Result<Self, ConfigError> {
        let edits = match self {
            Self::Replace(configs) => return Ok(Self::Replace(without_aliases(configs)?)),
            Self::Edit(edits) => edits,
        };
        let (aliases, own): (Vec<_>, Vec<_>) = edits
            .into_iter()
            .partition(|edit| Alias::named(&edit.name).is_some());
        if aliases.is_empty() {
            return Ok(Self::Edit(own));
        }
        // Edits of lists stay as they are; the others are held against what aliases say.
        let (mut kept, sets): (Vec<_>, Vec<_>) = own
            .into_iter()
            .partition(|edit| matches!(edit.op, EditOp::Append | EditOp::Subtract));
        let aliases = aliases.into_iter().map(|edit| match edit.op {
            EditOp::Delete => Ok((edit.name, None)),
            EditOp::Set if edit.value.is_some() => Ok((edit.name, edit.value)),
            EditOp::Set => Err(ConfigError::Null { name: edit.name }),
            EditOp::Append | EditOp::Subtract => Err(ConfigError::NotAList { name: edit.name }),
        });
        let sets = sets.into_iter().map(|edit| match edit.op {
            EditOp::Delete => Ok((edit.name, None)),
            _ => Ok((edit.name, edit.value)),
        });
        let given = sets
            .chain(aliases)
            .collect::<Result<Vec<Given>, ConfigError>>()?;
        kept.extend(
            translated(given)?
                .into_iter()
                .map(|(name, value)| ConfigEdit {
                    op: match value {
                        Some(_) => EditOp::Set,
                        None => EditOp::Delete,
                    },
                    name,
                    value,
                }),
        );
        Ok(Self::Edit(kept))
    }
}

fn translated(given: Vec<Given>) -> Result<Vec<Given>, ConfigError> {
    let (aliases, mut own): (Vec<_>, Vec<_>) = given
        .into_iter()
        .partition(|(name, _)| Alias::named(name).is_some());
    for (place, (name, value)) in aliases.iter().enumerate() {
        if aliases[..place].iter().any(|(other, _)| other == name) {
            return Err(ConfigError::Duplicate { name: name.clone() });
        }
        for (stood_for, value) in meaning(name, value.as_deref())? {
            match own.iter().find(|(other, _)| other == stood_for) {
                None => own.push((stood_for.to_owned(), value)),
                Some((_, given)) if is_same(stood_for, given.as_deref(), value.as_deref()) => {}
                Some(_) => {
                    let reason = format!("stands for {stood_for}, which is given another value");
                    return Err(ConfigError::conflict(name, reason));
                }
            }
        }
    }
    Ok(own)
}

/// What an alias and its value stand for; without a value, what goes back to its default.
fn meaning(
    name: &str,
    value: Option<&str>,
) -> Result<Vec<(&'static str, Option<String>)>, ConfigError> {
    let Some(alias) = Alias::named(name) else {
        return Ok(Vec::new());
    };
    match value {
        None => Ok(alias
            .of()
            .map(|config| (config.name, None))
            .into_iter()
            .collect()),
        Some(value) => {
            let read = alias.read(value);
            let read = read.map_err(|reason| ConfigError::invalid(name, value, reason))?;
            let set = read.into_iter().map(|(name, value)| (name, Some(value)));
            Ok(set.collect())
        }
    }
}

/// Whether two values of the setting called `name` are one.
fn is_same(name: &str, one: Option<&str>, other: Option<&str>) -> bool {
    let normal = |text: &str| match TopicConfig::find(name) {
        Some(config) => config.kind.normal(text.trim()),
        None => text.to_owned(),
    };
    one.map(normal) == other.map(normal)
}

/// The entries of aliases, as DescribeConfigs shows them: those asked for by name, or all of a topic
/// that sets `tidelog.lake.enable` itself. One whose value has no word of Redpanda's is left out.
pub(super) fn entries(layers: &Layers<'_>, keys: Option<&[String]>) -> Vec<ConfigEntry> {
    let is_wanted = |alias: &Alias| match keys {
        Some(keys) => keys.iter().any(|key| key == alias.name()),
        None => layers.set_by_topic(&LAKE_ENABLE),
    };
    let wanted = ALIASES.into_iter().filter(is_wanted);
    let entry = |alias: Alias| {
        let value = alias.shown(layers)?;
        let of = alias.of().map(|config| layers.topic_entry(config));
        Some(ConfigEntry {
            name: alias.name().into(),
            value: Some(value),
            source: of.as_ref().map_or(ConfigSource::Default, |of| of.source),
            read_only: of.is_none(),
            sensitive: false,
            synonyms: of.map(|of| of.synonyms).unwrap_or_default(),
            config_type: alias.config_type(),
            doc: "Another product's name, taken for the settings that it stands for here.",
        })
    };
    wanted.filter_map(entry).collect()
}

/// The alias of a setting that a topic sets, as a place where its value could have come from.
pub(super) fn synonym_of(layers: &Layers<'_>, config: &TopicConfig) -> Option<Synonym> {
    let is_of = |alias: &Alias| alias.of().is_some_and(|of| of.name == config.name);
    let alias = ALIASES.into_iter().find(is_of)?;
    Some(Synonym {
        name: alias.name().into(),
        value: Some(alias.shown(layers)?),
        source: ConfigSource::Topic,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{BrokerSettings, Overrides};
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Vec<Given> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.to_string(), Some(value.to_string())))
            .collect()
    }

    #[test]
    fn an_alias_is_read_as_what_it_stands_for() {
        const MODE: &str = "redpanda.iceberg.mode";
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);
        let cases: &[Case<'_>] = &[
            (&[("retention.ms", "1")], &[("retention.ms", "1")]),
            (
                &[(MODE, "value_schema_latest:subject=a")],
                &[
                    ("tidelog.table.mode", "value_schema_latest:subject=a"),
                    ("tidelog.lake.enable", "true"),
                ],
            ),
            (&[(MODE, "disabled")], &[("tidelog.lake.enable", "false")]),
            (
                &[("tidelog.lake.enable", "TRUE"), (MODE, "key_value")],
                &[
                    ("tidelog.lake.enable", "TRUE"),
                    ("tidelog.table.mode", "key_value"),
                ],
            ),
            (
                &[("redpanda.iceberg.invalid.record.action", "dlq_table")],
                &[("tidelog.table.invalid.records", "dead_letter")],
            ),
            (
                &[
                    ("redpanda.iceberg.target.lag.ms", "5000"),
                    ("redpanda.iceberg.delete", "false"),
                    ("redpanda.iceberg.partition.spec", "()"),
                ],
                &[("tidelog.lake.target.lag.ms", "5000")],
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(without_aliases(set(given)), Ok(set(expected)), "{given:?}");
        }
    }

    #[test]
    fn what_an_alias_cannot_mean_here_is_refused() {
        let refused: [(&[(&str, &str)], &str); 7] = [
            (
                &[("redpanda.iceberg.mode", "inline")],
                "other modes are set by",
            ),
            (
                &[("redpanda.iceberg.mode", "value_schema_latest:a=b")],
                "must be disabled",
            ),
            (&[("redpanda.iceberg.delete", "true")], "outlives its topic"),
            (
                &[(
                    "redpanda.iceberg.partition.spec",
                    "(hour(redpanda.timestamp))",
                )],
                "unpartitioned",
            ),
            (
                &[("redpanda.iceberg.invalid.record.action", "suspend")],
                "drop or dlq_table",
            ),
            (
                &[
                    ("redpanda.iceberg.mode", "key_value"),
                    ("tidelog.lake.enable", "false"),
                ],
                "stands for tidelog.lake.enable",
            ),
            (
                &[
                    ("redpanda.iceberg.delete", "false"),
                    ("redpanda.iceberg.delete", "false"),
                ],
                "more than once",
            ),
        ];
        for (given, reason) in refused {
            let error = without_aliases(set(given)).unwrap_err().to_string();
            assert!(
                error.contains("redpanda.iceberg") && error.contains(reason),
                "{error}"
            );
        }
    }

    #[test]
    fn edits_are_translated_one_by_one() {
        let edit = |name: &str, op, value: Option<&str>| ConfigEdit {
            name: name.into(),
            op,
            value: value.map(Into::into),
        };
        let plain = |alteration: Result<Alteration, ConfigError>| match alteration {
            Ok(Alteration::Edit(edits)) => Ok(edits
                .into_iter()
                .map(|edit| (edit.name, edit.op, edit.value))
                .collect::<Vec<_>>()),
            Ok(Alteration::Replace(_)) => panic!("an edit became a replacement"),
            Err(error) => Err(error.to_string()),
        };
        let edits = vec![
            edit("cleanup.policy", EditOp::Append, Some("compact")),
            edit("redpanda.iceberg.mode", EditOp::Delete, None),
            edit(
                "redpanda.iceberg.invalid.record.action",
                EditOp::Set,
                Some("drop"),
            ),
        ];
        let expected = vec![
            (
                "cleanup.policy".to_owned(),
                EditOp::Append,
                Some("compact".to_owned()),
            ),
            ("tidelog.lake.enable".to_owned(), EditOp::Delete, None),
            (
                "tidelog.table.invalid.records".to_owned(),
                EditOp::Set,
                Some("drop".to_owned()),
            ),
        ];
        assert_eq!(
            plain(Alteration::Edit(edits).without_aliases()),
            Ok(expected)
        );
        let append = edit("redpanda.iceberg.mode", EditOp::Append, Some("key_value"));
        let error = plain(Alteration::Edit(vec![append]).without_aliases()).unwrap_err();
        assert!(error.contains("is not a list"), "{error}");
    }

    #[test]
    fn what_is_described_can_be_set_again() {
        let settings = BrokerSettings::new([]);
        let own = set(&[
            ("tidelog.table.mode", "key_value"),
            ("tidelog.lake.enable", "true"),
            ("tidelog.table.invalid.records", "drop"),
        ]);
        let topic: Overrides = own
            .iter()
            .cloned()
            .filter_map(|(n, v)| Some((n, v?)))
            .collect();
        let layers = Layers::new(&settings, None, None).with_topic(&topic);
        let entries = layers.describe_topic(None);
        let value = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name);
            entry.and_then(|entry| entry.value.as_deref())
        };
        assert_eq!(value("redpanda.iceberg.mode"), Some("key_value"));
        assert_eq!(
            value("redpanda.iceberg.invalid.record.action"),
            Some("drop")
        );
        let of = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
        let synonyms = &of("tidelog.lake.enable").synonyms;
        assert_eq!(synonyms[1].name, "redpanda.iceberg.mode");

        // As a tool does that knows no way to change one setting.
        let set = entries
            .iter()
            .filter(|entry| entry.source == ConfigSource::Topic);
        let again = set.map(|entry| (entry.name.clone(), entry.value.clone()));
        let mut again = without_aliases(again.collect()).unwrap();
        let mut own = own;
        again.sort();
        own.sort();
        assert_eq!(again, own);

        let bare = Overrides::new();
        let layers = Layers::new(&settings, None, None).with_topic(&bare);
        assert!(
            !layers
                .describe_topic(None)
                .iter()
                .any(|e| e.name.starts_with("redpanda."))
        );
        let asked = layers.describe_topic(Some(&["redpanda.iceberg.mode".into()]));
        assert_eq!(asked[0].value.as_deref(), Some("disabled"));
    }
}
