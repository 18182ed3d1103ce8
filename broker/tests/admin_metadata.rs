//! What a client learns of the cluster: brokers, topics, ids, epochs, pages of partitions, sizes,
//! producer ids. Raw requests in every version, so that each answer is held to its schema.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;

use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, InitProducerIdRequest,
    MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use support::{Client, TestBroker};
use tidelog_protocol_ext::newer;
use uuid::Uuid;

const NOT_ASKED: i32 = i32::MIN;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn by_name(names: &[&str]) -> Option<Vec<MetadataRequestTopic>> {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    Some(names.iter().map(topic).collect())
}

fn by_id(id: Uuid) -> Option<Vec<MetadataRequestTopic>> {
    Some(vec![
        MetadataRequestTopic::default()
            .with_name(None)
            .with_topic_id(id),
    ])
}

/// Metadata without auto-creation.
fn look(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(false)
}

async fn topics(
    client: &mut Client,
    topics: Option<Vec<MetadataRequestTopic>>,
) -> Vec<MetadataResponseTopic> {
    client.call(13, &look(topics)).await.topics
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    response
        .topics
        .iter()
        .filter_map(|topic| topic.name.as_ref())
        .map(|n| n.0.as_str())
        .collect()
}

#[tokio::test]
async fn every_version_of_metadata_tells_what_it_can() {
    let broker = TestBroker::start(&["num.partitions=3"]).await;
    broker.make_topic("a").await;
    broker.make_topic("b").await;
    let mut client = broker.client().await;
    let id = topics(&mut client, by_name(&["a"])).await[0].topic_id;
    for version in 0..=13 {
        let none = client.call(version, &look_in(version, Some(vec![]))).await;
        let all_named: &[&str] = if version == 0 { &["a", "b"] } else { &[] };
        assert_eq!(names(&none), all_named, "v{version}: an empty list");
        if version > 0 {
            let all = client.call(version, &look_in(version, None)).await;
            assert_eq!(names(&all), ["a", "b"], "v{version}: null");
        }
        let one = client
            .call(version, &look_in(version, by_name(&["a", "a"])))
            .await;
        assert_eq!(names(&one), ["a"], "v{version}");
        check_broker(&broker, version, &one);
        let topic = &one.topics[0];
        assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::nil() });
        assert!(!topic.is_internal);
        assert_eq!(topic.topic_authorized_operations, NOT_ASKED);
        let indexes: Vec<_> = topic.partitions.iter().map(|p| p.partition_index).collect();
        assert_eq!(indexes, [0, 1, 2]);
        for partition in &topic.partitions {
            assert_eq!((partition.error_code, partition.leader_id.0), (0, 1));
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
            assert_eq!(partition.replica_nodes, [1]);
            assert_eq!(partition.isr_nodes, [1]);
            assert!(partition.offline_replicas.is_empty());
        }
    }
}

/// As [`look`], in versions that have no flag against auto-creation.
fn look_in(version: i16, topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    look(topics).with_allow_auto_topic_creation(version < 4)
}

fn check_broker(broker: &TestBroker, version: i16, response: &MetadataResponse) {
    let this = &response.brokers[0];
    assert_eq!(response.brokers.len(), 1);
    assert_eq!((this.node_id.0, this.host.as_str()), (1, "127.0.0.1"));
    assert_eq!(this.port, i32::from(broker.address().port()));
    assert_eq!(response.controller_id.0, if version >= 1 { 1 } else { -1 });
    let cluster_id = response.cluster_id.as_ref().map(StrBytes::as_str);
    assert_eq!(cluster_id, (version >= 2).then_some("test"));
    assert_eq!(response.cluster_authorized_operations, NOT_ASKED);
}

#[tokio::test]
async fn operations_are_told_when_asked_for() {
    let broker = TestBroker::start(&[]).await;
    broker.make_topic("a").await;
    let mut client = broker.client().await;
    let request = look(by_name(&["a", "missing"])).with_include_topic_authorized_operations(true);
    for version in 8..=13 {
        let cluster = version <= 10;
        let request = request
            .clone()
            .with_include_cluster_authorized_operations(cluster);
        let response = client.call(version, &request).await;
        assert_eq!(response.topics[0].topic_authorized_operations, 3576);
        assert_eq!(response.topics[1].topic_authorized_operations, NOT_ASKED);
        let expected = if cluster { 8096 } else { NOT_ASKED };
        assert_eq!(response.cluster_authorized_operations, expected);
    }
}

