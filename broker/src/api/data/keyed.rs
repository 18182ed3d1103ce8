//! What Produce does more for a keyed topic: records are in the partition of their key and such as its
//! merge engine takes, the table has room before they are written, and holds them before they are
//! acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{TableKey, TopicSettings};
use tidelog_keyed::merge::Rule;
use tidelog_keyed::{CheckError, RuleSet};
use tidelog_records::BatchHeader;
use tidelog_storage::{Partition, ProducerView};
use tokio::time::Instant;
use uuid::Uuid;

use super::admission::DECOMPRESSED_MAX_BYTES;
use crate::broker::Broker;
use crate::owners::keyed::{Merging, RulesError, Table, check, rules_of};

/// Longest wait for room in a table.
const ROOM_MS_MAX: i32 = 30_000;

/// Why a batch for a keyed topic is not written.
#[derive(Debug, thiserror::Error)]
pub enum KeyedError {
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("the key table takes no more at the moment")]
    NoRoom,
}

impl KeyedError {
    /// The record at fault, if one is: its position in the batch, and why.
    pub fn refused(&self) -> Option<(i32, String)> {
        match self {
            Self::Rules(RulesError::Refused(refused)) => {
                Some((refused.index, refused.why.to_string()))
            }
            Self::Check(CheckError::Refused { index, why }) => Some((*index, why.to_string())),
            Self::Rules(_) | Self::Check(CheckError::Fold(_)) | Self::NoRoom => None,
        }
    }
}

/// One partition of a keyed topic, as a batch for it is judged.
#[derive(Clone)]
pub struct Place {
    topic: Uuid,
    index: i32,
    partitions: i32,
    rules: RuleSet,
    /// `None` while it is not known yet: it will find the records in the log.
    table: Option<Arc<Table>>,
    /// `None` where every record is taken.
    merging: Option<Arc<Merging>>,
}

impl Place {
    /// `None` for a topic that is not keyed.
    pub fn of(
        broker: &Broker,
        topic: &Topic,
        settings: &TopicSettings,
        index: i32,
    ) -> Option<Self> {
        if settings.table.key != TableKey::RecordKey {
            return None;
        }
        let table = broker.keyed().table(topic.id, index);
        let merging = match &table {
            Some(table) => table.merging().cloned(),
            // Settings that are none make a table that is lost: it takes whatever comes.
            None => Merging::of(&settings.table).ok().flatten().map(Arc::new),
        };
        Some(Self {
            topic: topic.id,
            index,
            partitions: topic.partitions,
            rules: rules_of(topic, &settings.table),
            table,
            merging,
        })
    }

    pub fn table(&self) -> Option<&Arc<Table>> {
        self.table.as_ref()
    }

    /// Whether checking a batch decodes its values, and may read rows.
    pub fn is_heavy(&self) -> bool {
        let rule = self.merging.as_ref().map(|merging| merging.rule());
        rule.is_some_and(Rule::may_refuse)
    }

    /// Checks a batch; false if it rules out partitioner rules, which has to be settled. Blocks where
    /// it [is heavy](Self::is_heavy).
    ///
    /// # Errors
    /// [`KeyedError::Rules`], [`KeyedError::Check`].
    pub fn admit(&self, batch: &Bytes) -> Result<bool, KeyedError> {
        let limit = DECOMPRESSED_MAX_BYTES;
        let left = check(batch, self.rules, self.index, self.partitions, limit)?;
        match (&self.table, &self.merging) {
            (Some(table), _) => match table.check(batch) {
                // The log answers it as it did before.
                Err(CheckError::Refused { .. }) if was_sent(table.partition(), batch) => {}
                checked => checked?,
            },
            (None, Some(merging)) => merging.check(batch)?,
            (None, None) => {}
        }
        Ok(left == self.rules)
    }

    /// Makes durable which rules a batch rules out.
    ///
    /// # Errors
    /// [`KeyedError::Rules`].
    pub async fn settle(&self, broker: &Broker, batch: &Bytes) -> Result<(), KeyedError> {
        let settled =
            broker
                .keyed()
                .settle_rules(self.topic, self.index, batch, DECOMPRESSED_MAX_BYTES);
        Ok(settled.await?)
    }
}

/// Whether the log has a batch of this producer with this sequence number or a later one. What it was
/// checked against then was without itself.
pub(super) fn was_sent(partition: &Partition, batch: &[u8]) -> bool {
    let Some(header) = BatchHeader::read(batch) else {
        return false;
    };
    let is_behind = |producer: &ProducerView| {
        producer.producer_id == header.producer_id
            && producer.epoch == header.producer_epoch
            && header.base_sequence <= producer.last_sequence
    };
    header.has_producer_id() && partition.producers().iter().any(is_behind)
}

/// Waits for room in all of these tables, as long as the request has time.
///
/// # Errors
/// [`KeyedError::NoRoom`].
pub async fn wait_for_room(
    broker: &Broker,
    tables: &[Arc<Table>],
    timeout_ms: i32,
) -> Result<(), KeyedError> {
    if tables.is_empty() {
        return Ok(());
    }
    let wait_ms = timeout_ms.clamp(0, ROOM_MS_MAX).unsigned_abs();
    let deadline = Instant::now() + Duration::from_millis(wait_ms.into());
    match broker.keyed().room(tables, deadline).await {
        true => Ok(()),
        false => Err(KeyedError::NoRoom),
    }
}
