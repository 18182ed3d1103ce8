//! Random lives: records of few keys, transactions, every codec; rounds with little memory that are
//! given up half-way, log starts that move meanwhile, merges between them.

use super::model::Model;
use super::*;
use crate::segment::merge::{self, MergePolicy};

const SEEDS: u64 = 60;
/// Few, so that they replace each other; enough, so that the map can be too small.
const KEYS: u32 = 40;

struct Producer {
    id: i64,
    is_transactional: bool,
    next_sequence: i32,
    /// First offset of the open transaction.
    begun_at: Option<Offset>,
    last: Option<BatchHeader>,
}

struct Life {
    rng: SmallRng,
    log: Log,
    model: Model,
    producers: Vec<Producer>,
    round: Option<Round>,
    now: Timestamp,
    delete_retention_ms: i64,
}

#[test]
fn random_lives() {
    let seeds = std::env::var("TIDELOG_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok());
    for seed in 0..seeds.unwrap_or(SEEDS) {
        let life = std::panic::catch_unwind(|| Life::new(seed).live());
        assert!(life.is_ok(), "failed with seed {seed}");
    }
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut log = Log::new();
        log.step_bytes = rng.random_range(1..3_000);
        log.segment_bytes_max = rng.random_range(1_000..6_000);
        let producer = |id| Producer {
            id,
            is_transactional: id % 2 == 0,
            next_sequence: 0,
            begun_at: None,
            last: None,
        };
        Self {
            log,
            model: Model::default(),
            producers: (0..4).map(producer).collect(),
            round: None,
            now: 1_000,
            delete_retention_ms: rng.random_range(0..400),
            rng,
        }
    }

    fn live(mut self) {
        for _ in 0..self.rng.random_range(10..80) {
            self.now += self.rng.random_range(0..100);
            match self.rng.random_range(0..12) {
                0..=4 => (0..self.rng.random_range(1..8)).for_each(|_| self.append()),
                5..=6 => self.seal(),
                7..=9 => (0..self.rng.random_range(1..20)).for_each(|_| self.compact()),
                10 => self.merge(),
                _ if self.rng.random_range(0..4) == 0 => self.trim(),
                _ => self.round = None,
            }
        }
        self.model.check(&self.log, self.delete_retention_ms);
    }

    fn append(&mut self) {
        let at = self.rng.random_range(0..self.producers.len() + 2);
        match self.producers.get(at).map(|p| p.begun_at) {
            Some(Some(first)) if self.rng.random_range(0..3) == 0 => self.end(at, first),
            _ => self.append_records(at),
        }
    }

    fn append_records(&mut self, at: usize) {
        let mut batch = self.random_batch();
        let count = batch.record_count();
        let offset = self.log.next_offset;
        if let Some(producer) = self.producers.get_mut(at) {
            batch = batch.producer(producer.id, 0, producer.next_sequence);
            producer.next_sequence += count;
            if producer.is_transactional {
                batch = batch.transactional();
                producer.begun_at.get_or_insert(offset);
            }
        }
        let header = self.log.append(batch);
        if let Some(producer) = self.producers.get_mut(at) {
            producer.last = Some(header);
        }
        self.model.batches.extend(self.log.pending.last().cloned());
    }

    fn random_batch(&mut self) -> BatchBuilder {
        let rng = &mut self.rng;
        let mut batch = BatchBuilder::new();
        if rng.random_range(0..5) == 0 {
            batch = batch.log_append_time(self.now);
        }
        if let Some(codec) = Codec::from_id(rng.random_range(0..5)) {
            batch = batch.codec(codec, None);
        }
        for _ in 0..rng.random_range(1..6) {
            let key = format!(
                "key {}",
                rng.random_range(0..KEYS).min(rng.random_range(0..KEYS))
            );
            let key = (rng.random_range(0..30) > 0).then_some(key.as_bytes());
            let value = vec![rng.random(); rng.random_range(0..200)];
            let value = (rng.random_range(0..5) > 0).then_some(&value[..]);
            let time = self.now - rng.random_range(0..50);
            let headers: &[Header<'_>] = match rng.random_range(0..3) {
                0 => &[(b"h", Some(b"1")), (b"h", None), (b"", Some(b""))],
                _ => &[],
            };
            batch
                .append(time, key, value, headers.iter().copied())
                .unwrap();
        }
        batch
    }

    fn end(&mut self, at: usize, first_offset: Offset) {
        let producer = &mut self.producers[at];
        producer.begun_at = None;
        let producer_id = producer.id;
        let is_aborted = self.rng.random();
        let outcome = if is_aborted {
            Outcome::Abort
        } else {
            Outcome::Commit
        };
        let marker = self.log.append_marker(producer_id, outcome);
        self.model.batches.extend(self.log.pending.last().cloned());
        if is_aborted {
            self.model.aborted.push(AbortedTransaction {
                producer_id,
                first_offset,
                last_offset: marker.base_offset,
                last_stable_offset: 0,
            });
        }
    }

    fn seal(&mut self) {
        self.log.seal();
        let states = self
            .producers
            .iter()
            .filter_map(|p| Some(producer(p.id, &[p.last?])));
        self.log.apply(&ManifestEdit {
            producers: Some(states.collect()),
            ..ManifestEdit::default()
        });
    }

    /// A step of the round that is under way, or the first of a new one.
    fn compact(&mut self) {
        let Some(mut round) = self.round.take().or_else(|| self.begin_round()) else {
            return;
        };
        let step = self.log.step(&mut round);
        if let Some(edit) = &step.edit {
            self.log.apply(edit);
            self.model.check(&self.log, self.delete_retention_ms);
        }
        if step.is_last {
            self.model.check_clean_part(&self.log);
        } else {
            self.round = Some(round);
        }
    }

    fn begin_round(&mut self) -> Option<Round> {
        let settings = CompactionSettings {
            delete_retention_ms: self.delete_retention_ms,
            min_lag_ms: if self.rng.random() { 0 } else { 100 },
            ..CompactionSettings::default()
        };
        let open = self
            .producers
            .iter()
            .filter_map(|producer| producer.begun_at);
        let stable_end = open.min().unwrap_or(self.log.next_offset);
        let dirt = self.log.dirt(stable_end, &settings, self.now);
        let dirt = dirt.filter(|dirt| dirt.limit > 0)?;
        self.model.round_begins(dirt.limit, self.now);
        let mut aborted = self.model.aborted.clone();
        aborted.sort_by_key(|aborted| aborted.first_offset);
        let map_bytes = self.rng.random_range(0..24 * 60);
        let seed = self.rng.random();
        let manifest = &self.log.manifest;
        Some(Round::new(
            manifest, &dirt, &settings, &aborted, map_bytes, seed, self.now,
        ))
    }

    fn merge(&mut self) {
        let policy = MergePolicy {
            target_bytes: 3_000,
            members_min: 2,
            members_max: 4,
        };
        let segments = &self.log.manifest.segments;
        let Some(range) = merge::plan(segments, &policy).filter(|_| self.round.is_none()) else {
            return;
        };
        let (inputs, output) = (&segments[range], FileId((self.log.fresh_id)()));
        let disk = Arc::clone(&self.log.disk);
        let meta = merge::merge(disk, &self.log.cache, PARTITION, inputs, output).unwrap();
        let edit = ManifestEdit {
            add_segments: vec![Arc::new(meta)],
            remove_segments: inputs.iter().map(|input| input.file).collect(),
            ..ManifestEdit::default()
        };
        self.log.apply(&edit);
    }

    /// Moves the log start up, as retention does.
    fn trim(&mut self) {
        let manifest = &self.log.manifest;
        let log_start = self
            .rng
            .random_range(manifest.log_start..=manifest.covered_to);
        let below = manifest
            .segments
            .iter()
            .filter(|s| s.end_offset <= log_start);
        let edit = ManifestEdit {
            log_start: Some(log_start),
            remove_segments: below.map(|s| s.file).collect(),
            ..ManifestEdit::default()
        };
        edit.remove_segments.iter().for_each(|file| {
            segment::remove(&*self.log.disk, *file).unwrap();
            self.log.cache.forget(*file);
        });
        self.log.apply(&edit);
    }
}
