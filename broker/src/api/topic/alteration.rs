//! What AlterConfigs and IncrementalAlterConfigs share: each resource stands or falls on its own,
//! all that are sound go to the owner as one command, answers keep the order of the request.

use tidelog_coordinator::cluster::{Command, ConfigChange, ConfigResource, Reply};
use tidelog_protocol_ext::StrBytes;

use super::config_resource::BadResource;
use super::{controller, dynamic};
use crate::api::context::Context;
use crate::api::error::Failure;

/// These requests carry no timeout.
const NO_TIMEOUT: i32 = 0;

/// A resource of a request, and what is to become of it.
pub struct Asked {
    pub resource_type: i8,
    pub resource_name: StrBytes,
    pub change: Result<ConfigChange, BadResource>,
}

/// What became of it.
pub struct Altered {
    pub resource_type: i8,
    pub resource_name: StrBytes,
    pub failure: Option<Failure>,
}

/// Makes the changes, or only checks them.
pub async fn carry_out(ctx: &Context, asked: Vec<Asked>, validate_only: bool) -> Vec<Altered> {
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

fn is_broker(resource: &ConfigResource) -> bool {
    matches!(
        resource,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault
    )
}
