//! Why a walk over a message stopped.

use super::wire::Malformed;
use crate::column::{Column, Full};
use crate::json::{Fault, Reason};

/// The first fault and where; the path is built from the inside out.
pub(super) struct Stop {
    fault: Fault,
    path: String,
}

pub(super) type Step = Result<(), Box<Stop>>;

impl Stop {
    #[cold]
    pub(super) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        let dot = match self.path.as_bytes().first() {
            None | Some(b'[' | b'{') => "",
            _ => ".",
        };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    pub(super) fn reason(self) -> Reason {
        match self.fault {
            Fault::Malformed(what) if self.path.is_empty() => Reason::NotProtobuf(what),
            fault => Reason::Field {
                path: self.path,
                fault,
            },
        }
    }
}

impl From<Fault> for Box<Stop> {
    #[cold]
    fn from(fault: Fault) -> Self {
        let path = String::new();
        Box::new(Stop { fault, path })
    }
}

impl From<Malformed> for Box<Stop> {
    fn from(Malformed(what): Malformed) -> Self {
        Fault::Malformed(what).into()
    }
}

impl From<Full> for Box<Stop> {
    fn from(Full: Full) -> Self {
        Fault::Full.into()
    }
}

/// A column that is not what the plan was made for.
#[cold]
pub(super) fn misplaced(column: &Column) -> Box<Stop> {
    not_a_value(column)
}

#[cold]
pub(super) fn not_a_value(column: &Column) -> Box<Stop> {
    let expected = column.kind.name();
    Fault::Value { expected }.into()
}
