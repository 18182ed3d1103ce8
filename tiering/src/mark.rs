//! How far a topic is in the lake, read back from the table.
//!
//! Every tier commit leaves two traces, written by the same atomic commit:
//! - in the summary of its snapshot: topic id, tier epoch, and the [start, end) each moved
//!   partition went, each start being the partition's end before;
//! - in the table property [`LEDGER_PROPERTY`]: the ends of *all* partitions, and which snapshot
//!   wrote them.
//!
//! The snapshot is the truth, as far as it still exists: the property counts only while the
//! snapshot it names is an ancestor of the current one, or has been expired behind snapshots that
//! are all newer. Anything else means that somebody took the table back or replaced it, and that
//! continuing would lose or double rows; then tiering suspends with a [`Suspension`].
//! If the property alone is lost, it is rebuilt from an unbroken chain of summaries.

use std::collections::BTreeMap;
use std::fmt;

use iceberg::spec::{Operation, Snapshot, TableMetadata};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::port::LoadedTable;
use crate::table::Kind;

/// Table property that holds the [`Ledger`] as JSON.
pub const LEDGER_PROPERTY: &str = "tidelog.tier";

/// Keys in a tier commit's snapshot summary.
pub mod summary_key {
    pub const TOPIC_ID: &str = "tidelog.topic-id";
    pub const EPOCH: &str = "tidelog.tier-epoch";
    pub const COMMIT_ID: &str = "tidelog.commit-id";
    /// JSON object: partition → [start, end).
    pub const MOVED: &str = "tidelog.moved";
    /// Present on a commit that resumed a suspended table: its ends follow no earlier ones.
    pub const RESET: &str = "tidelog.reset";
}

const LEDGER_VERSION: u32 = 1;

/// Who tiers: the topic, and the epoch that fences earlier owners of the same topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicIdentity {
    pub topic_id: Uuid,
    /// Grows with every change of the owner; a lower epoch than the table's may not commit.
    pub epoch: i64,
}

/// Offsets of one partition, end exclusive. On disk `[start, end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, i64)", into = "(i64, i64)")]
pub struct OffsetRange {
    pub start: i64,
    pub end: i64,
}

impl From<(i64, i64)> for OffsetRange {
    fn from((start, end): (i64, i64)) -> Self {
        Self { start, end }
    }
}

impl From<OffsetRange> for (i64, i64) {
    fn from(range: OffsetRange) -> Self {
        (range.start, range.end)
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// What the table says about its own filling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ledger {
    pub version: u32,
    pub topic_id: Uuid,
    pub epoch: i64,
    /// Highest field id the topic itself has put into the schema.
    pub field_id_to: i32,
    /// Partition → first offset not in the lake.
    pub ends: BTreeMap<i32, i64>,
    /// The commit that wrote this ledger; absent on a table nothing was tiered to yet.
    pub last: Option<LastCommit>,
}

/// The snapshot of the newest tier commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastCommit {
    pub commit_id: Uuid,
    pub snapshot_id: i64,
    pub sequence_number: i64,
}

/// How far the lake is, and in which state of the table a reader finds that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierMark {
    /// Partition → first offset not in the lake.
    pub ends: BTreeMap<i32, i64>,
    /// The table's current snapshot, ours or a later foreign one.
    pub snapshot_id: Option<i64>,
    /// The metadata file the mark was read from.
    pub metadata_location: String,
    /// When the last tier commit was made, ms since 1970; `None` before the first, and when its
    /// snapshot is expired.
    pub committed_ms: Option<i64>,
}

impl TierMark {
    /// The mark of a table whose ledger this is.
    pub fn of(ledger: &Ledger, table: &LoadedTable) -> Self {
        let last = ledger
            .last
            .and_then(|last| table.metadata.snapshot_by_id(last.snapshot_id));
        Self {
            ends: ledger.ends.clone(),
            snapshot_id: table.metadata.current_snapshot_id(),
            metadata_location: table.metadata_location.clone(),
            committed_ms: last.map(|snapshot| snapshot.timestamp_ms()),
        }
    }
}

