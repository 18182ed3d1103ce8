//! How the table changed: read from the overlay, which keeps changes until they were taken.
//!
//! ```text
//! engine: below the hold │ overlay: from the hold on
//!                        │ take [from, …) ─▶ rows files ─▶ hold(end): may be flushed now
//! ```
//! So the row before a change is always there: in the overlay if it is younger than the hold, else
//! in the engine, which holds nothing younger. Nothing is remembered twice, and a table without a
//! changelog pays nothing. After a restart the same changes come again, from the engine and the log.

use tidelog_storage::ids::Offset;

use super::KeyedTable;
use crate::changelog::{ChangeRow, images, reads_before};
use crate::engine::{EngineError, KeySnapshot};
use crate::merge::RuleLog;
use crate::overlay::Since;

/// Changes whose rows before are read together.
const GROUP_CHANGES: usize = 32;

/// A piece of the changelog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangelogPart {
    /// In offset order; the row before an update comes before the row after it.
    pub rows: Vec<ChangeRow>,
    /// All changes below are in this part or those before it.
    pub end: Offset,
}

/// Why there is no changelog from an offset on.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// [`KeyedTable::hold`] was not called, or with a later offset.
    #[error("changes from offset {from} on are not held")]
    NotHeld { from: Offset },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl KeyedTable {
    /// Keeps changes from `from` on until this is called with a later offset, at the latest when
    /// everything below that is durable elsewhere. For the first time before anything is folded.
    ///
    /// # Errors
    /// [`ChangelogError::NotHeld`] if the engine has applied later changes: their rows before are
    /// gone. The index has to be made anew from a checkpoint, or the changelog begins later.
    pub fn hold(&self, from: Offset) -> Result<(), ChangelogError> {
        // Not in the middle of a flush that did not know of the hold.
        let _nobody_flushes = self.flushing.lock();
        let mut state = self.state.write();
        let is_kept = match state.held_from {
            Some(held_from) => from >= held_from,
            None => from >= state.applied,
        };
        if !is_kept {
            return Err(ChangelogError::NotHeld { from });
        }
        state.held_from = Some(from);
        Ok(())
    }

    /// Keeps nothing for the changelog any more: what comes is flushed as if nobody took it. Whoever wants
    /// to [`hold`](Self::hold) again, from where this began, needs the index to be made anew.
    pub fn release(&self) {
        self.state.write().held_from = None;
    }

    /// Whether there is something that is visible, but not flushed for the changelog's sake.
    pub(super) fn is_held(&self) -> bool {
        let state = self.state.read();
        state.flushable_end() < state.visible_end()
    }

    /// The visible changes from `from` on, about `max_bytes` of them and their images, but at least
    /// one change. Piece by piece the same rows in every life of the table.
    ///
    /// # Errors
    /// [`ChangelogError`].
    pub fn changelog(
        &self,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ChangelogPart, ChangelogError> {
        let (since, end, engine) = {
            let state = self.state.read();
            if state.held_from.is_none_or(|held_from| from < held_from) {
                return Err(ChangelogError::NotHeld { from });
            }
            let visible_end = state.visible_end().max(from);
            let (since, end) = state.overlay.since(from, visible_end, max_bytes);
            (since, end, self.engine.snapshot()?)
        };
        // Not before: a rule is there sooner than what it folds.
        let rules = self.rules();
        let mut part = ChangelogPart {
            rows: Vec::with_capacity(since.len()),
            end,
        };
        let mut bytes = 0;
        // A delete is small, and the row it deletes may be large.
        for group in since.chunks(GROUP_CHANGES) {
            if bytes > max_bytes {
                part.end = group.first().map_or(end, |next| next.change.offset);
                break;
            }
            let read = part.rows.len();
            part.rows.extend(with_images(group, &rules, &*engine)?);
            let images = part.rows[read..].iter();
            bytes += images.map(|image| image.row.value.len()).sum::<usize>();
        }
        Ok(part)
    }
}

/// The changelog rows of some changes. What lies before them is in the engine, unless they say.
fn with_images(
    changes: &[Since],
    rules: &RuleLog,
    engine: &dyn KeySnapshot,
) -> Result<Vec<ChangeRow>, EngineError> {
    let is_asked = |since: &Since| {
        let rule = rules.at(since.change.offset);
        since.before.is_none() && reads_before(rule, &since.change)
    };
    let asked = changes.iter().filter(|since| is_asked(since));
    let keys: Vec<_> = asked.map(|since| since.change.key.clone()).collect();
    let mut answers = match keys.is_empty() {
        true => Vec::new(),
        false => engine.get_many(&keys)?,
    }
    .into_iter();
    let mut rows = Vec::with_capacity(changes.len());
    for since in changes {
        let before = match &since.before {
            Some(before) => before.clone(),
            None if is_asked(since) => answers.next().flatten(),
            None => None,
        };
        let rule = rules.at(since.change.offset);
        rows.extend(images(rule, &since.change, before));
    }
    Ok(rows)
}
