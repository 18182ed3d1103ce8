//! The log itself: open, append, sync, roll.
//!
//! Files are `manifest/<20 digits>.log`. Each opens with a snapshot of the whole state and goes on
//! with the delta, so the one with the highest number is all that is needed; it gets its name only
//! once its snapshot is synced. Opening always rolls: what was read is thereby durable again, and a
//! torn tail stays behind in the old file.
//!
//! After a failed write or sync the log takes nothing more: what is on disk is unknown until it is
//! opened again, or begun anew with what was known to be durable.

use std::io;
use std::sync::Arc;

use super::frame::{self, FrameKind, PAYLOAD_MAX};
use super::invariants::Violation;
use super::record::{Draft, Record, State, Undo};
use super::recover::{self, Recovered};
use super::state::PartitionManifest;
use crate::disk::{Disk, DiskFile};
use crate::ids::{Incarnation, PartitionId};

/// Where the log lives.
pub const DIRECTORY: &str = "manifest";

const SUFFIX: &str = ".log";
const TEMPORARY_SUFFIX: &str = ".tmp";
/// A roll is due when the delta is this many times the snapshot: the files then hold at most
/// 1 + this many times the state, and a byte of state is rewritten once per so many of delta.
const ROLL_FACTOR: u64 = 4;
/// No roll below this delta, in bytes.
const ROLL_BYTES_MIN: u64 = 1 << 20;
/// A snapshot is written in pieces of about this many bytes.
const STAGE_BYTES: usize = 1 << 20;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path} is corrupt at byte {pos}: {what}")]
    Corrupt {
        path: String,
        pos: u64,
        what: &'static str,
    },
    #[error("{path} at byte {pos}, partition {partition:?}: {violation}")]
    Invalid {
        path: String,
        pos: u64,
        partition: Option<PartitionId>,
        violation: Violation,
    },
    #[error("{path} needs a reader of format version {min_reader} or newer")]
    TooNew { path: String, min_reader: u16 },
}

impl OpenError {
    pub(super) fn io(path: String, source: io::Error) -> Self {
        Self::Io { path, source }
    }
}

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written; the log goes on.
    #[error("record {index} of the append, partition {partition:?}: {violation}")]
    Refused {
        index: usize,
        partition: Option<PartitionId>,
        violation: Violation,
    },
    /// Nothing was written; the log goes on.
    #[error("record {index} of the append has {bytes} bytes, more than {PAYLOAD_MAX}")]
    TooLarge { index: usize, bytes: u64 },
    #[error("writing {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("the manifest log failed before and must be opened again")]
    Poisoned,
}

/// Why a sync failed; the log takes nothing more.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error("syncing {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("the manifest log failed before and must be opened again")]
    Poisoned,
}

/// Why a roll failed.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    /// The new file came to nothing; the log goes on with the old one.
    #[error("writing {path}: {source}")]
    NotWritten { path: String, source: io::Error },
    /// Which file counts is unknown; the log takes nothing more.
    #[error("naming {path}: {source}")]
    NotNamed { path: String, source: io::Error },
    #[error("the manifest log failed before and must be opened again")]
    Poisoned,
}

/// Path of file `seq`.
pub(super) fn path_of(seq: u64) -> String {
    format!("{DIRECTORY}/{seq:020}{SUFFIX}")
}

/// The open log. Not shared: its owner serialises what is appended.
pub struct ManifestLog {
    disk: Arc<dyn Disk>,
    state: State,
    /// Of what was appended and not synced.
    undo: Undo,
    current: LogFile,
    /// Number of the next file, never one that was tried before.
    next_seq: u64,
    poisoned: bool,
}

/// The file that is appended to.
struct LogFile {
    seq: u64,
    file: Arc<dyn DiskFile>,
    /// Where the next frame goes.
    end: u64,
    synced_to: u64,
    /// Bytes of header and snapshot.
    snapshot_len: u64,
}

