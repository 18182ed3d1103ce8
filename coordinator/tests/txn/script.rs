//! Scripts: `time  command  | expected events`, one step a line.
//!
//! Before a step every deadline up to its time is honoured; what the machine then writes and
//! answers must be the expected events, in order, separated by ` ; `. A step may have no command.
//! Records go through their bytes before they are applied, as in a real log.
//!
//! A producer is written `id:epoch`, a partition `topic/number`. `v2` marks a client of transaction
//! version 2. `restart` rebuilds the machine from its log, `place` adds a record to it as it is;
//! `set` lines change settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::machine::{Decision, Machine, Token};
use tidelog_coordinator::producer::{Outcome, Producer};
use tidelog_coordinator::txn::{
    AddPartitions, EndTxn, IdPattern, InitProducerId, ListTransactions, Markers, MarkersWritten,
    TopicPartition, Transaction, TransactionVersion, Transactions, TxnCommand, TxnError, TxnRecord,
    TxnReply, TxnSettings, TxnState, VerifyPartitions,
};

pub const COORDINATOR_EPOCH: i32 = 7;

/// Plays `script` and compares every step.
pub fn check(script: &str) {
    let mut stage = Stage::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if let Some(settings) = line.strip_prefix("set ") {
            stage.set(settings);
            continue;
        }
        if line.contains(" place ") {
            stage.step(line);
            continue;
        }
        let (step, expected) = line
            .rsplit_once('|')
            .unwrap_or_else(|| panic!("no `|` in {line}"));
        let got = stage.step(step);
        assert_eq!(got, expected.trim(), "\n  at: {line}\n  in: {script}");
    }
}

pub struct Stage {
    settings: TxnSettings,
    machine: Transactions,
    log: Vec<(Bytes, Option<Bytes>)>,
    waiting: BTreeMap<Token, &'static str>,
    next_token: u64,
}

impl Stage {
    /// A machine with producer ids 1 to 99 in store.
    pub fn new() -> Self {
        let settings = TxnSettings::default();
        let mut stage = Self {
            machine: Transactions::new(Arc::new(settings.clone()), COORDINATOR_EPOCH),
            settings,
            log: Vec::new(),
            waiting: BTreeMap::new(),
            next_token: 0,
        };
        assert_eq!(stage.machine.loaded(0), Decision::nothing());
        assert_eq!(stage.step("0 grant 1 99"), "granted");
        stage
    }

    fn set(&mut self, words: &str) {
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap();
            match name {
                "max" => self.settings.timeout_max_ms = value.parse().unwrap(),
                "keep" => self.settings.id_expiration_ms = value.parse().unwrap(),
                "sweep" => self.settings.id_expiration_interval_ms = value.parse().unwrap(),
                "version" => {
                    self.settings.version = match value {
                        "0" => TransactionVersion::V0,
                        _ => TransactionVersion::V2,
                    }
                }
                other => panic!("no setting {other}"),
            }
        }
        self.step("0 restart");
        self.step("0 grant 1 99");
    }

    fn rebuild(&mut self) {
        let settings = Arc::new(self.settings.clone());
        let mut replayed = Transactions::new(settings, COORDINATOR_EPOCH);
        for (key, value) in &self.log {
            replayed.apply(&TxnRecord::decode(key, value.as_deref()).unwrap().unwrap());
        }
        assert_eq!(replayed.durable(), self.machine.durable());
        self.machine = replayed;
        self.waiting.clear();
    }

    /// Plays one step; answers its events.
    pub fn step(&mut self, step: &str) -> String {
        let mut words = step.split_whitespace();
        let now_ms: i64 = words.next().unwrap().parse().unwrap();
        let mut events = Vec::new();
        while let Some(at_ms) = self.machine.next_deadline().filter(|&at| at <= now_ms) {
            let decision = self.machine.tick(at_ms);
            self.take(decision, &mut events);
        }
        let words: Vec<&str> = words.collect();
        if let Some((verb, rest)) = words.split_first() {
            if *verb == "restart" {
                self.rebuild();
                let decision = self.machine.loaded(now_ms);
                self.take(decision, &mut events);
            } else if *verb == "place" {
                let record = placed(rest, now_ms);
                self.machine.apply(&record);
                self.log.push(record.encode());
            } else {
                let token = Token(self.next_token);
                self.next_token += 1;
                if *verb == "work" {
                    self.waiting.insert(token, "work");
                }
                let decision = self.machine.decide(now_ms, token, command(verb, rest));
                self.take(decision, &mut events);
            }
        }
        events.join(" ; ")
    }

    fn take(&mut self, decision: Decision<TxnRecord, TxnReply>, events: &mut Vec<String>) {
        for record in &decision.records {
            let (key, value) = record.encode();
            let decoded = TxnRecord::decode(&key, value.as_deref()).unwrap().unwrap();
            assert_eq!(&decoded, record);
            self.machine.apply(&decoded);
            self.log.push((key, value));
            events.push(show_record(record));
        }
        for (token, reply) in decision.replies {
            self.waiting.remove(&token);
            events.push(show_reply(&reply));
        }
    }
}

