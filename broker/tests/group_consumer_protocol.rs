//! Groups of the new protocol (KIP-848) through the wire: ConsumerGroupHeartbeat and ConsumerGroupDescribe, members
//! of both protocols together, and what a restart leaves of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    IncrementalAlterConfigsRequest, ListGroupsRequest, OffsetFetchRequest,
};
use support::group::*;
use support::{Client, PATIENCE, TestBroker};
use uuid::Uuid;

const UNKNOWN_MEMBER: i16 = 25;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const GROUP_ID_NOT_FOUND: i16 = 69;
const MAX_SIZE: i16 = 81;
const FENCED_INSTANCE: i16 = 82;
const FENCED_MEMBER_EPOCH: i16 = 110;
const UNRELEASED_INSTANCE: i16 = 111;
const UNSUPPORTED_ASSIGNOR: i16 = 112;
const STALE_EPOCH: i16 = 113;
const INVALID_REGEX: i16 = 128;

/// A member of the new protocol.
struct Consumer {
    client: Client,
    group: String,
    id: String,
    epoch: i32,
    instance: Option<String>,
    /// What it was told to use, and uses.
    owned: BTreeSet<(Uuid, i32)>,
}

impl Consumer {
    async fn connect(broker: &TestBroker, group: &str, id: &str) -> Self {
        Self {
            client: broker.client().await,
            group: group.to_owned(),
            id: id.to_owned(),
            epoch: 0,
            instance: None,
            owned: BTreeSet::new(),
        }
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_instance_id(self.instance.as_deref().map(text))
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None)
    }

    fn joining(&self, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
        let names = topics.iter().map(|name| topic_name(name)).collect();
        self.request()
            .with_member_epoch(0)
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(names))
            .with_topic_partitions(Some(vec![]))
    }

    /// Takes in an answer without an error.
    fn follow(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, 0, "{}: {answer:?}", self.id);
        self.id = answer.member_id.as_ref().unwrap().to_string();
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            let all = topics.flat_map(|t| t.partitions.iter().map(|&index| (t.topic_id, index)));
            self.owned = all.collect();
        }
    }

    async fn join(&mut self, topics: &[&str]) -> ConsumerGroupHeartbeatResponse {
        let answer = self.client.call(1, &self.joining(topics)).await;
        self.follow(&answer);
        answer
    }

    /// A heartbeat that says what the member owns.
    async fn beat(&mut self) {
        let owned = owned(&self.owned);
        let request = self.request().with_topic_partitions(Some(owned));
        let answer = self.client.call(1, &request).await;
        self.follow(&answer);
    }

    /// The code of a request.
    async fn code(&mut self, version: i16, request: &ConsumerGroupHeartbeatRequest) -> i16 {
        self.client.call(version, request).await.error_code
    }

    async fn leave(&mut self, epoch: i32) -> ConsumerGroupHeartbeatResponse {
        let request = self.request().with_member_epoch(epoch);
        self.client.call(1, &request).await
    }

    /// The code of a commit by this member in its epoch.
    async fn commit(&mut self, version: i16, epoch: i32) -> i16 {
        let request = commit_request(&self.group, "t", 0, 5)
            .with_generation_id_or_member_epoch(epoch)
            .with_member_id(text(&self.id));
        let committed = self.client.call(version, &request).await;
        committed.topics[0].partitions[0].error_code
    }
}

fn owned(partitions: &BTreeSet<(Uuid, i32)>) -> Vec<TopicPartitions> {
    let one = |&(topic, index): &(Uuid, i32)| {
        TopicPartitions::default()
            .with_topic_id(topic)
            .with_partitions(vec![index])
    };
    partitions.iter().map(one).collect()
}

async fn broker(set: &[&str]) -> (TestBroker, Client, Uuid) {
    let settings = [QUICK, &["offsets.topic.num.partitions=3"], set].concat();
    let broker = TestBroker::start(&settings).await;
    let mut client = broker.client().await;
    let topic = client.make_topic("t", 4, &[]).await;
    (broker, client, topic)
}

