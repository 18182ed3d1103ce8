//! Consume, transform, produce: each committed record of the source has one committed copy, in the same
//! partition and the same order.

use std::collections::{HashMap, HashSet};

use super::anomaly::{Anomaly, Place};
use super::log::Log;
use super::written::Value;
use super::{COPIES, SOURCE};

pub(super) fn compare(log: &Log<'_>, found: &mut Vec<Anomaly>) {
    let sources: HashSet<Place> = log.committed(SOURCE).map(|(place, _)| place).collect();
    let mut copied: HashMap<Place, Place> = HashMap::new();
    let mut newest: HashMap<u32, u64> = HashMap::new();

    for (place, entered) in log.committed(COPIES) {
        let Some(offset) = Value::parse(entered.value).and_then(|value| value.source) else {
            found.push(Anomaly::Invented {
                value: entered.value.to_owned(),
                place,
            });
            continue;
        };
        let source_place = Place {
            topic: SOURCE.to_owned(),
            partition: place.partition,
            offset,
        };
        if !sources.contains(&source_place) {
            found.push(Anomaly::CopiedUncommitted {
                source_place,
                place,
            });
        } else if let Some(first) = copied.get(&source_place) {
            found.push(Anomaly::CopiedTwice {
                source_place,
                first: first.clone(),
                second: place,
            });
        } else {
            let before = newest.entry(place.partition).or_insert(offset);
            if *before > offset {
                found.push(Anomaly::CopiedOutOfOrder {
                    source_place: source_place.clone(),
                    place: place.clone(),
                });
            }
            *before = offset.max(*before);
            copied.insert(source_place, place);
        }
    }
    let missing = sources
        .into_iter()
        .filter(|place| !copied.contains_key(place));
    found.extend(missing.map(|source_place| Anomaly::NotCopied { source_place }));
}
