//! Client quotas: set, described through every filter, refused with a reason, and the same after a
//! restart.

mod support;

use kafka_protocol::messages::alter_client_quotas_request as alter;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};
use support::group::text;
use support::{Client, TestBroker};

/// Names by type; no name is the default.
type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

/// Values by key; no value takes the quota away.
type Ops<'a> = &'a [(&'a str, Option<f64>)];

fn entry(entity: Entity<'_>, ops: Ops<'_>) -> alter::EntryData {
    let entity = entity.iter().map(|(kind, name)| {
        alter::EntityData::default()
            .with_entity_type(text(kind))
            .with_entity_name(name.map(text))
    });
    let ops = ops.iter().map(|(key, value)| {
        alter::OpData::default()
            .with_key(text(key))
            .with_value(value.unwrap_or_default())
            .with_remove(value.is_none())
    });
    alter::EntryData::default()
        .with_entity(entity.collect())
        .with_ops(ops.collect())
}

/// The codes of one request, sorted: entities come back in no particular order.
async fn codes(client: &mut Client, version: i16, entries: Vec<alter::EntryData>) -> Vec<i16> {
    let request = AlterClientQuotasRequest::default().with_entries(entries);
    let answer = client.call(version, &request).await;
    let mut codes: Vec<_> = answer
        .entries
        .iter()
        .map(|entry| entry.error_code)
        .collect();
    codes.sort_unstable();
    codes
}

/// What passes a filter, each as `type=name …: key=value …`.
async fn described(
    client: &mut Client,
    version: i16,
    components: &[(&str, i8, Option<&str>)],
    strict: bool,
) -> Result<Vec<String>, i16> {
    let components = components.iter().map(|(kind, match_type, name)| {
        ComponentData::default()
            .with_entity_type(text(kind))
            .with_match_type(*match_type)
            .with_match(name.map(text))
    });
    let request = DescribeClientQuotasRequest::default()
        .with_components(components.collect())
        .with_strict(strict);
    let answer = client.call(version, &request).await;
    let Some(entries) = answer.entries else {
        assert!(answer.error_message.is_some());
        return Err(answer.error_code);
    };
    assert_eq!(
        (answer.error_code, answer.error_message),
        (0, Some(text("")))
    );
    let shown = entries.iter().map(|entry| {
        let names = entry.entity.iter().map(|part| {
            let name = part
                .entity_name
                .as_ref()
                .map_or("<default>", |name| name.as_str());
            format!("{}={name}", part.entity_type)
        });
        let values = entry.values.iter();
        let values = values.map(|value| format!("{}={}", value.key, value.value));
        let (names, values): (Vec<_>, Vec<_>) = (names.collect(), values.collect());
        format!("{}: {}", names.join(" "), values.join(" "))
    });
    Ok(shown.collect())
}

#[tokio::test]
async fn quotas_are_kept_and_found() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let rate = ("producer_byte_rate", Some(1024.0));
    let entries = vec![
        entry(
            &[("user", Some("a"))],
            &[rate, ("request_percentage", Some(12.5))],
        ),
        entry(&[("user", Some("a")), ("client-id", None)], &[rate]),
        entry(
            &[("client-id", Some("c"))],
            &[("controller_mutation_rate", Some(0.1))],
        ),
        entry(
            &[("ip", Some("127.0.0.1"))],
            &[("connection_creation_rate", Some(7.0))],
        ),
    ];
    let checked = AlterClientQuotasRequest::default()
        .with_entries(entries.clone())
        .with_validate_only(true);
    let answer = client.call(1, &checked).await;
    assert!(answer.entries.iter().all(|entry| entry.error_code == 0));
    assert_eq!(described(&mut client, 1, &[], false).await, Ok(vec![]));
    assert_eq!(codes(&mut client, 0, entries).await, [0; 4]);

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let [c, both, ip, user] = [
        "client-id=c: controller_mutation_rate=0.1",
        "client-id=<default> user=a: producer_byte_rate=1024",
        "ip=127.0.0.1: connection_creation_rate=7",
        "user=a: producer_byte_rate=1024 request_percentage=12.5",
    ];
    let (exact, default, any) = (0, 1, 2);
    let cases: [(&[_], bool, &[&str]); 8] = [
        (&[], false, &[both, c, ip, user]),
        (&[], true, &[]),
        (&[("user", exact, Some("a"))], false, &[both, user]),
        (&[("user", exact, Some("a"))], true, &[user]),
        (&[("client-id", default, None)], false, &[both]),
        (&[("client-id", any, None)], false, &[both, c]),
        (
            &[("client-id", any, None), ("user", any, None)],
            true,
            &[both],
        ),
        (&[("ip", any, None)], true, &[ip]),
    ];
    for (filter, strict, expected) in cases {
        for version in 0..=1 {
            let mut found = described(&mut client, version, filter, strict)
                .await
                .unwrap_or_default();
            found.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected, "{filter:?} {strict}");
        }
    }

    let away = entry(
        &[("user", Some("a"))],
        &[
            ("producer_byte_rate", None),
            ("request_percentage", None),
            ("no_such", None),
        ],
    );
    assert_eq!(codes(&mut client, 1, vec![away]).await, [0]);
    let left = described(&mut client, 1, &[("user", exact, Some("a"))], true).await;
    assert_eq!(left, Ok(vec![]));
}

