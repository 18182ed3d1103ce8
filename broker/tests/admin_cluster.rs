//! The cluster of one: features, its quorum, replicas that cannot be anywhere else, access rules that
//! nobody checks. Each request in every version.

mod support;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_quorum_request as quorum;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, ApiVersionsRequest, BrokerId,
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeLogDirsRequest,
    DescribeQuorumRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
    RemoveRaftVoterRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use support::group::{text, topic_name};
use support::{Client, TestBroker};
use tidelog::features::FEATURES;
use tidelog_protocol_ext::newer::AddRaftVoterRequest;

const METADATA_VERSION: i16 = 30;

/// Epoch of the finalized features, and their levels.
async fn features(client: &mut Client, version: i16) -> (i64, Vec<(String, i16)>) {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("test"))
        .with_client_software_version(text("1"));
    let answer = client.call(version, &request).await;
    let supported: Vec<_> = answer
        .supported_features
        .iter()
        .map(|row| (row.name.to_string(), row.min_version, row.max_version))
        .collect();
    let known: Vec<_> = FEATURES
        .iter()
        .filter(|row| version >= 3 && (row.min > 0 || version >= 4))
        .map(|row| (row.name.to_owned(), row.min, row.max))
        .collect();
    assert_eq!(supported, known, "v{version}");
    let levels = answer.finalized_features.iter().map(|row| {
        assert_eq!(row.min_version_level, row.max_version_level);
        (row.name.to_string(), row.max_version_level)
    });
    (answer.finalized_features_epoch, levels.collect())
}

#[tokio::test]
async fn a_cluster_begins_with_its_features() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    for version in 0..=2 {
        assert_eq!(features(&mut client, version).await, (-1, vec![]));
    }
    let (epoch, levels) = features(&mut client, 3).await;
    assert!(epoch > 0);
    assert!(levels.contains(&("metadata.version".into(), METADATA_VERSION)));
    assert_eq!(features(&mut client, 4).await, (epoch, levels.clone()));

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let again = features(&mut client, 4).await;
    assert_eq!(again, (epoch, levels), "nothing was decided anew");
}

#[tokio::test]
async fn features_are_updated_together_or_not_at_all() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let update = |name: &str, level: i16| {
        FeatureUpdateKey::default()
            .with_feature(text(name))
            .with_max_version_level(level)
    };
    let same = || update("metadata.version", METADATA_VERSION);
    for version in 0..=2 {
        let request = UpdateFeaturesRequest::default().with_feature_updates(vec![same()]);
        let answer = client.call(version, &request).await;
        assert_eq!((answer.error_code, answer.error_message), (0, None));
        assert_eq!(answer.results.len(), usize::from(version <= 1));
        let cases = [
            vec![update("metadata.version", METADATA_VERSION + 1)],
            vec![update("metadata.version", 0)],
            vec![update("metadata.version", METADATA_VERSION - 1)],
            vec![same(), update("no.such", 1)],
        ];
        for updates in cases {
            let request = UpdateFeaturesRequest::default().with_feature_updates(updates);
            let answer = client.call(version, &request).await;
            assert_eq!(answer.error_code, 95, "v{version}: {answer:?}");
            assert!(answer.error_message.is_some_and(|text| !text.is_empty()));
            assert_eq!(answer.results, []);
        }
    }
    for (upgrade_type, level, error) in [
        (2, METADATA_VERSION, 0),
        (2, METADATA_VERSION - 1, 95),
        (3, METADATA_VERSION - 1, 95),
        (0, METADATA_VERSION, 95),
        (4, METADATA_VERSION, 95),
    ] {
        let update = update("metadata.version", level).with_upgrade_type(upgrade_type);
        let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update]);
        for validate_only in [false, true] {
            let request = request.clone().with_validate_only(validate_only);
            let answer = client.call(2, &request).await;
            assert_eq!(answer.error_code, error, "{upgrade_type} {level}");
        }
    }
}

