//! Writes the markers that end transactions: the hands of a transaction coordinator.
//!
//! ```text
//! TakeWork ─▶ markers ─┬▶ data partitions: one append          ─┬▶ MarkersWritten
//!                      └▶ __consumer_offsets: the group's owner ─┘
//! ```
//! - What is taken was decided durably. What fails is asked for anew after a pause; a marker that is
//!   written twice changes nothing.
//! - A partition that is gone needs no marker.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tidelog_coordinator::group::{TxnEnd, TxnOffsetsError};
use tidelog_coordinator::producer::Outcome;
use tidelog_coordinator::txn::{
    Markers, MarkersWritten, TopicPartition, TransactionVersion, Transactions, TxnCommand,
    TxnReply, Work,
};
use tidelog_records::control::{self, TxnMarker};
use tidelog_storage::{AppendError, MarkerRule, SequenceError};
use tracing::warn;

use super::cluster::ClusterHandle;
use super::driver::WeakHandle;
use super::groups::{CoordinatorError, Groups, OFFSETS_TOPIC};
use super::transactions::producer_ids;
use crate::clock::Clock;
use crate::log::{Log, NewBatch, Unwritten};

/// Pause before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Where markers go.
#[derive(Clone)]
pub struct MarkerWriter {
    log: Arc<Log>,
    clock: Clock,
    cluster: ClusterHandle,
    groups: Groups,
}

/// Not everything was done.
struct Unfinished;

impl MarkerWriter {
    pub fn new(log: Arc<Log>, clock: Clock, cluster: ClusterHandle, groups: Groups) -> Self {
        Self {
            log,
            clock,
            cluster,
            groups,
        }
    }

    /// Serves one coordinator until it ends.
    pub async fn run(self, owner: WeakHandle<Transactions>) {
        let mut anew = true;
        while let Some(taken) = owner.call(TxnCommand::TakeWork { anew }).await {
            let done = match taken {
                Ok(TxnReply::TakeWork(work)) => self.carry_out(&owner, work).await,
                // It was rebuilt.
                Ok(_) | Err(_) => Err(Unfinished),
            };
            anew = done.is_err();
            if anew {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn carry_out(
        &self,
        owner: &WeakHandle<Transactions>,
        work: Work,
    ) -> Result<(), Unfinished> {
        if work.needs_producer_ids {
            let granted = producer_ids(&self.cluster).await.map_err(|_| Unfinished)?;
            owner.call(granted).await;
        }
        let mut finished = Ok(());
        let written = self.write(&work.markers).await;
        for (markers, partitions) in work.markers.into_iter().zip(written) {
            if partitions.len() < markers.partitions.len() {
                finished = Err(Unfinished);
            }
            let written = MarkersWritten {
                transactional_id: markers.transactional_id,
                producer: markers.producer,
                partitions,
            };
            if let Some(Err(_)) = owner.call(TxnCommand::MarkersWritten(written)).await {
                finished = Err(Unfinished);
            }
        }
        finished
    }

    /// The partitions of each transaction whose marker is durable, or needs none.
    pub async fn write(&self, transactions: &[Markers]) -> Vec<Vec<TopicPartition>> {
        let each = |index: usize, markers: &'_ Markers| -> Vec<(usize, TopicPartition)> {
            let partitions = markers.partitions.iter().cloned();
            partitions.map(|partition| (index, partition)).collect()
        };
        let all = transactions.iter().enumerate();
        let all: Vec<_> = all
            .flat_map(|(index, markers)| each(index, markers))
            .collect();
        let (of_groups, of_data): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, partition)| partition.topic == OFFSETS_TOPIC);
        let (groups, data) = tokio::join!(
            self.write_to_groups(transactions, of_groups),
            self.write_to_data(transactions, of_data),
        );
        let mut written = vec![Vec::new(); transactions.len()];
        for (index, partition) in groups.into_iter().chain(data) {
            written[index].push(partition);
        }
        written
    }

    /// All in one append.
    async fn write_to_data(
        &self,
        transactions: &[Markers],
        wanted: Vec<(usize, TopicPartition)>,
    ) -> Vec<(usize, TopicPartition)> {
        let view = self.cluster.view();
        let now_ms = self.clock.now_ms();
        let (mut done, mut submitted, mut batches) = (Vec::new(), Vec::new(), Vec::new());
        for (index, place) in wanted {
            let topic = view.image.topic(&place.topic);
            let partition = topic.and_then(|topic| self.log.partition(topic.id, place.partition));
            match partition {
                None => done.push((index, place)),
                Some(partition) => {
                    let markers = &transactions[index];
                    let marker = (marker(markers), rule(markers.version));
                    batches.push(NewBatch::marker(
                        partition,
                        markers.producer,
                        marker,
                        now_ms,
                    ));
                    submitted.push((index, place));
                }
            }
        }
        let outcomes = self.log.append(batches, now_ms).await;
        for ((index, place), outcome) in submitted.into_iter().zip(outcomes) {
            let id = &transactions[index].transactional_id;
            match outcome {
                Ok(_) | Err(Unwritten::Append(AppendError::Deleted)) => done.push((index, place)),
                // Somebody newer was there: what this transaction wrote has ended.
                Err(
                    error @ (Unwritten::Refused(_)
                    | Unwritten::Append(AppendError::Sequence(SequenceError::StaleEpoch {
                        ..
                    }))),
                ) => {
                    warn!(transactional_id = id, topic = place.topic, partition = place.partition,
                        %error, "a transaction marker came too late");
                    done.push((index, place));
                }
                Err(error) => {
                    warn!(transactional_id = id, topic = place.topic, partition = place.partition,
                        %error, "a transaction marker was not written; it will be tried again");
                }
            }
        }
        done
    }

    async fn write_to_groups(
        &self,
        transactions: &[Markers],
        wanted: Vec<(usize, TopicPartition)>,
    ) -> Vec<(usize, TopicPartition)> {
        let written = wanted.into_iter().map(async |(index, place)| {
            let markers = &transactions[index];
            let end = TxnEnd {
                producer: markers.producer,
                outcome: markers.outcome,
                coordinator_epoch: markers.coordinator_epoch,
            };
            match self.groups.end_transaction(place.partition, end).await {
                Ok(()) | Err(CoordinatorError::Transaction(TxnOffsetsError::Fenced)) => {
                    Some((index, place))
                }
                Err(error) => {
                    let id = &markers.transactional_id;
                    warn!(transactional_id = id, partition = place.partition, %error,
                        "a transaction marker for offsets was not written; it will be tried again");
                    None
                }
            }
        });
        join_all(written).await.into_iter().flatten().collect()
    }
}

/// What the markers of a transaction say.
fn marker(markers: &Markers) -> TxnMarker {
    TxnMarker {
        outcome: match markers.outcome {
            Outcome::Commit => control::Outcome::Commit,
            Outcome::Abort => control::Outcome::Abort,
        },
        coordinator_epoch: markers.coordinator_epoch,
    }
}

/// Only version 2 raises the epoch with every end.
fn rule(version: TransactionVersion) -> MarkerRule {
    match version.bumps_epoch() {
        true => MarkerRule::Above,
        false => MarkerRule::AtLeast,
    }
}
