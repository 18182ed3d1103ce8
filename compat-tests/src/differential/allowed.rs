//! What may differ between Kafka and Tidelog, with reasons: `differential/allowed.toml`.
//!
//! Three lists, all of which only ever shrink or are argued for: `[[difference]]` is wanted,
//! `[[defect]]` is known and to be mended, `[[not_served]]` names APIs and versions that are yet to
//! come. An entry that nothing needs is an error.

use std::cell::Cell;

use super::compare::{Difference, shown};
use super::schema::parse_versions;
use anyhow::{Context as _, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    #[serde(default)]
    difference: Vec<Rule>,
    #[serde(default)]
    defect: Vec<Rule>,
    #[serde(default)]
    not_served: Vec<NotServed>,
}

/// Differences by pattern, in which `*` is any text; ` | ` stands between several steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    script: String,
    #[serde(default = "any")]
    step: String,
    #[serde(default = "any")]
    api: String,
    #[serde(default)]
    versions: Option<String>,
    path: String,
    /// What Kafka's answer is there, as a pattern of its JSON; `nothing` if it has none.
    #[serde(default = "any")]
    kafka: String,
    /// The same for ours.
    #[serde(default = "any")]
    ours: String,
    reason: String,
    #[serde(skip)]
    used: Cell<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotServed {
    api: String,
    versions: String,
    reason: String,
    #[serde(skip)]
    used: Cell<bool>,
}

/// What a list says of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    Wanted,
    Defect,
    Unknown,
}

/// Where a difference stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub script: &'a str,
    pub step: &'a str,
    pub api: &'a str,
    pub version: i16,
}

impl Allowed {
    pub fn parse(text: &str) -> Result<Self> {
        let allowed: Self = toml::from_str(text).context("allowed.toml")?;
        for rule in allowed.difference.iter().chain(&allowed.defect) {
            if let Some(versions) = &rule.versions {
                parse_versions(versions, &(0..=i16::MAX)).context(rule.reason.clone())?;
            }
        }
        for entry in &allowed.not_served {
            parse_versions(&entry.versions, &(0..=i16::MAX)).context(entry.api.clone())?;
        }
        Ok(allowed)
    }

    pub fn judge(&self, place: Place, difference: &Difference) -> Ruling {
        if use_first(&self.difference, place, difference) {
            Ruling::Wanted
        } else if use_first(&self.defect, place, difference) {
            Ruling::Defect
        } else {
            Ruling::Unknown
        }
    }

    pub fn may_lack(&self, api: &str, version: i16) -> bool {
        let mut entries = self.not_served.iter();
        let found = entries.find(|entry| entry.api == api && contains(&entry.versions, version));
        found.inspect(|entry| entry.used.set(true)).is_some()
    }

    /// Entries that nothing needed.
    pub fn unused(&self) -> Vec<String> {
        let rules = self.difference.iter().chain(&self.defect);
        let rules = rules.filter(|rule| !rule.used.get());
        let rules = rules.map(|rule| format!("{} / {} / {}", rule.script, rule.step, rule.path));
        let lacks = self.not_served.iter().filter(|entry| !entry.used.get());
        let lacks = lacks.map(|e| format!("not served: {} {} ({})", e.api, e.versions, e.reason));
        rules.chain(lacks).collect()
    }

    /// Where and why, of what is wanted, for people.
    pub fn wanted(&self) -> impl Iterator<Item = [String; 3]> {
        self.difference.iter().map(Rule::row)
    }

    /// The same of what is to be mended.
    pub fn defects(&self) -> impl Iterator<Item = [String; 3]> {
        self.defect.iter().map(Rule::row)
    }
}

fn use_first(rules: &[Rule], place: Place, difference: &Difference) -> bool {
    let found = rules.iter().find(|rule| rule.matches(place, difference));
    found.inspect(|rule| rule.used.set(true)).is_some()
}

impl Rule {
    /// Scripts and steps, place, reason.
    fn row(&self) -> [String; 3] {
        let [script, step] = [&self.script, &self.step];
        let scripts = match step.as_str() {
            "*" => script.clone(),
            step => format!("{script}: {}", step.replace(" | ", "; ")),
        };
        let api = if self.api == "*" { "" } else { &self.api };
        let versions = self.versions.iter().map(|versions| format!("v{versions}"));
        let place = [api.to_owned()].into_iter().chain(versions);
        let place = place
            .chain([self.path.clone()])
            .filter(|part| !part.is_empty());
        let place: Vec<String> = place.collect();
        [scripts, place.join(" "), self.reason.clone()]
    }

    fn matches(&self, place: Place, difference: &Difference) -> bool {
        let versions = self.versions.as_deref();
        fits(&self.script, place.script)
            && self.step.split(" | ").any(|step| fits(step, place.step))
            && fits(&self.api, place.api)
            && fits(&self.path, &difference.path)
            && versions.is_none_or(|versions| contains(versions, place.version))
            && fits(&self.kafka, &shown(&difference.kafka))
            && fits(&self.ours, &shown(&difference.ours))
    }
}

fn any() -> String {
    "*".to_owned()
}

/// Whether versions that were checked when they were read hold this one.
fn contains(versions: &str, version: i16) -> bool {
    parse_versions(versions, &(0..=i16::MAX)).is_ok_and(|versions| versions.contains(&version))
}

/// Whether a text is of a pattern in which each `*` is any text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
            rest.is_empty() || ends.into_iter().any(|at| fits(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a*", "abc", true),
            ("*[*].code", "t[0].p[1].code", true),
            ("a*c", "abd", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn rules_are_used_or_told() {
        let text = r#"
            [[difference]]
            script = "fetch/*"
            path = "code"
            kafka = "nothing"
            ours = "1"
            reason = "because"
            [[not_served]]
            api = "Vote"
            versions = "0-1"
            reason = "later""#;
        let allowed = Allowed::parse(text).unwrap();
        let place = Place {
            script: "fetch/a",
            step: "s",
            api: "Fetch",
            version: 4,
        };
        let differs = |ours: i64| Difference {
            path: "code".to_owned(),
            kafka: None,
            ours: Some(json!(ours)),
        };
        assert_eq!(allowed.judge(place, &differs(2)), Ruling::Unknown);
        assert_eq!(allowed.unused().len(), 2);
        assert_eq!(allowed.judge(place, &differs(1)), Ruling::Wanted);
        assert!(allowed.may_lack("Vote", 1) && !allowed.may_lack("Vote", 2));
        assert!(allowed.unused().is_empty());
    }
}
