//! Clients, partitions and a writer of markers, all of which may lose what was not synced, against
//! what must hold whatever they do:
//!
//! - every record of a transaction is followed, in its partition, by a marker with the outcome that
//!   the log of transactions decided on, and a client that was told "committed" finds it committed;
//! - no transaction has two outcomes, no marker carries another producer than its Prepare record;
//! - an epoch is given to one client only, so a client that was replaced can end nothing;
//! - only legal moves are written; the records, through their bytes, make the same state again.
//!
//! The world keeps the driver's contract: records are applied at once, answers leave when all before
//! them is durable, a crash keeps what is durable and any number of the decisions behind it.

mod client;
mod log;
mod partition;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::machine::{Decision, Machine, Token};
use tidelog_coordinator::producer::{Outcome, Producer};
use tidelog_coordinator::txn::{
    EPOCH_LAST, Partitions, Transaction, TransactionVersion, Transactions, TxnCommand, TxnRecord,
    TxnReply, TxnSettings, TxnState,
};

use client::Client;
use log::{Batch, Progress, Serial, decoded};
use partition::{Entry, PartitionLog};
use writer::Writer;

const SEEDS: u64 = 150;
const STEPS: usize = 600;
const IDS: usize = 3;
const CLIENTS: usize = 6;
const PARTITIONS: i32 = 4;
const TIMEOUT_MS: i32 = 2_000;

#[test]
fn whatever_happens_transactions_are_atomic() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}

enum Caller {
    Client(usize),
    Writer,
    Nobody,
}

