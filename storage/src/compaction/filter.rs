//! What becomes of each batch: a decision over one batch at a time, in offset order.

use std::collections::{HashMap, HashSet};
use std::mem;

use bytes::Bytes;
use tidelog_records::control::TxnMarker;
use tidelog_records::{BatchHeader, Record, RecordError, Records, RecordsError, compact};

use super::keys::KeyMap;
use super::{RECORDS_BYTES_MAX, earlier};
use crate::ids::{Offset, Timestamp};
use crate::manifest::ProducerState;
use crate::partition::AbortedRanges;
use crate::segment::StoredBatch;

/// What a round decides by; the same from its first batch to its last.
pub(super) struct Rules {
    /// Every key written from where the round's dirty part began up to here is in the map; later
    /// records are not touched.
    pub(super) end: Offset,
    /// The batch that ends here stays: the last one of the last segment that is written anew.
    pub(super) last_end: Offset,
    pub(super) now: Timestamp,
    pub(super) delete_retention_ms: i64,
    pub(super) aborted: AbortedRanges,
    pub(super) producers: LastOfProducers,
}

/// The batch of each producer id that tells its state to whoever reads the log.
pub(super) struct LastOfProducers {
    by_id: HashMap<i64, Last>,
}

enum Last {
    /// The batch of records that ends here.
    Records(Offset),
    /// It has written nothing under its epoch: the markers of that epoch.
    Markers(i16),
}

impl LastOfProducers {
    pub(super) fn new(producers: &[ProducerState]) -> Self {
        let last = |producer: &ProducerState| match producer.batches.last() {
            Some(batch) => Last::Records(batch.last_offset),
            None => Last::Markers(producer.epoch),
        };
        let by_id = producers.iter().map(|p| (p.producer_id, last(p)));
        Self {
            by_id: by_id.collect(),
        }
    }

    fn holds(&self, batch: &BatchHeader) -> bool {
        match self.by_id.get(&batch.producer_id) {
            _ if !batch.has_producer_id() => false,
            Some(Last::Records(end)) => batch.last_offset() == *end,
            Some(Last::Markers(epoch)) => batch.is_control() && batch.producer_epoch == *epoch,
            None => false,
        }
    }
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it is.
    Keep,
    /// This in its place, over the same offsets.
    Replace(StoredBatch),
    Drop,
}

/// The state of the decision: what passed so far.
pub(super) struct Filter {
    rules: Rules,
    keys: KeyMap,
    /// Producers with a transactional batch since their last marker, whatever became of it.
    unfinished: HashSet<i64>,
    next_horizon: Option<Timestamp>,
    gone: Vec<Offset>,
}

/// Why a batch is left as it is.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Retain(#[from] compact::RetainError),
}

/// Which records of a batch stay.
struct Survey {
    stays: Vec<bool>,
    count: usize,
    /// True if a tombstone stays that may go later.
    has_tombstones: bool,
}

impl Filter {
    pub(super) fn new(rules: Rules, keys: KeyMap) -> Self {
        Self {
            rules,
            keys,
            unfinished: HashSet::new(),
            next_horizon: None,
            gone: Vec::new(),
        }
    }

    /// From where on nothing is touched.
    pub(super) fn end(&self) -> Offset {
        self.rules.end
    }

    /// When the first of the tombstones and markers that were left may go, if there are any.
    pub(super) fn next_horizon(&self) -> Option<Timestamp> {
        self.next_horizon
    }

    /// Offsets, ascending, of the markers dropped since this was last asked: nothing is left of their
    /// transactions.
    pub(super) fn take_gone_markers(&mut self) -> Vec<Offset> {
        mem::take(&mut self.gone)
    }

    /// Decides over the next batch. One that cannot be decoded is kept whole, so that what the map
    /// has of it is in the log.
    pub(super) fn judge(&mut self, batch: &StoredBatch) -> Verdict {
        let header = &batch.header;
        if header.base_offset >= self.rules.end {
            return Verdict::Keep;
        }
        let judged = match header.is_control() {
            true => self.judge_marker(batch),
            false => self.judge_records(batch),
        };
        judged.unwrap_or_else(|error| {
            let offset = header.base_offset;
            tracing::warn!(offset, %error, "a batch that cannot be decoded is not compacted");
            Verdict::Keep
        })
    }

