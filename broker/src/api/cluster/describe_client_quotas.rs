//! DescribeClientQuotas (key 48, KIP-546): quotas of the entities that pass a filter.
//!
//! Each component of the filter is about one type of name: exactly this one, the default, or any.
//! `strict` leaves out entities with names of other types.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use tidelog_coordinator::cluster::{EntityQuotas, EntityType, QuotaEntity};
use tidelog_protocol_ext::StrBytes;

use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;

// Kinds of match.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    #[error("a component names no type of entity")]
    EmptyType,
    #[error("there are no quotas for {0:?}: use user, client-id or ip")]
    UnknownType(String),
    #[error("type {0} is named more than once")]
    DuplicateType(&'static str),
    #[error("match type {0} does not exist: use 0 (exact), 1 (default) or 2 (any)")]
    UnknownMatch(i8),
    #[error("an exact match needs a name")]
    NoName,
    #[error("only an exact match takes a name")]
    Name,
    #[error("an ip stands alone: user and client-id cannot be added to it")]
    IpNotAlone,
}

/// Which names of one type pass.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// This name, or the default.
    Exactly(Option<String>),
    Any,
}

pub async fn handle(ctx: &Context, request: DescribeClientQuotasRequest) -> Outcome {
    // As Kafka writes it: no message is an empty one.
    let response =
        DescribeClientQuotasResponse::default().with_error_message(Some(StrBytes::new()));
    let filter = match filter(request.components) {
        Ok(filter) => filter,
        Err(bad) => {
            let failure = Failure::from(&bad);
            return ctx.answer(
                &response
                    .with_error_code(failure.code.code())
                    .with_error_message(Some(failure.message))
                    .with_entries(None),
            );
        }
    };
    let view = ctx.broker.cluster().view();
    let found = view.image.quotas().iter();
    let found = found.filter(|(entity, _)| passes(entity, &filter, request.strict));
    let entries = found
        .map(|(entity, quotas)| entry(entity, quotas))
        .collect();
    ctx.answer(&response.with_entries(Some(entries)))
}

fn filter(components: Vec<ComponentData>) -> Result<BTreeMap<EntityType, Wanted>, BadFilter> {
    let mut filter = BTreeMap::new();
    for component in components {
        let name = component.entity_type.as_str();
        if name.is_empty() {
            return Err(BadFilter::EmptyType);
        }
        let kind =
            EntityType::named(name).ok_or_else(|| BadFilter::UnknownType(name.to_owned()))?;
        let wanted = match (component.match_type, component._match) {
            (EXACT, Some(name)) => Wanted::Exactly(Some(name.to_string())),
            (EXACT, None) => return Err(BadFilter::NoName),
            (DEFAULT, None) => Wanted::Exactly(None),
            (ANY, None) => Wanted::Any,
            (DEFAULT | ANY, Some(_)) => return Err(BadFilter::Name),
            (other, _) => return Err(BadFilter::UnknownMatch(other)),
        };
        if filter.insert(kind, wanted).is_some() {
            return Err(BadFilter::DuplicateType(kind.name()));
        }
    }
    match filter.contains_key(&EntityType::Ip) && filter.len() > 1 {
        true => Err(BadFilter::IpNotAlone),
        false => Ok(filter),
    }
}

fn passes(entity: &QuotaEntity, filter: &BTreeMap<EntityType, Wanted>, strict: bool) -> bool {
    let passes = filter
        .iter()
        .all(|(kind, wanted)| match (entity.get(kind), wanted) {
            (None, _) => false,
            (Some(_), Wanted::Any) => true,
            (Some(name), Wanted::Exactly(wanted)) => name == wanted,
        });
    passes && (!strict || entity.len() == filter.len())
}

fn entry(entity: &QuotaEntity, quotas: &EntityQuotas) -> EntryData {
    let entity = entity.iter().map(|(kind, name)| {
        EntityData::default()
            .with_entity_type(StrBytes::from_static_str(kind.name()))
            .with_entity_name(name.clone().map(StrBytes::from_string))
    });
    let values = quotas.iter().map(|(key, quota)| {
        ValueData::default()
            .with_key(StrBytes::from_string(key.clone()))
            .with_value(quota.get())
    });
    EntryData::default()
        .with_entity(entity.collect())
        .with_values(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_passes() {
        let entity = |names: &[(EntityType, Option<&str>)]| -> QuotaEntity {
            let names = names.iter();
            names
                .map(|(kind, name)| (*kind, name.map(str::to_owned)))
                .collect()
        };
        let (user, client) = (EntityType::User, EntityType::ClientId);
        let both = entity(&[(user, Some("a")), (client, None)]);
        let one = entity(&[(user, Some("a"))]);
        let exactly = |name: Option<&str>| Wanted::Exactly(name.map(str::to_owned));
        let cases = [
            (vec![], false, [true, true]),
            (vec![], true, [false, false]),
            (vec![(user, exactly(Some("a")))], false, [true, true]),
            (vec![(user, exactly(Some("a")))], true, [false, true]),
            (vec![(user, exactly(Some("b")))], false, [false, false]),
            (vec![(user, exactly(None))], false, [false, false]),
            (vec![(client, exactly(None))], false, [true, false]),
            (
                vec![(user, Wanted::Any), (client, Wanted::Any)],
                true,
                [true, false],
            ),
        ];
        for (filter, strict, expected) in cases {
            let filter: BTreeMap<_, _> = filter.into_iter().collect();
            let passed = [&both, &one].map(|entity| passes(entity, &filter, strict));
            assert_eq!(passed, expected, "{filter:?} {strict}");
        }
    }
}
