//! From text to schema, every fault with its place.
//!
//! Names resolve as the specification has it: a name with a dot is whole, one without takes the
//! namespace of the type around it. A name that the text does not define may be defined by a
//! reference, a schema text of its own.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::BadSchema;
use super::logical;
use super::schema::{
    Enum, Fixed, Form, FullName, Named, Order, Record, RecordField, Schema, Type, TypeId, is_name,
};
use crate::json_tree::{Member, Tree, Twice, member};

/// Deepest nesting of types in the text, references they lead to included.
const DEPTH_MAX: usize = 128;
/// Most types, counted where they stand.
const TYPES_MAX: usize = 50_000;

/// What a type keeps for itself; other members are properties.
const TYPE_RESERVED: [&str; 10] = [
    "type",
    "name",
    "namespace",
    "doc",
    "aliases",
    "fields",
    "symbols",
    "items",
    "values",
    "size",
];
const FIELD_RESERVED: [&str; 6] = ["name", "type", "doc", "default", "order", "aliases"];

/// Reads `text`; `references` are names and texts, in any order.
pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<Schema, BadSchema> {
    let bytes = references.iter().map(|(_, text)| text.len()).sum::<usize>() + text.len();
    if bytes > BadSchema::TEXT_BYTES_MAX {
        return Err(BadSchema::TooLong { bytes });
    }
    let mut parser = Parser {
        types: Vec::new(),
        names: HashMap::new(),
        waiting: references
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect(),
        foreign: true,
        depth: 0,
    };
    for (name, _) in references {
        parser.read_reference(name)?;
    }
    parser.foreign = false;
    let root = parser.read_text(text, &Place::Root)?;
    Ok(Schema::new(parser.types, root))
}

struct Parser<'a> {
    types: Vec<Type>,
    names: HashMap<FullName, TypeId>,
    /// References not read yet.
    waiting: HashMap<&'a str, &'a str>,
    /// Reading a reference.
    foreign: bool,
    depth: usize,
}

