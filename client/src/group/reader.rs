//! Rows of the partitions a member has, in whatever order they come.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use futures::future::select_all;
use tidelog_protocol_ext::ErrorCode;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::coordinator::{Coordinator, Identity, Offsets};
use super::heart::{Heart, Member, Pulse};
use super::membership::Partitions;
use super::{Event, GroupOptions, GroupRows, TopicPartition};
use crate::client::Client;
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result};
use crate::offsets::{self, EARLIEST, LATEST};
use crate::scan::{Scan, Start};
use crate::stream::{RowStream, Rows, Skips, Span};

/// A member of a group: see [`Client::subscribe`].
///
/// It stays a member while the caller works, for as long as [`GroupOptions::max_poll_interval`] says.
/// Dropped, it leaves the group without a commit; [`close`](Self::close) waits for that and commits.
#[derive(Debug)]
pub struct GroupReader {
    client: Client,
    coordinator: Arc<Coordinator>,
    heart: Heart,
    member_id: String,
    instance_id: Option<String>,
    topics: Vec<Topic>,
    /// The topic whose rows come first next time.
    turn: usize,
    tenure: u64,
    owned: Partitions,
    /// Where partitions stood that were revoked, until the next event is asked for.
    leaving: Offsets,
    /// What is known to be committed, of partitions owned.
    committed: Offsets,
    auto_commit: Option<Duration>,
    commit_at: Instant,
    /// How often somebody who waits says so.
    poll_every: Duration,
}

/// One topic of the subscription.
#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    id: Uuid,
    /// Where to start what the group has not committed.
    start: Start,
    stream: RowStream,
}

impl GroupReader {
    pub(crate) async fn join(
        client: Client,
        group: &str,
        scans: impl IntoIterator<Item = Scan>,
        options: GroupOptions,
    ) -> Result<Self> {
        let refuse = |reason: String| Error::Subscription {
            group: group.to_owned(),
            reason,
        };
        let mut topics: Vec<Topic> = Vec::new();
        for scan in scans {
            let topic = Topic::new(&scan).map_err(|error| match error {
                NoTopic::Scan(reason) => refuse(format!("table {}: {reason}", scan.table().name())),
                NoTopic::Source(error) => error,
            })?;
            if topics.iter().any(|other| other.name == topic.name) {
                return Err(refuse(format!("topic {} is there twice", topic.name)));
            }
            topics.push(topic);
        }
        if topics.is_empty() {
            return Err(refuse("there is nothing to read".to_owned()));
        }
        let coordinator = Coordinator::new(client.clone(), group.to_owned());
        coordinator.check().await?;
        let coordinator = Arc::new(coordinator);
        let names = topics.iter().map(|topic| Arc::clone(&topic.name));
        let member = Member::new(Uuid::new_v4().to_string(), names.collect(), &options);
        let config = client.config().clone();
        let heart = Heart::start(Arc::clone(&coordinator), member.clone(), config);
        let mut reader = Self {
            client,
            coordinator,
            heart,
            member_id: member.id,
            instance_id: member.instance_id,
            topics,
            turn: 0,
            tenure: 0,
            owned: Partitions::new(),
            leaving: Offsets::new(),
            committed: Offsets::new(),
            auto_commit: options.auto_commit,
            commit_at: Instant::now() + options.auto_commit.unwrap_or_default(),
            poll_every: options.max_poll_interval / 3,
        };
        reader.joined().await?;
        Ok(reader)
    }

    /// Waits until the member is one.
    async fn joined(&mut self) -> Result<()> {
        let patience = self.client.config().retry_for;
        let until = Instant::now() + patience;
        loop {
            let pulse = self.heart.pulse();
            self.tenure = pulse.standing.tenure;
            if let Some(error) = pulse.failure {
                return Err(self.failed(error));
            }
            if pulse.standing.epoch > 0 {
                return Ok(());
            }
            if timeout_at(until, self.heart.changed()).await.is_err() {
                return Err(Error::TimedOut {
                    address: format!("the coordinator of group {}", self.coordinator.group()),
                    api: "ConsumerGroupHeartbeat",
                    after: patience,
                });
            }
        }
    }

