//! A walk through the partitions of a table, answer by answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use tidelog_arrow_messages::{read_rows, read_schema};
use tidelog_predicate::{Function, Total, Totals};
use tidelog_protocol_ext::ext::scan::{
    self as wire, PartitionScan, ScanPartition, ScanRequest, ScanResponse, ScanTotal,
};

use super::{failed, is_gone};
use crate::api::Ours;
use crate::client::text;
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result, said};
use crate::fault::RowsFault;
use crate::filter::RowFilter;
use crate::source::damaged;
use crate::table::Table;

/// Where a scan stands.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) table: Table,
    pub(super) address: String,
    pub(super) filter: Option<RowFilter>,
    pub(super) max_bytes: i32,
    pub(super) min_offsets: BTreeMap<i32, i64>,
    pub(super) max_wait: Duration,
    /// What is left to read, and where to go on.
    pub(super) left: VecDeque<(i32, Option<Bytes>)>,
    pub(super) undecodable: u64,
    pub(super) retry: Retry,
}

impl Pass {
    /// Reads to the end, and adds up.
    pub(super) async fn totals(
        mut self,
        asked: &[Total],
        mut totals: Totals,
    ) -> Result<RecordBatch> {
        let wire: Vec<_> = asked.iter().map(total).collect();
        while !self.left.is_empty() {
            let request = ScanRequest {
                projection: Some(Vec::new()),
                totals: Some(wire.clone()),
                ..self.request()
            };
            let answer = self.exchange(&request).await?;
            let schema = read_schema(&answer.totals_schema);
            let schema = Arc::new(schema.map_err(|fault| self.table.unusable(fault.to_string()))?);
            for partition in self.taken(answer)? {
                let bytes_max = self.table.client().config().decoded_bytes_max;
                let bytes = partition.totals.to_bytes();
                let rows = read_rows(bytes, &schema, &[], bytes_max);
                let rows = rows.map_err(|fault| self.damaged(&partition, fault.into()))?;
                for row in rows {
                    let added = totals.absorb(&row);
                    added.map_err(|error| failed(&self.table, &error))?;
                }
            }
        }
        totals.finish().map_err(|error| failed(&self.table, &error))
    }

    /// What every request of it has.
    pub(super) fn request(&self) -> ScanRequest {
        let partitions = self.left.iter().map(|(partition, cursor)| ScanPartition {
            partition: *partition,
            min_offset: self.min_offsets.get(partition).copied().unwrap_or(0),
            cursor: cursor.clone(),
        });
        ScanRequest {
            max_wait_ms: i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX),
            max_rows: -1,
            max_bytes: self.max_bytes,
            topic_id: self.table.topic_id(),
            projection: None,
            filter: self.filter.as_ref().map(RowFilter::wire),
            totals: None,
            partitions: partitions.collect(),
        }
    }

    /// Asks until the first partition answers, and moves on. Also answers the schema of the rows.
    pub(super) async fn ask(&mut self, request: ScanRequest) -> Result<(Vec<PartitionScan>, i32)> {
        let answer = self.exchange(&request).await?;
        let schema_id = answer.schema_id;
        Ok((self.taken(answer)?, schema_id))
    }

    /// Asks until the first partition answers.
    async fn exchange(&mut self, request: &ScanRequest) -> Result<ScanResponse> {
        let request = Ours(request.clone());
        let client = self.table.client().clone();
        loop {
            let answer = client.call(&self.address, &request, self.max_wait).await?;
            let name = self.table.name();
            BrokerError::check("Scan", answer.error_code, || {
                said(&format!("table {name}"), answer.error_message.as_deref())
            })?;
            let first = answer.partitions.first().map(|first| self.check(first));
            match first {
                Some(Err(error)) if !is_gone(&error) => {
                    self.retry.wait(client.config(), error).await?;
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(())) | None => {
                    self.retry.reset();
                    return Ok(answer);
                }
            }
        }
    }

    /// The partitions that have an answer; those that failed are asked again, first of all.
    fn taken(&mut self, answer: ScanResponse) -> Result<Vec<PartitionScan>> {
        let mut taken = Vec::new();
        for found in answer.partitions {
            let next = self.left.front().map(|(partition, _)| *partition);
            if next != Some(found.partition) {
                let fault = RowsFault::Answer("a partition comes out of turn");
                return Err(self.damaged(&found, fault));
            }
            if self.check(&found).is_err() {
                break;
            }
            if found.row_count < 0 || found.undecodable_count < 0 {
                let fault = RowsFault::Answer("a partition has less than no rows");
                return Err(self.damaged(&found, fault));
            }
            self.undecodable += found.undecodable_count.unsigned_abs();
            match &found.cursor {
                None => drop(self.left.pop_front()),
                Some(cursor) => {
                    if let Some((_, place)) = self.left.front_mut() {
                        *place = Some(cursor.clone());
                    }
                }
            }
            let is_last = found.cursor.is_some();
            taken.push(found);
            if is_last {
                break;
            }
        }
        match taken.is_empty() {
            false => Ok(taken),
            true => Err(self.table.unusable("a scan was answered with nothing")),
        }
    }

    fn check(&self, found: &PartitionScan) -> Result<()> {
        BrokerError::check("Scan", found.error_code, || {
            let (table, partition) = (self.table.name(), found.partition);
            let place = format!("table {table}, partition {partition}");
            said(&place, found.error_message.as_deref())
        })?;
        Ok(())
    }

    fn damaged(&self, found: &PartitionScan, fault: RowsFault) -> Error {
        damaged(&self.table, found.partition, found.reflected_offset, fault)
    }
}

fn total(asked: &Total) -> ScanTotal {
    ScanTotal {
        function: match asked.function {
            Function::Count => wire::COUNT,
            Function::Sum => wire::SUM,
            Function::Min => wire::MIN,
            Function::Max => wire::MAX,
        },
        column: asked.column.as_deref().map(text),
    }
}
