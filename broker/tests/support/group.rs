//! A group member on a connection of its own, step by step.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Client, TestBroker};

/// Settings that make groups quick: a first generation does not wait for more members.
pub const QUICK: &[&str] = &["group.initial.rebalance.delay.ms=0"];

pub const MEMBER_ID_REQUIRED: i16 = 79;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

pub fn topic_name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

/// What a consumer of `topics` sends as its metadata: version 0, no user data.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

pub struct Member {
    pub client: Client,
    pub group: String,
    pub id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

impl Member {
    pub async fn connect(broker: &TestBroker, group: &str) -> Self {
        Self {
            client: broker.client().await,
            group: group.to_owned(),
            id: String::new(),
            instance_id: None,
            generation: -1,
        }
    }

    /// The same member on a new connection, after a restart of the broker.
    pub async fn reconnect(&mut self, broker: &TestBroker) {
        self.client = broker.client().await;
    }

    pub fn join_request(&self) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(subscription(&["events"]));
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    /// Joins as clients do: again with the id it is told, if it is told one.
    pub async fn join(&mut self) -> JoinGroupResponse {
        let mut joined = self.client.call(9, &self.join_request()).await;
        if joined.error_code == MEMBER_ID_REQUIRED {
            self.id = joined.member_id.to_string();
            joined = self.client.call(9, &self.join_request()).await;
        }
        if joined.error_code == 0 {
            self.id = joined.member_id.to_string();
            self.generation = joined.generation_id;
        }
        joined
    }

    /// Syncs; a leader brings assignments by member id.
    pub async fn sync(&mut self, assignments: &[(&str, &'static str)]) -> SyncGroupResponse {
        let assignments = assignments.iter().map(|(member, assigned)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::from_static(assigned.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignments.collect());
        self.client.call(5, &request).await
    }

    /// The error code of a heartbeat.
    pub async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        self.client.call(4, &request).await.error_code
    }

    /// The error codes of a request to leave: of the request, and of the member.
    pub async fn leave(&mut self) -> (i16, i16) {
        let member = MemberIdentity::default()
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_members(vec![member]);
        let left = self.client.call(5, &request).await;
        (left.error_code, left.members[0].error_code)
    }

    /// The error code of a commit of one offset.
    pub async fn commit(&mut self, topic: &str, partition: i32, offset: i64) -> i16 {
        let request = commit_request(&self.group, topic, partition, offset)
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        let committed = self.client.call(9, &request).await;
        committed.topics[0].partitions[0].error_code
    }
}

/// A commit from outside of group management.
pub fn commit_request(
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

/// The committed offset of one partition as version 9 tells it: offset and metadata.
pub async fn fetch(client: &mut Client, group: &str, topic: &str, partition: i32) -> (i64, String) {
    let topics = OffsetFetchRequestTopics::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition]);
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(group))
        .with_member_epoch(-1)
        .with_topics(Some(vec![topics]));
    let request = OffsetFetchRequest::default().with_groups(vec![asked]);
    let fetched = client.call(9, &request).await;
    assert_eq!(fetched.groups[0].error_code, 0);
    let position = &fetched.groups[0].topics[0].partitions[0];
    assert_eq!(position.error_code, 0);
    let metadata = position.metadata.as_deref().unwrap_or_default();
    (position.committed_offset, metadata.to_owned())
}
