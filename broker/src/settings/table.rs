//! THE list of process settings.
//!
//! One row per setting: the field of [`Settings`] it fills, its type, its name and other names,
//! its default, limits, whether it may change while the broker runs, and what it does. Start-up,
//! `DescribeConfigs`, `tidelog config list` and `docs/CONFIG.md` are all made from these rows.
//! Names without the prefix `tidelog.` are Kafka's own and mean what they mean there.

use std::path::PathBuf;

use super::Source;
use super::decimal::Ratio;
use super::remote::{HttpUrl, Secret};
use super::value::{
    Address, CleanupPolicy, Compression, Endpoint, FlushMode, GroupMigration, Kind, Limits,
    ReplicationPolicy, TableMode, TimestampType, Value,
};
use Limits::{Any, AtLeast, Between};
use Update::{Dynamic, ReadOnly};

/// Whether a setting may change while the broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Fixed at start.
    ReadOnly,
    /// May be changed through the admin APIs, for the whole cluster.
    Dynamic,
}

/// What is known about one setting apart from its value.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// Other accepted spellings.
    pub aliases: &'static [&'static str],
    /// Heading it stands under in the documents.
    pub section: &'static str,
    pub kind: Kind,
    /// The default as text.
    pub default: &'static str,
    pub limits: Limits,
    pub update: Update,
    pub doc: &'static str,
    /// Accepted form in words, without the limits.
    pub(super) form: fn() -> String,
    pub(super) assign: fn(&mut Settings, &str) -> bool,
    pub(super) render: fn(&Settings) -> String,
}

impl Row {
    /// The accepted form in words, limits included.
    pub fn accepted(&self) -> String {
        match self.limits {
            Any => (self.form)(),
            limits => format!("{}, {limits}", (self.form)()),
        }
    }

    /// Whether the value must not be shown.
    pub fn sensitive(&self) -> bool {
        self.name.ends_with(".password") || self.name.ends_with(".secret")
    }
}

macro_rules! settings {
    ($($section:literal { $(
        $field:ident: $type:ty = $name:literal $(| $alias:literal)*,
        default $default:literal, $limits:expr, $update:expr, $doc:literal;
    )+ })+) => {
        /// The value of every setting, and where it came from.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            $($(#[doc = $doc] pub $field: $type,)+)+
            /// Origin of each value, in the order of [`TABLE`].
            pub(super) sources: Vec<Source>,
        }

        /// Every setting, grouped by section.
        pub static TABLE: &[Row] = &[$($(Row {
            name: $name,
            aliases: &[$($alias),*],
            section: $section,
            kind: <$type as Value>::KIND,
            default: $default,
            limits: $limits,
            update: $update,
            doc: $doc,
            form: <$type as Value>::form,
            assign: |settings, text| match <$type as Value>::parse(text) {
                Some(value) if $limits.allow(value.number()) => {
                    settings.$field = value;
                    true
                }
                _ => false,
            },
            render: |settings| settings.$field.render(),
        },)+)+];

        impl Default for Settings {
            // A test parses every default of the table.
            fn default() -> Self {
                Settings {
                    $($($field: <$type as Value>::parse($default)
                        .expect("a default has the form of its type"),)+)+
                    sources: vec![Source::Default; TABLE.len()],
                }
            }
        }
    };
}