/// Why tiering of a topic stands still until somebody decides.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Suspension {
    #[error("the table was not made for a topic")]
    NotATopicTable,
    #[error("the table belongs to topic {found}")]
    ForeignTopic { found: Uuid },
    #[error("epoch {found} has taken over, this is epoch {own}")]
    Fenced { own: i64, found: i64 },
    #[error("the table was replaced: its uuid is now {found}")]
    TableReplaced { found: Uuid },
    #[error(
        "the table was taken back: snapshot {expected} of the last tier commit is no ancestor of \
         the current one"
    )]
    RolledBack { expected: i64 },
    #[error("the tier ledger cannot be used: {reason}")]
    BadLedger { reason: String },
    #[error(
        "partition {partition} lacks offsets {lake_end}..{log_start}: gone from the log before \
         they were tiered"
    )]
    Gap {
        partition: i32,
        lake_end: i64,
        log_start: i64,
    },
    #[error("the table was not made for the kind of topic this is")]
    OtherKind,
    #[error(
        "snapshot {snapshot_id} ({operation}) changed rows of a keyed table; it is not known which \
         keys it meant"
    )]
    ForeignRows { snapshot_id: i64, operation: String },
    #[error(
        "snapshot {snapshot_id}, which came after the last tier commit of a keyed table, is \
         expired: it is not known what it did to rows"
    )]
    HistoryGone { snapshot_id: i64 },
    #[error("{location} cannot be a file of a keyed table: {reason}")]
    ForeignFile { location: String, reason: String },
    #[error(
        "the row of partition {partition}, offset {offset} was replaced and is not in the table"
    )]
    RowMissing { partition: i32, offset: u64 },
    #[error("the topic's schema does not fit the table: {0}")]
    Schema(#[from] crate::schema::SchemaError),
    #[error("dead letters have no place to go: {0}")]
    DeadLetters(Box<Suspension>),
}

impl Ledger {
    /// The ledger of a new table of `topic`.
    pub fn new(identity: TopicIdentity, field_id_to: i32) -> Self {
        Self {
            version: LEDGER_VERSION,
            topic_id: identity.topic_id,
            epoch: identity.epoch,
            field_id_to,
            ends: BTreeMap::new(),
            last: None,
        }
    }

    /// The ledger of a table, checked against its snapshots and for `identity`.
    ///
    /// # Errors
    /// A [`Suspension`] that says why this identity may not continue on this table.
    pub fn read(metadata: &TableMetadata, identity: TopicIdentity) -> Result<Self, Suspension> {
        let ledger = Self::read_any_place(metadata, identity)?;
        ledger.check_place(metadata)?;
        if Kind::of(metadata) == Kind::Keyed {
            ledger.check_rows(metadata)?;
        }
        Ok(ledger)
    }

    /// Like [`Ledger::read`], without asking whether the table still stands where the ledger says:
    /// for resuming after somebody has decided.
    pub fn read_any_place(
        metadata: &TableMetadata,
        identity: TopicIdentity,
    ) -> Result<Self, Suspension> {
        let ledger = match metadata.properties().get(LEDGER_PROPERTY) {
            Some(json) => Self::parse(json)?,
            None => rebuild(metadata)?,
        };
        if ledger.topic_id != identity.topic_id {
            return Err(Suspension::ForeignTopic {
                found: ledger.topic_id,
            });
        }
        if ledger.epoch > identity.epoch {
            return Err(Suspension::Fenced {
                own: identity.epoch,
                found: ledger.epoch,
            });
        }
        Ok(ledger)
    }

    /// The JSON kept in [`LEDGER_PROPERTY`].
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    fn parse(json: &str) -> Result<Self, Suspension> {
        let ledger: Self = serde_json::from_str(json).map_err(|error| Suspension::BadLedger {
            reason: error.to_string(),
        })?;
        if ledger.version != LEDGER_VERSION {
            let reason = format!("version {} is not known here", ledger.version);
            return Err(Suspension::BadLedger { reason });
        }
        Ok(ledger)
    }

    /// That nobody else changed rows since the last tier commit: rewriting is all that others may
    /// do to a keyed table.
    fn check_rows(&self, metadata: &TableMetadata) -> Result<(), Suspension> {
        let last = self.last.map(|last| last.snapshot_id);
        let mut id = metadata.current_snapshot_id();
        while let Some(snapshot_id) = id.filter(|_| id != last) {
            let snapshot = metadata.snapshot_by_id(snapshot_id);
            let snapshot = snapshot.ok_or(Suspension::HistoryGone { snapshot_id })?;
            let operation = &snapshot.summary().operation;
            if *operation != Operation::Replace {
                return Err(Suspension::ForeignRows {
                    snapshot_id,
                    operation: operation.as_str().to_owned(),
                });
            }
            id = snapshot.parent_snapshot_id();
        }
        Ok(())
    }

    fn check_place(&self, metadata: &TableMetadata) -> Result<(), Suspension> {
        let Some(last) = self.last else { return Ok(()) };
        let Some(snapshot) = find_last(metadata, last)? else {
            return Ok(());
        };
        let trace = Trace::of(snapshot)?.filter(|trace| {
            trace.topic_id == self.topic_id
                && trace.commit_id == last.commit_id
                && trace
                    .moved
                    .iter()
                    .all(|(p, moved)| self.ends.get(p) == Some(&moved.end))
        });
        match trace {
            Some(_) => Ok(()),
            None => Err(Suspension::BadLedger {
                reason: format!("snapshot {} tells another story", last.snapshot_id),
            }),
        }
    }
}

