//! AlterClientQuotas (key 49, KIP-546): set and take away quotas. Each entity takes all of its
//! changes or none.
//!
//! Quotas are kept and can be described; nobody is slowed down by them.

use std::net::IpAddr;

use kafka_protocol::messages::alter_client_quotas_request::EntryData;
use kafka_protocol::messages::alter_client_quotas_response as answered;
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use tidelog_coordinator::cluster::{Command, EntityType, NamedEntity, QuotaChange, Reply};
use tidelog_protocol_ext::StrBytes;
use tokio::net::lookup_host;

use crate::api::context::{Context, Outcome};
use crate::api::error::{Failure, code_of};
use crate::api::topic::controller;

/// These requests carry no timeout.
const NO_TIMEOUT: i32 = 0;

/// Why the owner is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a host whose address can be found")]
pub struct UnknownHost(String);

pub async fn handle(ctx: &Context, request: AlterClientQuotasRequest) -> Outcome {
    let (mut changes, mut bad) = (Vec::new(), Vec::new());
    for entry in request.entries {
        let change = change(entry);
        match unknown_host(&change.entity).await {
            None => changes.push(change),
            Some(host) => bad.push((change.entity, UnknownHost(host))),
        }
    }
    let entities: Vec<NamedEntity> = changes.iter().map(|change| change.entity.clone()).collect();
    let command = Command::AlterQuotas {
        changes,
        validate_only: request.validate_only,
    };
    let answer = controller::ask(ctx, command, NO_TIMEOUT, |reply| match reply {
        Reply::Quotas(results) => Some(results),
        _ => None,
    });
    let mut entries: Vec<_> = match answer.await {
        Ok(results) => results
            .into_iter()
            .map(|(entity, result)| entry(entity, result.err().map(|error| Failure::from(&error))))
            .collect(),
        Err(error) => {
            let failure = Failure::from(&error);
            let entities = entities.into_iter();
            entities
                .map(|entity| entry(entity, Some(failure.clone())))
                .collect()
        }
    };
    let bad = bad.into_iter();
    entries.extend(bad.map(|(entity, error)| entry(entity, Some(Failure::from(&error)))));
    ctx.answer(&AlterClientQuotasResponse::default().with_entries(entries))
}

fn change(entry: EntryData) -> QuotaChange {
    let entity = entry.entity.into_iter().map(|part| {
        let name = part.entity_name.map(|name| name.to_string());
        (part.entity_type.to_string(), name)
    });
    let ops = entry.ops.into_iter().map(|op| {
        let value = (!op.remove).then_some(op.value);
        (op.key.to_string(), value)
    });
    QuotaChange {
        entity: entity.collect(),
        ops: ops.collect(),
    }
}

/// The host of an entity by address that names none. As in Kafka a host name is looked up, once.
async fn unknown_host(entity: &NamedEntity) -> Option<String> {
    let host = entity.get(EntityType::Ip.name())?.as_ref()?;
    let is_found = host.is_empty()
        || host.parse::<IpAddr>().is_ok()
        || lookup_host((host.as_str(), 0)).await.is_ok();
    (!is_found).then(|| host.clone())
}

fn entry(entity: NamedEntity, failure: Option<Failure>) -> answered::EntryData {
    let entity = entity.into_iter().map(|(kind, name)| {
        answered::EntityData::default()
            .with_entity_type(StrBytes::from_string(kind))
            .with_entity_name(name.map(StrBytes::from_string))
    });
    answered::EntryData::default()
        .with_error_code(code_of(failure.as_ref()))
        .with_error_message(failure.map(|failure| failure.message))
        .with_entity(entity.collect())
}
