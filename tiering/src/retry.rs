//! Dead letters tried again: those that are rows by now go over to the topic's own table.
//!
//! ```text
//! files of the dead-letter table ─▶ rows that are there now ─▶ a file of the topic's own table  ┐ one
//!                                └▶ the others ─────────────▶ a file in the place of the read   ┘ commit
//! ```
//! The commit asserts the snapshot the dead letters were read in, and is made in both tables or in none:
//! so a record is in one of them before and after, and in no moment in both. It moves no offset; both
//! ledgers keep their ends and name it as their last commit, by which an unknown outcome is found out.
//!
//! Rows of a keyed table are not put in late: the key may have newer ones by then.
//!
//! A run goes over the files that are there when it comes to them, some in each step; what a step has
//! looked at, and what it wrote, is not looked at again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::Schema as ArrowSchema;
use arrow_select::filter::filter_record_batch;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataContentType, DataFile};
use roaring::RoaringTreemap;
use uuid::Uuid;

use crate::commit::{Append, CommitOutcome, Part, Replaces};
use crate::convert::to_lake;
use crate::data_file::DataFileWriter;
use crate::maintain::can_rewrite;
use crate::maintain::sorted::Sorted;
use crate::mark::{Ledger, Suspension};
use crate::pass::{PassError, Tierer};
use crate::port::{LoadedTable, PortError};
use crate::rows::{RowBatch, SourceError, column};
use crate::schema::name;
use crate::table::{self, Kind};
use crate::union::lake_files;

/// Files of dead letters that one step reads: their readers are open at the same time.
const FILES_MAX: usize = 16;

/// Who knows how records become rows now.
pub trait Redecoder: Send {
    /// The rows that these dead letters of one partition are by now, in offset order; those that are none
    /// are left out. `dead_letters` has the columns of the dead-letter table, the rows those of a
    /// [`RowBatch`]. May block.
    ///
    /// # Errors
    /// [`SourceError`] ends the step; nothing has changed.
    fn redecode(
        &mut self,
        partition: i32,
        dead_letters: &RecordBatch,
    ) -> Result<RecordBatch, SourceError>;
}

/// One run over the dead letters of a topic.
#[derive(Debug, Default)]
pub struct Retry {
    /// Files that need not be looked at again.
    seen: HashSet<String>,
}

/// What a step of a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryReport {
    /// Dead letters that became rows.
    pub rows: u64,
    /// There are files that no step has looked at.
    pub more: bool,
}

/// What was read, and in which state of the table.
struct Plan {
    dead: LoadedTable,
    snapshot_id: i64,
    locations: BTreeSet<String>,
}

/// The files of a step: rows of the topic's own table, and what stays.
struct Written {
    rows: Option<DataFile>,
    left: Option<DataFile>,
}

impl Tierer {
    /// Tries some of the dead letters again, in one commit. Call it until there are no more.
    ///
    /// # Errors
    /// Nothing was changed, except after [`Unresolved`](crate::commit::CommitError::Unresolved), where
    /// the next step will see.
    pub async fn retry(
        &self,
        run: &mut Retry,
        decoder: &mut dyn Redecoder,
    ) -> Result<RetryReport, PassError> {
        if self.kind == Kind::Keyed {
            return Err(PassError::Late(self.table.to_string()));
        }
        let Some(plan) = self.plan_retry(run).await? else {
            return Ok(RetryReport::default());
        };
        let table = self.port.load(&self.table).await?;
        let ledger = self.ledger(&table.metadata)?;
        let (table, _) = Box::pin(self.fit_schema(table, ledger)).await?;
        let commit_id = self.env.uuid();
        let written = Box::pin(self.sift(&table, &plan, commit_id, decoder)).await?;
        let Some(rows) = written.rows else {
            run.seen.extend(plan.locations);
            return Ok(RetryReport {
                rows: 0,
                more: true,
            });
        };
        let count = rows.record_count();
        let left = written
            .left
            .as_ref()
            .map(|file| file.file_path().to_owned());
        let own = Part {
            table: self.table.clone(),
            table_uuid: table.metadata.uuid(),
            moved: BTreeMap::new(),
            data_files: vec![rows],
            replaces: None,
            erases: BTreeMap::new(),
        };
        let dead = Part {
            table: plan.dead.ident.clone(),
            table_uuid: plan.dead.metadata.uuid(),
            moved: BTreeMap::new(),
            data_files: written.left.into_iter().collect(),
            replaces: Some(Replaces {
                snapshot_id: plan.snapshot_id,
                locations: plan.locations,
            }),
            erases: BTreeMap::new(),
        };
        let append = Append {
            commit_id,
            parts: vec![own, dead],
        };
        match Box::pin(self.committer().commit(append)).await? {
            CommitOutcome::Committed(_) => {
                run.seen.extend(left);
                Ok(RetryReport {
                    rows: count,
                    more: true,
                })
            }
            // The dead letters were rewritten meanwhile: they are looked at where they are now.
            CommitOutcome::Outpaced => Ok(RetryReport {
                rows: 0,
                more: true,
            }),
        }
    }

