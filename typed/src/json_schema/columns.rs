//! What a JSON Schema looks like as a table.

use super::document::{Criterion, Document, Form, NodeId};
use super::keywords::{Array, Object, Rest, Text};
use super::{BadSchema, Source};
use crate::infer::{Columns, Sibling};
use crate::schema::{Draft, Field, Kind, TableSchema, TimeUnit};

/// Most subschemas looked at, those behind references each time anew.
const STEPS_MAX: usize = 100_000;

/// A JSON Schema whose values are a table's rows.
#[derive(Debug, Clone)]
pub struct Writer {
    draft: Draft,
    as_text: Vec<AsText>,
    has_siblings: bool,
}

/// Values that no column type holds: they are kept as JSON text in `<path>__json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsText {
    /// Dotted name of the member.
    pub path: String,
    pub why: &'static str,
}

impl Writer {
    /// Reads a schema.
    ///
    /// # Errors
    /// [`BadSchema`], also for a schema of values that are no objects.
    pub fn parse(source: &Source<'_>) -> Result<Self, BadSchema> {
        let document = Document::parse(source)?;
        let mut mapping = Mapping {
            document: &document,
            open: Vec::new(),
            path: Vec::new(),
            as_text: Vec::new(),
            has_siblings: false,
            steps: 0,
            fields: 0,
        };
        let mut top = mapping.shape(document.root)?;
        let fields = match (top.kinds.pop(), top.kinds.is_empty(), top.as_text) {
            (Some(Kind::Struct(fields)), true, None) => fields,
            (_, _, Some(why)) => return Err(BadSchema::NoColumns(why)),
            _ => return Err(BadSchema::NoColumns("values are not objects, or not all")),
        };
        Ok(Self {
            draft: Draft { fields },
            as_text: mapping.as_text,
            has_siblings: mapping.has_siblings,
        })
    }

    /// The columns. If [`has_siblings`](Self::has_siblings), rows are to be decoded by
    /// [`RowSchema::inferred`](crate::RowSchema::inferred) with
    /// [`Growth::Over`](crate::Growth::Over).
    pub fn draft(&self) -> Draft {
        self.draft.clone()
    }

    /// True if a member has several columns, by the type of its values.
    pub fn has_siblings(&self) -> bool {
        self.has_siblings
    }

    /// What is kept as text, and why.
    pub fn as_text(&self) -> &[AsText] {
        &self.as_text
    }
}

/// The values a subschema allows.
#[derive(Default)]
struct Shape {
    /// By JSON type: at most one kind for each.
    kinds: Vec<Kind>,
    /// Why some values are kept as text.
    as_text: Option<&'static str>,
    nullable: bool,
}

struct Mapping<'a> {
    document: &'a Document,
    /// Subschemas being looked at.
    open: Vec<NodeId>,
    path: Vec<String>,
    as_text: Vec<AsText>,
    has_siblings: bool,
    steps: usize,
    fields: usize,
}

