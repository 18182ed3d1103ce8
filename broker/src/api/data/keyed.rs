//! What Produce does more for a keyed topic: records are in the partition of their key, the table
//! has room before they are written, and holds them before they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{TableKey, TopicSettings};
use tidelog_keyed::{Refused, RuleSet};
use tokio::time::Instant;
use uuid::Uuid;

use super::admission::DECOMPRESSED_MAX_BYTES;
use crate::broker::Broker;
use crate::owners::keyed::{RulesError, Table, check, rules_of};

/// Longest wait for room in a table.
const ROOM_MS_MAX: i32 = 30_000;

/// Why a batch for a keyed topic is not written.
#[derive(Debug, thiserror::Error)]
pub enum KeyedError {
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error("the key table takes no more at the moment")]
    NoRoom,
}

impl KeyedError {
    /// The record at fault, if one is.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Rules(RulesError::Refused(refused)) => Some(refused),
            Self::Rules(_) | Self::NoRoom => None,
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
}

impl Place {
    /// `None` for a topic that is not keyed.
    pub fn of(
        broker: &Broker,
        topic: &Topic,
        settings: &TopicSettings,
        index: i32,
    ) -> Option<Self> {
        (settings.table.key == TableKey::RecordKey).then(|| Self {
            topic: topic.id,
            index,
            partitions: topic.partitions,
            rules: rules_of(topic, &settings.table),
            table: broker.keyed().table(topic.id, index),
        })
    }

    pub fn table(&self) -> Option<&Arc<Table>> {
        self.table.as_ref()
    }

    /// Checks a batch; false if it rules out partitioner rules, which has to be settled.
    ///
    /// # Errors
    /// [`KeyedError::Rules`].
    pub fn admit(&self, batch: &Bytes) -> Result<bool, KeyedError> {
        let limit = DECOMPRESSED_MAX_BYTES;
        let left = check(batch, self.rules, self.index, self.partitions, limit)?;
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
