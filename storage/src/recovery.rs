//! Opening storage: manifests, then the WAL, then a new incarnation.
//!
//! ```text
//! manifest log ─▶ partitions up to covered_to ─┐
//! WAL scan ─────▶ tail runs, producers ────────┴▶ sync what was replayed ─▶ SEAL ─▶ serve
//! ```
//! Only footers are read of slots that were synced, so the time depends on the number of batches,
//! not on their bytes. An entry that does not continue its partition means that durable records are
//! lost: that partition is marked damaged, the others are served.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::appender::Appender;
use crate::ballast::Ballast;
use crate::disk::Disk;
use crate::epochs::Epochs;
use crate::ids::{Incarnation, Offset, PartitionId, Timestamp};
use crate::janitor::Janitor;
use crate::manifest::{self, ManifestLog, PartitionManifest, Record};
use crate::partition::{
    AppendState, BatchRef, LogSettings, LogState, Partition, RowsFiles, Run, Settled, Slot,
    Standing,
};
use crate::producers::Producers;
use crate::rows::RowsReader;
use crate::segment::{self, SegmentReader};
use crate::store::{Caches, FlushMode, FreshId, Options, Store};
use crate::wal::{
    self, Chain, ChainEnd, EntryKind, FooterEntry, Found, SlotPlace, SlotRead, WalFile, WalPool,
    WalSyncer, WalWriter,
};

