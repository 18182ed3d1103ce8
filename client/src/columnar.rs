//! Rows by ColumnarFetch: runs of messages become batches of one schema.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use tidelog_arrow_messages::read_rows;
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::ext::columnar_fetch::{
    ColumnarFetchRequest, FetchPartition, FetchTopic, PartitionRows, Run,
};

use crate::api::Ours;
use crate::columns::Columns;
use crate::conform::conform;
use crate::error::{BrokerError, Error, Result, said};
use crate::fault::RowsFault;
use crate::filter::RowFilter;
use crate::source::{Answer, Ask, Limits, Progress, damaged, skip_ahead};
use crate::stream::Rows;
use crate::table::Table;

/// The system column that says where a row stands.
const OFFSET_COLUMN: &str = "_offset";
/// What rows that are changes have: up to two of them share an offset.
const CHANGE_COLUMN: &str = "_change";
const ROWS_OF_CHANGE_MAX: i64 = 2;
/// Bytes that a null takes in a column, at least nearly.
const NULL_BYTES: usize = 8;

/// Columns of a table, by ColumnarFetch.
#[derive(Debug)]
pub(crate) struct Columnar {
    table: Table,
    columns: Columns,
    filter: Option<RowFilter>,
    limits: Limits,
    /// How many rows an offset may have.
    rows_of_offset_max: i64,
}

impl Columnar {
    pub(crate) fn new(
        table: Table,
        columns: Columns,
        filter: Option<RowFilter>,
        limits: Limits,
    ) -> Self {
        let schemas = table.schemas();
        let has_change = |schema: &SchemaRef| schema.column_with_name(CHANGE_COLUMN).is_some();
        let is_changelog = schemas.iter().any(has_change);
        Self {
            table,
            columns,
            filter,
            limits,
            rows_of_offset_max: if is_changelog { ROWS_OF_CHANGE_MAX } else { 1 },
        }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) async fn read(&self, address: &str, asks: &[Ask]) -> Result<Vec<Answer>> {
        let columns = match asks.iter().any(|ask| ask.with_offsets) {
            false => self.columns.clone(),
            true => self
                .columns
                .and(&self.table.schemas(), OFFSET_COLUMN)
                .ok_or_else(|| self.table.unusable("its rows do not say their offsets"))?,
        };
        let request = Ours(self.request(&columns, asks));
        let link = self.table.client().link(address);
        let answer = link.call(&request, self.limits.max_wait).await?;
        BrokerError::check("ColumnarFetch", answer.error_code, || {
            said(self.table.name(), answer.error_message.as_deref())
        })?;
        let mut answers = Vec::with_capacity(asks.len());
        for topic in answer.topics {
            BrokerError::check("ColumnarFetch", topic.error_code, || {
                said(self.table.name(), topic.error_message.as_deref())
            })?;
            for partition in topic.partitions {
                if let Some(ask) = asks.iter().find(|ask| ask.partition == partition.partition) {
                    let outcome = self.progress(ask, &columns, partition).await;
                    let partition = ask.partition;
                    answers.push(Answer { partition, outcome });
                }
            }
        }
        Ok(answers)
    }

    fn request(&self, columns: &Columns, asks: &[Ask]) -> ColumnarFetchRequest {
        let partitions = asks.iter().map(|ask| FetchPartition {
            partition: ask.partition,
            current_leader_epoch: ask.leader_epoch,
            fetch_offset: ask.offset,
            partition_max_bytes: self.limits.partition_max_bytes,
        });
        let topic = FetchTopic {
            topic_id: self.table.topic_id(),
            projection: Some(columns.wire()),
            filter: self.filter.as_ref().map(RowFilter::wire),
            partitions: partitions.collect(),
        };
        ColumnarFetchRequest {
            max_wait_ms: self.limits.max_wait_ms(),
            min_rows: self.limits.min_rows,
            max_bytes: self.limits.max_bytes,
            topics: vec![topic],
        }
    }

