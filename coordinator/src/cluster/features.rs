//! Feature levels (KIP-584): which newer behaviours of the cluster are in force.
//!
//! A level that somebody set stays, 0 included: a feature that was ended is not begun again by the
//! next start. Several levels of one request are set together or not at all.

use std::ops::RangeInclusive;

use super::controller::{Cluster, Draft};
use super::error::ClusterError;
use super::record::Record;

/// One level to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub name: String,
    /// 0 ends the feature.
    pub level: i16,
    pub direction: Direction,
}

/// Which way the caller means to go; a step the other way is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

impl Cluster {
    pub(super) fn update_features(
        &self,
        draft: &mut Draft,
        updates: Vec<FeatureUpdate>,
    ) -> Result<(), ClusterError> {
        // Judged before the first is set: one that is refused must not leave the others behind.
        for update in &updates {
            let current = draft.image.feature_level(&update.name);
            let supported = self.options().features.get(update.name.as_str());
            refused(update, current, supported).map_or(Ok(()), Err)?;
        }
        for FeatureUpdate { name, level, .. } in updates {
            if level != draft.image.feature_level(&name) {
                draft.push(Record::FeatureLevel { name, level });
            }
        }
        Ok(())
    }

    /// Sets the levels of features nobody decided on yet.
    pub(super) fn begin_features(&self, draft: &mut Draft, levels: Vec<(String, i16)>) {
        for (name, level) in levels {
            if !draft.image.features().contains_key(&name) {
                draft.push(Record::FeatureLevel { name, level });
            }
        }
    }
}

fn refused(
    update: &FeatureUpdate,
    current: i16,
    supported: Option<&RangeInclusive<i16>>,
) -> Option<ClusterError> {
    let level = update.level;
    let reason = match (supported, update.direction) {
        (None, _) => "this version does not know it".into(),
        (Some(range), _) if !range.contains(&level) => {
            format!("this version supports {} to {}", range.start(), range.end())
        }
        (Some(_), Direction::Up) if level < current => {
            format!("it is at {current}, and a downgrade was not asked for")
        }
        (Some(_), Direction::Down) if level > current => {
            format!("it is at {current}, and a downgrade was asked for")
        }
        // A feature that cannot be off is the form of the log itself.
        (Some(range), Direction::Down) if level < current && *range.start() > 0 => {
            format!("it is at {current}, and what was written since could not be read")
        }
        (Some(_), _) => return None,
    };
    Some(ClusterError::InvalidFeature {
        name: update.name.clone(),
        level,
        reason,
    })
}
