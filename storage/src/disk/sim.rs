//! A disk in memory that keeps only what was synced.
//!
//! For power-cut tests. Each changing call is a *step*; a script can cut the power in the middle
//! of any step, after which every call fails. [`SimDisk::after_power_cut`] is what the next start
//! finds: synced bytes and names whole; of unsynced writes an arbitrary subset of sectors; of
//! unsynced name changes in a directory an arbitrary prefix (file systems journal names in order).
//! The same seed gives the same wreck. Steps may also fail while the power stays on: see [`Fault`].

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fault::{End, Fault, fault_injected, power_is_off};
use super::{Disk, DiskFile, WriteMode};

/// Unit in which a torn write survives, in bytes.
const SECTOR: usize = 512;

type FileKey = u64;

#[derive(Default, Clone)]
struct FileState {
    /// What a reader sees now.
    live: Vec<u8>,
    /// What was synced.
    durable: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Put(String, FileKey),
    Remove(String),
}

#[derive(Default)]
struct State {
    files: HashMap<FileKey, FileState>,
    next_key: FileKey,
    names: BTreeMap<String, FileKey>,
    durable_names: BTreeMap<String, FileKey>,
    pending_names: BTreeMap<String, Vec<NameChange>>,
    steps: u64,
    cut_at: Option<u64>,
    failing: Option<(RangeInclusive<u64>, Fault)>,
    faults: u64,
    failing_sync: Option<u64>,
    syncs: u64,
    capacity: Option<u64>,
    dead: bool,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power in the middle of step `step` (counted from 1, over this disk's life).
    pub fn cut_power_at(&self, step: u64) {
        self.state.lock().cut_at = Some(step);
    }

    /// Makes the n-th file sync from now fail; what it covered stays unsynced.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state.lock();
        state.failing_sync = Some(state.syncs + nth);
    }

    /// Makes these steps fail (counted from 1, over this disk's life), until other ones are given.
    pub fn fail_steps(&self, steps: RangeInclusive<u64>, fault: Fault) {
        self.state.lock().failing = Some((steps, fault));
    }

    /// No step fails any more.
    pub fn heal(&self) {
        self.state.lock().failing = None;
    }

    /// Steps that failed so far.
    pub fn faults(&self) -> u64 {
        self.state.lock().faults
    }

    /// Limits all live bytes; writes past it answer `StorageFull`. `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.state.lock().steps
    }

    /// File syncs so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// True once the power was cut.
    pub fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Cuts the power now, between two steps.
    pub fn kill(&self) {
        self.state.lock().dead = true;
    }

    /// The disk as the next start finds it; this one is dead from now on.
    pub fn after_power_cut(&self, seed: u64) -> SimDisk {
        let mut state = self.state.lock();
        state.dead = true;
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut names = state.durable_names.clone();
        for changes in state.pending_names.values() {
            let kept = dice.below(changes.len() as u64 + 1) as usize;
            changes[..kept]
                .iter()
                .for_each(|change| apply_name(&mut names, change));
        }
        let mut keys: Vec<_> = names.values().copied().collect();
        keys.sort_unstable();
        keys.dedup();
        let files = keys
            .into_iter()
            .map(|key| (key, state.files[&key].torn(&mut dice)))
            .collect();
        let next = State {
            files,
            next_key: state.next_key,
            durable_names: names.clone(),
            names,
            ..State::default()
        };
        SimDisk {
            state: Arc::new(Mutex::new(next)),
        }
    }

    /// The disk as the next start finds it after a process kill: the page cache survives, unsynced
    /// as before, and so does a power cut planned for later.
    pub fn after_process_kill(&self) -> SimDisk {
        let mut state = self.state.lock();
        state.dead = true;
        let next = State {
            files: state.files.clone(),
            next_key: state.next_key,
            durable_names: state.durable_names.clone(),
            names: state.names.clone(),
            pending_names: state.pending_names.clone(),
            steps: state.steps,
            cut_at: state.cut_at.filter(|at| *at > state.steps),
            failing: state.failing.clone(),
            faults: state.faults,
            ..State::default()
        };
        SimDisk {
            state: Arc::new(Mutex::new(next)),
        }
    }

    /// Flips one bit of a file, on the medium as well as in view: silent corruption.
    pub fn flip_bit(&self, path: &str, byte: u64) {
        let mut state = self.state.lock();
        let key = state.names[path];
        let file = state.files.get_mut(&key).expect("named files exist");
        for copy in [&mut file.live, &mut file.durable] {
            if let Some(b) = copy.get_mut(byte as usize) {
                *b ^= 1;
            }
        }
    }
}

impl FileState {
    fn write(&mut self, pos: u64, bytes: &[u8]) {
        write_into(&mut self.live, pos, bytes);
        self.pending.push((pos, bytes.to_vec()));
    }

    fn sync(&mut self) {
        for (pos, bytes) in self.pending.drain(..) {
            write_into(&mut self.durable, pos, &bytes);
        }
    }

    /// Durable bytes plus an arbitrary subset of the unsynced sectors.
    fn torn(&self, dice: &mut Dice) -> FileState {
        let mut bytes = self.durable.clone();
        for (pos, written) in &self.pending {
            // Whole writes survive or vanish often; tearing inside one is the rarer case.
            match dice.below(3) {
                0 => {}
                1 => write_into(&mut bytes, *pos, written),
                _ => {
                    for (i, sector) in written.chunks(SECTOR).enumerate() {
                        if dice.below(2) == 0 {
                            write_into(&mut bytes, pos + (i * SECTOR) as u64, sector);
                        }
                    }
                }
            }
        }
        FileState {
            live: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        }
    }
}