/// Why storage could not be opened. Nothing was changed that a later attempt could miss.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("disk: {0}")]
    Io(#[from] io::Error),
    #[error("manifest log: {0}")]
    Manifest(#[from] manifest::OpenError),
    #[error("manifest log: {0}")]
    ManifestAppend(#[from] manifest::AppendError),
    #[error("manifest log: {0}")]
    ManifestSync(#[from] manifest::SyncError),
}

/// The parts, ready to be driven (by [`Engine`](crate::engine::Engine), or step by step).
pub struct Opened {
    pub store: Arc<Store>,
    pub appender: Appender,
    pub syncer: Arc<WalSyncer>,
    pub janitor: Janitor,
    pub report: Report,
}

/// What recovery found, for one log line and the curious.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub incarnation_number: u32,
    pub partitions: usize,
    pub slots_replayed: usize,
    pub batches_replayed: u64,
    /// Numbers of durable slots that could not be read.
    pub lost_slots: Vec<u64>,
    /// Partitions with a hole in what was durable.
    pub damaged: Vec<(PartitionId, String)>,
    /// The log was cut at a slot torn by a power cut.
    pub torn: bool,
}

/// Opens what is on `disk`, or starts anew on an empty one.
pub fn open(
    disk: Arc<dyn Disk>,
    options: Options,
    fresh_id: FreshId,
    now: Timestamp,
) -> Result<Opened, OpenError> {
    // A full disk must not keep the broker from starting, reading and deleting.
    Ballast::new(Arc::clone(&disk), options.ballast_bytes).adjust()?;
    segment::prepare(&*disk)?;
    let (mut manifest, recovered) = ManifestLog::open(Arc::clone(&disk))?;
    remove_orphans(&*disk, &manifest)?;
    let caches = Caches::new(Arc::clone(&disk), &options);
    let (pool, names) = WalPool::open(Arc::clone(&disk), options.wal)?;
    let pool = Arc::new(pool);

    let incarnations: Vec<Incarnation> = recovered.incarnations.iter().map(|(id, _)| *id).collect();
    let chain = wal::scan(&*disk, &names, &incarnations)?;
    let mut replay = Replay::new(caches, &manifest, now);
    replay.report.lost_slots.clone_from(&chain.lost);
    let end = replay.run(&chain, &pool)?;
    // Without a sync for each slot there is too much to doubt, and less was promised.
    let doubtful_to = match options.flush_mode {
        FlushMode::Sync => end.next_slot,
        FlushMode::Os => 0,
    };
    chain.sync(&*disk, doubtful_to)?;

    let number = recovered
        .incarnations
        .last()
        .map_or(0, |(_, number)| number + 1);
    let incarnation = Incarnation(fresh_id());
    manifest.append(&[Record::Incarnation {
        id: incarnation,
        number,
    }])?;
    manifest.sync()?;
    let (caches, partitions, mut report) = replay.finish();
    report.incarnation_number = number;
    report.partitions = partitions.len();

    let mut writer = WalWriter::new(Arc::clone(&pool), incarnation, end);
    let syncer = writer.syncer();
    writer.write_note(EntryKind::Seal, &incarnation.0)?;
    syncer.sync()?;
    let store = Store::new(disk, options, pool, caches, fresh_id, number, partitions);
    let store = Arc::new(store);
    let appender = Appender::new(writer, Arc::clone(&store));
    let janitor = Janitor::new(Arc::clone(&store), manifest, Arc::clone(&syncer), now);
    Ok(Opened {
        store,
        appender,
        syncer,
        janitor,
        report,
    })
}

/// Removes complete segment files that no manifest names: a stop came before they were committed,
/// or before they were removed.
fn remove_orphans(disk: &dyn Disk, manifest: &ManifestLog) -> io::Result<()> {
    let named: std::collections::HashSet<_> = manifest
        .partitions()
        .flat_map(|partition| partition.files())
        .collect();
    for file in segment::list(disk)? {
        if !named.contains(&file) {
            segment::remove(disk, file)?;
        }
    }
    Ok(())
}

struct Replay {
    caches: Caches,
    partitions: HashMap<PartitionId, (AppendState, LogState)>,
    now: Timestamp,
    report: Report,
}

impl Replay {
    fn new(caches: Caches, manifest: &ManifestLog, now: Timestamp) -> Self {
        let partitions = manifest
            .partitions()
            .map(|known| (known.partition, from_manifest(known, &caches)))
            .collect();
        Self {
            caches,
            partitions,
            now,
            report: Report::default(),
        }
    }

    /// Replays every slot that counts and claims or releases the WAL's files.
    fn run(&mut self, chain: &Chain, pool: &WalPool) -> Result<ChainEnd, OpenError> {
        let files = claim_files(chain, pool)?;
        let mut end = ChainEnd {
            next_slot: chain.low_slot,
            prev_crc: 0,
        };
        for found in &chain.slots {
            match chain.read(found)? {
                SlotRead::Entries(entries) => {
                    if let Some(file) = &files[found.file] {
                        self.apply(found, file, &entries);
                    }
                }
                SlotRead::Torn => {
                    self.report.torn = true;
                    break;
                }
                SlotRead::Lost(error) => {
                    tracing::error!(slot = found.header.number, %error, "a durable slot is damaged");
                    self.report.lost_slots.push(found.header.number);
                }
            }
            self.report.slots_replayed += 1;
            end = ChainEnd {
                next_slot: found.header.number + 1,
                prev_crc: found.header.header_crc,
            };
        }
        Ok(end)
    }

    fn apply(&mut self, found: &Found, file: &Arc<WalFile>, entries: &[FooterEntry]) {
        let place = SlotPlace {
            number: found.header.number,
            file: Arc::clone(file),
            pos: found.pos,
        };
        let slot = Slot::on_disk(place);
        let batches: Vec<_> = entries.iter().filter(|entry| entry.is_batch()).collect();
        // What was imported need not follow what is before it, and the batches of a run do.
        let together =
            |a: &&FooterEntry, b: &&FooterEntry| a.partition == b.partition && !b.is_imported;
        for run in batches.chunk_by(together) {
            self.apply_run(&slot, run);
        }
    }

    /// Appends what one slot holds of one partition to its tail.
    fn apply_run(&mut self, slot: &Arc<Slot>, entries: &[&FooterEntry]) {
        let id = entries[0].partition;
        let (append, log) = self.partitions.entry(id).or_insert_with(new_partition);
        let uncovered = entries.partition_point(|e| e.batch.last_offset() < log.covered_to);
        let entries = &entries[uncovered..];
        let Some(first) = entries.first() else { return };
        if log.standing != Standing::Open {
            return;
        }
        let has_gap = first.batch.base_offset > append.next_offset;
        // A gap before an import may be as it was, or the place of a slot that was lost.
        if has_gap && !(first.is_imported && self.report.lost_slots.is_empty()) {
            let why = lost(append.next_offset, first.batch.base_offset);
            self.report.damaged.push((id, why.clone()));
            return damage(id, append, log, why);
        }
        self.report.batches_replayed += entries.len() as u64;
        let run = run_of(slot, entries);
        append.next_offset = append.next_offset.max(run.end_offset);
        let epoch = first.batch.partition_leader_epoch;
        let of_producers = entries.iter().filter(|entry| entry.batch.has_producer_id());
        let of_producers = of_producers.map(|entry| (entry.of_producer(), self.now));
        log.recover_run(Arc::new(run), epoch, of_producers);
    }

    fn finish(mut self) -> (Caches, HashMap<PartitionId, Arc<Partition>>, Report) {
        for (id, (append, log)) in &mut self.partitions {
            append.producers = log.settled.producers().clone();
            let rows_to = log.rows.to();
            // Rows are built of what is durable, so they prove that there was more.
            if log.standing == Standing::Open && rows_to > append.next_offset.max(log.log_start) {
                let why = lost(append.next_offset, rows_to);
                self.report.damaged.push((*id, why.clone()));
                damage(*id, append, log, why);
            }
        }
        let whole = |(id, (append, log))| (id, Arc::new(Partition::new(id, append, log)));
        (
            self.caches,
            self.partitions.into_iter().map(whole).collect(),
            self.report,
        )
    }
}

fn lost(first: Offset, end: Offset) -> String {
    let last = end - 1;
    format!("offsets {first} to {last} were durable and cannot be read any more")
}

fn damage(id: PartitionId, append: &mut AppendState, log: &mut LogState, why: String) {
    tracing::error!(partition = %id, why, "partition is damaged");
    append.standing = Standing::Damaged(why.clone());
    log.standing = Standing::Damaged(why);
}

/// Opens the files that hold slots that count, oldest first; the others may be written over.
fn claim_files(chain: &Chain, pool: &WalPool) -> Result<Vec<Option<Arc<WalFile>>>, OpenError> {
    let mut spans: Vec<Option<(u64, u64)>> = vec![None; chain.files.len()];
    for found in &chain.slots {
        let number = found.header.number;
        let span = spans[found.file].get_or_insert((number, number));
        span.1 = number;
    }
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|at| spans[*at].map_or(u64::MAX, |(first, _)| first));
    let mut files = vec![None; spans.len()];
    for at in order {
        let name = &chain.files[at].name;
        match spans[at] {
            Some((first, last)) => files[at] = Some(pool.adopt(name, first, last)?),
            None => pool.release(name, chain.low_slot)?,
        }
    }
    Ok(files)
}

fn run_of(slot: &Arc<Slot>, entries: &[&FooterEntry]) -> Run {
    let first_offset = entries[0].batch.base_offset;
    let last = entries[entries.len() - 1];
    let refs = entries.iter().map(|entry| BatchRef {
        last_delta: (entry.batch.last_offset() - first_offset) as u32,
        pos: entry.pos,
    });
    let max_timestamp = entries
        .iter()
        .map(|e| e.batch.max_timestamp)
        .max()
        .unwrap_or(-1);
    Run::new(
        Arc::clone(slot),
        first_offset,
        max_timestamp,
        refs.collect(),
        last.pos + last.len,
    )
}

fn new_partition() -> (AppendState, LogState) {
    (
        AppendState::new(0, Producers::default()),
        LogState::new(0, LogSettings::default()),
    )
}

fn from_manifest(known: &PartitionManifest, caches: &Caches) -> (AppendState, LogState) {
    let next_offset = known.next_offset.max(known.covered_to);
    let append = AppendState::new(next_offset, Producers::default());
    let mut log = LogState::new(known.log_start, LogSettings::default());
    let reader = |meta: &Arc<_>| {
        Arc::new(SegmentReader::new(
            Arc::clone(&caches.segments),
            known.partition,
            Arc::clone(meta),
        ))
    };
    log.checkpoints = known.checkpoints.clone();
    log.segments = known.segments.iter().map(reader).collect();
    let reader = |meta: &Arc<_>| {
        let cache = Arc::clone(&caches.rows);
        RowsReader::new(cache, known.partition, Arc::clone(meta))
    };
    log.rows = RowsFiles::new(known.rows_to, known.rows.iter().map(reader).collect());
    log.covered_to = known.covered_to;
    (log.high_watermark, log.end) = (append.next_offset, append.next_offset);
    log.created = known.created_incarnation;
    log.epochs = Epochs::new(known.epochs.clone());
    log.settled = Settled::restore(known);
    (append, log)
}