#[tokio::test]
async fn topics_that_do_not_exist() {
    let broker = TestBroker::start(&["auto.create.topics.enable=false"]).await;
    broker.make_topic("a.b").await;
    let mut client = broker.client().await;
    let too_long = "x".repeat(250);
    let cases = [
        ("missing", 3, false),
        ("a_b", 3, false),
        ("__consumer_offsets", 3, true),
        ("", 17, false),
        (".", 17, false),
        ("white space", 17, false),
        (&too_long, 17, false),
    ];
    for (name, error, internal) in cases {
        // The flag of the request is not enough.
        let request = look(by_name(&[name])).with_allow_auto_topic_creation(true);
        let topic = client.call(13, &request).await.topics.remove(0);
        assert_eq!(
            (topic.error_code, topic.is_internal),
            (error, internal),
            "{name}"
        );
        assert_eq!(topic.name, Some(topic_name(name)));
        assert_eq!(topic.partitions, []);
    }
    let unknown = Uuid::from_u128(77);
    for version in [12, 13] {
        let topic = client
            .call(version, &look(by_id(unknown)))
            .await
            .topics
            .remove(0);
        assert_eq!(
            (topic.error_code, topic.topic_id, topic.name),
            (100, unknown, None)
        );
    }
    for version in [10, 11] {
        let topic = client
            .call(version, &look(by_id(unknown)))
            .await
            .topics
            .remove(0);
        assert_eq!(topic.error_code, 42, "ids were not asked for before v12");
    }
}

#[tokio::test]
async fn topics_are_created_for_clients_that_allow_it() {
    let broker = TestBroker::start(&["num.partitions=2"]).await;
    let mut client = broker.client().await;
    for version in 0..=13 {
        let name = format!("made-by-v{version}");
        if version >= 4 {
            let refused = client.call(version, &look(by_name(&[&name]))).await;
            assert_eq!(refused.topics[0].error_code, 3, "v{version}");
        }
        let request = MetadataRequest::default().with_topics(by_name(&[&name]));
        let asked = client.call(version, &request).await.topics.remove(0);
        assert_eq!(
            (asked.error_code, asked.partitions.len()),
            (3, 0),
            "v{version}"
        );
        let made = client.call(version, &request).await.topics.remove(0);
        assert_eq!(
            (made.error_code, made.partitions.len()),
            (0, 2),
            "v{version}"
        );
        assert!(
            made.partitions
                .iter()
                .all(|p| p.error_code == 0 && p.leader_id.0 == 1)
        );
    }
    let request = MetadataRequest::default();
    let bad = by_name(&["bad name", "made.by_v0", "fine", "__transaction_state"]);
    let answered = client.call(13, &request.with_topics(bad)).await;
    let codes: Vec<_> = answered
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect();
    assert_eq!(codes, [17, 3, 3, 3]);
    let collides = MetadataRequest::default().with_topics(by_name(&["made_by.v0"]));
    assert_eq!(client.call(13, &collides).await.topics[0].error_code, 3);
    let made: Vec<_> = ["fine", "made.by_v0"]
        .map(|name| {
            broker
                .running()
                .broker
                .cluster()
                .view()
                .image
                .topic(name)
                .is_some()
        })
        .into();
    assert_eq!(made, [true, true]);
}

#[tokio::test]
async fn ids_stay_and_epochs_rise_over_restarts() {
    let broker = TestBroker::start(&[]).await;
    broker.make_topic("a").await;
    let mut client = broker.client().await;
    let before = topics(&mut client, by_name(&["a"])).await.remove(0);
    let first = client
        .call(
            0,
            &InitProducerIdRequest::default().with_transactional_id(None),
        )
        .await;

    let broker = broker.restart().await;
    broker.make_topic("b").await;
    let mut client = broker.client().await;
    let after = topics(&mut client, by_id(before.topic_id)).await.remove(0);
    assert_eq!(after.name, before.name);
    assert_eq!(
        after.partitions[0].leader_epoch, 1,
        "one restart since it was made"
    );
    let new = topics(&mut client, by_name(&["b"])).await.remove(0);
    assert_eq!(new.partitions[0].leader_epoch, 0);
    let second = client
        .call(
            0,
            &InitProducerIdRequest::default().with_transactional_id(None),
        )
        .await;
    assert!(second.producer_id > first.producer_id);
}