    fn judge_records(&mut self, batch: &StoredBatch) -> Result<Verdict, Unfit> {
        let header = &batch.header;
        if header.is_transactional() {
            self.unfinished.insert(header.producer_id);
        }
        if !self.rules.aborted.is_committed(header) {
            return Ok(self.without_records(header));
        }
        let records = Records::open(&batch.bytes, RECORDS_BYTES_MAX)?;
        let survey = self.survey(&records)?;
        if survey.count == 0 {
            return Ok(self.without_records(header));
        }
        let old_horizon = header.delete_horizon();
        let horizon = match survey.has_tombstones {
            true => old_horizon.or(Some(self.new_horizon())),
            false => old_horizon,
        };
        let verdict = if survey.count == survey.stays.len() && horizon == old_horizon {
            Verdict::Keep
        } else {
            let mut stays = survey.stays.iter();
            let left = compact::retain(&records, horizon, |_| stays.next() == Some(&true))?;
            replaced_by(left)
        };
        if survey.has_tombstones {
            self.next_horizon = earlier(self.next_horizon, horizon);
        }
        Ok(verdict)
    }

    fn survey(&self, records: &Records) -> Result<Survey, Unfit> {
        let header = records.header();
        let tombstones_stay = header.delete_horizon().is_none_or(|at| self.rules.now < at);
        // The horizon is the whole batch's, so it waits until all its tombstones did their work.
        let is_whole = header.last_offset() < self.rules.end;
        let mut survey = Survey {
            stays: Vec::new(),
            count: 0,
            has_tombstones: false,
        };
        for record in records {
            let record = record?;
            let is_tombstone = record.value.is_none() && is_whole;
            let stays = self.is_newest(&record) && (!is_tombstone || tombstones_stay);
            survey.stays.push(stays);
            survey.count += usize::from(stays);
            survey.has_tombstones |= stays && is_tombstone;
        }
        Ok(survey)
    }

    fn is_newest(&self, record: &Record<'_>) -> bool {
        let is_newest = |key| match self.keys.newest(key) {
            Some(newest) => record.offset >= newest,
            None => true,
        };
        record.offset >= self.rules.end || record.key.is_some_and(is_newest)
    }

    fn judge_marker(&mut self, batch: &StoredBatch) -> Result<Verdict, Unfit> {
        let header = &batch.header;
        let records = Records::open(&batch.bytes, RECORDS_BYTES_MAX)?;
        let Some(marker) = records.iter().next().transpose()? else {
            self.unfinished.remove(&header.producer_id);
            return Ok(self.without_records(header));
        };
        if TxnMarker::decode(marker.key, marker.value).is_err() {
            return Ok(Verdict::Keep);
        }
        if self.unfinished.remove(&header.producer_id) {
            return Ok(Verdict::Keep);
        }
        let (horizon, verdict) = match header.delete_horizon() {
            Some(horizon) if horizon <= self.rules.now => {
                self.gone.push(header.base_offset);
                return Ok(self.without_records(header));
            }
            Some(horizon) => (horizon, Verdict::Keep),
            None => {
                let horizon = self.new_horizon();
                let stamped = compact::retain(&records, Some(horizon), |_| true)?;
                (horizon, replaced_by(stamped))
            }
        };
        self.next_horizon = earlier(self.next_horizon, Some(horizon));
        Ok(verdict)
    }

    fn new_horizon(&self) -> Timestamp {
        let Rules {
            now,
            delete_retention_ms,
            ..
        } = self.rules;
        now.saturating_add(delete_retention_ms)
    }

    /// None of its records stays. The batch itself does where it says how far the log or a producer
    /// has come.
    fn without_records(&self, header: &BatchHeader) -> Verdict {
        let is_last = header.last_offset() + 1 == self.rules.last_end;
        if !is_last && !self.rules.producers.holds(header) {
            Verdict::Drop
        } else if header.record_count == 0 {
            Verdict::Keep
        } else {
            replaced_by(compact::without_records(header))
        }
    }
}

/// What cannot be read back takes nobody's place.
fn replaced_by(bytes: Bytes) -> Verdict {
    StoredBatch::parse(bytes).map_or(Verdict::Keep, Verdict::Replace)
}
