//! Topics from birth to death: creating, growing and deleting them, in every version, with every
//! error, and what is left after a restart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use support::{Client, TestBroker};
use uuid::Uuid;

const TIMEOUT_MS: i32 = 30_000;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn with_config(topic: CreatableTopic, name: &str, value: Option<&str>) -> CreatableTopic {
    let mut topic = topic;
    let config = CreatableTopicConfig::default()
        .with_name(text(name))
        .with_value(value.map(text));
    topic.configs.push(config);
    topic
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(partition, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*partition)
            .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    });
    topic(name, -1, -1).with_assignments(assignments.collect())
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(TIMEOUT_MS)
}

async fn create(client: &mut Client, topic: CreatableTopic) -> CreatableTopicResult {
    client.call(7, &request(vec![topic])).await.topics.remove(0)
}

async fn delete(client: &mut Client, topics: Vec<DeleteTopicState>) -> Vec<DeletableTopicResult> {
    let request = DeleteTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(TIMEOUT_MS);
    client.call(6, &request).await.responses
}

fn state(name: Option<&str>, id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default()
        .with_name(name.map(topic_name))
        .with_topic_id(id)
}

/// Names and partition counts of all topics.
async fn all(client: &mut Client) -> Vec<(String, usize)> {
    let response = client
        .call(9, &MetadataRequest::default().with_topics(None))
        .await;
    let topics = response.topics.into_iter();
    topics
        .map(|topic| (topic.name.unwrap().to_string(), topic.partitions.len()))
        .collect()
}

#[tokio::test]
async fn every_version_creates_and_deletes() {
    let broker = TestBroker::start(&["num.partitions=4"]).await;
    let mut client = broker.client().await;
    for version in 2..=7 {
        let name = format!("v{version}");
        let new = with_config(topic(&name, -1, -1), "retention.ms", Some("60000"));
        let mut made = client.call(version, &request(vec![new])).await.topics;
        let made = made.remove(0);
        assert_eq!(
            (made.error_code, made.error_message),
            (0, None),
            "v{version}"
        );
        assert_eq!(made.name, topic_name(&name));
        let told = (made.num_partitions, made.replication_factor);
        assert_eq!(told, if version >= 5 { (4, 1) } else { (-1, -1) });
        assert_eq!(made.topic_id.is_nil(), version < 7);
        let configs = made.configs.unwrap_or_default();
        let retention = configs
            .iter()
            .find(|config| config.name.as_str() == "retention.ms");
        let retention = retention.map(|c| (c.value.as_ref().unwrap().as_str(), c.config_source));
        assert_eq!(retention, (version >= 5).then_some(("60000", 1)));
        assert_eq!(configs.len() > 20, version >= 5, "all settings are told");
    }
    for version in 1..=6 {
        let name = format!("v{}", version + 1);
        let mut request = DeleteTopicsRequest::default().with_timeout_ms(TIMEOUT_MS);
        match version {
            6 => request.topics = vec![state(Some(&name), Uuid::nil())],
            _ => request.topic_names = vec![topic_name(&name)],
        }
        let gone = client.call(version, &request).await.responses.remove(0);
        assert_eq!(
            (gone.error_code, gone.error_message.as_ref()),
            (0, None),
            "v{version}"
        );
        assert_eq!(gone.name, Some(topic_name(&name)));
        let again = client.call(version, &request).await.responses.remove(0);
        assert_eq!(again.error_code, 3);
        assert_eq!(again.error_message.is_some(), version >= 5);
    }
    assert_eq!(all(&mut client).await, []);
}