#[tokio::test]
async fn the_quorum_is_the_broker_itself() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let request = |topic: &str, partitions: &[i32]| {
        let partitions = partitions
            .iter()
            .map(|index| quorum::PartitionData::default().with_partition_index(*index));
        let topic = quorum::TopicData::default()
            .with_topic_name(topic_name(topic))
            .with_partitions(partitions.collect());
        DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    for version in 0..=2 {
        let answer = client
            .call(version, &request("__cluster_metadata", &[0]))
            .await;
        assert_eq!((answer.error_code, answer.topics.len()), (0, 1));
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id.0), (0, 1));
        assert!(partition.leader_epoch >= 0 && partition.high_watermark > 0);
        let [voter] = &partition.current_voters[..] else {
            panic!("{partition:?}")
        };
        assert_eq!(voter.replica_id.0, 1);
        assert_eq!(voter.log_end_offset, partition.high_watermark);
        assert_eq!(voter.last_fetch_timestamp > 0, version >= 1);
        assert_eq!(partition.observers, []);
        let ports = answer.nodes.iter().map(|node| node.listeners[0].port);
        let expected = (version >= 2).then(|| broker.address().port());
        assert!(ports.eq(expected));
    }
    for (topic, partitions) in [
        ("__cluster_metadata", &[1][..]),
        ("__cluster_metadata", &[0, 0]),
        ("other", &[0]),
    ] {
        let answer = client.call(2, &request(topic, partitions)).await;
        let told = &answer.topics[0].partitions;
        assert_eq!(told.len(), partitions.len());
        assert!(told.iter().all(|partition| partition.error_code == 3));
    }
}

#[tokio::test]
async fn nobody_joins_or_leaves() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let cases = [
        (Some("test"), 2, 35),
        (None, 1, 35),
        (None, -1, 42),
        (Some("x"), 1, 104),
    ];
    for (cluster_id, voter, error) in cases {
        let cluster_id = cluster_id.map(text);
        for version in 0..=1 {
            let mut request = AddRaftVoterRequest::default();
            request.cluster_id.clone_from(&cluster_id);
            request.voter_id = voter;
            let answer = client.call(version, &request).await;
            assert_eq!(answer.error_code, error);
            assert!(answer.error_message.is_some());
        }
        let request = RemoveRaftVoterRequest::default()
            .with_cluster_id(cluster_id)
            .with_voter_id(voter);
        let answer = client.call(0, &request).await;
        assert_eq!(answer.error_code, error);
    }
    for (id, error) in [(2, 102), (1, 42)] {
        let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
        let answer = client.call(0, &request).await;
        assert_eq!(answer.error_code, error);
        assert!(answer.error_message.is_some());
    }
}

#[tokio::test]
async fn no_election_is_needed() {
    let broker = TestBroker::start(&["num.partitions=2"]).await;
    broker.make_topic("a").await;
    let mut client = broker.client().await;
    let asked = |name: &str, partitions: &[i32]| {
        TopicPartitions::default()
            .with_topic(topic_name(name))
            .with_partitions(partitions.to_vec())
    };
    for version in 0..=2 {
        let topics = vec![asked("a", &[0, 5]), asked("missing", &[0])];
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(topics));
        let answer = client.call(version, &request).await;
        assert_eq!(answer.error_code, 0);
        let codes: Vec<_> = answer
            .replica_election_results
            .iter()
            .flat_map(|topic| &topic.partition_result)
            .map(|partition| partition.error_code)
            .collect();
        assert_eq!(codes, [84, 3, 3]);
        let all = ElectLeadersRequest::default().with_topic_partitions(None);
        let answer = client.call(version, &all).await;
        let [topic] = &answer.replica_election_results[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (topic.topic.as_str(), topic.partition_result.len()),
            ("a", 0)
        );
        if version >= 1 {
            let request = request.with_election_type(2);
            let answer = client.call(version, &request).await;
            assert_eq!(answer.error_code, 42);
            let results = answer.replica_election_results;
            assert!(
                results
                    .iter()
                    .flat_map(|t| &t.partition_result)
                    .all(|p| p.error_code == 42)
            );
        }
    }
}

