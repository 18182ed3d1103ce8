//! A record that its columns do not take as it is: member by member, to siblings where needed.

use super::raw::{self, Sibling, Type, says_something};
use super::{COLUMNS_MAX, MEMBERS_MAX, is_nameable};
use crate::column::{Column, Data, Full, Group};
use crate::json::{self, Fault, Reason};
use crate::row_schema::Growth;

/// Appends one row; on an error the columns are as before.
pub(crate) fn append(
    columns: &mut Group,
    rows: usize,
    value: &[u8],
    growth: Growth,
) -> Result<(), Reason> {
    match json::append_known(columns, rows, value) {
        Err(reason) if is_misfit(&reason) || reason.wants_column() => {}
        done => return done,
    }
    let route = Route { growth };
    raw::object(value)
        .and_then(|text| route.object(columns, text, true))
        .inspect_err(|_| columns.truncate(rows))
}

/// True for what a sibling may help with.
fn is_misfit(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Field {
            fault: Fault::Type { .. } | Fault::Value { .. } | Fault::Missing | Fault::Crowded,
            ..
        }
    )
}

struct Route {
    growth: Growth,
}

impl Route {
    fn object(&self, group: &mut Group, text: &str, is_top: bool) -> Result<(), Reason> {
        let rows = group.rows();
        raw::each_member(text, |name, value| {
            self.member(group, rows, &name, value, is_top)
                .map_err(|reason| reason.within(&name))
        })
        .map_err(|error| raw::not_json(&error))??;
        group
            .end_row(rows)
            .map_err(|index| fault(Fault::Missing).within(group.name(index)))
    }

    /// Puts a value where it fits: its column, a sibling; or finds that it has no place.
    fn member(
        &self,
        group: &mut Group,
        rows: usize,
        name: &str,
        text: &str,
        is_top: bool,
    ) -> Result<(), Reason> {
        let found = Type::of(text);
        let mut misfit = None;
        if let Some(column) = group.free(name, rows)? {
            match self.value(column, text) {
                Err(reason) if is_misfit(&reason) && found != Type::Null => {
                    column.truncate(rows);
                    misfit = Some(reason);
                }
                done => return done,
            }
        }
        // A table that does not grow keeps as text what would else have no place.
        let last = self.growth == Growth::Over && found != Type::Null;
        let last = last.then_some(&Sibling::Json);
        for sibling in found.siblings().iter().chain(last) {
            if let Some(column) = group.free(&sibling.name(name), rows)? {
                return put(column, *sibling, text);
            }
        }
        if !says_something(text) {
            return Ok(());
        }
        let columns_max = if is_top { COLUMNS_MAX } else { MEMBERS_MAX };
        let has_room = is_nameable(name, is_top) && group.columns.len() < columns_max;
        match (misfit, self.growth) {
            (Some(_), Growth::Wanted) => Err(fault(Fault::NoColumn)),
            (Some(misfit), Growth::Over) => Err(misfit),
            (None, Growth::Wanted) if has_room => Err(fault(Fault::NoColumn)),
            (None, Growth::Wanted) if !is_top => Err(fault(Fault::Crowded)),
            (None, _) => Ok(()),
        }
    }

    /// Appends to a column; on an error it may be half there.
    fn value(&self, column: &mut Column, text: &str) -> Result<(), Reason> {
        match (&mut column.data, Type::of(text)) {
            (Data::Struct(group), Type::Object) => self.object(group, text, false)?,
            (Data::List(list), Type::Array) => {
                raw::each_item(text, |item| {
                    self.value(&mut list.items, item)
                        .map_err(|reason| reason.within("[]"))
                })
                .map_err(|error| raw::not_json(&error))??;
                let len = list.items.len();
                list.end(len).map_err(|Full| Reason::full())?;
            }
            (Data::Map(map), Type::Object) if matches!(map.items.keys.data, Data::Text(_)) => {
                let from = map.items.keys.len();
                raw::each_member(text, |key, item| {
                    push_text(&mut map.items.keys, &key)?;
                    self.value(&mut map.items.values, item)
                        .map_err(|reason| reason.within("{}"))
                })
                .map_err(|error| raw::not_json(&error))??;
                if map.items.has_twins(from) {
                    return Err(fault(Fault::Twice));
                }
                let len = map.items.keys.len();
                map.end(len).map_err(|Full| Reason::full())?;
            }
            _ => return json::append_value(column, text),
        }
        column.set();
        Ok(())
    }
}

/// Appends to a sibling: a value of its type, or any value as text.
fn put(column: &mut Column, sibling: Sibling, text: &str) -> Result<(), Reason> {
    match sibling {
        Sibling::Json => push_text(column, text),
        _ => json::append_value(column, text),
    }
}

fn push_text(column: &mut Column, text: &str) -> Result<(), Reason> {
    let Data::Text(blob) = &mut column.data else {
        let expected = column.kind.name();
        let found = Type::of(text).name();
        return Err(fault(Fault::Type { expected, found }));
    };
    blob.push(text.as_bytes()).map_err(|Full| Reason::full())?;
    column.set();
    Ok(())
}

impl Group {
    /// The column of this name, as far as there is one, if it had no value in this row yet.
    fn free(&mut self, name: &str, rows: usize) -> Result<Option<&mut Column>, Reason> {
        let Some(index) = self.find(name, usize::MAX) else {
            return Ok(None);
        };
        let column = &mut self.columns[index];
        if column.len() > rows {
            return Err(fault(Fault::Twice));
        }
        Ok(Some(column))
    }
}

fn fault(fault: Fault) -> Reason {
    Reason::Field {
        path: String::new(),
        fault,
    }
}
