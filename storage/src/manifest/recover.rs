//! Reads a manifest log file back, and tells a torn tail from corruption.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::frame::{self, ALIGN, BadHeader, FRAME_LEN, Frame, FrameKind, HEADER_LEN};
use super::log::{OpenError, path_of};
use super::record::{Record, State};
use super::state::PartitionManifest;
use crate::disk::DiskFile;
use crate::ids::{Incarnation, PartitionId};

/// Bytes read from the file at a time.
const WINDOW: u64 = 1 << 20;

/// What the log held when it was opened.
#[derive(Debug, Clone)]
pub struct Recovered {
    pub partitions: HashMap<PartitionId, Arc<PartitionManifest>>,
    /// Past incarnations in order of their numbers.
    pub incarnations: Vec<(Incarnation, u32)>,
    /// Bytes of an append that no sync had covered; nothing acknowledged was in them.
    pub torn_tail: Option<TornTail>,
}

/// Where the log was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub path: String,
    pub pos: u64,
    pub len: u64,
}

/// Reads file `seq`: its snapshot, which must be whole, and its delta up to the first bad frame.
pub(super) fn read(file: &dyn DiskFile, seq: u64) -> Result<(State, Option<TornTail>), OpenError> {
    let mut reader = Reader::new(file, seq)?;
    reader.check_header()?;
    let mut state = State::default();
    let mut in_snapshot = true;
    while reader.pos < reader.len {
        let pos = reader.pos;
        let Some((frame, payload)) = reader.frame_at(pos)? else {
            if in_snapshot {
                return Err(reader.corrupt(pos, "the snapshot ends in bytes that are no record"));
            }
            reader.prove_unsynced(pos)?;
            let tail = TornTail {
                path: path_of(seq),
                pos,
                len: reader.len - pos,
            };
            return Ok((state, Some(tail)));
        };
        match frame.kind {
            FrameKind::SnapshotEnd if in_snapshot => in_snapshot = false,
            FrameKind::SnapshotEnd => return Err(reader.corrupt(pos, "a second snapshot end")),
            FrameKind::Record => reader.apply(&mut state, &payload, in_snapshot)?,
        }
        reader.pos = pos + frame.total_len();
    }
    if in_snapshot {
        return Err(reader.corrupt(reader.len, "the snapshot has no end"));
    }
    Ok((state, None))
}

struct Reader<'a> {
    file: &'a dyn DiskFile,
    seq: u64,
    len: u64,
    pos: u64,
    window: Vec<u8>,
    window_pos: u64,
}

impl<'a> Reader<'a> {
    fn new(file: &'a dyn DiskFile, seq: u64) -> Result<Self, OpenError> {
        let len = file
            .len()
            .map_err(|source| OpenError::io(path_of(seq), source))?;
        Ok(Self {
            file,
            seq,
            len,
            pos: HEADER_LEN,
            window: Vec::new(),
            window_pos: 0,
        })
    }

    fn check_header(&mut self) -> Result<(), OpenError> {
        let seq = self.seq;
        let header = self
            .bytes(0, HEADER_LEN)?
            .map_or(Err(BadHeader::Garbled), |bytes| {
                frame::check_header(bytes, seq)
            });
        match header {
            Ok(()) => Ok(()),
            Err(BadHeader::Garbled) => Err(self.corrupt(0, "the file header is bad")),
            Err(BadHeader::TooNew(min_reader)) => Err(OpenError::TooNew {
                path: path_of(seq),
                min_reader,
            }),
        }
    }

    /// A whole frame and its payload, if a good one stands at `pos`.
    fn frame_at(&mut self, pos: u64) -> Result<Option<(Frame, Vec<u8>)>, OpenError> {
        let Some(frame) = self.bytes(pos, FRAME_LEN)?.and_then(Frame::read) else {
            return Ok(None);
        };
        if pos + frame.total_len() > self.len {
            return Ok(None);
        }
        let seq = self.seq;
        let payload = self.bytes(pos + FRAME_LEN, frame.payload_len)?;
        let payload = payload.filter(|payload| frame.fits(seq, pos, payload));
        Ok(payload.map(|payload| (frame, payload.to_vec())))
    }

    /// Fails if a good frame after `bad` says that `bad` had been synced.
    fn prove_unsynced(&mut self, bad: u64) -> Result<(), OpenError> {
        let mut pos = bad + ALIGN;
        while pos + FRAME_LEN <= self.len {
            let step = match self.frame_at(pos)? {
                Some((frame, _)) if frame.synced_to > bad => {
                    return Err(self.corrupt(bad, "a bad record where the file had been synced"));
                }
                Some((frame, _)) => frame.total_len(),
                None => ALIGN,
            };
            pos += step;
        }
        Ok(())
    }

    fn apply(&self, state: &mut State, payload: &[u8], snapshot: bool) -> Result<(), OpenError> {
        let record: Record = minicbor::decode(payload)
            .map_err(|_| self.corrupt(self.pos, "a record that does not decode"))?;
        let partition = record.partition();
        let done = if snapshot {
            state.restore(record)
        } else {
            state.apply(&record)
        };
        done.map_err(|violation| OpenError::Invalid {
            path: path_of(self.seq),
            pos: self.pos,
            partition,
            violation,
        })
    }

    /// The bytes at `pos`; `None` if the file does not have them all.
    fn bytes(&mut self, pos: u64, len: u64) -> Result<Option<&[u8]>, OpenError> {
        if pos + len > self.len {
            return Ok(None);
        }
        let window_end = self.window_pos + self.window.len() as u64;
        if pos < self.window_pos || pos + len > window_end {
            let size = len.max(WINDOW).min(self.len - pos);
            self.window.resize(size as usize, 0);
            self.window_pos = pos;
            let read = self.file.read_exact_at(&mut self.window, pos);
            read.map_err(|source: io::Error| OpenError::io(path_of(self.seq), source))?;
        }
        let start = (pos - self.window_pos) as usize;
        Ok(Some(&self.window[start..start + len as usize]))
    }

    fn corrupt(&self, pos: u64, what: &'static str) -> OpenError {
        OpenError::Corrupt {
            path: path_of(self.seq),
            pos,
            what,
        }
    }
}
