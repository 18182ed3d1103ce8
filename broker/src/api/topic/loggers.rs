//! Levels of loggers as settings of a broker (KIP-412): IncrementalAlterConfigs sets them, until the
//! process ends; DescribeConfigs shows them.

use std::collections::HashSet;

use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use tidelog_coordinator::cluster::settings::{ConfigEntry, ConfigSource, ConfigType};
use tidelog_protocol_ext::ErrorCode;

use super::config_resource::BadResource;
use crate::api::context::Context;
use crate::api::error::Coded;
use crate::logging::{self, Level, LoggerError, ROOT};

/// Numbers of the operations that loggers know.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// New levels; `None`: as if none had been set.
pub type Levels = Vec<(String, Option<Level>)>;

/// Why levels are not changed.
#[derive(Debug, thiserror::Error)]
pub enum BadLevels {
    #[error(transparent)]
    Resource(#[from] BadResource),
    #[error(transparent)]
    Logger(#[from] LoggerError),
    #[error(
        "{logger} cannot have the level {level:?}: use {}",
        logging::level_names()
    )]
    Unknown { logger: String, level: String },
    #[error("{0} is named more than once")]
    NamedTwice(String),
    #[error("the level of {ROOT} can be set and not be taken away")]
    RootStays,
    #[error("levels are no lists: use 0 (SET) or 1 (DELETE)")]
    NoList,
}

impl Coded for BadLevels {
    fn code(&self) -> ErrorCode {
        match self {
            BadLevels::Resource(error) => error.code(),
            BadLevels::Logger(LoggerError::Unknown(_)) | BadLevels::Unknown { .. } => {
                ErrorCode::InvalidConfig
            }
            BadLevels::Logger(LoggerError::TooMany) => ErrorCode::PolicyViolation,
            BadLevels::NamedTwice(_) | BadLevels::RootStays | BadLevels::NoList => {
                ErrorCode::InvalidRequest
            }
        }
    }
}

/// The levels a request asks for.
///
/// # Errors
/// Another broker is meant, or one of them is none.
pub fn asked(
    ctx: &Context,
    broker: &str,
    configs: &[AlterableConfig],
) -> Result<Levels, BadLevels> {
    check_broker(ctx, broker)?;
    let mut seen = HashSet::new();
    configs
        .iter()
        .map(|config| {
            let logger = config.name.to_string();
            if !seen.insert(logger.clone()) {
                return Err(BadLevels::NamedTwice(logger));
            }
            match (config.config_operation, &config.value) {
                (DELETE, _) if logger == ROOT => Err(BadLevels::RootStays),
                (DELETE, _) => Ok((logger, None)),
                (_, None) => Err(BadResource::NoValue(logger).into()),
                (SET, Some(level)) => match Level::named(level) {
                    Some(level) => Ok((logger, Some(level))),
                    None => {
                        let level = level.to_string();
                        Err(BadLevels::Unknown { logger, level })
                    }
                },
                _ => Err(BadLevels::NoList),
            }
        })
        .collect()
}

/// The loggers of this broker, those of `keys` if there are any.
///
/// # Errors
/// Another broker is meant.
pub fn describe(
    ctx: &Context,
    broker: &str,
    keys: Option<&[String]>,
) -> Result<Vec<ConfigEntry>, BadResource> {
    check_broker(ctx, broker)?;
    let levels = logging::loggers().levels().into_iter();
    let wanted = levels.filter(|(name, _)| keys.is_none_or(|keys| keys.contains(name)));
    Ok(wanted.map(|(name, level)| entry(name, level)).collect())
}

fn entry(name: String, level: Level) -> ConfigEntry {
    ConfigEntry {
        name,
        value: Some(level.name().to_owned()),
        source: ConfigSource::Logger,
        read_only: false,
        sensitive: false,
        synonyms: Vec::new(),
        config_type: ConfigType::Unknown,
        doc: "How much is logged. RUST_LOG chooses at start.",
    }
}

fn check_broker(ctx: &Context, broker: &str) -> Result<(), BadResource> {
    match broker == ctx.broker.node_id().to_string() {
        true => Ok(()),
        false => Err(BadResource::NotThisBroker(broker.to_owned())),
    }
}
