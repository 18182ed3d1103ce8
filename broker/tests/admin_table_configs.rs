//! Settings that make a topic a table: what a topic would not get is refused when it is asked for, in
//! every request that can ask, and what its records rest on stays.

mod support;

use kafka_protocol::messages::alter_configs_request as replace;
use kafka_protocol::messages::incremental_alter_configs_request as edit;
use kafka_protocol::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest};
use support::data::batch;
use support::group::text;
use support::{Client, TestBroker};

const TOPIC: i8 = 2;
const INVALID_CONFIG: i16 = 40;

const MODE: (&str, &str) = ("tidelog.table.mode", "key_value");
const KEY: (&str, &str) = ("tidelog.table.key", "record_key");
const LAKE: (&str, &str) = ("tidelog.lake.enable", "true");
const SCHEMA: (&str, &str) = (
    "tidelog.table.schema",
    r#"{"fields":[{"name":"id","type":"long"}]}"#,
);

/// Sets these and leaves the others alone; code and message.
async fn set(client: &mut Client, topic: &str, configs: &[(&str, &str)]) -> (i16, String) {
    let configs = configs.iter().map(|(name, value)| {
        edit::AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let resource = edit::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(1, &request).await.responses.remove(0);
    let message = answer.error_message.unwrap_or_default();
    (answer.error_code, message.to_string())
}

/// Sets these and nothing else; code and message.
async fn set_only(client: &mut Client, topic: &str, configs: &[(&str, &str)]) -> (i16, String) {
    let configs = configs.iter().map(|(name, value)| {
        replace::AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let resource = replace::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(configs.collect());
    let request = AlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(2, &request).await.responses.remove(0);
    let message = answer.error_message.unwrap_or_default();
    (answer.error_code, message.to_string())
}

#[tokio::test]
async fn what_a_topic_would_not_get_is_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client.make_topic("plain", 1, &[]).await;
    client.make_topic("keyed", 1, &[MODE, KEY]).await;
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[SCHEMA], "tidelog.table.mode is inline"),
        (&[SCHEMA, MODE], "leave the schema out"),
        (&[LAKE], "set tidelog.table.mode too"),
    ];
    for (configs, remedy) in cases {
        let made = client.try_make_topic("new", 1, configs).await;
        let message = made.error_message.unwrap_or_default();
        for (code, message) in [
            (made.error_code, message.to_string()),
            set(&mut client, "plain", configs).await,
            set_only(&mut client, "plain", configs).await,
        ] {
            assert_eq!(code, INVALID_CONFIG, "{configs:?}");
            assert!(message.contains(remedy), "{configs:?}: {message}");
        }
    }
    let made = client.try_make_topic("new", 1, &[MODE, KEY, LAKE]).await;
    assert_eq!(made.error_code, INVALID_CONFIG);
    for (code, message) in [
        set(&mut client, "keyed", &[LAKE]).await,
        set_only(&mut client, "keyed", &[MODE, KEY, LAKE]).await,
    ] {
        assert_eq!(code, INVALID_CONFIG);
        assert!(
            message.contains("leave out tidelog.lake.enable"),
            "{message}"
        );
    }
    let both = [LAKE, MODE];
    assert_eq!(set(&mut client, "plain", &both).await.0, 0);
}

#[tokio::test]
async fn the_rule_of_keys_stays_once_there_are_records() {
    const RULE: &str = "tidelog.partitioner";
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    client
        .make_topic("keyed", 2, &[MODE, KEY, (RULE, "crc32")])
        .await;
    assert_eq!(set(&mut client, "keyed", &[(RULE, "murmur2")]).await.0, 0);
    let mut written = 0;
    for partition in 0..2 {
        let answer = client.produce("keyed", partition, batch(&["v"])).await;
        written += i32::from(answer.error_code == 0);
    }
    assert_eq!(written, 1, "the key has one place");
    for rule in ["crc32", "fnv1a", "auto"] {
        let (code, message) = set(&mut client, "keyed", &[(RULE, rule)]).await;
        assert_eq!(code, INVALID_CONFIG, "{rule}");
        assert!(message.contains("use explicit"), "{message}");
    }
    assert_eq!(set(&mut client, "keyed", &[(RULE, "murmur2")]).await.0, 0);
    assert_eq!(set(&mut client, "keyed", &[(RULE, "explicit")]).await.0, 0);
    let back = set(&mut client, "keyed", &[(RULE, "murmur2")]).await;
    assert_eq!(back.0, INVALID_CONFIG);

    client
        .make_topic("one", 1, &[MODE, KEY, (RULE, "crc32")])
        .await;
    let answer = client.produce("one", 0, batch(&["v"])).await;
    assert_eq!(answer.error_code, 0);
    let moved = set(&mut client, "one", &[(RULE, "fnv1a")]).await;
    assert_eq!(moved.0, 0, "one partition is where every rule ends");
}
