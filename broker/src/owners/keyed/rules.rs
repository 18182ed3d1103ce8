//! Which partitioner rules a topic's records may still follow, and ruling some out for good.

use bytes::Bytes;
use tidelog_coordinator::cluster::settings::{Partitioner, TableSettings};
use tidelog_coordinator::cluster::{Command, Reply, Topic};
use tidelog_keyed::partitioner::Rule;
use tidelog_keyed::{Refused, RuleSet, admit};
use tidelog_records::{Records, RecordsError};
use uuid::Uuid;

use super::Keyed;
use crate::owners::driver::DriverError;

/// Why a batch may not be in its partition, or it is not known whether it may.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("the topic was deleted")]
    Gone,
    #[error("the topic's partitioner could not be settled: {0}")]
    NotSettled(#[from] DriverError),
}

/// The rules as they stand: those of the setting, or what the records have left of them.
pub fn rules_of(topic: &Topic, settings: &TableSettings) -> RuleSet {
    match settings.partitioner {
        Partitioner::Murmur2 => RuleSet::only(Rule::Murmur2),
        Partitioner::Crc32 => RuleSet::only(Rule::Crc32),
        Partitioner::Fnv1a => RuleSet::only(Rule::Fnv1a),
        Partitioner::Explicit => RuleSet::EXPLICIT,
        Partitioner::Auto => topic
            .partitioner_rules
            .and_then(RuleSet::from_bits)
            .unwrap_or(RuleSet::AUTO),
    }
}

/// Checks a batch for `partition` of `partitions`; answers the rules that it leaves.
///
/// # Errors
/// [`RulesError::Refused`] for its first record that may not be there.
pub fn check(
    batch: &Bytes,
    rules: RuleSet,
    partition: i32,
    partitions: i32,
    limit_bytes: usize,
) -> Result<RuleSet, RulesError> {
    let records = Records::open(batch, limit_bytes)?;
    Ok(admit(&records, rules, partition, partitions)?)
}

impl Keyed {
    /// Checks a batch against the rules of this moment and makes what it rules out durable. One at
    /// a time, and at most twice in the life of a topic.
    ///
    /// # Errors
    /// [`RulesError`].
    pub async fn settle_rules(
        &self,
        topic: Uuid,
        partition: i32,
        batch: &Bytes,
        limit_bytes: usize,
    ) -> Result<(), RulesError> {
        let _turn = self.rules_turn.lock().await;
        let view = self.cluster.view();
        let topic = view.image.topic_by_id(topic).ok_or(RulesError::Gone)?;
        let rules = rules_of(topic, &view.topic_settings(topic).table);
        let (batch, partitions) = (batch.clone(), topic.partitions);
        let check = move || check(&batch, rules, partition, partitions, limit_bytes);
        let left = self.log.blocking(check).await?;
        if left == rules {
            return Ok(());
        }
        let command = Command::NarrowPartitioner {
            topic: topic.id,
            rules: left.to_bits(),
        };
        match self.cluster.call(command).await? {
            Reply::Partitioner(Ok(_)) => Ok(()),
            _ => Err(RulesError::Gone),
        }
    }
}
