//! Scripts: `time  command  | expected events`, one step a line.
//!
//! Before a step every deadline up to its time is honoured; what the machine then writes and
//! answers must be the expected events, in order, separated by ` ; `. A step may have no command.
//! Records go through their bytes before they are applied, as in a real log.
//!
//! A new member writes `join a`; the n-th id made in a script by a client `a` is written `a.n`.
//! A producer is written `id:epoch`; `begin` keeps the guard it gets for the producer's commits.
//! `restart` rebuilds the machine from its log. `set` lines change settings. Words `key=value` are options of the step.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::group::{
    BeginTxnOffsets, CommitOffsets, CommitTxnOffsets, DeleteOffsets, FetchOffsets, GroupCommand,
    GroupRecord, GroupReply, GroupSettings, Groups, Heartbeat, JoinGroup, LeaveGroup,
    LeavingMember, ListGroups, MemberRef, OffsetToCommit, SyncGroup, TxnEnd, TxnGuard,
};
use tidelog_coordinator::machine::{Decision, Envelope, Machine, Token};
use tidelog_coordinator::producer::{Outcome, Producer};
use uuid::Uuid;

use super::show;

/// Plays `script` and compares every step.
pub fn check(script: &str) {
    let mut stage = Stage::new(GroupSettings::default());
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if let Some(settings) = line.strip_prefix("set ") {
            stage.set(settings);
            continue;
        }
        let (step, expected) = line
            .split_once('|')
            .unwrap_or_else(|| panic!("no `|` in {line}"));
        let got = stage.step(step);
        assert_eq!(got, expected.trim(), "\n  at: {line}\n  in: {script}");
    }
}

/// The bytes of a version-0 consumer subscription.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

struct Stage {
    settings: GroupSettings,
    groups: Groups,
    log: Vec<(Envelope, Bytes, Option<Bytes>)>,
    guards: BTreeMap<Producer, TxnGuard>,
    waiting: BTreeMap<Token, String>,
    next_token: u64,
    ids_made: u128,
    /// The producer of the last `begin`.
    asked_by: Producer,
}

