//! Clients of all kinds at random in one group, against what must hold whatever they do:
//!
//! - no partition is consumed by two clients at once, through upgrades and downgrades of the group,
//!   lost answers and restarts;
//! - no partition is held by two members, and each target gives it to one who wants it;
//! - the records, through their bytes, make the same state in another machine, and so does a
//!   checkpoint;
//! - left alone, the clients come to rest with everything consumed.
//!
//! A client stops consuming when it has been silent for its session: the coordinator will give its
//! partitions to others then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::group::{
    Assignment, ConsumerError, ConsumerGroup, ConsumerHeartbeat, GroupCommand, GroupError,
    GroupRecord, GroupReply, GroupSettings, GroupState, Groups, Heartbeat, JoinGroup, Joined,
    LeaveGroup, LeavingMember, MemberRef, SyncGroup, TopicImage, TopicShape,
};
use tidelog_coordinator::machine::{Decision, Machine, Token};
use uuid::Uuid;

use super::stage::{assignment_bytes, read_assignment, subscription, topic_id};

const SEEDS: u64 = 40;
const STEPS: usize = 300;
const TOPICS: [&str; 3] = ["t", "u", "v"];
const NEW_SESSION_MS: i64 = 45_000;
const CLASSIC_SESSION_MS: i64 = 10_000;
/// Rounds of heartbeats, a second each, in which a group must come to rest.
const ROUNDS_MAX: usize = 200;

#[test]
fn whatever_clients_do_no_partition_has_two_owners() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Of the new protocol.
    New,
    Eager,
    Cooperative,
}

/// What a client believes and does.
#[derive(Clone, Debug)]
struct Client {
    name: String,
    kind: Kind,
    instance_id: Option<String>,
    topics: BTreeSet<String>,
    /// Wants to be in the group.
    up: bool,
    member_id: String,
    /// 0 outside the group.
    epoch: i32,
    /// What it consumes.
    owned: Assignment,
    /// What it has been told to consume: the rest of `owned` is to be given up.
    assigned: Assignment,
    /// The last answer was lost: say everything again.
    lost: bool,
    to_sync: bool,
    waits: Option<Token>,
    /// The members to assign to, while it leads a classic group.
    leads: Vec<String>,
    heard_ms: i64,
}

