//! Truth as SQL has it, of many rows at once.

use arrow_array::BooleanArray;
use arrow_buffer::{BooleanBuffer, NullBuffer};

/// Rows of which something is true, and rows of which it is false; of the others it is neither.
/// No row is both.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    yes: BooleanBuffer,
    no: BooleanBuffer,
}

impl Truth {
    /// The same of every row.
    pub(crate) fn of_all(truth: Option<bool>, rows: usize) -> Self {
        let all = |wanted| match truth == Some(wanted) {
            true => BooleanBuffer::new_set(rows),
            false => BooleanBuffer::new_unset(rows),
        };
        Self {
            yes: all(true),
            no: all(false),
        }
    }

    /// What `holds` says of the rows that are not null.
    pub(crate) fn of_values(holds: BooleanBuffer, nulls: Option<&NullBuffer>) -> Self {
        match nulls {
            None => Self {
                no: !&holds,
                yes: holds,
            },
            Some(nulls) => Self {
                yes: &holds & nulls.inner(),
                no: &!&holds & nulls.inner(),
            },
        }
    }

    pub(crate) fn not(self) -> Self {
        Self {
            yes: self.no,
            no: self.yes,
        }
    }

    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            yes: &self.yes & &other.yes,
            no: &self.no | &other.no,
        }
    }

    pub(crate) fn or(self, other: &Self) -> Self {
        self.not().and(&other.clone().not()).not()
    }

    /// Null where it is neither.
    pub(crate) fn into_array(self) -> BooleanArray {
        let known = &self.yes | &self.no;
        let is_all_known = known.count_set_bits() == known.len();
        let nulls = (!is_all_known).then(|| NullBuffer::new(known));
        BooleanArray::new(self.yes, nulls)
    }
}
