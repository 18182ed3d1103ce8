//! Giving ids, and checking those that stand.

use std::collections::HashSet;

use super::{Field, Kind, SchemaError, TableSchema};

/// Gives ids from `last + 1` on, a field before its children. Answers the last one; `None` when
/// there are no more ids.
pub(super) fn allocate(fields: &mut [Field], last: i32) -> Option<i32> {
    let mut last = Some(last);
    visit_mut(fields, &mut |field| {
        last = last.and_then(|last| last.checked_add(1));
        field.id = last.unwrap_or(UNGIVEN);
    });
    last
}

/// The first fault of ids that were written down: out of `1..=last`, or twice.
pub(super) fn check(fields: &[Field], last: i32) -> Result<(), String> {
    let mut seen = HashSet::new();
    let mut fault = None;
    visit(fields, &mut |field| {
        let Field { id, name, .. } = field;
        if !(1..=last).contains(id) {
            fault.get_or_insert(format!("id {id} of {name:?} is not within 1..={last}"));
        } else if !seen.insert(*id) {
            fault.get_or_insert(format!("id {id} of {name:?} is given twice"));
        }
    });
    fault.map_or(Ok(()), Err)
}

/// True if any field, at any depth, has an id already.
pub(super) fn any_given(fields: &[Field]) -> bool {
    let mut any = false;
    visit(fields, &mut |field| any |= field.id != UNGIVEN);
    any
}

/// Stands for an id until it is given.
pub(super) const UNGIVEN: i32 = 0;

fn visit(fields: &[Field], see: &mut impl FnMut(&Field)) {
    for field in fields {
        see(field);
        match &field.kind {
            Kind::List(element) => visit(std::slice::from_ref(element), see),
            Kind::Map { key, value } => {
                visit(std::slice::from_ref(key), see);
                visit(std::slice::from_ref(value), see);
            }
            Kind::Struct(children) => visit(children, see),
            _ => {}
        }
    }
}

fn visit_mut(fields: &mut [Field], see: &mut impl FnMut(&mut Field)) {
    for field in fields {
        see(field);
        match &mut field.kind {
            Kind::List(element) => visit_mut(std::slice::from_mut(element), see),
            Kind::Map { key, value } => {
                visit_mut(std::slice::from_mut(key), see);
                visit_mut(std::slice::from_mut(value), see);
            }
            Kind::Struct(children) => visit_mut(children, see),
            _ => {}
        }
    }
}

impl Field {
    /// Gives this field and its children ids from `last + 1` on; answers the last one.
    pub(crate) fn allocate(&mut self, last: i32) -> Result<i32, SchemaError> {
        let fields = std::slice::from_mut(self);
        allocate(fields, last).ok_or_else(none_left)
    }

    /// True if `is` holds for this field or one inside it.
    pub(crate) fn any(&self, is: impl Fn(&Self) -> bool) -> bool {
        let mut any = false;
        visit(std::slice::from_ref(self), &mut |field| any |= is(field));
        any
    }
}

pub(super) fn none_left() -> SchemaError {
    SchemaError::Invalid {
        at: "last_id".to_owned(),
        what: "no ids are left".to_owned(),
    }
}

impl TableSchema {
    /// How many fields there are, at all depths.
    pub fn field_count(&self) -> usize {
        let mut count = 0;
        visit(&self.fields, &mut |_| count += 1);
        count
    }
}