impl ManifestLog {
    /// Reads the newest file, if there is one, rolls to a new one and removes the others.
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, Recovered), OpenError> {
        let fail = |source| OpenError::io(DIRECTORY.to_owned(), source);
        disk.create_dir(DIRECTORY).map_err(fail)?;
        let newest = list(&*disk).map_err(fail)?.pop();
        let (state, torn_tail) = match newest {
            Some(seq) => {
                let file = disk.open(&path_of(seq));
                let file = file.map_err(|source| OpenError::io(path_of(seq), source))?;
                recover::read(&*file, seq)?
            }
            None => (State::default(), None),
        };
        let seq = newest.unwrap_or(0) + 1;
        let named = |source| OpenError::io(path_of(seq), source);
        let current = LogFile::write(&*disk, seq, &state).map_err(named)?;
        current.name(&*disk).map_err(named)?;
        remove_before(&*disk, seq);

        let partitions = state.partitions.clone();
        let incarnations = state.incarnations.clone();
        let log = Self {
            disk,
            state,
            undo: Undo::default(),
            current,
            next_seq: seq + 1,
            poisoned: false,
        };
        Ok((
            log,
            Recovered {
                partitions,
                incarnations,
                torn_tail,
            },
        ))
    }

    /// A partition as of the last append, synced or not.
    pub fn get(&self, partition: PartitionId) -> Option<&Arc<PartitionManifest>> {
        self.state.partitions.get(&partition)
    }

    /// All partitions as of the last append, in no order.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<PartitionManifest>> {
        self.state.partitions.values()
    }

    /// The newest incarnation and its number.
    pub fn incarnation(&self) -> Option<(Incarnation, u32)> {
        self.state.incarnations.last().copied()
    }

    /// Checks and writes records, all or none as far as the state here goes. They are durable once
    /// [`sync`](Self::sync) returned, and nothing that depends on them may happen before; after a
    /// power cut without it, any first part of them may be there.
    pub fn append(&mut self, records: &[Record]) -> Result<(), AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let mut draft = Draft::of(&self.state);
        let mut out = Vec::new();
        for (index, record) in records.iter().enumerate() {
            draft.apply(record).map_err(|violation| {
                let partition = record.partition();
                AppendError::Refused {
                    index,
                    partition,
                    violation,
                }
            })?;
            let payload = encode(record);
            let bytes = payload.len() as u64;
            if bytes > PAYLOAD_MAX {
                return Err(AppendError::TooLarge { index, bytes });
            }
            let place = (self.current.seq, self.current.end + out.len() as u64);
            frame::write(
                &mut out,
                FrameKind::Record,
                place,
                self.current.synced_to,
                &payload,
            );
        }
        let changes = draft.changes;
        if out.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.current.file.write_all_at(&out, self.current.end) {
            self.poisoned = true;
            return Err(AppendError::Io {
                path: path_of(self.current.seq),
                source,
            });
        }
        self.current.end += out.len() as u64;
        self.undo.note(&self.state, &changes);
        self.state.accept(changes);
        Ok(())
    }

    /// Makes all appended records durable. No step at all if they are.
    pub fn sync(&mut self) -> Result<(), SyncError> {
        if self.poisoned {
            return Err(SyncError::Poisoned);
        }
        if self.current.synced_to == self.current.end {
            return Ok(());
        }
        if let Err(source) = self.current.file.sync() {
            self.poisoned = true;
            return Err(SyncError::Io {
                path: path_of(self.current.seq),
                source,
            });
        }
        self.current.synced_to = self.current.end;
        self.undo = Undo::default();
        Ok(())
    }

    /// True once a write or sync failed: nothing is taken any more, before
    /// [`begin_anew`](Self::begin_anew).
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// True when the delta has outgrown the snapshot and [`roll`](Self::roll) pays.
    pub fn roll_is_due(&self) -> bool {
        let delta = self.current.end - self.current.snapshot_len;
        delta > ROLL_BYTES_MIN.max(ROLL_FACTOR * self.current.snapshot_len)
    }

    /// Writes the whole state as a new file and goes on there. Everything appended is durable when
    /// this returns.
    pub fn roll(&mut self) -> Result<(), RollError> {
        if self.poisoned {
            return Err(RollError::Poisoned);
        }
        self.write_whole()
    }

    /// Goes on after a failed write or sync, in a new file. Whatever became of them, the records that
    /// no sync had covered never were.
    pub fn begin_anew(&mut self) -> Result<(), RollError> {
        self.state.go_back(std::mem::take(&mut self.undo));
        self.write_whole()?;
        self.poisoned = false;
        Ok(())
    }

    fn write_whole(&mut self) -> Result<(), RollError> {
        let seq = self.next_seq;
        self.next_seq += 1;
        let next = LogFile::write(&*self.disk, seq, &self.state).map_err(|source| {
            RollError::NotWritten {
                path: path_of(seq),
                source,
            }
        })?;
        if let Err(source) = next.name(&*self.disk) {
            self.poisoned = true;
            return Err(RollError::NotNamed {
                path: path_of(seq),
                source,
            });
        }
        self.current = next;
        self.undo = Undo::default();
        remove_before(&*self.disk, seq);
        Ok(())
    }
}

