//! Settings of topics and brokers: described in full, changed in every way Kafka knows, refused
//! with a reason, and the same after a restart.

mod support;

use kafka_protocol::messages::alter_configs_request as replace;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request as edit;
use kafka_protocol::messages::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use support::{Client, TestBroker};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

// Sources.
const ON_TOPIC: i8 = 1;
const ON_BROKER: i8 = 2;
const ON_ALL_BROKERS: i8 = 3;
const IN_FILE: i8 = 4;
const BY_DEFAULT: i8 = 5;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

async fn make(client: &mut Client, name: &str, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    assert_eq!(client.call(7, &request).await.topics[0].error_code, 0);
}

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
}

async fn describe(
    client: &mut Client,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource(kind, name, keys)])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.call(4, &request).await.results.remove(0)
}

/// Value and source of one setting.
async fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> (String, i8) {
    let result = describe(client, kind, name, Some(&[key])).await;
    assert_eq!(result.error_code, 0);
    let config = &result.configs[0];
    (
        config.value.clone().unwrap_or_default().to_string(),
        config.config_source,
    )
}

fn edits(kind: i8, name: &str, edits: &[(&str, i8, Option<&str>)]) -> edit::AlterConfigsResource {
    let configs = edits.iter().map(|(name, op, value)| {
        edit::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*op)
            .with_value(value.map(text))
    });
    edit::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

/// Code and message of one changed resource.
async fn alter(client: &mut Client, resource: edit::AlterConfigsResource) -> (i16, String) {
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(1, &request).await.responses.remove(0);
    assert_eq!(answer.error_code == 0, answer.error_message.is_none());
    (
        answer.error_code,
        answer.error_message.unwrap_or_default().to_string(),
    )
}

fn find<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    let found = result
        .configs
        .iter()
        .find(|config| config.name.as_str() == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn every_version_describes() {
    let broker = TestBroker::start(&["log.retention.hours=24", "max.connections=77"]).await;
    let mut client = broker.client().await;
    make(&mut client, "a", &[("cleanup.policy", "compact")]).await;
    for version in 1..=4 {
        let resources = vec![
            resource(TOPIC, "a", None),
            resource(BROKER, "1", None),
            resource(BROKER, "", None),
            resource(TOPIC, "a", Some(&[])),
        ];
        let plain = DescribeConfigsRequest::default().with_resources(resources);
        let answer = client.call(version, &plain).await.results;
        assert!(
            answer
                .iter()
                .all(|r| r.error_code == 0 && r.error_message.is_none())
        );
        let (topic, this) = (&answer[0], &answer[1]);
        assert!(
            topic.configs.len() > 20 && this.configs.len() > 40,
            "v{version}"
        );
        assert_eq!(answer[2].configs, [], "nothing was set for all brokers");
        assert_eq!(
            answer[3].configs.len(),
            topic.configs.len(),
            "no keys are all keys"
        );
        for config in answer.iter().flat_map(|result| &result.configs) {
            assert!(config.synonyms.is_empty());
            assert!(version < 3 || config.documentation.is_none());
            assert_eq!(config.config_type != 0, version >= 3, "{}", config.name);
        }
        let cleanup = find(topic, "cleanup.policy");
        assert_eq!(cleanup.value, Some(text("compact")));
        assert_eq!(
            (cleanup.config_source, cleanup.read_only),
            (ON_TOPIC, false)
        );
        let retention = find(topic, "retention.ms");
        assert_eq!(
            retention.value,
            Some(text("86400000")),
            "hours of the broker in ms"
        );
        assert_eq!(retention.config_source, IN_FILE);
        let connections = find(this, "max.connections");
        assert_eq!(
            (connections.config_source, connections.read_only),
            (IN_FILE, false)
        );
        assert!(find(this, "node.id").read_only);
        assert!(
            this.configs
                .iter()
                .all(|c| !c.is_sensitive || c.value.is_none())
        );
    }
}

#[tokio::test]
async fn synonyms_types_and_documents() {
    let broker = TestBroker::start(&["log.retention.hours=24"]).await;
    let mut client = broker.client().await;
    make(&mut client, "a", &[("retention.ms", "5000")]).await;
    let on_this = edits(BROKER, "1", &[("log.retention.ms", SET, Some("6000"))]);
    assert_eq!(alter(&mut client, on_this).await.0, 0);
    let on_all = edits(BROKER, "", &[("log.retention.ms", SET, Some("7000"))]);
    assert_eq!(alter(&mut client, on_all).await.0, 0);

    let result = describe(&mut client, TOPIC, "a", Some(&["retention.ms", "no.such"])).await;
    assert_eq!(
        result.configs.len(),
        1,
        "names that do not exist are left out"
    );
    let retention = &result.configs[0];
    let synonyms = retention.synonyms.iter().map(|synonym| {
        let value = synonym.value.as_ref().unwrap().as_str();
        (synonym.name.as_str(), value, synonym.source)
    });
    let expected = [
        ("retention.ms", "5000", ON_TOPIC),
        ("log.retention.ms", "6000", ON_BROKER),
        ("log.retention.ms", "7000", ON_ALL_BROKERS),
        ("log.retention.hours", "24", IN_FILE),
    ];
    assert_eq!(synonyms.collect::<Vec<_>>(), expected);
    assert_eq!(retention.config_type, 5);
    assert!(
        retention
            .documentation
            .as_ref()
            .is_some_and(|text| !text.is_empty())
    );

    let all = describe(&mut client, BROKER, "", None).await;
    assert_eq!(all.configs.len(), 1);
    let (name, source) = (&all.configs[0].name, all.configs[0].config_source);
    assert_eq!(
        (name.as_str(), source),
        ("log.retention.ms", ON_ALL_BROKERS)
    );
}

#[tokio::test]
async fn resources_that_cannot_be_described() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let cases = [
        (TOPIC, "missing", 3),
        (TOPIC, "no/such", 17),
        (TOPIC, "", 17),
        (BROKER, "2", 42),
        (BROKER, "one", 42),
        (8, "", 42),
        (8, "2", 42),
        (0, "", 42),
        (127, "x", 42),
    ];
    for (kind, name, error) in cases {
        let result = describe(&mut client, kind, name, None).await;
        assert_eq!(result.error_code, error, "{kind} {name}");
        assert!(
            result
                .error_message
                .is_some_and(|message| !message.is_empty())
        );
        assert_eq!(
            (result.resource_type, result.resource_name.as_str()),
            (kind, name)
        );
        assert_eq!(result.configs, []);
    }
}

