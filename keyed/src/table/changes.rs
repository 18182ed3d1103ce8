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
use crate::engine::EngineError;
use crate::overlay::Since;
use crate::row::Row;

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

    /// Whether there is something that is visible, but not flushed for the changelog's sake.
    pub(super) fn is_held(&self) -> bool {
        let state = self.state.read();
        state.flushable_end() < state.visible_end()
    }

    /// The visible changes from `from` on, about `max_bytes` of keys and values before the images
    /// are added, but at least one change. The same on every call, and in every life of the table.
    ///
    /// # Errors
    /// [`ChangelogError`].
    pub fn changelog(
        &self,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ChangelogPart, ChangelogError> {
        let rules = self.rules();
        let (since, end, engine) = {
            let state = self.state.read();
            if state.held_from.is_none_or(|held_from| from < held_from) {
                return Err(ChangelogError::NotHeld { from });
            }
            let visible_end = state.visible_end().max(from);
            let (since, end) = state.overlay.since(from, visible_end, max_bytes);
            (since, end, self.engine.snapshot()?)
        };
        let is_asked = |since: &&Since| {
            let rule = rules.at(since.change.offset);
            since.before.is_none() && reads_before(rule, &since.change)
        };
        let keys: Vec<_> = since
            .iter()
            .filter(is_asked)
            .map(|since| since.change.key.clone())
            .collect();
        let mut asked = engine.get_many(&keys)?.into_iter();
        let mut rows = Vec::with_capacity(since.len());
        for since in &since {
            let before: Option<Row> = match &since.before {
                Some(before) => before.clone(),
                None if is_asked(&since) => asked.next().flatten(),
                None => None,
            };
            let rule = rules.at(since.change.offset);
            rows.extend(images(rule, &since.change, before));
        }
        Ok(ChangelogPart { rows, end })
    }
}