    async fn progress(
        &self,
        ask: &Ask,
        columns: &Columns,
        answer: PartitionRows,
    ) -> Result<Progress> {
        if answer.error_code == ErrorCode::OffsetOutOfRange.code()
            && let Some(progress) = skip_ahead(&self.table, ask).await?
        {
            return Ok(progress);
        }
        BrokerError::check("ColumnarFetch", answer.error_code, || {
            let (table, offset) = (self.table.name(), ask.offset);
            let place = format!("table {table}, partition {} at {offset}", ask.partition);
            said(&place, answer.error_message.as_deref())
        })?;
        check_order(ask, &answer, self.rows_of_offset_max)
            .map_err(|fault| damaged(&self.table, ask.partition, ask.offset, fault))?;
        let end = ask.end.unwrap_or(i64::MAX);
        let mut progress = Progress {
            rows: Vec::new(),
            next_offset: ask.offset,
            needs_offsets: false,
            skipped: false,
        };
        for run in answer.runs.iter().take_while(|run| run.first_offset < end) {
            let is_dense = self.is_dense(run);
            if run.last_offset >= end && !is_dense && !ask.with_offsets {
                progress.next_offset = run.first_offset;
                progress.needs_offsets = true;
                return Ok(progress);
            }
            let batch = self.batch(ask, columns, run).await?;
            let rows = below(&batch, run, is_dense, end);
            let batch = rows.project(&self.own_columns(&rows));
            let batch = batch.map_err(|error| self.damaged(ask, run, RowsFault::fit(error)))?;
            progress.next_offset = end.min(run.last_offset + 1);
            if batch.num_rows() > 0 {
                progress.rows.push(Rows {
                    partition: ask.partition,
                    first_offset: run.first_offset,
                    next_offset: progress.next_offset,
                    batch,
                });
            }
        }
        progress.next_offset = end.min(answer.next_offset);
        if let Some(last) = progress.rows.last_mut() {
            last.next_offset = progress.next_offset;
        }
        Ok(progress)
    }

    async fn batch(&self, ask: &Ask, columns: &Columns, run: &Run) -> Result<RecordBatch> {
        let schema = self.table.schema_by_id(run.schema_id).await?;
        let bytes_max = self.table.client().config().decoded_bytes_max;
        decode(columns, &schema, run, bytes_max).map_err(|fault| self.damaged(ask, run, fault))
    }

    /// Whether every offset of the run has one row.
    fn is_dense(&self, run: &Run) -> bool {
        let offsets = run.last_offset - run.first_offset + 1;
        self.rows_of_offset_max == 1 && i64::from(run.row_count) == offsets
    }

    /// Places of the columns asked for by the reader: all but one that was added for us.
    fn own_columns(&self, rows: &RecordBatch) -> Vec<usize> {
        (0..rows.num_columns().min(self.columns.target().fields().len())).collect()
    }

    fn damaged(&self, ask: &Ask, run: &Run, fault: RowsFault) -> Error {
        damaged(&self.table, ask.partition, run.first_offset, fault)
    }
}

/// Runs ascend from the offset asked for up to the next one.
fn check_order(
    ask: &Ask,
    answer: &PartitionRows,
    rows_of_offset_max: i64,
) -> Result<(), RowsFault> {
    let mut next = ask.offset;
    for run in &answer.runs {
        if run.first_offset < next || run.last_offset < run.first_offset {
            return Err(RowsFault::Answer(
                "runs overlap or lie before the offset asked for",
            ));
        }
        let Some(after) = run.last_offset.checked_add(1) else {
            return Err(RowsFault::Answer("a run ends beyond all offsets"));
        };
        let rows_max = (after - run.first_offset).saturating_mul(rows_of_offset_max);
        if run.row_count < 0 || i64::from(run.row_count) > rows_max {
            return Err(RowsFault::Answer(
                "a run has more rows than its offsets can",
            ));
        }
        next = after;
    }
    match answer.next_offset >= next {
        true => Ok(()),
        false => Err(RowsFault::Answer(
            "the next offset lies before rows of the answer",
        )),
    }
}

/// The rows of a run at offsets below `end`.
fn below(rows: &RecordBatch, run: &Run, is_dense: bool, end: i64) -> RecordBatch {
    if run.last_offset < end {
        return rows.clone();
    }
    let offsets = rows
        .column_by_name(OFFSET_COLUMN)
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    let kept = match offsets {
        Some(offsets) if !is_dense => offsets.values().partition_point(|one| *one < end),
        // Dense, and `end` lies above the run's first offset.
        _ => usize::try_from(end - run.first_offset).unwrap_or(0),
    };
    rows.slice(0, kept.min(rows.num_rows()))
}

/// The rows of a run written under `schema`.
pub(crate) fn decode(
    columns: &Columns,
    schema: &SchemaRef,
    run: &Run,
    bytes_max: usize,
) -> Result<RecordBatch, RowsFault> {
    let sent = columns.of(schema);
    let count = usize::try_from(run.row_count).unwrap_or(0);
    let width = columns.target().fields().len() * NULL_BYTES;
    if count.saturating_mul(width) > bytes_max {
        return Err(RowsFault::TooLarge { bytes_max });
    }
    let rows = if sent.fields().is_empty() {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(sent, Vec::new(), &options).map_err(RowsFault::fit)?
    } else {
        let bytes = run.messages.to_bytes();
        let batches = read_rows(bytes, &sent, &run.checksums, bytes_max)?;
        match batches.as_slice() {
            [one] => one.clone(),
            many => concat_batches(&sent, many).map_err(RowsFault::fit)?,
        }
    };
    if rows.num_rows() != count {
        return Err(RowsFault::Answer("a run has other rows than it counts"));
    }
    match rows.schema_ref() == columns.target() {
        true => Ok(rows),
        false => conform(&rows, &Arc::clone(columns.target())).map_err(RowsFault::fit),
    }
}
