//! Consumer groups and their committed offsets: one [`Groups`] machine holds all groups of
//! one `__consumer_offsets` partition.
//!
//! State comes in two layers:
//! - [`Durable`]: what the log says, changed by `apply` alone. Groups without members are only
//!   this. Offsets of open transactions belong to it, apart from the committed ones.
//! - live groups: phase, members, sessions and parked callers of every group that has somebody in
//!   it. They start from the durable layer (`loaded`, or the first JoinGroup), go ahead of it while
//!   a generation forms, and meet it again in the record that makes the generation stable or empty.
//!   A restart loses a generation that has no assignment yet, as in Kafka: its members find an
//!   illegal generation and join again. A stable group stays stable with the same generation.
//!
//! Groups of the new protocol (KIP-848) live beside the classic ones: all of their state is durable,
//! see [`consumer`].
//!
//! The rules follow Apache Kafka's group coordinator; each request has its file.

mod classic;
mod command;
mod consumer;
mod describe;
mod durable;
mod error;
mod expiry;
mod heartbeat;
mod join;
mod leave;
mod member;
mod offsets;
mod pending;
mod rebalance;
mod record;
mod settings;
mod subscription;
mod sync;
mod turn;
mod txn_offsets;
mod txn_record;

use std::collections::HashMap;
use std::sync::Arc;

pub use crate::wire::WireError;
pub use command::{
    CLASSIC_GROUP_TYPE, CONSUMER_GROUP_TYPE, CommitOffsets, DeleteOffsets, DescribedGroup,
    DescribedMember, FetchOffsets, FetchedOffset, GroupCommand, GroupReply, GroupState, Heartbeat,
    JoinGroup, Joined, JoinedMember, LeaveGroup, LeavingMember, Left, ListGroups, ListedGroup,
    MemberRef, OffsetToCommit, PartitionOutcome, SyncGroup, Synced,
};
pub use consumer::{
    Assignment, Assignor, ClassicMemberMetadata, ConsumerBeat, ConsumerError, ConsumerGroup,
    ConsumerHeartbeat, ConsumerMember, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment,
    DescribedConsumer, DescribedConsumerGroup, MemberState, NamedPartitions, ResolvedRegex, Since,
    TopicImage, TopicShape, Wanted, Wish,
};
pub use durable::{Durable, Offsets};
pub use error::{GroupError, NotUpgraded};
pub use record::{CommittedOffset, GroupMetadata, GroupRecord, MemberMetadata};
pub use settings::{ConsumerTimes, GroupSettings, MigrationPolicy};
pub use subscription::{CONSUMER_PROTOCOL_TYPE, subscribed_topics};
pub use txn_offsets::{BeginTxnOffsets, CommitTxnOffsets, TxnGuard, TxnOffsetsError};
pub use txn_record::{TxnEnd, TxnOffset};

use crate::alarms::Alarms;
use crate::machine::{Decision, Envelope, Machine, Token};
use crate::wire::STRING_BYTES_MAX;
use classic::ClassicGroup;
use consumer::Clocks;
use turn::Turn;
use txn_offsets::Guards;

/// All groups of one `__consumer_offsets` partition.
///
/// Life: [`Groups::new`], `apply` for every record of the partition, `loaded`, then commands.
#[derive(Debug)]
pub struct Groups {
    settings: Arc<GroupSettings>,
    durable: Durable,
    live: HashMap<String, ClassicGroup>,
    /// Clocks of groups of the new protocol that have members.
    clocks: HashMap<String, Clocks>,
    /// The newest topics we were told of.
    topics: Arc<TopicImage>,
    /// Callers without an answer so far, and the group they wait in.
    parked: HashMap<Token, String>,
    alarms: Alarms,
    next_sweep_ms: Option<i64>,
    guards: Guards,
}

impl Groups {
    /// A machine that knows nothing yet.
    pub fn new(settings: Arc<GroupSettings>) -> Self {
        Self {
            settings,
            durable: Durable::default(),
            live: HashMap::new(),
            clocks: HashMap::new(),
            topics: Arc::default(),
            parked: HashMap::new(),
            alarms: Alarms::default(),
            next_sweep_ms: None,
            guards: Guards::default(),
        }
    }

