//! Committed offsets: kept, found again by every version, refused where they make no sense, gone
//! with their topic. Raw requests against a broker in this process.

mod support;

use std::time::Instant;

use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetFetchRequest};
use support::group::*;
use support::{PATIENCE, TestBroker};
use tidelog_coordinator::cluster::{Command, TopicRef};

#[tokio::test]
async fn commits_are_found_again() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    let mut client = broker.client().await;
    assert_eq!(
        fetch(&mut client, "g", "events", 0).await,
        (-1, String::new())
    );
    for version in 2..=9 {
        let commit = commit_request("g", "events", 0, i64::from(version));
        let committed = client.call(version, &commit).await;
        assert_eq!(committed.topics[0].name, topic_name("events"));
        assert_eq!(committed.topics[0].partitions[0].error_code, 0);
        let found = fetch(&mut client, "g", "events", 0).await;
        assert_eq!(found, (i64::from(version), "note".to_owned()));
    }
    // Named partitions, unknown ones among them, and all there are.
    let asked = OffsetFetchRequestTopic::default()
        .with_name(topic_name("events"))
        .with_partition_indexes(vec![7, 0]);
    let named = OffsetFetchRequest::default()
        .with_group_id(group_id("g"))
        .with_topics(Some(vec![asked]));
    for version in 1..=7 {
        let fetched = client.call(version, &named).await;
        let [unknown, known] = fetched.topics[0].partitions.as_slice() else {
            panic!("two answers")
        };
        assert_eq!((unknown.committed_offset, unknown.error_code), (-1, 0));
        assert_eq!((known.committed_offset, known.error_code), (9, 0));
        assert_eq!(fetched.error_code, 0);
    }
    let all = named.with_topics(None);
    let fetched = client.call(2, &all).await;
    assert_eq!(fetched.topics[0].partitions[0].committed_offset, 9);
    let groups = ["g", "other"].map(|group| {
        OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_topics(None)
    });
    let all = OffsetFetchRequest::default().with_groups(groups.to_vec());
    let fetched = client.call(8, &all).await;
    assert_eq!(
        fetched.groups[0].topics[0].partitions[0].committed_offset,
        9
    );
    assert_eq!(fetched.groups[1].group_id, group_id("other"));
    assert!(fetched.groups[1].topics.is_empty());
}

/// Consumers commit as they close, and do not wait for the answer.
#[tokio::test]
async fn a_commit_counts_though_its_client_is_gone() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    let groups: Vec<_> = (0..20).map(|n| format!("g{n}")).collect();
    for group in &groups {
        let mut gone = broker.client().await;
        gone.send(7, &commit_request(group, "events", 0, 5)).await;
    }
    let mut client = broker.client().await;
    for group in &groups {
        let started = Instant::now();
        while fetch(&mut client, group, "events", 0).await.0 != 5 {
            assert!(started.elapsed() < PATIENCE, "{group}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn commits_that_make_no_sense_are_refused() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    let mut client = broker.client().await;
    let mut request = commit_request("g", "nowhere", 0, 1);
    request
        .topics
        .extend(commit_request("g", "events", 0, 1).topics);
    request
        .topics
        .extend(commit_request("g", "events", 1, 1).topics);
    let long = text(&"x".repeat(4_097));
    let mut too_long = commit_request("g", "events", 0, 2).topics;
    too_long[0].partitions[0].committed_metadata = Some(long);
    request.topics.extend(too_long);
    let committed = client.call(9, &request).await;
    let codes: Vec<_> = committed
        .topics
        .iter()
        .map(|t| t.partitions[0].error_code)
        .collect();
    assert_eq!(codes, [3, 0, 3, 12]);
    assert_eq!(fetch(&mut client, "g", "events", 0).await.0, 1);

    // A member of a group that nobody knows.
    let request = commit_request("stranger", "events", 0, 1)
        .with_generation_id_or_member_epoch(1)
        .with_member_id(text("me"));
    for (version, code) in [(8, 22), (9, 69)] {
        let committed = client.call(version, &request).await;
        assert_eq!(
            committed.topics[0].partitions[0].error_code, code,
            "v{version}"
        );
    }
    // From outside into a group with members.
    let mut member = Member::connect(&broker, "g").await;
    member.join().await;
    member.sync(&[]).await;
    let committed = client.call(9, &commit_request("g", "events", 0, 5)).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, 25);
}

#[tokio::test]
async fn offsets_are_deleted_unless_somebody_reads_the_topic() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    broker.make_topic("other").await;
    let mut client = broker.client().await;
    let delete = |topics: &[&str]| {
        let topics = topics.iter().map(|topic| {
            let partition =
                |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
            OffsetDeleteRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partitions([0, 9].map(partition).into())
        });
        OffsetDeleteRequest::default()
            .with_group_id(group_id("g"))
            .with_topics(topics.collect())
    };
    assert_eq!(client.call(0, &delete(&["events"])).await.error_code, 69);
    for topic in ["events", "other"] {
        client.call(9, &commit_request("g", topic, 0, 4)).await;
    }
    let mut member = Member::connect(&broker, "g").await;
    member.join().await;
    member.sync(&[]).await;
    let deleted = client
        .call(0, &delete(&["events", "other", "nowhere"]))
        .await;
    assert_eq!(deleted.error_code, 0);
    let codes: Vec<_> = deleted
        .topics
        .iter()
        .map(|topic| {
            let codes = topic.partitions.iter().map(|p| p.error_code);
            (topic.name.to_string(), codes.collect::<Vec<_>>())
        })
        .collect();
    let expected = [
        ("events", vec![86, 3]),
        ("nowhere", vec![3, 3]),
        ("other", vec![0, 3]),
    ];
    assert_eq!(
        codes,
        expected.map(|(topic, code)| (topic.to_owned(), code))
    );
    assert_eq!(fetch(&mut client, "g", "events", 0).await.0, 4);
    assert_eq!(fetch(&mut client, "g", "other", 0).await.0, -1);
}

#[tokio::test]
async fn offsets_go_with_their_topic() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    broker.make_topic("other").await;
    let mut client = broker.client().await;
    for group in ["g", "h", "i"] {
        for topic in ["events", "other"] {
            client.call(9, &commit_request(group, topic, 0, 4)).await;
        }
    }
    let topics = vec![TopicRef::Name("events".to_owned())];
    let cluster = broker.running().broker.cluster();
    cluster
        .call(Command::DeleteTopics { topics })
        .await
        .unwrap();
    for group in ["g", "h", "i"] {
        let since = Instant::now();
        while fetch(&mut client, group, "events", 0).await.0 != -1 {
            assert!(since.elapsed() < PATIENCE, "{group} still has offsets");
        }
        assert_eq!(fetch(&mut client, group, "other", 0).await.0, 4);
    }
}