#[tokio::test]
async fn the_cluster_is_described_alike() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    for version in 0..=2 {
        let request = DescribeClusterRequest::default();
        let plain = client.call(version, &request).await;
        assert_eq!((plain.error_code, plain.error_message.as_ref()), (0, None));
        assert_eq!(
            (plain.cluster_id.as_str(), plain.controller_id.0),
            ("test", 1)
        );
        assert_eq!(plain.brokers.len(), 1);
        assert_eq!(plain.brokers[0].port, i32::from(broker.address().port()));
        assert_eq!(plain.cluster_authorized_operations, NOT_ASKED);
        let request = request.with_include_cluster_authorized_operations(true);
        let asked = client.call(version, &request).await;
        assert_eq!(asked.cluster_authorized_operations, 8096);
        for (endpoint_type, error) in [(2, 114), (7, 115)].into_iter().filter(|_| version > 0) {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
            let wrong = client.call(version, &request).await;
            assert_eq!(wrong.error_code, error);
            assert!(
                wrong
                    .error_message
                    .is_some_and(|message| message.contains("type 1"))
            );
        }
    }
}

#[tokio::test]
async fn partitions_come_in_pages() {
    let broker = TestBroker::start(&["num.partitions=3"]).await;
    for name in ["b.c", "a", "b-d"] {
        broker.make_topic(name).await;
    }
    let mut client = broker.client().await;
    let request = DescribeTopicPartitionsRequest::default().with_cursor(None);
    let whole = client
        .call(0, &request.clone().with_response_partition_limit(2000))
        .await;
    assert_eq!(seats(&whole), pages(&mut client, &request, 1).await);
    assert_eq!(seats(&whole), pages(&mut client, &request, 2).await);
    assert_eq!(seats(&whole), pages(&mut client, &request, 3).await);
    let order: Vec<_> = whole
        .topics
        .iter()
        .map(|t| t.name.as_ref().unwrap().0.as_str())
        .collect();
    assert_eq!(order, ["a", "b-d", "b.c"]);
    assert!(
        whole
            .topics
            .iter()
            .all(|topic| topic.topic_authorized_operations == 3576)
    );
    assert!(whole.next_cursor.is_none());
    let partition = &whole.topics[0].partitions[0];
    assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, 0));
    assert_eq!(partition.eligible_leader_replicas, Some(vec![]));

    let named = |names: &[&str]| {
        let topic = |name: &&str| TopicRequest::default().with_name(topic_name(name));
        request
            .clone()
            .with_topics(names.iter().map(topic).collect())
    };
    let few = named(&["b.c", "no such", "missing"]).with_response_partition_limit(0);
    let some = client.call(0, &few).await;
    let codes: Vec<_> = some.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(
        (codes, some.next_cursor.is_some()),
        (vec![0], true),
        "a limit below 1 is 1"
    );
    let all = client.call(0, &named(&["a", "no such", "missing"])).await;
    let codes: Vec<_> = all.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 3, 17]);
    for (topic, partition) in [("b.c", 0), ("a", -1)] {
        let cursor = Cursor::default()
            .with_topic_name(topic_name(topic))
            .with_partition_index(partition);
        let bad = client
            .call(0, &named(&["a"]).with_cursor(Some(cursor)))
            .await;
        assert_eq!(bad.topics[0].error_code, 42, "{topic} {partition}");
    }
}

fn seats(response: &DescribeTopicPartitionsResponse) -> Vec<(String, i32)> {
    let topics = response.topics.iter();
    let seats = topics.flat_map(|topic| {
        let name = topic.name.as_ref().unwrap().to_string();
        topic
            .partitions
            .iter()
            .map(move |p| (name.clone(), p.partition_index))
    });
    seats.collect()
}

async fn pages(
    client: &mut Client,
    request: &DescribeTopicPartitionsRequest,
    limit: i32,
) -> Vec<(String, i32)> {
    let mut request = request.clone().with_response_partition_limit(limit);
    let mut all = Vec::new();
    loop {
        let page = client.call(0, &request).await;
        assert!(seats(&page).len() <= usize::try_from(limit).unwrap());
        all.extend(seats(&page));
        let Some(next) = page.next_cursor else {
            return all;
        };
        let cursor = Cursor::default()
            .with_topic_name(next.topic_name)
            .with_partition_index(next.partition_index);
        request = request.with_cursor(Some(cursor));
    }
}

