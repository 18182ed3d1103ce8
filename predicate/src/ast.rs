//! What is asked of a row.

use std::collections::BTreeSet;

use crate::{DEPTH_MAX, Decimal, Pattern};

/// A condition on the columns of a row. A column is named as in a projection: by dotted path
/// (`address.city`) or by `#` and a field id (`#17`).
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// `TRUE` or `FALSE`.
    Constant(bool),
    Compare {
        column: String,
        op: Comparison,
        literal: Literal,
    },
    /// Equal to one of them. In none, no value is: that is false even of a null.
    In {
        column: String,
        literals: Vec<Literal>,
    },
    Like {
        column: String,
        pattern: Pattern,
    },
    IsNull(String),
    Not(Box<Predicate>),
    /// Of none, true.
    And(Vec<Predicate>),
    /// Of none, false.
    Or(Vec<Predicate>),
}

/// How a column stands to a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value written into a predicate.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Bool(bool),
    Integer(i64),
    Decimal(Decimal),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

/// A predicate nests deeper than [`DEPTH_MAX`] or takes more bytes than
/// [`BYTES_MAX`](crate::BYTES_MAX).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the predicate is too deep or too long")]
pub struct TooComplex;

impl Predicate {
    /// `column op literal`.
    pub fn compare(column: impl Into<String>, op: Comparison, literal: Literal) -> Self {
        Self::Compare {
            column: column.into(),
            op,
            literal,
        }
    }

    /// `low <= column AND column <= high`.
    pub fn between(column: impl Into<String>, low: Literal, high: Literal) -> Self {
        let column = column.into();
        Self::And(vec![
            Self::compare(column.clone(), Comparison::GreaterOrEqual, low),
            Self::compare(column, Comparison::LessOrEqual, high),
        ])
    }

    /// `NOT self`.
    #[expect(clippy::should_implement_trait, reason = "it reads as SQL does")]
    pub fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// The columns it looks at, as it names them.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.visit(&mut |column| {
            names.insert(column);
        });
        names
    }

    /// The same with each column's name as `rename` gives it.
    ///
    /// # Errors
    /// The first error of `rename`.
    pub fn rename<E>(
        self,
        rename: &mut impl FnMut(String) -> Result<String, E>,
    ) -> Result<Self, E> {
        Ok(match self {
            Self::Constant(truth) => Self::Constant(truth),
            Self::Compare {
                column,
                op,
                literal,
            } => Self::compare(rename(column)?, op, literal),
            Self::In { column, literals } => Self::In {
                column: rename(column)?,
                literals,
            },
            Self::Like { column, pattern } => Self::Like {
                column: rename(column)?,
                pattern,
            },
            Self::IsNull(column) => Self::IsNull(rename(column)?),
            Self::Not(part) => part.rename(rename)?.not(),
            Self::And(parts) => Self::And(rename_all(parts, rename)?),
            Self::Or(parts) => Self::Or(rename_all(parts, rename)?),
        })
    }

    /// # Errors
    /// [`TooComplex`] for what nests too deep.
    pub(crate) fn check_depth(&self) -> Result<(), TooComplex> {
        self.is_within(DEPTH_MAX).then_some(()).ok_or(TooComplex)
    }

    fn is_within(&self, depth: usize) -> bool {
        match (self, depth.checked_sub(1)) {
            (Self::Not(part), Some(rest)) => part.is_within(rest),
            (Self::And(parts) | Self::Or(parts), Some(rest)) => {
                parts.iter().all(|part| part.is_within(rest))
            }
            (_, rest) => rest.is_some(),
        }
    }

    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a str)) {
        match self {
            Self::Constant(_) => {}
            Self::Compare { column, .. }
            | Self::In { column, .. }
            | Self::Like { column, .. }
            | Self::IsNull(column) => see(column),
            Self::Not(part) => part.visit(see),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(see)),
        }
    }
}

fn rename_all<E>(
    parts: Vec<Predicate>,
    rename: &mut impl FnMut(String) -> Result<String, E>,
) -> Result<Vec<Predicate>, E> {
    parts.into_iter().map(|part| part.rename(rename)).collect()
}

impl Comparison {
    /// With the sides exchanged: `a < b` is `b > a`.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it holds of a value that stands so to the literal.
    pub(crate) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
