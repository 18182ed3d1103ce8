//! Where the lake ends and the log begins, so that a reader of both sees every row once.

use std::collections::BTreeMap;
use std::time::Duration;

use tidelog_protocol_ext::ext::union_read_offsets::{
    UnionReadOffsetsRequest, UnionReadOffsetsResponse,
};
use uuid::Uuid;

use crate::api::Ours;
use crate::config::Retry;
use crate::error::{BrokerError, Result, said};
use crate::scan::{Scan, Start};
use crate::table::Table;

/// The exact cut through a table at one moment: rows of [`snapshot_id`](Self::snapshot_id) below
/// each partition's `lake_end`, and [`tail`](Self::tail) from there on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnionPlan {
    /// The Iceberg snapshot to read; `None` if all rows are in the log.
    pub snapshot_id: Option<i64>,
    /// Where the metadata of the Iceberg table lies.
    pub metadata_location: Option<String>,
    /// What keeps both sides in place.
    pub lease: Option<Lease>,
    pub partitions: BTreeMap<i32, Cut>,
}

/// The cut of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The end of the snapshot and the first offset to read from the log.
    pub lake_end: i64,
    pub log_start_offset: i64,
    /// The end of rows when the plan was made.
    pub stable_end: i64,
}

/// A promise to keep snapshot and log for a while. It is forgotten by the broker when its time is
/// up, so there is no harm in losing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub id: Uuid,
    /// How long it lasts from when it was answered; at most what was asked for.
    pub lasts: Duration,
}

impl Table {
    /// The cut through the table now. With `lease` both sides stay in place for so long; for a
    /// short read none is needed.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) where there is no UnionReadOffsets.
    pub async fn union_plan(&self, lease: Option<Duration>) -> Result<UnionPlan> {
        self.cut(Uuid::nil(), lease.unwrap_or_default()).await
    }

    /// Prolongs a lease by `lasts` from now; answers the cut it was given with.
    ///
    /// # Errors
    /// [`Error::Broker`](crate::Error::Broker) with RESOURCE_NOT_FOUND for one that has ended.
    pub async fn renew(&self, lease: &Lease, lasts: Duration) -> Result<UnionPlan> {
        self.cut(lease.id, lasts).await
    }

    /// Gives a lease up.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    pub async fn release(&self, lease: Lease) -> Result<()> {
        self.cut(lease.id, Duration::ZERO).await.map(drop)
    }

    async fn cut(&self, lease_id: Uuid, lasts: Duration) -> Result<UnionPlan> {
        let request = Ours(UnionReadOffsetsRequest {
            topic_id: self.topic_id(),
            lease_id,
            lease_ms: i32::try_from(lasts.as_millis()).unwrap_or(i32::MAX),
        });
        let mut retry = Retry::new();
        loop {
            match self.cut_once(&request).await {
                Ok(plan) => return Ok(plan),
                Err(error) => retry.wait(self.client().config(), error).await?,
            }
        }
    }

    async fn cut_once(&self, request: &Ours<UnionReadOffsetsRequest>) -> Result<UnionPlan> {
        let address = self.any_leader().await?;
        let link = self.client().link(&address);
        let answer = link.call(request, Duration::ZERO).await?;
        BrokerError::check("UnionReadOffsets", answer.error_code, || {
            let subject = format!("table {}", self.name());
            said(&subject, answer.error_message.as_deref())
        })?;
        Ok(UnionPlan::read(&answer))
    }
}

impl UnionPlan {
    fn read(answer: &UnionReadOffsetsResponse) -> Self {
        let cuts = answer.partitions.iter().map(|cut| {
            let own = Cut {
                lake_end: cut.lake_end,
                log_start_offset: cut.log_start_offset,
                stable_end: cut.stable_end,
            };
            (cut.partition, own)
        });
        let lease_ms = u64::try_from(answer.lease_ms).unwrap_or(0);
        Self {
            snapshot_id: (answer.snapshot_id >= 0).then_some(answer.snapshot_id),
            metadata_location: answer.metadata_location.as_ref().map(ToString::to_string),
            lease: (!answer.lease_id.is_nil()).then_some(Lease {
                id: answer.lease_id,
                lasts: Duration::from_millis(lease_ms),
            }),
            partitions: cuts.collect(),
        }
    }

    /// The log's part: from where the lake ends up to where rows ended when the plan was made.
    pub fn tail(&self, table: &Table) -> Scan {
        let offsets = |of: fn(&Cut) -> i64| {
            let each = self.partitions.iter();
            each.map(|(partition, cut)| (*partition, of(cut))).collect()
        };
        table
            .scan()
            .partitions(self.partitions.keys().copied())
            .from(Start::Offsets(offsets(|cut| cut.lake_end)))
            .until(offsets(|cut| cut.stable_end))
    }
}
