//! The task that writes markers: asks, appends, waits for the sync, reports.

use std::collections::VecDeque;

use rand::Rng;
use tidelog_coordinator::machine::Token;
use tidelog_coordinator::producer::{Outcome, Producer};
use tidelog_coordinator::txn::{MarkersWritten, TopicPartition, TxnCommand, Work};

use super::log::decoded;
use super::partition::Entry;
use super::{Caller, World};

/// What the task has to do.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) asked: Option<Token>,
    pub(super) lost_track: bool,
    pub(super) to_append: VecDeque<(String, Producer, Outcome, TopicPartition)>,
    /// Appended at this position; reported once that is synced.
    pub(super) to_report: VecDeque<(usize, String, Producer, TopicPartition)>,
}

impl World {
    pub(super) fn write_markers(&mut self) {
        self.report_markers();
        if let Some((id, producer, outcome, partition)) = self.writer.to_append.pop_front() {
            self.append_marker(id, producer, outcome, partition);
        } else if self.writer.asked.is_none() {
            let anew = std::mem::take(&mut self.writer.lost_track);
            self.call(Caller::Writer, TxnCommand::TakeWork { anew });
        } else if self.rng.random_bool(0.02) {
            // It starts over, having lost what it was doing.
            self.writer = Writer {
                lost_track: true,
                ..Writer::default()
            };
        }
    }

    pub(super) fn take_work(&mut self, work: Work) {
        self.writer.asked = None;
        for markers in work.markers {
            let durable = decoded(&self.log[..self.durable])
                .filter(|record| record.transactional_id == markers.transactional_id);
            let decided = durable.filter_map(|record| record.value).last().unwrap();
            assert_eq!(
                (decided.producer, decided.state.ending()),
                (markers.producer, Some(markers.outcome)),
                "seed {}",
                self.seed
            );
            for partition in markers.partitions {
                let id = markers.transactional_id.clone();
                let order = (id, markers.producer, markers.outcome, partition);
                self.writer.to_append.push_back(order);
            }
        }
        if work.needs_producer_ids {
            self.grant();
        }
    }

    pub(super) fn append_marker(
        &mut self,
        id: String,
        producer: Producer,
        outcome: Outcome,
        partition: TopicPartition,
    ) {
        let log = &mut self.partitions[partition.partition as usize];
        if !log.deleted {
            assert!(
                log.epoch(producer.id) <= producer.epoch,
                "seed {}",
                self.seed
            );
            log.entries.push(Entry::Marker { producer, outcome });
        }
        let report = (log.entries.len(), id, producer, partition);
        self.writer.to_report.push_back(report);
    }

    pub(super) fn report_markers(&mut self) {
        let reports = std::mem::take(&mut self.writer.to_report);
        for (end, id, producer, partition) in reports {
            if self.partitions[partition.partition as usize].synced < end {
                let report = (end, id, producer, partition);
                self.writer.to_report.push_back(report);
                continue;
            }
            let written = MarkersWritten {
                transactional_id: id,
                producer,
                partitions: vec![partition],
            };
            self.call(Caller::Nobody, TxnCommand::MarkersWritten(written));
        }
    }
}
