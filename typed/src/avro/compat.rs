//! What a registry asks about Avro schemas: which text is the schema, and may one schema read what
//! another wrote.
//!
//! The rules are those of Avro's schema resolution, with what Java's `SchemaCompatibility` makes
//! of them: names must match (or an alias of the reader), `string` and `bytes` read each other, a
//! writer's union is readable if every branch is. Reasons have Java's incompatibility types and
//! places (a JSON pointer into the reader's schema), as clients of registries show them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use super::schema::{Enum, Fixed, Form, Named, Record, RecordField, Schema, TypeId};
use super::text::{self, Style};
use super::{BadSchema, defaults, parse};

/// A schema's text and the texts it refers to, each with its name, in any order.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub text: &'a str,
    pub references: &'a [(String, String)],
}

/// Longest way to a type, in steps of a place (three for a field).
const DEPTH_MAX: usize = 600;
/// Most pairs of types that are compared.
const PAIRS_MAX: usize = 200_000;
/// Most reasons given for a pair.
const REASONS_MAX: usize = 100;
/// Most reasons kept for all pairs.
const REASONS_TOTAL_MAX: usize = 200_000;

/// The text that stands for the schema: two texts with one canonical form are one schema.
/// Documentation, defaults, aliases and properties count.
///
/// # Errors
/// [`BadSchema`] if the text is no schema, or a default no value of its field.
pub fn canonical(source: &Source<'_>) -> Result<String, BadSchema> {
    write(source, Style::AsGiven)
}

/// As [`canonical`], with more texts alike: the order of properties, of aliases and of the members
/// of defaults does not count, nor does empty documentation.
///
/// # Errors
/// As [`canonical`].
pub fn normalized(source: &Source<'_>) -> Result<String, BadSchema> {
    write(source, Style::Normalized)
}

fn write(source: &Source<'_>, style: Style) -> Result<String, BadSchema> {
    let schema = parse::parse(source.text, source.references)?;
    defaults::check(&schema)?;
    Ok(text::write(&schema, style))
}

/// Why `reader` cannot read everything that `writer` wrote; empty if it can.
///
/// # Errors
/// [`BadSchema`] if one of them is no schema, or they are too large to be compared.
pub fn backward(reader: &Source<'_>, writer: &Source<'_>) -> Result<Vec<String>, BadSchema> {
    let reader = parse::parse(reader.text, reader.references)?;
    let writer = parse::parse(writer.text, writer.references)?;
    let mut checker = Checker {
        reader: &reader,
        writer: &writer,
        known: HashMap::new(),
        place: Vec::new(),
        kept: 0,
        too_large: false,
    };
    let reasons = checker.pair(reader.root(), writer.root());
    if checker.too_large {
        return Err(BadSchema::Invalid {
            at: "schema".to_owned(),
            what: "too large to be compared".to_owned(),
        });
    }
    Ok(reasons.iter().map(Reason::to_string).collect())
}

/// One thing the reader cannot do.
#[derive(Debug, Clone)]
struct Reason {
    /// Java's name for it.
    kind: &'static str,
    what: &'static str,
    place: String,
    detail: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            what,
            place,
            detail,
        } = self;
        write!(
            f,
            "{{errorType:'{kind}', description:'{what} (at {place})', additionalInfo:'{detail}'}}"
        )
    }
}

type Reasons = Rc<Vec<Reason>>;

struct Checker<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// What came out for a pair; while it is being compared, that nothing is wrong: types that
    /// refer to themselves are compatible unless something else is in the way.
    known: HashMap<(TypeId, TypeId), Reasons>,
    /// Where in the reader's schema we are.
    place: Vec<String>,
    /// Reasons in `known`.
    kept: usize,
    too_large: bool,
}

