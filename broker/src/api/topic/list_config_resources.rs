//! ListConfigResources (key 74, KIP-1142): what has settings, by kind. Version 0 asks for
//! subscriptions to metrics of clients only; later an empty list asks for every kind.

use std::collections::BTreeSet;

use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use tidelog_coordinator::cluster::NamedResource;
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::api::context::{Context, Outcome};

/// First version that chooses kinds.
const KINDS_FROM: i16 = 1;

/// Every kind, in the order they are answered.
const KINDS: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub async fn handle(ctx: &Context, request: ListConfigResourcesRequest) -> Outcome {
    let asked: BTreeSet<i8> = match (ctx.version() >= KINDS_FROM, request.resource_types) {
        (false, _) => [CLIENT_METRICS].into(),
        (true, kinds) if kinds.is_empty() => KINDS.into(),
        (true, kinds) => kinds.into_iter().collect(),
    };
    let response = ListConfigResourcesResponse::default();
    if !asked.iter().all(|kind| KINDS.contains(kind)) {
        return ctx.answer(&response.with_error_code(ErrorCode::UnsupportedVersion.code()));
    }
    let kinds = KINDS.iter().filter(|kind| asked.contains(kind));
    let resources = kinds.flat_map(|kind| {
        let names = names(ctx, *kind).into_iter();
        names.map(|name| resource(ctx.version(), *kind, name))
    });
    ctx.answer(&response.with_config_resources(resources.collect()))
}

fn names(ctx: &Context, kind: i8) -> Vec<String> {
    let view = ctx.broker.cluster().view();
    let named = view.image.named_configs().keys();
    match kind {
        GROUP => named
            .filter(|resource| matches!(resource, NamedResource::Group(_)))
            .map(|resource| resource.name().to_owned())
            .collect(),
        CLIENT_METRICS => named
            .filter(|resource| matches!(resource, NamedResource::ClientMetrics(_)))
            .map(|resource| resource.name().to_owned())
            .collect(),
        TOPIC => view
            .image
            .topics()
            .map(|topic| topic.name.clone())
            .collect(),
        _ => vec![ctx.broker.node_id().to_string()],
    }
}

fn resource(version: i16, kind: i8, name: String) -> ConfigResource {
    let resource = ConfigResource::default().with_resource_name(StrBytes::from_string(name));
    match version >= KINDS_FROM {
        true => resource.with_resource_type(kind),
        false => resource,
    }
}
