//! Where a schema's fields stand among the nodes and buffers of a record batch message.
//!
//! Source: Arrow columnar format, "Recordbatch message": fields flattened depth first, one node a
//! field, and the buffers of each in a fixed order. A node's own buffers therefore lie side by
//! side, and a field with all its children is a run of nodes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, SchemaRef};

/// A schema and its nodes. One per schema version, shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    schema: SchemaRef,
    nodes: Vec<Node>,
}

/// One field, nested or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Buffers of its own, the first of which is the validity.
    pub(super) buffers: usize,
    /// The node that follows its last descendant.
    pub(super) end: usize,
}

/// A type whose rows cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: rows files hold no {kind}")]
pub struct UnsupportedType {
    pub column: String,
    pub kind: String,
}

impl Shape {
    /// # Errors
    /// [`UnsupportedType`] for dictionaries, views, unions, run-end encoding and the null type.
    pub fn new(schema: SchemaRef) -> Result<Self, UnsupportedType> {
        let mut nodes = Vec::new();
        for field in schema.fields() {
            add(field, &mut nodes)?;
        }
        Ok(Self { schema, nodes })
    }

    /// As [`new`](Self::new), shared.
    pub fn shared(schema: SchemaRef) -> Result<Arc<Self>, UnsupportedType> {
        Self::new(schema).map(Arc::new)
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The top-level fields with their nodes.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&Arc<Field>, usize)> {
        self.with_nodes(self.schema.fields(), 0)
    }

    /// Fields that follow each other with their nodes, the first of which is `node`.
    pub(super) fn with_nodes<'a>(
        &'a self,
        fields: &'a Fields,
        mut node: usize,
    ) -> impl Iterator<Item = (&'a Arc<Field>, usize)> {
        fields.iter().map(move |field| {
            let here = node;
            node = self.nodes[here].end;
            (field, here)
        })
    }
}

fn add(field: &Field, nodes: &mut Vec<Node>) -> Result<(), UnsupportedType> {
    use DataType::{
        Binary, Dictionary, FixedSizeList, LargeBinary, LargeList, LargeUtf8, List, Map, Struct,
        Utf8,
    };
    let here = nodes.len();
    let buffers = match field.data_type() {
        Struct(_) | FixedSizeList(..) => 1,
        List(_) | LargeList(_) | Map(..) => 2,
        Utf8 | Binary | LargeUtf8 | LargeBinary => 3,
        Dictionary(..) => return Err(unsupported(field)),
        DataType::Boolean | DataType::FixedSizeBinary(_) => 2,
        kind if kind.is_primitive() => 2,
        _ => return Err(unsupported(field)),
    };
    nodes.push(Node { buffers, end: here });
    match field.data_type() {
        Struct(children) => children.iter().try_for_each(|child| add(child, nodes))?,
        FixedSizeList(child, _) | List(child) | LargeList(child) | Map(child, _) => {
            add(child, nodes)?;
        }
        _ => {}
    }
    nodes[here].end = nodes.len();
    Ok(())
}

fn unsupported(field: &Field) -> UnsupportedType {
    UnsupportedType {
        column: field.name().clone(),
        kind: field.data_type().to_string(),
    }
}