#[tokio::test]
async fn every_operation_and_version_of_an_edit() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    make(&mut client, "a", &[]).await;
    let steps = [
        (
            ("cleanup.policy", APPEND, Some("compact")),
            ("delete,compact", ON_TOPIC),
        ),
        (
            ("cleanup.policy", SUBTRACT, Some("delete")),
            ("compact", ON_TOPIC),
        ),
        (
            ("cleanup.policy", SET, Some("delete")),
            ("delete", ON_TOPIC),
        ),
        (("cleanup.policy", DELETE, None), ("delete", BY_DEFAULT)),
    ];
    for version in 0..=1 {
        for (step, (expected, source)) in steps {
            let resource = edits(TOPIC, "a", &[step]);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            let checked = request.clone().with_validate_only(true);
            let before = value(&mut client, TOPIC, "a", "cleanup.policy").await;
            assert_eq!(
                client.call(version, &checked).await.responses[0].error_code,
                0
            );
            assert_eq!(
                value(&mut client, TOPIC, "a", "cleanup.policy").await,
                before
            );
            let answer = client.call(version, &request).await.responses.remove(0);
            assert_eq!(
                (answer.error_code, answer.error_message),
                (0, None),
                "{step:?}"
            );
            assert_eq!(
                (answer.resource_type, answer.resource_name.as_str()),
                (TOPIC, "a")
            );
            let now = value(&mut client, TOPIC, "a", "cleanup.policy").await;
            assert_eq!(now, (expected.to_owned(), source), "{step:?}");
        }
    }
}

