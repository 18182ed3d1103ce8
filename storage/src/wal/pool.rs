//! The WAL's files: zeroed ahead, written front to back, recycled.
//!
//! A file is *live* while a slot in it may still be needed. Whoever needs one (a tail run, a read
//! under way) holds the file's `Arc`; files leave strictly oldest first, once nobody does. A file
//! that left is *drained*: its slots may still be named by the low slot of a synced slot, so it is
//! *free* for new slots only when a higher low slot is durable. Names say nothing: recovery goes by
//! the slots inside. A file in which a sync failed is *suspect*: what it holds that earlier syncs
//! covered is read as ever, but nothing is written to it again. So is one that could not be opened or
//! removed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::disk::{BLOCK, Disk, DiskFile, WriteMode};

/// Directory of the WAL's files, below the data directory.
pub const WAL_DIR: &str = "wal";

/// Sizes and mode of the WAL.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// Size of one file in bytes, a multiple of [`BLOCK`].
    pub file_bytes: u64,
    /// All files together may take this many bytes; one more file is allowed when only that lets
    /// the WAL move on.
    pub budget_bytes: u64,
    pub mode: WriteMode,
}

/// One file with slots that may be needed.
pub struct WalFile {
    pub name: String,
    pub len: u64,
    /// Number of the first slot in it.
    pub first_slot: u64,
    last_slot: AtomicU64,
    is_suspect: AtomicBool,
    writer: Arc<dyn DiskFile>,
    reader: Arc<dyn DiskFile>,
}

impl WalFile {
    /// Reads bytes of a slot by their position in the file.
    pub fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        self.reader.read_exact_at(buf, pos)
    }

    pub(super) fn write_slot(&self, number: u64, bytes: &[u8], pos: u64) -> io::Result<()> {
        self.writer.write_all_at(bytes, pos)?;
        self.last_slot.store(number, Ordering::Release);
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.writer.sync()
    }
}

/// Why no file could be had.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// Waiting helps: segments must be written first.
    #[error("the WAL has used up its budget")]
    Budget,
    /// Waiting does not help until somebody makes room.
    #[error("no space for a WAL file: {0}")]
    NoSpace(io::Error),
}

/// Whether a new file must fit the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    Keep,
    Exceed,
}

struct Spare {
    name: String,
    len: u64,
}

/// A file that left the live queue.
struct Drained {
    spare: Spare,
    /// Usable once the durable low slot is this.
    needed: u64,
    is_suspect: bool,
}

#[derive(Default)]
struct Files {
    live: VecDeque<Arc<WalFile>>,
    drained: Vec<Drained>,
    free: Vec<Spare>,
    /// Bytes of all of them.
    total_bytes: u64,
    next_name: u64,
}

impl Files {
    fn take_free(&mut self, min_len: u64) -> Option<Spare> {
        let at = self.free.iter().position(|spare| spare.len >= min_len)?;
        Some(self.free.swap_remove(at))
    }

    /// Whether a file is free, or will be as soon as a slot is synced.
    fn has_some_to_come(&self) -> bool {
        !self.free.is_empty() || !self.drained.is_empty()
    }
}

/// All files of the WAL.
pub struct WalPool {
    disk: Arc<dyn Disk>,
    options: WalOptions,
    files: Mutex<Files>,
    /// Held while a file is made. Zeroing one takes tens of milliseconds, in which whoever writes or
    /// syncs slots must not wait for `files`. Taken before `files`.
    making: Mutex<()>,
}

impl WalPool {
    /// Lists what is there; every file starts as unclaimed and must be `adopt`ed or `free`d.
    pub fn open(disk: Arc<dyn Disk>, options: WalOptions) -> io::Result<(Self, Vec<String>)> {
        disk.create_dir(WAL_DIR)?;
        let names = disk.list(WAL_DIR)?;
        let highest = names
            .iter()
            .filter_map(|n| n.strip_suffix(".wal")?.parse::<u64>().ok())
            .max();
        let files = Files {
            next_name: highest.map_or(0, |n| n + 1),
            ..Files::default()
        };
        Ok((
            Self {
                disk,
                options,
                files: Mutex::new(files),
                making: Mutex::new(()),
            },
            names,
        ))
    }

