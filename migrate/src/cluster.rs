//! One side of a migration: its brokers, who leads what, and requests that outlast an outage.
//!
//! - A cluster that was reached once is waited for, however long it is away.
//! - A refusal that may pass (a leader is being elected) is waited for [`REFUSED_FOR`] at most.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tidelog_client::wire::{Call, Link};
use tidelog_client::{BrokerError, Config, Error};
use tidelog_protocol_ext::ErrorCode;
use tokio::time::sleep;
use uuid::Uuid;

/// How long a cluster that was never reached is tried, and one that refuses for now.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
const REFUSED_FOR: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Partitions of one ListOffsets request.
const LISTED_AT_ONCE: usize = 1000;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One of the two clusters.
pub struct Cluster {
    /// As messages call it.
    pub name: &'static str,
    bootstrap: Vec<String>,
    config: Arc<Config>,
    links: Mutex<HashMap<(String, usize), Arc<Link>>>,
    view: Mutex<View>,
    was_reached: AtomicBool,
    is_away: AtomicBool,
}

/// What Metadata said last.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub brokers: BTreeMap<i32, String>,
    pub topics: BTreeMap<String, TopicView>,
}

#[derive(Debug, Clone)]
pub struct TopicView {
    pub id: Uuid,
    pub is_internal: bool,
    /// Leaders' ids by partition.
    pub leaders: BTreeMap<i32, i32>,
}

/// Which end of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Start,
    /// The high watermark.
    High,
    /// The last stable offset: no open transaction lies below.
    Stable,
}

impl Cluster {
    pub fn new(name: &'static str, bootstrap: &str) -> Self {
        let addresses = bootstrap.split(',').map(str::trim);
        Self {
            name,
            bootstrap: addresses
                .filter(|a| !a.is_empty())
                .map(str::to_owned)
                .collect(),
            config: Arc::new(Config {
                client_id: "tidelog-migrate".to_owned(),
                ..Config::default()
            }),
            links: Mutex::default(),
            view: Mutex::default(),
            was_reached: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
        }
    }

    pub fn bootstrap(&self) -> String {
        self.bootstrap.join(",")
    }

    pub fn view(&self) -> View {
        lock(&self.view).clone()
    }

    pub fn topic(&self, name: &str) -> Option<TopicView> {
        lock(&self.view).topics.get(name).cloned()
    }

    /// Asks who is there and who leads what.
    ///
    /// # Errors
    /// The cluster cannot be reached, at first, or refuses.
    pub async fn refresh(&self) -> Result<View> {
        self.patiently(async || self.look().await).await
    }

    async fn look(&self) -> Result<View> {
        let request = MetadataRequest::default()
            .with_topics(None)
            .with_allow_auto_topic_creation(false);
        let answer = self.any(&request).await?;
        let brokers: BTreeMap<_, _> = answer
            .brokers
            .iter()
            .map(|broker| {
                let address = match broker.host.contains(':') {
                    true => format!("[{}]:{}", broker.host, broker.port),
                    false => format!("{}:{}", broker.host, broker.port),
                };
                (broker.node_id.0, address)
            })
            .collect();
        let topics = answer.topics.iter().filter_map(|topic| {
            let leaders = topic.partitions.iter();
            let view = TopicView {
                id: topic.topic_id,
                is_internal: topic.is_internal,
                leaders: leaders
                    .map(|p| (p.partition_index, p.leader_id.0))
                    .collect(),
            };
            Some((topic.name.as_ref()?.to_string(), view))
        });
        let view = View {
            brokers,
            topics: topics.collect(),
        };
        *lock(&self.view) = view.clone();
        Ok(view)
    }

