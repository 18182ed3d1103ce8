//! Reading a WAL again after a stop, however it ended.
//!
//! Two passes. The first walks the slot headers of every file and decides which slots count and
//! where the log is cut ([`Chain`]); the second, driven by the caller, reads footers in order.
//!
//! Which slots count, with `low` the low slot of the newest slot of the newest incarnation:
//! - Slots below `low` are leftovers in recycled files.
//! - From the first slot of an incarnation on, which each of its slots names, nothing of an older
//!   one counts: it was cut there.
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
use crate::disk::{BLOCK, Disk, DiskFile, WriteMode};
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
    cut_older_incarnations(&mut found);
    found.sort_by_key(|(_, f)| f.header.number);

    let mut next = chain.low_slot;
    for (_, slot) in found {
        let number = slot.header.number;
        if number < next {
            continue; // a leftover in a recycled file
        }
        if number > next {
            if next >= chain.known_synced {
                break;
            }
            chain.lost.extend(next..number);
        }
        next = number + 1;
        chain.slots.push(slot);
    }
    chain
}

/// Drops what an incarnation wrote at or beyond the first slot of a newer one.
fn cut_older_incarnations(found: &mut Vec<(usize, Found)>) {
    found.sort_by_key(|(rank, _)| usize::MAX - rank);
    let mut end = u64::MAX;
    let mut end_for_older = u64::MAX;
    let mut rank_now = usize::MAX;
    found.retain(|(rank, slot)| {
        if *rank != rank_now {
            (rank_now, end) = (*rank, end_for_older);
        }
        end_for_older = end_for_older.min(slot.header.first_slot);
        slot.header.number < end
    });
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

    /// Makes everything in the files durable: what replay saw must not vanish later. Slots below `end`
    /// that no sync is known to have covered are written again before: the sync of the one who wrote
    /// them may have failed, and a page cache that gave them up then still shows them.
    pub fn sync(&self, disk: &dyn Disk, end: u64) -> io::Result<()> {
        for (index, file) in self.files.iter().enumerate() {
            let writer = disk.open_write(&path(&file.name), WriteMode::Buffered)?;
            let doubtful = |slot: &&Found| {
                slot.file == index && (self.known_synced..end).contains(&slot.header.number)
            };
            for slot in self.slots.iter().filter(doubtful) {
                let mut bytes = vec![0; slot.header.slot_len as usize];
                file.handle.read_exact_at(&mut bytes, slot.pos)?;
                writer.write_all_at(&bytes, slot.pos)?;
            }
            writer.sync()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot as (incarnation's rank, its first slot, number, synced_to, low_slot).
    type Line = (usize, u64, u64, u64, u64);

    fn check(lines: &[Line], numbers: &[u64], lost: &[u64]) {
        let found = lines
            .iter()
            .map(|(rank, first_slot, number, synced_to, low_slot)| {
                let header = SlotHeader {
                    incarnation: Incarnation([*rank as u8; 16]),
                    number: *number,
                    prev_crc: 0,
                    synced_to: *synced_to,
                    low_slot: *low_slot,
                    slot_len: 4096,
                    footer_pos: 128,
                    entry_count: 0,
                    body_crc: 0,
                    footer_crc: 0,
                    first_slot: *first_slot,
                    header_crc: 0,
                };
                let found = Found {
                    header,
                    file: 0,
                    pos: 0,
                };
                (*rank, found)
            });
        let chain = link(Vec::new(), found.collect());
        let linked: Vec<u64> = chain.slots.iter().map(|slot| slot.header.number).collect();
        assert_eq!(linked, numbers, "{lines:?}");
        assert_eq!(chain.lost, lost, "{lines:?}");
    }

    #[test]
    fn slots_count_from_the_low_slot_on_without_holes() {
        check(&[], &[], &[]);
        check(
            &[(0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 2, 1, 0)],
            &[0, 1, 2],
            &[],
        );
        // A hole nobody synced: a power cut tore the end.
        check(&[(0, 0, 0, 0, 0), (0, 0, 2, 0, 0)], &[0], &[]);
        // The same hole, but slot 2 knows that 1 was synced.
        check(&[(0, 0, 0, 0, 0), (0, 0, 2, 2, 0)], &[0, 2], &[1]);
        // Leftovers below the low slot.
        check(&[(0, 0, 3, 3, 3), (0, 0, 1, 0, 0)], &[3], &[]);
    }

    #[test]
    fn an_older_incarnation_ends_where_a_newer_begins() {
        // Slot 6 of the older one was torn off before the newer began at 5.
        check(
            &[(0, 0, 4, 4, 0), (0, 0, 6, 4, 0), (1, 5, 5, 5, 4)],
            &[4, 5],
            &[],
        );
        // The newer one's slot 8 is torn; the older one's 8, in a recycled file, is not it.
        check(&[(0, 0, 8, 4, 0), (1, 4, 9, 8, 8)], &[], &[]);
        // An incarnation between them left nothing but its own cut.
        check(
            &[(0, 0, 3, 0, 0), (1, 3, 3, 3, 3), (2, 4, 4, 4, 3)],
            &[3, 4],
            &[],
        );
    }
}