/// The snapshot of the last tier commit, or `None` when it was expired.
///
/// Sequence numbers grow along every line of ancestors, so the first ancestor not newer than the
/// sought one is either it, or proof that it is on another line.
fn find_last(metadata: &TableMetadata, last: LastCommit) -> Result<Option<&Snapshot>, Suspension> {
    let rolled_back = Suspension::RolledBack {
        expected: last.snapshot_id,
    };
    let mut id = metadata.current_snapshot_id();
    while let Some(current) = id {
        let Some(snapshot) = metadata.snapshot_by_id(current) else {
            return Ok(None);
        };
        if snapshot.snapshot_id() == last.snapshot_id {
            return Ok(Some(snapshot));
        }
        if snapshot.sequence_number() <= last.sequence_number {
            return Err(rolled_back);
        }
        id = snapshot.parent_snapshot_id();
    }
    Err(rolled_back)
}

/// What a tier commit wrote into its snapshot's summary.
#[derive(Debug)]
struct Trace {
    topic_id: Uuid,
    epoch: i64,
    commit_id: Uuid,
    moved: BTreeMap<i32, OffsetRange>,
    reset: bool,
}

impl Trace {
    /// `None` for a snapshot that is not a tier commit.
    fn of(snapshot: &Snapshot) -> Result<Option<Self>, Suspension> {
        let properties = &snapshot.summary().additional_properties;
        let Some(topic_id) = properties.get(summary_key::TOPIC_ID) else {
            return Ok(None);
        };
        let text = |key| properties.get(key).map_or("", String::as_str);
        let parse = || {
            Some(Self {
                topic_id: topic_id.parse().ok()?,
                epoch: text(summary_key::EPOCH).parse().ok()?,
                commit_id: text(summary_key::COMMIT_ID).parse().ok()?,
                moved: serde_json::from_str(text(summary_key::MOVED)).ok()?,
                reset: properties.contains_key(summary_key::RESET),
            })
        };
        parse().map(Some).ok_or_else(|| Suspension::BadLedger {
            reason: format!(
                "the summary of snapshot {} is unreadable",
                snapshot.snapshot_id()
            ),
        })
    }
}

/// A ledger from the summaries alone. Needs every ancestor back to the first, or to a reset: a
/// partition that moved only in an expired snapshot would be missed otherwise.
fn rebuild(metadata: &TableMetadata) -> Result<Ledger, Suspension> {
    let mut ledger: Option<Ledger> = None;
    let mut starts: BTreeMap<i32, i64> = BTreeMap::new();
    let mut id = metadata.current_snapshot_id();
    while let Some(current) = id {
        let Some(snapshot) = metadata.snapshot_by_id(current) else {
            let reason = "the property is gone and older snapshots are expired".to_owned();
            return Err(if ledger.is_some() {
                Suspension::BadLedger { reason }
            } else {
                Suspension::NotATopicTable
            });
        };
        if let Some(trace) = Trace::of(snapshot)? {
            let reset = trace.reset;
            let newest = ledger.get_or_insert_with(|| newest_ledger(metadata, snapshot, &trace));
            fold(newest, &mut starts, trace)?;
            if reset {
                break;
            }
        }
        id = snapshot.parent_snapshot_id();
    }
    ledger.ok_or(Suspension::NotATopicTable)
}

fn newest_ledger(metadata: &TableMetadata, snapshot: &Snapshot, trace: &Trace) -> Ledger {
    let identity = TopicIdentity {
        topic_id: trace.topic_id,
        epoch: trace.epoch,
    };
    Ledger {
        last: Some(LastCommit {
            commit_id: trace.commit_id,
            snapshot_id: snapshot.snapshot_id(),
            sequence_number: snapshot.sequence_number(),
        }),
        ..Ledger::new(identity, metadata.last_column_id())
    }
}

/// Adds an older commit below those already folded: its ends must be their starts.
fn fold(
    ledger: &mut Ledger,
    starts: &mut BTreeMap<i32, i64>,
    older: Trace,
) -> Result<(), Suspension> {
    if older.topic_id != ledger.topic_id {
        return Err(Suspension::ForeignTopic {
            found: older.topic_id,
        });
    }
    for (partition, range) in older.moved {
        match starts.insert(partition, range.start) {
            None => drop(ledger.ends.insert(partition, range.end)),
            Some(start) if start == range.end => {}
            Some(start) => {
                return Err(Suspension::BadLedger {
                    reason: format!(
                        "partition {partition} ends at {} and goes on at {start}",
                        range.end
                    ),
                });
            }
        }
    }
    Ok(())
}
