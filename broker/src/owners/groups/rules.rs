//! Settings of groups, in the form in which their coordinators obey them.

use tidelog_coordinator::cluster::settings::{Layers, Overrides};
use tidelog_coordinator::cluster::{Image, NamedResource};
use tidelog_coordinator::group::{ConsumerTimes, GroupSettings, MigrationPolicy};

use crate::owners::cluster::ClusterHandle;
use crate::settings::{GroupMigration, Settings};

/// What holds for groups: the broker's settings, and those of single groups in the cluster's image.
#[derive(Clone)]
pub(super) struct Rules {
    /// Where a group says nothing.
    all: GroupSettings,
    cluster: ClusterHandle,
}

impl Rules {
    pub(super) fn new(settings: &Settings, cluster: ClusterHandle) -> Self {
        Self {
            all: group_settings(settings),
            cluster,
        }
    }

    /// What holds while this is the image.
    pub(super) fn of(&self, image: &Image) -> GroupSettings {
        let layers = Layers::new(self.cluster.broker_settings(), None, None);
        let own = image.named_configs().iter().filter_map(|(group, set)| {
            let times = own_times(group, set, &layers, self.all.consumer_times)?;
            Some((group.name().to_owned(), times))
        });
        GroupSettings {
            consumer_times_of: own.collect(),
            ..self.all.clone()
        }
    }
}

/// The times of a group that has some of its own; `all` are those it takes over.
fn own_times(
    group: &NamedResource,
    set: &Overrides,
    layers: &Layers<'_>,
    all: ConsumerTimes,
) -> Option<ConsumerTimes> {
    if !matches!(group, NamedResource::Group(_)) {
        return None;
    }
    let own = |name: &str| {
        let config = group.configs().iter().find(|config| config.name == name)?;
        let number = config.own_number(set, layers)?;
        i32::try_from(number).ok()
    };
    let session_timeout_ms = own("consumer.session.timeout.ms");
    let heartbeat_interval_ms = own("consumer.heartbeat.interval.ms");
    (session_timeout_ms.or(heartbeat_interval_ms)).map(|_| ConsumerTimes {
        session_timeout_ms: session_timeout_ms.unwrap_or(all.session_timeout_ms),
        heartbeat_interval_ms: heartbeat_interval_ms.unwrap_or(all.heartbeat_interval_ms),
    })
}

fn group_settings(settings: &Settings) -> GroupSettings {
    let count = |n: i32| usize::try_from(n).unwrap_or(0);
    GroupSettings {
        session_timeout_min_ms: settings.group_min_session_timeout_ms,
        session_timeout_max_ms: settings.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
        members_max: count(settings.group_max_size),
        offset_metadata_chars_max: count(settings.offset_metadata_max_bytes),
        offsets_retention_ms: i64::from(settings.offsets_retention_minutes) * 60_000,
        retention_check_interval_ms: settings.offsets_retention_check_interval_ms,
        consumer_times: ConsumerTimes {
            session_timeout_ms: settings.group_consumer_session_timeout_ms,
            heartbeat_interval_ms: settings.group_consumer_heartbeat_interval_ms,
        },
        consumer_members_max: count(settings.group_consumer_max_size),
        migration: match settings.group_consumer_migration_policy {
            GroupMigration::Bidirectional => MigrationPolicy::Bidirectional,
            GroupMigration::Upgrade => MigrationPolicy::Upgrade,
            GroupMigration::Downgrade => MigrationPolicy::Downgrade,
            GroupMigration::Disabled => MigrationPolicy::Disabled,
        },
        ..GroupSettings::default()
    }
}