settings! {
    "Identity and addresses" {
        node_id: i32 = "node.id" | "broker.id",
            default "1", AtLeast(0), ReadOnly,
            "Number of this broker. It must stay the same for the life of a data directory.";
        listeners: Vec<Endpoint> = "listeners",
            default "PLAINTEXT://127.0.0.1:9092", Any, ReadOnly,
            "Addresses to accept Kafka clients on. An empty host means every interface; an entry named CONTROLLER is left out.";
        advertised_listeners: Vec<Endpoint> = "advertised.listeners",
            default "", Any, ReadOnly,
            "Addresses told to clients, by listener name. Needed when clients reach the broker by another name or port than it listens on. A listener without an entry advertises its own address, or the host name of the machine if it listens on every interface.";
        admin_listen: Option<Address> = "tidelog.admin.listen",
            default "127.0.0.1:9644", Any, ReadOnly,
            "Address of the HTTP port with metrics and health, or off.";
        catalog_listen: Option<Address> = "tidelog.catalog.listen",
            default "127.0.0.1:8181", Any, ReadOnly,
            "Address of the Iceberg REST catalog, or off. There is no login in front of it. Tables are kept up to date either way.";
    }
    "Schema registry" {
        registry_listen: Option<Address> = "tidelog.registry.listen",
            default "127.0.0.1:8081", Any, ReadOnly,
            "Address of the schema registry (Confluent's REST API), or off. There is no login in front of it.";
        registry_url: Option<HttpUrl> = "tidelog.registry.url",
            default "", Any, ReadOnly,
            "Another schema registry to take the schemas of typed topics from. Nothing means the one of this broker.";
        registry_user: Option<String> = "tidelog.registry.user",
            default "", Any, ReadOnly,
            "Name to log in with at tidelog.registry.url.";
        registry_password: Option<Secret> = "tidelog.registry.password",
            default "", Any, ReadOnly,
            "Password to log in with at tidelog.registry.url.";
        registry_token: Option<Secret> = "tidelog.registry.token.secret",
            default "", Any, ReadOnly,
            "Bearer token to show at tidelog.registry.url, in the place of a name and a password.";
    }
    "Connections and memory" {
        max_connections: i32 = "max.connections",
            default "2147483647", AtLeast(1), Dynamic,
            "Connections open at the same time. At the limit no further connection is accepted until one closes.";
        connections_max_idle_ms: i64 = "connections.max.idle.ms",
            default "600000", AtLeast(1), ReadOnly,
            "A connection is closed when no whole request arrives for this long, or nothing of a reply is taken for this long or a minute, whichever is less.";
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
            default "104857600", AtLeast(1024), ReadOnly,
            "Largest request. A connection that announces a larger one is closed.";
        memory_budget_bytes: i64 = "tidelog.memory.budget.bytes",
            default "536870912", AtLeast(1_048_576), ReadOnly,
            "Memory for requests, recent data, responses and caches together. At the limit connections stop being read, and reads of old records become small.";
        shutdown_timeout_ms: i64 = "tidelog.shutdown.timeout.ms",
            default "10000", AtLeast(0), ReadOnly,
            "How long a stopping broker lets requests in hand finish.";
        extensions_enable: bool = "tidelog.extensions.enable",
            default "true", Any, ReadOnly,
            "Serve the columnar APIs (keys 16000 to 16031) and list them in ApiVersions.";
    }
    "Storage" {
        data_dir: PathBuf = "tidelog.data.dir" | "log.dirs" | "log.dir",
            default "tidelog-data", Any, ReadOnly,
            "Directory of everything the broker keeps. One process at a time may use it.";
        flush_mode: FlushMode = "tidelog.flush.mode",
            default "sync", Any, ReadOnly,
            "When a record counts as written: after the disk confirmed it (sync), or after the operating system took it (os, faster; a power cut may lose acknowledged records).";
        wal_budget_bytes: i64 = "tidelog.wal.budget.bytes",
            default "0", AtLeast(0), ReadOnly,
            "Disk space for the write-ahead log. 0 means 8 GiB or a tenth of the disk, whichever is less.";
        wal_file_bytes: i64 = "tidelog.wal.file.bytes",
            default "67108864", Between(1_048_576, 4_294_967_296), ReadOnly,
            "Size of one write-ahead log file.";
        keyed_checkpoint_bytes: i64 = "tidelog.keyed.checkpoint.bytes",
            default "67108864", AtLeast(1), ReadOnly,
            "A checkpoint of a keyed table is written when its log has grown by this much, or by the size of the last checkpoint if that is more.";
        warehouse: Option<PathBuf> = "tidelog.warehouse",
            default "", Any, ReadOnly,
            "Directory of the Iceberg tables, written as a path or as file:///PATH. Nothing means `warehouse` in the data directory.";
    }
    "Topics" {
        auto_create_topics_enable: bool = "auto.create.topics.enable",
            default "true", Any, ReadOnly,
            "Create a topic when a client asks for one that does not exist and allows it.";
        num_partitions: i32 = "num.partitions",
            default "1", AtLeast(1), ReadOnly,
            "Partitions of a topic whose creator does not say.";
        default_replication_factor: i32 = "default.replication.factor",
            default "1", AtLeast(1), ReadOnly,
            "Replication factor of a topic whose creator does not say.";
        replication_factor_policy: ReplicationPolicy = "tidelog.replication.factor.policy",
            default "clamp", Any, ReadOnly,
            "What to do when more replicas are asked for than there are brokers: create the topic with those there are (clamp), or answer an error as Kafka does (refuse).";
        delete_topic_enable: bool = "delete.topic.enable",
            default "true", Any, ReadOnly,
            "Allow topics to be deleted.";
        min_insync_replicas: i32 = "min.insync.replicas",
            default "1", AtLeast(1), Dynamic,
            "Reported for topics that set nothing. A topic never waits for more replicas than it has.";
        table_mode_default: TableMode = "tidelog.table.mode.default",
            default "disabled", Any, ReadOnly,
            "Whether topics that nobody configured become tables: disabled, or auto (JSON values get an inferred schema, others key and value columns).";
    }
    "Topic defaults" {
        message_max_bytes: i32 = "message.max.bytes",
            default "1048588", AtLeast(0), Dynamic,
            "Largest record batch, compressed, with its 12 bytes of overhead. Per topic: max.message.bytes.";
        compression_type: Compression = "compression.type",
            default "producer", Any, Dynamic,
            "Codec batches are stored with; producer keeps what was sent.";
        log_cleanup_policy: CleanupPolicy = "log.cleanup.policy",
            default "delete", Any, Dynamic,
            "Whether old records are deleted, compacted by key, or both. Per topic: cleanup.policy.";
        log_message_timestamp_type: TimestampType = "log.message.timestamp.type",
            default "CreateTime", Any, Dynamic,
            "Whether records keep the producer's timestamp or get the broker's. Per topic: message.timestamp.type.";
        log_message_timestamp_before_max_ms: i64 = "log.message.timestamp.before.max.ms",
            default "9223372036854775807", AtLeast(0), Dynamic,
            "How far a record's timestamp may lie in the past. Per topic: message.timestamp.before.max.ms.";
        log_message_timestamp_after_max_ms: i64 = "log.message.timestamp.after.max.ms",
            default "3600000", AtLeast(0), Dynamic,
            "How far a record's timestamp may lie in the future. Per topic: message.timestamp.after.max.ms.";
        log_retention_ms: Option<i64> = "log.retention.ms",
            default "", AtLeast(-1), Dynamic,
            "Age at which records may be deleted; -1 keeps them. Unset: log.retention.minutes decides. Per topic: retention.ms.";
        log_retention_minutes: Option<i64> = "log.retention.minutes",
            default "", Between(-1, 153_722_867_280), ReadOnly,
            "As log.retention.ms, in minutes. Unset: log.retention.hours decides.";
        log_retention_hours: i32 = "log.retention.hours",
            default "168", AtLeast(-1), ReadOnly,
            "As log.retention.ms, in hours.";
        log_retention_bytes: i64 = "log.retention.bytes",
            default "-1", AtLeast(-1), Dynamic,
            "Size of a partition above which its oldest records may be deleted; -1 for no bound. Per topic: retention.bytes.";
        log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
            default "300000", AtLeast(1), ReadOnly,
            "How often retention is looked at.";
        log_segment_bytes: i32 = "log.segment.bytes",
            default "1073741824", AtLeast(1_048_576), Dynamic,
            "Largest size of a segment. Per topic: segment.bytes.";
    }
    "Compaction" {
        log_cleaner_enable: bool = "log.cleaner.enable",
            default "true", Any, ReadOnly,
            "Compact topics whose cleanup.policy says so. Without it they keep every record.";
        log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size",
            default "134217728", AtLeast(1_048_576), ReadOnly,
            "Memory for the keys of one round of compaction, 24 bytes each. What does not fit waits for the next round.";
        log_cleaner_io_max_bytes_per_second: f64 = "log.cleaner.io.max.bytes.per.second",
            default "67108864", AtLeast(1), ReadOnly,
            "About how much compaction reads and writes in a second.";
        log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms",
            default "15000", AtLeast(1), ReadOnly,
            "How often compaction looks for work.";
        log_cleaner_min_cleanable_ratio: Ratio = "log.cleaner.min.cleanable.ratio",
            default "0.5", Any, Dynamic,
            "Part of a topic's bytes that may be without compaction before it begins. Per topic: min.cleanable.dirty.ratio.";
        log_cleaner_min_compaction_lag_ms: i64 = "log.cleaner.min.compaction.lag.ms",
            default "0", AtLeast(0), Dynamic,
            "Age up to which compaction leaves records alone. Per topic: min.compaction.lag.ms.";
        log_cleaner_max_compaction_lag_ms: i64 = "log.cleaner.max.compaction.lag.ms",
            default "9223372036854775807", AtLeast(1), Dynamic,
            "Age at which records are compacted whatever the ratio. Per topic: max.compaction.lag.ms.";
        log_cleaner_delete_retention_ms: i64 = "log.cleaner.delete.retention.ms",
            default "86400000", AtLeast(0), Dynamic,
            "How long a record without value (a delete) is kept after compaction first met it. Per topic: delete.retention.ms.";
        log_roll_ms: Option<i64> = "log.roll.ms",
            default "", AtLeast(1), Dynamic,
            "How long records of a compacted topic may come together before they are compacted. Unset: log.roll.hours decides. Per topic: segment.ms.";
        log_roll_hours: i32 = "log.roll.hours",
            default "168", AtLeast(1), ReadOnly,
            "As log.roll.ms, in hours.";
    }
    "Fetch" {
        fetch_max_bytes: i32 = "fetch.max.bytes",
            default "57671680", AtLeast(1024), ReadOnly,
            "Most bytes of records in one answer, apart from a first batch that is larger.";
        max_incremental_fetch_session_cache_slots: i32 =
            "max.incremental.fetch.session.cache.slots",
            default "1000", AtLeast(0), ReadOnly,
            "Fetch sessions remembered at the same time.";
    }
    "Groups" {
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
            default "50", AtLeast(1), ReadOnly,
            "Partitions of __consumer_offsets. Fixed when the topic is first created.";
        offsets_retention_minutes: i32 = "offsets.retention.minutes",
            default "10080", AtLeast(1), ReadOnly,
            "How long the offsets of a group without members are kept.";
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
            default "600000", AtLeast(1), ReadOnly,
            "How often expired offsets are looked for.";
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes",
            default "4096", AtLeast(0), ReadOnly,
            "Longest metadata text of one committed offset.";
        group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
            default "3000", AtLeast(0), ReadOnly,
            "How long the first rebalance of an empty group waits for more members.";
        group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
            default "6000", AtLeast(0), ReadOnly,
            "Shortest session timeout a member may ask for.";
        group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
            default "1800000", AtLeast(0), ReadOnly,
            "Longest session timeout a member may ask for.";
        group_max_size: i32 = "group.max.size",
            default "2147483647", AtLeast(1), ReadOnly,
            "Most members of one group.";
        group_consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms",
            default "45000", AtLeast(1), ReadOnly,
            "How long a member of a group of the new protocol (KIP-848) may be silent.";
        group_consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms",
            default "5000", AtLeast(1), ReadOnly,
            "How often members of such groups are told to send heartbeats.";
        group_consumer_min_session_timeout_ms: i32 = "group.consumer.min.session.timeout.ms",
            default "45000", AtLeast(1), ReadOnly,
            "Shortest consumer.session.timeout.ms that a group of the new protocol may have.";
        group_consumer_max_session_timeout_ms: i32 = "group.consumer.max.session.timeout.ms",
            default "60000", AtLeast(1), ReadOnly,
            "Longest consumer.session.timeout.ms that such a group may have.";
        group_consumer_min_heartbeat_interval_ms: i32 = "group.consumer.min.heartbeat.interval.ms",
            default "5000", AtLeast(1), ReadOnly,
            "Shortest consumer.heartbeat.interval.ms that such a group may have.";
        group_consumer_max_heartbeat_interval_ms: i32 = "group.consumer.max.heartbeat.interval.ms",
            default "15000", AtLeast(1), ReadOnly,
            "Longest consumer.heartbeat.interval.ms that such a group may have.";
        group_consumer_max_size: i32 = "group.consumer.max.size",
            default "2147483647", AtLeast(1), ReadOnly,
            "Most members of one such group.";
        group_consumer_migration_policy: GroupMigration = "group.consumer.migration.policy",
            default "bidirectional", Any, ReadOnly,
            "Which way groups may move between the protocols with their members: bidirectional, upgrade, downgrade or disabled.";
    }
    "Transactions and producers" {
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
            default "86400000", AtLeast(1), Dynamic,
            "How long a partition remembers an idempotent producer that no longer writes.";
        transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions",
            default "50", AtLeast(1), ReadOnly,
            "Partitions of __transaction_state. Fixed when the topic is first created.";
        transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms",
            default "900000", AtLeast(1), ReadOnly,
            "Longest transaction timeout a producer may ask for. What is open for longer than its timeout is aborted.";
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms",
            default "604800000", AtLeast(1), ReadOnly,
            "How long a transactional id that nobody uses is remembered.";
    }
}

impl Settings {
    /// Age at which records of a topic that sets nothing may be deleted, in milliseconds; `None`
    /// keeps them for ever. The finest unit that is set decides, as in Kafka.
    pub fn retention_ms(&self) -> Option<i64> {
        let scaled = |n: i64, unit_ms: i64| if n < 0 { -1 } else { n.saturating_mul(unit_ms) };
        let ms = self
            .log_retention_ms
            .or(self.log_retention_minutes.map(|n| scaled(n, 60_000)))
            .unwrap_or(scaled(i64::from(self.log_retention_hours), 3_600_000));
        (ms >= 0).then_some(ms)
    }
}