#[tokio::test]
async fn changes_that_are_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let user: Entity<'_> = &[("user", Some("a"))];
    let rate = "producer_byte_rate";
    let cases: [(Entity<'_>, Ops<'_>); 13] = [
        (&[], &[(rate, Some(1.0))]),
        (&[("group", Some("a"))], &[(rate, Some(1.0))]),
        (&[("user", Some(""))], &[(rate, Some(1.0))]),
        (&[("user", None), ("ip", None)], &[(rate, Some(1.0))]),
        (
            &[("ip", Some("no such host."))],
            &[("connection_creation_rate", Some(1.0))],
        ),
        (&[("ip", None)], &[(rate, Some(1.0))]),
        (user, &[("connection_creation_rate", Some(1.0))]),
        (user, &[("no_such", Some(1.0))]),
        (user, &[(rate, Some(0.0))]),
        (user, &[(rate, Some(-1.0))]),
        (user, &[(rate, Some(1.5))]),
        (user, &[(rate, Some(f64::NAN))]),
        (user, &[(rate, Some(1.0)), (rate, None)]),
    ];
    for (entity, ops) in cases {
        let refused = codes(&mut client, 1, vec![entry(entity, ops)]).await;
        assert_eq!(refused, [42], "{entity:?} {ops:?}");
    }
    assert_eq!(described(&mut client, 1, &[], false).await, Ok(vec![]));

    let twice = vec![
        entry(user, &[(rate, Some(1.0))]),
        entry(user, &[(rate, Some(2.0))]),
        entry(&[("user", None)], &[(rate, Some(3.0))]),
    ];
    assert_eq!(codes(&mut client, 1, twice).await, [0, 42]);
    let kept = described(&mut client, 1, &[("user", 0, Some("a"))], true).await;
    assert_eq!(
        kept,
        Ok(vec!["user=a: producer_byte_rate=1".into()]),
        "the first one is made"
    );
}

#[tokio::test]
async fn filters_that_are_refused() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.client().await;
    let cases: [(&[_], i16); 8] = [
        (&[("", 2, None)], 42),
        (&[("group", 2, None)], 35),
        (&[("user", 0, None)], 42),
        (&[("user", 1, Some("a"))], 42),
        (&[("user", 2, Some("a"))], 42),
        (&[("user", 3, None)], 42),
        (&[("user", 2, None), ("user", 1, None)], 42),
        (&[("user", 2, None), ("ip", 2, None)], 42),
    ];
    for (filter, error) in cases {
        for version in 0..=1 {
            let refused = described(&mut client, version, filter, false).await;
            assert_eq!(refused, Err(error), "{filter:?}");
        }
    }
}