impl Parser<'_> {
    fn read_reference(&mut self, name: &str) -> Result<(), BadSchema> {
        if let Some(text) = self.waiting.remove(name) {
            self.read_text(text, &Place::Reference(name))?;
        }
        Ok(())
    }

    fn read_text(&mut self, text: &str, place: &Place<'_>) -> Result<TypeId, BadSchema> {
        let tree = Tree::parse(text, Twice::Refused).map_err(|error| BadSchema::NotJson {
            at: place.to_string(),
            what: error.to_string(),
        })?;
        self.read(&tree, None, place)
    }

    /// Reads a type; `space` is the namespace around it.
    fn read(
        &mut self,
        tree: &Tree,
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        if self.depth >= DEPTH_MAX {
            return Err(place.fault(format!("nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let read = match tree {
            Tree::Text(name) => match Form::primitive(name) {
                Some(form) => self.add(form, Vec::new(), place),
                None => self.resolve(name, space, place),
            },
            Tree::Array(branches) => self.read_union(branches, space, place),
            Tree::Object(members) => self.read_object(members, space, place),
            _ => Err(place.fault("a type is a name, an object, or an array of types")),
        };
        self.depth -= 1;
        read
    }

    /// The type of this name: within `space` first, then outside all namespaces.
    fn resolve(
        &mut self,
        name: &str,
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        let candidates = [FullName::new(name, space), FullName::new(name, None)];
        for candidate in candidates.into_iter().flatten() {
            if !self.names.contains_key(&candidate) {
                // A reference may need one that stands behind it.
                self.read_reference(candidate.as_str())?;
            }
            if let Some(id) = self.names.get(&candidate) {
                return Ok(*id);
            }
        }
        Err(place.fault(format!("no type {name:?} is defined")))
    }

    fn read_union(
        &mut self,
        branches: &[Tree],
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        let mut labels = HashSet::new();
        let mut ids = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let place = Place::Item(place, index, None);
            let id = self.read(branch, space, &place)?;
            let form = &self.types[id.index()].form;
            if let Form::Union(_) = form {
                return Err(place.fault("a union directly in a union"));
            }
            if !labels.insert(form.label().to_owned()) {
                let label = form.label();
                return Err(place.fault(format!("the union has {label} twice")));
            }
            ids.push(id);
        }
        self.add(Form::Union(ids), Vec::new(), place)
    }

    fn read_object(
        &mut self,
        members: &[Member],
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        let of = required(members, "type", place)?;
        let Some(name) = of.as_text() else {
            return self.read(of, space, &Place::Of(place, "type"));
        };
        let properties = properties(members, &TYPE_RESERVED);
        let child = |key: &'static str| Ok((required(members, key, place)?, Place::Of(place, key)));
        match name {
            "record" | "error" => self.read_record(members, space, place, name == "error"),
            "enum" => self.read_enum(members, space, place),
            "fixed" => self.read_fixed(members, space, place),
            "array" => {
                let (items, place) = child("items")?;
                let form = Form::Array(self.read(items, space, &place)?);
                self.add(form, properties, &place)
            }
            "map" => {
                let (values, place) = child("values")?;
                let form = Form::Map(self.read(values, space, &place)?);
                self.add(form, properties, &place)
            }
            _ => match Form::primitive(name) {
                Some(form) => self.add(form, properties, place),
                None => self.resolve(name, space, place),
            },
        }
    }

    fn read_record(
        &mut self,
        members: &[Member],
        space: Option<&str>,
        place: &Place<'_>,
        is_error: bool,
    ) -> Result<TypeId, BadSchema> {
        let named = self.read_named(members, space, place)?;
        let space = named.name.space().map(str::to_owned);
        let record = Record {
            named,
            is_error,
            fields: Vec::new(),
        };
        // Named before its fields are read: they may be of this type.
        let id = self.define(Form::Record(record), members, place)?;
        let place = Place::Of(place, "fields");
        let items = required(members, "fields", &place)?
            .as_array()
            .ok_or_else(|| place.fault("must be an array of fields"))?;
        let mut names = HashSet::new();
        let mut fields = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let name = item
                .as_object()
                .and_then(|field| member(field, "name")?.as_text());
            let place = Place::Item(&place, index, name);
            let field = self.read_field(item, space.as_deref(), &place)?;
            if !names.insert(field.name.clone()) {
                return Err(place.fault("another field has this name"));
            }
            fields.push(field);
        }
        if let Form::Record(record) = &mut self.types[id.index()].form {
            record.fields = fields;
        }
        Ok(id)
    }

    fn read_field(
        &mut self,
        item: &Tree,
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<RecordField, BadSchema> {
        let members = item
            .as_object()
            .ok_or_else(|| place.fault("a field is an object"))?;
        let name = required(members, "name", place)?
            .as_text()
            .filter(|name| is_name(name))
            .ok_or_else(|| place.fault("the field's \"name\" is no name"))?;
        let order = match member(members, "order") {
            None => Order::Ascending,
            Some(order) => order
                .as_text()
                .and_then(Order::parse)
                .ok_or_else(|| place.fault("\"order\" is ascending, descending or ignore"))?,
        };
        let of = required(members, "type", place)?;
        Ok(RecordField {
            name: name.to_owned(),
            aliases: texts(members, "aliases", place)?,
            doc: doc(members),
            of: self.read(of, space, &Place::Of(place, "type"))?,
            default: member(members, "default").cloned(),
            order,
            properties: properties(members, &FIELD_RESERVED),
        })
    }

    fn read_enum(
        &mut self,
        members: &[Member],
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        let named = self.read_named(members, space, place)?;
        required(members, "symbols", place)?;
        let symbols = texts(members, "symbols", place)?;
        let mut seen = HashSet::new();
        for symbol in &symbols {
            if !is_name(symbol) || !seen.insert(symbol) {
                let what = format!("the symbol {symbol:?} is no name, or there twice");
                return Err(place.fault(what));
            }
        }
        let default = match member(members, "default") {
            None => None,
            Some(default) => Some(
                default
                    .as_text()
                    .filter(|default| symbols.iter().any(|symbol| symbol == default))
                    .ok_or_else(|| place.fault("\"default\" is none of the symbols"))?
                    .to_owned(),
            ),
        };
        let form = Form::Enum(Enum {
            named,
            symbols,
            default,
        });
        self.define(form, members, place)
    }

    fn read_fixed(
        &mut self,
        members: &[Member],
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        let named = self.read_named(members, space, place)?;
        let size = required(members, "size", place)?
            .as_i64()
            .and_then(|size| i32::try_from(size).ok())
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| place.fault("\"size\" must be a number of bytes"))?;
        self.define(Form::Fixed(Fixed { named, size }), members, place)
    }

    fn read_named(
        &self,
        members: &[Member],
        space: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Named, BadSchema> {
        let given = |key| member(members, key).and_then(Tree::as_text);
        let space = given("namespace").or(space);
        let name = required(members, "name", place)?
            .as_text()
            .and_then(|name| FullName::new(name, space))
            .filter(|name| Form::primitive(name.as_str()).is_none())
            .ok_or_else(|| place.fault("\"name\" is no name for a type"))?;
        let mut aliases = Vec::new();
        for alias in texts(members, "aliases", place)? {
            let alias = FullName::new(&alias, name.space())
                .ok_or_else(|| place.fault(format!("the alias {alias:?} is no name")))?;
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        Ok(Named {
            name,
            aliases,
            doc: doc(members),
            foreign: self.foreign,
        })
    }

    /// Adds a type that has a name.
    fn define(
        &mut self,
        form: Form,
        members: &[Member],
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        let name = form.named().map(|named| named.name.clone());
        let mut properties = properties(members, &TYPE_RESERVED);
        if let Form::Enum(_) = form {
            properties.retain(|(name, _)| name != "default");
        }
        let id = self.add(form, properties, place)?;
        if let Some(name) = name
            && self.names.insert(name.clone(), id).is_some()
        {
            return Err(place.fault(format!("{} is defined twice", name.as_str())));
        }
        Ok(id)
    }

    fn add(
        &mut self,
        form: Form,
        properties: Vec<Member>,
        place: &Place<'_>,
    ) -> Result<TypeId, BadSchema> {
        if self.types.len() >= TYPES_MAX {
            return Err(place.fault(format!("more than {TYPES_MAX} types")));
        }
        self.types.push(Type {
            logical: logical::of(&form, &properties),
            form,
            properties,
        });
        Ok(TypeId::new(self.types.len() - 1))
    }
}

fn required<'t>(
    members: &'t [Member],
    name: &str,
    place: &Place<'_>,
) -> Result<&'t Tree, BadSchema> {
    member(members, name).ok_or_else(|| place.fault(format!("{name:?} is missing")))
}

