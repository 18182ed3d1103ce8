//! The broker that keeps a group, found anew whenever it has moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, FindCoordinatorRequest, GroupId,
    OffsetCommitRequest, OffsetFetchRequest, TopicName,
};
use tidelog_protocol_ext::ErrorCode;
use tokio::sync::Mutex;

use super::TopicPartition;
use crate::api::Call;
use crate::client::{Client, host_and_port, text};
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result, said};
use crate::link::Link;

/// What stands with a committed offset: nothing.
const NO_METADATA: &str = "";
const NO_LEADER_EPOCH: i32 = -1;

/// Offsets, each the next to be read.
pub(super) type Offsets = BTreeMap<TopicPartition, i64>;

/// A member in one epoch, who may commit.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) epoch: i32,
}

/// See the module. Its connection is its own: answers come in order, and what is asked here must not
/// wait behind rows.
#[derive(Debug)]
pub(super) struct Coordinator {
    client: Client,
    group: String,
    /// `None`: to be found. Held while it is looked for: all who need it wait for the one attempt.
    link: Mutex<Option<Arc<Link>>>,
}

impl Coordinator {
    pub(super) fn new(client: Client, group: String) -> Self {
        Self {
            client,
            group,
            link: Mutex::default(),
        }
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// Finds the coordinator and whether members can be told apart there, trying on while the failure
    /// is transient.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it does not know the protocol of such members.
    pub(super) async fn check(&self) -> Result<()> {
        let mut retry = Retry::new();
        loop {
            let offers = async {
                let connection = self.link().await?.connection().await?;
                match connection.offers::<ConsumerGroupHeartbeatRequest>() {
                    true => Ok(()),
                    false => Err(connection.without::<ConsumerGroupHeartbeatRequest>()),
                }
            };
            match offers.await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.forget().await;
                    retry.wait(self.client.config(), error).await?;
                }
            }
        }
    }

    /// One attempt at a heartbeat.
    pub(super) async fn heartbeat(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse> {
        let outcome = async {
            let answer = self.call(request).await?;
            BrokerError::check("ConsumerGroupHeartbeat", answer.error_code, || {
                said(&self.subject(), answer.error_message.as_deref())
            })?;
            Ok(answer)
        };
        self.mind(outcome.await).await
    }

    /// One attempt at a commit.
    pub(super) async fn commit(&self, member: &Identity, offsets: &Offsets) -> Result<()> {
        let request = commit_request(&self.group, member, offsets);
        let outcome = async {
            let answer = self.call(&request).await?;
            for topic in &answer.topics {
                for part in &topic.partitions {
                    BrokerError::check("OffsetCommit", part.error_code, || {
                        let (topic, index) = (topic.name.as_str(), part.partition_index);
                        format!("{}, topic {topic}, partition {index}", self.subject())
                    })?;
                }
            }
            Ok(())
        };
        self.mind(outcome.await).await
    }

    /// What the group has committed of these partitions, once no transaction can change it any more.
    pub(super) async fn committed(
        &self,
        partitions: impl IntoIterator<Item = &TopicPartition>,
    ) -> Result<Offsets> {
        let mut topics = BTreeMap::<&str, Vec<i32>>::new();
        for of in partitions {
            topics.entry(&of.topic).or_default().push(of.partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetFetchRequestTopic::default()
                .with_name(TopicName(text(topic)))
                .with_partition_indexes(partitions)
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_topics(Some(topics.collect()))
            .with_require_stable(true);
        let mut retry = Retry::new();
        loop {
            let outcome = self.committed_once(&request).await;
            match self.mind(outcome).await {
                Ok(offsets) => return Ok(offsets),
                Err(error) => retry.wait(self.client.config(), error).await?,
            }
        }
    }

    async fn committed_once(&self, request: &OffsetFetchRequest) -> Result<Offsets> {
        let answer = self.call(request).await?;
        let check = |code| BrokerError::check("OffsetFetch", code, || self.subject());
        check(answer.error_code)?;
        let mut offsets = Offsets::new();
        for topic in answer.topics {
            for part in topic.partitions {
                check(part.error_code)?;
                if part.committed_offset >= 0 {
                    let of = TopicPartition::new(topic.name.as_str(), part.partition_index);
                    offsets.insert(of, part.committed_offset);
                }
            }
        }
        Ok(offsets)
    }

    async fn call<C: Call>(&self, request: &C) -> Result<C::Answer> {
        self.link().await?.call(request, Duration::ZERO).await
    }

    /// The way there, asked for if it is not known.
    async fn link(&self) -> Result<Arc<Link>> {
        let mut known = self.link.lock().await;
        if let Some(link) = &*known {
            return Ok(Arc::clone(link));
        }
        let request = FindCoordinatorRequest::default().with_key(text(&self.group));
        let answer = self.client.call_any(&request).await?;
        BrokerError::check("FindCoordinator", answer.error_code, || {
            said(&self.subject(), answer.error_message.as_deref())
        })?;
        let link = self
            .client
            .own_link(host_and_port(&answer.host, answer.port));
        *known = Some(Arc::clone(&link));
        Ok(link)
    }

    /// Looks for the coordinator anew after an answer that says, or may mean, that it is elsewhere.
    async fn mind<T>(&self, outcome: Result<T>) -> Result<T> {
        let has_moved = match &outcome {
            Err(Error::Broker(error)) => matches!(
                error.error_code(),
                Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable)
            ),
            Err(error) => error.is_transient(),
            Ok(_) => false,
        };
        if has_moved {
            self.forget().await;
        }
        outcome
    }

    async fn forget(&self) {
        *self.link.lock().await = None;
    }

    fn subject(&self) -> String {
        format!("group {}", self.group)
    }
}

fn commit_request(group: &str, member: &Identity, offsets: &Offsets) -> OffsetCommitRequest {
    let mut topics = BTreeMap::<&str, Vec<_>>::new();
    for (of, offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(of.partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(NO_LEADER_EPOCH)
            .with_committed_metadata(Some(text(NO_METADATA)));
        topics.entry(&of.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(partitions)
    });
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(member.epoch)
        .with_member_id(text(&member.member_id))
        .with_group_instance_id(member.instance_id.as_deref().map(text))
        .with_topics(topics.collect())
}
