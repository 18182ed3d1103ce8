//! Arrays: all items, items one by one, and what follows them.

use super::{ADDED, Comparison, Report, Side};
use crate::json_schema::BadSchema;
use crate::json_schema::document::Form;
use crate::json_schema::keywords::{Array, Rest};

impl Comparison {
    pub(super) fn arrays(
        &mut self,
        old: (Side<'_>, &Array),
        new: (Side<'_>, &Array),
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        match (old.1.items, new.1.items) {
            (None, Some(_)) => report.at("items", "SCHEMA_ADDED", ADDED),
            (Some(from), Some(to)) => {
                let found = self.schemas(old.0.to(from), new.0.to(to))?;
                report.inside(&["items"], found);
            }
            _ => {}
        }
        self.items_one_by_one(old, new, report)?;
        let names = ("additionalItems", "ADDITIONAL_ITEMS");
        let (from, to) = ((old.0, old.1.additional), (new.0, new.1.additional));
        self.rest(from, to, names, report)?;
        let names = ("unevaluatedItems", "UNEVALUATED_ITEMS");
        let side = |(side, array): (_, &Array)| {
            let side: Side<'_> = side;
            array.unevaluated.map(|id| side.to(id))
        };
        self.unevaluated(side(old), side(new), names, report)?;
        limits(old.1, new.1, report);
        Ok(())
    }

    fn items_one_by_one(
        &mut self,
        (old, from): (Side<'_>, &Array),
        (new, to): (Side<'_>, &Array),
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        for place in 0..from.prefix.len().max(to.prefix.len()) {
            let step = format!("items/{place}");
            match (from.prefix.get(place), to.prefix.get(place)) {
                (Some(from), Some(to)) => {
                    let found = self.schemas(old.to(*from), new.to(*to))?;
                    report.inside(&[&step], found);
                }
                (Some(item), None) => match behind(new, to) {
                    Behind::Anything => {}
                    Behind::Some(rest) => {
                        let found = self.schemas(old.to(*item), rest)?;
                        let rule = "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                        covered(found, &step, rule, report);
                    }
                    Behind::Nothing if matches!(old.to(*item).node().form, Form::Never) => {}
                    Behind::Nothing => {
                        let words = "an item is missing, and no more are allowed";
                        report.at(&step, "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", words);
                    }
                },
                (None, Some(item)) => match behind(old, from) {
                    Behind::Anything if matches!(new.to(*item).node().form, Form::Any) => {}
                    Behind::Anything => {
                        let words = "anything could stand there before";
                        report.at(&step, "ITEM_ADDED_TO_OPEN_CONTENT_MODEL", words);
                    }
                    Behind::Some(rest) => {
                        let found = self.schemas(rest, new.to(*item))?;
                        let rule = "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                        covered(found, &step, rule, report);
                    }
                    Behind::Nothing => {}
                },
                (None, None) => {}
            }
        }
        Ok(())
    }
}

/// What may follow the items that are named.
enum Behind<'a> {
    Anything,
    Some(Side<'a>),
    Nothing,
}

fn behind<'a>(side: Side<'a>, array: &Array) -> Behind<'a> {
    match array.additional {
        Rest::Closed => Behind::Nothing,
        Rest::Of(rest) => Behind::Some(side.to(rest)),
        Rest::Open => match array.unevaluated.map(|id| side.to(id)) {
            None => Behind::Anything,
            Some(rest) => match rest.node().form {
                Form::Any => Behind::Anything,
                Form::Never => Behind::Nothing,
                _ => Behind::Some(rest),
            },
        },
    }
}

fn covered(found: Vec<super::Difference>, step: &str, rule: &str, report: &mut Report) {
    if !found.is_empty() {
        report.inside(&[step], found);
        report.at(step, rule, "what may follow does not cover it");
    }
}

fn limits(old: &Array, new: &Array, report: &mut Report) {
    report.upper("maxItems", "MAX_ITEMS", old.max_items, new.max_items);
    report.lower("minItems", "MIN_ITEMS", old.min_items, new.min_items);
    report.upper(
        "maxContains",
        "MAX_CONTAINS",
        old.max_contains,
        new.max_contains,
    );
    report.lower(
        "minContains",
        "MIN_CONTAINS",
        old.min_contains,
        new.min_contains,
    );
    if new.unique && !old.unique {
        report.at("uniqueItems", "UNIQUE_ITEMS_ADDED", ADDED);
    }
}
