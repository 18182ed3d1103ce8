//! A new incarnation in the same process, after a write or a sync failed.
//!
//! ```text
//! manifest log anew if need be ─▶ cut partitions, then WAL ─▶ incarnation ─▶ SEAL ─▶ append again
//! ```
//! A failed sync says nothing about what is on the disk, and a page cache may show what the disk does
//! not have. So nothing is read back: the cut is where the last sync ended that did not fail. What lies
//! beyond was never acknowledged as durable and never served, and the seal of the new incarnation keeps
//! it from coming back. In [`FlushMode::Os`] what was written was served, synced or not; nothing is cut
//! off there, but all of it is written to segments first, since the WAL can vouch for it no more.
//!
//! A failure on the way leaves a state from which the next attempt can start.

use std::sync::Arc;

use super::{ChoreError, Janitor};
use crate::appender::Appender;
use crate::ids::Incarnation;
use crate::manifest::Record;
use crate::store::FlushMode;
use crate::wal::{EntryKind, WalSyncer, WalWriter};

/// What a new incarnation appends and syncs with.
pub struct Reopened {
    pub appender: Appender,
    pub syncer: Arc<WalSyncer>,
    pub incarnation_number: u32,
    /// Slots from this number on are the new incarnation's.
    pub first_slot: u64,
}

impl Janitor {
    /// Goes back to what is durable and begins a new incarnation there, with higher leader epochs.
    /// The appender and the syncer of the failed one are at rest, and all their appends answered.
    /// Readers go on.
    ///
    /// # Errors
    /// [`ChoreError`]; nothing may be appended then.
    pub fn reopen(&mut self) -> Result<Reopened, ChoreError> {
        self.mend_manifest()?;
        let store = Arc::clone(&self.store);
        let synced = self.syncer.synced_end();
        let end = match store.options.flush_mode {
            FlushMode::Sync => synced,
            FlushMode::Os => self.syncer.written_end(),
        };
        for partition in store.partitions() {
            partition.cut(end.next_slot);
        }
        if store.options.flush_mode == FlushMode::Os {
            self.flush_all()?;
        }
        store.pool.cut(end.next_slot, synced.next_slot)?;

        let id = Incarnation((store.fresh_id)());
        let number = self.manifest.incarnation().map_or(0, |(_, n)| n + 1);
        self.commit(&[Record::Incarnation { id, number }])?;
        let mut writer = WalWriter::new(Arc::clone(&store.pool), id, end);
        let syncer = writer.syncer();
        writer.write_note(EntryKind::Seal, &id.0)?;
        syncer.sync()?;
        store.begin_incarnation(number);
        self.syncer = Arc::clone(&syncer);
        Ok(Reopened {
            appender: Appender::new(writer, store),
            syncer,
            incarnation_number: number,
            first_slot: end.next_slot,
        })
    }

    /// Slots of this incarnation below this number are durable.
    pub fn synced_to(&self) -> u64 {
        self.syncer.synced_to()
    }

    /// Begins the manifest log anew if it failed: what it was told since its last sync never was, as
    /// those who told it know. Appends need not wait for that.
    pub(super) fn mend_manifest(&mut self) -> Result<(), ChoreError> {
        if !self.manifest.is_poisoned() {
            return Ok(());
        }
        self.manifest.begin_anew()?;
        tracing::warn!("the manifest log was begun anew after a failure");
        // Deletions that came meanwhile were not taken.
        let named = self.manifest.partitions().map(|named| named.partition);
        let unknown: Vec<_> = named
            .filter(|id| self.store.partition(*id).is_none())
            .collect();
        self.forget_ids(unknown.into_iter())
    }

    fn flush_all(&mut self) -> Result<(), ChoreError> {
        while self.flush(&self.store.partitions())? > 0 {}
        Ok(())
    }
}
