//! `allOf`, `anyOf`, `oneOf`.

use super::{Comparison, Report, Side};
use crate::json_schema::BadSchema;
use crate::json_schema::document::{Criterion, Form, NodeId};

impl Comparison {
    /// True where one side is combined, the other not, and a part alone decides that values fit.
    pub(super) fn one_part_fits(
        &mut self,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<bool, BadSchema> {
        match (&old.node().form, &new.node().form) {
            (Form::Combined(..), Form::Combined(..)) => Ok(false),
            (_, Form::Combined(criterion, parts)) => {
                // Among alternatives, one that fits is enough.
                let enough = *criterion != Criterion::All || parts.len() == 1;
                self.any(parts, enough, |own, part| own.fits(old, new.to(part)))
            }
            (Form::Combined(criterion, parts), _) => {
                // What all parts hold for, each holds for.
                let enough = *criterion == Criterion::All || parts.len() == 1;
                self.any(parts, enough, |own, part| own.fits(old.to(part), new))
            }
            _ => Ok(false),
        }
    }

    fn any(
        &mut self,
        parts: &[NodeId],
        enough: bool,
        mut fits: impl FnMut(&mut Self, NodeId) -> Result<bool, BadSchema>,
    ) -> Result<bool, BadSchema> {
        for part in parts.iter().filter(|_| enough) {
            if fits(self, *part)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Parts are matched with parts they fit, whatever their order; the smaller side must be matched
    /// whole.
    pub(super) fn combined(
        &mut self,
        old: Side<'_>,
        new: Side<'_>,
        report: &mut Report,
    ) -> Result<(), BadSchema> {
        let (Form::Combined(from, old_parts), Form::Combined(to, new_parts)) =
            (&old.node().form, &new.node().form)
        else {
            return Ok(());
        };
        let single = |parts: &[NodeId]| parts.len() == 1;
        let allowed = from == to
            || *to == Criterion::Any
            || (single(old_parts) && (single(new_parts) || *to == Criterion::One))
            || (single(new_parts) && *from == Criterion::All);
        if !allowed {
            report.add("COMBINED_TYPE_CHANGED", "parts are combined in another way");
            return Ok(());
        }
        if old_parts.len() < new_parts.len() && *to == Criterion::All {
            report.add("PRODUCT_TYPE_EXTENDED", "more must hold at once");
        }
        if old_parts.len() > new_parts.len() && *from != Criterion::All {
            report.add("SUM_TYPE_NARROWED", "there are fewer alternatives");
        }
        let mut fitting = Vec::with_capacity(old_parts.len());
        for part in old_parts {
            let mut fits = Vec::new();
            for (place, other) in new_parts.iter().enumerate() {
                if self.fits(old.to(*part), new.to(*other))? {
                    fits.push(place);
                }
            }
            fitting.push(fits);
        }
        if matched(&fitting, new_parts.len()) < old_parts.len().min(new_parts.len()) {
            let words = "a part has none that fits it";
            report.add("COMBINED_TYPE_SUBSCHEMAS_CHANGED", words);
        }
        Ok(())
    }
}

/// The size of the largest matching: `fitting[i]` are the places that `i` may have.
fn matched(fitting: &[Vec<usize>], places: usize) -> usize {
    let mut owners = vec![None; places];
    let found = (0..fitting.len()).filter(|i| {
        let mut tried = vec![false; places];
        settle(*i, fitting, &mut owners, &mut tried)
    });
    found.count()
}

/// Finds a place for `i`, moving others on if need be (Kuhn's algorithm). As deep as there are places.
fn settle(
    i: usize,
    fitting: &[Vec<usize>],
    owners: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for place in &fitting[i] {
        if std::mem::replace(&mut tried[*place], true) {
            continue;
        }
        let free = match owners[*place] {
            None => true,
            Some(owner) => settle(owner, fitting, owners, tried),
        };
        if free {
            owners[*place] = Some(i);
            return true;
        }
    }
    false
}