async fn describe(client: &mut Client, version: i16, group: &str) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    client.call(version, &request).await.groups.remove(0)
}

/// Has members beat, in turn, until each has `each` partitions, and never lets two own the same.
async fn settle(members: &mut [&mut Consumer], each: &[usize]) {
    let started = Instant::now();
    loop {
        for member in members.iter_mut() {
            member.beat().await;
        }
        let all: Vec<_> = members.iter().flat_map(|member| &member.owned).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "a partition has two owners");
        let counts: Vec<_> = members.iter().map(|member| member.owned.len()).collect();
        if counts == each {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{counts:?}, not {each:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_member_gets_everything_at_once_and_is_told_once() {
    let (broker, mut client, topic) = broker(&[]).await;
    for version in 0..=1 {
        let group = format!("g{version}");
        let mut one = Consumer::connect(&broker, &group, "").await;
        if version == 1 {
            one.id = "own".to_owned();
        }
        let joined = one.client.call(version, &one.joining(&["t"])).await;
        one.follow(&joined);
        assert!(!one.id.is_empty());
        assert_eq!(one.owned, (0..4).map(|index| (topic, index)).collect());
        assert_eq!(
            (joined.member_epoch, joined.heartbeat_interval_ms),
            (1, 5_000)
        );
        let quiet = one.client.call(version, &one.request()).await;
        assert_eq!((quiet.error_code, quiet.member_epoch), (0, 1));
        assert_eq!(quiet.assignment, None, "only what changed is told");

        let described = describe(&mut client, version, &group).await;
        assert_eq!(described.error_code, 0);
        // The member has yet to say so.
        assert_eq!((described.group_epoch, described.assignment_epoch), (1, 1));
        assert_eq!(described.group_state.as_str(), "Stable");
        assert_eq!(described.assignor_name.as_str(), "uniform");
        let member = &described.members[0];
        assert_eq!(
            (member.member_id.as_str(), member.member_epoch),
            (&*one.id, 1)
        );
        assert_eq!(member.client_id.as_str(), "test");
        assert_eq!(member.subscribed_topic_names, [topic_name("t")]);
        assert_eq!(member.assignment, member.target_assignment);
        assert_eq!(
            member.assignment.topic_partitions[0].topic_name,
            topic_name("t")
        );
        assert_eq!(
            member.assignment.topic_partitions[0].partitions,
            [0, 1, 2, 3]
        );
        // From version 1 on the protocol of a member is told.
        assert_eq!(member.member_type, if version >= 1 { 1 } else { -1 });
    }
}

#[tokio::test]
async fn a_partition_is_given_on_only_after_it_was_given_up() {
    let (broker, mut client, _) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    one.join(&["t"]).await;
    let before = one.owned.clone();
    let mut two = Consumer::connect(&broker, "g", "two").await;
    two.join(&["t"]).await;
    assert!(two.owned.is_empty(), "everything is still in use");
    assert_eq!(two.epoch, 2);
    let described = describe(&mut client, 1, "g").await;
    assert_eq!(described.group_state.as_str(), "Reconciling");

    // The first is told to give up, and is not let go on before it has.
    let answer = one.client.call(1, &one.request()).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, 1));
    let kept = answer.assignment.clone().unwrap();
    assert_eq!(kept.topic_partitions[0].partitions.len(), 2);
    // It is slow: it still says that it has all of them.
    let slow = one.request().with_topic_partitions(Some(owned(&before)));
    let answer_slow = one.client.call(1, &slow).await;
    assert_eq!((answer_slow.error_code, answer_slow.member_epoch), (0, 1));
    two.beat().await;
    assert!(two.owned.is_empty(), "not given up yet");

    one.follow(&answer);
    one.beat().await;
    assert_eq!((one.epoch, one.owned.len()), (2, 2));
    two.beat().await;
    assert_eq!(two.owned.len(), 2);
    assert!(one.owned.is_disjoint(&two.owned));
    let described = describe(&mut client, 1, "g").await;
    assert_eq!(described.group_state.as_str(), "Stable");
    assert_eq!((described.group_epoch, described.members.len()), (2, 2));
}

#[tokio::test]
async fn members_come_and_go() {
    let (broker, mut client, _) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    let mut two = Consumer::connect(&broker, "g", "two").await;
    let mut three = Consumer::connect(&broker, "g", "three").await;
    one.join(&["t"]).await;
    two.join(&["t"]).await;
    settle(&mut [&mut one, &mut two], &[2, 2]).await;
    three.join(&["t"]).await;
    let started = Instant::now();
    loop {
        for member in [&mut one, &mut two, &mut three] {
            member.beat().await;
        }
        let mut counts = [one.owned.len(), two.owned.len(), three.owned.len()];
        counts.sort_unstable();
        if counts == [1, 1, 2] {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{counts:?}");
    }
    let left = two.leave(-1).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    settle(&mut [&mut one, &mut three], &[2, 2]).await;
    let request = two.request();
    assert_eq!(two.code(1, &request).await, UNKNOWN_MEMBER);
    for member in [&mut one, &mut three] {
        assert_eq!(member.leave(-1).await.error_code, 0);
    }
    let described = describe(&mut client, 1, "g").await;
    assert_eq!(
        (described.group_state.as_str(), described.members.len()),
        ("Empty", 0)
    );
}

#[tokio::test]
async fn a_static_member_that_leaves_for_a_moment_finds_its_partitions_again() {
    let (broker, _, _) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    one.instance = Some("i".to_owned());
    one.join(&["t"]).await;
    let mut rival = Consumer::connect(&broker, "g", "rival").await;
    rival.instance = one.instance.clone();
    let joining = rival.joining(&["t"]);
    assert_eq!(rival.code(1, &joining).await, UNRELEASED_INSTANCE);

    let left = one.leave(-2).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -2));
    let mut two = Consumer::connect(&broker, "g", "two").await;
    two.join(&["t"]).await;
    two.beat().await;
    rival.join(&["t"]).await;
    settle(&mut [&mut rival, &mut two], &[2, 2]).await;
    let request = one.request();
    assert_eq!(one.code(1, &request).await, FENCED_INSTANCE);
}