struct World {
    seed: u64,
    rng: SmallRng,
    now_ms: i64,
    settings: Arc<GroupSettings>,
    groups: Groups,
    log: Vec<(Bytes, Option<Bytes>)>,
    clients: Vec<Client>,
    asked: BTreeMap<Token, usize>,
    next_token: u64,
    ids_made: u128,
    partitions: BTreeMap<&'static str, TopicShape>,
    topics: Arc<TopicImage>,
    /// No more lost answers.
    quiet: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let settings = Arc::new(GroupSettings {
            initial_rebalance_delay_ms: 0,
            ..GroupSettings::default()
        });
        let kinds: &[Kind] = match seed % 3 {
            0 => &[Kind::New],
            1 => &[Kind::New, Kind::Eager],
            _ => &[Kind::New, Kind::Eager, Kind::Cooperative],
        };
        let clients = (0..6).map(|at| Client {
            name: format!("c{at}"),
            kind: *kinds.choose(&mut rng).unwrap(),
            instance_id: (at % 3 == 0).then(|| format!("i{at}")),
            topics: TOPICS
                .iter()
                .take(1 + at % 3)
                .map(|&name| name.to_owned())
                .collect(),
            up: false,
            member_id: String::new(),
            epoch: 0,
            owned: Assignment::default(),
            assigned: Assignment::default(),
            lost: false,
            to_sync: false,
            waits: None,
            leads: Vec::new(),
            heard_ms: 0,
        });
        let mut world = Self {
            seed,
            clients: clients.collect(),
            rng,
            now_ms: 0,
            groups: Groups::new(Arc::clone(&settings)),
            settings,
            log: Vec::new(),
            asked: BTreeMap::new(),
            next_token: 0,
            ids_made: 0,
            partitions: BTreeMap::new(),
            topics: Arc::default(),
            quiet: false,
        };
        let decision = world.groups.loaded(0);
        world.take(decision);
        world.change_topics();
        world
    }

    fn step(&mut self) {
        let pause_ms = [0, 100, 1_000, 3_000][self.rng.random_range(0..4)];
        self.pass_time(pause_ms);
        let who = self.rng.random_range(0..self.clients.len());
        match self.rng.random_range(0..100) {
            0..2 => self.restart(),
            2..5 => self.change_topics(),
            5..8 => self.pass_time(20_000),
            8..12 => self.leave(who),
            12..16 => self.change_kind(who),
            16..18 => self.resubscribe(who),
            _ => self.behave(who),
        }
        self.check();
    }

    fn pass_time(&mut self, span_ms: i64) {
        let until_ms = self.now_ms + span_ms;
        while let Some(at_ms) = self.groups.next_deadline().filter(|&at| at <= until_ms) {
            self.now_ms = at_ms.max(self.now_ms);
            self.end_sessions();
            let decision = self.groups.tick(self.now_ms);
            self.take(decision);
        }
        self.now_ms = until_ms;
        self.end_sessions();
    }

    /// Clients that were silent for too long give up. A parked call keeps a classic session open.
    fn end_sessions(&mut self) {
        for client in &mut self.clients {
            let session_ms = match client.kind {
                Kind::New => NEW_SESSION_MS,
                _ => CLASSIC_SESSION_MS,
            };
            if client.waits.is_none() && self.now_ms - client.heard_ms >= session_ms {
                client.give_up();
            }
        }
    }

    fn change_topics(&mut self) {
        let name = *TOPICS.choose(&mut self.rng).unwrap();
        let known = self.partitions.get(name).copied();
        match known {
            Some(_) if self.rng.random_bool(0.2) => {
                self.partitions.remove(name);
            }
            Some(topic) => {
                let partitions = topic.partitions + self.rng.random_range(0..3);
                self.partitions.insert(
                    name,
                    TopicShape {
                        partitions,
                        ..topic
                    },
                );
            }
            None => {
                self.ids_made += 1;
                let partitions = self.rng.random_range(1..6);
                let id = topic_id(name, self.ids_made);
                self.partitions.insert(name, TopicShape { id, partitions });
            }
        }
        let topics = self
            .partitions
            .iter()
            .map(|(name, topic)| ((*name).to_owned(), *topic));
        self.topics = Arc::new(TopicImage::new(self.topics.version() + 1, topics));
        let command = GroupCommand::Topics(Arc::clone(&self.topics));
        let decision = self.groups.decide(self.now_ms, Token(u64::MAX), command);
        assert_eq!(decision.replies, [(Token(u64::MAX), GroupReply::Topics)]);
    }

    fn replayed(&self) -> Groups {
        let mut groups = Groups::new(Arc::clone(&self.settings));
        for (key, value) in &self.log {
            let record = GroupRecord::decode(key, value.as_deref()).unwrap().unwrap();
            groups.apply(&record);
        }
        groups.with_topics(Arc::clone(&self.topics))
    }

    fn restart(&mut self) {
        let (seed, replayed) = (self.seed, self.replayed());
        assert_eq!(replayed.durable(), self.groups.durable(), "seed {seed}");
        let mut restored = Groups::new(Arc::clone(&self.settings));
        for record in self.groups.durable().checkpoint() {
            restored.apply(&record);
        }
        assert_eq!(restored.durable(), self.groups.durable(), "seed {seed}");
        self.groups = replayed;
        self.asked.clear();
        for client in &mut self.clients {
            client.waits = None;
        }
        let decision = self.groups.loaded(self.now_ms);
        self.take(decision);
    }

    fn ask(&mut self, who: usize, command: GroupCommand) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.asked.insert(token, who);
        self.clients[who].waits = Some(token);
        let decision = self.groups.decide(self.now_ms, token, command);
        self.take(decision);
    }

    /// The next thing a good client does.
    fn behave(&mut self, who: usize) {
        let client = &mut self.clients[who];
        client.up = true;
        if client.waits.is_some() {
            return;
        }
        match client.kind {
            Kind::New => self.beat(who),
            _ if client.to_sync => self.sync(who),
            _ if client.epoch == 0 => self.join(who),
            _ => self.classic_beat(who),
        }
    }

    fn new_id(&mut self, who: usize) -> String {
        self.ids_made += 1;
        format!("{}-{}", self.clients[who].name, self.ids_made)
    }

    fn beat(&mut self, who: usize) {
        let has_let_go = self.quiet || self.rng.random_bool(0.7);
        let says_all = self.rng.random_bool(0.3);
        if self.clients[who].member_id.is_empty() {
            self.clients[who].member_id = self.new_id(who);
        }
        let client = &mut self.clients[who];
        let joins = client.epoch == 0;
        let full = joins || client.lost;
        if has_let_go {
            client.owned = client.owned.and(&client.assigned);
        }
        let command = ConsumerHeartbeat {
            group: "g".to_owned(),
            member_id: client.member_id.clone(),
            member_epoch: client.epoch,
            instance_id: client.instance_id.clone(),
            client_id: client.name.clone(),
            rebalance_timeout_ms: full.then_some(600_000),
            topics: full.then(|| client.topics.iter().cloned().collect()),
            owned: (full || has_let_go || says_all).then(|| client.owned.clone()),
            ..ConsumerHeartbeat::default()
        };
        client.lost = false;
        self.ask(who, GroupCommand::ConsumerHeartbeat(command));
    }

    fn join(&mut self, who: usize) {
        self.ids_made += 1;
        let client = &mut self.clients[who];
        if client.kind == Kind::Eager {
            client.owned = Assignment::default();
        }
        let topics: Vec<&str> = client.topics.iter().map(String::as_str).collect();
        let owned = named(&client.owned, &self.topics);
        let cooperative = client.kind == Kind::Cooperative;
        let metadata = subscription(&topics, cooperative.then_some(owned.as_slice()));
        let join = JoinGroup {
            group: "g".to_owned(),
            member_id: client.member_id.clone(),
            instance_id: client.instance_id.clone(),
            client_id: client.name.clone(),
            client_host: String::new(),
            session_timeout_ms: CLASSIC_SESSION_MS as i32,
            rebalance_timeout_ms: 600_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), metadata)],
            require_known_member_id: true,
            supports_skip_assignment: false,
            new_member_uuid: Uuid::from_u128(self.ids_made),
        };
        self.ask(who, GroupCommand::Join(join));
    }

    fn classic_member(&self, who: usize) -> MemberRef {
        let client = &self.clients[who];
        MemberRef {
            member_id: client.member_id.clone(),
            instance_id: client.instance_id.clone(),
            generation: client.epoch,
        }
    }

    fn sync(&mut self, who: usize) {
        let members = self.clients[who].leads.clone();
        let assignments = self.classic_assignment(&members);
        let sync = SyncGroup {
            group: "g".to_owned(),
            member: self.classic_member(who),
            protocol_type: None,
            protocol: None,
            assignments,
        };
        self.ask(who, GroupCommand::Sync(sync));
    }

    /// As a cooperative assignor: what somebody owns stays, the rest goes to who has least.
    fn classic_assignment(&self, members: &[String]) -> Vec<(String, Bytes)> {
        let client = |id: &String| self.clients.iter().find(|client| client.member_id == *id);
        let mut shares: BTreeMap<&String, Assignment> = members
            .iter()
            .map(|id| (id, Assignment::default()))
            .collect();
        for (name, topic) in &self.partitions {
            for partition in 0..topic.partitions {
                let owners = || {
                    self.clients
                        .iter()
                        .filter(|c| c.owned.contains(topic.id, partition))
                };
                let wants = |id: &&String| client(id).is_some_and(|c| c.topics.contains(*name));
                let to = match owners().next() {
                    Some(owner) => members
                        .iter()
                        .find(|id| **id == owner.member_id && wants(id)),
                    None => members
                        .iter()
                        .filter(wants)
                        .min_by_key(|id| shares[id].len()),
                };
                if let Some(to) = to {
                    shares.get_mut(to).unwrap().insert(topic.id, partition);
                }
            }
        }
        let encoded = |(id, share): (&String, Assignment)| {
            (
                id.clone(),
                assignment_bytes(&named(&share, &self.topics), None),
            )
        };
        shares.into_iter().map(encoded).collect()
    }

    fn classic_beat(&mut self, who: usize) {
        let (group, member) = ("g".to_owned(), self.classic_member(who));
        self.ask(who, GroupCommand::Heartbeat(Heartbeat { group, member }));
    }

    /// Leaves, as its kind does; static members just go, or say that they will be back.
    fn leave(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if client.waits.is_some() || client.member_id.is_empty() {
            return;
        }
        let (is_static, kind) = (client.instance_id.is_some(), client.kind);
        let (member_id, instance_id) = (client.member_id.clone(), client.instance_id.clone());
        client.give_up();
        client.up = false;
        let group = "g".to_owned();
        match kind {
            Kind::New => {
                let command = ConsumerHeartbeat {
                    group,
                    member_id,
                    member_epoch: if is_static { -2 } else { -1 },
                    instance_id,
                    ..ConsumerHeartbeat::default()
                };
                self.ask(who, GroupCommand::ConsumerHeartbeat(command));
            }
            _ if is_static => {}
            _ => {
                let members = vec![LeavingMember {
                    member_id,
                    instance_id,
                }];
                self.ask(who, GroupCommand::Leave(LeaveGroup { group, members }));
            }
        }
    }

    /// A rolling upgrade, or its reversal: leave, then come back speaking another protocol.
    fn change_kind(&mut self, who: usize) {
        self.leave(who);
        let client = &mut self.clients[who];
        if client.member_id.is_empty() && !self.seed.is_multiple_of(3) {
            client.kind = match client.kind {
                Kind::New => *[Kind::Eager, Kind::Cooperative]
                    .choose(&mut self.rng)
                    .unwrap(),
                _ => Kind::New,
            };
        }
    }

    fn resubscribe(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if client.kind == Kind::New && client.waits.is_none() {
            let count = self.rng.random_range(1..=TOPICS.len());
            client.topics = TOPICS
                .iter()
                .take(count)
                .map(|&name| name.to_owned())
                .collect();
            // Said in full with the next heartbeat.
            client.lost = true;
        }
    }

    fn take(&mut self, decision: Decision<GroupRecord, GroupReply>) {
        for record in &decision.records {
            self.groups.apply(record);
            self.log.push(record.encode());
        }
        for (token, reply) in decision.replies {
            let who = self.asked.remove(&token);
            let who = who.unwrap_or_else(|| panic!("seed {}: {token:?} not waiting", self.seed));
            let client = &mut self.clients[who];
            assert_eq!(client.waits.take(), Some(token), "seed {}", self.seed);
            // Nothing else is sure to renew the session.
            if matches!(
                reply,
                GroupReply::ConsumerHeartbeat(Ok(_))
                    | GroupReply::Join(_)
                    | GroupReply::Heartbeat(_)
            ) {
                client.heard_ms = self.now_ms;
            }
            self.hear(who, reply);
        }
    }

    fn hear(&mut self, who: usize, reply: GroupReply) {
        let is_lost = !self.quiet && self.rng.random_bool(0.1);
        let client = &mut self.clients[who];
        match reply {
            GroupReply::ConsumerHeartbeat(_) if !client.up => {}
            GroupReply::ConsumerHeartbeat(_) if is_lost => client.lost = true,
            GroupReply::ConsumerHeartbeat(Ok(beat)) => {
                client.epoch = beat.member_epoch;
                if let Some(assigned) = beat.assignment {
                    client.owned.extend(assigned.iter());
                    client.assigned = assigned;
                }
            }
            GroupReply::ConsumerHeartbeat(Err(error)) => {
                // Both have the client begin anew; the member may be there still.
                let known = [
                    ConsumerError::FencedMemberEpoch,
                    ConsumerError::UnreleasedInstance,
                    ConsumerError::Group(GroupError::UnknownMember),
                    ConsumerError::Group(GroupError::GroupNotFound),
                    ConsumerError::Group(GroupError::FencedInstance),
                ];
                assert!(known.contains(&error), "seed {}: {error:?}", self.seed);
                client.give_up();
            }
            GroupReply::Join(Ok(joined)) => client.joined(joined),
            GroupReply::Join(Err(GroupError::MemberIdRequired { member_id })) => {
                client.member_id = member_id;
            }
            GroupReply::Sync(Ok(synced)) => {
                let named = read_assignment(&synced.assignment);
                client.owned = ids(&named, &self.topics);
                client.to_sync = false;
            }
            GroupReply::Join(Err(error))
            | GroupReply::Sync(Err(error))
            | GroupReply::Heartbeat(Err(error)) => client.refused(&error),
            _ => {}
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for client in &self.clients {
            for partition in client.owned.iter() {
                let other = owners.insert(partition, &client.name);
                assert_eq!(other, None, "seed {}: and {client:?}", self.seed);
            }
        }
        if let Some(group) = self.groups.durable().consumer_group("g") {
            self.check_group(group);
        }
    }

    fn check_group(&self, group: &ConsumerGroup) {
        let seed = self.seed;
        let mut held = Assignment::default();
        for (_, member) in group.members() {
            let current = &member.current;
            for (topic, partition) in current.assigned.iter().chain(current.revoking.iter()) {
                assert!(
                    held.insert(topic, partition),
                    "seed {seed}: held twice in {group:?}"
                );
            }
        }
        let mut targeted = Assignment::default();
        for (member_id, target) in group.targets() {
            assert!(
                group.members().any(|(id, _)| id == member_id),
                "seed {seed}"
            );
            for (topic, partition) in target.iter() {
                assert!(
                    targeted.insert(topic, partition),
                    "seed {seed}: meant for two"
                );
            }
        }
    }

    /// Everybody who is in the group behaves, until nothing changes any more.
    fn settle(&mut self) {
        self.quiet = true;
        // Members that went without a word are forgotten.
        for _ in 0..60 {
            self.round();
        }
        for round in 0.. {
            let before = (self.log.len(), self.snapshot());
            for _ in 0..3 {
                self.round();
            }
            if (self.log.len(), self.snapshot()) == before && self.is_covered() {
                break;
            }
            assert!(
                round < ROUNDS_MAX,
                "seed {}: no rest in {:#?}",
                self.seed,
                self.clients
            );
        }
        self.restart();
        if let Some(group) = self.groups.durable().consumer_group("g")
            && group.members().len() > 0
        {
            assert_eq!(
                group.state(),
                GroupState::Stable,
                "seed {}: {group:?}",
                self.seed
            );
        }
    }

    fn round(&mut self) {
        self.pass_time(1_000);
        for who in 0..self.clients.len() {
            if self.clients[who].up {
                self.behave(who);
                self.check();
            }
        }
    }

    fn snapshot(&self) -> Vec<(i32, Assignment)> {
        let state = |client: &Client| (client.epoch, client.owned.clone());
        self.clients.iter().map(state).collect()
    }

    /// Everything somebody wants is consumed.
    fn is_covered(&self) -> bool {
        let wanted = |name: &str| self.clients.iter().any(|c| c.up && c.topics.contains(name));
        self.partitions.iter().all(|(name, topic)| {
            let consumed = |partition| {
                self.clients
                    .iter()
                    .any(|c| c.owned.contains(topic.id, partition))
            };
            !wanted(name) || (0..topic.partitions).all(consumed)
        })
    }
}

