//! Which change of a JSON Schema is compatible, by the rules of Confluent's registry (strict policy).
//!
//! `backward(reader, writer)`: can everything written under `writer` be read under `reader`? A rule that
//! is broken is told by the registry's name for it (`PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL`), so
//! that tools which know the names find them.
//!
//! Differences of where a comparison of two references comes back to itself are told once: a pair under
//! comparison counts as equal, and what was found under that assumption is not kept for other places.

mod array;
mod combined;
mod object;

use std::collections::HashMap;
use std::fmt;

use super::document::{Document, Form, Node, NodeId, parse};
use super::keywords::{Number, Rest, Text};
use super::{BadSchema, Source};

/// Most pairs of subschemas one comparison looks at.
const STEPS_MAX: usize = 200_000;
/// Deepest nesting of pairs, along references.
const DEPTH_MAX: usize = 200;
/// Most reasons told.
const REASONS_MAX: usize = 100;

/// The normal form by which schemas are the same: no blanks, members by name.
///
/// # Errors
/// [`BadSchema`] if it, or a schema it refers to, is none.
pub fn canonical(source: &Source<'_>) -> Result<String, BadSchema> {
    Document::parse(source)?;
    Ok(parse(source.text)?.sorted().to_string())
}

/// Why values of `writer` may not be values of `reader`; empty if all are. At most a hundred reasons,
/// each as `RULE at #/path: words`.
///
/// # Errors
/// [`BadSchema`] if one of them is none, or if comparing them would take too long.
pub fn backward(reader: &Source<'_>, writer: &Source<'_>) -> Result<Vec<String>, BadSchema> {
    let (old, new) = (Document::parse(writer)?, Document::parse(reader)?);
    let (from, to) = (Side(&old, old.root), Side(&new, new.root));
    let found = Comparison::default().schemas(from, to)?;
    Ok(found.iter().map(ToString::to_string).collect())
}

/// One broken rule.
#[derive(Debug, Clone)]
struct Difference {
    rule: String,
    words: &'static str,
    /// From the pair compared to the place, last step first.
    path: Vec<String>,
}

/// A subschema of one of the two documents.
#[derive(Debug, Clone, Copy)]
struct Side<'a>(&'a Document, NodeId);

/// Which subschemas: documents by address, since `not` turns them round.
type Pair = ((*const Document, NodeId), (*const Document, NodeId));

#[derive(Default)]
struct Comparison {
    steps: usize,
    /// Pairs under comparison.
    stack: Vec<Pair>,
    /// The lowest place of the stack that a comparison came back to.
    returned_to: Option<usize>,
    known: HashMap<Pair, Vec<Difference>>,
}

type Found = Result<Vec<Difference>, BadSchema>;

impl Comparison {
    /// What keeps values of `old` from being values of `new`.
    fn schemas(&mut self, old: Side<'_>, new: Side<'_>) -> Found {
        let (old, new) = (old.resolved(), new.resolved());
        let pair = (old.key(), new.key());
        if let Some(known) = self.known.get(&pair) {
            return Ok(known.clone());
        }
        if let Some(place) = self.stack.iter().position(|under| *under == pair) {
            self.returned_to = Some(self.returned_to.map_or(place, |lowest| lowest.min(place)));
            return Ok(Vec::new());
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(BadSchema::TooLarge("more than 200,000 comparisons"));
        }
        if self.stack.len() >= DEPTH_MAX {
            return Err(BadSchema::TooLarge("nested more than 200 deep"));
        }
        let before = self.returned_to.take();
        self.stack.push(pair);
        let found = self.types(old, new);
        self.stack.pop();
        let own = self.returned_to.filter(|place| *place < self.stack.len());
        self.returned_to = before.into_iter().chain(own).min();
        let mut found = found?;
        found.truncate(REASONS_MAX);
        if own.is_none() {
            self.known.insert(pair, found.clone());
        }
        Ok(found)
    }

    fn fits(&mut self, old: Side<'_>, new: Side<'_>) -> Result<bool, BadSchema> {
        Ok(self.schemas(old, new)?.is_empty())
    }

