//! The keywords of one schema object, as forms.

use std::collections::BTreeSet;

use super::BadSchema;
use super::document::{At, Builder, Criterion, Form, NodeId};
use crate::json_tree::Tree;

#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) max_length: Option<f64>,
    pub(super) min_length: Option<f64>,
    pub(super) pattern: Option<String>,
    pub(super) format: Option<String>,
    pub(super) is_base64: bool,
}

#[derive(Debug, Default)]
pub(super) struct Number {
    pub(super) integer: bool,
    pub(super) maximum: Option<f64>,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_maximum: Option<f64>,
    pub(super) exclusive_minimum: Option<f64>,
    pub(super) multiple_of: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Array {
    /// Of all items.
    pub(super) items: Option<NodeId>,
    /// Of the first items, one by one.
    pub(super) prefix: Vec<NodeId>,
    /// Of those behind the prefix.
    pub(super) additional: Rest,
    pub(super) unevaluated: Option<NodeId>,
    pub(super) max_items: Option<f64>,
    pub(super) min_items: Option<f64>,
    pub(super) max_contains: Option<f64>,
    pub(super) min_contains: Option<f64>,
    pub(super) unique: bool,
}

#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) properties: Vec<(String, NodeId)>,
    pub(super) required: BTreeSet<String>,
    pub(super) patterns: Vec<(String, NodeId)>,
    pub(super) additional: Rest,
    pub(super) unevaluated: Option<NodeId>,
    pub(super) max_properties: Option<f64>,
    pub(super) min_properties: Option<f64>,
    pub(super) dependent_names: Vec<(String, BTreeSet<String>)>,
    pub(super) dependent_schemas: Vec<(String, NodeId)>,
}

/// What is behind what was named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Rest {
    #[default]
    Open,
    Closed,
    Of(NodeId),
}

/// Keywords that, without a `type`, tell the type they are about.
const ABOUT_TEXT: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const ABOUT_NUMBER: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
const ABOUT_ARRAY: [&str; 7] = [
    "items",
    "prefixItems",
    "additionalItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
];
const ABOUT_OBJECT: [&str; 10] = [
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
];

/// What the keywords of `tree` say, each of it a form.
pub(super) fn forms(
    tree: &Tree,
    file: usize,
    at: &At<'_>,
    builder: &mut Builder<'_>,
) -> Result<Vec<Form>, BadSchema> {
    let mut of = Reader {
        tree,
        file,
        at,
        builder,
    };
    let mut forms = Vec::new();
    if let Some(values) = tree.get("enum") {
        let values = values.as_array();
        let values = values.ok_or_else(|| at.invalid("enum must be an array"))?;
        forms.push(Form::Enum(
            values
                .iter()
                .map(|value| value.sorted().to_string())
                .collect(),
        ));
    }
    if let Some(value) = tree.get("const") {
        forms.push(Form::Const(value.sorted().to_string()));
    }
    for (keyword, criterion) in [
        ("allOf", Criterion::All),
        ("anyOf", Criterion::Any),
        ("oneOf", Criterion::One),
    ] {
        if tree.get(keyword).is_some() {
            forms.push(Form::Combined(criterion, of.parts(keyword)?));
        }
    }
    if let Some(not) = of.schema("not")? {
        forms.push(Form::Not(not));
    }
    if tree.get("if").is_some() {
        forms.push(Form::Conditional);
    }
    match tree.get("type") {
        None => of.untyped(&mut forms)?,
        Some(Tree::Text(name)) => forms.push(of.typed(name)?),
        Some(Tree::Array(names)) => {
            let mut parts = Vec::new();
            for name in names {
                let name = name.as_text();
                let name = name.ok_or_else(|| at.invalid("type must name types"))?;
                let form = of.typed(name)?;
                parts.push(of.builder.form(form)?);
            }
            forms.push(Form::Combined(Criterion::Any, parts));
        }
        Some(_) => return Err(at.invalid("type must be a text or an array")),
    }
    Ok(forms)
}