#[tokio::test]
async fn topics_that_cannot_be_made() {
    let set = ["tidelog.replication.factor.policy=refuse"];
    let broker = TestBroker::start(&set).await;
    let mut client = broker.client().await;
    assert_eq!(
        create(&mut client, topic("there.is", 1, 1))
            .await
            .error_code,
        0
    );
    let keyed = with_config(topic("k", 1, 1), "tidelog.table.key", Some("record_key"));
    let cases = [
        (topic("there.is", 1, 1), 36),
        (topic("there_is", 1, 1), 17),
        (topic("", 1, 1), 17),
        (topic("..", 1, 1), 17),
        (topic("a/b", 1, 1), 17),
        (topic(&"x".repeat(20_000), 1, 1), 17),
        (topic("a", 0, 1), 37),
        (topic("a", -2, 1), 37),
        (topic("a", i32::MAX, 1), 37),
        (topic("a", 1, 0), 38),
        (topic("a", 1, -2), 38),
        (topic("a", 1, 2), 38),
        (assigned("a", &[(0, &[2])]), 39),
        (assigned("a", &[(0, &[1, 1])]), 39),
        (assigned("a", &[(0, &[])]), 39),
        (assigned("a", &[(1, &[1])]), 39),
        (assigned("a", &[(0, &[1])]).with_num_partitions(1), 42),
        (
            with_config(topic("a", 1, 1), "no.such.setting", Some("1")),
            40,
        ),
        (
            with_config(topic("a", 1, 1), "retention.ms", Some("soon")),
            40,
        ),
        (with_config(topic("a", 1, 1), "retention.ms", None), 40),
        (
            with_config(topic("a", 1, 1), "cleanup.policy", Some("shred")),
            40,
        ),
        (keyed, 40),
        (topic("__consumer_offsets", 1, 1), 44),
    ];
    for (topic, error) in cases {
        let shown = format!("{:.300}", format!("{topic:?}"));
        let refused = create(&mut client, topic).await;
        assert_eq!(refused.error_code, error, "{shown}");
        let message = refused.error_message.unwrap_or_default();
        assert!(
            (1..=1000).contains(&message.chars().count()),
            "{shown}: {message}"
        );
        assert!(refused.topic_id.is_nil());
        assert_eq!(
            (refused.num_partitions, refused.replication_factor),
            (-1, -1)
        );
    }
    assert_eq!(all(&mut client).await, [("there.is".to_owned(), 1)]);
}

#[tokio::test]
async fn topics_of_one_request_stand_or_fall_alone() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let topics = vec![
        topic("a.b", 2, 1),
        topic("twice", 1, 1),
        topic("a_b", 1, 1),
        assigned("placed", &[(1, &[1]), (0, &[1])]),
        topic("twice", 1, 1),
    ];
    let answers = client
        .call(7, &request(topics.clone()).with_validate_only(true))
        .await
        .topics;
    let codes = |answers: &[CreatableTopicResult]| -> Vec<_> {
        answers
            .iter()
            .map(|answer| (answer.name.to_string(), answer.error_code))
            .collect()
    };
    let expected: Vec<_> = [("a.b", 0), ("twice", 42), ("a_b", 17), ("placed", 0)]
        .map(|(name, error)| (name.to_owned(), error))
        .into();
    assert_eq!(codes(&answers), expected);
    assert!(
        answers.iter().all(|answer| answer.topic_id.is_nil()),
        "nothing was made"
    );
    assert_eq!(
        (answers[0].num_partitions, answers[3].num_partitions),
        (2, 2)
    );
    assert_eq!(all(&mut client).await, []);
    assert_eq!(
        codes(&client.call(7, &request(topics)).await.topics),
        expected
    );
    assert_eq!(
        all(&mut client).await,
        [("a.b".to_owned(), 2), ("placed".to_owned(), 2)]
    );
}

#[tokio::test]
async fn replication_by_policy() {
    for (policy, default, asked, error) in [
        ("clamp", 1, 3, 0),
        ("clamp", 3, -1, 0),
        ("refuse", 1, -1, 0),
        ("refuse", 3, -1, 38),
    ] {
        let policy = format!("tidelog.replication.factor.policy={policy}");
        let default = format!("default.replication.factor={default}");
        let broker = TestBroker::start(&[&policy, &default]).await;
        let made = create(&mut broker.client().await, topic("a", 1, asked)).await;
        assert_eq!(made.error_code, error, "{policy} {default} {asked}");
        assert_eq!(made.replication_factor, if error == 0 { 1 } else { -1 });
    }
}

#[tokio::test]
async fn a_topic_made_again_is_another() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let first = create(&mut client, topic("a", 2, 1)).await.topic_id;
    let gone = delete(&mut client, vec![state(None, first)])
        .await
        .remove(0);
    assert_eq!(
        (gone.error_code, gone.name, gone.topic_id),
        (0, Some(topic_name("a")), first)
    );
    let second = create(&mut client, topic("a", 1, 1)).await.topic_id;
    assert_ne!(first, second);
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    assert_eq!(all(&mut client).await, [("a".to_owned(), 1)]);
    let stale = delete(&mut client, vec![state(None, first)])
        .await
        .remove(0);
    assert_eq!(
        (stale.error_code, stale.name, stale.topic_id),
        (100, None, first)
    );
    let gone = delete(&mut client, vec![state(None, second)])
        .await
        .remove(0);
    assert_eq!(gone.error_code, 0);
    let broker = broker.restart().await;
    assert_eq!(all(&mut broker.client().await).await, []);
}