    /// The next files to look at; `None` if there are none.
    async fn plan_retry(&self, run: &Retry) -> Result<Option<Plan>, PassError> {
        let Some(ident) = &self.dead_letters else {
            return Ok(None);
        };
        let dead = match self.port.load(ident).await {
            Err(PortError::NotFound(_)) => return Ok(None),
            loaded => loaded?,
        };
        let unusable = |reason| Suspension::DeadLetters(Box::new(reason));
        Ledger::read(&dead.metadata, self.identity).map_err(unusable)?;
        let Some(snapshot_id) = dead.metadata.current_snapshot_id() else {
            return Ok(None);
        };
        let files = lake_files(self.port.file_io(), &dead.metadata, snapshot_id).await?;
        let is_ours = |content| content == DataContentType::Data;
        let is_append = Kind::of(&dead.metadata) == Kind::Append;
        if !is_append
            || !can_rewrite(&dead.metadata)
            || !files.iter().all(|file| is_ours(file.content))
        {
            return Err(PassError::NotOurs(ident.to_string()));
        }
        let new = files.into_iter().map(|file| file.location);
        let new = new.filter(|location| !run.seen.contains(location));
        let locations: BTreeSet<_> = new.take(FILES_MAX).collect();
        Ok((!locations.is_empty()).then_some(Plan {
            dead,
            snapshot_id,
            locations,
        }))
    }

    /// Reads the dead letters and writes each to where it belongs now. Nothing is written where none of
    /// them is a row.
    async fn sift(
        &self,
        table: &LoadedTable,
        plan: &Plan,
        commit_id: Uuid,
        decoder: &mut dyn Redecoder,
    ) -> Result<Written, PassError> {
        let io = self.port.file_io();
        let none_dead = RoaringTreemap::new();
        let locations = plan.locations.iter().map(String::as_str);
        let files: Vec<_> = locations.map(|location| (location, &none_dead)).collect();
        let (mut rows, arrow) = self.begin(table, commit_id).await?;
        let (mut left, dead_arrow) = self.begin(&plan.dead, commit_id).await?;
        let mut dead_letters = Sorted::open(io, &files, &dead_arrow).await?;
        let mut is_any = false;
        while let Some(batch) = dead_letters.next().await? {
            for (partition, batch) in by_partition(&batch) {
                let found = decoder.redecode(partition, &batch)?;
                is_any |= found.num_rows() > 0;
                if found.num_rows() > 0 {
                    let found = row_batch(partition, found);
                    rows.write(&to_lake(&found, &arrow)?).await?;
                    let others = others(&batch, &found.rows);
                    left.write(&filter_record_batch(&batch, &others)?).await?;
                } else {
                    left.write(&batch).await?;
                }
            }
        }
        if !is_any {
            return Ok(Written {
                rows: None,
                left: None,
            });
        }
        Ok(Written {
            rows: rows.close().await?,
            left: left.close().await?,
        })
    }

    /// A file of the commit in one of its tables, and the shape of its rows.
    async fn begin(
        &self,
        table: &LoadedTable,
        commit_id: Uuid,
    ) -> Result<(DataFileWriter, Arc<ArrowSchema>), PassError> {
        let metadata = &table.metadata;
        let schema = metadata.current_schema().clone();
        let arrow = Arc::new(schema_to_arrow_schema(&schema)?);
        let location = format!("{}/data/{commit_id}.parquet", metadata.location());
        let order = table::sort_order_id(metadata);
        let writer = DataFileWriter::create(self.port.file_io(), location, schema, order);
        Ok((writer.await?, arrow))
    }
}

/// `batch`, whose rows are sorted by partition, cut where that changes.
fn by_partition(batch: &RecordBatch) -> Vec<(i32, RecordBatch)> {
    let partitions = batch
        .column_by_name(name::PARTITION)
        .and_then(|column| column.as_primitive_opt::<Int32Type>());
    let mut runs = Vec::new();
    let Some(partitions) = partitions else {
        return runs;
    };
    let mut from = 0;
    for run in partitions.values().chunk_by(|one, other| one == other) {
        runs.push((run[0], batch.slice(from, run.len())));
        from += run.len();
    }
    runs
}

/// Offsets of rows or dead letters; those of neither are none.
fn offsets(rows: &RecordBatch) -> &[i64] {
    let column = rows.column_by_name(column::OFFSET);
    let offsets = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    offsets.map_or(&[], |offsets| offsets.values())
}

/// Rows of one partition, which cover no more than themselves.
fn row_batch(partition: i32, rows: RecordBatch) -> RowBatch {
    let (first, last) = match offsets(&rows) {
        [first, .., last] => (*first, *last),
        [only] => (*only, *only),
        [] => (0, 0),
    };
    RowBatch {
        partition,
        first_offset: first,
        end_offset: last + 1,
        rows,
        dead_letters: None,
    }
}

/// Which of the dead letters are not among `rows`.
fn others(dead_letters: &RecordBatch, rows: &RecordBatch) -> BooleanArray {
    let rows: HashSet<i64> = offsets(rows).iter().copied().collect();
    let dead = offsets(dead_letters).iter();
    dead.map(|offset| Some(!rows.contains(offset))).collect()
}
