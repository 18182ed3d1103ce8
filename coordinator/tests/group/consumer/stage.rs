//! Scripts: `time  command  | expected answer`, one step a line.
//!
//! Before a step every deadline up to its time is honoured. A step's events are its answers and
//! those that deadlines give. Records are not shown: after each step a machine made from their
//! bytes must hold the same state, and so must one made from a checkpoint.
//!
//! | command | |
//! |---|---|
//! | `topics t=4 u=2` | these are the topics from now on; `t+1=4` is `t` made anew |
//! | `join a t,u` | member `a` joins; options `regex= instance= assignor= rebalance=` |
//! | `beat a` | a heartbeat in the epoch `a` was last told; options `e= own=t:0,1;u:0 topics= …` |
//! | `leave a`, `away a` | for good, for a moment |
//! | `cjoin x t`, `csync x`, `cbeat x`, `cleave x` | a classic client; `own=` makes it a cooperative one |
//! | `times session=9 beat=3` | the group's times from now on; none: the broker's |
//! | `commit a`, `fetch a`, `drop t`, `describe`, `list`, `delete`, `restart`, `group` | |

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidelog_coordinator::group::{
    Assignment, CommitOffsets, ConsumerBeat, ConsumerError, ConsumerHeartbeat, DeleteOffsets,
    GroupCommand, GroupError, GroupRecord, GroupReply, GroupSettings, Groups, Heartbeat, JoinGroup,
    LeaveGroup, LeavingMember, ListGroups, MemberRef, OffsetToCommit, SyncGroup, TopicImage,
    TopicShape,
};
use tidelog_coordinator::machine::{Decision, Machine, Token};
use uuid::Uuid;

/// Plays `script` and compares every step.
pub fn check(script: &str) {
    let mut stage = Stage::new(GroupSettings::default());
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if let Some(settings) = line.strip_prefix("set ") {
            stage = Stage::new(settings_of(settings));
            continue;
        }
        let (step, expected) = line
            .split_once(" |")
            .unwrap_or_else(|| panic!("no `|` in {line}"));
        let got = stage.step(step);
        assert_eq!(got, expected.trim(), "\n  at: {line}\n  in: {script}");
    }
}

fn settings_of(words: &str) -> GroupSettings {
    let mut settings = GroupSettings::default();
    for (name, value) in words
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        let number = value.parse().unwrap_or(0);
        match name {
            "delay" => settings.initial_rebalance_delay_ms = number as i32,
            "size" => settings.consumer_members_max = number,
            "classic-size" => settings.members_max = number,
            "retention" => settings.offsets_retention_ms = number as i64,
            "sweep" => settings.retention_check_interval_ms = number as i64,
            "migration" => {
                settings.migration =
                    tidelog_coordinator::group::MigrationPolicy::named(value).unwrap();
            }
            _ => panic!("no setting {name}"),
        }
    }
    settings
}

/// The id of a topic: its name and how often it was made anew. In the order of the names.
pub fn topic_id(name: &str, made: u128) -> Uuid {
    let mut bytes = made.to_be_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

/// The bytes of a subscription, cooperative (version 1) if it says what is owned.
pub fn subscription(topics: &[&str], owned: Option<&[(String, Vec<i32>)]>) -> Bytes {
    let mut bytes = i16::to_be_bytes(owned.map_or(0, |_| 1)).to_vec();
    let string = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as i16).to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        string(&mut bytes, topic);
    }
    bytes.extend((-1i32).to_be_bytes());
    if let Some(owned) = owned {
        bytes.extend((owned.len() as i32).to_be_bytes());
        for (topic, partitions) in owned {
            string(&mut bytes, topic);
            bytes.extend((partitions.len() as i32).to_be_bytes());
            for partition in partitions {
                bytes.extend(partition.to_be_bytes());
            }
        }
    }
    bytes.into()
}

