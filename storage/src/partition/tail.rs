//! The part of a partition that is in the WAL but not yet in a segment.
//!
//! A [`Run`] is what one slot holds of one partition: whole batches, back to back. Its bytes are in
//! memory while the [`TailMemory`] has room, and in the WAL file always; losing the memory only
//! makes a read slower.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ids::{Offset, Timestamp};
use crate::wal::{FooterEntry, SlotError, SlotPlace, WalFile, read_footer_of};

/// A written slot that some partition still needs.
pub struct Slot {
    pub number: u64,
    file: Arc<WalFile>,
    pos: u64,
    memory: Mutex<Option<Charged>>,
}

/// Bytes counted against the tail's budget for as long as they are held.
struct Charged {
    bytes: Bytes,
    used: Arc<AtomicUsize>,
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Slot {
    /// A slot found at recovery: on disk only.
    pub fn on_disk(place: SlotPlace) -> Arc<Self> {
        let SlotPlace { number, file, pos } = place;
        Arc::new(Self {
            number,
            file,
            pos,
            memory: Mutex::new(None),
        })
    }

    pub fn is_in(&self, file: &Arc<WalFile>) -> bool {
        Arc::ptr_eq(&self.file, file)
    }

    /// What its footer lists, or what is wrong with it.
    pub fn entries(&self) -> io::Result<Result<Vec<FooterEntry>, SlotError>> {
        let read = |bytes: &mut [u8], from: u64| self.file.read_exact_at(bytes, self.pos + from);
        read_footer_of(self.number, read)
    }

    fn memory(&self) -> Option<Bytes> {
        self.memory
            .lock()
            .as_ref()
            .map(|charged| charged.bytes.clone())
    }
}

/// Budget of slot memory, oldest slots giving way first.
pub struct TailMemory {
    budget_bytes: usize,
    used: Arc<AtomicUsize>,
    oldest_first: Mutex<VecDeque<Weak<Slot>>>,
}

impl TailMemory {
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            budget_bytes,
            used: Arc::default(),
            oldest_first: Mutex::default(),
        }
    }

    /// Keeps a slot's bytes in memory, letting older ones go where the budget asks for it.
    pub fn hold(&self, place: SlotPlace, bytes: Bytes) -> Arc<Slot> {
        self.used.fetch_add(bytes.len(), Ordering::Relaxed);
        let charged = Charged {
            bytes,
            used: Arc::clone(&self.used),
        };
        let SlotPlace { number, file, pos } = place;
        let slot = Arc::new(Slot {
            number,
            file,
            pos,
            memory: Mutex::new(Some(charged)),
        });
        let mut queue = self.oldest_first.lock();
        queue.push_back(Arc::downgrade(&slot));
        while self.used_bytes() > self.budget_bytes && queue.len() > 1 {
            if let Some(old) = queue.pop_front().and_then(|weak| weak.upgrade()) {
                old.memory.lock().take();
            }
        }
        // Slots whose runs were all flushed leave only their weak ends behind.
        while queue.front().is_some_and(|weak| weak.strong_count() == 0) {
            queue.pop_front();
        }
        slot
    }

    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One batch in a run.
#[derive(Debug, Clone, Copy)]
pub struct BatchRef {
    /// Last offset of the batch, counted from the run's first offset.
    pub last_delta: u32,
    /// Where the batch begins, from the start of the slot.
    pub pos: u32,
}

/// What one slot holds of one partition.
pub struct Run {
    pub slot: Arc<Slot>,
    pub first_offset: Offset,
    /// Next offset after the run.
    pub end_offset: Offset,
    pub max_timestamp: Timestamp,
    batches: Box<[BatchRef]>,
    /// Where the run ends, from the start of the slot.
    end_pos: u32,
}

impl Run {
    /// `batches` are in order and back to back, up to `end_pos`.
    pub fn new(
        slot: Arc<Slot>,
        first_offset: Offset,
        max_timestamp: Timestamp,
        batches: Vec<BatchRef>,
        end_pos: u32,
    ) -> Self {
        let last = batches
            .last()
            .map_or(-1, |batch| i64::from(batch.last_delta));
        Self {
            slot,
            first_offset,
            end_offset: first_offset + last + 1,
            max_timestamp,
            batches: batches.into(),
            end_pos,
        }
    }

    pub fn bytes(&self) -> u64 {
        u64::from(self.end_pos - self.batches.first().map_or(self.end_pos, |batch| batch.pos))
    }

    /// Memory this run takes, without its batches' bytes.
    pub fn index_bytes(&self) -> u64 {
        (size_of::<Self>() + size_of::<Slot>() + size_of_val(&*self.batches)) as u64
    }

    /// The whole run as one span.
    pub fn whole(&self) -> Span {
        self.span(0, self.batches.len())
    }

    /// Whole batches from the one that holds the first of the offsets `wanted` on, those that end
    /// within them, within `max_bytes`; with `at_least_one` the first of these is there however large
    /// it is. `None` if nothing fits.
    pub fn cut(&self, wanted: Range<Offset>, max_bytes: u64, at_least_one: bool) -> Option<Span> {
        let below = |offset: Offset| {
            let delta = offset - self.first_offset;
            self.batches
                .partition_point(|batch| i64::from(batch.last_delta) < delta)
        };
        let (from, to) = (below(wanted.start), below(wanted.end));
        let rest = self.batches.get(from..to)?;
        let start = u64::from(rest.first()?.pos);
        // The batch after a candidate begins where the candidate ends.
        let end = self.batches.get(to).map_or(self.end_pos, |batch| batch.pos);
        let ends = rest.iter().skip(1).map(|batch| batch.pos).chain([end]);
        let fitting = ends
            .take_while(|end| u64::from(*end) - start <= max_bytes)
            .count();
        let count = if at_least_one {
            fitting.max(1)
        } else {
            fitting
        };
        (count > 0).then(|| self.span(from, from + count))
    }

    fn span(&self, from: usize, to: usize) -> Span {
        let start = self
            .batches
            .get(from)
            .map_or(self.end_pos, |batch| batch.pos);
        let end = self.batches.get(to).map_or(self.end_pos, |batch| batch.pos);
        let last = self
            .batches
            .get(to.wrapping_sub(1))
            .map_or(-1, |b| i64::from(b.last_delta));
        Span {
            slot: Arc::clone(&self.slot),
            pos: start,
            len: end - start,
            next_offset: self.first_offset + last + 1,
        }
    }
}

/// Contiguous whole batches of a slot.
#[derive(Clone)]
pub struct Span {
    slot: Arc<Slot>,
    pos: u32,
    pub len: u32,
    pub next_offset: Offset,
}

impl Span {
    /// The bytes if they are in memory.
    pub fn in_memory(&self) -> Option<Bytes> {
        let (from, to) = (self.pos as usize, self.pos as usize + self.len as usize);
        self.slot.memory().map(|slot| slot.slice(from..to))
    }

    /// The bytes, read from the WAL file if they must be. Blocks.
    pub fn load(&self) -> io::Result<Bytes> {
        if let Some(bytes) = self.in_memory() {
            return Ok(bytes);
        }
        let mut bytes = vec![0; self.len as usize];
        let pos = self.slot.pos + u64::from(self.pos);
        self.slot.file.read_exact_at(&mut bytes, pos)?;
        Ok(bytes.into())
    }
}
