//! What all of storage's parts share: the disk, the partitions, the budgets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::compaction::CompactionOptions;
use crate::disk::Disk;
use crate::ids::{PartitionId, TopicId};
use crate::partition::{LogSettings, Partition, Standing, TailMemory};
use crate::rows::RowsCache;
use crate::segment::SegmentCache;
use crate::segment::merge::MergePolicy;
use crate::wal::{WalOptions, WalPool};

/// When written bytes count as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushMode {
    /// Once a sync covered them.
    Sync,
    /// Once the operating system has them, as Kafka does by default: a power cut may take
    /// acknowledged records back.
    Os,
}

/// How storage is run. Sizes are in bytes, times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub wal: WalOptions,
    pub flush_mode: FlushMode,
    /// Slots kept in memory for readers at the tail.
    pub tail_memory_bytes: usize,
    /// A group of appends becomes a slot at this size; a larger batch goes alone.
    pub slot_bytes_max: usize,
    /// While a sync is under way, a slot is written only once this much waits: smaller ones would
    /// be padding, and could not be synced sooner anyway.
    pub slot_bytes_while_syncing: usize,
    /// A partition with this much uncovered gets a segment of its own when the WAL is flushed.
    pub segment_bytes_min: u64,
    /// A segment of its own is cut at this size.
    pub segment_bytes_max: u64,
    /// Bookkeeping of the tail in memory; more makes the oldest WAL file be flushed.
    pub tail_index_bytes_max: u64,
    pub merge: MergePolicy,
    pub compaction: CompactionOptions,
    /// Producers silent for longer are forgotten.
    pub producer_idle_ms_max: i64,
    /// Time between two looks at retention.
    pub retention_interval_ms: i64,
    /// Removed segment files stay this long for readers that planned to read them.
    pub removal_grace_ms: i64,
    /// Kept free for manifests and deletes when the disk is full.
    pub ballast_bytes: u64,
    pub open_files_max: usize,
    pub index_cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wal: WalOptions {
                file_bytes: 64 << 20,
                budget_bytes: 8 << 30,
                mode: crate::disk::WriteMode::Direct,
            },
            flush_mode: FlushMode::Sync,
            tail_memory_bytes: 128 << 20,
            slot_bytes_max: 4 << 20,
            slot_bytes_while_syncing: 256 << 10,
            segment_bytes_min: 16 << 20,
            segment_bytes_max: 256 << 20,
            tail_index_bytes_max: 64 << 20,
            merge: MergePolicy::default(),
            compaction: CompactionOptions::default(),
            producer_idle_ms_max: 86_400_000,
            retention_interval_ms: 300_000,
            removal_grace_ms: 60_000,
            ballast_bytes: 16 << 20,
            open_files_max: 512,
            index_cache_bytes: 32 << 20,
        }
    }
}

/// Source of fresh 128-bit ids.
pub type FreshId = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// Bytes written since the start, by purpose.
#[derive(Debug, Default)]
pub struct Written {
    pub wal: AtomicU64,
    pub segments: AtomicU64,
    pub rows: AtomicU64,
    pub syncs: AtomicU64,
    /// Bytes of batches appended; what the others are measured against.
    pub appended: AtomicU64,
}

/// Headers of rows files' blocks kept in memory, in bytes.
const ROWS_LAYOUT_BYTES_MAX: usize = 16 << 20;

/// What readers of files share.
#[derive(Clone)]
pub(crate) struct Caches {
    pub segments: Arc<SegmentCache>,
    pub rows: Arc<RowsCache>,
}

impl Caches {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: &Options) -> Self {
        let Options {
            open_files_max,
            index_cache_bytes,
            ..
        } = *options;
        let segments = Arc::new(SegmentCache::new(disk, open_files_max, index_cache_bytes));
        let rows = Arc::new(RowsCache::new(Arc::clone(&segments), ROWS_LAYOUT_BYTES_MAX));
        Self { segments, rows }
    }
}

/// Shared by the appender, the syncer, the janitor and all readers.
pub struct Store {
    pub disk: Arc<dyn Disk>,
    pub options: Options,
    pub pool: Arc<WalPool>,
    pub memory: Arc<TailMemory>,
    pub cache: Arc<SegmentCache>,
    pub rows_cache: Arc<RowsCache>,
    pub fresh_id: FreshId,
    /// Number of the incarnation that this process began with.
    pub incarnation_number: u32,
    /// Number of the present one; leader epochs count from a partition's own first one.
    present_incarnation: AtomicU32,
    pub written: Written,
    partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
}

impl Store {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        pool: Arc<WalPool>,
        caches: Caches,
        fresh_id: FreshId,
        incarnation_number: u32,
        partitions: HashMap<PartitionId, Arc<Partition>>,
    ) -> Self {
        Self {
            disk,
            options,
            pool,
            memory: Arc::new(TailMemory::new(options.tail_memory_bytes)),
            cache: caches.segments,
            rows_cache: caches.rows,
            fresh_id,
            incarnation_number,
            present_incarnation: AtomicU32::new(incarnation_number),
            written: Written::default(),
            partitions: RwLock::new(partitions),
        }
    }

    pub fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.read().get(&id).cloned()
    }

    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }

    /// The partition, made empty if it is new. `created` is the incarnation number under which its
    /// topic (or this part of it) was made.
    pub fn ensure_partition(
        &self,
        id: PartitionId,
        created: u32,
        settings: LogSettings,
    ) -> Arc<Partition> {
        let mut partitions = self.partitions.write();
        let partition = partitions
            .entry(id)
            .or_insert_with(|| Arc::new(Partition::empty(id, settings)));
        partition.claim(created, self.present_incarnation(), settings);
        Arc::clone(partition)
    }

    /// Number of the present incarnation: it rises with each start, and whenever storage is opened
    /// again after a failure.
    pub fn present_incarnation(&self) -> u32 {
        self.present_incarnation.load(Ordering::Acquire)
    }

    /// A new incarnation leads all partitions from now on.
    pub(crate) fn begin_incarnation(&self, number: u32) {
        self.present_incarnation.store(number, Ordering::Release);
        for partition in self.partitions() {
            partition.begin_epoch(number);
        }
    }

    /// Takes a topic out of service; answers its partitions, whose files the janitor then removes.
    pub(crate) fn take_topic(&self, topic: TopicId) -> Vec<Arc<Partition>> {
        self.take(|id| id.topic == topic)
    }

    /// Takes out every partition of a topic that `is_known` does not know.
    pub(crate) fn take_unknown(&self, is_known: impl Fn(TopicId) -> bool) -> Vec<Arc<Partition>> {
        self.take(|id| !is_known(id.topic))
    }

    fn take(&self, chosen: impl Fn(&PartitionId) -> bool) -> Vec<Arc<Partition>> {
        let mut partitions = self.partitions.write();
        let ids: Vec<_> = partitions.keys().filter(|id| chosen(id)).copied().collect();
        let taken: Vec<_> = ids.iter().filter_map(|id| partitions.remove(id)).collect();
        drop(partitions);
        for partition in &taken {
            partition.set_standing(Standing::Deleted);
            partition.drop_data();
        }
        taken
    }

    pub(crate) fn count_sync(&self) {
        self.written.syncs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_segment(&self, bytes: u64) {
        self.written.segments.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_rows(&self, bytes: u64) {
        self.written.rows.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_slot(&self, slot: &[u8], appended_bytes: usize) {
        self.written
            .wal
            .fetch_add(slot.len() as u64, Ordering::Relaxed);
        self.written
            .appended
            .fetch_add(appended_bytes as u64, Ordering::Relaxed);
    }
}
