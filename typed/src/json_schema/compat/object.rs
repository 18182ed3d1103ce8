//! Objects: what is open to other members than those named decides what may come and go.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{Comparison, Report, Side};
use crate::json_schema::BadSchema;
use crate::json_schema::document::{Form, NodeId};
use crate::json_schema::keywords::{Object, Rest};

/// An object's schema with its properties by name.
struct Members<'a> {
    side: Side<'a>,
    object: &'a Object,
    by_name: BTreeMap<&'a str, NodeId>,
    patterns: Vec<(Regex, NodeId)>,
}

impl Comparison {
    pub(super) fn objects(
        &mut self,
        (old, from): (Side<'_>, &Object),
        (new, to): (Side<'_>, &Object),
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        let (old, new) = (Members::of(old, from), Members::of(new, to));
        self.properties(&old, &new, report)?;
        self.dependencies(&old, &new, report)?;
        let names = ("additionalProperties", "ADDITIONAL_PROPERTIES");
        let rests = ((old.side, from.additional), (new.side, to.additional));
        self.rest(rests.0, rests.1, names, report)?;
        let names = ("unevaluatedProperties", "UNEVALUATED_PROPERTIES");
        self.unevaluated(old.unevaluated(), new.unevaluated(), names, report)?;
        let (max, min) = (from.max_properties, from.min_properties);
        report.upper("maxProperties", "MAX_PROPERTIES", max, to.max_properties);
        report.lower("minProperties", "MIN_PROPERTIES", min, to.min_properties);
        Ok(())
    }

    fn properties(
        &mut self,
        old: &Members<'_>,
        new: &Members<'_>,
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        let names: BTreeSet<_> = old.by_name.keys().chain(new.by_name.keys()).collect();
        for name in names {
            match (old.by_name.get(name), new.by_name.get(name)) {
                (Some(from), Some(to)) => {
                    if new.requires(name) && !old.requires(name) && !new.has_default(*to) {
                        let words = "it must be there now";
                        report.inside(&["required"], one(name, "REQUIRED_ATTRIBUTE_ADDED", words));
                    }
                    let found = self.schemas(old.side.to(*from), new.side.to(*to))?;
                    report.inside(&["properties", name], found);
                }
                (Some(from), None) => self.removed(name, old.side.to(*from), new, report)?,
                (None, Some(to)) => self.added(name, *to, old, new, report)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Only what the newer one is open to decides: the member may still come.
    fn removed(
        &mut self,
        name: &str,
        property: Side<'_>,
        new: &Members<'_>,
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        if new.is_open() {
            return Ok(());
        }
        let steps = ["properties", name];
        if let Some(rest) = new.rest(name) {
            let found = self.schemas(property, rest)?;
            if !found.is_empty() {
                let rule = "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                report.inside(&steps, found);
                report.inside(
                    &["properties"],
                    one(name, rule, "other members do not cover it"),
                );
            }
        } else if !matches!(property.node().form, Form::Never) {
            let rule = "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL";
            let words = "the property is missing, and no others are allowed";
            report.inside(&["properties"], one(name, rule, words));
        }
        Ok(())
    }

    /// Only what the older one was open to decides: the member may have come already, as anything.
    fn added(
        &mut self,
        name: &str,
        property: NodeId,
        old: &Members<'_>,
        new: &Members<'_>,
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        let (required, default) = (new.requires(name), new.has_default(property));
        let property = new.side.to(property);
        let mut broken = |rule, words| report.inside(&["properties"], one(name, rule, words));
        if old.is_open() {
            let words = "any such member was allowed before";
            match (required, default) {
                _ if matches!(property.node().form, Form::Any) => {}
                (true, false) => broken("REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", words),
                (true, true) => {
                    let rule = "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL";
                    broken(rule, words);
                }
                (false, _) => broken("OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", words),
            }
            return Ok(());
        }
        if required && !default {
            let words = "the property is new and must be there";
            broken("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", words);
        }
        if let Some(rest) = old.rest(name) {
            let found = self.schemas(rest, property)?;
            if !found.is_empty() {
                let rule = "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                broken(
                    rule,
                    "it does not cover what other members were allowed before",
                );
                report.inside(&["properties", name], found);
            }
        }
        Ok(())
    }

    fn dependencies(
        &mut self,
        old: &Members<'_>,
        new: &Members<'_>,
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        let before: BTreeMap<_, _> = pairs(&old.object.dependent_names).collect();
        for (name, needs) in pairs(&new.object.dependent_names) {
            let rule = match before.get(name) {
                None => Some(("DEPENDENCY_ARRAY_ADDED", "it needs others now")),
                Some(before) if needs.is_subset(before) => None,
                Some(before) if needs.is_superset(before) => {
                    Some(("DEPENDENCY_ARRAY_EXTENDED", "it needs more than before"))
                }
                Some(_) => Some(("DEPENDENCY_ARRAY_CHANGED", "it needs others than before")),
            };
            if let Some((rule, words)) = rule {
                report.inside(&["dependencies"], one(name, rule, words));
            }
        }
        let before: BTreeMap<_, _> = pairs(&old.object.dependent_schemas).collect();
        for (name, needs) in pairs(&new.object.dependent_schemas) {
            let found = match before.get(name) {
                None => one(
                    name,
                    "DEPENDENCY_SCHEMA_ADDED",
                    "more must hold with it now",
                ),
                Some(before) => {
                    let found = self.schemas(old.side.to(**before), new.side.to(*needs))?;
                    let mut within = Report::default();
                    within.inside(&[name], found);
                    within.found
                }
            };
            report.inside(&["dependencies"], found);
        }
        Ok(())
    }
}

fn pairs<T>(of: &[(String, T)]) -> impl Iterator<Item = (&str, &T)> {
    of.iter().map(|(name, value)| (&**name, value))
}

fn one(step: &str, rule: &str, words: &'static str) -> Vec<super::Difference> {
    let mut report = Report::default();
    report.at(step, rule, words);
    report.found
}

impl<'a> Members<'a> {
    /// A pattern that this library does not know matches nothing.
    fn of(side: Side<'a>, object: &'a Object) -> Self {
        let compile = |pattern: &str| Regex::new(pattern).ok();
        let patterns = object.patterns.iter();
        Self {
            side,
            object,
            by_name: pairs(&object.properties)
                .map(|(name, id)| (name, *id))
                .collect(),
            patterns: patterns
                .filter_map(|(pattern, id)| Some((compile(pattern)?, *id)))
                .collect(),
        }
    }

    fn requires(&self, name: &str) -> bool {
        self.object.required.contains(name)
    }

    fn has_default(&self, property: NodeId) -> bool {
        self.side.to(property).node().has_default
    }

    fn unevaluated(&self) -> Option<Side<'a>> {
        self.object.unevaluated.map(|id| self.side.to(id))
    }

    /// True if a member that is not named may be anything.
    fn is_open(&self) -> bool {
        let unevaluated = self.unevaluated();
        self.object.patterns.is_empty()
            && self.object.additional == Rest::Open
            && unevaluated.is_none_or(|side| matches!(side.node().form, Form::Any))
    }

    /// What a member that is not named must be; `None` if there can be none.
    fn rest(&self, name: &str) -> Option<Side<'a>> {
        let mut patterns = self.patterns.iter();
        if let Some((_, id)) = patterns.find(|(pattern, _)| pattern.is_match(name)) {
            return Some(self.side.to(*id));
        }
        match self.object.additional {
            Rest::Of(rest) => Some(self.side.to(rest)),
            Rest::Closed => None,
            Rest::Open => {
                let unevaluated = self.unevaluated();
                unevaluated.filter(|side| !matches!(side.node().form, Form::Never | Form::Any))
            }
        }
    }
}