impl LogFile {
    /// Writes and syncs file `seq` under its temporary name.
    fn write(disk: &dyn Disk, seq: u64, state: &State) -> io::Result<Self> {
        let path = temporary_path(seq);
        disk.remove(&path)?;
        let file = disk.create(&path)?;
        let mut staged = frame::header(seq).to_vec();
        let mut end = 0;
        for record in state.snapshot() {
            let payload = encode(&record);
            if payload.len() as u64 > PAYLOAD_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let place = (seq, end + staged.len() as u64);
            frame::write(&mut staged, FrameKind::Record, place, 0, &payload);
            if staged.len() >= STAGE_BYTES {
                file.write_all_at(&staged, end)?;
                end += staged.len() as u64;
                staged.clear();
            }
        }
        let place = (seq, end + staged.len() as u64);
        frame::write(&mut staged, FrameKind::SnapshotEnd, place, 0, &[]);
        file.write_all_at(&staged, end)?;
        end += staged.len() as u64;
        file.sync()?;
        Ok(Self {
            seq,
            file,
            end,
            synced_to: end,
            snapshot_len: end,
        })
    }

    /// Gives the file its name, durably.
    fn name(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.rename(&temporary_path(self.seq), &path_of(self.seq))?;
        disk.sync_dir(DIRECTORY)
    }
}

fn temporary_path(seq: u64) -> String {
    format!("{DIRECTORY}/{seq:020}{TEMPORARY_SUFFIX}")
}

/// Numbers of the files with a final name, ascending.
fn list(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let seq = |name: &String| name.strip_suffix(SUFFIX)?.parse().ok();
    let mut seqs: Vec<u64> = disk.list(DIRECTORY)?.iter().filter_map(seq).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

/// Removes the files that `seq` replaces and what interrupted rolls left. They only take room, so a
/// failure waits for the next roll.
fn remove_before(disk: &dyn Disk, seq: u64) {
    if let Err(error) = try_remove_before(disk, seq) {
        tracing::warn!(%error, newest = seq, "old manifest files could not be removed");
    }
}

fn try_remove_before(disk: &dyn Disk, seq: u64) -> io::Result<()> {
    for name in disk.list(DIRECTORY)? {
        let number = name
            .strip_suffix(SUFFIX)
            .and_then(|digits| digits.parse::<u64>().ok());
        if name.ends_with(TEMPORARY_SUFFIX) || number.is_some_and(|number| number < seq) {
            disk.remove(&format!("{DIRECTORY}/{name}"))?;
        }
    }
    Ok(())
}

/// Encoding into memory has no way to fail.
fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    match minicbor::encode(record, &mut out) {
        Ok(()) => out,
        Err(never) => unreachable!("encoding into memory: {never}"),
    }
}