/// `place ID STATE PRODUCER [before=ID] [held=EPOCH] [then=ID] [v2] PARTITION…`: a record as an
/// earlier life of the machine could have left it.
fn placed(words: &[&str], now_ms: i64) -> TxnRecord {
    let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let producer = parse_producer(words[2]);
    let state = TxnState::ALL
        .into_iter()
        .find(|state| state.name() == words[1]);
    let partitions = words.iter().filter_map(|word| word.split_once('/'));
    let value = Transaction {
        producer,
        previous_producer_id: option("before=").map_or(producer.id, |id| id.parse().unwrap()),
        next_producer_id: option("then=").map_or(-1, |id| id.parse().unwrap()),
        last_epoch: option("held=").map_or(-1, |epoch| epoch.parse().unwrap()),
        timeout_ms: 60_000,
        state: state.unwrap(),
        partitions: partitions
            .map(|(topic, partition)| TopicPartition::new(topic, partition.parse().unwrap()))
            .collect(),
        started_ms: now_ms,
        updated_ms: now_ms,
        version: if words.contains(&"v2") {
            TransactionVersion::V2
        } else {
            TransactionVersion::V0
        },
    };
    TxnRecord {
        transactional_id: words[0].to_owned(),
        value: Some(value),
    }
}

fn command(verb: &str, words: &[&str]) -> TxnCommand {
    let option = |name: &str| {
        let found = words.iter().find_map(|word| word.strip_prefix(name));
        found.and_then(|rest| rest.strip_prefix('='))
    };
    let number = |name: &str, default: i32| option(name).map_or(default, |v| v.parse().unwrap());
    let flag = |name: &str| words.contains(&name);
    let version = if flag("v2") {
        TransactionVersion::V2
    } else {
        TransactionVersion::V0
    };
    let transactional_id = words.first().unwrap_or(&"").trim_matches('"').to_owned();
    let producer = || parse_producer(words[1]);
    let partitions = || -> Vec<TopicPartition> {
        let named = words.iter().filter_map(|word| word.split_once('/'));
        named
            .map(|(topic, partition)| TopicPartition::new(topic, partition.parse().unwrap()))
            .collect()
    };
    match verb {
        "init" => TxnCommand::InitProducerId(InitProducerId {
            transactional_id,
            timeout_ms: number("timeout", 60_000),
            expected: option("held").map(parse_producer),
        }),
        "add" => TxnCommand::AddPartitions(AddPartitions {
            transactional_id,
            producer: producer(),
            partitions: partitions(),
            version,
        }),
        "verify" => TxnCommand::VerifyPartitions(VerifyPartitions {
            transactional_id,
            producer: producer(),
            partitions: partitions(),
        }),
        "commit" | "abort" => TxnCommand::EndTxn(EndTxn {
            transactional_id,
            producer: producer(),
            outcome: if verb == "commit" {
                Outcome::Commit
            } else {
                Outcome::Abort
            },
            version,
        }),
        "work" => TxnCommand::TakeWork { anew: flag("anew") },
        "written" => TxnCommand::MarkersWritten(MarkersWritten {
            transactional_id,
            producer: producer(),
            partitions: partitions(),
        }),
        "skip" => TxnCommand::SkipProducerIds {
            below: words[0].parse().unwrap(),
        },
        "grant" => TxnCommand::GrantProducerIds {
            first: words[0].parse().unwrap(),
            count: words[1].parse().unwrap(),
        },
        "list" => TxnCommand::List(ListTransactions {
            states: option("state").into_iter().map(str::to_owned).collect(),
            producer_ids: option("pid").iter().map(|id| id.parse().unwrap()).collect(),
            longer_than_ms: option("longer").map(|limit| limit.parse().unwrap()),
            id_pattern: option("like").map(|pattern| IdPattern::parse(pattern).unwrap()),
        }),
        "describe" => TxnCommand::Describe {
            transactional_ids: vec![transactional_id],
        },
        other => panic!("no command {other}"),
    }
}

