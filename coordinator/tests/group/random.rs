//! Many clients, half of them doing what they should, against what must hold whatever they do:
//!
//! - a caller is answered at most once, and, left alone long enough, exactly once;
//! - generations never go back (a restart may take back one that had no assignment yet);
//! - within a generation one leader, and no partition given to two members;
//! - the records, through their bytes, make the same durable state in another machine;
//! - time always moves on: no deadline keeps ringing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::group::{
    CommitOffsets, GroupCommand, GroupError, GroupRecord, GroupReply, GroupSettings, Groups,
    Heartbeat, JoinGroup, Joined, LeaveGroup, LeavingMember, MemberRef, OffsetToCommit, SyncGroup,
};
use tidelog_coordinator::machine::{Decision, Machine, Token};
use uuid::Uuid;

use super::script::subscription;

const SEEDS: u64 = 100;
const STEPS: usize = 500;
const GROUPS: usize = 2;
/// Longer than any session or rebalance timeout, and than waiting for a first join.
const LONG_ENOUGH_MS: i64 = 1_000_000;

#[test]
fn whatever_clients_do_the_promises_hold() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}

/// What a client believes.
#[derive(Clone, Default)]
struct Client {
    name: String,
    group: String,
    instance_id: Option<String>,
    member_id: String,
    generation: i32,
    /// Present while the client leads: whom to assign to.
    members: Vec<String>,
    waits: Option<Token>,
    to_sync: bool,
    steady: bool,
}

/// What has been seen of one group.
#[derive(Default)]
struct Seen {
    generation: i32,
    leaders: BTreeMap<i32, String>,
    /// Owner of each partition by generation.
    owners: BTreeMap<(i32, String), String>,
}

