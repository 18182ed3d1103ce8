//! One WAL slot: the unit of writing, of group commit and of tearing.
//!
//! ```text
//! header 128 B | entry bytes … (grouped by partition) | footer: 96 B per entry | zeros to 4 KiB
//! ```
//! Header, body and footer each have their own crc32c, so that replay of a slot known to be synced
//! reads header and footer only. The byte-exact description is docs/formats/wal.md; integers are
//! little-endian, except inside the verbatim Kafka batch headers.
//!
//! Invariants:
//! - Slot numbers rise by one from slot to slot, through all incarnations.
//! - `prev_crc` chains a slot to the header of the one before it.
//! - Every slot numbered below `synced_to` was synced before this slot was written.
//! - No slot below `low_slot` is needed any more.

use std::io;

use bytes::Bytes;
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchHeader, HEADER_LEN as BATCH_HEADER_LEN};

use crate::disk::AlignedBuf;
use crate::disk::BLOCK;
use crate::ids::{Incarnation, PartitionId, TopicId};
use crate::producers::Entry;

/// Bytes of a slot header.
pub const SLOT_HEADER_LEN: usize = 128;
/// Bytes of one footer entry.
pub const FOOTER_ENTRY_LEN: usize = 96;

const MAGIC: u32 = u32::from_le_bytes(*b"TLSL");
/// Version written by this build.
const FORMAT: u16 = 1;
/// Oldest format version a reader must know to read what this build writes.
const MIN_READER: u16 = 1;

/// Bit of a footer entry's flags.
const IMPORTED: u8 = 1;
/// Where the batch header in a footer entry has the base sequence. A marker has none; its
/// coordinator epoch stands there.
const BASE_SEQUENCE_AT: std::ops::Range<usize> = 32 + 53..32 + 57;

/// What an entry is. Numbers are stored; never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A Kafka record batch, verbatim.
    Data = 1,
    /// First entry of an incarnation: where the one before it was cut.
    Seal = 2,
    /// Last entry of a clean shutdown.
    Close = 3,
    /// Reserved: the batch lies in a bucket.
    RemotePayload = 4,
    /// The control batch that ends a transaction, verbatim. What it says stands in the footer too,
    /// so that replay need not open it.
    Marker = 5,
}

impl EntryKind {
    fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            1 => Self::Data,
            2 => Self::Seal,
            3 => Self::Close,
            4 => Self::RemotePayload,
            5 => Self::Marker,
            _ => return None,
        })
    }
}

/// The fixed fields in front of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHeader {
    pub incarnation: Incarnation,
    pub number: u64,
    pub prev_crc: u32,
    pub synced_to: u64,
    pub low_slot: u64,
    /// Whole slot in bytes, a multiple of [`BLOCK`].
    pub slot_len: u32,
    /// Where the footer begins, from the start of the slot.
    pub footer_pos: u32,
    pub entry_count: u32,
    pub body_crc: u32,
    pub footer_crc: u32,
    /// Number of the first slot of this incarnation: older incarnations end there.
    pub first_slot: u64,
    /// crc of this header; the next slot's `prev_crc`.
    pub header_crc: u32,
}

/// Why bytes are not a slot header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("no slot here")]
    NotASlot,
    #[error("slot header checksum mismatch")]
    HeaderCrc,
    #[error("slot needs a reader of format {0} or newer")]
    TooNew(u16),
    #[error("slot lengths do not fit together")]
    Lengths,
    #[error("slot footer checksum mismatch")]
    FooterCrc,
    #[error("slot footer has an entry of unknown kind {0}")]
    UnknownEntry(u8),
    #[error("slot footer points outside the slot")]
    EntryBounds,
}

/// One line of a slot's footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterEntry {
    pub kind: EntryKind,
    pub partition: PartitionId,
    /// Where the entry's bytes begin, from the start of the slot.
    pub pos: u32,
    pub len: u32,
    /// The batch's own header; zeros for entries that are no batch.
    pub batch: BatchHeader,
    /// What a marker says.
    pub marker: Option<TxnMarker>,
    /// It keeps the offset it had in another log: there may be a gap before it.
    pub is_imported: bool,
}

impl FooterEntry {
    /// True if its bytes are a record batch that lies here.
    pub fn is_batch(&self) -> bool {
        matches!(self.kind, EntryKind::Data | EntryKind::Marker)
    }

    /// What of it concerns producers.
    pub fn of_producer(&self) -> Entry {
        Entry {
            header: self.batch,
            marker: self.marker,
        }
    }
}

