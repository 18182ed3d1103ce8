//! How values of one writer fill the columns of one table: every decision that does not depend on
//! the value, made once.
//!
//! Fields and columns meet by name, struct by struct. The table may have more columns (null where
//! the writer has no field), fewer (the field is passed over) and wider types ([`widens`]).

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema as ArrowSchema};

use super::Writer;
use super::decode;
use super::draft::ROOT;
use super::mapping::{Plain, Shape, shape};
use super::schema::{Form, Record, Schema, TypeId};
use crate::column::Group;
use crate::json::{self, Reason};
use crate::schema::{Field, Kind, TableSchema, TimeUnit};

/// Turns values of one Avro schema into rows of one table. Cheap to share, made once for a pair.
#[derive(Debug)]
pub struct Plan {
    schema: Arc<Schema>,
    root: Fields,
    columns: Vec<Field>,
}

/// Why values and columns do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct Mismatch {
    /// The column's dotted name (`lines[].price`).
    pub column: String,
    pub what: String,
}

/// What a plan made of values.
#[derive(Debug)]
pub struct Decoded {
    /// The value columns, a row for each value that fits.
    pub rows: RecordBatch,
    /// The others: their places among the values, and why.
    pub undecodable: Vec<(usize, Reason)>,
}

/// One record: its fields in the order of the bytes.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) steps: Vec<Step>,
    /// Columns that no field fills. All of them may be null.
    pub(super) absent: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Step {
    Fill { column: usize, from: Node },
    Skip { name: String, of: TypeId },
}

/// A type that fills a column.
#[derive(Debug)]
pub(super) enum Node {
    Plain(Plain),
    /// A union with null in place `null`.
    Optional {
        null: usize,
        of: Box<Node>,
    },
    /// A union that fills one column of a struct, all of whose columns may be null.
    Branches(Vec<Branch>),
    List(Box<Node>),
    Map(Box<Node>),
    Struct(Fields),
}

#[derive(Debug)]
pub(super) enum Branch {
    /// The struct itself is null.
    Null,
    Fill {
        column: usize,
        from: Node,
    },
    /// A type that the table has no column for: all columns are null.
    Skip(TypeId),
}

impl Plan {
    /// Matches what `writer` writes with the columns of `table`.
    ///
    /// # Errors
    /// [`Mismatch`] for a column of another type, or one that may not be null and has no field.
    pub fn compile(writer: &Writer, table: &TableSchema) -> Result<Self, Mismatch> {
        let schema = &writer.schema;
        let compiler = Compiler { schema };
        let root = match shape(schema, schema.root()) {
            Shape::Struct(record) => compiler.record(record, table.fields()),
            _ => compiler.fields([(ROOT, schema.root())], table.fields()),
        };
        Ok(Self {
            schema: Arc::clone(schema),
            root: root?,
            columns: table.fields().to_vec(),
        })
    }

    /// Appends the row of one value to `columns`, those of the table the plan was made for, which
    /// have `rows` rows each. On an error the columns are as before.
    pub(crate) fn append(
        &self,
        columns: &mut Group,
        rows: usize,
        value: &[u8],
    ) -> Result<(), Reason> {
        decode::row(&self.schema, &self.root, columns, value)
            .inspect_err(|_| columns.truncate(rows))
    }

    /// Decodes values that stand alone, without records around them.
    ///
    /// # Errors
    /// [`ArrowError`] if the values do not make a batch: a column of them passes 2 GiB.
    pub fn decode<'v>(
        &self,
        values: impl IntoIterator<Item = &'v [u8]>,
    ) -> Result<Decoded, ArrowError> {
        let mut columns = Group::new(&self.columns);
        let mut undecodable = Vec::new();
        let mut rows = 0;
        for (place, value) in values.into_iter().enumerate() {
            match self.append(&mut columns, rows, value) {
                Ok(()) => rows += 1,
                Err(reason) if reason.is_full() => {
                    return Err(ArrowError::ComputeError(reason.to_string()));
                }
                Err(reason) => undecodable.push((place, reason)),
            }
        }
        let schema = Arc::new(ArrowSchema::new(crate::arrow::fields(&self.columns)));
        Ok(Decoded {
            rows: RecordBatch::try_new(schema, columns.finish()?)?,
            undecodable,
        })
    }
}

struct Compiler<'a> {
    schema: &'a Schema,
}

