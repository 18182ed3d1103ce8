//! What the maintenance of a table aims for. Plain numbers; the defaults suit a commit every few
//! seconds.

const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Which snapshots stay, by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinning {
    /// Every snapshot younger than this stays.
    pub keep_all_ms: i64,
    /// One an hour stays up to this age.
    pub hourly_ms: i64,
    /// One a day stays up to this age; none beyond.
    pub daily_ms: i64,
}

/// When manifests become fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merging {
    /// A snapshot with this many small manifests gets them merged.
    pub small_max: usize,
    /// Size of a merged manifest, about; one below half of it is small.
    pub target_bytes: u64,
}

/// When data files become fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Size of a compacted file, about; one of three quarters of it is left as it is. A compaction
    /// holds up to this much Parquet in memory.
    pub target_bytes: u64,
    pub inputs_min: usize,
    /// Files read side by side; each is open with one batch decoded.
    pub inputs_max: usize,
    /// With more small files than this, how often a row has been rewritten counts no more.
    pub small_max: usize,
    /// Delete files of one partition of a keyed table; as many become one.
    pub delete_files_max: usize,
    /// A file of a keyed table with this share of its rows deleted is rewritten without them.
    pub dead_percent: u64,
}

/// When files that nothing names are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleaning {
    /// From the removal of the last snapshot that reaches a file to its deletion: for readers that
    /// planned on that snapshot without a lease.
    pub grace_ms: i64,
    /// Age of an orphan. Must be longer than any writer of the table takes from its first file to
    /// its commit.
    pub orphan_grace_ms: i64,
    /// Age of a metadata file that has left the table's metadata log.
    pub metadata_grace_ms: i64,
    /// Deletions of one step.
    pub batch_max: usize,
    /// Files waiting for their grace; any beyond are found as orphans.
    pub waiting_max: usize,
}

/// How often each kind of step looks for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Compaction and merging.
    pub rewrite_every_ms: i64,
    pub thin_every_ms: i64,
    pub clean_every_ms: i64,
    /// After a step failed.
    pub retry_ms: i64,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub thinning: Thinning,
    pub merging: Merging,
    pub compaction: Compaction,
    pub cleaning: Cleaning,
    pub pace: Pace,
    /// Commit attempts against conflicts before a step gives up.
    pub attempts_max: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            thinning: Thinning {
                keep_all_ms: 15 * MINUTE_MS,
                hourly_ms: DAY_MS,
                daily_ms: 7 * DAY_MS,
            },
            merging: Merging {
                small_max: 100,
                target_bytes: 8 << 20,
            },
            compaction: Compaction {
                target_bytes: 128 << 20,
                inputs_min: 8,
                inputs_max: 64,
                small_max: 256,
                delete_files_max: 16,
                dead_percent: 20,
            },
            cleaning: Cleaning {
                grace_ms: HOUR_MS,
                orphan_grace_ms: 3 * DAY_MS,
                metadata_grace_ms: HOUR_MS,
                batch_max: 1_000,
                waiting_max: 100_000,
            },
            pace: Pace {
                rewrite_every_ms: MINUTE_MS,
                thin_every_ms: 5 * MINUTE_MS,
                clean_every_ms: DAY_MS,
                retry_ms: MINUTE_MS,
            },
            attempts_max: 4,
        }
    }
}