/// A batch and where it is put.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    pub batch: &'a [u8],
    pub base_offset: i64,
    pub leader_epoch: i32,
    /// Of a transaction marker, which has no base sequence.
    pub marker: Option<TxnMarker>,
    pub is_imported: bool,
}

impl SlotHeader {
    /// Reads and checks a header. `bytes` holds at least [`SLOT_HEADER_LEN`].
    pub fn read(bytes: &[u8]) -> Result<Self, SlotError> {
        let b = bytes.get(..SLOT_HEADER_LEN).ok_or(SlotError::NotASlot)?;
        if u32_at(b, 0) != MAGIC {
            return Err(SlotError::NotASlot);
        }
        let header_crc = u32_at(b, 124);
        if crc32c::crc32c(&b[..124]) != header_crc {
            return Err(SlotError::HeaderCrc);
        }
        let min_reader = u16_at(b, 6);
        if min_reader > FORMAT {
            return Err(SlotError::TooNew(min_reader));
        }
        let header = Self {
            incarnation: Incarnation(array_at(b, 8)),
            number: u64_at(b, 24),
            prev_crc: u32_at(b, 32),
            synced_to: u64_at(b, 40),
            low_slot: u64_at(b, 48),
            slot_len: u32_at(b, 56),
            footer_pos: u32_at(b, 60),
            entry_count: u32_at(b, 64),
            body_crc: u32_at(b, 68),
            footer_crc: u32_at(b, 72),
            first_slot: u64_at(b, 76),
            header_crc,
        };
        header.check_lengths()?;
        Ok(header)
    }

    fn check_lengths(&self) -> Result<(), SlotError> {
        let footer_end = self.footer_pos as u64 + self.footer_len() as u64;
        let fits = self.footer_pos as usize >= SLOT_HEADER_LEN
            && footer_end <= u64::from(self.slot_len)
            && (self.slot_len as usize).is_multiple_of(BLOCK);
        if fits {
            Ok(())
        } else {
            Err(SlotError::Lengths)
        }
    }

    pub fn footer_len(&self) -> usize {
        self.entry_count as usize * FOOTER_ENTRY_LEN
    }

