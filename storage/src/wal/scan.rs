//! Reading a WAL again after a stop, however it ended.
//!
//! Two passes. The first walks the slot headers of every file and decides which slots count and
//! where the log is cut ([`Chain`]); the second, driven by the caller, reads footers in order.
//!
//! Which slots count, with `low` the low slot of the newest slot of the newest incarnation:
//! - Slots below `low` are leftovers in recycled files.
//! - Of two slots with one number the newer incarnation's counts; from the first slot of an
//!   incarnation on, nothing of an older one does: it was cut there.
//! - A number missing below a recorded `synced_to`, or before the newest incarnation began, was
//!   durable once: corruption. A number missing above is where a power cut tore the end: the log is
//!   cut there, and what lies beyond was never acknowledged.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::pool::path;
use super::slot::{
    FooterEntry, SLOT_HEADER_LEN, SlotError, SlotHeader, body_is_whole, read_footer,
};
use crate::disk::{BLOCK, Disk, DiskFile};
use crate::ids::Incarnation;

/// Bytes read at a time while walking small slots.
const WINDOW: usize = 256 * 1024;

/// A slot that counts, and where it is.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub header: SlotHeader,
    /// Index into [`Chain::files`].
    pub file: usize,
    pub pos: u64,
}

/// The slots that count, in order, and the wreckage between them.
pub struct Chain {
    pub files: Vec<ScannedFile>,
    pub slots: Vec<Found>,
    /// Numbers of durable slots that cannot be read any more.
    pub lost: Vec<u64>,
    /// Slots below this number were synced by the one who wrote them.
    pub known_synced: u64,
    pub low_slot: u64,
}

/// One file as found.
pub struct ScannedFile {
    pub name: String,
    handle: Arc<dyn DiskFile>,
}

/// What the second pass finds at one slot.
pub enum SlotRead {
    Entries(Vec<FooterEntry>),
    /// Torn by a power cut: the log ends before this slot.
    Torn,
    /// Durable once and damaged since.
    Lost(SlotError),
}

/// First pass. `incarnations` are all known ones, oldest first.
pub fn scan(disk: &dyn Disk, names: &[String], incarnations: &[Incarnation]) -> io::Result<Chain> {
    let rank: HashMap<Incarnation, usize> = incarnations
        .iter()
        .enumerate()
        .map(|(i, id)| (*id, i))
        .collect();
    let mut files = Vec::new();
    let mut found: Vec<(usize, Found)> = Vec::new();
    for name in names {
        let handle = disk.open(&path(name))?;
        let index = files.len();
        walk(&*handle, |pos, header| {
            if let Some(rank) = rank.get(&header.incarnation) {
                found.push((
                    *rank,
                    Found {
                        header,
                        file: index,
                        pos,
                    },
                ));
            }
        })?;
        files.push(ScannedFile {
            name: name.clone(),
            handle,
        });
    }
    Ok(link(files, found))
}

/// Calls `visit` for every slot header of a file that can be made out, in order of position.
fn walk(file: &dyn DiskFile, mut visit: impl FnMut(u64, SlotHeader)) -> io::Result<()> {
    let len = file.len()?;
    let mut window = Window {
        file,
        len,
        start: 0,
        bytes: Vec::new(),
    };
    let mut pos = 0;
    while pos + BLOCK as u64 <= len {
        match SlotHeader::read(window.at(pos)?) {
            Ok(header) if pos + u64::from(header.slot_len) <= len => {
                visit(pos, header);
                pos += u64::from(header.slot_len);
            }
            // A damaged slot may hide others behind it; they begin at some block.
            _ => pos += BLOCK as u64,
        }
    }
    Ok(())
}

struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes from `pos` on, at least a slot header's.
    fn at(&mut self, pos: u64) -> io::Result<&[u8]> {
        let covered = pos >= self.start
            && pos + SLOT_HEADER_LEN as u64 <= self.start + self.bytes.len() as u64;
        if !covered {
            self.bytes.resize(WINDOW.min((self.len - pos) as usize), 0);
            self.file.read_exact_at(&mut self.bytes, pos)?;
            self.start = pos;
        }
        Ok(&self.bytes[(pos - self.start) as usize..])
    }
}

fn link(files: Vec<ScannedFile>, mut found: Vec<(usize, Found)>) -> Chain {
    let mut chain = Chain {
        files,
        slots: Vec::new(),
        lost: Vec::new(),
        known_synced: 0,
        low_slot: 0,
    };
    // Newest incarnation first among equals, so that it wins its number.
    found.sort_by_key(|(rank, f)| (f.header.number, usize::MAX - rank));
    let Some((newest_rank, newest)) = found
        .iter()
        .max_by_key(|(rank, f)| (*rank, f.header.number))
        .copied()
    else {
        return chain;
    };
    let of_newest = found.iter().filter(|(rank, _)| *rank == newest_rank);
    chain.known_synced = of_newest
        .map(|(_, f)| f.header.synced_to)
        .max()
        .unwrap_or(0);
    chain.low_slot = newest.header.low_slot;

    let mut next = chain.low_slot;
    let mut rank_so_far = 0;
    for (rank, slot) in found {
        let number = slot.header.number;
        if number < next {
            continue; // a leftover, or an older incarnation's slot of the same number
        }
        if rank < rank_so_far || number > newest.header.number {
            break;
        }
        if number > next {
            if next >= chain.known_synced {
                break;
            }
            chain.lost.extend(next..number);
        }
        rank_so_far = rank;
        next = number + 1;
        chain.slots.push(slot);
    }
    chain
}

impl Chain {
    /// Second pass at one slot.
    pub fn read(&self, slot: &Found) -> io::Result<SlotRead> {
        let file = &self.files[slot.file].handle;
        let header = &slot.header;
        let durable = header.number < self.known_synced;
        let from = if durable {
            u64::from(header.footer_pos)
        } else {
            0
        };
        let to = u64::from(header.footer_pos) + header.footer_len() as u64;
        let mut bytes = vec![0; (to - from) as usize];
        file.read_exact_at(&mut bytes, slot.pos + from)?;
        let footer = &bytes[bytes.len() - header.footer_len()..];
        if !durable && !body_is_whole(header, &bytes) {
            return Ok(SlotRead::Torn);
        }
        Ok(match read_footer(header, footer) {
            Ok(entries) => SlotRead::Entries(entries),
            Err(_) if !durable => SlotRead::Torn,
            Err(error) => SlotRead::Lost(error),
        })
    }

    /// Makes everything in the files durable: what replay saw must not vanish later.
    pub fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        for file in &self.files {
            disk.open_write(&path(&file.name), crate::disk::WriteMode::Buffered)?
                .sync()?;
        }
        Ok(())
    }
}
