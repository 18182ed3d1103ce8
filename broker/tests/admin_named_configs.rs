//! Settings of groups and of subscriptions to metrics of clients: described with their defaults,
//! changed, listed, and the same after a restart.

mod support;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
};
use support::group::text;
use support::{Client, TestBroker};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;

// Sources.
const BY_DEFAULT: i8 = 5;
const ON_SUBSCRIPTION: i8 = 7;
const ON_GROUP: i8 = 8;

async fn describe(client: &mut Client, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.call(4, &request).await.results.remove(0)
}

/// Value and source of one setting, and where it was found.
async fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> (String, i8, Vec<i8>) {
    let result = describe(client, kind, name).await;
    assert_eq!(result.error_code, 0);
    let config = result
        .configs
        .iter()
        .find(|config| config.name.as_str() == key);
    let config = config.unwrap_or_else(|| panic!("no {key}"));
    let synonyms = config.synonyms.iter().map(|synonym| synonym.source);
    let value = config.value.clone().unwrap_or_default().to_string();
    (value, config.config_source, synonyms.collect())
}

/// Sets or, without a value, deletes one setting.
async fn alter(client: &mut Client, kind: i8, name: &str, key: &str, value: Option<&str>) -> i16 {
    let config = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(i8::from(value.is_none()))
        .with_value(value.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(1, &request).await.responses.remove(0);
    assert_eq!(answer.error_code == 0, answer.error_message.is_none());
    answer.error_code
}

/// Kind and name of every resource of these kinds.
async fn list(client: &mut Client, version: i16, kinds: &[i8]) -> Result<Vec<(i8, String)>, i16> {
    let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
    let answer = client.call(version, &request).await;
    if answer.error_code != 0 {
        return Err(answer.error_code);
    }
    let resources = answer.config_resources.iter();
    let mut resources: Vec<_> = resources
        .map(|resource| (resource.resource_type, resource.resource_name.to_string()))
        .collect();
    resources.sort();
    Ok(resources)
}

#[tokio::test]
async fn groups_have_settings_before_they_have_members() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let session = "consumer.session.timeout.ms";
    let (before, source, _) = value(&mut client, GROUP, "g", session).await;
    assert_eq!((before.as_str(), source), ("45000", BY_DEFAULT));
    assert_eq!(
        alter(&mut client, GROUP, "g", session, Some("50000")).await,
        0
    );

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let (now, source, found) = value(&mut client, GROUP, "g", session).await;
    assert_eq!(
        (now.as_str(), source, found[0]),
        ("50000", ON_GROUP, ON_GROUP)
    );
    assert_eq!(value(&mut client, GROUP, "other", session).await.0, "45000");
    assert_eq!(alter(&mut client, GROUP, "g", session, None).await, 0);
    assert_eq!(value(&mut client, GROUP, "g", session).await.1, BY_DEFAULT);
    assert_eq!(list(&mut client, 1, &[GROUP]).await, Ok(vec![]));
}

#[tokio::test]
async fn subscriptions_to_metrics_are_kept() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    for (key, set) in [
        ("interval.ms", "1000"),
        ("metrics", "org.apache,x"),
        ("match", "client_id=a.*"),
    ] {
        assert_eq!(alter(&mut client, METRICS, "m", key, Some(set)).await, 0);
        let (now, source, found) = value(&mut client, METRICS, "m", key).await;
        assert_eq!(
            (now.as_str(), source, found),
            (set, ON_SUBSCRIPTION, vec![ON_SUBSCRIPTION])
        );
    }
    assert_eq!(
        value(&mut client, METRICS, "n", "interval.ms").await.0,
        "300000"
    );
}

#[tokio::test]
async fn changes_that_are_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let cases = [
        (GROUP, "", "consumer.session.timeout.ms", "50000", 42),
        (GROUP, "g", "consumer.session.timeout.mz", "50000", 40),
        (GROUP, "g", "consumer.session.timeout.ms", "1", 40),
        (GROUP, "g", "consumer.session.timeout.ms", "x", 40),
        (METRICS, "", "interval.ms", "1000", 42),
        (METRICS, "m", "interval", "1000", 42),
        (METRICS, "m", "interval.ms", "99", 42),
        (METRICS, "m", "match", "host=a", 40),
    ];
    for (kind, name, key, value, error) in cases {
        let code = alter(&mut client, kind, name, key, Some(value)).await;
        assert_eq!(code, error, "{kind} {name} {key}={value}");
    }
    for (kind, name) in [(GROUP, ""), (METRICS, "")] {
        assert_eq!(describe(&mut client, kind, name).await.error_code, 42);
    }
}

#[tokio::test]
async fn what_has_settings_is_listed() {
    let broker = TestBroker::start(&[]).await;
    broker.make_topic("t").await;
    let mut client = broker.client().await;
    alter(
        &mut client,
        GROUP,
        "g",
        "consumer.session.timeout.ms",
        Some("50000"),
    )
    .await;
    alter(&mut client, METRICS, "m", "interval.ms", Some("1000")).await;
    let named = |kinds: &[(i8, &str)]| -> Vec<(i8, String)> {
        kinds
            .iter()
            .map(|(kind, name)| (*kind, (*name).to_owned()))
            .collect()
    };
    let everything = [
        (TOPIC, "t"),
        (BROKER, "1"),
        (LOGGER, "1"),
        (METRICS, "m"),
        (GROUP, "g"),
    ];
    assert_eq!(list(&mut client, 1, &[]).await, Ok(named(&everything)));
    assert_eq!(
        list(&mut client, 1, &[GROUP, BROKER]).await,
        Ok(named(&[(BROKER, "1"), (GROUP, "g")]))
    );
    assert_eq!(
        list(&mut client, 0, &[]).await,
        Ok(named(&[(METRICS, "m")]))
    );
    assert_eq!(list(&mut client, 1, &[TOPIC, 3]).await, Err(35));
}