impl<'a> Checker<'a> {
    fn pair(&mut self, reader: TypeId, writer: TypeId) -> Reasons {
        if let Some(reasons) = self.known.get(&(reader, writer)) {
            return Rc::clone(reasons);
        }
        self.too_large |= self.known.len() >= PAIRS_MAX || self.place.len() > DEPTH_MAX;
        if self.too_large {
            return Reasons::default();
        }
        self.known.insert((reader, writer), Reasons::default());
        let mut reasons = self.compare(reader, writer);
        reasons.truncate(REASONS_MAX);
        self.kept += reasons.len();
        self.too_large |= self.kept > REASONS_TOTAL_MAX;
        let reasons = Rc::new(reasons);
        self.known.insert((reader, writer), Rc::clone(&reasons));
        reasons
    }

    fn pair_at(&mut self, place: &str, reader: TypeId, writer: TypeId) -> Vec<Reason> {
        self.place.push(place.to_owned());
        let reasons = self.pair(reader, writer);
        self.place.pop();
        reasons.to_vec()
    }

    fn compare(&mut self, reader: TypeId, writer: TypeId) -> Vec<Reason> {
        let (of_reader, of_writer) = (self.reader.form(reader), self.writer.form(writer));
        match (of_reader, of_writer) {
            (Form::Union(_), Form::Union(branches)) => self.all_readable(reader, branches),
            (_, Form::Union(branches)) => {
                let each = branches.iter().enumerate();
                each.flat_map(|(i, branch)| self.pair_at(&i.to_string(), reader, *branch))
                    .collect()
            }
            (Form::Union(branches), _) => {
                let readable = |of: &TypeId| {
                    // Of two names no more than one reason is needed.
                    !self.differs_in_name(*of, of_writer) && self.pair(*of, writer).is_empty()
                };
                if branches.iter().any(readable) {
                    Vec::new()
                } else {
                    vec![self.no_branch(of_writer)]
                }
            }
            (Form::Array(r), Form::Array(w)) => self.pair_at("items", *r, *w),
            (Form::Map(r), Form::Map(w)) => self.pair_at("values", *r, *w),
            (Form::Record(r), Form::Record(w)) => {
                let mut reasons = self.names(&r.named, &w.named);
                reasons.extend(self.fields(r, w));
                reasons
            }
            (Form::Enum(r), Form::Enum(w)) => {
                let mut reasons = self.names(&r.named, &w.named);
                reasons.extend(self.symbols(r, w));
                reasons
            }
            (Form::Fixed(r), Form::Fixed(w)) => {
                let mut reasons = self.names(&r.named, &w.named);
                reasons.extend(self.sizes(r, w));
                reasons
            }
            (r, w) if reads(r, w) => Vec::new(),
            (r, w) => {
                let detail = format!(
                    "reader type: {} not compatible with writer type: {}",
                    upper(r),
                    upper(w)
                );
                vec![self.reason("TYPE_MISMATCH", "the types do not match", detail)]
            }
        }
    }

