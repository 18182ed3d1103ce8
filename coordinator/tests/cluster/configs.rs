//! Settings change per resource: all of a resource's edits, or none.

use tidelog_coordinator::cluster::settings::{ConfigSource, Overrides};
use tidelog_coordinator::cluster::{
    Alteration, Command, ConfigChange, ConfigResource, EditOp, Reply,
};

use super::{Harness, configured, new_topic};

fn topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(name.into())
}

fn overrides(pairs: &[(&str, &str)]) -> Overrides {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    use EditOp::{Append, Delete, Set, Subtract};
    let mut harness = Harness::new();
    harness.create(vec![new_topic("t")]);
    let cases = [
        (
            Append,
            "cleanup.policy",
            "compact",
            "ok",
            Some("delete,compact"),
        ),
        (
            Append,
            "cleanup.policy",
            "compact",
            "ok",
            Some("delete,compact"),
        ),
        (Subtract, "cleanup.policy", "delete", "ok", Some("compact")),
        (Subtract, "cleanup.policy", "compact", "ok", Some("")),
        (
            Append,
            "cleanup.policy",
            "shrink",
            "may only name",
            Some(""),
        ),
        (Append, "retention.ms", "1", "is not a list", None),
        (Set, "retention.ms", "1", "ok", Some("1")),
        (Delete, "retention.ms", "", "ok", None),
        (Delete, "retention.ms", "", "ok", None),
        (Delete, "retension.ms", "", "ok", None),
        (Set, "retension.ms", "1", "did you mean retention.ms?", None),
    ];
    for (op, name, value, expected, after) in cases {
        let outcome = harness.edit(topic("t"), &[(name, op, value)]);
        assert!(outcome.contains(expected), "{op:?} {name}: {outcome}");
        assert_eq!(
            harness.overrides("t").get(name).map(String::as_str),
            after,
            "{op:?} {name}"
        );
    }
}

#[test]
fn one_bad_edit_spoils_its_resource_only() {
    let mut harness = Harness::new();
    harness.create(vec![new_topic("t"), new_topic("u")]);
    let set = EditOp::Set;
    assert!(
        harness
            .edit(
                topic("t"),
                &[("retention.ms", set, "5"), ("segment.ms", set, "0")]
            )
            .contains("segment.ms")
    );
    assert_eq!(
        harness.edit(
            topic("t"),
            &[("retention.ms", set, "5"), ("retention.ms", set, "6")]
        ),
        "retention.ms is given more than once"
    );
    assert_eq!(harness.overrides("t"), Overrides::new());

    let replace = |name: &str, value: &str| ConfigChange {
        resource: topic(name),
        alteration: Alteration::Replace(vec![("retention.ms".into(), Some(value.into()))]),
    };
    let changes = vec![replace("t", "x"), replace("u", "7"), replace("v", "7")];
    let Reply::Altered(outcomes) = harness.run(Command::AlterConfigs {
        changes,
        validate_only: false,
    }) else {
        panic!()
    };
    let ok: Vec<_> = outcomes.iter().map(|(_, result)| result.is_ok()).collect();
    assert_eq!(ok, [false, true, false]);

    let changes = vec![replace("u", "8"), replace("u", "9")];
    let Reply::Altered(outcomes) = harness.run(Command::AlterConfigs {
        changes,
        validate_only: false,
    }) else {
        panic!()
    };
    assert!(outcomes.iter().all(|(_, result)| result.is_err()));
    assert_eq!(harness.overrides("u"), overrides(&[("retention.ms", "7")]));
}

#[test]
fn replacing_forgets_what_is_not_named() {
    let mut harness = Harness::new();
    harness.create(vec![configured(
        "t",
        &[("retention.ms", "1"), ("segment.ms", "2")],
    )]);
    let replace = |value: Option<&str>| {
        Alteration::Replace(vec![("segment.ms".into(), value.map(Into::into))])
    };
    assert!(
        harness
            .alter(topic("t"), replace(None))
            .contains("has no value")
    );
    assert_eq!(harness.alter(topic("t"), replace(Some("3"))), "ok");
    assert_eq!(harness.overrides("t"), overrides(&[("segment.ms", "3")]));
    let written = harness.log.len();
    assert_eq!(harness.alter(topic("t"), replace(Some("3"))), "ok");
    assert_eq!(
        harness.log.len(),
        written,
        "nothing changed, nothing to write"
    );
}

#[test]
fn a_key_is_chosen_once() {
    let mut harness = Harness::new();
    let mode = ("tidelog.table.mode", "key_value");
    harness.create(vec![configured(
        "t",
        &[mode, ("tidelog.table.key", "record_key")],
    )]);
    harness.create(vec![configured("append", &[mode])]);
    let (set, delete) = (EditOp::Set, EditOp::Delete);
    let cases = [
        (
            "t",
            "tidelog.table.key",
            delete,
            "",
            "is chosen when a topic is created",
        ),
        (
            "append",
            "tidelog.table.key",
            set,
            "record_key",
            "is chosen when a topic is created",
        ),
        (
            "t",
            "tidelog.table.mode",
            delete,
            "",
            "a keyed table needs columns",
        ),
        ("t", "tidelog.table.key", set, " record_key ", "ok"),
        ("append", "tidelog.table.mode", delete, "", "ok"),
    ];
    for (name, key, op, value, expected) in cases {
        let outcome = harness.edit(topic(name), &[(key, op, value)]);
        assert!(outcome.contains(expected), "{name} {key}: {outcome}");
    }
}

