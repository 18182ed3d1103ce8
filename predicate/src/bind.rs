//! A predicate meets a schema: names become places, literals values of their columns.

use std::cmp::Ordering;

use arrow_schema::{DataType, Field, Fields, Schema};

use crate::number::{Kind, Place};
use crate::pattern::Matcher;
use crate::value::Operand;
use crate::{Comparison, Literal, Predicate, TooComplex};

/// Where a field's id stands in its metadata.
const FIELD_ID: &str = "PARQUET:field_id";

/// Why a predicate is none on rows of a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A column within a list or map is none to test rows by.
    #[error("there is no column {0:?} to test rows by")]
    UnknownColumn(String),
    #[error("column {column:?} is of type {data_type}, which {literal} cannot be compared with")]
    Mismatch {
        column: String,
        data_type: String,
        literal: String,
    },
    #[error("column {column:?} is of type {data_type}; LIKE is for text and bytes")]
    NoText { column: String, data_type: String },
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
}

/// A predicate on rows of one schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    pub(crate) root: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// `None` is neither.
    Constant(Option<bool>),
    Test(Leaf),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// A test of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    /// The place of the column among those of the schema, then of the member in it, and so on.
    pub(crate) place: Vec<usize>,
    pub(crate) data_type: DataType,
    pub(crate) test: Test,
}

/// What is asked of a value. All but [`Test::IsNull`] are neither true nor false of a null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    IsNull,
    /// The same of every value.
    Same(bool),
    Compare(Comparison, Operand),
    /// Ascending.
    In(Vec<Operand>),
    Like(Matcher),
}

/// Binds a predicate to a schema, columns by dotted name or `#` and id.
///
/// # Errors
/// [`BindError`].
pub fn bind(predicate: &Predicate, schema: &Schema) -> Result<Bound, BindError> {
    predicate.check_depth()?;
    let root = node(predicate, schema, true)?;
    Ok(Bound { root })
}

/// Binds a predicate to one version of a schema: a column that the version does not have is null.
///
/// # Errors
/// [`BindError`], but no unknown column.
pub fn bind_version(predicate: &Predicate, version: &Schema) -> Result<Bound, BindError> {
    predicate.check_depth()?;
    let root = node(predicate, version, false)?;
    Ok(Bound { root })
}

/// The same predicate with ids for names, where columns have them. A name stands for the column it
/// names in the first of `versions` that has it; give the newest first.
///
/// # Errors
/// [`BindError::UnknownColumn`] for one that no version has, [`BindError::TooComplex`].
pub fn resolve(predicate: &Predicate, versions: &[&Schema]) -> Result<Predicate, BindError> {
    predicate.check_depth()?;
    predicate.clone().rename(&mut |column| {
        let found = versions
            .iter()
            .find_map(|version| find(version.fields(), &column));
        let Some((_, field)) = found else {
            return Err(BindError::UnknownColumn(column));
        };
        Ok(match field.metadata().get(FIELD_ID) {
            Some(id) => format!("#{id}"),
            None => column,
        })
    })
}

impl Bound {
    /// The places of the columns it looks at: that among the schema's columns, then that of the
    /// member in it, and so on. In no order, each once.
    pub fn columns(&self) -> Vec<&[usize]> {
        let mut places = Vec::new();
        self.root.visit(&mut |leaf| {
            if !places.contains(&&leaf.place[..]) {
                places.push(&leaf.place[..]);
            }
        });
        places
    }
}

impl Node {
    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Leaf)) {
        match self {
            Self::Constant(_) => {}
            Self::Test(leaf) => see(leaf),
            Self::Not(part) => part.visit(see),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(see)),
        }
    }
}

fn node(predicate: &Predicate, schema: &Schema, must_exist: bool) -> Result<Node, BindError> {
    let each = |parts: &[Predicate]| {
        let parts = parts.iter().map(|part| node(part, schema, must_exist));
        parts.collect::<Result<Vec<_>, _>>()
    };
    let (column, test): (&str, TestOf<'_>) = match predicate {
        Predicate::Constant(truth) => return Ok(Node::Constant(Some(*truth))),
        Predicate::Not(part) => {
            return Ok(Node::Not(Box::new(node(part, schema, must_exist)?)));
        }
        Predicate::And(parts) => return Ok(Node::And(each(parts)?)),
        Predicate::Or(parts) => return Ok(Node::Or(each(parts)?)),
        Predicate::IsNull(column) => (column, TestOf::IsNull),
        Predicate::Compare {
            column,
            op,
            literal,
        } => (column, TestOf::Compare(*op, literal)),
        Predicate::In { column, literals } => (column, TestOf::In(literals)),
        Predicate::Like { column, pattern } => (column, TestOf::Like(Matcher::new(pattern))),
    };
    match find(schema.fields(), column) {
        Some((place, field)) => test.bind(column, place, field.data_type()),
        None if must_exist => Err(BindError::UnknownColumn(column.to_owned())),
        None => Ok(Node::Constant(match test {
            TestOf::IsNull => Some(true),
            TestOf::In([]) => Some(false),
            _ => None,
        })),
    }
}