    /// What happens next. It waits for as long as it takes; dropping the future loses nothing.
    ///
    /// # Errors
    /// Whatever reading a partition fails with, and commits that the reader makes by itself. Calling
    /// again tries on, but for [`Error::Group`] and [`Error::Subscription`]: then the member is none
    /// any more, or never reads what it was given.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.happening(None).await? {
                return Ok(event);
            }
        }
    }

    /// What happens within `wait`; `None` if nothing does. A step that was begun is not cut short.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<Event>> {
        self.happening(Some(Instant::now() + wait)).await
    }

    /// The next event, or `None` at `deadline`.
    async fn happening(&mut self, deadline: Option<Instant>) -> Result<Option<Event>> {
        if !self.leaving.is_empty() {
            // The caller has heard of it: now they may go to others.
            self.leaving.clear();
            self.heart.own(self.tenure, &self.owned);
        }
        loop {
            self.heart.poll();
            let event = self.reconcile().await?;
            if event.is_some() {
                return Ok(event);
            }
            self.commit_if_due().await?;
            let mut until = Instant::now() + self.poll_every;
            if self.auto_commit.is_some() {
                until = until.min(self.commit_at);
            }
            tokio::select! {
                biased;
                () = self.heart.changed() => {}
                read = next_rows(&mut self.topics, self.turn) => {
                    let (place, rows) = read?;
                    self.turn = place + 1;
                    let topic = Arc::clone(&self.topics[place].name);
                    return Ok(Some(Event::Rows(GroupRows { topic, rows })));
                }
                () = sleep_until(deadline.map_or(until, |end| end.min(until))) => {
                    if deadline.is_some_and(|end| Instant::now() >= end) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The next rows, whatever happens before them.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn rows(&mut self) -> Result<GroupRows> {
        loop {
            if let Event::Rows(rows) = self.next().await? {
                return Ok(rows);
            }
        }
    }

    /// Commits the position of every partition: all rows handed out so far count as dealt with.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH or UNKNOWN_MEMBER_ID if the partitions were lost: nothing was committed,
    /// and the next event says so. Transient failures are retried first.
    pub async fn commit(&mut self) -> Result<()> {
        self.send(self.uncommitted()).await
    }

    /// Commits these offsets, each the next one to be read, instead of the positions.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_offsets(&mut self, offsets: BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.send(offsets).await
    }

    /// The partitions being read.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.names(&self.owned)
    }

    /// Where reading goes on in each partition after the rows handed out so far; of those just
    /// revoked, too.
    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        let mut positions = self.leaving.clone();
        for topic in &self.topics {
            let own = topic.stream.positions().into_iter();
            positions.extend(own.map(|(index, offset)| (topic.partition(index), offset)));
        }
        positions
    }

    /// The schema of a topic's batches; `None` if it is none of those subscribed to.
    pub fn schema(&self, topic: &str) -> Option<&SchemaRef> {
        let topic = self.topics.iter().find(|known| *known.name == *topic)?;
        Some(topic.stream.schema())
    }

    /// The id of this member, as tools show it.
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// Leaves the group, after a commit if the reader commits by itself: others read on at once.
    ///
    /// # Errors
    /// Of the commit. The member is gone all the same.
    pub async fn close(mut self) -> Result<()> {
        let committed = match self.auto_commit {
            Some(_) => self.commit().await.or_else(unless_fenced),
            None => Ok(()),
        };
        self.heart.leave().await;
        committed
    }

    /// Takes one step from what is owned to what is to be.
    async fn reconcile(&mut self) -> Result<Option<Event>> {
        let Pulse { standing, failure } = self.heart.pulse();
        if standing.tenure != self.tenure {
            self.tenure = standing.tenure;
            let lost = self.lose();
            self.heart.own(self.tenure, &self.owned);
            if !lost.is_empty() {
                return Ok(Some(Event::Lost(lost)));
            }
        }
        if let Some(error) = failure {
            return Err(self.failed(error));
        }
        let revoked = &self.owned - &standing.target;
        if !revoked.is_empty() {
            return self.revoke(&revoked).await.map(Some);
        }
        let assigned = &standing.target - &self.owned;
        if !assigned.is_empty() {
            return self.assign(&assigned).await;
        }
        Ok(None)
    }

    fn lose(&mut self) -> Vec<TopicPartition> {
        let lost = self.assignment();
        for (id, index) in std::mem::take(&mut self.owned) {
            if let Some(topic) = self.topics.iter_mut().find(|topic| topic.id == id) {
                topic.stream.give_up(index);
            }
        }
        self.leaving.clear();
        self.committed.clear();
        lost
    }

    async fn revoke(&mut self, revoked: &Partitions) -> Result<Event> {
        let names = self.names(revoked);
        if self.auto_commit.is_some() {
            let mut offsets = self.uncommitted();
            offsets.retain(|of, _| names.contains(of));
            self.send(offsets).await.or_else(unless_fenced)?;
        }
        for (id, index) in revoked {
            self.owned.remove(&(*id, *index));
            if let Some(topic) = self.topics.iter_mut().find(|topic| topic.id == *id)
                && let Some(position) = topic.stream.give_up(*index)
            {
                self.leaving.insert(topic.partition(*index), position);
            }
        }
        Ok(Event::Revoked(names))
    }

    /// `None` if it is to have others by now.
    async fn assign(&mut self, assigned: &Partitions) -> Result<Option<Event>> {
        let names = self.names(assigned);
        if names.len() < assigned.len() {
            return Err(Error::Subscription {
                group: self.coordinator.group().to_owned(),
                reason: "one of its topics was deleted and made anew: subscribe again".to_owned(),
            });
        }
        let committed = self.coordinator.committed(&names).await?;
        let mut starts = committed.clone();
        for topic in &self.topics {
            let is_new = |of: &&TopicPartition| of.topic == topic.name && !starts.contains_key(of);
            let new: Vec<_> = names.iter().filter(is_new).map(|of| of.partition).collect();
            if !new.is_empty() {
                let found = topic.starts(&self.client, &new).await?;
                starts.extend(
                    found
                        .into_iter()
                        .map(|(index, at)| (topic.partition(index), at)),
                );
            }
        }
        // From here on nothing is waited for.
        let standing = self.heart.standing();
        if standing.tenure != self.tenure || !assigned.is_subset(&standing.target) {
            return Ok(None);
        }
        for topic in &mut self.topics {
            for of in names.iter().filter(|of| of.topic == topic.name) {
                let start = starts.get(of).ok_or_else(|| Error::Partition {
                    table: topic.name.to_string(),
                    partition: of.partition,
                    reason: "the broker does not say where it begins",
                })?;
                let span = Span {
                    start: *start,
                    end: None,
                    skips: Skips::Always,
                };
                topic.stream.take_on(of.partition, span);
            }
        }
        self.committed.extend(committed);
        self.owned.extend(assigned);
        self.heart.own(self.tenure, &self.owned);
        Ok(Some(Event::Assigned(names)))
    }

    /// Positions that are not known to be committed.
    fn uncommitted(&self) -> Offsets {
        let mut positions = self.positions();
        positions.retain(|of, offset| self.committed.get(of) != Some(offset));
        positions
    }

    /// What could not be committed for a passing reason is tried again soon.
    async fn commit_if_due(&mut self) -> Result<()> {
        let (Some(every), now) = (self.auto_commit, Instant::now()) else {
            return Ok(());
        };
        if now < self.commit_at {
            return Ok(());
        }
        self.commit_at = now + every;
        let error = match self.send_once(&self.uncommitted()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.is_transient() || is_stale(&error) {
            true => {
                self.commit_at = now + every.min(self.client.config().backoff_max);
                Ok(())
            }
            false => unless_fenced(error),
        }
    }

    async fn send(&mut self, offsets: Offsets) -> Result<()> {
        let mut retry = Retry::new();
        loop {
            match self.send_once(&offsets).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let passes = error.is_transient() || is_stale(&error);
                    retry.wait_if(self.client.config(), error, passes).await?;
                }
            }
        }
    }

    async fn send_once(&mut self, offsets: &Offsets) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let standing = self.heart.standing();
        if standing.tenure != self.tenure {
            return Err(Error::Broker(BrokerError {
                api: "ConsumerGroupHeartbeat",
                code: ErrorCode::FencedMemberEpoch.code(),
                message: format!(
                    "group {}, member {}",
                    self.coordinator.group(),
                    self.member_id
                ),
            }));
        }
        let member = Identity {
            member_id: self.member_id.clone(),
            instance_id: self.instance_id.clone(),
            epoch: standing.epoch,
        };
        self.coordinator.commit(&member, offsets).await?;
        let offsets = offsets.iter().map(|(of, offset)| (of.clone(), *offset));
        self.committed.extend(offsets);
        Ok(())
    }

    /// By name, as far as they are of topics subscribed to.
    fn names(&self, partitions: &Partitions) -> Vec<TopicPartition> {
        let name = |(id, index): &(Uuid, i32)| {
            let topic = self.topics.iter().find(|topic| topic.id == *id)?;
            Some(topic.partition(*index))
        };
        let mut names: Vec<_> = partitions.iter().filter_map(name).collect();
        names.sort_unstable();
        names
    }

    fn failed(&self, source: Arc<Error>) -> Error {
        Error::Group {
            group: self.coordinator.group().to_owned(),
            source,
        }
    }
}