#[tokio::test]
async fn edits_that_are_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    make(&mut client, "a", &[]).await;
    let retention = ("retention.ms", SET, Some("1"));
    let cases = [
        (edits(TOPIC, "missing", &[retention]), 3),
        (edits(TOPIC, "", &[retention]), 42),
        (
            edits(BROKER, "2", &[("max.connections", SET, Some("1"))]),
            42,
        ),
        (
            edits(BROKER, "x", &[("max.connections", SET, Some("1"))]),
            42,
        ),
        (edits(LOGGER, "2", &[("root", SET, Some("INFO"))]), 42),
        (edits(LOGGER, "", &[("root", SET, Some("INFO"))]), 42),
        (edits(LOGGER, "1", &[("root", SET, Some("LOUD"))]), 40),
        (edits(LOGGER, "1", &[("kafka", SET, Some("INFO"))]), 40),
        (edits(LOGGER, "1", &[("kafka", DELETE, None)]), 40),
        (edits(LOGGER, "1", &[("root", SET, None)]), 42),
        (edits(LOGGER, "1", &[("root", DELETE, None)]), 42),
        (edits(LOGGER, "1", &[("root", APPEND, Some("INFO"))]), 42),
        (edits(TOPIC, "a", &[("retention.ms", 4, Some("1"))]), 42),
        (edits(TOPIC, "a", &[("retention.ms", SET, None)]), 42),
        (
            edits(TOPIC, "a", &[retention, ("retention.ms", DELETE, None)]),
            42,
        ),
        (edits(TOPIC, "a", &[("retention.ms", SET, Some("-5"))]), 40),
        (
            edits(TOPIC, "a", &[("retention.ms", APPEND, Some("1"))]),
            40,
        ),
        (edits(TOPIC, "a", &[("retention.mz", SET, Some("1"))]), 40),
        (edits(TOPIC, "b@d", &[retention]), 17),
        (
            edits(TOPIC, "a", &[retention, ("segment.bytes", SET, Some("x"))]),
            40,
        ),
        (edits(BROKER, "1", &[("node.id", SET, Some("2"))]), 42),
        (
            edits(BROKER, "1", &[("max.connections", SET, Some("0"))]),
            42,
        ),
        (edits(BROKER, "", &[("log.dirs", SET, Some("/x"))]), 42),
        (edits(BROKER, "", &[("process.roles", SET, Some("x"))]), 42),
        (edits(BROKER, "", &[("no.such", APPEND, Some("1"))]), 40),
    ];
    for (resource, error) in cases {
        let shown = format!("{resource:?}");
        let (code, message) = alter(&mut client, resource).await;
        assert_eq!(code, error, "{shown}: {message}");
        assert!(!message.is_empty(), "{shown}");
    }
    assert_eq!(
        value(&mut client, TOPIC, "a", "retention.ms").await.1,
        BY_DEFAULT
    );

    let both = vec![
        edits(TOPIC, "a", &[("retention.ms", SET, Some("1000"))]),
        edits(9, "a", &[]),
        edits(TOPIC, "missing", &[]),
        edits(TOPIC, "a", &[("segment.ms", SET, Some("1000"))]),
        edits(BROKER, "1", &[("max.connections", SET, Some("9"))]),
    ];
    let request = IncrementalAlterConfigsRequest::default().with_resources(both);
    let answers = client.call(1, &request).await.responses;
    let codes: Vec<_> = answers.iter().map(|answer| answer.error_code).collect();
    assert_eq!(codes, [42, 42, 3, 42, 0], "in the order of the request");
}

#[tokio::test]
async fn every_version_of_a_replacement() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    make(&mut client, "a", &[]).await;
    let request = |name: &str, configs: &[(&str, Option<&str>)]| {
        let configs = configs.iter().map(|(name, value)| {
            replace::AlterableConfig::default()
                .with_name(text(name))
                .with_value(value.map(text))
        });
        let resource = replace::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configs(configs.collect());
        AlterConfigsRequest::default().with_resources(vec![resource])
    };
    for version in 0..=2 {
        let set = edits(TOPIC, "a", &[("segment.ms", SET, Some("1234"))]);
        assert_eq!(alter(&mut client, set).await.0, 0);
        let retention = request("a", &[("retention.ms", Some("7"))]);
        let checked = client
            .call(version, &retention.clone().with_validate_only(true))
            .await;
        assert_eq!(checked.responses[0].error_code, 0);
        assert_eq!(
            value(&mut client, TOPIC, "a", "segment.ms").await.1,
            ON_TOPIC
        );
        let answer = client.call(version, &retention).await.responses.remove(0);
        assert_eq!((answer.error_code, answer.error_message), (0, None));
        assert_eq!(
            value(&mut client, TOPIC, "a", "segment.ms").await.1,
            BY_DEFAULT
        );
        let expected = ("7".to_owned(), ON_TOPIC);
        assert_eq!(
            value(&mut client, TOPIC, "a", "retention.ms").await,
            expected
        );
        for (name, configs, error) in [
            ("missing", vec![("retention.ms", Some("7"))], 3),
            ("a", vec![("retention.ms", None)], 42),
            (
                "a",
                vec![("retention.ms", Some("7")), ("retention.ms", Some("8"))],
                42,
            ),
            ("a", vec![("retention.ms", Some("never"))], 40),
        ] {
            let refused = client.call(version, &request(name, &configs)).await;
            assert_eq!(refused.responses[0].error_code, error, "{name} {configs:?}");
            assert!(refused.responses[0].error_message.is_some());
        }
    }
}

