//! A topic's settings as typed values, and the checks that need more than one of them.

use super::kind::{ConfigError, VALUE_BYTES_MAX, check_items, list_items};
use super::merge::{MergeSettings, check_merge};
use super::mode::TableMode;
use super::table::{self, TOPIC_CONFIGS, TopicConfig};
use super::view::{ViewSettings, check_view};
use super::{Layers, Overrides};

/// What a topic's owner obeys. Resolved from the overrides over the broker's values.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSettings {
    pub cleanup: CleanupPolicy,
    /// Age in milliseconds; `None` for ever.
    pub retention_ms: Option<u64>,
    /// Bytes per partition; `None` without limit.
    pub retention_bytes: Option<u64>,
    /// Largest record batch as sent, in bytes.
    pub max_message_bytes: u32,
    pub timestamp_type: TimestampType,
    /// How far before the broker's clock a record may be, in milliseconds.
    pub timestamp_before_max_ms: i64,
    /// How far after the broker's clock a record may be, in milliseconds.
    pub timestamp_after_max_ms: i64,
    pub compression: Compression,
    pub segment_bytes: u32,
    pub segment_ms: i64,
    pub delete_retention_ms: i64,
    /// Part of the bytes that compaction has not seen, at which it begins.
    pub min_dirty_ratio: f64,
    /// Age up to which compaction leaves records alone, in milliseconds.
    pub min_compaction_lag_ms: i64,
    /// Age at which compaction has to begin, in milliseconds; `None` for never.
    pub max_compaction_lag_ms: Option<i64>,
    pub min_insync_replicas: i32,
    /// Its records come from another cluster for now, and nobody else writes to it.
    pub importing: bool,
    pub table: TableSettings,
    pub lake: LakeSettings,
    /// It shows the records of another topic and has none of its own.
    pub view: Option<ViewSettings>,
}

/// What may be removed from the log: nothing, if neither is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// How batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As the producer sent them.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// How the topic is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    pub mode: TableMode,
    pub codec: TableCodec,
    pub invalid_records: InvalidRecords,
    pub key: TableKey,
    pub key_scope: KeyScope,
    pub partitioner: Partitioner,
    pub merge: MergeSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableCodec {
    None,
    Lz4,
    Zstd,
}

/// What becomes of a record that does not decode to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRecords {
    /// It is a row of the topic's dead-letter table, where the topic is in the lake.
    DeadLetter,
    /// It is counted.
    Drop,
    /// Rows and the lake wait before it.
    Suspend,
    /// Its producer is told, where the format is known by then; else as `DeadLetter`.
    Reject,
}

/// The primary key of a keyed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKey {
    /// An append table.
    None,
    RecordKey,
    /// Value columns, in this order; never empty.
    Columns(Vec<String>),
}

impl TableKey {
    pub fn is_keyed(&self) -> bool {
        *self != TableKey::None
    }
}

/// Where a key is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyScope {
    Topic,
    Partition,
}

/// The rule from key to partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioner {
    Auto,
    Murmur2,
    Crc32,
    Fnv1a,
    Explicit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LakeSettings {
    pub enabled: bool,
    pub target_lag_ms: i64,
    /// Bytes per partition that retention leaves to what is not in the lake yet.
    pub retention_budget_bytes: u64,
}

impl TopicSettings {
    /// Whether the topic's records go to the lake. Keyed tables do not yet.
    pub fn is_tiered(&self) -> bool {
        let is_table = self.table.mode != TableMode::Disabled;
        self.lake.enabled && is_table && !self.table.key.is_keyed()
    }

