//! Client quotas (KIP-546): numbers set for users, client ids and addresses.
//!
//! They are kept and shown; what obeys them is not here. Rules for entities, keys and values are
//! Kafka's. Invariants: an entity of the map has at least one quota; a quota is a finite number above
//! 0.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::controller::Draft;
use super::record::Record;

/// Entities with quotas; bounds what clients can make this process hold.
pub const QUOTA_ENTITIES_MAX: usize = 100_000;

/// Longest name of an entity in bytes.
pub const ENTITY_NAME_BYTES_MAX: usize = 1024;

/// A kind of thing that has quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityType {
    ClientId,
    Ip,
    User,
}

impl EntityType {
    /// The type Kafka calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "client-id" => Some(EntityType::ClientId),
            "ip" => Some(EntityType::Ip),
            "user" => Some(EntityType::User),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            EntityType::ClientId => "client-id",
            EntityType::Ip => "ip",
            EntityType::User => "user",
        }
    }
}

/// An entity as clients name it: a name for each type, whether or not there is such a type.
pub type NamedEntity = BTreeMap<String, Option<String>>;

/// Whom quotas are for: a name for each type, `None` for the default of all names.
pub type QuotaEntity = BTreeMap<EntityType, Option<String>>;

/// What is set for one entity, by key.
pub type EntityQuotas = BTreeMap<String, Quota>;

/// All entities that have quotas.
pub type Quotas = BTreeMap<QuotaEntity, EntityQuotas>;

/// A finite number above 0. Written as text, which keeps every bit of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota(f64);

// Never NaN.
impl Eq for Quota {}

impl Quota {
    /// `None` for what is not a finite number above 0.
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Quota(value))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let quota = text.parse().ok().and_then(Quota::new);
        quota.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no quota")))
    }
}

/// What to change about one entity; all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaChange {
    pub entity: NamedEntity,
    /// Key and value; no value takes the quota away.
    pub ops: Vec<(String, Option<f64>)>,
}

/// Why quotas of an entity were not changed. All of them are Kafka's INVALID_REQUEST.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuotaError {
    #[error("no entity is named: give a user, a client-id or an ip")]
    NoEntity,
    #[error("there are no quotas for {0:?}: use user, client-id or ip")]
    UnknownType(String),
    #[error("a name of type {} is empty; no name at all stands for the default", .0.name())]
    EmptyName(EntityType),
    #[error("a name of type {} is longer than {ENTITY_NAME_BYTES_MAX} bytes", .0.name())]
    LongName(EntityType),
    #[error("an ip stands alone: user and client-id cannot be added to it")]
    IpNotAlone,
    #[error("{entity} has no quota {key:?}: use {known}")]
    UnknownKey {
        entity: &'static str,
        key: String,
        known: &'static str,
    },
    #[error("quota {key} cannot be {value}: {reason}")]
    BadValue {
        key: String,
        value: String,
        reason: &'static str,
    },
    #[error("quota {0} is given more than once")]
    DuplicateKey(String),
    #[error("the entity is named more than once: only its first change was made")]
    DuplicateEntity,
    #[error("{QUOTA_ENTITIES_MAX} entities have quotas already: take some away first")]
    Full,
}

/// Decides each change on its own. As in Kafka the first of several changes of an entity is made,
/// and the entity is answered with an error all the same.
pub(super) fn change(
    draft: &mut Draft,
    changes: Vec<QuotaChange>,
) -> Vec<(NamedEntity, Result<(), QuotaError>)> {
    let mut results: Vec<(_, Result<(), QuotaError>)> = Vec::new();
    for QuotaChange { entity, ops } in changes {
        match results.iter_mut().find(|(named, _)| *named == entity) {
            Some((_, result)) => *result = Err(QuotaError::DuplicateEntity),
            None => {
                let result = change_one(draft, &entity, ops);
                results.push((entity, result));
            }
        }
    }
    results
}

fn change_one(
    draft: &mut Draft,
    named: &NamedEntity,
    ops: Vec<(String, Option<f64>)>,
) -> Result<(), QuotaError> {
    let mut seen = HashSet::new();
    if let Some((key, _)) = ops.iter().find(|(key, _)| !seen.insert(key.as_str())) {
        return Err(QuotaError::DuplicateKey(key.clone()));
    }
    let entity = entity(named)?;
    let old = draft.image.quotas().get(&entity);
    let is_new = old.is_none();
    let mut quotas = old.cloned().unwrap_or_default();
    for (key, value) in ops {
        match value {
            Some(value) => {
                let quota = checked(&entity, &key, value)?;
                quotas.insert(key, quota);
            }
            None => {
                quotas.remove(&key);
            }
        }
    }
    if is_new && !quotas.is_empty() && draft.image.quotas().len() >= QUOTA_ENTITIES_MAX {
        return Err(QuotaError::Full);
    }
    if draft.image.quotas().get(&entity) != Some(&quotas) && !(is_new && quotas.is_empty()) {
        let entity = entity.into_iter().collect();
        draft.push(Record::QuotasChanged { entity, quotas });
    }
    Ok(())
}

fn entity(named: &NamedEntity) -> Result<QuotaEntity, QuotaError> {
    let mut entity = QuotaEntity::new();
    for (kind, name) in named {
        let kind = EntityType::named(kind).ok_or_else(|| QuotaError::UnknownType(kind.clone()))?;
        match name.as_ref().map(String::len) {
            Some(0) => return Err(QuotaError::EmptyName(kind)),
            Some(bytes) if bytes > ENTITY_NAME_BYTES_MAX => {
                return Err(QuotaError::LongName(kind));
            }
            _ => entity.insert(kind, name.clone()),
        };
    }
    match entity.len() {
        0 => Err(QuotaError::NoEntity),
        2.. if entity.contains_key(&EntityType::Ip) => Err(QuotaError::IpNotAlone),
        _ => Ok(entity),
    }
}

/// Quotas of users and client ids, and whether they count whole things.
const CLIENT_KEYS: &[(&str, Option<f64>)] = &[
    ("producer_byte_rate", Some(i64::MAX as f64)),
    ("consumer_byte_rate", Some(i64::MAX as f64)),
    ("request_percentage", None),
    ("controller_mutation_rate", None),
];

/// Quotas of addresses.
const IP_KEYS: &[(&str, Option<f64>)] = &[("connection_creation_rate", Some(i32::MAX as f64))];

/// How far from a whole number Kafka still takes for one.
const FRACTION_MAX: f64 = 1e-6;

fn checked(entity: &QuotaEntity, key: &str, value: f64) -> Result<Quota, QuotaError> {
    let (kind, keys, known) = match entity.contains_key(&EntityType::Ip) {
        true => ("an ip", IP_KEYS, "connection_creation_rate"),
        false => (
            "a user or client-id",
            CLIENT_KEYS,
            "producer_byte_rate, consumer_byte_rate, request_percentage or controller_mutation_rate",
        ),
    };
    let Some((_, whole_max)) = keys.iter().find(|(name, _)| *name == key) else {
        return Err(QuotaError::UnknownKey {
            entity: kind,
            key: key.to_owned(),
            known,
        });
    };
    let bad = |reason| {
        Err(QuotaError::BadValue {
            key: key.to_owned(),
            value: value.to_string(),
            reason,
        })
    };
    match (Quota::new(value), whole_max) {
        (None, _) => bad("it must be a number above 0"),
        (Some(_), Some(max)) if value > *max => bad("it is too large"),
        (Some(_), Some(_)) if value.fract() > FRACTION_MAX => bad("it counts whole things"),
        (Some(quota), _) => Ok(quota),
    }
}