    pub fn options(&self) -> &WalOptions {
        &self.options
    }

    /// Keeps a file of an earlier incarnation alive; called oldest first.
    pub fn adopt(&self, name: &str, first_slot: u64, last_slot: u64) -> io::Result<Arc<WalFile>> {
        let mut files = self.files.lock();
        let file = self.open_file(name, first_slot)?;
        file.last_slot.store(last_slot, Ordering::Release);
        files.total_bytes += file.len;
        files.live.push_back(Arc::clone(&file));
        Ok(file)
    }

    /// Takes a file of an earlier incarnation whose slots nobody needs.
    pub fn release(&self, name: &str, low_slot_needed: u64) -> io::Result<()> {
        let len = self.disk.open(&path(name))?.len()?;
        let spare = Spare {
            name: name.to_owned(),
            len,
        };
        let mut files = self.files.lock();
        files.total_bytes += len;
        files.drained.push(Drained {
            spare,
            needed: low_slot_needed,
            is_suspect: false,
        });
        Ok(())
    }

    /// A file to write next, with room for `min_len` bytes, beginning with slot `first_slot`. A
    /// note of the WAL itself may go beyond the budget.
    pub fn take(
        &self,
        min_len: u64,
        first_slot: u64,
        budget: Budget,
    ) -> Result<Arc<WalFile>, TakeError> {
        let free = self.files.lock().take_free(min_len);
        let spare = match free {
            Some(spare) => spare,
            None => {
                let _turn = self.making.lock();
                // The spare that was being made meanwhile, perhaps.
                let free = self.files.lock().take_free(min_len);
                free.map_or_else(|| self.make_room(min_len, budget), Ok)?
            }
        };
        match self.open_file(&spare.name, first_slot) {
            Ok(file) => {
                self.files.lock().live.push_back(Arc::clone(&file));
                Ok(file)
            }
            Err(error) => {
                self.files.lock().drained.push(Drained {
                    spare,
                    needed: 0,
                    is_suspect: true,
                });
                Err(TakeError::NoSpace(error))
            }
        }
    }

    /// Makes one free file ahead of need, if there is none and the budget allows it.
    pub fn prepare_spare(&self) -> Result<(), TakeError> {
        let _turn = self.making.lock();
        if self.files.lock().has_some_to_come() {
            return Ok(());
        }
        let spare = self.make_room(0, Budget::Keep)?;
        self.files.lock().free.push(spare);
        Ok(())
    }

    /// Makes a file. The caller holds `making` and not `files`.
    fn make_room(&self, min_len: u64, budget: Budget) -> Result<Spare, TakeError> {
        let len = min_len
            .max(self.options.file_bytes)
            .next_multiple_of(BLOCK as u64);
        {
            let files = self.files.lock();
            let within = files.total_bytes + len <= self.options.budget_bytes;
            // Drained files wait for a slot to be written, so writing must not wait for them.
            let may_exceed =
                budget == Budget::Exceed || !files.drained.is_empty() || files.live.is_empty();
            if !within && !may_exceed {
                return Err(TakeError::Budget);
            }
        }
        match self.create(len) {
            // A note, without which nothing starts, goes into the smallest file there is.
            Err(TakeError::NoSpace(_)) if budget == Budget::Exceed => {
                self.create(min_len.max(1).next_multiple_of(BLOCK as u64))
            }
            made => made,
        }
    }

    fn create(&self, len: u64) -> Result<Spare, TakeError> {
        let name = {
            let mut files = self.files.lock();
            // Before the attempt: a failed one may leave the name taken, and others count bytes.
            files.next_name += 1;
            files.total_bytes += len;
            format!("{:08}.wal", files.next_name - 1)
        };
        let made = self
            .disk
            .create_zeroed(&path(&name), len)
            .and_then(|()| self.disk.sync_dir(WAL_DIR));
        made.map_err(|error| {
            self.files.lock().total_bytes -= len;
            TakeError::NoSpace(error)
        })?;
        Ok(Spare { name, len })
    }