#[tokio::test]
async fn a_subscription_by_expression_follows_topics() {
    let (broker, mut client, topic) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    let request = one
        .joining(&[])
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(Some(text("t|new-.*")));
    let answer = one.client.call(1, &request).await;
    one.follow(&answer);
    assert_eq!(one.owned.len(), 4);
    let new = client.make_topic("new-1", 2, &[]).await;
    client.make_topic("other", 2, &[]).await;
    settle(&mut [&mut one], &[6]).await;
    assert!(one.owned.contains(&(new, 1)));
    client.delete_topic("t").await;
    let started = Instant::now();
    while one.owned.iter().any(|(id, _)| *id == topic) {
        one.beat().await;
        assert!(started.elapsed() < PATIENCE, "{:?}", one.owned);
    }
    let described = describe(&mut client, 1, "g").await;
    let regex = described.members[0].subscribed_topic_regex.as_deref();
    assert_eq!(regex, Some("t|new-.*"));
    for bad in ["(", "a)|(b", "[z-a]"] {
        let request = one.request().with_subscribed_topic_regex(Some(text(bad)));
        assert_eq!(one.code(1, &request).await, INVALID_REGEX, "{bad}");
    }
    settle(&mut [&mut one], &[2]).await;
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let (broker, mut client, _) = broker(&["group.consumer.max.size=1"]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    let stranger = one.request().with_member_epoch(3);
    assert_eq!(one.code(1, &stranger).await, GROUP_ID_NOT_FOUND);
    one.join(&["t"]).await;
    let joining = |c: &Consumer| c.joining(&["t"]);
    let cases = [
        (
            "no group",
            joining(&one).with_group_id(group_id("")),
            INVALID_REQUEST,
        ),
        (
            "no member",
            joining(&one).with_member_id(text("")),
            INVALID_REQUEST,
        ),
        (
            "blank instance",
            joining(&one).with_instance_id(Some(text(""))),
            INVALID_REQUEST,
        ),
        (
            "blank rack",
            joining(&one).with_rack_id(Some(text(""))),
            INVALID_REQUEST,
        ),
        (
            "no timeout",
            joining(&one).with_rebalance_timeout_ms(-1),
            INVALID_REQUEST,
        ),
        (
            "null owned",
            joining(&one).with_topic_partitions(None),
            INVALID_REQUEST,
        ),
        (
            "owns when joining",
            joining(&one).with_topic_partitions(Some(owned(&one.owned))),
            INVALID_REQUEST,
        ),
        (
            "no subscription",
            joining(&one).with_subscribed_topic_names(None),
            INVALID_REQUEST,
        ),
        (
            "epoch -3",
            one.request().with_member_epoch(-3),
            INVALID_REQUEST,
        ),
        (
            "away but not static",
            one.request().with_member_epoch(-2),
            INVALID_REQUEST,
        ),
        (
            "assignor",
            joining(&one).with_server_assignor(Some(text("magic"))),
            UNSUPPORTED_ASSIGNOR,
        ),
        (
            "later epoch",
            one.request().with_member_epoch(9),
            FENCED_MEMBER_EPOCH,
        ),
        (
            "stranger",
            one.request().with_member_id(text("nobody")),
            UNKNOWN_MEMBER,
        ),
        ("full", joining(&one).with_member_id(text("two")), MAX_SIZE),
        (
            "instance of nobody",
            one.request().with_instance_id(Some(text("i"))),
            UNKNOWN_MEMBER,
        ),
    ];
    for (why, request, code) in cases {
        let answer = one.client.call(1, &request).await;
        assert_eq!(answer.error_code, code, "{why}: {answer:?}");
        assert!(answer.error_message.is_some(), "{why}");
        assert_eq!(answer.assignment, None, "{why}");
    }
    one.beat().await;
    assert_eq!(one.owned.len(), 4, "nothing of it did harm");

    for version in 0..=1 {
        let unknown = describe(&mut client, version, "nothing").await;
        assert_eq!(unknown.error_code, GROUP_ID_NOT_FOUND);
        assert_eq!(unknown.authorized_operations, i32::MIN);
    }
    let mut classic = Member::connect(&broker, "classic").await;
    assert_eq!(classic.join().await.error_code, 0);
    assert_eq!(
        describe(&mut client, 1, "classic").await.error_code,
        GROUP_ID_NOT_FOUND
    );
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_the_epoch_of_the_member() {
    let (broker, mut client, _) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    one.join(&["t"]).await;
    assert_eq!(one.commit(9, 1).await, 0);
    assert_eq!(one.commit(9, 0).await, STALE_EPOCH);
    assert_eq!(one.commit(9, 2).await, STALE_EPOCH);
    let outsider = client.call(9, &commit_request("g", "t", 0, 9)).await;
    assert_eq!(outsider.topics[0].partitions[0].error_code, UNKNOWN_MEMBER);
    assert_eq!(fetch(&mut client, "g", "t", 0).await.0, 5);
    for (member, epoch, code) in [
        ("one", 1, 0),
        ("one", 0, STALE_EPOCH),
        ("one", 7, STALE_EPOCH),
        ("nobody", 1, UNKNOWN_MEMBER),
    ] {
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group_id("g"))
            .with_member_id(Some(text(member)))
            .with_member_epoch(epoch)
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let fetched = client.call(9, &request).await;
        assert_eq!(fetched.groups[0].error_code, code, "{member} {epoch}");
    }
}

/// Kafka's `ConsumerGroup.validateOffsetCommit`: the codes about epochs begin with version 9.
#[tokio::test]
async fn members_of_the_new_protocol_commit_in_version_9() {
    let (broker, _, _) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    one.join(&["t"]).await;
    assert_eq!(one.commit(8, 1).await, UNSUPPORTED_VERSION);
}

#[tokio::test]
async fn a_member_that_falls_silent_is_taken_out() {
    let set = [
        "group.consumer.session.timeout.ms=400",
        "group.consumer.heartbeat.interval.ms=100",
    ];
    let (broker, _, _) = broker(&set).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    let mut two = Consumer::connect(&broker, "g", "two").await;
    one.join(&["t"]).await;
    two.join(&["t"]).await;
    settle(&mut [&mut one, &mut two], &[2, 2]).await;
    settle(&mut [&mut one], &[4]).await;
    let request = two.request();
    assert_eq!(two.code(1, &request).await, UNKNOWN_MEMBER);
}

#[tokio::test]
async fn a_group_may_have_times_of_its_own() {
    let set = [
        "group.consumer.min.session.timeout.ms=300",
        "group.consumer.min.heartbeat.interval.ms=100",
    ];
    let (mut broker, mut client, _) = broker(&set).await;
    let own = [
        ("consumer.session.timeout.ms", "400"),
        ("consumer.heartbeat.interval.ms", "150"),
    ];
    let own = own.map(|(name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text("g"))
        .with_configs(own.to_vec());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(client.call(1, &request).await.responses[0].error_code, 0);
    for restarts in [false, true] {
        if restarts {
            broker = broker.restart().await;
        }
        let id = format!("one-{restarts}");
        let mut one = Consumer::connect(&broker, "g", &id).await;
        let mut other = Consumer::connect(&broker, "h", &id).await;
        let started = Instant::now();
        while one.join(&["t"]).await.heartbeat_interval_ms != 150 {
            assert!(
                started.elapsed() < PATIENCE,
                "the owner is told in the background"
            );
        }
        assert_eq!(other.join(&["t"]).await.heartbeat_interval_ms, 5000);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let request = one.request();
        assert_eq!(one.code(1, &request).await, UNKNOWN_MEMBER);
        let request = other.request();
        assert_eq!(other.code(1, &request).await, 0);
    }
}

#[tokio::test]
async fn a_restart_costs_nobody_a_partition() {
    let (mut broker, _, _) = broker(&[]).await;
    let mut one = Consumer::connect(&broker, "g", "one").await;
    let mut two = Consumer::connect(&broker, "g", "two").await;
    one.join(&["t"]).await;
    two.join(&["t"]).await;
    settle(&mut [&mut one, &mut two], &[2, 2]).await;
    assert_eq!(one.commit(9, one.epoch).await, 0);
    for killed in [false, true] {
        let before = [
            (one.epoch, one.owned.clone()),
            (two.epoch, two.owned.clone()),
        ];
        let mut client = broker.client().await;
        let described = describe(&mut client, 1, "g").await;
        broker = match killed {
            true => broker.kill().await,
            false => broker.restart().await,
        };
        let mut client = broker.client().await;
        assert_eq!(describe(&mut client, 1, "g").await, described);
        for member in [&mut one, &mut two] {
            member.client = broker.client().await;
            let answer = member.client.call(1, &member.request()).await;
            assert_eq!(answer.assignment, None, "nothing moves");
            member.follow(&answer);
        }
        let after = [
            (one.epoch, one.owned.clone()),
            (two.epoch, two.owned.clone()),
        ];
        assert_eq!(before, after);
        assert_eq!(fetch(&mut client, "g", "t", 0).await.0, 5);
    }
    // In the middle of a hand-over, too.
    let mut three = Consumer::connect(&broker, "g", "three").await;
    three.join(&["t"]).await;
    broker = broker.kill().await;
    for member in [&mut one, &mut two, &mut three] {
        member.client = broker.client().await;
    }
    let started = Instant::now();
    loop {
        for member in [&mut one, &mut two, &mut three] {
            member.beat().await;
        }
        let mut counts = [one.owned.len(), two.owned.len(), three.owned.len()];
        counts.sort_unstable();
        if counts == [1, 1, 2] {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{counts:?}");
    }
}

/// An assignment as classic consumers send it: version 0, empty user data.
fn assignment(topic: &str, partitions: &[i32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(i32::try_from(partitions.len()).unwrap().to_be_bytes());
    partitions
        .iter()
        .for_each(|index| bytes.extend(index.to_be_bytes()));
    bytes.extend(0i32.to_be_bytes());
    bytes
}

#[tokio::test]
async fn a_classic_group_is_taken_over_and_given_back() {
    let (broker, mut client, _) = broker(&[]).await;
    // Classic members of the tests subscribe to `events`.
    let events = client.make_topic("events", 4, &[]).await;
    let mut classic = Member::connect(&broker, "g").await;
    assert_eq!(classic.join().await.error_code, 0);
    let id = classic.id.clone();
    let all: &'static str = String::from_utf8(assignment("events", &[0, 1, 2, 3]))
        .unwrap()
        .leak();
    assert_eq!(classic.sync(&[(&id, all)]).await.error_code, 0);
    assert_eq!(classic.commit("events", 0, 7).await, 0);

    let mut new = Consumer::connect(&broker, "g", "new").await;
    new.join(&["events"]).await;
    assert!(
        new.owned.is_empty(),
        "the classic member still has everything"
    );
    let described = describe(&mut client, 1, "g").await;
    let mut kinds: Vec<_> = described.members.iter().map(|m| m.member_type).collect();
    kinds.sort_unstable();
    assert_eq!((described.error_code, kinds), (0, vec![0, 1]));
    let listed = client
        .call(
            5,
            &ListGroupsRequest::default().with_types_filter(vec![text("consumer")]),
        )
        .await;
    assert_eq!(listed.groups.len(), 1);
    assert_eq!(
        fetch(&mut client, "g", "events", 0).await.0,
        7,
        "offsets stay"
    );

    // The classic one is told to join again, gives up half and goes on.
    assert_eq!(classic.heartbeat().await, 27);
    let joined = classic.join().await;
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let synced = classic.sync(&[]).await;
    assert_eq!(synced.error_code, 0, "{synced:?}");
    let started = Instant::now();
    while new.owned.len() < 2 {
        new.beat().await;
        // Each change of its own share reaches a classic member by another round.
        if classic.heartbeat().await == 27 {
            assert_eq!(classic.join().await.error_code, 0);
            assert_eq!(classic.sync(&[]).await.error_code, 0);
        }
        assert!(started.elapsed() < PATIENCE, "{:?}", new.owned);
    }
    assert!(new.owned.iter().all(|(id, _)| *id == events));

    // The last member of the new protocol leaves: the group is a classic one again.
    assert_eq!(new.leave(-1).await.error_code, 0);
    assert_eq!(
        describe(&mut client, 1, "g").await.error_code,
        GROUP_ID_NOT_FOUND
    );
    let joined = classic.join().await;
    assert_eq!(
        (joined.error_code, joined.members.len()),
        (0, 1),
        "{joined:?}"
    );
    let id = classic.id.clone();
    assert_eq!(classic.sync(&[(&id, all)]).await.error_code, 0);
    assert_eq!(classic.heartbeat().await, 0);
    assert_eq!(fetch(&mut client, "g", "events", 0).await.0, 7);
}

#[tokio::test]
async fn a_policy_keeps_the_protocols_apart() {
    let (broker, _, _) = broker(&["group.consumer.migration.policy=disabled"]).await;
    let mut classic = Member::connect(&broker, "g").await;
    assert_eq!(classic.join().await.error_code, 0);
    let mut new = Consumer::connect(&broker, "g", "new").await;
    let joining = new.joining(&["t"]);
    assert_eq!(new.code(1, &joining).await, GROUP_ID_NOT_FOUND);
    assert_eq!(classic.leave().await, (0, 0));
    new.join(&["t"]).await;
    assert_eq!(new.owned.len(), 4, "an empty group belongs to nobody");
}