impl Mapping<'_> {
    fn shape(&mut self, id: NodeId) -> Result<Shape, BadSchema> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(BadSchema::TooLarge(
                "more than 100,000 subschemas to look at",
            ));
        }
        let (place, node) = self.document.node(id);
        if self.open.contains(&place) {
            return Ok(Shape::text("it refers to itself"));
        }
        self.open.push(place);
        let shape = self.form(&node.form);
        self.open.pop();
        let mut shape = shape?;
        shape.nullable |= self.document.is_nullable(id);
        Ok(shape)
    }

    fn form(&mut self, form: &Form) -> Result<Shape, BadSchema> {
        Ok(match form {
            Form::Any | Form::Reference(_) => Shape::text("anything is allowed"),
            Form::Not(_) | Form::Conditional => Shape::text("only a condition is given"),
            Form::Never => Shape::default(),
            Form::Null => Shape {
                nullable: true,
                ..Shape::default()
            },
            Form::Bool => Shape::of(Kind::Bool),
            Form::Text(text) => Shape::of(text_kind(text)),
            Form::Number(number) => Shape::of(number_kind(number.integer)),
            Form::Enum(values) => of_values(values),
            Form::Const(value) => of_values(std::slice::from_ref(value)),
            Form::Array(array) => self.array(array)?,
            Form::Object(object) => self.object(object)?,
            Form::Combined(Criterion::All, parts) => self.all(parts)?,
            Form::Combined(_, parts) => {
                let mut union = Shape::default();
                for part in parts {
                    union.or(self.shape(*part)?);
                }
                union
            }
        })
    }

    fn array(&mut self, array: &Array) -> Result<Shape, BadSchema> {
        let element = match array.items {
            Some(items) => self.element("[]", items)?,
            None => None,
        };
        Ok(element.map_or_else(
            || Shape::text("items are not of one type"),
            |kind| Shape::of(Kind::list_of(kind)),
        ))
    }

    fn object(&mut self, object: &Object) -> Result<Shape, BadSchema> {
        if !object.properties.is_empty() {
            if self.is_deep() {
                return Ok(Shape::text("nested too deep"));
            }
            let fields = self.members(object)?;
            return Ok(if fields.is_empty() {
                Shape::text("no member can be a column")
            } else {
                Shape::of(Kind::Struct(fields))
            });
        }
        let value = match (&object.patterns[..], &object.additional) {
            ([], Rest::Of(values)) | ([(_, values)], Rest::Closed | Rest::Open) => {
                self.element("{}", *values)?
            }
            _ => return Ok(Shape::text("members are not named")),
        };
        Ok(value.map_or_else(
            || Shape::text("values are not of one type"),
            |kind| Shape::of(Kind::map_of(Kind::String, kind)),
        ))
    }

    /// The one kind inside a list or map. There are no siblings there: all is text if there is not one.
    fn element(&mut self, step: &str, id: NodeId) -> Result<Option<Kind>, BadSchema> {
        if self.is_deep() {
            return Ok(None);
        }
        let told = self.as_text.len();
        self.path.push(step.to_owned());
        let kind = self.shape(id)?.single();
        self.path.pop();
        if kind.is_none() {
            self.as_text.truncate(told);
        }
        Ok(kind)
    }

    /// True where a table goes no deeper.
    fn is_deep(&self) -> bool {
        self.path.len() >= TableSchema::DEPTH_MAX
    }

    fn members(&mut self, object: &Object) -> Result<Vec<Field>, BadSchema> {
        let mut columns = Columns::default();
        for (name, property) in &object.properties {
            self.fields += 1;
            if self.fields > TableSchema::FIELDS_MAX {
                return Err(BadSchema::TooLarge("more than 10,000 columns"));
            }
            self.path.push(name.clone());
            let shape = self.shape(*property)?;
            self.column(&mut columns, name, shape, object.required.contains(name));
            self.path.pop();
        }
        Ok(columns.finish())
    }

    fn column(&mut self, columns: &mut Columns, name: &str, shape: Shape, required: bool) {
        let mut kinds = shape.kinds.into_iter();
        let main = kinds.next();
        let mut siblings: Vec<_> = kinds.map(|kind| sibling(&kind)).collect();
        if let Some(why) = shape.as_text {
            siblings.push(Sibling::Json);
            let path = self
                .path
                .join(".")
                .replace(".[]", "[]")
                .replace(".{}", "{}");
            self.as_text.push(AsText { path, why });
        }
        self.has_siblings |= !siblings.is_empty();
        if let Some(kind) = main {
            let nullable = !required || shape.nullable || !siblings.is_empty();
            columns.push(name, kind, nullable);
        }
        columns.wanted(name, siblings);
    }

    /// All parts hold: objects have the members of all, other values the type that all allow.
    fn all(&mut self, parts: &[NodeId]) -> Result<Shape, BadSchema> {
        let is_condition = |id: &NodeId| {
            let form = &self.document.node(*id).1.form;
            matches!(form, Form::Any | Form::Not(_) | Form::Conditional)
        };
        let is_choice = |id: &NodeId| {
            let form = &self.document.node(*id).1.form;
            matches!(form, Form::Enum(_) | Form::Const(_))
        };
        let counted: Vec<_> = parts.iter().filter(|id| !is_condition(id)).collect();
        // Listed values are of the type given beside them.
        let only_choices = counted.iter().all(|id| is_choice(id));
        let counted = counted
            .into_iter()
            .filter(|id| only_choices || !is_choice(id));
        let mut both: Option<Shape> = None;
        for part in counted {
            let shape = self.shape(*part)?;
            both = Some(match both {
                None => shape,
                Some(before) => before.and(shape),
            });
        }
        Ok(both.unwrap_or_else(|| Shape::text("only a condition is given")))
    }
}

