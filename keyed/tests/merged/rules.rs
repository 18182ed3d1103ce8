//! Every rule there is: engine × deletes × image.

use std::collections::BTreeMap;

use tidelog_keyed::merge::{EngineSpec, Rule};

use crate::format::{NAMES, columns};
use crate::model::FUNCTIONS;

/// An engine's name and the options that make it that engine.
type Choice = (&'static str, Vec<(String, String)>);

fn engines() -> Vec<Choice> {
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let functions = FUNCTIONS.iter().map(|(id, function)| {
        let (_, column) = NAMES.iter().find(|(named, _)| named == id).unwrap();
        option(&format!("agg.{column}"), function)
    });
    vec![
        ("last_row", vec![]),
        ("last_row", vec![option("merge", "partial")]),
        ("first_row", vec![]),
        ("versioned", vec![option("version.column", "ver")]),
        ("aggregation", functions.collect()),
    ]
}

/// All of them, in one order for ever.
pub fn all() -> Vec<Rule> {
    let mut rules = Vec::new();
    for (engine, of_engine) in engines() {
        for deletes in ["allow", "ignore", "disable"] {
            for image in ["full", "wal"] {
                let both = [("deletes", deletes), ("image", image)];
                let both = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let options: BTreeMap<_, _> = of_engine.iter().cloned().chain(both).collect();
                let spec = EngineSpec::parse(engine, &options).unwrap();
                rules.push(spec.bind(&columns()).unwrap());
            }
        }
    }
    rules
}