    fn write(&mut self, b: &mut [u8]) {
        b[..SLOT_HEADER_LEN].fill(0);
        b[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        b[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        b[6..8].copy_from_slice(&MIN_READER.to_le_bytes());
        b[8..24].copy_from_slice(&self.incarnation.0);
        b[24..32].copy_from_slice(&self.number.to_le_bytes());
        b[32..36].copy_from_slice(&self.prev_crc.to_le_bytes());
        b[40..48].copy_from_slice(&self.synced_to.to_le_bytes());
        b[48..56].copy_from_slice(&self.low_slot.to_le_bytes());
        b[56..60].copy_from_slice(&self.slot_len.to_le_bytes());
        b[60..64].copy_from_slice(&self.footer_pos.to_le_bytes());
        b[64..68].copy_from_slice(&self.entry_count.to_le_bytes());
        b[68..72].copy_from_slice(&self.body_crc.to_le_bytes());
        b[72..76].copy_from_slice(&self.footer_crc.to_le_bytes());
        b[76..84].copy_from_slice(&self.first_slot.to_le_bytes());
        self.header_crc = crc32c::crc32c(&b[..124]);
        b[124..128].copy_from_slice(&self.header_crc.to_le_bytes());
    }
}

/// Reads a footer whose bytes are all of `header.footer_len()`.
pub fn read_footer(header: &SlotHeader, footer: &[u8]) -> Result<Vec<FooterEntry>, SlotError> {
    if footer.len() != header.footer_len() || crc32c::crc32c(footer) != header.footer_crc {
        return Err(SlotError::FooterCrc);
    }
    footer
        .chunks_exact(FOOTER_ENTRY_LEN)
        .map(|entry| read_entry(header, entry))
        .collect()
}

/// Reads the footer of slot `number` where it is known to lie; `read` takes positions from the slot's
/// start.
pub fn read_footer_of(
    number: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Result<Vec<FooterEntry>, SlotError>> {
    let mut bytes = [0; SLOT_HEADER_LEN];
    read(&mut bytes, 0)?;
    let header = match SlotHeader::read(&bytes) {
        Ok(header) if header.number == number => header,
        Ok(_) => return Ok(Err(SlotError::NotASlot)),
        Err(error) => return Ok(Err(error)),
    };
    let mut footer = vec![0; header.footer_len()];
    read(&mut footer, u64::from(header.footer_pos))?;
    Ok(read_footer(&header, &footer))
}

fn read_entry(header: &SlotHeader, b: &[u8]) -> Result<FooterEntry, SlotError> {
    let mut entry = FooterEntry {
        kind: EntryKind::from_id(b[0]).ok_or(SlotError::UnknownEntry(b[0]))?,
        partition: PartitionId {
            topic: TopicId(array_at(b, 4)),
            index: u32_at(b, 20) as i32,
        },
        pos: u32_at(b, 24),
        len: u32_at(b, 28),
        batch: BatchHeader::read(&b[32..]).ok_or(SlotError::EntryBounds)?,
        marker: None,
        is_imported: b[2] & IMPORTED != 0,
    };
    if entry.kind == EntryKind::Marker {
        entry.marker = Some(TxnMarker {
            outcome: match b[1] {
                0 => Outcome::Abort,
                _ => Outcome::Commit,
            },
            coordinator_epoch: entry.batch.base_sequence,
        });
        entry.batch.base_sequence = -1;
    }
    let end = u64::from(entry.pos) + u64::from(entry.len);
    let inside = entry.pos as usize >= SLOT_HEADER_LEN && end <= u64::from(header.footer_pos);
    if inside {
        Ok(entry)
    } else {
        Err(SlotError::EntryBounds)
    }
}

/// Bytes a slot of these entry lengths takes on disk.
pub fn slot_len(entry_count: usize, body_bytes: usize) -> usize {
    (SLOT_HEADER_LEN + body_bytes + entry_count * FOOTER_ENTRY_LEN).next_multiple_of(BLOCK)
}

/// What a slot says of the WAL around it.
#[derive(Debug, Clone, Copy)]
pub struct SlotContext {
    pub incarnation: Incarnation,
    pub first_slot: u64,
    pub number: u64,
    pub prev_crc: u32,
    pub synced_to: u64,
    pub low_slot: u64,
}

/// Builds one slot in one pass; the buffer never grows.
pub struct SlotBuilder {
    buf: AlignedBuf,
    footer: Vec<u8>,
    entry_count: u32,
}

impl SlotBuilder {
    /// A builder with room for exactly these entries.
    pub fn new(entry_count: usize, body_bytes: usize) -> Self {
        let mut buf = AlignedBuf::with_capacity(slot_len(entry_count, body_bytes));
        buf.extend(&[0; SLOT_HEADER_LEN]);
        Self {
            buf,
            footer: Vec::with_capacity(entry_count * FOOTER_ENTRY_LEN),
            entry_count: 0,
        }
    }

    /// Adds a record batch under its final base offset and leader epoch; answers its position.
    pub fn push_batch(&mut self, partition: PartitionId, placed: &Placed<'_>) -> u32 {
        let pos = self.buf.len();
        self.buf.extend(placed.batch);
        let batch = &mut self.buf.as_mut_slice()[pos..];
        tidelog_records::set_base_offset(batch, placed.base_offset);
        tidelog_records::set_leader_epoch(batch, placed.leader_epoch);
        let mut header = [0; BATCH_HEADER_LEN];
        header.copy_from_slice(&batch[..BATCH_HEADER_LEN]);
        let kind = match placed.marker {
            Some(_) => EntryKind::Marker,
            None => EntryKind::Data,
        };
        let len = placed.batch.len() as u32;
        let mut entry = footer_entry(kind, partition, pos as u32, len, &header);
        if let Some(marker) = placed.marker {
            entry[1] = u8::from(marker.outcome == Outcome::Commit);
            entry[BASE_SEQUENCE_AT].copy_from_slice(&marker.coordinator_epoch.to_be_bytes());
        }
        entry[2] = if placed.is_imported { IMPORTED } else { 0 };
        self.push_footer(&entry);
        pos as u32
    }

    /// Adds an entry that speaks of the WAL itself.
    pub fn push_note(&mut self, kind: EntryKind, note: &[u8]) {
        let pos = self.buf.len();
        self.buf.extend(note);
        let nowhere = PartitionId {
            topic: TopicId::default(),
            index: -1,
        };
        let header = [0; BATCH_HEADER_LEN];
        self.push_footer(&footer_entry(
            kind,
            nowhere,
            pos as u32,
            note.len() as u32,
            &header,
        ));
    }

    fn push_footer(&mut self, entry: &[u8; FOOTER_ENTRY_LEN]) {
        self.footer.extend_from_slice(entry);
        self.entry_count += 1;
    }

    /// Seals the slot; its bytes are aligned for direct writes.
    pub fn finish(mut self, context: SlotContext) -> (SlotHeader, Bytes) {
        let footer_pos = self.buf.len();
        let body_crc = crc32c::crc32c(&self.buf.as_slice()[SLOT_HEADER_LEN..]);
        self.buf.extend(&self.footer);
        self.buf.pad_to(BLOCK);
        let mut header = SlotHeader {
            incarnation: context.incarnation,
            number: context.number,
            prev_crc: context.prev_crc,
            synced_to: context.synced_to,
            low_slot: context.low_slot,
            slot_len: self.buf.len() as u32,
            footer_pos: footer_pos as u32,
            entry_count: self.entry_count,
            body_crc,
            footer_crc: crc32c::crc32c(&self.footer),
            first_slot: context.first_slot,
            header_crc: 0,
        };
        header.write(self.buf.as_mut_slice());
        (header, self.buf.into_bytes())
    }
}

fn footer_entry(
    kind: EntryKind,
    partition: PartitionId,
    pos: u32,
    len: u32,
    batch_header: &[u8; BATCH_HEADER_LEN],
) -> [u8; FOOTER_ENTRY_LEN] {
    let mut entry = [0; FOOTER_ENTRY_LEN];
    entry[0] = kind as u8;
    entry[4..20].copy_from_slice(&partition.topic.0);
    entry[20..24].copy_from_slice(&partition.index.to_le_bytes());
    entry[24..28].copy_from_slice(&pos.to_le_bytes());
    entry[28..32].copy_from_slice(&len.to_le_bytes());
    entry[32..32 + BATCH_HEADER_LEN].copy_from_slice(batch_header);
    entry
}

/// True if a whole slot's entry bytes are what was written.
pub fn body_is_whole(header: &SlotHeader, slot: &[u8]) -> bool {
    slot.get(SLOT_HEADER_LEN..header.footer_pos as usize)
        .is_some_and(|body| crc32c::crc32c(body) == header.body_crc)
}

fn array_at<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(b, at))
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(b, at))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(b, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: TxnMarker = TxnMarker {
        outcome: Outcome::Commit,
        coordinator_epoch: 77,
    };

    fn sample() -> (SlotHeader, Bytes) {
        let mut batch = vec![7u8; 100];
        batch[8..12].copy_from_slice(&88i32.to_be_bytes());
        let mut builder = SlotBuilder::new(2, 200);
        let partition = PartitionId {
            topic: TopicId([3; 16]),
            index: 5,
        };
        let placed = |base_offset, marker| Placed {
            batch: &batch,
            base_offset,
            leader_epoch: 9,
            marker,
            is_imported: marker.is_some(),
        };
        builder.push_batch(partition, &placed(42, None));
        builder.push_batch(partition, &placed(43, Some(MARKER)));
        builder.finish(SlotContext {
            incarnation: Incarnation([1; 16]),
            first_slot: 2,
            number: 17,
            prev_crc: 4,
            synced_to: 16,
            low_slot: 3,
        })
    }

    #[test]
    fn a_slot_reads_back() {
        let (header, bytes) = sample();
        assert_eq!(bytes.len() % BLOCK, 0);
        assert_eq!(
            bytes.as_ptr() as usize % BLOCK,
            0,
            "direct writes need aligned memory"
        );
        assert_eq!(SlotHeader::read(&bytes), Ok(header));
        assert!(body_is_whole(&header, &bytes));
        let footer = header.footer_pos as usize..header.footer_pos as usize + header.footer_len();
        let entries = read_footer(&header, &bytes[footer]).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].marker, entries[0].is_imported), (None, false));
        assert_eq!(entries[1].batch.base_offset, 43);
        assert_eq!(
            (entries[1].kind, entries[1].marker),
            (EntryKind::Marker, Some(MARKER))
        );
        assert_eq!(
            (entries[1].batch.base_sequence, entries[1].is_imported),
            (-1, true)
        );
        assert_eq!(entries[1].batch.partition_leader_epoch, 9);
        assert_eq!(entries[1].pos as usize, SLOT_HEADER_LEN + 100);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (header, bytes) = sample();
        let used = header.footer_pos as usize + header.footer_len();
        for at in 0..used {
            let mut bad = bytes.to_vec();
            bad[at] ^= 0x10;
            let read = SlotHeader::read(&bad);
            let noticed = read.is_err()
                || !body_is_whole(&header, &bad)
                || read_footer(&header, &bad[header.footer_pos as usize..used]).is_err();
            assert!(noticed, "flip at byte {at} went unnoticed");
        }
    }
}