    fn open_file(&self, name: &str, first_slot: u64) -> io::Result<Arc<WalFile>> {
        let writer = self.disk.open_write(&path(name), self.options.mode)?;
        let reader = self.disk.open(&path(name))?;
        let len = reader.len()?;
        let last_slot = AtomicU64::new(first_slot);
        Ok(Arc::new(WalFile {
            name: name.to_owned(),
            len,
            first_slot,
            last_slot,
            is_suspect: AtomicBool::new(false),
            writer,
            reader,
        }))
    }

    /// Moves files that nobody needs out of the live queue, oldest first; never the newest.
    /// Answers the low slot: the first that may be needed, or `next_slot` if none is.
    pub fn drain(&self, next_slot: u64) -> u64 {
        let mut files = self.files.lock();
        while files.live.len() > 1 && Arc::strong_count(&files.live[0]) == 1 {
            let Some(file) = files.live.pop_front() else {
                break;
            };
            files.drained.push(Drained {
                spare: Spare {
                    name: file.name.clone(),
                    len: file.len,
                },
                needed: file.last_slot.load(Ordering::Acquire) + 1,
                is_suspect: file.is_suspect.load(Ordering::Relaxed),
            });
        }
        // Not always the front's: a file of slots that were cut off may be in use a little longer.
        let first_slots = files.live.iter().map(|file| file.first_slot);
        first_slots.min().unwrap_or(next_slot)
    }

    /// Tells that a slot carrying `low_slot` is durable: drained files below it become free, or go.
    pub fn low_slot_is_durable(&self, low_slot: u64) {
        let mut files = self.files.lock();
        let (ready, waiting): (Vec<_>, Vec<_>) = files
            .drained
            .drain(..)
            .partition(|file| file.needed <= low_slot);
        files.drained = waiting;
        for mut file in ready {
            let oversized = file.spare.len != self.options.file_bytes;
            if !oversized && !file.is_suspect && files.total_bytes <= self.options.budget_bytes {
                files.free.push(file.spare);
            } else if let Err(error) = self.remove(&mut files, &file.spare) {
                tracing::warn!(file = file.spare.name, %error, "a WAL file could not be removed");
                file.is_suspect = true;
                files.drained.push(file);
            }
        }
    }

    /// The log is cut at slot `end`, and nobody writes to it now: files with slots that no sync
    /// covered, `synced_to` and beyond, become suspect; those with nothing but slots that were cut
    /// off go.
    pub fn cut(&self, end: u64, synced_to: u64) -> io::Result<()> {
        let mut files = self.files.lock();
        let unsynced = |file: &&Arc<WalFile>| file.last_slot.load(Ordering::Acquire) >= synced_to;
        for file in files.live.iter().filter(unsynced) {
            file.is_suspect.store(true, Ordering::Relaxed);
        }
        let holds_nothing =
            |file: &mut Arc<WalFile>| file.first_slot >= end && Arc::strong_count(file) == 1;
        while let Some(file) = files.live.pop_back_if(holds_nothing) {
            let spare = Spare {
                name: file.name.clone(),
                len: file.len,
            };
            if let Err(error) = self.remove(&mut files, &spare) {
                files.live.push_back(file);
                return Err(error);
            }
        }
        Ok(())
    }

    fn remove(&self, files: &mut Files, spare: &Spare) -> io::Result<()> {
        self.disk.remove(&path(&spare.name))?;
        files.total_bytes -= spare.len;
        Ok(())
    }

    /// The oldest live file, unless it is the one being written.
    pub fn oldest(&self) -> Option<Arc<WalFile>> {
        let files = self.files.lock();
        if files.live.len() > 1 {
            files.live.front().cloned()
        } else {
            None
        }
    }

    /// Bytes of live files; the measure against the budget.
    pub fn live_bytes(&self) -> u64 {
        self.files.lock().live.iter().map(|file| file.len).sum()
    }

    /// Bytes of all files on disk.
    pub fn total_bytes(&self) -> u64 {
        self.files.lock().total_bytes
    }
}

pub(super) fn path(name: &str) -> String {
    format!("{WAL_DIR}/{name}")
}

#[cfg(test)]
mod tests;