    /// The machine with the topics as they are now. To be given before `loaded`: groups of the new
    /// protocol would take topics they do not find for deleted ones. Later images come as
    /// [`GroupCommand::Topics`].
    #[must_use]
    pub fn with_topics(mut self, topics: Arc<TopicImage>) -> Self {
        self.topics = topics;
        self
    }

    /// What the log says.
    pub const fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Callers parked in JoinGroup or SyncGroup.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    fn exists(&self, group: &str) -> bool {
        self.live.contains_key(group) || self.durable.contains(group)
    }

    fn has_members(&self, group: &str) -> bool {
        self.live
            .get(group)
            .is_some_and(|group| !group.members.is_empty())
    }

    /// Runs `act` on the live group, made from the durable one if nobody was in it, and keeps it
    /// only if somebody is in it afterwards.
    fn with_group_or_empty(
        &mut self,
        group_id: &str,
        turn: &mut Turn,
        act: impl FnOnce(&mut ClassicGroup, &mut Turn),
    ) {
        let mut group = self.live.remove(group_id).unwrap_or_else(|| {
            ClassicGroup::empty(group_id, self.durable.group(group_id), turn.now_ms)
        });
        act(&mut group, turn);
        if group.is_deserted() {
            self.alarms.set(group_id, None);
        } else {
            self.alarms.set(group_id, group.next_deadline());
            self.live.insert(group_id.to_owned(), group);
        }
    }

    /// Strikes answered callers off the list of parked ones.
    fn finish(&mut self, turn: Turn) -> Decision<GroupRecord, GroupReply> {
        let decision = turn.into_decision();
        for (token, _) in &decision.replies {
            self.parked.remove(token);
        }
        decision
    }

    fn route(&mut self, token: Token, command: GroupCommand, turn: &mut Turn) {
        let reply = match command {
            GroupCommand::Join(join) => return self.join(token, join, turn),
            GroupCommand::Sync(sync) => return self.sync(token, sync, turn),
            GroupCommand::Leave(leave) => return self.leave(token, leave, turn),
            GroupCommand::Heartbeat(beat) => GroupReply::Heartbeat(self.heartbeat(&beat, turn)),
            GroupCommand::CommitOffsets(commit) => {
                GroupReply::CommitOffsets(self.commit_offsets(commit, turn))
            }
            GroupCommand::FetchOffsets(fetch) => {
                GroupReply::FetchOffsets(self.fetch_offsets(&fetch))
            }
            GroupCommand::DeleteOffsets(delete) => {
                GroupReply::DeleteOffsets(self.delete_offsets(delete, turn))
            }
            GroupCommand::BeginTxnOffsets(begin) => {
                GroupReply::BeginTxnOffsets(self.begin_txn_offsets(begin, turn.now_ms))
            }
            GroupCommand::CommitTxnOffsets(commit) => {
                GroupReply::CommitTxnOffsets(self.commit_txn_offsets(commit, turn))
            }
            GroupCommand::EndTransaction(end) => {
                GroupReply::EndTransaction(self.end_transaction(end, turn))
            }
            GroupCommand::Describe { groups } => {
                GroupReply::Describe(groups.iter().map(|group| self.describe(group)).collect())
            }
            GroupCommand::List(filter) => GroupReply::List(self.list(&filter)),
            GroupCommand::DeleteGroups { groups } => {
                let mut delete = |group: String| {
                    let result = self.delete_group(&group, turn);
                    (group, result)
                };
                GroupReply::DeleteGroups(groups.into_iter().map(&mut delete).collect())
            }
            GroupCommand::ConsumerHeartbeat(beat) => {
                GroupReply::ConsumerHeartbeat(self.consumer_heartbeat(beat, turn))
            }
            GroupCommand::CheckEpoch {
                group,
                member_id,
                member_epoch,
            } => GroupReply::CheckEpoch(self.check_epoch(&group, &member_id, member_epoch)),
            GroupCommand::DescribeConsumers { groups } => {
                let describe = |group: String| {
                    let described = self.describe_consumer_group(&group);
                    (group, described)
                };
                GroupReply::DescribeConsumers(groups.into_iter().map(describe).collect())
            }
            GroupCommand::Topics(topics) => {
                self.see_topics(topics);
                GroupReply::Topics
            }
            GroupCommand::Settings(settings) => {
                self.settings = settings;
                GroupReply::Settings
            }
            GroupCommand::TopicDeleted { topic } => {
                self.forget_topic(&topic, turn);
                GroupReply::TopicDeleted
            }
        };
        turn.reply(token, reply);
    }
}

