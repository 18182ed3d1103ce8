//! IncrementalAlterConfigs (key 44, KIP-339): change some settings, leave the others alone.

use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use tidelog_coordinator::cluster::{Alteration, ConfigEdit, EditOp};

use super::alteration::{self, Altered, Asked, BadChange, Change};
use super::config_resource::{self, BROKER_LOGGER, BadResource};
use super::loggers;
use crate::api::context::{Context, Outcome};
use crate::api::error::code_of;

pub async fn handle(ctx: &Context, request: IncrementalAlterConfigsRequest) -> Outcome {
    let resources = request.resources.into_iter();
    let asked = resources.map(|resource| asked(ctx, resource)).collect();
    let altered = alteration::carry_out(ctx, asked, request.validate_only).await;
    let responses = altered.into_iter().map(answer).collect();
    ctx.answer(&IncrementalAlterConfigsResponse::default().with_responses(responses))
}

fn asked(ctx: &Context, resource: AlterConfigsResource) -> Asked {
    let change = || -> Result<Change, BadChange> {
        let name = &resource.resource_name;
        if resource.resource_type == BROKER_LOGGER {
            let levels = loggers::asked(ctx, name, &resource.configs)?;
            return Ok(Change::Levels(levels));
        }
        let named = config_resource::named(resource.resource_type, name)?;
        let edits = resource.configs.iter().map(edit);
        let edits: Result<_, BadResource> = edits.collect();
        Change::of(named, Alteration::Edit(edits?))
    };
    Asked {
        change: change(),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
    }
}

fn edit(config: &AlterableConfig) -> Result<ConfigEdit, BadResource> {
    let op = match config.config_operation {
        0 => EditOp::Set,
        1 => EditOp::Delete,
        2 => EditOp::Append,
        3 => EditOp::Subtract,
        other => return Err(BadResource::UnknownOperation(other)),
    };
    let name = config.name.to_string();
    if config.value.is_none() && op != EditOp::Delete {
        return Err(BadResource::NoValue(name));
    }
    let value = config.value.as_ref().map(ToString::to_string);
    Ok(ConfigEdit { name, op, value })
}

fn answer(altered: Altered) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse::default()
        .with_error_code(code_of(altered.failure.as_ref()))
        .with_error_message(altered.failure.map(|failure| failure.message))
        .with_resource_type(altered.resource_type)
        .with_resource_name(altered.resource_name)
}
