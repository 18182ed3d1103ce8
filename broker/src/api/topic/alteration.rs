//! What AlterConfigs and IncrementalAlterConfigs share: each resource stands or falls on its own,
//! all that are sound go to the owner as one command, answers keep the order of the request.
//!
//! Changes that concern tables come one at a time, so that each is judged by what the one before it
//! left. Levels of loggers belong to the process and are changed here.

use tidelog_coordinator::cluster::settings::ConfigError;
use tidelog_coordinator::cluster::{
    Alteration, ClusterError, Command, ConfigChange, ConfigResource, Reply,
};
use tidelog_protocol_ext::{ErrorCode, StrBytes};
use tracing::warn;

use super::config_resource::BadResource;
use super::loggers::{BadLevels, Levels};
use super::table::{self, BadTable};
use super::{controller, dynamic};
use crate::api::context::Context;
use crate::api::error::{Coded, Failure};
use crate::logging;

/// These requests carry no timeout.
const NO_TIMEOUT: i32 = 0;

/// A resource of a request, and what is to become of it.
pub struct Asked {
    pub resource_type: i8,
    pub resource_name: StrBytes,
    pub change: Result<Change, BadChange>,
}

/// What is to become of it.
pub enum Change {
    Settings(ConfigChange),
    Levels(Levels),
}

/// Why a change does not go to the owner.
#[derive(Debug, thiserror::Error)]
pub enum BadChange {
    #[error(transparent)]
    Resource(#[from] BadResource),
    #[error(transparent)]
    Alias(#[from] ConfigError),
    #[error(transparent)]
    Table(#[from] BadTable),
    #[error(transparent)]
    Levels(#[from] BadLevels),
}

impl Change {
    /// A change of the settings of `resource`, those of topics without aliases.
    ///
    /// # Errors
    /// [`BadChange::Alias`].
    pub fn of(resource: ConfigResource, alteration: Alteration) -> Result<Self, BadChange> {
        let alteration = match &resource {
            ConfigResource::Topic(_) => alteration.without_aliases()?,
            _ => alteration,
        };
        Ok(Self::Settings(ConfigChange {
            resource,
            alteration,
        }))
    }
}

/// What became of it.
pub struct Altered {
    pub resource_type: i8,
    pub resource_name: StrBytes,
    pub failure: Option<Failure>,
}

/// Makes the changes, or only checks them.
pub async fn carry_out(ctx: &Context, asked: Vec<Asked>, validate_only: bool) -> Vec<Altered> {
    let _turn = match settings(&asked).any(table::concerns) {
        true => ctx.broker.rows().settings_turn().await,
        false => None,
    };
    let asked = asked.into_iter();
    let asked: Vec<_> = asked
        .map(|asked| checked(ctx, asked, validate_only))
        .collect();
    let changes: Vec<_> = settings(&asked).cloned().collect();
    let brokers = changes.iter().any(|change| is_broker(&change.resource));
    if brokers && !validate_only {
        warn_of_foreign(ctx, &changes);
    }
    let command = Command::AlterConfigs {
        changes,
        validate_only,
    };
    let answer = controller::ask(ctx, command, NO_TIMEOUT, |reply| match reply {
        Reply::Altered(results) => Some(results),
        _ => None,
    });
    let (mut results, unanswered) = match answer.await {
        Ok(results) => (results.into_iter(), None),
        Err(error) => (Vec::new().into_iter(), Some(Failure::from(&error))),
    };
    if brokers && !validate_only {
        dynamic::apply(&ctx.broker);
    }
    asked
        .into_iter()
        .map(|asked| Altered {
            resource_type: asked.resource_type,
            resource_name: asked.resource_name,
            failure: match asked.change {
                Err(bad) => Some(Failure::from(&bad)),
                // The owner answers as many changes as it was given, in their order.
                Ok(Change::Levels(_)) => None,
                Ok(Change::Settings(_)) => match results.next() {
                    Some((_, result)) => result.err().map(|error| Failure::from(&error)),
                    None => unanswered.clone(),
                },
            },
        })
        .collect()
}

/// The sound changes of settings.
fn settings(asked: &[Asked]) -> impl Iterator<Item = &ConfigChange> {
    asked.iter().filter_map(|asked| match &asked.change {
        Ok(Change::Settings(change)) => Some(change),
        Ok(Change::Levels(_)) | Err(_) => None,
    })
}

/// Looks at what the owner of settings does not know of.
fn checked(ctx: &Context, asked: Asked, validate_only: bool) -> Asked {
    let change = asked.change.and_then(|change| {
        match &change {
            Change::Settings(change) => table::check_change(&ctx.broker, change)?,
            Change::Levels(levels) => logging::loggers()
                .change(levels, validate_only)
                .map_err(BadLevels::from)?,
        }
        Ok(change)
    });
    Asked { change, ..asked }
}

/// Tells the administrator of settings that are kept and that nobody here reads.
fn warn_of_foreign(ctx: &Context, changes: &[ConfigChange]) {
    let known = ctx.broker.cluster().broker_settings();
    for change in changes.iter().filter(|change| is_broker(&change.resource)) {
        let names: Vec<&String> = match &change.alteration {
            Alteration::Edit(edits) => edits.iter().map(|edit| &edit.name).collect(),
            Alteration::Replace(configs) => configs.iter().map(|(name, _)| name).collect(),
        };
        for name in names.into_iter().filter(|name| known.get(name).is_none()) {
            warn!(resource = %change.resource, name, "nobody here knows this setting");
        }
    }
}

impl Coded for BadChange {
    fn code(&self) -> ErrorCode {
        match self {
            BadChange::Resource(error) => error.code(),
            BadChange::Alias(error) => ClusterError::from(error.clone()).code(),
            BadChange::Table(error) => error.code(),
            BadChange::Levels(error) => error.code(),
        }
    }
}

fn is_broker(resource: &ConfigResource) -> bool {
    matches!(
        resource,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault
    )
}
