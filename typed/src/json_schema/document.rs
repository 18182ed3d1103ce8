//! A schema as nodes: each says one thing about a value.
//!
//! A schema with several kinds of keywords (`type` and `enum`, `properties` and `oneOf`) is the
//! conjunction of as many nodes; one that only has, say, `minLength` is a string's node. A `$ref` is
//! where it leads to, so a schema that refers to itself is a cycle of nodes.

use std::collections::HashMap;
use std::fmt;

use super::keywords::{self, Array, Number, Object, Text};
use super::{BadSchema, Source};
use crate::json_tree::{Tree, Twice};
use crate::schema::TableSchema;

/// Most nodes of a schema with its references.
const NODES_MAX: usize = 20_000;
/// Longest way along `$ref`s that lead to nothing but `$ref`s.
const REFERENCES_MAX: usize = 64;

pub(super) type NodeId = usize;

/// One text, nested at most 128 deep, which the parser sees to.
pub(super) fn parse(text: &str) -> Result<Tree, BadSchema> {
    Tree::parse(text, Twice::LastCounts).map_err(|error| BadSchema::NotJson(error.to_string()))
}

#[derive(Debug)]
pub(super) struct Document {
    nodes: Vec<Node>,
    pub(super) root: NodeId,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) form: Form,
    pub(super) has_default: bool,
    /// OpenAPI's `nullable`.
    pub(super) nullable: bool,
    /// Kafka Connect's mark of bytes.
    pub(super) is_connect_bytes: bool,
}

#[derive(Debug)]
pub(super) enum Form {
    /// `{}` and `true`.
    Any,
    /// `false`.
    Never,
    Reference(NodeId),
    Null,
    Bool,
    Text(Text),
    Number(Number),
    Array(Array),
    Object(Object),
    /// Values as canonical text.
    Enum(Vec<String>),
    Const(String),
    Combined(Criterion, Vec<NodeId>),
    Not(NodeId),
    /// `if`, `then`, `else`.
    Conditional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criterion {
    All,
    Any,
    One,
}

impl Document {
    pub(super) fn parse(source: &Source<'_>) -> Result<Self, BadSchema> {
        let texts = source.references.iter().map(|(_, text)| text.len());
        let bytes = source.text.len() + texts.sum::<usize>();
        if bytes > TableSchema::TEXT_BYTES_MAX {
            return Err(BadSchema::TooLong { bytes });
        }
        let mut files = vec![(String::new(), parse(source.text)?)];
        for (name, text) in source.references {
            files.push((name.clone(), parse(text)?));
        }
        let mut builder = Builder {
            files: &files,
            nodes: Vec::new(),
            places: HashMap::new(),
            waiting: Vec::new(),
        };
        let root = builder.place(0, String::new())?;
        while let Some((id, file, pointer)) = builder.waiting.pop() {
            let Some(tree) = files[file].1.at(&pointer) else {
                continue;
            };
            builder.nodes[id] = builder.node(tree, file, &At::Pointer(&pointer))?;
        }
        let document = Self {
            nodes: builder.nodes,
            root,
        };
        let mut ends = (0..document.nodes.len()).map(|id| document.node(id).1);
        if ends.any(|end| matches!(end.form, Form::Reference(_))) {
            return Err(BadSchema::TooLarge(
                "references that lead to references only",
            ));
        }
        Ok(document)
    }

    /// The node that `id` is or leads to, never a reference, and its id.
    pub(super) fn node(&self, id: NodeId) -> (NodeId, &Node) {
        let last = self.way(id).last().unwrap_or(id);
        (last, &self.nodes[last])
    }

    /// True if null is allowed beside `id`, or on the way that it leads.
    pub(super) fn is_nullable(&self, id: NodeId) -> bool {
        self.way(id).any(|id| self.nodes[id].nullable)
    }

    fn way(&self, from: NodeId) -> impl Iterator<Item = NodeId> {
        let step = |id: &NodeId| match self.nodes[*id].form {
            Form::Reference(to) => Some(to),
            _ => None,
        };
        std::iter::successors(Some(from), step).take(REFERENCES_MAX)
    }
}

/// Makes nodes of trees; what a `$ref` leads to waits until the tree that has it is done.
pub(super) struct Builder<'a> {
    files: &'a [(String, Tree)],
    nodes: Vec<Node>,
    places: HashMap<(usize, String), NodeId>,
    waiting: Vec<(NodeId, usize, String)>,
}