    fn types(&mut self, old: Side<'_>, new: Side<'_>) -> Found {
        if self.one_part_fits(old, new)? {
            return Ok(Vec::new());
        }
        let (old_node, new_node) = (old.node(), new.node());
        let mut report = Report::default();
        match (&old_node.form, &new_node.form) {
            (Form::Never, _) | (_, Form::Any) => {}
            (Form::Null, Form::Null) | (Form::Bool, Form::Bool) => {}
            (Form::Conditional, Form::Conditional) => {}
            (Form::Text(old), Form::Text(new)) => text(old, new, &mut report),
            (Form::Number(old), Form::Number(new)) => number(old, new, &mut report),
            (Form::Const(old), Form::Const(new)) if old == new => {}
            (Form::Const(_), Form::Const(_)) => {
                report.at("const", "ENUM_ARRAY_CHANGED", "the one value is another");
            }
            (Form::Enum(old), Form::Enum(new)) => values(old, new, &mut report),
            (Form::Not(from), Form::Not(to)) => {
                // What must not be may become less.
                if !self.fits(Side(new.0, *to), Side(old.0, *from))? {
                    report.at("not", "NOT_TYPE_EXTENDED", "more is ruled out than before");
                }
            }
            (Form::Combined(..), Form::Combined(..)) => self.combined(old, new, &mut report)?,
            (Form::Array(from), Form::Array(to)) => {
                self.arrays((old, from), (new, to), &mut report)?;
            }
            (Form::Object(from), Form::Object(to)) => {
                self.objects((old, from), (new, to), &mut report)?;
            }
            _ if old_node.is_connect_bytes && new_node.is_connect_bytes => {}
            _ => report.add("TYPE_CHANGED", "the type is another"),
        }
        Ok(report.found)
    }

    /// Compares what is behind what was named; `stem` begins the rules' names.
    fn rest(
        &mut self,
        (old, old_rest): (Side<'_>, Rest),
        (new, new_rest): (Side<'_>, Rest),
        (step, stem): (&str, &str),
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        match (old_rest, new_rest) {
            (Rest::Open | Rest::Of(_), Rest::Closed) => {
                report.at(
                    step,
                    &format!("{stem}_REMOVED"),
                    "nothing more is allowed now",
                );
            }
            (Rest::Open, Rest::Of(_)) => {
                report.at(
                    step,
                    &format!("{stem}_NARROWED"),
                    "not everything is allowed any more",
                );
            }
            (Rest::Of(from), Rest::Of(to)) => {
                let found = self.schemas(old.to(from), new.to(to))?;
                report.inside(&[step], found);
            }
            _ => {}
        }
        Ok(())
    }

    fn unevaluated(
        &mut self,
        old: Option<Side<'_>>,
        new: Option<Side<'_>>,
        (step, stem): (&str, &str),
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        let is_never = |side: Side<'_>| matches!(side.node().form, Form::Never);
        let is_any = |side: Side<'_>| matches!(side.node().form, Form::Any);
        let Some(new) = new else { return Ok(()) };
        match old {
            Some(old) if is_never(old) && !is_never(new) => {}
            Some(old) if is_never(new) == is_never(old) && !is_any(old) && !is_any(new) => {
                let found = self.schemas(old, new)?;
                report.inside(&[step], found);
            }
            Some(_) if is_any(new) => {}
            _ if is_never(new) => {
                report.at(
                    step,
                    &format!("{stem}_REMOVED"),
                    "nothing more is allowed now",
                );
            }
            _ => {
                report.at(
                    step,
                    &format!("{stem}_NARROWED"),
                    "not everything is allowed any more",
                );
            }
        }
        Ok(())
    }
}

fn text(old: &Text, new: &Text, report: &mut Report) {
    report.upper("maxLength", "MAX_LENGTH", old.max_length, new.max_length);
    report.lower("minLength", "MIN_LENGTH", old.min_length, new.min_length);
    match (&old.pattern, &new.pattern) {
        (None, Some(_)) => report.at("pattern", "PATTERN_ADDED", ADDED),
        (Some(old), Some(new)) if old != new => {
            report.at("pattern", "PATTERN_CHANGED", "the pattern is another");
        }
        _ => {}
    }
}

fn number(old: &Number, new: &Number, report: &mut Report) {
    report.upper("maximum", "MAXIMUM", old.maximum, new.maximum);
    report.lower("minimum", "MINIMUM", old.minimum, new.minimum);
    let (from, to) = (old.exclusive_maximum, new.exclusive_maximum);
    report.upper("exclusiveMaximum", "EXCLUSIVE_MAXIMUM", from, to);
    let (from, to) = (old.exclusive_minimum, new.exclusive_minimum);
    report.lower("exclusiveMinimum", "EXCLUSIVE_MINIMUM", from, to);
    let is_multiple = |of: f64, value: f64| (value / of).fract() == 0.0;
    match (old.multiple_of, new.multiple_of) {
        (None, Some(_)) => report.at("multipleOf", "MULTIPLE_OF_ADDED", ADDED),
        (Some(old), Some(new)) if old == new || is_multiple(new, old) => {}
        (Some(old), Some(new)) if is_multiple(old, new) => {
            report.at("multipleOf", "MULTIPLE_OF_EXPANDED", HIGHER);
        }
        (Some(_), Some(_)) => {
            report.at("multipleOf", "MULTIPLE_OF_CHANGED", "the step is another");
        }
        _ => {}
    }
    if new.integer && !old.integer {
        report.add("TYPE_NARROWED", "numbers must be whole now");
    }
}

fn values(old: &[String], new: &[String], report: &mut Report) {
    let all_in = |some: &[String], others: &[String]| {
        let others: std::collections::HashSet<_> = others.iter().collect();
        some.iter().all(|value| others.contains(value))
    };
    if all_in(old, new) {
    } else if all_in(new, old) {
        report.at("enum", "ENUM_ARRAY_NARROWED", "values are missing");
    } else {
        report.at("enum", "ENUM_ARRAY_CHANGED", "the values are others");
    }
}

impl<'a> Side<'a> {
    fn resolved(self) -> Self {
        Self(self.0, self.0.node(self.1).0)
    }

    fn node(self) -> &'a Node {
        self.0.node(self.1).1
    }

    /// Another subschema of the same document.
    fn to(self, id: NodeId) -> Self {
        Self(self.0, id)
    }

    fn key(self) -> (*const Document, NodeId) {
        (std::ptr::from_ref(self.0), self.1)
    }
}

const ADDED: &str = "the keyword is new";
const HIGHER: &str = "it is higher than before";
const LOWER: &str = "it is lower than before";

/// The rules broken by one pair.
#[derive(Default)]
struct Report {
    found: Vec<Difference>,
}

impl Report {
    fn add(&mut self, rule: &str, words: &'static str) {
        self.found.push(Difference {
            rule: rule.to_owned(),
            words,
            path: Vec::new(),
        });
    }

