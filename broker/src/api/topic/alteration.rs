//! What AlterConfigs and IncrementalAlterConfigs share: each resource stands or falls on its own,
//! all that are sound go to the owner as one command, answers keep the order of the request.
//!
//! Changes that concern tables come one at a time, so that each is judged by what the one before it
//! left.

use tidelog_coordinator::cluster::{Command, ConfigChange, ConfigResource, Reply};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::config_resource::BadResource;
use super::table::{self, BadTable};
use super::{controller, dynamic};
use crate::api::context::Context;
use crate::api::error::{Coded, Failure};

/// These requests carry no timeout.
const NO_TIMEOUT: i32 = 0;

/// A resource of a request, and what is to become of it.
pub struct Asked {
    pub resource_type: i8,
    pub resource_name: StrBytes,
    pub change: Result<ConfigChange, BadChange>,
}

/// Why a change does not go to the owner.
#[derive(Debug, thiserror::Error)]
pub enum BadChange {
    #[error(transparent)]
    Resource(#[from] BadResource),
    #[error(transparent)]
    Table(#[from] BadTable),
}

/// What became of it.
pub struct Altered {
    pub resource_type: i8,
    pub resource_name: StrBytes,
    pub failure: Option<Failure>,
}

/// Makes the changes, or only checks them.
pub async fn carry_out(ctx: &Context, asked: Vec<Asked>, validate_only: bool) -> Vec<Altered> {
    let sound = || asked.iter().filter_map(|asked| asked.change.as_ref().ok());
    let _turn = match sound().any(table::concerns) {
        true => ctx.broker.rows().settings_turn().await,
        false => None,
    };
    let asked: Vec<_> = asked.into_iter().map(|asked| checked(ctx, asked)).collect();
    let sound = asked.iter().filter_map(|asked| asked.change.as_ref().ok());
    let changes: Vec<_> = sound.cloned().collect();
    let brokers = changes.iter().any(|change| is_broker(&change.resource));
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
                Ok(_) => match results.next() {
                    Some((_, result)) => result.err().map(|error| Failure::from(&error)),
                    None => unanswered.clone(),
                },
            },
        })
        .collect()
}

fn checked(ctx: &Context, asked: Asked) -> Asked {
    let change = asked.change.and_then(|change| {
        table::check_change(&ctx.broker, &change)?;
        Ok(change)
    });
    Asked { change, ..asked }
}

impl Coded for BadChange {
    fn code(&self) -> ErrorCode {
        match self {
            BadChange::Resource(error) => error.code(),
            BadChange::Table(error) => error.code(),
        }
    }
}

fn is_broker(resource: &ConfigResource) -> bool {
    matches!(
        resource,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault
    )
}