    /// Resolves every setting. Total: a text that no longer parses counts as its default.
    pub fn resolve(layers: &Layers<'_>) -> Self {
        let policies = layers.value(&table::CLEANUP_POLICY);
        let table = TableSettings::resolve(layers);
        TopicSettings {
            cleanup: CleanupPolicy {
                // A text nobody understands is the default.
                delete: table::CLEANUP_POLICY.kind.check(&policies).is_err()
                    || list_items(&policies).contains(&"delete"),
                // Whatever the broker's default is.
                compact: list_items(&policies).contains(&"compact") && table.merge.is_compactable(),
            },
            retention_ms: limit(layers, &table::RETENTION_MS),
            retention_bytes: limit(layers, &table::RETENTION_BYTES),
            max_message_bytes: layers.parsed(&table::MAX_MESSAGE_BYTES),
            timestamp_type: match layers.value(&table::MESSAGE_TIMESTAMP_TYPE).trim() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: layers.parsed(&table::MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
            timestamp_after_max_ms: layers.parsed(&table::MESSAGE_TIMESTAMP_AFTER_MAX_MS),
            compression: compression(layers),
            segment_bytes: layers.parsed(&table::SEGMENT_BYTES),
            segment_ms: layers.parsed(&table::SEGMENT_MS),
            delete_retention_ms: layers.parsed(&table::DELETE_RETENTION_MS),
            min_dirty_ratio: layers.parsed(&table::MIN_CLEANABLE_DIRTY_RATIO),
            min_compaction_lag_ms: layers.parsed(&table::MIN_COMPACTION_LAG_MS),
            max_compaction_lag_ms: Some(layers.parsed(&table::MAX_COMPACTION_LAG_MS))
                .filter(|&ms| ms < i64::MAX),
            min_insync_replicas: layers.parsed(&table::MIN_INSYNC_REPLICAS),
            importing: layers.flag(&table::IMPORT),
            table,
            lake: LakeSettings {
                enabled: layers.flag(&table::LAKE_ENABLE),
                target_lag_ms: layers.parsed(&table::LAKE_TARGET_LAG_MS),
                retention_budget_bytes: limit(layers, &table::LAKE_RETENTION_BUDGET).unwrap_or(0),
            },
            view: ViewSettings::resolve(layers),
        }
    }
}

impl TableSettings {
    fn resolve(layers: &Layers<'_>) -> Self {
        let schema = layers.value(&table::TABLE_SCHEMA);
        TableSettings {
            mode: match ViewSettings::resolve(layers) {
                // It has no records to make rows of, whatever the broker's default is.
                Some(_) => TableMode::Disabled,
                None => TableMode::resolve(&layers.value(&table::TABLE_MODE), schema),
            },
            codec: match layers.value(&table::TABLE_CODEC).trim() {
                "none" => TableCodec::None,
                "lz4" => TableCodec::Lz4,
                _ => TableCodec::Zstd,
            },
            invalid_records: match layers.value(&table::TABLE_INVALID_RECORDS).trim() {
                "drop" => InvalidRecords::Drop,
                "suspend" => InvalidRecords::Suspend,
                "reject" => InvalidRecords::Reject,
                _ => InvalidRecords::DeadLetter,
            },
            key: table_key(&layers.value(&table::TABLE_KEY)),
            key_scope: match layers.value(&table::TABLE_KEY_SCOPE).trim() {
                "partition" => KeyScope::Partition,
                _ => KeyScope::Topic,
            },
            partitioner: match layers.value(&table::PARTITIONER).trim() {
                "murmur2" => Partitioner::Murmur2,
                "crc32" => Partitioner::Crc32,
                "fnv1a" => Partitioner::Fnv1a,
                "explicit" => Partitioner::Explicit,
                _ => Partitioner::Auto,
            },
            merge: layers.merge(),
        }
    }

    /// Whether the topic's rows are what happened to the rows of a keyed table.
    pub fn has_changelog(&self) -> bool {
        self.key == TableKey::RecordKey
    }
}

/// Checks a topic's overrides: each name and value, then what they mean together.
///
/// What is `old` and unchanged is not checked again: a value an older version accepted must not stand
/// in the way of changing another. `layers` are the broker's; a setting left out takes its value there.
pub(crate) fn check_topic(
    old: &Overrides,
    overrides: &Overrides,
    layers: &Layers<'_>,
    partitions: i32,
) -> Result<(), ConfigError> {
    for (name, value) in overrides {
        if old.get(name) != Some(value) {
            check_one(name, value)?;
        }
    }
    check_view(overrides)?;
    check_merge(overrides)?;
    let layers = layers.with_topic(overrides);
    check_table(&layers, partitions)?;
    let remote = &table::REMOTE_STORAGE_ENABLE;
    if old.get(remote.name) != overrides.get(remote.name) && layers.flag(remote) {
        let reason = "there is no remote log: see tidelog.lake.enable for tables in a lake";
        return Err(ConfigError::conflict(remote.name, reason));
    }
    let table = [
        &table::TABLE_MODE,
        &table::TABLE_SCHEMA,
        &table::TABLE_KEY,
        &table::LAKE_ENABLE,
    ];
    match table
        .iter()
        .any(|row| old.get(row.name) != overrides.get(row.name))
    {
        true => check_effects(&layers),
        false => Ok(()),
    }
}

fn check_one(name: &str, value: &str) -> Result<(), ConfigError> {
    let config = known(name)?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(ConfigError::TooLong {
            name: name.into(),
            bytes: value.len(),
        });
    }
    config
        .kind
        .check(value)
        .map_err(|reason| ConfigError::invalid(name, value, reason))
}