    /// Every branch of the writer's union against the reader's whole union.
    fn all_readable(&mut self, reader: TypeId, branches: &[TypeId]) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            self.place.push(index.to_string());
            if !self.pair(reader, *branch).is_empty() {
                reasons.push(self.no_branch(self.writer.form(*branch)));
            }
            self.place.pop();
        }
        reasons
    }

    fn no_branch(&self, writer: &Form) -> Reason {
        let detail = format!("reader union lacking writer type: {}", upper(writer));
        let what = "the reader's union has no branch for a type of the writer";
        self.reason("MISSING_UNION_BRANCH", what, detail)
    }

    fn differs_in_name(&self, reader: TypeId, writer: &Form) -> bool {
        match (self.reader.form(reader).named(), writer.named()) {
            (Some(reader), Some(writer)) => !same_name(reader, writer),
            _ => false,
        }
    }

    fn names(&self, reader: &Named, writer: &Named) -> Vec<Reason> {
        if same_name(reader, writer) {
            return Vec::new();
        }
        let detail = format!("expected: {}", writer.name.as_str());
        let what = "the name has changed, and no alias has the old one";
        vec![self.reason_at("name", "NAME_MISMATCH", what, detail)]
    }

    fn fields(&mut self, reader: &Record, writer: &Record) -> Vec<Reason> {
        let by_name = writer.fields.iter().map(|field| (&*field.name, field));
        let by_name: HashMap<_, _> = by_name.collect();
        let mut reasons = Vec::new();
        self.place.push("fields".to_owned());
        for (index, field) in reader.fields.iter().enumerate() {
            self.place.push(index.to_string());
            match written(field, &by_name) {
                Some(of) => reasons.extend(self.pair_at("type", field.of, of.of)),
                None if field.default.is_some() => {}
                None => {
                    let kind = "READER_FIELD_MISSING_DEFAULT_VALUE";
                    let what = "the writer has no such field, and the reader no default for it";
                    reasons.push(self.reason(kind, what, field.name.clone()));
                }
            }
            self.place.pop();
            if reasons.len() >= REASONS_MAX {
                break;
            }
        }
        self.place.pop();
        reasons
    }

    fn symbols(&self, reader: &Enum, writer: &Enum) -> Vec<Reason> {
        let known: BTreeSet<_> = reader.symbols.iter().map(String::as_str).collect();
        let missing: BTreeSet<_> = writer.symbols.iter().map(String::as_str).collect();
        let missing: Vec<_> = missing.difference(&known).copied().collect();
        if missing.is_empty() || reader.default.is_some() {
            return Vec::new();
        }
        let detail = format!("[{}]", missing.join(", "));
        let what = "the reader lacks symbols of the writer, and has no default";
        vec![self.reason_at("symbols", "MISSING_ENUM_SYMBOLS", what, detail)]
    }

    fn sizes(&self, reader: &Fixed, writer: &Fixed) -> Vec<Reason> {
        if reader.size == writer.size {
            return Vec::new();
        }
        let detail = format!("expected: {}, found: {}", writer.size, reader.size);
        let what = "the sizes differ";
        vec![self.reason_at("size", "FIXED_SIZE_MISMATCH", what, detail)]
    }

    fn reason(&self, kind: &'static str, what: &'static str, detail: String) -> Reason {
        Reason {
            kind,
            what,
            place: format!("/{}", self.place.join("/")),
            detail,
        }
    }

    fn reason_at(
        &self,
        last: &str,
        kind: &'static str,
        what: &'static str,
        detail: String,
    ) -> Reason {
        let mut reason = self.reason(kind, what, detail);
        if reason.place.len() > 1 {
            reason.place.push('/');
        }
        reason.place.push_str(last);
        reason
    }
}

fn same_name(reader: &Named, writer: &Named) -> bool {
    reader.name == writer.name || reader.aliases.contains(&writer.name)
}

/// The writer's field that the reader's is filled from: of its name, else of one of its aliases.
fn written<'w>(
    field: &RecordField,
    by_name: &HashMap<&str, &'w RecordField>,
) -> Option<&'w RecordField> {
    let names = std::iter::once(&field.name).chain(&field.aliases);
    names
        .into_iter()
        .find_map(|name| by_name.get(&**name).copied())
}

/// True if a reader of one plain type reads the other.
fn reads(reader: &Form, writer: &Form) -> bool {
    use Form::{Boolean, Bytes, Double, Float, Int, Long, Null, String};
    matches!(
        (reader, writer),
        (Null, Null)
            | (Boolean, Boolean)
            | (Int, Int)
            | (Long, Int | Long)
            | (Float, Int | Long | Float)
            | (Double, Int | Long | Float | Double)
            | (Bytes | String, Bytes | String)
    )
}

/// A type's name as Java's enumeration has it.
fn upper(form: &Form) -> String {
    match form {
        Form::Record(_) => "RECORD".to_owned(),
        form => form.name().to_uppercase(),
    }
}

#[cfg(test)]
mod tests;