impl Compiler<'_> {
    fn record(&self, record: &Record, columns: &[Field]) -> Result<Fields, Mismatch> {
        let fields = record.fields.iter();
        self.fields(fields.map(|field| (&*field.name, field.of)), columns)
    }

    fn fields<'n>(
        &self,
        fields: impl IntoIterator<Item = (&'n str, TypeId)>,
        columns: &[Field],
    ) -> Result<Fields, Mismatch> {
        let mut steps = Vec::new();
        let mut filled = vec![false; columns.len()];
        for (name, of) in fields {
            let place = columns.iter().position(|column| column.name == name);
            let node = match place {
                Some(place) => self.column(of, &columns[place])?,
                None => None,
            };
            steps.push(match (place, node) {
                (Some(column), Some(from)) => {
                    filled[column] = true;
                    Step::Fill { column, from }
                }
                _ => Step::Skip {
                    name: name.to_owned(),
                    of,
                },
            });
        }
        let absent: Vec<_> = (0..columns.len())
            .filter(|column| !filled[*column])
            .collect();
        match absent.iter().find(|column| !columns[**column].nullable) {
            None => Ok(Fields { steps, absent }),
            Some(column) => Err(Mismatch {
                column: columns[*column].name.clone(),
                what: "may not be null, and the writer has no field for it".to_owned(),
            }),
        }
    }

    /// `None` for a type without values.
    fn column(&self, of: TypeId, column: &Field) -> Result<Option<Node>, Mismatch> {
        self.node(of, &column.kind)
            .map_err(|inner| inner.within(&column.name))
    }

    fn node(&self, of: TypeId, into: &Kind) -> Result<Option<Node>, Mismatch> {
        Ok(Some(match (shape(self.schema, of), into) {
            (Shape::Nothing, _) => return Ok(None),
            (Shape::Optional { null, of }, _) => match self.node(of, into)? {
                Some(node) => Node::Optional {
                    null,
                    of: Box::new(node),
                },
                None => return Ok(None),
            },
            (Shape::Plain(from, plain), _) if widens(&from, into) => {
                Node::Plain(fitted(plain, &from, into))
            }
            (Shape::List(items), Kind::List(element)) => {
                let inner = self.node(items, &element.kind);
                let inner = inner.map_err(|inner| inner.within("[]"))?;
                Node::List(Box::new(inner.ok_or_else(|| self.differs(of, into))?))
            }
            (Shape::Map(values), Kind::Map { key, value }) if key.kind == Kind::String => {
                let inner = self.node(values, &value.kind);
                let inner = inner.map_err(|inner| inner.within("{}"))?;
                Node::Map(Box::new(inner.ok_or_else(|| self.differs(of, into))?))
            }
            (Shape::Struct(record), Kind::Struct(columns)) => {
                Node::Struct(self.record(record, columns)?)
            }
            (Shape::Branches(branches), Kind::Struct(columns)) => {
                Node::Branches(self.branches(branches, columns)?)
            }
            _ => return Err(self.differs(of, into)),
        }))
    }

    fn branches(&self, branches: &[TypeId], columns: &[Field]) -> Result<Vec<Branch>, Mismatch> {
        if let Some(column) = columns.iter().find(|column| !column.nullable) {
            return Err(Mismatch {
                column: column.name.clone(),
                what: "may not be null, and a union fills one column only".to_owned(),
            });
        }
        let branch = |id: &TypeId| {
            let form = self.schema.form(*id);
            if let Form::Null = form {
                return Ok(Branch::Null);
            }
            let label = form.label();
            let place = columns.iter().position(|column| column.name == label);
            let node = match place {
                Some(place) => self.column(*id, &columns[place])?,
                None => None,
            };
            Ok(match (place, node) {
                (Some(column), Some(from)) => Branch::Fill { column, from },
                _ => Branch::Skip(*id),
            })
        };
        branches.iter().map(branch).collect()
    }

    fn differs(&self, of: TypeId, into: &Kind) -> Mismatch {
        let from = match shape(self.schema, of) {
            Shape::Plain(kind, _) => kind.name(),
            _ => self.schema.form(of).name().to_owned(),
        };
        Mismatch {
            column: String::new(),
            what: format!("is {}, which {from} does not fit", into.name()),
        }
    }
}

impl Mismatch {
    pub(super) fn within(self, name: &str) -> Self {
        Self {
            column: json::join(name, &self.column),
            ..self
        }
    }
}

/// True if every value of a plain type is a value of the column, exactly.
fn widens(from: &Kind, into: &Kind) -> bool {
    use TimeUnit::{Microsecond, Millisecond};
    match (from, into) {
        (Kind::Int, Kind::Long | Kind::Double) | (Kind::Float, Kind::Double) => true,
        // But for moments so far off that microseconds cannot reach them: those are refused one
        // by one.
        (Kind::Timestamp(Millisecond), Kind::Timestamp(Microsecond)) => true,
        (Kind::LocalTimestamp(Millisecond), Kind::LocalTimestamp(Microsecond)) => true,
        (
            Kind::Decimal { precision, scale },
            Kind::Decimal {
                precision: wider,
                scale: same,
            },
        ) => precision <= wider && scale == same,
        (from, into) => from == into,
    }
}

/// `plain` as the column takes it.
fn fitted(plain: Plain, from: &Kind, into: &Kind) -> Plain {
    match (plain, into) {
        (Plain::Long, _) if from != into => Plain::LongTimesThousand,
        (Plain::Decimal { size, .. }, Kind::Decimal { precision, .. }) => Plain::Decimal {
            size,
            precision: *precision,
        },
        (plain, _) => plain,
    }
}