impl Client {
    /// Outside the group, owning nothing.
    fn give_up(&mut self) {
        self.member_id.clear();
        self.epoch = 0;
        self.owned = Assignment::default();
        self.assigned = Assignment::default();
        self.to_sync = false;
    }

    fn joined(&mut self, joined: Joined) {
        self.member_id = joined.member_id;
        self.epoch = joined.generation;
        self.leads = joined
            .members
            .into_iter()
            .map(|member| member.member_id)
            .collect();
        self.to_sync = true;
    }

    fn refused(&mut self, error: &GroupError) {
        self.to_sync = false;
        if *error == GroupError::RebalanceInProgress {
            // Join again, under the same id.
            self.epoch = 0;
        } else {
            self.give_up();
        }
    }
}

fn named(assignment: &Assignment, image: &TopicImage) -> Vec<(String, Vec<i32>)> {
    let topics = assignment.topics().filter_map(|(topic, partitions)| {
        Some((
            image.name(topic)?.to_owned(),
            partitions.iter().copied().collect(),
        ))
    });
    topics.collect()
}

fn ids(named: &[(String, Vec<i32>)], image: &TopicImage) -> Assignment {
    let known = named
        .iter()
        .filter_map(|(name, partitions)| Some((image.get(name)?.id, partitions)));
    known
        .flat_map(|(topic, partitions)| partitions.iter().map(move |&partition| (topic, partition)))
        .collect()
}
