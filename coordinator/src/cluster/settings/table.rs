//! The table of topic settings. A row is the only place a setting is described.
//!
//! `stored` rows have no effect here: tools written for Kafka set them, and refusing would break the
//! tools without protecting anyone. Their documentation says so.

use super::kind::Kind;
use super::merge::check_aggregate;
use super::mode::check_mode;
use super::topic::{check_schema, check_table_key, check_throttled};

/// Whether the system acts on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The value is obeyed.
    Honoured,
    /// The value is kept and shown, and changes nothing.
    Stored,
}

/// A broker-level name whose value topics inherit.
#[derive(Debug, Clone, Copy)]
pub struct BrokerName {
    pub name: &'static str,
    /// How many of the topic setting's units one unit here is: 3 600 000 for hours over ms.
    pub unit: i64,
    /// Where it accepts other values than the topic setting does.
    pub kind: Option<Kind>,
    /// Can be changed while the broker runs.
    pub dynamic: bool,
}

/// One topic setting.
#[derive(Debug, Clone, Copy)]
pub struct TopicConfig {
    pub name: &'static str,
    pub kind: Kind,
    /// A value that passes `kind`.
    pub default: &'static str,
    /// Nearest first.
    pub broker_names: &'static [BrokerName],
    pub effect: Effect,
    pub doc: &'static str,
}

impl TopicConfig {
    /// The row called `name`.
    pub fn find(name: &str) -> Option<&'static TopicConfig> {
        TOPIC_CONFIGS.iter().find(|config| config.name == name)
    }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

const fn same(name: &'static str) -> BrokerName {
    BrokerName {
        name,
        unit: 1,
        kind: None,
        dynamic: true,
    }
}

/// A coarser clock for the same time; Kafka reads these at start only.
const fn counted(name: &'static str, unit: i64, min: i32) -> BrokerName {
    BrokerName {
        name,
        unit,
        kind: Some(Kind::Int { min, max: i32::MAX }),
        dynamic: false,
    }
}

const fn at_start(name: &'static str, kind: Kind) -> BrokerName {
    BrokerName {
        name,
        unit: 1,
        kind: Some(kind),
        dynamic: false,
    }
}

const fn int(min: i32) -> Kind {
    Kind::Int { min, max: i32::MAX }
}

const fn long(min: i64) -> Kind {
    Kind::Long { min, max: i64::MAX }
}

const fn list(allowed: &'static [&'static str], items_min: usize) -> Kind {
    Kind::List { allowed, items_min }
}

const fn level(min: i32, max: i32) -> Kind {
    Kind::Int { min, max }
}

macro_rules! topic_configs {
    ($(
        $row:ident: $name:literal, $kind:expr, $default:literal,
        [$($broker:expr),*], $effect:ident, $doc:literal;
    )*) => {
        $(pub(crate) const $row: TopicConfig = TopicConfig {
            name: $name,
            kind: $kind,
            default: $default,
            broker_names: &[$($broker),*],
            effect: Effect::$effect,
            doc: $doc,
        };)*

        /// Every topic setting, in the order they are described.
        pub static TOPIC_CONFIGS: &[TopicConfig] = &[$($row),*];
    };
}