struct Reader<'a, 'b, 'c> {
    tree: &'a Tree,
    file: usize,
    at: &'a At<'a>,
    builder: &'b mut Builder<'c>,
}

impl Reader<'_, '_, '_> {
    fn typed(&mut self, name: &str) -> Result<Form, BadSchema> {
        Ok(match name {
            "null" => Form::Null,
            "boolean" => Form::Bool,
            "string" => Form::Text(self.about_text()?),
            "integer" => Form::Number(self.about_number(true)?),
            "number" => Form::Number(self.about_number(false)?),
            "array" => Form::Array(self.about_array()?),
            "object" => Form::Object(self.about_object()?),
            other => return Err(self.at.invalid(format!("no type {other:?}"))),
        })
    }

    fn untyped(&mut self, forms: &mut Vec<Form>) -> Result<(), BadSchema> {
        let tree = self.tree;
        let any = |keywords: &[&str]| keywords.iter().any(|keyword| tree.get(keyword).is_some());
        if any(&ABOUT_TEXT) {
            forms.push(Form::Text(self.about_text()?));
        }
        if any(&ABOUT_ARRAY) {
            forms.push(Form::Array(self.about_array()?));
        }
        if any(&ABOUT_OBJECT) {
            forms.push(Form::Object(self.about_object()?));
        }
        if any(&ABOUT_NUMBER) {
            forms.push(Form::Number(self.about_number(false)?));
        }
        Ok(())
    }

    fn about_text(&self) -> Result<Text, BadSchema> {
        let text = |keyword| self.tree.get(keyword).and_then(Tree::as_text);
        Ok(Text {
            max_length: self.limit("maxLength")?,
            min_length: self.limit("minLength")?,
            pattern: text("pattern").map(str::to_owned),
            format: text("format").map(str::to_owned),
            is_base64: text("contentEncoding") == Some("base64"),
        })
    }

    /// Draft 4's `exclusiveMaximum: true` makes `maximum` the exclusive limit.
    fn about_number(&self, integer: bool) -> Result<Number, BadSchema> {
        let limits = |plain: &str, exclusive: &str| match self.tree.get(exclusive) {
            Some(Tree::Bool(true)) => Ok((None, self.limit(plain)?)),
            Some(Tree::Bool(false)) => Ok((self.limit(plain)?, None)),
            _ => Ok((self.limit(plain)?, self.limit(exclusive)?)),
        };
        let (maximum, exclusive_maximum) = limits("maximum", "exclusiveMaximum")?;
        let (minimum, exclusive_minimum) = limits("minimum", "exclusiveMinimum")?;
        Ok(Number {
            integer,
            maximum,
            minimum,
            exclusive_maximum,
            exclusive_minimum,
            multiple_of: self.limit("multipleOf")?,
        })
    }

    /// An array of `items` is what `prefixItems` was before 2020-12, and `additionalItems` what
    /// `items` is beside it.
    fn about_array(&mut self) -> Result<Array, BadSchema> {
        let before = matches!(self.tree.get("items"), Some(Tree::Array(_)));
        let (prefix, rest) = match (self.tree.get("prefixItems"), before) {
            (Some(_), _) => (self.list("prefixItems", |_| true)?, "items"),
            (None, true) => (self.list("items", |_| true)?, "additionalItems"),
            (None, false) => (Vec::new(), "additionalItems"),
        };
        let items = match prefix.is_empty() {
            true => self.schema("items")?,
            false => None,
        };
        Ok(Array {
            items,
            prefix,
            additional: self.rest(rest)?,
            unevaluated: self.schema("unevaluatedItems")?,
            max_items: self.limit("maxItems")?,
            min_items: self.limit("minItems")?,
            max_contains: self.limit("maxContains")?,
            min_contains: self.limit("minContains")?,
            unique: self.tree.get("uniqueItems") == Some(&Tree::Bool(true)),
        })
    }

    fn about_object(&mut self) -> Result<Object, BadSchema> {
        let mut object = Object {
            properties: self.map("properties")?,
            required: names(self.tree.get("required")),
            patterns: self.map("patternProperties")?,
            additional: self.rest("additionalProperties")?,
            unevaluated: self.schema("unevaluatedProperties")?,
            max_properties: self.limit("maxProperties")?,
            min_properties: self.limit("minProperties")?,
            dependent_names: Vec::new(),
            dependent_schemas: self.map("dependentSchemas")?,
        };
        for keyword in ["dependencies", "dependentRequired"] {
            let at = self.at.below(keyword);
            let dependencies = self.tree.get(keyword).and_then(Tree::as_object);
            for (name, needs) in dependencies.unwrap_or_default() {
                if needs.as_array().is_some() {
                    let needs = names(Some(needs));
                    object.dependent_names.push((name.clone(), needs));
                } else {
                    let at = at.below(name);
                    let node = self.builder.child(needs, self.file, &at)?;
                    object.dependent_schemas.push((name.clone(), node));
                }
            }
        }
        Ok(object)
    }

    fn schema(&mut self, keyword: &str) -> Result<Option<NodeId>, BadSchema> {
        let Some(tree) = self.tree.get(keyword) else {
            return Ok(None);
        };
        let at = self.at.below(keyword);
        self.builder.child(tree, self.file, &at).map(Some)
    }

    fn rest(&mut self, keyword: &str) -> Result<Rest, BadSchema> {
        Ok(match self.tree.get(keyword) {
            None | Some(Tree::Bool(true)) => Rest::Open,
            Some(Tree::Bool(false)) => Rest::Closed,
            Some(_) => self.schema(keyword)?.map_or(Rest::Open, Rest::Of),
        })
    }

    /// The parts of a combination; what stands there twice counts once.
    fn parts(&mut self, keyword: &str) -> Result<Vec<NodeId>, BadSchema> {
        let mut seen = BTreeSet::new();
        self.list(keyword, |item| seen.insert(item.sorted().to_string()))
    }

    fn list(
        &mut self,
        keyword: &str,
        mut keep: impl FnMut(&Tree) -> bool,
    ) -> Result<Vec<NodeId>, BadSchema> {
        let at = self.at.below(keyword);
        let items = self.tree.get(keyword).and_then(Tree::as_array);
        let items = items.ok_or_else(|| at.invalid("must be an array of schemas"))?;
        items
            .iter()
            .enumerate()
            .filter(|(_, item)| keep(item))
            .map(|(i, item)| {
                self.builder
                    .child(item, self.file, &at.below(&i.to_string()))
            })
            .collect()
    }

    /// The last one of a name counts.
    fn map(&mut self, keyword: &str) -> Result<Vec<(String, NodeId)>, BadSchema> {
        let at = self.at.below(keyword);
        let Some(tree) = self.tree.get(keyword) else {
            return Ok(Vec::new());
        };
        let members = tree.as_object();
        let members = members.ok_or_else(|| at.invalid("must be an object of schemas"))?;
        let mut map: Vec<(String, NodeId)> = Vec::with_capacity(members.len());
        let mut places = std::collections::HashMap::new();
        for (name, schema) in members {
            let node = self.builder.child(schema, self.file, &at.below(name))?;
            match places.insert(name, map.len()) {
                None => map.push((name.clone(), node)),
                Some(before) => {
                    map[before].1 = node;
                    places.insert(name, before);
                }
            }
        }
        Ok(map)
    }

    fn limit(&self, keyword: &str) -> Result<Option<f64>, BadSchema> {
        match self.tree.get(keyword) {
            None => Ok(None),
            Some(Tree::Number(_)) => Ok(self.tree.get(keyword).and_then(Tree::as_f64)),
            Some(_) => Err(self.at.below(keyword).invalid("must be a number")),
        }
    }
}

/// The texts of an array; draft 3's and OpenAPI's `required: true` names none.
fn names(tree: Option<&Tree>) -> BTreeSet<String> {
    let items = tree.and_then(Tree::as_array).unwrap_or_default();
    let names = items.iter().filter_map(Tree::as_text);
    names.map(str::to_owned).collect()
}