impl Builder<'_> {
    /// The node of a subschema, made now.
    pub(super) fn child(
        &mut self,
        tree: &Tree,
        file: usize,
        at: &At<'_>,
    ) -> Result<NodeId, BadSchema> {
        let node = self.node(tree, file, at)?;
        self.push(node)
    }

    pub(super) fn form(&mut self, form: Form) -> Result<NodeId, BadSchema> {
        self.push(Node::of(form))
    }

    /// The node at a place, made now or later.
    fn place(&mut self, file: usize, pointer: String) -> Result<NodeId, BadSchema> {
        if let Some(id) = self.places.get(&(file, pointer.clone())) {
            return Ok(*id);
        }
        let id = self.push(Node::of(Form::Any))?;
        self.places.insert((file, pointer.clone()), id);
        self.waiting.push((id, file, pointer));
        Ok(id)
    }

    fn push(&mut self, node: Node) -> Result<NodeId, BadSchema> {
        if self.nodes.len() >= NODES_MAX {
            return Err(BadSchema::TooLarge("more than 20,000 subschemas"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// As deep as the tree, which is at most 128.
    fn node(&mut self, tree: &Tree, file: usize, at: &At<'_>) -> Result<Node, BadSchema> {
        match tree {
            Tree::Bool(true) => return Ok(Node::of(Form::Any)),
            Tree::Bool(false) => return Ok(Node::of(Form::Never)),
            Tree::Object(_) => {}
            _ => return Err(at.invalid("a schema is an object or a boolean")),
        }
        let form = if let Some(reference) = tree.get("$ref") {
            let reference = reference.as_text();
            let reference = reference.ok_or_else(|| at.invalid("$ref must be a text"))?;
            Form::Reference(self.resolve(reference, file, at)?)
        } else {
            let mut forms = keywords::forms(tree, file, at, self)?;
            match forms.len() {
                0 => Form::Any,
                1 => forms.swap_remove(0),
                _ => {
                    let parts = forms.into_iter().map(|form| self.form(form));
                    Form::Combined(Criterion::All, parts.collect::<Result<_, _>>()?)
                }
            }
        };
        let connect = tree.get("connect.type").and_then(Tree::as_text);
        Ok(Node {
            form,
            has_default: tree.get("default").is_some(),
            nullable: tree.get("nullable") == Some(&Tree::Bool(true)),
            is_connect_bytes: connect == Some("bytes"),
        })
    }

    fn resolve(&mut self, reference: &str, file: usize, at: &At<'_>) -> Result<NodeId, BadSchema> {
        let unresolved = || BadSchema::Unresolved {
            at: at.to_string(),
            reference: reference.to_owned(),
        };
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let file = self.file(name, file).ok_or_else(unresolved)?;
        let tree = &self.files[file].1;
        let place = if fragment.is_empty() || fragment.starts_with('/') {
            let place = fragment.replace("%25", "%").replace("%22", "\"");
            tree.at(&place).is_some().then_some(place)
        } else {
            anchor(tree, fragment, &At::Pointer(""))
        };
        self.place(file, place.ok_or_else(unresolved)?)
    }

    /// The file of this name, or with this `$id`; a relative name may stand for the end of an `$id`.
    fn file(&self, name: &str, from: usize) -> Option<usize> {
        if name.is_empty() {
            return Some(from);
        }
        let id = |tree: &Tree| {
            let id = tree.get("$id").or_else(|| tree.get("id"))?.as_text()?;
            Some(id.trim_end_matches('#').to_owned())
        };
        let ids: Vec<_> = self.files.iter().map(|(_, tree)| id(tree)).collect();
        let own_name = self.files.iter().position(|(own, _)| own == name);
        let end = format!("/{}", name.trim_start_matches("./"));
        own_name
            .or_else(|| ids.iter().position(|id| id.as_deref() == Some(name)))
            .or_else(|| {
                let mut ids = ids.iter();
                ids.position(|id| id.as_ref().is_some_and(|id| id.ends_with(&end)))
            })
    }
}

/// The pointer of the subschema with this `$anchor`, or `$id` of that fragment.
fn anchor(tree: &Tree, name: &str, at: &At<'_>) -> Option<String> {
    let is = |keyword: &str, prefix: &str| {
        let own = tree.get(keyword).and_then(Tree::as_text);
        own.and_then(|own| own.strip_prefix(prefix)) == Some(name)
    };
    if is("$anchor", "") || is("$id", "#") || is("id", "#") {
        return Some(at.to_string());
    }
    match tree {
        Tree::Object(members) => members
            .iter()
            .find_map(|(step, child)| anchor(child, name, &at.below(step))),
        Tree::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(i, child)| anchor(child, name, &at.below(&i.to_string())))
        }
        _ => None,
    }
}

/// Where in a file we are; becomes a JSON pointer (RFC 6901) only when it is told.
pub(super) enum At<'a> {
    Pointer(&'a str),
    Below(&'a At<'a>, &'a str),
}

impl<'a> At<'a> {
    pub(super) fn below(&'a self, step: &'a str) -> Self {
        Self::Below(self, step)
    }

    pub(super) fn invalid(&self, what: impl Into<String>) -> BadSchema {
        BadSchema::Invalid {
            at: self.to_string(),
            what: what.into(),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Below(above, step) => {
                let step = step.replace('~', "~0").replace('/', "~1");
                write!(f, "{above}/{step}")
            }
        }
    }
}

impl Node {
    fn of(form: Form) -> Self {
        Self {
            form,
            has_default: false,
            nullable: false,
            is_connect_bytes: false,
        }
    }
}