/// A test whose column's type is not looked at yet.
enum TestOf<'a> {
    IsNull,
    Compare(Comparison, &'a Literal),
    In(&'a [Literal]),
    Like(Matcher),
}

impl TestOf<'_> {
    fn bind(
        self,
        column: &str,
        place: Vec<usize>,
        data_type: &DataType,
    ) -> Result<Node, BindError> {
        let kind = Kind::of(data_type);
        let place_of = |literal: &Literal| {
            let place = kind.and_then(|kind| kind.place(literal));
            place.ok_or_else(|| BindError::Mismatch {
                column: column.to_owned(),
                data_type: data_type.to_string(),
                literal: literal.to_string(),
            })
        };
        let test = match self {
            Self::IsNull => Test::IsNull,
            Self::Compare(op, literal) => compare(op, place_of(literal)?),
            Self::In([]) => return Ok(Node::Constant(Some(false))),
            Self::In(literals) => {
                let places: Result<Vec<_>, _> = literals.iter().map(place_of).collect();
                one_of(places?)
            }
            Self::Like(matcher) => match (kind, matcher.exact()) {
                (Some(Kind::Text | Kind::Bytes), None) => Test::Like(matcher),
                (Some(Kind::Text | Kind::Bytes), Some(exact)) => {
                    Test::Compare(Comparison::Equal, Operand::Bytes(exact.to_vec()))
                }
                _ => {
                    return Err(BindError::NoText {
                        column: column.to_owned(),
                        data_type: data_type.to_string(),
                    });
                }
            },
        };
        Ok(Node::Test(Leaf {
            place,
            data_type: data_type.clone(),
            test,
        }))
    }
}

fn compare(op: Comparison, place: Place) -> Test {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    match (place, op) {
        (Place::At(operand), op) => Test::Compare(op, operand),
        (_, Equal) => Test::Same(false),
        (_, NotEqual) => Test::Same(true),
        (Place::After(operand), Less | LessOrEqual) => Test::Compare(LessOrEqual, operand),
        (Place::After(operand), Greater | GreaterOrEqual) => Test::Compare(Greater, operand),
        (Place::Before, Less | LessOrEqual) => Test::Same(false),
        (Place::Before, Greater | GreaterOrEqual) => Test::Same(true),
        (Place::Beyond, Less | LessOrEqual) => Test::Same(true),
        (Place::Beyond, Greater | GreaterOrEqual) => Test::Same(false),
    }
}

fn one_of(places: Vec<Place>) -> Test {
    let mut operands: Vec<_> = places
        .into_iter()
        .filter_map(|place| match place {
            Place::At(operand) => Some(operand),
            _ => None,
        })
        .collect();
    // Operands of one column are of one kind.
    operands.sort_by(|a, b| a.value().order(b.value()).unwrap_or(Ordering::Equal));
    match operands.is_empty() {
        true => Test::Same(false),
        false => Test::In(operands),
    }
}

/// The column or member of a struct that `name` names, and its place.
pub(crate) fn find<'a>(fields: &'a Fields, name: &str) -> Option<(Vec<usize>, &'a Field)> {
    match name.strip_prefix('#') {
        Some(id) => by_id(fields, id),
        None => by_path(fields, name),
    }
}

fn by_id<'a>(fields: &'a Fields, id: &str) -> Option<(Vec<usize>, &'a Field)> {
    fields.iter().enumerate().find_map(|(at, field)| {
        if field.metadata().get(FIELD_ID).is_some_and(|own| own == id) {
            return Some((vec![at], &**field));
        }
        let DataType::Struct(members) = field.data_type() else {
            return None;
        };
        by_id(members, id).map(|found| below(at, found))
    })
}

fn by_path<'a>(fields: &'a Fields, path: &str) -> Option<(Vec<usize>, &'a Field)> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let (at, field) = fields.find(name)?;
    match (rest, field.data_type()) {
        (None, _) => Some((vec![at], &**field)),
        (Some(rest), DataType::Struct(members)) => {
            by_path(members, rest).map(|found| below(at, found))
        }
        _ => None,
    }
}

fn below(at: usize, (mut place, field): (Vec<usize>, &Field)) -> (Vec<usize>, &Field) {
    place.insert(0, at);
    (place, field)
}
