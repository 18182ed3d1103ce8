//! Which columns of a schema are wanted, down to members of structs and of the structs in lists.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use super::Shape;

/// Where a field's id stands in its metadata.
const FIELD_ID: &str = "PARQUET:field_id";

/// Some columns of one schema, in its order. Made once for each schema of a request.
#[derive(Debug, Clone)]
pub struct Projection {
    shape: Arc<Shape>,
    /// Nodes wanted, ascending, column by column; no list is empty.
    columns: Vec<Vec<usize>>,
    schema: SchemaRef,
}

impl Projection {
    /// Every column.
    pub fn all(shape: &Arc<Shape>) -> Self {
        Self::marked(shape, &vec![true; shape.nodes().len()])
    }

    /// What `paths` name: dotted names (`address.city`) or field ids (`#17`), top-level columns or
    /// members of structs; what lies below is taken with it. A list is passed through: `lines.sku`
    /// is `sku` of the structs in the list `lines`. Also answers the paths that name nothing here,
    /// which may still name a column of another version of the schema.
    pub fn select<'p>(shape: &Arc<Shape>, paths: &[&'p str]) -> (Self, Vec<&'p str>) {
        let mut marks = vec![false; shape.nodes().len()];
        let unknown = paths
            .iter()
            .copied()
            .filter(|path| !mark(shape, shape.schema().fields(), 0, path, &mut marks))
            .collect();
        (Self::marked(shape, &marks), unknown)
    }

    /// The Arrow schema of what is projected.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The schema it was made for.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// True when no column is wanted, only how many rows there are.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// What is projected of rows of the whole schema; nothing is copied.
    ///
    /// # Errors
    /// The rows are of another schema.
    pub fn of_rows(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = rows.column_by_name(field.name());
            narrow(column.ok_or_else(|| missing(field))?, field)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = columns.collect::<Result<_, _>>()?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }

    pub(super) fn columns(&self) -> &[Vec<usize>] {
        &self.columns
    }

    fn marked(shape: &Arc<Shape>, marks: &[bool]) -> Self {
        let wanted = |(_, node): &(&Arc<Field>, usize)| marks[*node];
        let columns = shape.columns().filter(wanted).map(|(_, node)| {
            let nodes = node..shape.nodes()[node].end;
            nodes.filter(|node| marks[*node]).collect()
        });
        let metadata = shape.schema().metadata().clone();
        let fields = prune(shape, shape.schema().fields(), 0, marks);
        Self {
            columns: columns.collect(),
            schema: Arc::new(Schema::new_with_metadata(fields, metadata)),
            shape: Arc::clone(shape),
        }
    }
}

/// Marks the nodes that `path` names among `fields`, and those above them. False if it names none.
fn mark(shape: &Shape, fields: &Fields, first: usize, path: &str, marks: &mut [bool]) -> bool {
    let id = path.strip_prefix('#');
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) if id.is_none() => (name, Some(rest)),
        _ => (path, None),
    };
    for (field, node) in shape.with_nodes(fields, first) {
        let is_named = match id {
            Some(id) => field.metadata().get(FIELD_ID).is_some_and(|own| own == id),
            None => field.name() == name,
        };
        if is_named && rest.is_none() {
            marks[node..shape.nodes()[node].end].fill(true);
            return true;
        }
        // An id may stand at any depth, a name only where the path says.
        let below = match (id, rest) {
            (Some(_), _) => Some(path),
            (None, rest) => rest.filter(|_| is_named),
        };
        if let (Some((children, first)), Some(path)) = (members(field.data_type(), node), below)
            && mark(shape, children, first, path, marks)
        {
            marks[node..first].fill(true);
            return true;
        }
    }
    false
}

/// The members of a struct, or of the structs that a list holds, and the node of the first one;
/// `node` is that of the field with this type. What lies between them are lists and the struct.
fn members(data_type: &DataType, node: usize) -> Option<(&Fields, usize)> {
    match data_type {
        DataType::Struct(children) => Some((children, node + 1)),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => members(element.data_type(), node + 1),
        _ => None,
    }
}

/// The fields with a mark, structs without their members that have none.
fn prune(shape: &Shape, fields: &Fields, first: usize, marks: &[bool]) -> Fields {
    shape
        .with_nodes(fields, first)
        .filter(|(_, node)| marks[*node])
        .map(|(field, node)| pruned(shape, field, node, marks))
        .collect()
}

fn pruned(shape: &Shape, field: &Arc<Field>, node: usize, marks: &[bool]) -> Arc<Field> {
    let element = |element| pruned(shape, element, node + 1, marks);
    let kept = match field.data_type() {
        DataType::Struct(children) => DataType::Struct(prune(shape, children, node + 1, marks)),
        DataType::List(inner) => DataType::List(element(inner)),
        DataType::LargeList(inner) => DataType::LargeList(element(inner)),
        DataType::FixedSizeList(inner, len) => DataType::FixedSizeList(element(inner), *len),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(kept))
}

/// A column with those of its members that `field` has.
fn narrow(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    Ok(match (column.data_type(), field.data_type()) {
        (DataType::Struct(_), DataType::Struct(members)) => {
            let column = column.as_struct();
            let narrowed = members.iter().map(|member| {
                let own = column.column_by_name(member.name());
                narrow(own.ok_or_else(|| missing(member))?, member)
            });
            let narrowed = narrowed.collect::<Result<_, _>>()?;
            let nulls = column.nulls().cloned();
            Arc::new(StructArray::try_new(members.clone(), narrowed, nulls)?)
        }
        (DataType::List(_), DataType::List(element)) => narrow_list::<i32>(column, element)?,
        (DataType::LargeList(_), DataType::LargeList(element)) => {
            narrow_list::<i64>(column, element)?
        }
        (DataType::FixedSizeList(_, len), DataType::FixedSizeList(element, _)) => {
            let list = column.as_fixed_size_list();
            let values = narrow(list.values(), element)?;
            let (element, nulls) = (Arc::clone(element), list.nulls().cloned());
            Arc::new(FixedSizeListArray::try_new(element, *len, values, nulls)?)
        }
        _ => return Err(missing(field)),
    })
}

fn narrow_list<O: OffsetSizeTrait>(
    column: &ArrayRef,
    element: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let list = column.as_list::<O>();
    let values = narrow(list.values(), element)?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    let list = GenericListArray::<O>::try_new(Arc::clone(element), offsets, values, nulls)?;
    Ok(Arc::new(list))
}

fn missing(field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!("the rows have no column {}", field.name()))
}