struct World {
    seed: u64,
    rng: SmallRng,
    now_ms: i64,
    settings: Arc<TxnSettings>,
    machine: Transactions,
    /// Decisions in order; the first `durable` of them are synced.
    log: Vec<Batch>,
    durable: usize,
    progress: Progress,
    /// Answers, and how much of the log has to be durable for them to leave.
    parked: VecDeque<(usize, Token, TxnReply)>,
    callers: BTreeMap<Token, Caller>,
    next_token: u64,
    next_producer_id: i64,
    clients: Vec<Client>,
    partitions: Vec<PartitionLog>,
    writer: Writer,
    /// Who was given which producer.
    given: BTreeMap<Producer, usize>,
    /// What clients were told of transactions they ended.
    told: Vec<(Serial, Outcome)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let version = [TransactionVersion::V0, TransactionVersion::V2][rng.random_range(0..2)];
        let settings = Arc::new(TxnSettings {
            version,
            id_expiration_ms: 50_000,
            id_expiration_interval_ms: 5_000,
            ..TxnSettings::default()
        });
        let client = |index: usize| Client {
            id: format!("tx{}", index % IDS),
            version: if version.bumps_epoch() && index.is_multiple_of(2) {
                TransactionVersion::V2
            } else {
                TransactionVersion::V0
            },
            producer: None,
            waits: None,
            wrote: None,
        };
        let mut world = Self {
            seed,
            rng,
            now_ms: 0,
            machine: Transactions::new(Arc::clone(&settings), 0),
            settings,
            log: Vec::new(),
            durable: 0,
            progress: Progress::default(),
            parked: VecDeque::new(),
            callers: BTreeMap::new(),
            next_token: 0,
            next_producer_id: 1,
            clients: (0..CLIENTS).map(client).collect(),
            partitions: (0..PARTITIONS).map(|_| PartitionLog::default()).collect(),
            writer: Writer::default(),
            given: BTreeMap::new(),
            told: Vec::new(),
        };
        world.writer.lost_track = true;
        world.start_near_the_last_epoch();
        let decision = world.machine.loaded(0);
        world.take(decision);
        world
    }

    /// In some worlds the ids have a past that leaves few epochs.
    fn start_near_the_last_epoch(&mut self) {
        if self.rng.random_bool(0.7) {
            return;
        }
        for index in 0..IDS {
            let epoch = EPOCH_LAST - self.rng.random_range(0..4);
            let producer = Producer::new(1_000_000 + index as i64, epoch);
            let record = TxnRecord {
                transactional_id: format!("tx{index}"),
                value: Some(Transaction {
                    producer,
                    previous_producer_id: producer.id,
                    next_producer_id: -1,
                    last_epoch: -1,
                    timeout_ms: TIMEOUT_MS,
                    state: TxnState::Empty,
                    partitions: Partitions::default(),
                    started_ms: -1,
                    updated_ms: 0,
                    version: TransactionVersion::V0,
                }),
            };
            self.progress.follow(&record);
            self.machine.apply(&record);
            self.log.push(vec![record.encode()]);
        }
        self.durable = self.log.len();
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0 => self.crash(),
            1 => self.delete_a_partition(),
            2..=5 => {
                let span_ms = [10, 500, 3_000, 60_000][self.rng.random_range(0..4)];
                self.pass_time(span_ms);
            }
            6..=25 => self.sync(),
            26..=40 => self.write_markers(),
            _ => {
                let who = self.rng.random_range(0..CLIENTS);
                self.act(who);
            }
        }
    }

    fn sync(&mut self) {
        self.durable = self.log.len();
        for partition in &mut self.partitions {
            partition.synced = partition.entries.len();
        }
        while let Some((end, token, reply)) = self.parked.pop_front() {
            if end > self.durable {
                self.parked.push_front((end, token, reply));
                break;
            }
            self.deliver(token, reply);
        }
    }

    fn pass_time(&mut self, span_ms: i64) {
        let until_ms = self.now_ms + span_ms;
        let mut rings_at_once = 0;
        while let Some(at_ms) = self.machine.next_deadline().filter(|&at| at <= until_ms) {
            rings_at_once = if at_ms > self.now_ms {
                0
            } else {
                rings_at_once + 1
            };
            assert!(rings_at_once < 20, "seed {}: stuck at {at_ms}", self.seed);
            self.now_ms = at_ms.max(self.now_ms);
            let decision = self.machine.tick(self.now_ms);
            self.take(decision);
        }
        self.now_ms = until_ms;
    }

    fn delete_a_partition(&mut self) {
        if self.rng.random_bool(0.05) {
            let at = self.rng.random_range(0..self.partitions.len());
            self.partitions[at].deleted = true;
        }
    }

    // The machine and its log.

    fn call(&mut self, caller: Caller, command: TxnCommand) {
        let token = Token(self.next_token);
        self.next_token += 1;
        if matches!(caller, Caller::Writer) {
            self.writer.asked = Some(token);
        }
        self.callers.insert(token, caller);
        let decision = self.machine.decide(self.now_ms, token, command);
        self.take(decision);
    }

    fn take(&mut self, decision: Decision<TxnRecord, TxnReply>) {
        let mut batch = Vec::new();
        for record in &decision.records {
            self.check_move(record);
            self.progress.follow(record);
            self.machine.apply(record);
            batch.push(record.encode());
        }
        if !batch.is_empty() {
            self.log.push(batch);
        }
        for (token, reply) in decision.replies {
            if self.durable == self.log.len() && self.parked.is_empty() {
                self.deliver(token, reply);
            } else {
                self.parked.push_back((self.log.len(), token, reply));
            }
        }
    }

    fn check_move(&self, record: &TxnRecord) {
        let before = self.machine.durable().get(&record.transactional_id);
        let before = before.map(|value| value.state);
        let legal = match &record.value {
            Some(value) => value.state.may_follow(before),
            None => before.is_some_and(TxnState::is_settled),
        };
        assert!(legal, "seed {}: {record:?} after {before:?}", self.seed);
    }

    /// The machine that a log makes.
    fn replayed(&self, log: &[Batch]) -> Transactions {
        let mut machine = Transactions::new(Arc::clone(&self.settings), 0);
        decoded(log).for_each(|record| machine.apply(&record));
        machine
    }

    fn check_replay(&self) {
        let replayed = self.replayed(&self.log);
        assert_eq!(
            replayed.durable(),
            self.machine.durable(),
            "seed {}",
            self.seed
        );
        for mut machine in [replayed, self.replayed(&[])] {
            for record in self.machine.durable().checkpoint() {
                machine.apply(&record);
            }
            assert_eq!(
                machine.durable(),
                self.machine.durable(),
                "seed {}",
                self.seed
            );
        }
    }

    fn crash(&mut self) {
        self.check_replay();
        let kept = self.rng.random_range(self.durable..=self.log.len());
        self.log.truncate(kept);
        self.durable = kept;
        for partition in &mut self.partitions {
            let kept = self
                .rng
                .random_range(partition.synced..=partition.entries.len());
            partition.entries.truncate(kept);
            partition.synced = kept;
        }
        self.parked.clear();
        self.callers.clear();
        for client in &mut self.clients {
            client.waits = None;
        }
        self.progress = Progress::default();
        for record in decoded(&self.log) {
            self.progress.follow(&record);
        }
        self.writer = Writer {
            lost_track: true,
            ..Writer::default()
        };
        self.machine = self.replayed(&self.log);
        let decision = self.machine.loaded(self.now_ms);
        self.take(decision);
    }

    /// Nobody begins anything any more: time ends what is open, and the writer finishes.
    fn settle(&mut self) {
        for client in &mut self.clients {
            client.waits = None;
        }
        for _ in 0..200 {
            self.pass_time(i64::from(TIMEOUT_MS) / 2);
            self.write_markers();
            self.sync();
        }
        self.check_replay();
        let ids = self.machine.durable().iter();
        let open: Vec<_> = ids.filter(|(_, value)| !value.state.is_settled()).collect();
        assert!(open.is_empty(), "seed {}: {open:?}", self.seed);
        self.check_outcomes();
    }

    fn check_outcomes(&self) {
        let decided = self.decided();
        for (serial, outcome) in &self.told {
            assert_eq!(
                decided.get(serial),
                Some(outcome),
                "seed {}: {serial:?}",
                self.seed
            );
        }
        for log in self.partitions.iter().filter(|log| !log.deleted) {
            for (at, entry) in log.entries.iter().enumerate() {
                let Entry::Data { producer, of } = entry else {
                    continue;
                };
                let marker = log.entries[at..].iter().find_map(|entry| match entry {
                    Entry::Marker {
                        producer: by,
                        outcome,
                    } if by.id == producer.id => Some((by.epoch, *outcome)),
                    _ => None,
                });
                let (epoch, outcome) = marker.unwrap_or_else(|| {
                    panic!("seed {}: {of:?} hangs", self.seed);
                });
                assert!(epoch >= producer.epoch, "seed {}: {of:?}", self.seed);
                assert_eq!(
                    decided.get(of),
                    Some(&outcome),
                    "seed {}: {of:?}",
                    self.seed
                );
            }
        }
    }

    /// The outcome of every transaction in the log; each has one.
    fn decided(&self) -> BTreeMap<Serial, Outcome> {
        let mut decided = BTreeMap::new();
        let mut progress = Progress::default();
        for record in decoded(&self.log) {
            let before = progress.follow(&record);
            let outcome = record.value.and_then(|value| value.state.ending());
            // In version 2 nothing at all can be aborted, too.
            if let Some(outcome) = outcome.filter(|_| before == Some(TxnState::Ongoing)) {
                let serial = progress.serial(&record.transactional_id);
                let twice = decided.insert(serial, outcome);
                assert_eq!(
                    twice, None,
                    "seed {}: {}",
                    self.seed, record.transactional_id
                );
            }
        }
        decided
    }
}