impl Shape {
    fn of(kind: Kind) -> Self {
        Self {
            kinds: vec![kind],
            ..Self::default()
        }
    }

    fn text(why: &'static str) -> Self {
        Self {
            as_text: Some(why),
            ..Self::default()
        }
    }

    /// The one kind of all values but null.
    fn single(mut self) -> Option<Kind> {
        let kind = self.kinds.pop()?;
        (self.kinds.is_empty() && self.as_text.is_none()).then_some(kind)
    }

    /// Lets in what `other` allows.
    fn or(&mut self, other: Self) {
        self.nullable |= other.nullable;
        self.as_text = self.as_text.or(other.as_text);
        for kind in other.kinds {
            let same = self.kinds.iter_mut();
            let Some(own) = same
                .into_iter()
                .find(|own| json_type(own) == json_type(&kind))
            else {
                self.kinds.push(kind);
                continue;
            };
            match (&*own, &kind) {
                (own, kind) if own == kind => {}
                (Kind::Long | Kind::Double, _) => *own = Kind::Double,
                (Kind::List(_) | Kind::Map { .. } | Kind::Struct(_), _) => {
                    let gone = json_type(&kind);
                    self.kinds.retain(|own| json_type(own) != gone);
                    self.as_text = Some("arrays or objects of several shapes");
                }
                _ => *own = Kind::String,
            }
        }
    }

    /// Keeps what `other` allows too.
    fn and(self, other: Self) -> Self {
        let nullable = self.nullable && other.nullable;
        // A part that says nothing of the type leaves it to the others.
        match (self.single(), other.single()) {
            (Some(one), Some(two)) => Self {
                nullable,
                ..both(one, two)
            },
            (Some(kind), None) | (None, Some(kind)) => Self {
                nullable,
                ..Self::of(kind)
            },
            (None, None) => Self::text("several conditions at once"),
        }
    }
}

fn both(one: Kind, two: Kind) -> Shape {
    match (one, two) {
        (one, two) if one == two => Shape::of(one),
        (Kind::Long, Kind::Double) | (Kind::Double, Kind::Long) => Shape::of(Kind::Long),
        (Kind::Struct(mut fields), Kind::Struct(more)) => {
            for field in more {
                match fields.iter_mut().find(|own| own.name == field.name) {
                    None => fields.push(field),
                    Some(own) if own.kind == field.kind => own.nullable &= field.nullable,
                    Some(_) => return Shape::text("parts that give a member several types"),
                }
            }
            Shape::of(Kind::Struct(fields))
        }
        (kind, Kind::String) | (Kind::String, kind) if json_type(&kind) == "string" => {
            Shape::of(kind)
        }
        _ => Shape::text("parts that do not go together"),
    }
}

/// Formats are annotations for many validators; here date and date-time are types.
fn text_kind(text: &Text) -> Kind {
    match text.format.as_deref() {
        _ if text.is_base64 => Kind::Binary,
        Some("date") => Kind::Date,
        Some("date-time") => Kind::Timestamp(TimeUnit::Microsecond),
        _ => Kind::String,
    }
}

fn number_kind(integer: bool) -> Kind {
    if integer { Kind::Long } else { Kind::Double }
}

/// `values` is canonical JSON text.
fn of_values(values: &[String]) -> Shape {
    let mut shape = Shape::default();
    for value in values {
        shape.or(match value.as_bytes().first() {
            Some(b'"') => Shape::of(Kind::String),
            Some(b't' | b'f') => Shape::of(Kind::Bool),
            Some(b'n') => Shape {
                nullable: true,
                ..Shape::default()
            },
            Some(b'[' | b'{') => Shape::text("arrays or objects by value"),
            _ => Shape::of(number_kind(value.parse::<i64>().is_ok())),
        });
    }
    shape
}

fn json_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Long | Kind::Double => "number",
        Kind::List(_) => "array",
        Kind::Map { .. } | Kind::Struct(_) => "object",
        // Dates and bytes are texts in JSON.
        _ => "string",
    }
}

fn sibling(of: &Kind) -> Sibling {
    match json_type(of) {
        "boolean" => Sibling::Bool,
        "number" if *of == Kind::Long => Sibling::Long,
        "number" => Sibling::Double,
        "string" => Sibling::String,
        _ => Sibling::Json,
    }
}