fn parse_producer(word: &str) -> Producer {
    let (id, epoch) = word.split_once(':').unwrap();
    Producer::new(id.parse().unwrap(), epoch.parse().unwrap())
}

fn show_producer(producer: Producer) -> String {
    format!("{}:{}", producer.id, producer.epoch)
}

fn show_partitions(partitions: &[TopicPartition]) -> String {
    let names = partitions
        .iter()
        .map(|p| format!("{}/{}", p.topic, p.partition));
    format!("[{}]", names.collect::<Vec<_>>().join(" "))
}

fn show_record(record: &TxnRecord) -> String {
    let id = &record.transactional_id;
    let Some(value) = &record.value else {
        return format!("write {id} gone");
    };
    let Transaction {
        producer,
        next_producer_id,
        state,
        partitions,
        ..
    } = value;
    let mut shown = format!("write {id} {} {}", state.name(), show_producer(*producer));
    if *next_producer_id >= 0 {
        shown += &format!(" then {next_producer_id}");
    }
    if !partitions.is_empty() {
        shown += &format!(" {}", show_partitions(&partitions.to_vec()));
    }
    shown
}

fn or_error<T>(result: &Result<T, TxnError>, show: impl FnOnce(&T) -> String) -> String {
    match result {
        Ok(value) => show(value),
        Err(TxnError::InvalidTransactionalId { .. }) => "InvalidTransactionalId".to_owned(),
        Err(TxnError::InvalidTimeout { max_ms }) => format!("InvalidTimeout {max_ms}"),
        Err(other) => format!("{other:?}"),
    }
}

fn show_markers(markers: &Markers) -> String {
    assert_eq!(markers.coordinator_epoch, COORDINATOR_EPOCH);
    let outcome = match markers.outcome {
        Outcome::Commit => "commit",
        Outcome::Abort => "abort",
    };
    format!(
        "{outcome} {} {} {}",
        markers.transactional_id,
        show_producer(markers.producer),
        show_partitions(&markers.partitions)
    )
}

fn show_reply(reply: &TxnReply) -> String {
    match reply {
        TxnReply::InitProducerId(result) | TxnReply::EndTxn(result) => {
            or_error(result, |producer| show_producer(*producer))
        }
        TxnReply::AddPartitions(result) => or_error(result, |()| "ok".to_owned()),
        TxnReply::VerifyPartitions(result) => or_error(result, |verified| {
            let one = |(partition, result): &(TopicPartition, Result<(), TxnError>)| {
                let result = or_error(result, |()| "ok".to_owned());
                format!("{}/{} {result}", partition.topic, partition.partition)
            };
            verified.iter().map(one).collect::<Vec<_>>().join(" ")
        }),
        TxnReply::TakeWork(work) => {
            let wanted = work.needs_producer_ids.then(|| "ids wanted".to_owned());
            let work: Vec<_> = work
                .markers
                .iter()
                .map(show_markers)
                .chain(wanted)
                .collect();
            format!("work: {}", work.join(", "))
        }
        TxnReply::MarkersWritten => "noted".to_owned(),
        TxnReply::GrantProducerIds => "granted".to_owned(),
        TxnReply::SkipProducerIds => "skipped".to_owned(),
        TxnReply::List(list) => {
            let unknown = list
                .unknown_states
                .iter()
                .map(|name| format!("unknown {name}"));
            let listed = list.transactions.iter().map(|one| {
                format!(
                    "{}:{}:{}",
                    one.transactional_id,
                    one.producer_id,
                    one.state.name()
                )
            });
            let shown: Vec<_> = unknown.chain(listed).collect();
            format!("[{}]", shown.join(" "))
        }
        TxnReply::Describe(described) => {
            let one = |(_, result): &(String, _)| {
                or_error(
                    result,
                    |one: &tidelog_coordinator::txn::DescribedTransaction| {
                        format!(
                            "{} {} timeout={} started={} {}",
                            one.state.name(),
                            show_producer(one.producer),
                            one.timeout_ms,
                            one.started_ms,
                            show_partitions(&one.partitions)
                        )
                    },
                )
            };
            described.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    }
}