#[tokio::test]
async fn changes_of_a_running_broker_are_obeyed_and_kept() {
    let broker = TestBroker::start(&["max.connections=50"]).await;
    let mut client = broker.client().await;
    make(&mut client, "a", &[("retention.ms", "5000")]).await;
    let for_all = [
        ("max.connections", SET, Some("60")),
        ("producer.id.expiration.ms", SET, Some("1000")),
        ("log.cleanup.policy", SET, Some("delete, compact")),
    ];
    assert_eq!(alter(&mut client, edits(BROKER, "", &for_all)).await.0, 0);
    let settings = broker.running().broker.settings();
    assert_eq!(
        (settings.max_connections, settings.producer_id_expiration_ms),
        (60, 1000)
    );
    let for_one = edits(BROKER, "1", &[("max.connections", SET, Some(" 70 "))]);
    assert_eq!(alter(&mut client, for_one).await.0, 0);
    assert_eq!(broker.running().broker.settings().max_connections, 70);
    assert_eq!(
        value(&mut client, TOPIC, "a", "cleanup.policy").await.1,
        ON_ALL_BROKERS
    );

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let kept = value(&mut client, TOPIC, "a", "retention.ms").await;
    assert_eq!(kept, ("5000".to_owned(), ON_TOPIC));
    assert_eq!(
        value(&mut client, BROKER, "1", "max.connections").await.1,
        ON_BROKER
    );
    assert_eq!(broker.running().broker.settings().max_connections, 70);
    for (name, expected) in [("1", 60), ("", 50)] {
        let back = edits(BROKER, name, &[("max.connections", DELETE, None)]);
        assert_eq!(alter(&mut client, back).await.0, 0);
        assert_eq!(broker.running().broker.settings().max_connections, expected);
    }
}

/// As in Kafka, whose plug-ins read them.
#[tokio::test]
async fn settings_that_nobody_knows_are_kept_and_not_shown() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    // The second is one that Kafka's brokers take while they run.
    for name in ["my.plugin.secret", "num.io.threads"] {
        let set = edits(BROKER, "1", &[(name, SET, Some("7"))]);
        assert_eq!(alter(&mut client, set).await, (0, String::new()));
    }
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let found = describe(&mut client, BROKER, "1", Some(&["my.plugin.secret"])).await;
    let config = &found.configs[0];
    assert_eq!((config.config_source, config.config_type), (ON_BROKER, 0));
    assert!(config.is_sensitive && config.read_only && config.value.is_none());
    assert_eq!(config.synonyms[0].value, None);
    let back = edits(BROKER, "1", &[("my.plugin.secret", DELETE, None)]);
    assert_eq!(alter(&mut client, back).await.0, 0);
    let found = describe(&mut client, BROKER, "1", Some(&["my.plugin.secret"])).await;
    assert_eq!(found.configs, []);
}

#[tokio::test]
async fn levels_of_loggers_are_set_and_taken_back() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let module = "tidelog::server::listener";
    let all = describe(&mut client, LOGGER, "1", None).await;
    assert_eq!(all.configs.len(), 12, "root and our crates");
    let root = find(&all, "root");
    assert!(!root.read_only && !root.is_sensitive && root.synonyms.is_empty());
    assert_eq!(
        value(&mut client, LOGGER, "1", "root").await,
        ("INFO".to_owned(), 6)
    );

    let set = edits(LOGGER, "1", &[(module, SET, Some("TRACE"))]);
    let check = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![set.clone()])
        .with_validate_only(true);
    assert_eq!(client.call(1, &check).await.responses[0].error_code, 0);
    let found = describe(&mut client, LOGGER, "1", Some(&[module])).await;
    assert_eq!(found.configs, [], "checked only");
    assert_eq!(alter(&mut client, set).await.0, 0);
    assert_eq!(value(&mut client, LOGGER, "1", module).await.0, "TRACE");
    let above = edits(LOGGER, "1", &[("tidelog::server", SET, Some("WARN"))]);
    assert_eq!(alter(&mut client, above).await.0, 0);
    for name in [module, "tidelog::server"] {
        let back = edits(LOGGER, "1", &[(name, DELETE, None)]);
        assert_eq!(alter(&mut client, back).await.0, 0);
    }
    let all = describe(&mut client, LOGGER, "1", None).await;
    assert_eq!(all.configs.len(), 12);
}