/// The group a Join or Sync command may be parked in.
fn parking_group(command: &GroupCommand) -> Option<String> {
    match command {
        GroupCommand::Join(join) => Some(join.group.clone()),
        GroupCommand::Sync(sync) => Some(sync.group.clone()),
        _ => None,
    }
}

impl Machine for Groups {
    type Command = GroupCommand;
    type Record = GroupRecord;
    type Reply = GroupReply;

    fn envelope(record: &GroupRecord) -> Envelope {
        record.envelope()
    }

    fn decide(
        &mut self,
        now_ms: i64,
        token: Token,
        command: GroupCommand,
    ) -> Decision<GroupRecord, GroupReply> {
        let mut turn = Turn::new(now_ms, Arc::clone(&self.settings));
        if let Some(group) = parking_group(&command) {
            self.parked.insert(token, group);
        }
        self.route(token, command, &mut turn);
        self.finish(turn)
    }

    fn apply(&mut self, record: &GroupRecord) {
        self.durable.apply(record);
    }

    fn loaded(&mut self, now_ms: i64) -> Decision<GroupRecord, GroupReply> {
        let mut turn = Turn::new(now_ms, Arc::clone(&self.settings));
        for (group_id, stored) in self.durable.groups() {
            if stored.members.is_empty() || self.durable.consumer_group(group_id).is_some() {
                continue;
            }
            let mut group = ClassicGroup::recovered(group_id, stored, now_ms);
            if group.members.len() > self.settings.members_max {
                // The limit was lowered: let the members compete for the places there are.
                group.prepare_rebalance(&mut turn);
            }
            self.alarms.set(group_id, group.next_deadline());
            self.live.insert(group_id.clone(), group);
        }
        for (group_id, group) in self.durable.consumer_groups() {
            if group.has_members() {
                let clocks = Clocks::started(group_id, group, &turn);
                self.alarms.set(group_id, clocks.next());
                self.clocks.insert(group_id.clone(), clocks);
            }
        }
        self.next_sweep_ms = Some(turn.after(self.settings.retention_check_interval_ms.max(1)));
        self.finish(turn)
    }

    fn cancel(&mut self, now_ms: i64, token: Token) -> Decision<GroupRecord, GroupReply> {
        let Some(group_id) = self.parked.remove(&token) else {
            return Decision::nothing();
        };
        let mut turn = Turn::new(now_ms, Arc::clone(&self.settings));
        self.with_group_or_empty(&group_id, &mut turn, |group, turn| {
            group.cancel(token, turn)
        });
        self.finish(turn)
    }

    fn tick(&mut self, now_ms: i64) -> Decision<GroupRecord, GroupReply> {
        let mut turn = Turn::new(now_ms, Arc::clone(&self.settings));
        for group_id in self.alarms.due(now_ms) {
            if self.is_consumer_group(&group_id) {
                self.tick_consumers(&group_id, &mut turn);
            } else {
                self.with_group_or_empty(&group_id, &mut turn, ClassicGroup::tick);
            }
        }
        // A sweep reads the durable layer: it waits for a tick with nothing still to be applied.
        if turn.records() == 0 && self.next_sweep_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.sweep(&mut turn);
        }
        self.finish(turn)
    }

    fn next_deadline(&self) -> Option<i64> {
        self.alarms
            .next()
            .into_iter()
            .chain(self.next_sweep_ms)
            .min()
    }
}

/// Group ids of members must not be empty; those of plain committers may.
fn check_group_id(group: &str) -> Result<(), GroupError> {
    if group.is_empty() || group.len() > STRING_BYTES_MAX {
        return Err(GroupError::InvalidGroupId);
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str, max_bytes: usize) -> Result<(), GroupError> {
    if name.len() > max_bytes {
        return Err(GroupError::NameTooLong { field, max_bytes });
    }
    Ok(())
}
