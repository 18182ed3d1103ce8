//! UpdateFeatures (key 57, KIP-584): set levels of features, all of a request or none.
//!
//! Up to v1 a success is told feature by feature too; a failure is always told once, with the first
//! feature that stands in the way. `allow_downgrade` of v0 is not read, as in Kafka 4: who wants a
//! downgrade says so with an upgrade type.

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use tidelog_coordinator::cluster::{Command, Direction, FeatureUpdate, Reply};
use tidelog_protocol_ext::StrBytes;

use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;
use crate::api::topic::controller;

/// Kafka's message of a success.
const SUCCESS: StrBytes = StrBytes::from_static_str("NONE");

/// Last version that answers feature by feature.
const RESULTS_UNTIL: i16 = 1;

// Upgrade types.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// An upgrade type that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "feature {feature}: upgrade type {upgrade_type} does not exist: use 1 (upgrade), 2 (safe \
     downgrade) or 3 (unsafe downgrade)"
)]
pub struct UnknownDirection {
    feature: String,
    upgrade_type: i8,
}

pub async fn handle(ctx: &Context, request: UpdateFeaturesRequest) -> Outcome {
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    let response = match update(ctx, &request).await {
        Ok(()) if ctx.version() <= RESULTS_UNTIL => {
            let updates = request.feature_updates.iter();
            let results = updates.map(|update| {
                UpdatableFeatureResult::default()
                    .with_feature(update.feature.clone())
                    .with_error_message(Some(SUCCESS))
            });
            response.with_results(results.collect())
        }
        Ok(()) => response,
        Err(failure) => response
            .with_error_code(failure.code.code())
            .with_error_message(Some(failure.message)),
    };
    ctx.answer(&response)
}

async fn update(ctx: &Context, request: &UpdateFeaturesRequest) -> Result<(), Failure> {
    let updates: Result<Vec<_>, _> = request.feature_updates.iter().map(asked).collect();
    let command = Command::UpdateFeatures {
        updates: updates.map_err(|unknown| Failure::from(&unknown))?,
        validate_only: request.validate_only,
    };
    let answer = controller::ask(ctx, command, request.timeout_ms, |reply| match reply {
        Reply::Features(result) => Some(result),
        _ => None,
    });
    let result = answer.await.map_err(|error| Failure::from(&error))?;
    result.map_err(|error| Failure::from(&error))
}

fn asked(update: &FeatureUpdateKey) -> Result<FeatureUpdate, UnknownDirection> {
    let feature = update.feature.to_string();
    let direction = match update.upgrade_type {
        UPGRADE => Direction::Up,
        SAFE_DOWNGRADE | UNSAFE_DOWNGRADE => Direction::Down,
        upgrade_type => {
            return Err(UnknownDirection {
                feature,
                upgrade_type,
            });
        }
    };
    Ok(FeatureUpdate {
        name: feature,
        level: update.max_version_level,
        direction,
    })
}