    /// Tries until it succeeds, fails for good, or was refused for too long.
    ///
    /// # Errors
    /// The last.
    pub async fn patiently<T>(&self, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let (mut pause, mut since) = (Duration::from_millis(100), None);
        loop {
            let error = match attempt().await {
                Ok(value) => {
                    self.is_back();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let elapsed = since.get_or_insert_with(Instant::now).elapsed();
            let patience = match &error {
                Error::Broker(_) => REFUSED_FOR,
                _ if self.was_reached.load(Ordering::Relaxed) => Duration::MAX,
                _ => FIRST_CONTACT,
            };
            if !error.is_transient() || elapsed > patience {
                return Err(error);
            }
            self.is_gone(&error);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            // Whoever leads now may be another; who cannot be asked says so in the next attempt.
            let _ = self.look().await;
        }
    }

    fn is_back(&self) {
        self.was_reached.store(true, Ordering::Relaxed);
        if self.is_away.swap(false, Ordering::Relaxed) {
            say(&format!("the {} is back", self.name));
        }
    }

    fn is_gone(&self, error: &Error) {
        let is_reached = self.was_reached.load(Ordering::Relaxed);
        if is_reached && !self.is_away.swap(true, Ordering::Relaxed) {
            say(&format!("{}: {error}; trying again", self.name));
        }
    }

    /// One attempt at the broker with this id. Each lane is a connection of its own.
    ///
    /// # Errors
    /// Whatever was in the way.
    pub async fn broker<C: Call>(&self, id: i32, lane: usize, request: &C) -> Result<C::Answer> {
        let address = lock(&self.view).brokers.get(&id).cloned();
        let address = address.ok_or_else(|| leaderless(format!("broker {id}")))?;
        self.link(&address, lane)
            .call(request, Duration::ZERO)
            .await
    }

    /// One attempt at the leader of a partition.
    ///
    /// # Errors
    /// Whatever was in the way.
    pub async fn leader<C: Call>(
        &self,
        (topic, partition): (&str, i32),
        lane: usize,
        request: &C,
    ) -> Result<C::Answer> {
        let leader = lock(&self.view)
            .topics
            .get(topic)
            .and_then(|view| view.leaders.get(&partition).copied());
        let leader = leader.ok_or_else(|| leaderless(format!("{topic}-{partition}")))?;
        self.broker(leader, lane, request).await
    }

    /// One attempt at each known broker until one answers.
    ///
    /// # Errors
    /// The last broker's.
    pub async fn any<C: Call>(&self, request: &C) -> Result<C::Answer> {
        let mut addresses = self.bootstrap.clone();
        addresses.extend(lock(&self.view).brokers.values().cloned());
        let mut last = Error::Connect {
            address: self.bootstrap(),
            reason: "no address".to_owned(),
        };
        for address in addresses {
            match self.link(&address, 0).call(request, Duration::ZERO).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn link(&self, address: &str, lane: usize) -> Arc<Link> {
        let new = || Arc::new(Link::new(address.to_owned(), Arc::clone(&self.config)));
        let mut links = lock(&self.links);
        Arc::clone(links.entry((address.to_owned(), lane)).or_insert_with(new))
    }

    /// The ends of many partitions.
    ///
    /// # Errors
    /// As [`Cluster::patiently`].
    pub async fn ends(
        &self,
        partitions: &[(String, i32)],
        end: End,
    ) -> Result<BTreeMap<(String, i32), i64>> {
        let mut found = BTreeMap::new();
        for some in partitions.chunks(LISTED_AT_ONCE) {
            found.extend(self.patiently(async || self.list(some, end).await).await?);
        }
        Ok(found)
    }

    async fn list(
        &self,
        partitions: &[(String, i32)],
        end: End,
    ) -> Result<Vec<((String, i32), i64)>> {
        let view = self.view();
        let mut by_leader = BTreeMap::<i32, BTreeMap<&str, Vec<i32>>>::new();
        for (topic, index) in partitions {
            let leader = view.topics.get(topic).and_then(|t| t.leaders.get(index));
            let leader = *leader.ok_or_else(|| leaderless(format!("{topic}-{index}")))?;
            let topics = by_leader.entry(leader).or_default();
            topics.entry(topic).or_default().push(*index);
        }
        let timestamp = match end {
            End::Start => -2,
            End::High | End::Stable => -1,
        };
        let mut found = Vec::with_capacity(partitions.len());
        for (leader, topics) in by_leader {
            let asked = topics.into_iter().map(|(topic, indices)| {
                let partitions = indices.into_iter().map(|index| {
                    ListOffsetsPartition::default()
                        .with_partition_index(index)
                        .with_timestamp(timestamp)
                });
                ListOffsetsTopic::default()
                    .with_name(topic_name(topic))
                    .with_partitions(partitions.collect())
            });
            let request = ListOffsetsRequest::default()
                .with_replica_id((-1).into())
                .with_isolation_level(i8::from(end == End::Stable))
                .with_topics(asked.collect());
            for topic in self.broker(leader, 0, &request).await?.topics {
                for part in topic.partitions {
                    let name = topic.name.to_string();
                    let index = part.partition_index;
                    BrokerError::check("ListOffsets", part.error_code, || {
                        format!("{name}-{index}")
                    })?;
                    found.push(((name, index), part.offset));
                }
            }
        }
        Ok(found)
    }
}

/// Says something that is no error on stderr, between the lines of progress.
pub fn say(line: &str) {
    // Nobody may be reading; the work goes on.
    let _ = writeln!(std::io::stderr(), "migrate: {line}");
}

/// What is talked of, with what a broker says about it.
pub fn said(subject: &str, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("{subject} ({message})"),
        None => subject.to_owned(),
    }
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.to_owned())
}

fn leaderless(what: String) -> Error {
    BrokerError {
        api: "Metadata",
        code: ErrorCode::LeaderNotAvailable.code(),
        message: what,
    }
    .into()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing done under a lock leaves things half changed.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