impl Stage {
    fn new(settings: GroupSettings) -> Self {
        let mut groups = Groups::new(Arc::new(settings.clone()));
        assert_eq!(groups.loaded(0), Decision::nothing());
        let (log, guards, waiting) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            settings,
            groups,
            log,
            guards,
            waiting,
            next_token: 0,
            ids_made: 0,
            asked_by: Producer::new(-1, -1),
        }
    }

    fn set(&mut self, words: &str) {
        let mut settings = self.settings.clone();
        for (name, value) in words
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            let value: i64 = value.parse().unwrap();
            match name {
                "delay" => settings.initial_rebalance_delay_ms = value as i32,
                "size" => settings.members_max = value as usize,
                "pending" => settings.pending_members_max = value as usize,
                "record" => settings.group_record_bytes_max = value as usize,
                "retention" => settings.offsets_retention_ms = value,
                "sweep" => settings.retention_check_interval_ms = value,
                _ => panic!("no setting {name}"),
            }
        }
        *self = Self {
            log: std::mem::take(&mut self.log),
            ..Self::new(settings)
        };
    }

    fn step(&mut self, step: &str) -> String {
        let mut words = step.split_whitespace();
        let now_ms: i64 = words.next().unwrap().parse().unwrap();
        let mut events = Vec::new();
        let verb = words.next();
        // A machine about to be restarted was down since the step before.
        let up = verb != Some("restart");
        while let Some(deadline_ms) = self.groups.next_deadline().filter(|&at| up && at <= now_ms) {
            let decision = self.groups.tick(deadline_ms);
            self.take(decision, &mut events);
        }
        if let Some(verb) = verb {
            let decision = self.act(now_ms, verb, &Words::parse(words));
            self.take(decision, &mut events);
        }
        events.join(" ; ")
    }

    fn act(&mut self, now: i64, verb: &str, words: &Words) -> Decision<GroupRecord, GroupReply> {
        match verb {
            "restart" => {
                let replayed = self.replayed();
                let before = std::mem::replace(&mut self.groups, replayed);
                assert_eq!(before.durable(), self.groups.durable());
                // A checkpoint makes the state, alone and on top of the log it was taken from.
                let fresh = Groups::new(Arc::new(self.settings.clone()));
                for mut groups in [fresh, self.replayed()] {
                    let checkpoint = before.durable().checkpoint();
                    checkpoint.iter().for_each(|record| groups.apply(record));
                    assert_eq!(before.durable(), groups.durable());
                }
                self.waiting.clear();
                self.groups.loaded(now)
            }
            "cancel" => {
                let parked = self.waiting.iter().find(|(_, who)| **who == words.plain[0]);
                let token = *parked.expect("nobody of that name waits").0;
                self.waiting.remove(&token);
                self.groups.cancel(now, token)
            }
            _ => {
                let command = self.command(verb, words);
                if let GroupCommand::BeginTxnOffsets(begin) = &command {
                    self.asked_by = begin.producer;
                }
                let token = Token(self.next_token);
                self.next_token += 1;
                let who = words
                    .plain
                    .first()
                    .filter(|_| matches!(verb, "join" | "sync" | "beat"));
                self.waiting.insert(token, who.cloned().unwrap_or_default());
                self.groups.decide(now, token, command)
            }
        }
    }

    /// The machine that the log makes.
    fn replayed(&self) -> Groups {
        let mut groups = Groups::new(Arc::new(self.settings.clone()));
        for (envelope, key, value) in &self.log {
            let record = GroupRecord::decode_in(*envelope, key, value.as_deref()).unwrap();
            groups.apply(&record.unwrap());
        }
        groups
    }

    fn command(&mut self, verb: &str, words: &Words) -> GroupCommand {
        let group = words.text("group", "g");
        match verb {
            "join" => GroupCommand::Join(self.join(group, words)),
            "sync" => GroupCommand::Sync(SyncGroup {
                group,
                member: words.member(&words.plain[0]),
                protocol_type: words.get("type"),
                protocol: words.get("protocol"),
                assignments: words
                    .options
                    .iter()
                    .filter(|(name, _)| name.contains('.'))
                    .map(|(name, value)| (long(name), Bytes::from(value.clone())))
                    .collect(),
            }),
            "beat" => GroupCommand::Heartbeat(Heartbeat {
                group,
                member: words.member(&words.plain[0]),
            }),
            "leave" => {
                let leaving = |word: &String| {
                    let (member, instance) = word.split_once('@').unwrap_or((word, ""));
                    let instance_id = Some(instance.to_owned()).filter(|id| !id.is_empty());
                    LeavingMember {
                        member_id: long(member),
                        instance_id,
                    }
                };
                let members = words.plain.iter().map(leaving).collect();
                GroupCommand::Leave(LeaveGroup { group, members })
            }
            "commit" => GroupCommand::CommitOffsets(CommitOffsets {
                knows_epochs: true,
                group,
                member: words.member(words.plain.first().map_or("", String::as_str)),
                retention_ms: words.get("retention").map(|ms| ms.parse().unwrap()),
                offsets: words.offsets(),
            }),
            "begin" => GroupCommand::BeginTxnOffsets(BeginTxnOffsets {
                producer: words.producer(),
            }),
            "txn-commit" => {
                let producer = words.producer();
                let guard = self.guards.get(&producer).copied();
                GroupCommand::CommitTxnOffsets(CommitTxnOffsets {
                    group,
                    member: words.member(words.plain.get(1).map_or("", String::as_str)),
                    producer,
                    guard: guard.unwrap_or(TxnGuard::Open),
                    offsets: words.offsets(),
                })
            }
            "end-commit" | "end-abort" => GroupCommand::EndTransaction(TxnEnd {
                producer: words.producer(),
                outcome: if verb == "end-commit" {
                    Outcome::Commit
                } else {
                    Outcome::Abort
                },
                coordinator_epoch: words.number("coordinator", 0),
            }),
            "fetch" => {
                let partitions = Some(words.partitions()).filter(|named| !named.is_empty());
                GroupCommand::FetchOffsets(FetchOffsets { group, partitions })
            }
            "drop" => GroupCommand::DeleteOffsets(DeleteOffsets {
                group,
                partitions: words.partitions(),
            }),
            "describe" => GroupCommand::Describe {
                groups: vec![group],
            },
            "list" => GroupCommand::List(ListGroups {
                states: words.get("state").into_iter().collect(),
                types: words.get("type").into_iter().collect(),
            }),
            "delete" => GroupCommand::DeleteGroups {
                groups: vec![group],
            },
            "topic-gone" => GroupCommand::TopicDeleted {
                topic: words.plain[0].clone(),
            },
            _ => panic!("no command {verb}"),
        }
    }

    fn join(&mut self, group: String, words: &Words) -> JoinGroup {
        let who = &words.plain[0];
        let known = who.contains('.');
        self.ids_made += u128::from(!known);
        let protocol_type = words.text("type", "consumer");
        let protocols = words.text("protocols", "range:t");
        let protocol = |protocol: &str| {
            let (name, topics) = protocol.split_once(':').unwrap_or((protocol, ""));
            let topics: Vec<_> = topics
                .split('+')
                .filter(|topic| !topic.is_empty())
                .collect();
            let metadata = if protocol_type == "consumer" {
                subscription(&topics)
            } else {
                Bytes::from(topics.join("+"))
            };
            (name.to_owned(), metadata)
        };
        JoinGroup {
            group,
            member_id: if known { long(who) } else { String::new() },
            instance_id: words.get("instance"),
            client_id: who.split('.').next().unwrap().to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: words.number("session", 10_000),
            rebalance_timeout_ms: words.number("rebalance", 60_000),
            protocols: protocols
                .split(',')
                .filter(|p| !p.is_empty())
                .map(protocol)
                .collect(),
            protocol_type,
            require_known_member_id: !words.flag("old"),
            supports_skip_assignment: words.flag("skip"),
            new_member_uuid: Uuid::from_u128(self.ids_made),
        }
    }

    fn take(&mut self, decision: Decision<GroupRecord, GroupReply>, events: &mut Vec<String>) {
        for record in &decision.records {
            let (key, value) = record.encode();
            let envelope = Groups::envelope(record);
            let decoded = GroupRecord::decode_in(envelope, &key, value.as_deref())
                .unwrap()
                .unwrap();
            assert_eq!(&decoded, record);
            self.groups.apply(&decoded);
            self.log.push((envelope, key, value));
            events.push(show::record(record));
        }
        for (token, reply) in decision.replies {
            if let GroupReply::BeginTxnOffsets(guard) = reply {
                self.guards.insert(self.asked_by, guard);
            }
            let who = self.waiting.remove(&token).expect("answered once");
            let who = if who.is_empty() {
                who
            } else {
                format!("{who}: ")
            };
            events.push(format!("{who}{}", show::reply(&reply)));
        }
    }
}