fn write_into(target: &mut Vec<u8>, pos: u64, bytes: &[u8]) {
    let end = pos as usize + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[pos as usize..end].copy_from_slice(bytes);
}

fn apply_name(names: &mut BTreeMap<String, FileKey>, change: &NameChange) {
    match change {
        NameChange::Put(name, key) => {
            names.insert(name.clone(), *key);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

fn dir_of(path: &str) -> String {
    path.rsplit_once('/')
        .map_or(String::new(), |(dir, _)| dir.to_owned())
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(power_is_off())
        } else {
            Ok(())
        }
    }

    /// Counts a step; its effect takes place unless this is an error.
    fn step(&mut self) -> io::Result<End> {
        match self.begin()? {
            End::Fails(Fault::Undone | Fault::Lost) => Err(fault_injected()),
            end => Ok(end),
        }
    }

    /// Counts a step, and says how it is to end.
    fn begin(&mut self) -> io::Result<End> {
        self.alive()?;
        self.steps += 1;
        if self.cut_at == Some(self.steps) {
            self.dead = true;
            return Ok(End::PowerGoes);
        }
        let fault = match &self.failing {
            Some((steps, fault)) if steps.contains(&self.steps) => *fault,
            _ => return Ok(End::Well),
        };
        self.faults += 1;
        Ok(End::Fails(fault))
    }

    fn key(&self, path: &str) -> io::Result<FileKey> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::Error::new(ErrorKind::NotFound, path))
    }

    fn change_name(&mut self, change: NameChange) {
        apply_name(&mut self.names, &change);
        let (NameChange::Put(path, _) | NameChange::Remove(path)) = &change;
        self.pending_names
            .entry(dir_of(path))
            .or_default()
            .push(change);
    }

    fn room_for(&self, grow: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let used: u64 = self
            .names
            .values()
            .map(|k| self.files[k].live.len() as u64)
            .sum();
        if used + grow > capacity {
            Err(ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn new_file(&mut self, path: &str, content: FileState) -> io::Result<FileKey> {
        if self.names.contains_key(path) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, path));
        }
        self.next_key += 1;
        let key = self.next_key;
        self.files.insert(key, content);
        self.change_name(NameChange::Put(path.to_owned(), key));
        Ok(key)
    }
}

struct SimFile {
    disk: SimDisk,
    key: FileKey,
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], pos: u64) -> io::Result<()> {
        let state = self.disk.state.lock();
        state.alive()?;
        let live = &state.files[&self.key].live;
        let source = (pos as usize)
            .checked_add(buf.len())
            .and_then(|end| live.get(pos as usize..end));
        buf.copy_from_slice(source.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], pos: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let end = state.step()?;
        let have = state.files[&self.key].live.len() as u64;
        state.room_for((pos + buf.len() as u64).saturating_sub(have))?;
        state
            .files
            .get_mut(&self.key)
            .ok_or(ErrorKind::NotFound)?
            .write(pos, buf);
        end.finish()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let end = state.begin()?;
        state.syncs += 1;
        if state.failing_sync == Some(state.syncs) {
            return Err(io::Error::other("sync failed (injected)"));
        }
        let file = state.files.get_mut(&self.key);
        let file = file.ok_or(ErrorKind::NotFound)?;
        match end {
            End::Well | End::Fails(Fault::Done) => file.sync(),
            End::Fails(Fault::Lost) => file.pending.clear(),
            End::Fails(Fault::Undone) | End::PowerGoes => {}
        }
        end.finish()
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        state.alive()?;
        Ok(state.files[&self.key].live.len() as u64)
    }
}

impl SimDisk {
    fn file(&self, key: FileKey) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            key,
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let end = state.step()?;
        let key = state.new_file(path, FileState::default())?;
        end.finish().map(|()| self.file(key))
    }

    fn create_zeroed(&self, path: &str, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let end = state.step()?;
        state.room_for(len)?;
        let zeros = vec![0; len as usize];
        state.new_file(
            path,
            FileState {
                live: zeros.clone(),
                durable: zeros,
                pending: Vec::new(),
            },
        )?;
        end.finish()
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        state.alive()?;
        state.key(path).map(|key| self.file(key))
    }

    fn open_write(&self, path: &str, _: WriteMode) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let end = state.step()?;
        let key = state.key(from)?;
        if state.names.contains_key(to) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, to));
        }
        state.change_name(NameChange::Put(to.to_owned(), key));
        state.change_name(NameChange::Remove(from.to_owned()));
        end.finish()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let end = state.step()?;
        if state.names.contains_key(path) {
            state.change_name(NameChange::Remove(path.to_owned()));
        }
        end.finish()
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        // Directories are implied by the paths in them.
        self.state.lock().step()?.finish()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.alive()?;
        let inside = |path: &&String| dir_of(path) == dir;
        let name = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
        Ok(state.names.keys().filter(inside).map(name).collect())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let end = state.step()?;
        if end == End::PowerGoes {
            return end.finish();
        }
        for change in state.pending_names.remove(dir).unwrap_or_default() {
            apply_name(&mut state.durable_names, &change);
        }
        end.finish()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.alive()?;
        let used: u64 = state
            .names
            .values()
            .map(|k| state.files[k].live.len() as u64)
            .sum();
        Ok(state.capacity.unwrap_or(1 << 40).saturating_sub(used))
    }
}

/// xorshift64*: small, seeded, good enough to tear a disk.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}
