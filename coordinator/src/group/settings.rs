//! Limits and delays of the group coordinator; defaults are Kafka's.

use std::collections::HashMap;

/// Settings shared by all groups of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before
    /// its first generation. Zero completes the join at once.
    pub initial_rebalance_delay_ms: i32,
    /// A member that joins for the first time is given up after waiting this long in JoinGroup:
    /// it may be a client that is gone, and it sends no heartbeats to tell.
    pub new_member_join_timeout_ms: i32,
    /// `group.max.size`
    pub members_max: usize,
    /// Member ids handed out and not yet used, per group: bounds what anonymous joins can pile up.
    pub pending_members_max: usize,
    /// `offset.metadata.max.bytes`; Kafka counts UTF-16 units, so do we.
    pub offset_metadata_chars_max: usize,
    /// Largest encoded group record (all subscriptions and assignments of a generation), and most
    /// metadata one member may bring.
    pub group_record_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: i64,
    /// For members of the new protocol, where their group has none of its own.
    pub consumer_times: ConsumerTimes,
    /// Groups with times of their own.
    pub consumer_times_of: HashMap<String, ConsumerTimes>,
    /// `group.consumer.max.size`
    pub consumer_members_max: usize,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
}

/// How often members of the new protocol are heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerTimes {
    /// `consumer.session.timeout.ms`: how long a member may be silent.
    pub session_timeout_ms: i32,
    /// `consumer.heartbeat.interval.ms`: how often it is to send heartbeats.
    pub heartbeat_interval_ms: i32,
}

impl GroupSettings {
    /// What holds for members of one group.
    pub(super) fn consumer_times(&self, group: &str) -> ConsumerTimes {
        let own = self.consumer_times_of.get(group).copied();
        own.unwrap_or(self.consumer_times)
    }
}

/// Which way groups may change their kind while they have members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigrationPolicy {
    #[default]
    Bidirectional,
    /// From the classic protocol to the new one.
    Upgrade,
    /// Back to the classic protocol.
    Downgrade,
    Disabled,
}

impl MigrationPolicy {
    /// The policy that Kafka calls so.
    pub fn named(name: &str) -> Option<Self> {
        let policies = [
            ("bidirectional", Self::Bidirectional),
            ("upgrade", Self::Upgrade),
            ("downgrade", Self::Downgrade),
            ("disabled", Self::Disabled),
        ];
        let mut policies = policies.into_iter();
        let found = policies.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, policy)| policy)
    }

    pub(super) const fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(super) const fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            new_member_join_timeout_ms: 300_000,
            members_max: i32::MAX as usize,
            pending_members_max: 10_000,
            offset_metadata_chars_max: 4_096,
            group_record_bytes_max: 8 * 1024 * 1024,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            retention_check_interval_ms: 600_000,
            consumer_times: ConsumerTimes {
                session_timeout_ms: 45_000,
                heartbeat_interval_ms: 5_000,
            },
            consumer_times_of: HashMap::new(),
            consumer_members_max: i32::MAX as usize,
            migration: MigrationPolicy::Bidirectional,
        }
    }
}