struct World {
    seed: u64,
    rng: SmallRng,
    now_ms: i64,
    settings: Arc<GroupSettings>,
    groups: Groups,
    log: Vec<(Bytes, Option<Bytes>)>,
    clients: Vec<Client>,
    /// Who asked, until answered.
    asked: BTreeMap<Token, usize>,
    next_token: u64,
    seen: BTreeMap<String, Seen>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let settings = Arc::new(GroupSettings {
            initial_rebalance_delay_ms: [0, 3_000][rng.random_range(0..2)],
            members_max: rng.random_range(2..9),
            offsets_retention_ms: 100_000,
            retention_check_interval_ms: 20_000,
            ..GroupSettings::default()
        });
        let client = |index: usize| Client {
            name: format!("c{index}"),
            group: format!("g{}", index % GROUPS),
            // Two clients share one instance id, so that they fence each other.
            instance_id: index.is_multiple_of(4).then(|| format!("i{}", index / 8)),
            ..Client::default()
        };
        let mut world = Self {
            seed,
            rng,
            now_ms: 0,
            groups: Groups::new(Arc::clone(&settings)),
            settings,
            log: Vec::new(),
            clients: (0..12).map(client).collect(),
            asked: BTreeMap::new(),
            next_token: 0,
            seen: BTreeMap::new(),
        };
        let decision = world.groups.loaded(0);
        world.take(decision);
        world
    }

    fn step(&mut self) {
        let pause_ms = [0, 0, 10, 500, 3_000, 12_000][self.rng.random_range(0..6)];
        self.pass_time(pause_ms);
        let who = self.rng.random_range(0..self.clients.len());
        match self.rng.random_range(0..100) {
            0 => self.restart(),
            1..=3 => self.hang_up(who),
            4..=70 => self.behave(who),
            _ => self.misbehave(who),
        }
    }

    /// Ticks at every deadline of the next `span_ms`.
    fn pass_time(&mut self, span_ms: i64) {
        let until_ms = self.now_ms + span_ms;
        let mut rings_at_once = 0;
        while let Some(at_ms) = self
            .groups
            .next_deadline()
            .filter(|&at_ms| at_ms <= until_ms)
        {
            rings_at_once = if at_ms > self.now_ms {
                0
            } else {
                rings_at_once + 1
            };
            assert!(rings_at_once < 20, "seed {}: stuck at {at_ms}", self.seed);
            self.now_ms = at_ms.max(self.now_ms);
            let decision = self.groups.tick(self.now_ms);
            self.take(decision);
        }
        self.now_ms = until_ms;
    }

    fn ask(&mut self, who: usize, command: GroupCommand) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.asked.insert(token, who);
        self.clients[who].waits = Some(token);
        let decision = self.groups.decide(self.now_ms, token, command);
        self.take(decision);
    }

    fn behave(&mut self, who: usize) {
        let client = &self.clients[who];
        if client.waits.is_some() {
        } else if client.steady {
            match self.rng.random_range(0..3) {
                0 => self.commit(who),
                _ => self.beat(who),
            }
        } else if client.to_sync {
            self.sync(who);
        } else {
            self.join(who);
        }
    }

    fn misbehave(&mut self, who: usize) {
        if self.rng.random_bool(0.1) {
            let generation = &mut self.clients[who].generation;
            *generation = (*generation - 1).max(-1);
        }
        if self.rng.random_bool(0.05) {
            self.clients[who].member_id.clear();
        }
        match self.rng.random_range(0..6) {
            0 => self.join(who),
            1 => self.sync(who),
            2 => self.beat(who),
            3 => self.commit(who),
            4 => self.leave(who),
            _ => {
                let groups = vec![self.clients[who].group.clone()];
                self.ask(who, GroupCommand::DeleteGroups { groups });
            }
        }
    }

    fn join(&mut self, who: usize) {
        let topics = ["t", "u", "v"];
        let metadata = subscription(&topics[..self.rng.random_range(1..3)]);
        let mut protocols = vec![
            ("range".to_owned(), metadata.clone()),
            ("rr".to_owned(), metadata),
        ];
        if self.rng.random_bool(0.2) {
            protocols.reverse();
        }
        if self.rng.random_bool(0.1) {
            protocols.pop();
        }
        let client = &self.clients[who];
        let join = JoinGroup {
            group: client.group.clone(),
            member_id: client.member_id.clone(),
            instance_id: client.instance_id.clone(),
            client_id: client.name.clone(),
            client_host: String::new(),
            session_timeout_ms: [6_000, 20_000][who % 2],
            rebalance_timeout_ms: [0, 5_000, 30_000][who % 3],
            protocol_type: "consumer".to_owned(),
            protocols,
            require_known_member_id: who % 4 != 1,
            supports_skip_assignment: who.is_multiple_of(2),
            new_member_uuid: Uuid::from_u128(self.rng.random()),
        };
        self.ask(who, GroupCommand::Join(join));
    }

    fn member(&self, who: usize) -> MemberRef {
        let Client {
            member_id,
            instance_id,
            generation,
            ..
        } = self.clients[who].clone();
        MemberRef {
            member_id,
            instance_id,
            generation,
        }
    }

    fn sync(&mut self, who: usize) {
        let client = &self.clients[who];
        let share = |(at, id): (usize, &String)| (id.clone(), Bytes::from(format!("p{at}")));
        let sync = SyncGroup {
            group: client.group.clone(),
            member: self.member(who),
            protocol_type: None,
            protocol: None,
            assignments: client.members.iter().enumerate().map(share).collect(),
        };
        self.ask(who, GroupCommand::Sync(sync));
    }

    fn beat(&mut self, who: usize) {
        let (group, member) = (self.clients[who].group.clone(), self.member(who));
        self.ask(who, GroupCommand::Heartbeat(Heartbeat { group, member }));
    }

    fn commit(&mut self, who: usize) {
        let offset = OffsetToCommit {
            topic: ["t", "u", "v"][self.rng.random_range(0..3)].to_owned(),
            partition: self.rng.random_range(0..3),
            offset: self.rng.random_range(0..1000),
            leader_epoch: 1,
            metadata: String::new(),
        };
        let retention_ms = self.rng.random_bool(0.1).then_some(10_000);
        let (group, member) = (self.clients[who].group.clone(), self.member(who));
        let offsets = vec![offset];
        let commit = CommitOffsets {
            knows_epochs: true,
            group,
            member,
            retention_ms,
            offsets,
        };
        self.ask(who, GroupCommand::CommitOffsets(commit));
    }

    fn leave(&mut self, who: usize) {
        let Client {
            group,
            member_id,
            instance_id,
            ..
        } = self.clients[who].clone();
        let members = vec![LeavingMember {
            member_id,
            instance_id,
        }];
        self.ask(who, GroupCommand::Leave(LeaveGroup { group, members }));
    }

    fn hang_up(&mut self, who: usize) {
        if let Some(token) = self.clients[who].waits.take() {
            self.asked.remove(&token);
            let decision = self.groups.cancel(self.now_ms, token);
            self.take(decision);
        }
    }

    fn replayed(&self) -> Groups {
        let mut groups = Groups::new(Arc::clone(&self.settings));
        for (key, value) in &self.log {
            let record = GroupRecord::decode(key, value.as_deref()).unwrap().unwrap();
            groups.apply(&record);
        }
        groups
    }

    /// A checkpoint makes the state, alone and on top of the log it was taken from.
    fn check_checkpoint(&self) {
        for mut groups in [Groups::new(Arc::clone(&self.settings)), self.replayed()] {
            for record in self.groups.durable().checkpoint() {
                groups.apply(&record);
            }
            assert_eq!(
                groups.durable(),
                self.groups.durable(),
                "seed {}",
                self.seed
            );
        }
    }

    fn restart(&mut self) {
        let replayed = self.replayed();
        assert_eq!(
            replayed.durable(),
            self.groups.durable(),
            "seed {}",
            self.seed
        );
        self.check_checkpoint();
        self.groups = replayed;
        self.asked.clear();
        for client in &mut self.clients {
            client.waits = None;
        }
        for (group, seen) in &mut self.seen {
            let stored = self.groups.durable().group(group);
            seen.generation = stored.map_or(0, |stored| stored.generation);
            seen.leaders
                .retain(|&generation, _| generation <= seen.generation);
            seen.owners
                .retain(|&(generation, _), _| generation <= seen.generation);
        }
        let decision = self.groups.loaded(self.now_ms);
        self.take(decision);
    }

    /// Nobody does anything any more: all callers are answered, and in the end all is forgotten.
    fn settle(&mut self) {
        self.pass_time(LONG_ENOUGH_MS);
        assert!(
            self.asked.is_empty(),
            "seed {}: never answered {:?}",
            self.seed,
            self.asked
        );
        assert_eq!(self.groups.parked(), 0, "seed {}", self.seed);
        assert_eq!(
            self.replayed().durable(),
            self.groups.durable(),
            "seed {}",
            self.seed
        );
        assert_eq!(
            self.groups.durable().groups().count(),
            0,
            "seed {}",
            self.seed
        );
        assert_eq!(
            self.groups.durable().groups_with_offsets().count(),
            0,
            "seed {}",
            self.seed
        );
    }

    fn take(&mut self, decision: Decision<GroupRecord, GroupReply>) {
        for record in &decision.records {
            self.groups.apply(record);
            self.log.push(record.encode());
            if let GroupRecord::Group { group, value: None } = record {
                // A new group of that name counts from the start.
                self.seen.remove(group);
            }
        }
        let mut answered = BTreeSet::new();
        for (token, reply) in decision.replies {
            assert!(
                answered.insert(token),
                "seed {}: {token:?} answered twice",
                self.seed
            );
            let who = self.asked.remove(&token);
            let who = who.unwrap_or_else(|| panic!("seed {}: {token:?} not waiting", self.seed));
            if self.clients[who].waits == Some(token) {
                self.clients[who].waits = None;
            }
            self.hear(who, reply);
        }
    }

    fn hear(&mut self, who: usize, reply: GroupReply) {
        let client = &mut self.clients[who];
        match reply {
            GroupReply::Join(Ok(joined)) => {
                client.member_id.clone_from(&joined.member_id);
                client.generation = joined.generation;
                client.members = joined.members.iter().map(|m| m.member_id.clone()).collect();
                (client.to_sync, client.steady) = (true, false);
                self.witness_join(who, &joined);
            }
            GroupReply::Join(Err(GroupError::MemberIdRequired { member_id })) => {
                client.member_id = member_id;
            }
            GroupReply::Join(Err(error)) | GroupReply::Heartbeat(Err(error)) => {
                self.give_up(who, &error);
            }
            GroupReply::Sync(Ok(synced)) => {
                (client.to_sync, client.steady) = (false, true);
                self.witness_assignment(who, &synced.assignment);
            }
            GroupReply::Sync(Err(error)) => self.give_up(who, &error),
            _ => {}
        }
    }

    fn give_up(&mut self, who: usize, error: &GroupError) {
        let client = &mut self.clients[who];
        (client.to_sync, client.steady) = (false, false);
        if *error != GroupError::RebalanceInProgress {
            client.member_id.clear();
        }
    }

    fn witness_join(&mut self, who: usize, joined: &Joined) {
        let Client {
            group, instance_id, ..
        } = self.clients[who].clone();
        let seen = self.seen.entry(group).or_default();
        assert!(
            joined.generation >= seen.generation,
            "seed {}: {joined:?}",
            self.seed
        );
        seen.generation = joined.generation;
        if !joined.members.is_empty() {
            let identity = instance_id.unwrap_or_else(|| joined.member_id.clone());
            let leader = seen
                .leaders
                .entry(joined.generation)
                .or_insert(identity.clone());
            assert_eq!(*leader, identity, "seed {}: two leaders", self.seed);
        }
    }

    fn witness_assignment(&mut self, who: usize, assignment: &Bytes) {
        let Client {
            group,
            instance_id,
            member_id,
            generation,
            ..
        } = self.clients[who].clone();
        let partition = String::from_utf8(assignment.to_vec()).unwrap();
        if !partition.is_empty() {
            let identity = instance_id.unwrap_or(member_id);
            let owners = &mut self.seen.entry(group).or_default().owners;
            let owner = owners
                .entry((generation, partition))
                .or_insert(identity.clone());
            assert_eq!(
                *owner, identity,
                "seed {}: one partition, two owners",
                self.seed
            );
        }
    }
}