/// The bytes of an assignment, with `data` of a client-side assignor.
pub fn assignment_bytes(partitions: &[(String, Vec<i32>)], data: Option<&str>) -> Bytes {
    // A subscription of no topics, with the owned partitions in front of the user data.
    let with_owned = subscription(&[], Some(partitions));
    let mut bytes = vec![0, 0];
    bytes.extend(&with_owned[10..]);
    bytes.extend(data.map_or(-1, |data| data.len() as i32).to_be_bytes());
    bytes.extend(data.unwrap_or_default().as_bytes());
    bytes.into()
}

/// Partitions by topic name, out of the bytes of an assignment.
pub fn read_assignment(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    fn i32_at(bytes: &[u8], at: &mut usize) -> i32 {
        let number = i32::from_be_bytes(bytes[*at..*at + 4].try_into().unwrap());
        *at += 4;
        number
    }
    let mut at = 2;
    let mut topics = Vec::new();
    if bytes.is_empty() {
        return topics;
    }
    for _ in 0..i32_at(bytes, &mut at) {
        let length = usize::from(bytes[at + 1]);
        let name = String::from_utf8(bytes[at + 2..at + 2 + length].to_vec()).unwrap();
        at += 2 + length;
        let count = i32_at(bytes, &mut at);
        let partitions = (0..count).map(|_| i32_at(bytes, &mut at)).collect();
        topics.push((name, partitions));
    }
    topics
}

struct Stage {
    settings: GroupSettings,
    groups: Groups,
    log: Vec<(Bytes, Option<Bytes>)>,
    topics: Arc<TopicImage>,
    version: u64,
    waiting: BTreeMap<Token, String>,
    next_token: u64,
    ids_made: u128,
    /// Epoch or generation each client was last told.
    epochs: BTreeMap<String, i32>,
    /// Ids of classic clients.
    ids: BTreeMap<String, String>,
}