/// The row called `name`, or an error naming the nearest one.
pub(crate) fn known(name: &str) -> Result<&'static TopicConfig, ConfigError> {
    let names = || TOPIC_CONFIGS.iter().map(|config| config.name);
    TopicConfig::find(name).ok_or_else(|| ConfigError::unknown("topic", name, names()))
}

fn check_table(layers: &Layers<'_>, partitions: i32) -> Result<(), ConfigError> {
    let settings = TableSettings::resolve(layers);
    if layers.value(&table::TABLE_MODE).trim() == "inline" && settings.mode == TableMode::Disabled {
        return Err(ConfigError::conflict(
            table::TABLE_MODE.name,
            "inline needs a schema: set tidelog.table.schema",
        ));
    }
    let refuse = |reason| Err(ConfigError::conflict(table::TABLE_KEY.name, reason));
    match (&settings.key, &settings.mode) {
        (TableKey::None, _) => Ok(()),
        (_, TableMode::Disabled) => refuse(
            "a keyed table needs columns: set tidelog.table.mode to key_value, or to inline with \
             a schema",
        ),
        // Else a broker restarted with another default would take the table's columns away.
        _ if !layers.set_by_topic(&table::TABLE_MODE) => {
            refuse("a keyed table does not follow the broker's default: set tidelog.table.mode too")
        }
        (TableKey::Columns(_), TableMode::KeyValue) => {
            refuse("key_value has no value columns: use record_key, or tidelog.table.mode=inline")
        }
        (TableKey::Columns(_), _) if partitions > 1 && settings.key_scope == KeyScope::Topic => {
            refuse(
                "one key could land in several partitions: use record_key, one partition, or \
                 tidelog.table.key.scope=partition",
            )
        }
        _ => Ok(()),
    }
}

/// Refuses what a topic asks for and would not get. What it inherits from the broker is for the topics
/// that can have it.
fn check_effects(layers: &Layers<'_>) -> Result<(), ConfigError> {
    let settings = TableSettings::resolve(layers);
    let has_schema = !layers.value(&table::TABLE_SCHEMA).trim().is_empty();
    if has_schema && !matches!(settings.mode, TableMode::Inline { .. }) {
        return Err(ConfigError::conflict(
            table::TABLE_SCHEMA.name,
            "has no effect unless tidelog.table.mode is inline: set both, or leave the schema out",
        ));
    }
    if !(layers.set_by_topic(&table::LAKE_ENABLE) && layers.flag(&table::LAKE_ENABLE)) {
        return Ok(());
    }
    let refuse = |reason| Err(ConfigError::conflict(table::LAKE_ENABLE.name, reason));
    match (&settings.mode, &settings.key) {
        (TableMode::Disabled, _) => refuse(
            "a lake table needs columns: set tidelog.table.mode too, to key_value, or to inline with \
             tidelog.table.schema",
        ),
        (_, TableKey::None) => Ok(()),
        _ => refuse(
            "keyed tables are not kept in the lake yet: leave out tidelog.lake.enable, or leave out \
             tidelog.table.key for a table of every record",
        ),
    }
}

/// The schema's envelope only; what the columns mean is checked by who reads them.
pub(super) fn check_schema(value: &str) -> Result<(), String> {
    if value.trim().is_empty() {
        return Ok(());
    }
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(serde_json::Value::Object(_)) => Ok(()),
        Ok(_) => Err("must be a JSON object".into()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

/// One replica whose traffic is throttled, or all of them.
pub(super) fn check_throttled(item: &str) -> Result<(), String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pair = item.split_once(':');
    match item == "*" || pair.is_some_and(|(part, id)| is_number(part) && is_number(id)) {
        true => Ok(()),
        false => Err("must be * or PARTITION:BROKER, separated by commas".into()),
    }
}

pub(super) fn check_table_key(value: &str) -> Result<(), String> {
    let names = list_items(value);
    if names.len() > 1 && names.contains(&"record_key") {
        return Err("record_key stands alone: columns cannot be added to it".into());
    }
    check_items(&names)
}

fn table_key(value: &str) -> TableKey {
    match list_items(value).as_slice() {
        [] => TableKey::None,
        ["record_key"] => TableKey::RecordKey,
        columns => TableKey::Columns(columns.iter().map(|name| (*name).to_owned()).collect()),
    }
}

/// A number where anything below zero means "no limit".
fn limit(layers: &Layers<'_>, config: &TopicConfig) -> Option<u64> {
    u64::try_from(layers.parsed::<i64>(config)).ok()
}

fn compression(layers: &Layers<'_>) -> Compression {
    match layers.value(&table::COMPRESSION_TYPE).trim() {
        "uncompressed" => Compression::Uncompressed,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::Producer,
    }
}