/// The words of a step after its verb.
struct Words {
    plain: Vec<String>,
    options: Vec<(String, String)>,
}

impl Words {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let (mut plain, mut options) = (Vec::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => options.push((name.to_owned(), value.to_owned())),
                None => plain.push(word.to_owned()),
            }
        }
        Self { plain, options }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.options
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or_else(|| default.to_owned())
    }

    fn number(&self, name: &str, default: i32) -> i32 {
        self.get(name)
            .map_or(default, |value| value.parse().unwrap())
    }

    fn flag(&self, name: &str) -> bool {
        self.plain.iter().any(|word| word == name)
    }

    /// `id:epoch`, the first word.
    fn producer(&self) -> Producer {
        let (id, epoch) = self.plain[0].split_once(':').unwrap();
        Producer::new(id.parse().unwrap(), epoch.parse().unwrap())
    }

    fn member(&self, who: &str) -> MemberRef {
        MemberRef {
            member_id: long(who),
            instance_id: self.get("instance"),
            generation: self.number("gen", -1),
        }
    }

    fn offsets(&self) -> Vec<OffsetToCommit> {
        let offset = |(name, value): &(String, String)| {
            let (topic, partition) = name.split_once('/')?;
            Some(OffsetToCommit {
                topic: topic.to_owned(),
                partition: partition.parse().unwrap(),
                offset: value.parse().unwrap(),
                leader_epoch: self.number("epoch", -1),
                metadata: match self.get("meta").as_deref() {
                    Some("4096") => "é".repeat(4096),
                    Some("4097") => "é".repeat(4097),
                    Some(text) => text.to_owned(),
                    None => String::new(),
                },
            })
        };
        self.options.iter().filter_map(offset).collect()
    }

    fn partitions(&self) -> Vec<(String, i32)> {
        let partition = |word: &String| {
            let (topic, partition) = word.split_once('/')?;
            Some((topic.to_owned(), partition.parse().unwrap()))
        };
        self.plain.iter().filter_map(partition).collect()
    }
}

/// `a.1` as the machine knows it.
fn long(short: &str) -> String {
    match short.split_once('.') {
        Some((client, made)) => format!("{client}-{}", Uuid::from_u128(made.parse().unwrap())),
        None => short.to_owned(),
    }
}