impl Stage {
    fn new(settings: GroupSettings) -> Self {
        let mut groups = Groups::new(Arc::new(settings.clone()));
        assert_eq!(groups.loaded(0), Decision::nothing());
        Self {
            settings,
            groups,
            log: Vec::new(),
            topics: Arc::default(),
            version: 0,
            waiting: BTreeMap::new(),
            next_token: 0,
            ids_made: 0,
            epochs: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &str) -> String {
        let mut words = step.split_whitespace();
        let now_ms: i64 = words.next().unwrap().parse().unwrap();
        let mut events = Vec::new();
        let verb = words.next();
        let up = verb != Some("restart");
        while let Some(at_ms) = self.groups.next_deadline().filter(|&at| up && at <= now_ms) {
            let decision = self.groups.tick(at_ms);
            self.take(decision, &mut events);
        }
        let words: Vec<&str> = words.collect();
        match verb {
            None => {}
            Some("restart") => self.restart(now_ms, &mut events),
            Some("topics") => self.set_topics(now_ms, &words, &mut events),
            Some("times") => self.set_times(now_ms, &words),
            Some("group") => events.push(self.group()),
            Some(verb) => self.ask(now_ms, verb, &words, &mut events),
        }
        self.compare_replays();
        events.join(" ; ")
    }

    fn ask(&mut self, now_ms: i64, verb: &str, words: &[&str], events: &mut Vec<String>) {
        let command = self.command(verb, words);
        let token = Token(self.next_token);
        self.next_token += 1;
        self.waiting.insert(token, who_of(words).to_owned());
        let decision = self.groups.decide(now_ms, token, command);
        self.take(decision, events);
    }

    fn set_topics(&mut self, now_ms: i64, words: &[&str], events: &mut Vec<String>) {
        self.version += 1;
        let topic = |word: &&str| {
            let (name, partitions) = word.split_once('=').unwrap();
            let (name, made) = name.split_once('+').unwrap_or((name, "0"));
            let shape = TopicShape {
                id: topic_id(name, made.parse().unwrap()),
                partitions: partitions.parse().unwrap(),
            };
            (name.to_owned(), shape)
        };
        self.topics = Arc::new(TopicImage::new(self.version, words.iter().map(topic)));
        let token = Token(self.next_token);
        self.next_token += 1;
        let command = GroupCommand::Topics(Arc::clone(&self.topics));
        let decision = self.groups.decide(now_ms, token, command);
        assert_eq!(decision.replies, [(token, GroupReply::Topics)]);
        assert!(decision.records.is_empty(), "{events:?}");
    }

    fn set_times(&mut self, now_ms: i64, words: &[&str]) {
        let mut times = self.settings.consumer_times;
        for (name, ms) in words.iter().filter_map(|word| word.split_once('=')) {
            match name {
                "session" => times.session_timeout_ms = ms.parse().unwrap(),
                "beat" => times.heartbeat_interval_ms = ms.parse().unwrap(),
                _ => panic!("no time {name}"),
            }
        }
        let own = (!words.is_empty()).then(|| ("g".to_owned(), times));
        self.settings.consumer_times_of = own.into_iter().collect();
        let token = Token(self.next_token);
        self.next_token += 1;
        let command = GroupCommand::Settings(Arc::new(self.settings.clone()));
        let decision = self.groups.decide(now_ms, token, command);
        assert_eq!(decision.replies, [(token, GroupReply::Settings)]);
    }

    fn replayed(&self) -> Groups {
        let mut groups = Groups::new(Arc::new(self.settings.clone()));
        for (key, value) in &self.log {
            let record = GroupRecord::decode(key, value.as_deref()).unwrap().unwrap();
            groups.apply(&record);
        }
        groups.with_topics(Arc::clone(&self.topics))
    }

    fn restart(&mut self, now_ms: i64, events: &mut Vec<String>) {
        self.groups = self.replayed();
        self.waiting.clear();
        let decision = self.groups.loaded(now_ms);
        self.take(decision, events);
    }

    fn compare_replays(&self) {
        assert_eq!(self.replayed().durable(), self.groups.durable());
        let mut restored = Groups::new(Arc::new(self.settings.clone()));
        for record in self.groups.durable().checkpoint() {
            restored.apply(&record);
        }
        assert_eq!(restored.durable(), self.groups.durable());
    }

    fn command(&mut self, verb: &str, words: &[&str]) -> GroupCommand {
        let who = who_of(words).to_owned();
        let option = |name: &str| {
            let found = words.iter().filter_map(|word| word.split_once('='));
            let mut found = found.filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| value.to_owned())
        };
        let group = "g".to_owned();
        let epoch = option("e").map_or_else(
            || self.epochs.get(&who).copied().unwrap_or(-1),
            |epoch| epoch.parse().unwrap(),
        );
        match verb {
            "join" | "beat" | "leave" | "away" => {
                let joins = verb == "join";
                let topics = match words.get(1) {
                    Some(topics) if joins && !topics.contains('=') => Some((*topics).to_owned()),
                    _ => option("topics"),
                };
                let rebalance = option("rebalance").map(|ms| ms.parse().unwrap());
                GroupCommand::ConsumerHeartbeat(ConsumerHeartbeat {
                    group: option("group").unwrap_or(group),
                    member_epoch: match verb {
                        "join" => 0,
                        "leave" => -1,
                        "away" => -2,
                        _ => epoch,
                    },
                    instance_id: option("instance"),
                    client_id: who.clone(),
                    rebalance_timeout_ms: rebalance.or(joins.then_some(60_000)),
                    topics: topics.map(|topics| names(&topics)),
                    regex: option("regex"),
                    assignor: option("assignor"),
                    rack_id: option("rack"),
                    owned: match option("own") {
                        Some(owned) => Some(self.parse_assignment(&owned)),
                        None => joins.then(Assignment::default),
                    },
                    new_member_uuid: words.contains(&"v0").then(Uuid::nil),
                    member_id: if words.contains(&"v0") {
                        String::new()
                    } else {
                        who
                    },
                    ..ConsumerHeartbeat::default()
                })
            }
            "cjoin" => GroupCommand::Join(self.classic_join(&who, words, &option)),
            "csync" => GroupCommand::Sync(SyncGroup {
                group,
                member: self.classic_member(&who, epoch, option("instance")),
                protocol_type: None,
                protocol: option("protocol"),
                assignments: words
                    .iter()
                    .filter_map(|word| word.split_once("->"))
                    .map(|(who, share)| {
                        let data = option("data");
                        let share = assignment_bytes(&parse(share), data.as_deref());
                        (self.ids[who].clone(), share)
                    })
                    .collect(),
            }),
            "cbeat" => GroupCommand::Heartbeat(Heartbeat {
                group,
                member: self.classic_member(&who, epoch, option("instance")),
            }),
            "cleave" => GroupCommand::Leave(LeaveGroup {
                group,
                members: vec![LeavingMember {
                    member_id: match option("instance") {
                        Some(_) => String::new(),
                        None => self.ids.get(&who).cloned().unwrap_or(who),
                    },
                    instance_id: option("instance"),
                }],
            }),
            "commit" => GroupCommand::CommitOffsets(CommitOffsets {
                knows_epochs: true,
                group,
                member: MemberRef {
                    member_id: self.ids.get(&who).cloned().unwrap_or(who),
                    instance_id: None,
                    generation: epoch,
                },
                retention_ms: None,
                offsets: vec![OffsetToCommit {
                    topic: "t".to_owned(),
                    partition: 0,
                    offset: 7,
                    leader_epoch: -1,
                    metadata: String::new(),
                }],
            }),
            "fetch" => GroupCommand::CheckEpoch {
                group,
                member_id: who,
                member_epoch: epoch,
            },
            "drop" => GroupCommand::DeleteOffsets(DeleteOffsets {
                group,
                partitions: vec![(who, 0)],
            }),
            "describe" => GroupCommand::DescribeConsumers {
                groups: vec![group],
            },
            "cdescribe" => GroupCommand::Describe {
                groups: vec![group],
            },
            "list" => GroupCommand::List(ListGroups {
                states: option("state").into_iter().collect(),
                types: option("type").into_iter().collect(),
            }),
            "delete" => GroupCommand::DeleteGroups {
                groups: vec![group],
            },
            _ => panic!("no command {verb}"),
        }
    }