#[tokio::test]
async fn partitions_stay_where_they_are() {
    let broker = TestBroker::start(&[]).await;
    broker.make_topic("a").await;
    let mut client = broker.client().await;
    let cases: [(&str, i32, Option<&[i32]>, i16); 6] = [
        ("a", 0, Some(&[1]), 0),
        ("a", 0, None, 85),
        ("a", 0, Some(&[]), 39),
        ("a", 0, Some(&[1, 2]), 39),
        ("a", 1, Some(&[1]), 3),
        ("missing", 0, None, 3),
    ];
    for (name, index, replicas, error) in cases {
        for version in 0..=1 {
            let replicas = replicas.map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
            let partition = ReassignablePartition::default()
                .with_partition_index(index)
                .with_replicas(replicas);
            let topic = ReassignableTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![partition]);
            let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.error_message), (0, None));
            let partition = &answer.responses[0].partitions[0];
            assert_eq!(partition.error_code, error, "{name} {index}");
            assert_eq!(partition.error_message.is_some(), error != 0);
        }
    }
    let named = ListPartitionReassignmentsTopics::default()
        .with_name(topic_name("a"))
        .with_partition_indexes(vec![0]);
    for topics in [None, Some(vec![named])] {
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics);
        let answer = client.call(0, &request).await;
        assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
    }
}

#[tokio::test]
async fn there_is_one_directory() {
    let broker = TestBroker::start(&[]).await;
    broker.make_topic("a").await;
    let mut client = broker.client().await;
    let dirs = DescribeLogDirsRequest::default().with_topics(None);
    let ours = client.call(4, &dirs).await.results[0].log_dir.to_string();
    let cases = [
        (ours.as_str(), "a", 0, 0),
        (&ours, "a", 1, 3),
        (&ours, "missing", 0, 3),
        ("/elsewhere", "a", 0, 57),
        ("/elsewhere", "missing", 0, 57),
    ];
    for (path, name, index, error) in cases {
        for version in 1..=2 {
            let topic = AlterReplicaLogDirTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![index]);
            let dir = AlterReplicaLogDir::default()
                .with_path(text(path))
                .with_topics(vec![topic]);
            let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
            let answer = client.call(version, &request).await;
            let topic = &answer.results[0];
            assert_eq!(topic.topic_name.as_str(), name);
            assert_eq!(topic.partitions[0].error_code, error, "{path} {name}");
        }
    }
}

#[tokio::test]
async fn there_are_no_access_rules() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    for version in 1..=3 {
        let all = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(1)
            .with_permission_type(1);
        let described = client.call(version, &all).await;
        assert_eq!((described.error_code, described.resources.len()), (54, 0));
        assert!(described.error_message.is_some());
        let rule = AclCreation::default()
            .with_resource_type(2)
            .with_resource_name(text("a"))
            .with_principal(text("User:a"))
            .with_host(text("*"))
            .with_operation(3)
            .with_permission_type(3);
        let request = CreateAclsRequest::default().with_creations(vec![rule.clone(), rule]);
        let created = client.call(version, &request).await;
        let codes: Vec<_> = created
            .results
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(codes, [54, 54]);
        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(2)
            .with_pattern_type_filter(3)
            .with_operation(3)
            .with_permission_type(3);
        let filters = vec![filter];
        let request = DeleteAclsRequest::default().with_filters(filters);
        let deleted = client.call(version, &request).await;
        assert_eq!(deleted.filter_results[0].error_code, 54);
    }
    client.send(3, &DescribeAclsRequest::default()).await;
    assert!(client.is_closed().await, "kinds nobody knows");
}