    fn at(&mut self, step: &str, rule: &str, words: &'static str) {
        self.found.push(Difference {
            rule: rule.to_owned(),
            words,
            path: vec![step.to_owned()],
        });
    }

    /// Takes over what was found further in.
    fn inside(&mut self, steps: &[&str], found: Vec<Difference>) {
        let room = REASONS_MAX.saturating_sub(self.found.len());
        self.found
            .extend(found.into_iter().take(room).map(|mut one| {
                one.path
                    .extend(steps.iter().rev().map(|step| (*step).to_owned()));
                one
            }));
    }

    /// A limit that may rise or go.
    fn upper(&mut self, step: &str, stem: &str, old: Option<f64>, new: Option<f64>) {
        match (old, new) {
            (None, Some(_)) => self.at(step, &format!("{stem}_ADDED"), ADDED),
            (Some(old), Some(new)) if old > new => {
                self.at(step, &format!("{stem}_DECREASED"), LOWER);
            }
            _ => {}
        }
    }

    /// A limit that may fall or go.
    fn lower(&mut self, step: &str, stem: &str, old: Option<f64>, new: Option<f64>) {
        match (old, new) {
            (None, Some(_)) => self.at(step, &format!("{stem}_ADDED"), ADDED),
            (Some(old), Some(new)) if old < new => {
                self.at(step, &format!("{stem}_INCREASED"), HIGHER);
            }
            _ => {}
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, words, path } = self;
        write!(f, "{rule} at #")?;
        if path.is_empty() {
            f.write_str("/")?;
        }
        for step in path.iter().rev() {
            write!(f, "/{step}")?;
        }
        write!(f, ": {words}")
    }
}