/// A list of texts; none if the member is missing.
fn texts(members: &[Member], name: &str, place: &Place<'_>) -> Result<Vec<String>, BadSchema> {
    let Some(value) = member(members, name) else {
        return Ok(Vec::new());
    };
    let texts = value.as_array().and_then(|items| {
        let texts = items.iter().map(|item| item.as_text().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    texts.ok_or_else(|| place.fault(format!("{name:?} must be an array of texts")))
}

fn doc(members: &[Member]) -> Option<String> {
    Some(member(members, "doc")?.as_text()?.to_owned())
}

fn properties(members: &[Member], reserved: &[&str]) -> Vec<Member> {
    let free = |(name, _): &&Member| !reserved.contains(&name.as_str());
    members.iter().filter(free).cloned().collect()
}

/// Where in the texts we are, told only when something is wrong there.
enum Place<'a> {
    Root,
    Reference(&'a str),
    Of(&'a Place<'a>, &'static str),
    /// With the field's name, as far as it has one.
    Item(&'a Place<'a>, usize, Option<&'a str>),
}

impl Place<'_> {
    fn fault(&self, what: impl Into<String>) -> BadSchema {
        BadSchema::Invalid {
            at: self.to_string(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("schema"),
            Self::Reference(name) => write!(f, "reference {name:?}"),
            Self::Of(Self::Root, name) => f.write_str(name),
            Self::Of(place, name) => write!(f, "{place}.{name}"),
            Self::Item(place, index, None) => write!(f, "{place}[{index}]"),
            Self::Item(place, index, Some(name)) => write!(f, "{place}[{index}] {name:?}"),
        }
    }
}
