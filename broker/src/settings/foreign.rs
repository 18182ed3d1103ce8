//! Names that are not in the table: which of them to pass over with a warning, and what to say.
//!
//! Settings written for Apache Kafka hold names this broker has no use for, and a file may hold names of
//! plug-ins nobody knows. Neither stops the start. A name of ours that does not exist, or one that looks
//! like a mistyped one, does: else a typing error would go unnoticed.

use super::kafka_names::{KAFKA_DYNAMIC, KAFKA_NAMES};
use super::{Source, TABLE};

/// Ours begin so.
const OWN_PREFIX: &str = "tidelog.";

/// Kafka's settings of one listener begin so.
const LISTENER_PREFIX: &str = "listener.name.";

const NO_TLS: &str = "every listener is plaintext; a proxy in front can speak TLS";
const NO_LOGIN: &str = "there is no login; listen only where clients are trusted";
const NO_CONTROLLERS: &str = "there are no controller processes";
const NO_FOLLOWERS: &str = "everything has one replica";
const NO_REMOTE_LOG: &str =
    "there is no remote log; see tidelog.lake.enable for topics as Iceberg tables";
const NO_SHARE_GROUPS: &str = "share groups are not served";
const NO_QUOTAS: &str = "quotas are kept and not enforced";
const SIZED_BY_RUNTIME: &str = "threads and buffers are sized by the broker itself";
const METRICS: &str = "metrics are for Prometheus, at tidelog.admin.listen";
const FLUSH_MODE: &str = "tidelog.flush.mode decides when data is synced";
const ASSIGNMENT: &str = "assignments are made at once; every member may choose uniform or range";

/// Why names that begin so have no effect, and what to use instead. The first that fits counts.
static REASONS: &[(&str, &str)] = &[
    ("listener.security.", NO_TLS),
    (LISTENER_PREFIX, NO_TLS),
    ("ssl.", NO_TLS),
    ("security.", NO_TLS),
    ("inter.broker.listener", NO_CONTROLLERS),
    ("sasl.", NO_LOGIN),
    ("delegation.", NO_LOGIN),
    ("principal.", NO_LOGIN),
    ("authorizer.", NO_LOGIN),
    ("connection.failed.", NO_LOGIN),
    ("connections.max.reauth", NO_LOGIN),
    ("controller.quota.", NO_QUOTAS),
    ("controller.", NO_CONTROLLERS),
    ("metadata.", NO_CONTROLLERS),
    ("process.roles", NO_CONTROLLERS),
    ("zookeeper.", NO_CONTROLLERS),
    ("broker.", NO_CONTROLLERS),
    ("initial.broker", NO_CONTROLLERS),
    ("share.coordinator.state.topic", NO_SHARE_GROUPS),
    ("share.", NO_SHARE_GROUPS),
    ("group.share.", NO_SHARE_GROUPS),
    ("group.streams.", "streams groups are not served"),
    ("group.consumer.", ASSIGNMENT),
    ("offsets.topic.replication", NO_FOLLOWERS),
    ("transaction.state.log.replication", NO_FOLLOWERS),
    ("transaction.state.log.min.isr", NO_FOLLOWERS),
    ("replica.", NO_FOLLOWERS),
    ("num.replica.", NO_FOLLOWERS),
    ("replication.", NO_FOLLOWERS),
    ("follower.", NO_FOLLOWERS),
    ("leader.", NO_FOLLOWERS),
    ("auto.leader.", NO_FOLLOWERS),
    ("unclean.leader.", NO_FOLLOWERS),
    ("controlled.shutdown.", NO_FOLLOWERS),
    ("remote.", NO_REMOTE_LOG),
    ("log.local.", NO_REMOTE_LOG),
    ("log.flush.", FLUSH_MODE),
    (
        "log.cleaner.",
        "compaction has one thread; log.cleaner.io.max.bytes.per.second and \
         log.cleaner.dedupe.buffer.size bound it",
    ),
    ("log.index.", "segments carry an exact index"),
    ("quota.", NO_QUOTAS),
    ("client.quota.", NO_QUOTAS),
    (
        "alter.log.dirs.",
        "there is one directory; see tidelog.data.dir",
    ),
    ("metric", METRICS),
    ("kafka.metrics.", METRICS),
    (
        "max.connection",
        "max.connections bounds all connections together",
    ),
    (
        "queued.max.request.bytes",
        "tidelog.memory.budget.bytes bounds what waits",
    ),
    ("queued.", SIZED_BY_RUNTIME),
    ("num.", SIZED_BY_RUNTIME),
    ("background.threads", SIZED_BY_RUNTIME),
    ("group.coordinator.", SIZED_BY_RUNTIME),
    ("socket.", SIZED_BY_RUNTIME),
];

/// Names that are not in the table and cannot be set while the broker runs: Kafka refuses them then, or
/// they stand for a row that is fixed at start.
pub fn fixed_names() -> impl Iterator<Item = &'static str> {
    let fixed = KAFKA_NAMES.iter().copied();
    let fixed = fixed.filter(|name| KAFKA_DYNAMIC.binary_search(name).is_err());
    fixed.chain(TABLE.iter().flat_map(|row| row.aliases.iter().copied()))
}

/// Whether Apache Kafka has a setting of this name that nothing here corresponds to.
fn is_kafkas(name: &str) -> bool {
    KAFKA_NAMES.binary_search(&name).is_ok() || name.starts_with(LISTENER_PREFIX)
}

/// Why a name may be passed over, if it may. `is_alike`: a known name is much like it.
pub fn reason(name: &str, origin: &Source, is_alike: bool) -> Option<&'static str> {
    if is_kafkas(name) {
        let reason = REASONS.iter().find(|(prefix, _)| name.starts_with(prefix));
        Some(reason.map_or("nothing here corresponds to it", |(_, reason)| reason))
    } else {
        let may_be_of_a_plug_in =
            matches!(origin, Source::File { .. }) && !is_alike && !name.starts_with(OWN_PREFIX);
        may_be_of_a_plug_in.then_some("nobody here knows it")
    }
}