#[test]
fn broker_values_reach_topics_that_set_none() {
    let mut harness = Harness::new();
    harness.create(vec![
        new_topic("t"),
        configured("own", &[("retention.ms", "1")]),
    ]);
    let set = EditOp::Set;
    let (one, all) = (ConfigResource::Broker(1), ConfigResource::BrokerDefault);
    assert_eq!(
        harness.edit(all.clone(), &[("log.retention.ms", set, "30")]),
        "ok"
    );
    assert_eq!(
        harness.edit(one.clone(), &[("log.retention.ms", set, "20")]),
        "ok"
    );
    let refused = [
        (
            ConfigResource::Broker(2),
            "log.retention.ms",
            "1",
            "broker 2 is not part",
        ),
        (one.clone(), "log.retention.hours", "1", "is read only"),
        (
            one.clone(),
            "log.retention.ms",
            "x",
            "must be a 64-bit whole number",
        ),
    ];
    for (resource, name, value, expected) in refused {
        let outcome = harness.edit(resource, &[(name, set, value)]);
        assert!(outcome.contains(expected), "{name}: {outcome}");
    }

    let options = harness.cluster.options();
    let image = harness.cluster.image();
    let retention = |name: &str| {
        image
            .settings(
                image.topic(name).unwrap(),
                options.node_id,
                &options.settings,
            )
            .retention_ms
    };
    assert_eq!((retention("t"), retention("own")), (Some(20), Some(1)));

    let layers = image.layers(1, &options.settings);
    let keys = ["log.retention.ms".to_owned()];
    let entry = layers.describe_broker(Some(&keys)).remove(0);
    assert_eq!(
        (entry.value.as_deref(), entry.source),
        (Some("20"), ConfigSource::DynamicBroker)
    );
    let entry = layers.describe_cluster_default(None).remove(0);
    assert_eq!(
        (entry.value.as_deref(), entry.source),
        (Some("30"), ConfigSource::DynamicDefault)
    );

    assert_eq!(
        harness.edit(one, &[("log.retention.ms", EditOp::Delete, "")]),
        "ok"
    );
    assert_eq!(
        harness.edit(all, &[("log.cleanup.policy", EditOp::Append, "compact")]),
        "ok"
    );
    let options = harness.cluster.options();
    let image = harness.cluster.image();
    let settings = image.settings(image.topic("t").unwrap(), 1, &options.settings);
    assert_eq!(settings.retention_ms, Some(30));
    assert!(settings.cleanup.compact && settings.cleanup.delete);
}

/// Kafka's plug-ins read settings that the broker does not know.
#[test]
fn settings_of_brokers_that_nobody_knows_are_kept_and_not_shown() {
    let mut harness = Harness::new();
    let set = EditOp::Set;
    let (one, all) = (ConfigResource::Broker(1), ConfigResource::BrokerDefault);
    for (resource, name) in [(&one, "a.secret"), (&all, "a.secret"), (&all, "b")] {
        assert_eq!(harness.edit(resource.clone(), &[(name, set, "x")]), "ok");
    }
    let options = harness.cluster.options();
    let layers = harness.cluster.image().layers(1, &options.settings);
    let keys = ["a.secret".to_owned(), "b".to_owned()];
    let shown = layers.describe_broker(Some(&keys));
    let sources: Vec<_> = shown
        .iter()
        .map(|entry| (entry.name.as_str(), entry.source, entry.synonyms.len()))
        .collect();
    assert_eq!(
        sources,
        [
            ("a.secret", ConfigSource::DynamicBroker, 2),
            ("b", ConfigSource::DynamicDefault, 1)
        ]
    );
    assert!(shown.iter().all(|entry| entry.sensitive && entry.read_only));
    assert!(shown.iter().all(|entry| entry.value.is_none()));
    assert_eq!(layers.describe_cluster_default(None).len(), 2);

    let long = "n".repeat(256);
    for (name, op, expected) in [
        ("b", EditOp::Append, "is not a list"),
        ("", set, "unknown broker setting"),
        (long.as_str(), set, "unknown broker setting"),
    ] {
        let outcome = harness.edit(one.clone(), &[(name, op, "x")]);
        assert!(outcome.contains(expected), "{name}: {outcome}");
    }
    let names: Vec<String> = (0..1_000).map(|n| format!("n{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), set, "x")).collect();
    let outcome = harness.edit(one.clone(), &many);
    assert!(outcome.contains("1000 settings at most"), "{outcome}");
    let gone = [("a.secret", EditOp::Delete, "")];
    assert_eq!(harness.edit(one, &gone), "ok");
    assert_eq!(harness.cluster.image().broker_config(Some(1)), None);
}
