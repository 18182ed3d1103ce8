//! Kafka settings that are accepted and do nothing here, so that an existing `server.properties`
//! starts unmodified. Each is named in a warning at start with the reason it has no effect.

/// Why a setting has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Kafka's controllers are processes with roles and a quorum.
    NoControllerQuorum,
    /// Threads and buffers are sized by the runtime.
    SizedByRuntime,
    /// There is one replica of everything.
    OneReplica,
    /// Durability is `tidelog.flush.mode`.
    FlushMode,
    /// Encryption and login are not served, so every listener is plain.
    PlainListeners,
}

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Reason::NoControllerQuorum => "there are no controller processes",
            Reason::SizedByRuntime => "threads and buffers are sized by the broker itself",
            Reason::OneReplica => "internal topics have one replica",
            Reason::FlushMode => "tidelog.flush.mode decides when data is synced",
            Reason::PlainListeners => "every listener is plaintext",
        }
    }
}

static INERT: &[(&str, Reason)] = &[
    ("process.roles", Reason::NoControllerQuorum),
    ("controller.quorum.voters", Reason::NoControllerQuorum),
    (
        "controller.quorum.bootstrap.servers",
        Reason::NoControllerQuorum,
    ),
    ("controller.listener.names", Reason::NoControllerQuorum),
    ("inter.broker.listener.name", Reason::NoControllerQuorum),
    ("zookeeper.connect", Reason::NoControllerQuorum),
    (
        "zookeeper.connection.timeout.ms",
        Reason::NoControllerQuorum,
    ),
    ("listener.security.protocol.map", Reason::PlainListeners),
    ("num.network.threads", Reason::SizedByRuntime),
    ("num.io.threads", Reason::SizedByRuntime),
    ("background.threads", Reason::SizedByRuntime),
    ("queued.max.requests", Reason::SizedByRuntime),
    ("socket.send.buffer.bytes", Reason::SizedByRuntime),
    ("socket.receive.buffer.bytes", Reason::SizedByRuntime),
    ("num.recovery.threads.per.data.dir", Reason::SizedByRuntime),
    ("offsets.topic.replication.factor", Reason::OneReplica),
    (
        "transaction.state.log.replication.factor",
        Reason::OneReplica,
    ),
    ("transaction.state.log.min.isr", Reason::OneReplica),
    (
        "share.coordinator.state.topic.replication.factor",
        Reason::OneReplica,
    ),
    ("share.coordinator.state.topic.min.isr", Reason::OneReplica),
    ("log.flush.interval.messages", Reason::FlushMode),
    ("log.flush.interval.ms", Reason::FlushMode),
];

/// Why `name` has no effect, if it is such a setting.
pub fn reason(name: &str) -> Option<Reason> {
    INERT
        .iter()
        .find(|(inert, _)| *inert == name)
        .map(|(_, reason)| *reason)
}
