//! Framing of the manifest log: the file header and one frame per record.
//!
//! A frame carries how far its file was synced when it was written. Bytes that were not synced may
//! survive a power cut in any order, so a bad frame before a good one proves nothing by itself; it
//! is corruption only if the good one says that the bad one had been synced.
//!
//! Source of truth for the bytes: `docs/formats/manifest-log.md`. All integers little-endian.

/// Bytes of the file header.
pub(super) const HEADER_LEN: u64 = 32;
/// Bytes of a frame before its payload.
pub(super) const FRAME_LEN: u64 = 32;
/// Largest payload, in bytes; far above any partition's state.
pub(super) const PAYLOAD_MAX: u64 = 256 << 20;
/// Frames start at multiples of this, so that a search for one need not try every byte.
pub(super) const ALIGN: u64 = 8;

const MAGIC: [u8; 8] = *b"TIDEMANI";
const FORMAT_VERSION: u16 = 1;
const MIN_READER: u16 = 1;
const MARKER: [u8; 4] = *b"MREC";

/// Why a file header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    Garbled,
    /// Needs a reader of this version.
    TooNew(u16),
}

/// The header of file `seq`.
pub(super) fn header(seq: u64) -> [u8; HEADER_LEN as usize] {
    let mut out = [0; HEADER_LEN as usize];
    out[0..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[10..12].copy_from_slice(&MIN_READER.to_le_bytes());
    out[16..24].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c(&out[..28]);
    out[28..32].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Checks the header of the file named `seq`.
pub(super) fn check_header(bytes: &[u8], seq: u64) -> Result<(), BadHeader> {
    let field = |range: std::ops::Range<usize>| bytes.get(range).ok_or(BadHeader::Garbled);
    let crc = crc32c::crc32c(field(0..28)?).to_le_bytes();
    if field(0..8)? != MAGIC || field(28..32)? != crc || field(16..24)? != seq.to_le_bytes() {
        return Err(BadHeader::Garbled);
    }
    let min_reader = u16::from_le_bytes([field(10..11)?[0], field(11..12)?[0]]);
    if min_reader > FORMAT_VERSION {
        Err(BadHeader::TooNew(min_reader))
    } else {
        Ok(())
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// One record.
    Record = 1,
    /// Nothing: the snapshot that the file opens with is complete.
    SnapshotEnd = 2,
}

/// The fixed part of a frame, its crc not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: FrameKind,
    pub payload_len: u64,
    /// Everything in the file before this position was synced when the frame was written.
    pub synced_to: u64,
    crc: u32,
}

impl Frame {
    /// Reads the fixed part; `None` if there is none here.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FRAME_LEN as usize] = bytes.get(..FRAME_LEN as usize)?.try_into().ok()?;
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        let kind = match u32_at(12)? {
            1 => FrameKind::Record,
            2 => FrameKind::SnapshotEnd,
            _ => return None,
        };
        let payload_len = u64::from(u32_at(4)?);
        if bytes[..4] != MARKER || payload_len > PAYLOAD_MAX {
            return None;
        }
        let synced_to = u64::from_le_bytes(bytes[16..24].try_into().ok()?);
        Some(Self {
            kind,
            payload_len,
            synced_to,
            crc: u32_at(8)?,
        })
    }

    /// Bytes of the whole frame, padding included.
    pub(super) fn total_len(&self) -> u64 {
        FRAME_LEN + self.payload_len.next_multiple_of(ALIGN)
    }

    /// True if the frame, with this payload, was written at `pos` of file `seq`.
    pub(super) fn fits(&self, seq: u64, pos: u64, payload: &[u8]) -> bool {
        self.crc == crc(self.kind, self.synced_to, seq, pos, payload)
    }
}

/// Appends a frame to `out`; it will stand at `pos` of file `seq`. The payload is at most
/// [`PAYLOAD_MAX`] long.
pub(super) fn write(
    out: &mut Vec<u8>,
    kind: FrameKind,
    (seq, pos): (u64, u64),
    synced_to: u64,
    payload: &[u8],
) {
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc(kind, synced_to, seq, pos, payload).to_le_bytes());
    out.extend_from_slice(&(kind as u32).to_le_bytes());
    out.extend_from_slice(&synced_to.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(ALIGN as usize), 0);
}

/// Binds the frame to its place, so that bytes from elsewhere never pass for it.
fn crc(kind: FrameKind, synced_to: u64, seq: u64, pos: u64, payload: &[u8]) -> u32 {
    let mut place = [0; 36];
    place[0..4].copy_from_slice(&(kind as u32).to_le_bytes());
    place[4..12].copy_from_slice(&synced_to.to_le_bytes());
    place[12..20].copy_from_slice(&seq.to_le_bytes());
    place[20..28].copy_from_slice(&pos.to_le_bytes());
    place[28..36].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), payload)
}
