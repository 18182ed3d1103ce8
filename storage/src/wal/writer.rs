//! Writes slots, one after the other; syncing them is the syncer's business.
//!
//! Order of life of a slot: `reserve` (space is there) → `write` → [`WalSyncer::sync`]. Offsets are
//! given out only between the first two, so a full disk is known before an offset exists.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::pool::{Budget, TakeError, WalFile, WalPool};
use super::slot::{EntryKind, SlotBuilder, SlotContext, SlotHeader};
use crate::ids::Incarnation;

/// Where a slot lies.
#[derive(Clone)]
pub struct SlotPlace {
    pub number: u64,
    pub file: Arc<WalFile>,
    /// Position of the slot in its file.
    pub pos: u64,
}

/// Where a chain of slots ends, and the next one would go.
#[derive(Debug, Clone, Copy)]
pub struct ChainEnd {
    pub next_slot: u64,
    pub prev_crc: u32,
}

struct Active {
    file: Arc<WalFile>,
    pos: u64,
}

/// The one writer of a WAL.
pub struct WalWriter {
    pool: Arc<WalPool>,
    incarnation: Incarnation,
    first_slot: u64,
    next_slot: u64,
    prev_crc: u32,
    active: Option<Active>,
    syncer: Arc<WalSyncer>,
}

impl WalWriter {
    /// The writer of a new incarnation, which goes on after `end`, in a file of its own.
    pub fn new(pool: Arc<WalPool>, incarnation: Incarnation, end: ChainEnd) -> Self {
        let syncer = Arc::new(WalSyncer {
            pool: Arc::clone(&pool),
            state: Mutex::new(SyncState {
                unsynced: Vec::new(),
                written: end,
                written_low: 0,
                synced: end,
                failed: false,
            }),
        });
        Self {
            pool,
            incarnation,
            first_slot: end.next_slot,
            next_slot: end.next_slot,
            prev_crc: end.prev_crc,
            active: None,
            syncer,
        }
    }

    pub fn syncer(&self) -> Arc<WalSyncer> {
        Arc::clone(&self.syncer)
    }

    /// Makes sure the next slot of up to `len` bytes has its space on disk.
    pub fn reserve(&mut self, len: usize) -> Result<(), TakeError> {
        self.reserve_within(len, Budget::Keep)
    }

    fn reserve_within(&mut self, len: usize, budget: Budget) -> Result<(), TakeError> {
        let len = len as u64;
        if self
            .active
            .as_ref()
            .is_some_and(|a| a.pos + len <= a.file.len)
        {
            return Ok(());
        }
        let file = self.pool.take(len, self.next_slot, budget)?;
        self.active = Some(Active { file, pos: 0 });
        Ok(())
    }

    /// Writes a slot into reserved space. After an error nothing more may be written.
    pub fn write(&mut self, builder: SlotBuilder) -> io::Result<(SlotPlace, SlotHeader, Bytes)> {
        let context = SlotContext {
            incarnation: self.incarnation,
            first_slot: self.first_slot,
            number: self.next_slot,
            prev_crc: self.prev_crc,
            synced_to: self.syncer.synced_to(),
            low_slot: self.pool.drain(self.next_slot),
        };
        let (header, bytes) = builder.finish(context);
        let active = self.active.as_mut().ok_or(io::ErrorKind::StorageFull)?;
        active.file.write_slot(header.number, &bytes, active.pos)?;
        let place = SlotPlace {
            number: header.number,
            file: Arc::clone(&active.file),
            pos: active.pos,
        };
        active.pos += bytes.len() as u64;
        self.next_slot += 1;
        self.prev_crc = header.header_crc;
        self.syncer.slot_written(&place.file, &header);
        Ok((place, header, bytes))
    }

    /// Writes a slot that holds one note (seal, close).
    pub fn write_note(&mut self, kind: EntryKind, note: &[u8]) -> io::Result<SlotPlace> {
        let mut builder = SlotBuilder::new(1, note.len());
        builder.push_note(kind, note);
        let len = super::slot::slot_len(1, note.len());
        self.reserve_within(len, Budget::Exceed)
            .map_err(io::Error::other)?;
        self.write(builder).map(|(place, _, _)| place)
    }

    /// Share of the active file already written, 0 to 1; 1 when there is none.
    pub fn fill(&self) -> f64 {
        self.active
            .as_ref()
            .map_or(1.0, |a| a.pos as f64 / a.file.len as f64)
    }

    pub fn next_slot(&self) -> u64 {
        self.next_slot
    }
}

struct SyncState {
    /// Files with slots that no sync covers yet.
    unsynced: Vec<Arc<WalFile>>,
    /// Where the written slots end.
    written: ChainEnd,
    /// Low slot carried by the newest written slot.
    written_low: u64,
    /// Where the synced slots end.
    synced: ChainEnd,
    failed: bool,
}

/// Makes written slots durable; may run beside the writer.
pub struct WalSyncer {
    pool: Arc<WalPool>,
    state: Mutex<SyncState>,
}

impl WalSyncer {
    fn slot_written(&self, file: &Arc<WalFile>, header: &SlotHeader) {
        let mut state = self.state.lock();
        if !state
            .unsynced
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, file))
        {
            state.unsynced.push(Arc::clone(file));
        }
        state.written = ChainEnd {
            next_slot: header.number + 1,
            prev_crc: header.header_crc,
        };
        state.written_low = header.low_slot;
    }

    /// Slots below this number are durable.
    pub fn synced_to(&self) -> u64 {
        self.state.lock().synced.next_slot
    }

    pub fn synced_end(&self) -> ChainEnd {
        self.state.lock().synced
    }

    pub fn written_end(&self) -> ChainEnd {
        self.state.lock().written
    }

    /// Syncs everything written before the call; answers the new `synced_to`. After an error the
    /// state of those slots is unknown, and no call succeeds on this WAL any more.
    pub fn sync(&self) -> io::Result<u64> {
        let (files, written, low) = {
            let mut state = self.state.lock();
            if state.failed {
                return Err(io::Error::other("an earlier sync of this WAL failed"));
            }
            (
                std::mem::take(&mut state.unsynced),
                state.written,
                state.written_low,
            )
        };
        let synced = files.iter().try_for_each(|file| file.sync());
        let mut state = self.state.lock();
        state.failed = synced.is_err();
        synced?;
        state.synced = written;
        drop(state);
        self.pool.low_slot_is_durable(low);
        Ok(written.next_slot)
    }
}
