//! AlterConfigs (key 33): set these settings and return all others to their defaults. Old clients
//! only; IncrementalAlterConfigs took its place.

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use tidelog_coordinator::cluster::Alteration;

use super::alteration::{self, Altered, Asked, BadChange, Change};
use super::config_resource::{self, BadResource};
use crate::api::context::{Context, Outcome};
use crate::api::error::code_of;

pub async fn handle(ctx: &Context, request: AlterConfigsRequest) -> Outcome {
    let asked = request.resources.into_iter().map(asked).collect();
    let altered = alteration::carry_out(ctx, asked, request.validate_only).await;
    let responses = altered.into_iter().map(answer).collect();
    ctx.answer(&AlterConfigsResponse::default().with_responses(responses))
}

fn asked(resource: AlterConfigsResource) -> Asked {
    let change = || -> Result<Change, BadChange> {
        let named = config_resource::named(resource.resource_type, &resource.resource_name)?;
        let configs = resource.configs.iter().map(|config| {
            let name = config.name.to_string();
            match &config.value {
                Some(value) => Ok((name, Some(value.to_string()))),
                None => Err(BadResource::NoValue(name)),
            }
        });
        let configs: Result<_, BadResource> = configs.collect();
        Change::of(named, Alteration::Replace(configs?))
    };
    Asked {
        change: change(),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    }
}

fn answer(altered: Altered) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse::default()
        .with_error_code(code_of(altered.failure.as_ref()))
        .with_error_message(altered.failure.map(|failure| failure.message))
        .with_resource_type(altered.resource_type)
        .with_resource_name(altered.resource_name)
}
