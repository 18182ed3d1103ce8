//! THE list of features (KIP-584): which levels this version supports, and which one a cluster begins
//! with that never had the feature.
//!
//! Clients find both in ApiVersions. A feature is a row once its semantics are served, never before:
//! clients act on it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    pub name: &'static str,
    /// Lowest and highest level; a lowest of 0 means that the feature can be off.
    pub min: i16,
    pub max: i16,
    /// In force from the first start with this row on, unless somebody decides otherwise.
    pub initial: i16,
}

/// Every feature.
pub static FEATURES: &[Feature] = &[
    // KIP-848: groups whose members the coordinator assigns.
    Feature {
        name: "group.version",
        min: 0,
        max: 1,
        initial: 1,
    },
    // The levels of Apache Kafka 4.3: 3.3-IV3 to 4.3-IV0. Nothing here depends on it.
    Feature {
        name: "metadata.version",
        min: 7,
        max: 30,
        initial: 30,
    },
    // KIP-890: 2 has the epoch grow with every transaction.
    Feature {
        name: "transaction.version",
        min: 0,
        max: 2,
        initial: 2,
    },
];

/// The supported levels, as the cluster's owner wants them.
pub fn supported() -> BTreeMap<&'static str, RangeInclusive<i16>> {
    let ranges = FEATURES.iter().map(|row| (row.name, row.min..=row.max));
    ranges.collect()
}

/// The levels a cluster begins with.
pub fn initial() -> Vec<(String, i16)> {
    let levels = FEATURES
        .iter()
        .map(|row| (row.name.to_owned(), row.initial));
    levels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sound() {
        assert!(FEATURES.is_sorted_by(|a, b| a.name < b.name));
        for row in FEATURES {
            assert!(row.min >= 0 && (row.min..=row.max).contains(&row.initial));
        }
    }
}