/// Why a scan is no topic of a subscription.
enum NoTopic {
    Scan(&'static str),
    Source(Error),
}

impl Topic {
    fn new(scan: &Scan) -> Result<Self, NoTopic> {
        let start = scan.start_of_any().map_err(NoTopic::Scan)?;
        let source = scan.source().map_err(NoTopic::Source)?;
        Ok(Self {
            name: scan.table().name().into(),
            id: scan.table().topic_id(),
            start,
            stream: RowStream::new(source, BTreeMap::new()),
        })
    }

    fn partition(&self, index: i32) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.name), index)
    }

    /// Where to start what nobody has read.
    async fn starts(&self, client: &Client, partitions: &[i32]) -> Result<BTreeMap<i32, i64>> {
        let timestamp = match self.start {
            Start::Latest => LATEST,
            Start::Timestamp(ms) => ms.max(0),
            Start::Earliest | Start::Offsets(_) => EARLIEST,
        };
        offsets::at(client, &self.name, partitions, timestamp).await
    }
}

/// The next rows of any topic, and its place; those of `turn` first if there are some of several.
async fn next_rows(topics: &mut [Topic], turn: usize) -> Result<(usize, Rows)> {
    let mut topics: Vec<_> = topics.iter_mut().enumerate().collect();
    let turn = turn % topics.len().max(1);
    topics.rotate_left(turn);
    let reads = topics.into_iter().map(|(place, topic)| {
        Box::pin(async move {
            match topic.stream.next().await? {
                Some(rows) => Ok((place, rows)),
                // Nothing of it is this member's.
                None => pending().await,
            }
        })
    });
    // A subscription has a topic at least.
    select_all(reads).await.0
}

/// The coordinator has moved the member on, and the answer that says so is not here yet.
fn is_stale(error: &Error) -> bool {
    error.error_code() == Some(ErrorCode::StaleMemberEpoch)
}

/// A commit that came too late is no failure of its own: the loss is an event.
fn unless_fenced(error: Error) -> Result<()> {
    match error.error_code() {
        Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => Ok(()),
        _ => Err(error),
    }
}