    fn classic_member(&self, who: &str, generation: i32, instance_id: Option<String>) -> MemberRef {
        MemberRef {
            member_id: self.ids.get(who).cloned().unwrap_or_else(|| who.to_owned()),
            instance_id,
            generation,
        }
    }

    fn classic_join(
        &mut self,
        who: &str,
        words: &[&str],
        option: &impl Fn(&str) -> Option<String>,
    ) -> JoinGroup {
        let topics = words.get(1).filter(|word| !word.contains('=')).copied();
        let topics = names(topics.unwrap_or("t"));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let owned = option("own").map(|owned| parse(&owned));
        self.ids_made += 1;
        JoinGroup {
            group: "g".to_owned(),
            member_id: match option("id").as_deref() {
                Some("new") => String::new(),
                Some(id) => id.to_owned(),
                None => self.ids.get(who).cloned().unwrap_or_default(),
            },
            instance_id: option("instance"),
            client_id: who.to_owned(),
            client_host: String::new(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: option("type").unwrap_or_else(|| "consumer".to_owned()),
            protocols: vec![(
                option("protocol").unwrap_or_else(|| "range".to_owned()),
                match option("metadata") {
                    Some(metadata) => metadata.into(),
                    None => subscription(&topics, owned.as_deref()),
                },
            )],
            require_known_member_id: words.contains(&"known"),
            supports_skip_assignment: true,
            new_member_uuid: Uuid::from_u128(self.ids_made),
        }
    }

    fn parse_assignment(&self, text: &str) -> Assignment {
        let topics = parse(text).into_iter();
        let partitions = topics.flat_map(|(name, partitions)| {
            let id = self.topics.get(&name).map_or(Uuid::nil(), |topic| topic.id);
            partitions.into_iter().map(move |partition| (id, partition))
        });
        partitions.collect()
    }

    fn take(&mut self, decision: Decision<GroupRecord, GroupReply>, events: &mut Vec<String>) {
        for record in &decision.records {
            let (key, value) = record.encode();
            let decoded = GroupRecord::decode(&key, value.as_deref())
                .unwrap()
                .unwrap();
            assert_eq!(&decoded, record);
            self.groups.apply(&decoded);
            self.log.push((key, value));
        }
        for (token, reply) in decision.replies {
            let who = self.waiting.remove(&token).expect("answered once");
            let text = self.reply(&who, reply);
            events.push(if who.is_empty() {
                text
            } else {
                format!("{who}: {text}")
            });
        }
    }

    fn reply(&mut self, who: &str, reply: GroupReply) -> String {
        match reply {
            GroupReply::ConsumerHeartbeat(Ok(beat)) => self.beat(who, &beat),
            GroupReply::ConsumerHeartbeat(Err(ConsumerError::Group(GroupError::NotUpgraded {
                reason,
                ..
            }))) => format!("NotUpgraded {reason:?}"),
            GroupReply::ConsumerHeartbeat(Err(ConsumerError::Group(error))) => name_of(&error),
            GroupReply::ConsumerHeartbeat(Err(error)) => name_of(&error),
            GroupReply::Join(Ok(joined)) => {
                self.ids.insert(who.to_owned(), joined.member_id);
                self.epochs.insert(who.to_owned(), joined.generation);
                format!(
                    "e{} {}",
                    joined.generation,
                    joined.protocol.unwrap_or_default()
                )
            }
            GroupReply::Join(Err(GroupError::MemberIdRequired { member_id })) => {
                self.ids.insert(who.to_owned(), member_id);
                "again".to_owned()
            }
            GroupReply::Sync(Ok(synced)) => named(&read_assignment(&synced.assignment)),
            GroupReply::Heartbeat(result) | GroupReply::CheckEpoch(result) => outcome(&result),
            GroupReply::Join(Err(error)) | GroupReply::Sync(Err(error)) => name_of(&error),
            GroupReply::Leave(Ok(left)) => outcome(&left[0].result),
            GroupReply::CommitOffsets(Ok(done)) | GroupReply::DeleteOffsets(Ok(done)) => {
                outcome(&done[0].result)
            }
            GroupReply::Leave(Err(error))
            | GroupReply::CommitOffsets(Err(error))
            | GroupReply::DeleteOffsets(Err(error)) => name_of(&error),
            GroupReply::Describe(groups) => groups[0].state.name().to_owned(),
            GroupReply::DescribeConsumers(groups) => match &groups[0].1 {
                Err(error) => name_of(error),
                Ok(group) => {
                    let share = |share: &[tidelog_coordinator::group::NamedPartitions]| {
                        let topic = |topic: &tidelog_coordinator::group::NamedPartitions| {
                            (topic.topic.clone(), topic.partitions.clone())
                        };
                        named(&share.iter().map(topic).collect::<Vec<_>>())
                    };
                    let members = group.members.iter().map(|member| {
                        let kind = if member.is_classic { "classic " } else { "" };
                        let (assigned, target) = (share(&member.assigned), share(&member.target));
                        format!(
                            "{} {kind}e{} {assigned}→{target}",
                            self.short(&member.member_id),
                            member.epoch
                        )
                    });
                    let members: Vec<_> = members.collect();
                    let (state, assignor) = (group.state.name(), group.assignor);
                    format!(
                        "{state} {}/{} {assignor} {}",
                        group.epoch,
                        group.target_epoch,
                        members.join(", ")
                    )
                    .trim_end()
                    .to_owned()
                }
            },
            GroupReply::List(groups) => {
                let group = |group: &tidelog_coordinator::group::ListedGroup| {
                    let (kind, state) = (group.group_type, group.state.name());
                    format!("{}:{kind}:{}:{state}", group.group, group.protocol_type)
                };
                groups.iter().map(group).collect::<Vec<_>>().join(" ")
            }
            GroupReply::DeleteGroups(results) => outcome(&results[0].1),
            other => format!("{other:?}"),
        }
    }

    /// The name of the client whose id this is.
    fn short(&self, member_id: &str) -> String {
        let known = self.ids.iter().find(|(_, id)| *id == member_id);
        known.map_or_else(|| member_id.to_owned(), |(who, _)| who.clone())
    }

    fn beat(&mut self, who: &str, beat: &ConsumerBeat) -> String {
        self.epochs.insert(who.to_owned(), beat.member_epoch);
        let assignment = beat.assignment.as_ref().map(|assignment| {
            let topics = assignment.topics().map(|(id, partitions)| {
                let name = self.topics.name(id).unwrap_or("?");
                (name.to_owned(), partitions.iter().copied().collect())
            });
            format!(" {}", named(&topics.collect::<Vec<_>>()))
        });
        if let Some(times) = self.settings.consumer_times_of.get("g") {
            assert_eq!(beat.heartbeat_interval_ms, times.heartbeat_interval_ms);
        }
        let id = if beat.member_id == who {
            String::new()
        } else {
            format!("{} ", beat.member_id)
        };
        format!(
            "{id}e{}{}",
            beat.member_epoch,
            assignment.unwrap_or_default()
        )
    }

    /// What is on record of the group, beside its members.
    fn group(&self) -> String {
        let durable = self.groups.durable();
        let classic = durable.group("g").map(|group| {
            let members = group.members.iter().map(|member| {
                let share = named(&read_assignment(&member.assignment));
                format!("{}{share}", self.short(&member.member_id))
            });
            let members: Vec<_> = members.collect();
            format!("classic gen={} {}", group.generation, members.join(" "))
        });
        let consumer = durable.consumer_group("g").map(|group| {
            format!(
                "consumer epoch={} members={}",
                group.epoch(),
                group.members().len()
            )
        });
        let offsets = durable.offsets("g").map(|_| "offsets".to_owned());
        let parts: Vec<_> = [classic, consumer, offsets].into_iter().flatten().collect();
        if parts.is_empty() {
            "nothing".to_owned()
        } else {
            parts.join(" + ").trim().to_owned()
        }
    }
}

/// The client a step is about, if any.
fn who_of<'a>(words: &[&'a str]) -> &'a str {
    words
        .first()
        .filter(|word| !word.contains('='))
        .copied()
        .unwrap_or_default()
}

fn names(text: &str) -> Vec<String> {
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// `t:0,1;u:0`
fn parse(text: &str) -> Vec<(String, Vec<i32>)> {
    let topic = |part: &str| {
        let (name, partitions) = part.split_once(':').unwrap();
        let partitions = partitions.split(',').map(|number| number.parse().unwrap());
        (name.to_owned(), partitions.collect())
    };
    text.split(';')
        .filter(|part| !part.is_empty())
        .map(topic)
        .collect()
}

fn named(topics: &[(String, Vec<i32>)]) -> String {
    let topic = |(name, partitions): &(String, Vec<i32>)| {
        let numbers: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        format!("{name}:{}", numbers.join(","))
    };
    format!(
        "[{}]",
        topics.iter().map(topic).collect::<Vec<_>>().join(";")
    )
}

fn name_of(error: &impl std::fmt::Debug) -> String {
    let name = format!("{error:?}");
    name.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn outcome(result: &Result<(), GroupError>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => name_of(error),
    }
}
