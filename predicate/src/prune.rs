//! What can be said of many rows from their statistics alone.
//!
//! Each part of a predicate has a set of outcomes that are possible: true, false, neither. The set
//! of a test comes from the bounds of its column, that of a larger part from those of its parts,
//! and nothing is ever left out of a set without proof.

use std::cmp::Ordering;

use crate::bind::{Bound, Leaf, Node, Test};
use crate::pattern::Matcher;
use crate::value::{Operand, Value};

/// Statistics of some rows.
pub trait Stats {
    /// How many rows there are.
    fn rows(&self) -> u64;

    /// What is known of a column, by its place as [`Bound::columns`] has it. `None` if that is
    /// nothing.
    fn column(&self, place: &[usize]) -> Option<Bounds<'_>>;
}

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounds<'a> {
    /// How many rows have none; `None` if that is not known.
    pub nulls: Option<u64>,
    /// At or below every value: a text may be cut short. Must be left out where there is a NaN, or
    /// may be one.
    pub min: Option<Value<'a>>,
    /// At or above every value. Must be left out where there is a NaN, or may be one.
    pub max: Option<Value<'a>>,
}

/// How many of the rows a predicate is true of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// None of them.
    None,
    /// That cannot be told without looking.
    Some,
    /// All of them.
    All,
}

impl Bound {
    /// What `stats` tell of the rows they are of.
    pub fn prune(&self, stats: &dyn Stats) -> Verdict {
        if stats.rows() == 0 {
            return Verdict::None;
        }
        match outcomes(&self.root, stats) {
            Outcomes { yes: false, .. } => Verdict::None,
            Outcomes {
                yes: true,
                no: false,
                neither: false,
            } => Verdict::All,
            _ => Verdict::Some,
        }
    }
}

/// What a predicate may be, of some row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Outcomes {
    yes: bool,
    no: bool,
    neither: bool,
}

impl Outcomes {
    fn only(truth: Option<bool>) -> Self {
        Self {
            yes: truth == Some(true),
            no: truth == Some(false),
            neither: truth.is_none(),
        }
    }

    fn not(self) -> Self {
        Self {
            yes: self.no,
            no: self.yes,
            ..self
        }
    }

    /// Of one *and* the other. Neither comes of a part that is neither and another not false.
    fn and(self, other: Self) -> Self {
        Self {
            yes: self.yes && other.yes,
            no: self.no || other.no,
            neither: self.neither && (other.neither || other.yes) || other.neither && self.yes,
        }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

fn outcomes(node: &Node, stats: &dyn Stats) -> Outcomes {
    match node {
        Node::Constant(truth) => Outcomes::only(*truth),
        Node::Test(leaf) => of_test(leaf, stats),
        Node::Not(part) => outcomes(part, stats).not(),
        Node::And(parts) => parts.iter().fold(Outcomes::only(Some(true)), |sum, part| {
            sum.and(outcomes(part, stats))
        }),
        Node::Or(parts) => parts.iter().fold(Outcomes::only(Some(false)), |sum, part| {
            sum.or(outcomes(part, stats))
        }),
    }
}

fn of_test(leaf: &Leaf, stats: &dyn Stats) -> Outcomes {
    let bounds = stats.column(&leaf.place).unwrap_or_default();
    let has_nulls = bounds.nulls != Some(0);
    let has_values = bounds.nulls.is_none_or(|nulls| nulls < stats.rows());
    if leaf.test == Test::IsNull {
        return Outcomes {
            yes: has_nulls,
            no: has_values,
            neither: false,
        };
    }
    let (yes, no) = of_values(&leaf.test, &bounds);
    Outcomes {
        yes: has_values && yes,
        no: has_values && no,
        neither: has_nulls,
    }
}

/// Whether some value between the bounds may pass the test, and whether some may not.
fn of_values(test: &Test, bounds: &Bounds<'_>) -> (bool, bool) {
    match test {
        Test::IsNull => (true, true),
        Test::Same(truth) => (*truth, !*truth),
        Test::Compare(op, operand) => {
            // The values are of an interval, so what stands below, at and above the operand are
            // the only differences between them.
            let (low, high) = bounds.orders(operand);
            let may = |wanted| {
                let orders = [Ordering::Less, Ordering::Equal, Ordering::Greater];
                let mut possible = orders
                    .iter()
                    .filter(|order| low <= **order && **order <= high);
                possible.any(|order| op.holds(*order) == wanted)
            };
            (may(true), may(false))
        }
        Test::In(operands) => {
            let orders = || operands.iter().map(|operand| bounds.orders(operand));
            let may_be = orders().any(|(low, high)| low.is_le() && high.is_ge());
            let are_all = orders().any(|(low, high)| low.is_eq() && high.is_eq());
            (may_be, !are_all)
        }
        Test::Like(matcher) => like(matcher, bounds),
    }
}

fn like(matcher: &Matcher, bounds: &Bounds<'_>) -> (bool, bool) {
    let prefix = matcher.prefix();
    // What begins with the prefix stands together in the order of bytes.
    let ends = [bounds.min, bounds.max].map(|end| match end {
        Some(Value::Bytes(bytes)) => {
            let begin = &bytes[..bytes.len().min(prefix.len())];
            Some((bytes.starts_with(prefix), begin.cmp(prefix)))
        }
        _ => None,
    });
    let is_above = matches!(ends[0], Some((_, Ordering::Greater)));
    let is_below = matches!(ends[1], Some((_, Ordering::Less)));
    let all_begin = ends.iter().all(|end| matches!(end, Some((true, _))));
    (!is_above && !is_below, !(matcher.is_prefix() && all_begin))
}

impl Bounds<'_> {
    /// How values between the bounds may stand to `operand`: from one order up to another.
    fn orders(&self, operand: &Operand) -> (Ordering, Ordering) {
        let operand = operand.value();
        let low = self.min.and_then(|min| min.order(operand));
        let high = self.max.and_then(|max| max.order(operand));
        (
            low.unwrap_or(Ordering::Less),
            high.unwrap_or(Ordering::Greater),
        )
    }
}