#[tokio::test]
async fn the_data_directory_and_its_disk() {
    let broker = TestBroker::start(&["num.partitions=2"]).await;
    broker.make_topic("a").await;
    broker.make_topic("b").await;
    let mut client = broker.client().await;
    for version in 1..=5 {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let request = newer::DescribeLogDirsRequest::from(request);
        let response = client.call(version, &request).await;
        assert_eq!((response.error_code, response.results.len()), (0, 1));
        let dir = &response.results[0];
        let path = broker.running().data_dir.display().to_string();
        assert_eq!((dir.error_code, dir.log_dir.as_str()), (0, path.as_str()));
        let sizes: Vec<_> = dir
            .topics
            .iter()
            .map(|topic| topic.partitions.len())
            .collect();
        assert_eq!(sizes, [2, 2]);
        match version {
            4.. => assert!(0 < dir.usable_bytes && dir.usable_bytes <= dir.total_bytes),
            _ => assert_eq!((dir.total_bytes, dir.usable_bytes), (-1, -1)),
        }
    }
    let asked = |name, partitions| {
        DescribableLogDirTopic::default()
            .with_topic(topic_name(name))
            .with_partitions(partitions)
    };
    let topics = vec![
        asked("a", vec![1, 1, 7]),
        asked("missing", vec![0]),
        asked("b", vec![9]),
    ];
    let request = DescribeLogDirsRequest::default().with_topics(Some(topics));
    let dir = client.call(4, &request).await.results.remove(0);
    assert_eq!(dir.topics.len(), 1);
    assert_eq!(dir.topics[0].partitions.len(), 1);
    assert_eq!(dir.topics[0].partitions[0].partition_index, 1);
}

#[tokio::test]
async fn producer_ids_never_repeat() {
    let mut broker = TestBroker::start(&[]).await;
    let mut given = HashSet::new();
    for _ in 0..3 {
        let mut client = broker.client().await;
        for version in 0..=5 {
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let new = client.call(version, &request).await;
            assert_eq!((new.error_code, new.producer_epoch), (0, 0), "v{version}");
            assert!(given.insert(new.producer_id.0), "v{version}");
            if version >= 3 {
                let again = request
                    .with_producer_id(new.producer_id)
                    .with_producer_epoch(4);
                let bumped = client.call(version, &again).await;
                assert_eq!((bumped.error_code, bumped.producer_epoch), (0, 0));
                assert!(
                    given.insert(bumped.producer_id.0),
                    "Kafka gives a new id as well"
                );
            }
        }
        broker = broker.restart().await;
    }
}

#[tokio::test]
async fn producer_ids_of_many_at_once() {
    let broker = TestBroker::start(&[]).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = broker.client().await;
        asking.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..60 {
                let request = InitProducerIdRequest::default().with_transactional_id(None);
                ids.push(client.call(4, &request).await.producer_id.0);
            }
            ids
        });
    }
    let given: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = given.iter().collect();
    assert_eq!((given.len(), distinct.len()), (1200, 1200));
}

#[tokio::test]
async fn producer_ids_that_are_not_given() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let cases = [
        (Some(""), -1, -1, 42),
        (None, 5, -1, 42),
        (None, -1, 5, 42),
        // A transaction that would time out at once.
        (Some("transactional"), -1, -1, 50),
    ];
    for (transactional_id, producer_id, epoch, error) in cases {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| text(id).into()))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch);
        let refused = client.call(5, &request).await;
        assert_eq!(
            refused.error_code, error,
            "{transactional_id:?} {producer_id} {epoch}"
        );
        assert_eq!((refused.producer_id.0, refused.producer_epoch), (-1, -1));
    }
}

/// Some clients (kafka-python, aiokafka) tell a broker's age from single versions in this answer:
/// none of those they look at may be missing below the highest that is there.
#[tokio::test]
async fn versions_do_not_contradict_each_other() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let answer = client
        .call(
            4,
            &ApiVersionsRequest::default()
                .with_client_software_name(text("t"))
                .with_client_software_version(text("1")),
        )
        .await;
    let keys: Vec<_> = answer.api_keys.iter().map(|api| api.api_key).collect();
    assert!(
        keys.is_sorted()
            && answer
                .api_keys
                .iter()
                .all(|api| api.min_version <= api.max_version)
    );
    // Metadata 4 and 5, CreateTopics 2 to 7, DescribeConfigs 3, DescribeLogDirs 4.
    for (key, version) in [(3, 4), (3, 5), (3, 13), (19, 7), (32, 3), (35, 4), (60, 2)] {
        let api = answer
            .api_keys
            .iter()
            .find(|api| api.api_key == key)
            .unwrap();
        assert!(
            (api.min_version..=api.max_version).contains(&version),
            "{key} {version}"
        );
    }
}
