//! The task that keeps a member in its group while the caller is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::GroupOptions;
use super::coordinator::Coordinator;
use super::membership::{Act, Beat, Heard, Membership, Partitions, Reader, Standing};
use crate::client::text;
use crate::config::Config;
use crate::error::Error;

/// "As before."
const NO_REBALANCE_TIMEOUT: i32 = -1;

/// Who a member is, and what it wants.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) max_poll_interval: Duration,
}

impl Member {
    pub(super) fn new(id: String, topics: Vec<Arc<str>>, options: &GroupOptions) -> Self {
        Self {
            id,
            instance_id: options.instance_id.clone(),
            topics,
            max_poll_interval: options.max_poll_interval,
        }
    }
}

/// What the reader is told.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    pub(super) standing: Standing,
    /// Why there will be no more.
    pub(super) failure: Option<Arc<Error>>,
}

/// The reader's end of it. Dropped, it has the member leave.
#[derive(Debug)]
pub(super) struct Heart {
    reader: watch::Sender<Reader>,
    pulse: watch::Receiver<Pulse>,
    max_poll_interval: Duration,
    task: JoinHandle<()>,
}

impl Heart {
    /// Joins, and goes on until dropped.
    pub(super) fn start(coordinator: Arc<Coordinator>, member: Member, config: Config) -> Self {
        let now = Instant::now();
        let max_poll_interval = member.max_poll_interval;
        let is_static = member.instance_id.is_some();
        let membership = Membership::new(config, is_static, max_poll_interval, now);
        let standing = membership.standing();
        let (reader, heeded) = watch::channel(Reader {
            tenure: standing.tenure,
            owned: Partitions::new(),
            polled: now,
        });
        let (told, pulse) = watch::channel(Pulse {
            standing,
            failure: None,
        });
        let task = Task {
            coordinator,
            member,
            membership,
            reader: heeded,
            pulse: told,
        };
        Self {
            reader,
            pulse,
            max_poll_interval,
            task: tokio::spawn(task.run()),
        }
    }

    pub(super) fn pulse(&mut self) -> Pulse {
        self.pulse.borrow_and_update().clone()
    }

    /// How the member stands; what is new remains so.
    pub(super) fn standing(&self) -> Standing {
        self.pulse.borrow().standing.clone()
    }

    /// Waits until there is something new.
    pub(super) async fn changed(&mut self) {
        if self.pulse.changed().await.is_err() {
            // The task has ended, and has said why: there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }

    /// Somebody asks for rows.
    pub(super) fn poll(&self) {
        let now = Instant::now();
        self.reader.send_if_modified(|reader| {
            let since = now.saturating_duration_since(reader.polled);
            reader.polled = now;
            // Else the task sees it in time when it wakes for its own reasons.
            since >= self.max_poll_interval / 2
        });
    }

    /// What is owned has changed.
    pub(super) fn own(&self, tenure: u64, owned: &Partitions) {
        self.reader.send_if_modified(|reader| {
            let is_new = reader.tenure != tenure || reader.owned != *owned;
            if is_new {
                reader.tenure = tenure;
                reader.owned.clone_from(owned);
            }
            is_new
        });
    }

    /// Leaves the group, and answers when its coordinator knows or cannot be told.
    pub(super) async fn leave(self) {
        let Self { reader, task, .. } = self;
        drop(reader);
        // It was told to end; how it did is of no consequence.
        drop(task.await);
    }
}

struct Task {
    coordinator: Arc<Coordinator>,
    member: Member,
    membership: Membership,
    reader: watch::Receiver<Reader>,
    pulse: watch::Sender<Pulse>,
}

impl Task {
    async fn run(mut self) {
        loop {
            self.membership.heed(&self.reader.borrow_and_update());
            if self.reader.has_changed().is_err() {
                self.membership.leave();
            }
            match self.membership.decide(Instant::now()) {
                Act::Wait(until) => {
                    self.tell(None);
                    tokio::select! {
                        () = sleep_until(until.into()) => {}
                        // An end is seen above.
                        _ = self.reader.changed() => {}
                    }
                }
                Act::Say(beat) => self.say(beat).await,
                Act::End => return,
            }
        }
    }

    async fn say(&mut self, beat: Beat) {
        let request = self.request(&beat);
        let (heard, error) = match self.coordinator.heartbeat(&request).await {
            Ok(answer) => (told(&answer), None),
            Err(Error::Broker(error)) => {
                (Heard::Refused(error.error_code()), Some(Error::from(error)))
            }
            Err(error) => {
                let is_transient = error.is_transient();
                (Heard::Nothing { is_transient }, Some(error))
            }
        };
        let failure = error.filter(|_| heard.is_final());
        self.membership.hear(Instant::now(), beat, heard);
        self.tell(failure);
    }

    fn tell(&self, failure: Option<Error>) {
        let standing = self.membership.standing();
        self.pulse.send_if_modified(|pulse| {
            let is_new = failure.is_some() || pulse.standing != standing;
            pulse.standing = standing;
            if let Some(failure) = failure {
                pulse.failure = Some(Arc::new(failure));
            }
            is_new
        });
    }

    fn request(&self, beat: &Beat) -> ConsumerGroupHeartbeatRequest {
        let Member {
            id,
            instance_id,
            topics,
            max_poll_interval,
        } = &self.member;
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(self.coordinator.group())))
            .with_member_id(text(id))
            .with_member_epoch(beat.epoch)
            .with_instance_id(instance_id.as_deref().map(text))
            .with_topic_partitions(beat.owned.as_ref().map(by_topic));
        if !beat.is_full {
            return request
                .with_rebalance_timeout_ms(NO_REBALANCE_TIMEOUT)
                .with_subscribed_topic_names(None);
        }
        let topics = topics.iter().map(|topic| TopicName(text(topic)));
        let timeout_ms = i32::try_from(max_poll_interval.as_millis()).unwrap_or(i32::MAX);
        request
            .with_rebalance_timeout_ms(timeout_ms)
            .with_subscribed_topic_names(Some(topics.collect()))
    }
}

fn told(answer: &ConsumerGroupHeartbeatResponse) -> Heard {
    let interval_ms = u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0);
    let assigned = answer.assignment.as_ref().map(|assignment| {
        let topics = assignment.topic_partitions.iter();
        let partitions = topics.flat_map(|topic| {
            let id = topic.topic_id;
            topic.partitions.iter().map(move |index| (id, *index))
        });
        partitions.collect()
    });
    Heard::Told {
        epoch: answer.member_epoch,
        interval: Duration::from_millis(interval_ms),
        assigned,
    }
}

fn by_topic(partitions: &Partitions) -> Vec<TopicPartitions> {
    let partitions: Vec<_> = partitions.iter().copied().collect();
    let topics = partitions.chunk_by(|a, b| a.0 == b.0).map(|of_one| {
        TopicPartitions::default()
            .with_topic_id(of_one[0].0)
            .with_partitions(of_one.iter().map(|(_, index)| *index).collect())
    });
    topics.collect()
}