#[tokio::test]
async fn topics_that_are_not_deleted() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let id = create(&mut client, topic("a", 1, 1)).await.topic_id;
    let answers = delete(
        &mut client,
        vec![
            state(Some("missing"), Uuid::nil()),
            state(None, Uuid::from_u128(9)),
            state(None, Uuid::nil()),
            state(Some("a"), id),
            state(Some("a"), Uuid::nil()),
            state(None, id),
        ],
    );
    let answers = answers.await;
    let codes: Vec<_> = answers.iter().map(|answer| answer.error_code).collect();
    assert_eq!(codes, [3, 100, 42, 42, 42, 42], "{answers:?}");
    assert!(answers.iter().all(|answer| answer.error_message.is_some()));
    assert_eq!(all(&mut client).await.len(), 1);

    let broker = TestBroker::start(&["delete.topic.enable=false"]).await;
    broker.make_topic("a").await;
    let mut client = broker.client().await;
    for (version, error) in [(1, 42), (2, 42), (3, 73), (5, 73)] {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("a")]);
        assert_eq!(
            client.call(version, &request).await.responses[0].error_code,
            error
        );
    }
    assert_eq!(all(&mut client).await.len(), 1);
}

#[tokio::test]
async fn topics_grow_and_never_shrink() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    create(&mut client, topic("a", 1, 1)).await;
    let keyed = with_config(
        topic("keyed", 1, 1),
        "tidelog.table.key",
        Some("record_key"),
    );
    let keyed = with_config(keyed, "tidelog.table.mode", Some("key_value"));
    assert_eq!(create(&mut client, keyed).await.error_code, 0);
    let grow = |name: &str, count, assignments: Option<&[&[i32]]>| {
        let assignments = assignments.map(|partitions| {
            let brokers = partitions
                .iter()
                .map(|ids| ids.iter().map(|id| (*id).into()).collect());
            brokers
                .map(|ids| CreatePartitionsAssignment::default().with_broker_ids(ids))
                .collect()
        });
        CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(assignments)
    };
    let request = |topics| {
        CreatePartitionsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(TIMEOUT_MS)
    };
    for version in 0..=3 {
        let total = i32::from(version) + 2;
        let checked = request(vec![grow("a", total, None)]).with_validate_only(true);
        assert_eq!(
            client.call(version, &checked).await.results[0].error_code,
            0
        );
        let grown = client
            .call(version, &request(vec![grow("a", total, None)]))
            .await;
        let grown = &grown.results[0];
        assert_eq!((grown.error_code, grown.error_message.as_ref()), (0, None));
        assert_eq!(grown.name, topic_name("a"));
        let count = usize::try_from(total).unwrap();
        assert_eq!(all(&mut client).await[0], ("a".to_owned(), count));
    }
    let cases = [
        (grow("missing", 9, None), 3),
        (grow("a", 5, None), 37),
        (grow("a", 4, None), 37),
        (grow("a", -1, None), 37),
        (grow("a", i32::MAX, None), 37),
        (grow("a", 6, Some(&[])), 39),
        (grow("a", 6, Some(&[&[2]])), 39),
        (grow("keyed", 2, None), 37),
    ];
    for (topic, error) in cases {
        let refused = client
            .call(3, &request(vec![topic.clone()]))
            .await
            .results
            .remove(0);
        assert_eq!(refused.error_code, error, "{topic:?}");
        assert!(refused.error_message.is_some(), "{topic:?}");
    }
    let twice = request(vec![grow("a", 7, None), grow("a", 8, None)]);
    let twice = client.call(3, &twice).await.results;
    assert_eq!((twice.len(), twice[0].error_code), (1, 42));
    let placed = client
        .call(3, &request(vec![grow("a", 6, Some(&[&[1]]))]))
        .await;
    assert_eq!(placed.results[0].error_code, 0);

    let broker = broker.restart().await;
    assert_eq!(
        all(&mut broker.client().await).await[0],
        ("a".to_owned(), 6)
    );
}