topic_configs! {
    CLEANUP_POLICY: "cleanup.policy", list(&["delete", "compact"], 0), "delete",
        [same("log.cleanup.policy")], Honoured,
        "What happens to old records. delete: they go by age and size. compact: the newest record of \
         each key stays for ever; until compaction arrives, every record of such a topic is kept. \
         Both together: records also go by age and size. Neither: nothing goes.";
    RETENTION_MS: "retention.ms", long(-1), "604800000",
        [
            same("log.retention.ms"),
            counted("log.retention.minutes", MINUTE_MS, -1),
            counted("log.retention.hours", HOUR_MS, -1)
        ], Honoured,
        "How long records are kept under the delete policy, in milliseconds; -1 for ever. A segment \
         goes when its newest record is older.";
    RETENTION_BYTES: "retention.bytes", long(i64::MIN), "-1",
        [same("log.retention.bytes")], Honoured,
        "How many bytes a partition keeps under the delete policy; -1 for no limit. Counted per \
         partition, in whole segments.";
    MAX_MESSAGE_BYTES: "max.message.bytes", int(0), "1048588",
        [same("message.max.bytes")], Honoured,
        "The largest record batch a producer may send, in bytes as sent (compressed, with its header).";
    MESSAGE_TIMESTAMP_TYPE: "message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]), "CreateTime",
        [same("log.message.timestamp.type")], Honoured,
        "Whose clock a record's timestamp shows: the producer's (CreateTime) or the broker's when it \
         was appended (LogAppendTime).";
    MESSAGE_TIMESTAMP_BEFORE_MAX_MS: "message.timestamp.before.max.ms", long(0), "9223372036854775807",
        [same("log.message.timestamp.before.max.ms")], Honoured,
        "How far in the past a producer's timestamp may lie, in milliseconds; older records are \
         refused. Ignored under LogAppendTime.";
    MESSAGE_TIMESTAMP_AFTER_MAX_MS: "message.timestamp.after.max.ms", long(0), "3600000",
        [same("log.message.timestamp.after.max.ms")], Honoured,
        "How far ahead of the broker's clock a producer's timestamp may lie, in milliseconds; records \
         beyond are refused. Ignored under LogAppendTime.";
    COMPRESSION_TYPE: "compression.type",
        Kind::Choice(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]), "producer",
        [same("compression.type")], Honoured,
        "How record batches are stored: as they came (producer), or recompressed with the codec named.";
    SEGMENT_BYTES: "segment.bytes", int(1_048_576), "1073741824",
        [same("log.segment.bytes")], Honoured,
        "How many bytes of a compacted topic may come together before they are compacted. Otherwise segments \
         are cut as the log is flushed, and retention does not wait for them.";
    SEGMENT_MS: "segment.ms", long(1), "604800000",
        [same("log.roll.ms"), counted("log.roll.hours", HOUR_MS, 1)], Honoured,
        "How long records of a compacted topic may come together before they are compacted, in milliseconds. \
         Retention by time does not wait for a segment to be closed.";
    DELETE_RETENTION_MS: "delete.retention.ms", long(0), "86400000",
        [same("log.cleaner.delete.retention.ms")], Honoured,
        "How long a compacted topic keeps a record without value (a delete) after compaction first met it, in \
         milliseconds: the time a reader from the start has to see it.";
    MIN_INSYNC_REPLICAS: "min.insync.replicas", int(1), "1",
        [same("min.insync.replicas")], Stored,
        "Stored for tools, no effect here: a topic has one replica, and a write never waits for more \
         replicas than there are, as in Kafka.";

    TABLE_MODE: "tidelog.table.mode", Kind::Text(check_mode), "disabled",
        [at_start("tidelog.table.mode.default", Kind::Choice(&["disabled", "key_value", "auto"]))], Honoured,
        "How records become columns. disabled: they do not. key_value: key and value as bytes. \
         inline: values are JSON described by tidelog.table.schema. inferred: values are JSON, and the \
         first thousand records or five seconds say what the columns are. auto: as inferred if those are JSON \
         objects, else as key_value. value_schema_id_prefix: values begin with the id of their schema in the \
         schema registry, as its serializers write them. value_schema_latest[:subject=NAME,protobuf_name=NAME]: \
         bare values of the newest schema of a subject, by default the topic's name and -value.";
    TABLE_SCHEMA: "tidelog.table.schema", Kind::Text(check_schema), "",
        [], Honoured,
        "The schema of the values as a JSON object. Needed by tidelog.table.mode=inline, and refused \
         without it. At most 32,767 bytes: older versions of the requests that set it carry no more.";
    TABLE_CODEC: "tidelog.table.codec", Kind::Choice(&["none", "lz4", "zstd"]), "zstd",
        [], Honoured,
        "How column buffers are compressed.";
    TABLE_INVALID_RECORDS: "tidelog.table.invalid.records",
        Kind::Choice(&["dead_letter", "drop", "suspend", "reject"]), "dead_letter",
        [same("tidelog.table.invalid.records")], Honoured,
        "What becomes of a record that does not decode to a row; Kafka clients read it as ever. dead_letter: it \
         goes to the Iceberg table named as the topic's, with __dlq behind, where the topic is kept in the lake. \
         drop: it is counted and goes nowhere. suspend: rows and the lake wait before it until the setting or its \
         schema changes. reject: a producer is told INVALID_RECORD, where the format is known by then; else as \
         dead_letter.";
    TABLE_KEY: "tidelog.table.key", Kind::Text(check_table_key), "",
        [], Honoured,
        "What makes the topic a keyed table, which shows the latest row of each key: record_key, or \
         column names joined by commas. Empty: an append table. Chosen when the topic is created.";
    TABLE_KEY_SCOPE: "tidelog.table.key.scope", Kind::Choice(&["topic", "partition"]), "topic",
        [], Honoured,
        "Where a key made of columns is unique: in the topic, which needs one partition, or in each \
         partition on its own. Chosen when the topic is created.";
    MERGE_ENGINE: "tidelog.table.merge-engine",
        Kind::Choice(&["last_row", "first_row", "versioned", "aggregation"]), "last_row",
        [], Honoured,
        "What becomes of the row of a keyed table when its key comes again. last_row: the record replaces it. \
         first_row: it stays. versioned: the record replaces it unless its tidelog.table.version.column is null or \
         lower. aggregation: the columns that the record names are combined with the row's, as \
         tidelog.table.aggregates says. All but last_row (full) and first_row need tidelog.table.mode=inline. Chosen \
         when the topic is created.";
    MERGE: "tidelog.table.merge", Kind::Choice(&["full", "partial"]), "full",
        [], Honoured,
        "What a record replaces under last_row: the row (full), or the columns that it names (partial), which are those \
         of its header tidelog.columns or else the members of its value. Chosen when the topic is created.";
    MERGE_DELETES: "tidelog.table.deletes", Kind::Choice(&["auto", "allow", "ignore", "disable"]), "auto",
        [], Honoured,
        "What a null value does in a keyed table: it deletes the row (allow), it does nothing (ignore), or it is refused \
         (disable). auto: allow under last_row, ignore under the other merge engines. Chosen when the topic is created.";
    MERGE_IMAGE: "tidelog.table.image", Kind::Choice(&["full", "wal"]), "full",
        [], Stored,
        "What the changelog of a keyed table has of an update: the row before and the row after (full), or the row after \
         (wal). Kept with the rules of the table; no effect here until there are readers of the changelog. Chosen when the \
         topic is created.";
    MERGE_VERSION_COLUMN: "tidelog.table.version.column", Kind::Text(|_| Ok(())), "",
        [], Honoured,
        "The column that says which row is newer: int, long or timestamp. Needed by tidelog.table.merge-engine=versioned, \
         and refused without it. Chosen when the topic is created.";
    MERGE_AGGREGATES: "tidelog.table.aggregates", Kind::Items(check_aggregate), "",
        [], Honoured,
        "How columns are combined under tidelog.table.merge-engine=aggregation, as COLUMN:FUNCTION joined by commas: sum, \
         product, max, min, last_value, last_value_ignore_nulls, first_value, first_value_ignore_nulls, listagg, \
         listagg(DELIMITER), bool_and, bool_or, rbm32, rbm64. A column not named here takes last_value_ignore_nulls. \
         Chosen when the topic is created.";
    PARTITIONER: "tidelog.partitioner",
        Kind::Choice(&["auto", "murmur2", "crc32", "fnv1a", "explicit"]), "auto",
        [], Honoured,
        "Which partition a key of a keyed table belongs to. murmur2 is the Java client's rule, crc32 \
         librdkafka's, fnv1a sarama's; explicit trusts the producer; auto takes the rule the first \
         records obey. Once there are records it can only change to a rule they obey, or to explicit.";
    LAKE_ENABLE: "tidelog.lake.enable", Kind::Boolean, "false",
        [same("tidelog.lake.enable")], Honoured,
        "Whether the topic is kept as an Apache Iceberg table too. Needs columns (tidelog.table.mode) and no \
         tidelog.table.key; a topic that sets it without is refused.";
    LAKE_TARGET_LAG_MS: "tidelog.lake.target.lag.ms", long(1000), "30000",
        [same("tidelog.lake.target.lag.ms")], Honoured,
        "How far the Iceberg table may be behind the log, in milliseconds. Shorter makes more and \
         smaller files.";
    LAKE_RETENTION_BUDGET: "tidelog.lake.retention.budget.bytes", long(0), "10737418240",
        [same("tidelog.lake.retention.budget.bytes")], Honoured,
        "How many bytes each partition keeps beyond its retention while they are not in the Iceberg table \
         yet. Beyond that, records go that never come to the table; they are counted.";

    VIEW_OF: "tidelog.view.of", Kind::Text(|_| Ok(())), "",
        [], Honoured,
        "Makes the topic a view: a read-only image of the records of the topic named here, with the offsets they \
         have there. Values are the row as JSON. The topic named must be a table, and it keeps the records: \
         retention and compaction are its own. Chosen when the topic is created.";
    VIEW_COLUMNS: "tidelog.view.columns", list(&[], 0), "",
        [], Honoured,
        "Which columns the values of a view show, by dotted names joined by commas. Empty: every column of the \
         table's values. Chosen when the topic is created.";
    VIEW_FILTER: "tidelog.view.filter", Kind::Text(|_| Ok(())), "",
        [], Honoured,
        "Which rows a view shows, such as amount > 100 AND city LIKE 'B%'. Empty: every row. Chosen when the \
         topic is created.";
    VIEW_FORMAT: "tidelog.view.format", Kind::Choice(&["json", "avro", "debezium-json"]), "json",
        [], Honoured,
        "What the values of a view are: json, one object for each row; avro, under a schema in the registry \
         (subject <view>-value); debezium-json, what happened to a row of a keyed table, with the row before and \
         after. Chosen when the topic is created.";

    IMPORT: "tidelog.import", Kind::Boolean, "false",
        [], Honoured,
        "Whether the topic is being filled from another cluster by tidelog migrate. While it is, producers are \
         told to try again, and no record goes by age, size or compaction.";

    COMPRESSION_GZIP_LEVEL: "compression.gzip.level", level(-1, 9), "-1", [same("compression.gzip.level")], Stored,
        "Kept for tools; no effect here: gzip always uses its usual level.";
    COMPRESSION_LZ4_LEVEL: "compression.lz4.level", level(1, 17), "9", [same("compression.lz4.level")], Stored,
        "Kept for tools; no effect here: lz4 has one level.";
    COMPRESSION_ZSTD_LEVEL: "compression.zstd.level", level(-131_072, 22), "3", [same("compression.zstd.level")], Stored,
        "Kept for tools; no effect here: zstd always uses its usual level.";
    FILE_DELETE_DELAY_MS: "file.delete.delay.ms", long(0), "60000", [same("log.segment.delete.delay.ms")], Stored,
        "Kept for tools; no effect here: a file goes once no reader needs it.";
    FLUSH_MESSAGES: "flush.messages", long(1), "9223372036854775807", [same("log.flush.interval.messages")], Stored,
        "Kept for tools; no effect here: the broker's flush mode says when records \
         reach the disk.";
    FLUSH_MS: "flush.ms", long(0), "9223372036854775807", [], Stored,
        "Kept for tools; no effect here: the broker's flush mode says when records \
         reach the disk.";
    FOLLOWER_THROTTLED: "follower.replication.throttled.replicas", Kind::Items(check_throttled), "", [], Stored,
        "Kept for tools; no effect here: there are no followers.";
    INDEX_INTERVAL_BYTES: "index.interval.bytes", int(0), "4096", [same("log.index.interval.bytes")], Stored,
        "Kept for tools; no effect here: segments carry an exact index.";
    LEADER_THROTTLED: "leader.replication.throttled.replicas", Kind::Items(check_throttled), "", [], Stored,
        "Kept for tools; no effect here: there are no followers.";
    LOCAL_RETENTION_BYTES: "local.retention.bytes", long(-2), "-2", [same("log.local.retention.bytes")], Stored,
        "Kept for tools; no effect here: there is no remote log to offload to.";
    LOCAL_RETENTION_MS: "local.retention.ms", long(-2), "-2", [same("log.local.retention.ms")], Stored,
        "Kept for tools; no effect here: there is no remote log to offload to.";
    MAX_COMPACTION_LAG_MS: "max.compaction.lag.ms", long(1), "9223372036854775807", [same("log.cleaner.max.compaction.lag.ms")], Honoured,
        "Age at which records of a compacted topic are compacted whatever the ratio, in milliseconds.";
    MIN_CLEANABLE_DIRTY_RATIO: "min.cleanable.dirty.ratio",
        Kind::Double { min: 0.0, max: 1.0 }, "0.5", [same("log.cleaner.min.cleanable.ratio")], Honoured,
        "Which part of a compacted topic's bytes may be without compaction before it begins.";
    MIN_COMPACTION_LAG_MS: "min.compaction.lag.ms", long(0), "0", [same("log.cleaner.min.compaction.lag.ms")], Honoured,
        "Age up to which compaction leaves records alone, in milliseconds.";
    PREALLOCATE: "preallocate", Kind::Boolean, "false", [same("log.preallocate")], Stored,
        "Kept for tools; no effect here: the write-ahead log is always allocated in advance.";
    REMOTE_COPY_DISABLE: "remote.log.copy.disable", Kind::Boolean, "false", [], Stored,
        "Kept for tools; no effect here: there is no remote log to offload to.";
    REMOTE_DELETE_ON_DISABLE: "remote.log.delete.on.disable", Kind::Boolean, "false", [], Stored,
        "Kept for tools; no effect here: there is no remote log to offload to.";
    REMOTE_STORAGE_ENABLE: "remote.storage.enable", Kind::Boolean, "false", [], Stored,
        "Kept for tools; no effect here: see tidelog.lake.enable for tables in a lake.";
    SEGMENT_INDEX_BYTES: "segment.index.bytes", int(4), "10485760", [same("log.index.size.max.bytes")], Stored,
        "Kept for tools; no effect here: segments carry an exact index.";
    SEGMENT_JITTER_MS: "segment.jitter.ms", long(0), "0", [], Stored,
        "Kept for tools; no effect here: segments do not close all at once.";
    UNCLEAN_LEADER_ELECTION: "unclean.leader.election.enable", Kind::Boolean, "false", [same("unclean.leader.election.enable")], Stored,
        "Kept for tools; no effect here: a partition has one replica.";
}
