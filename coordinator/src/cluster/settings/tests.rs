use std::collections::HashSet;

use super::*;

fn overrides(pairs: &[(&str, &str)]) -> Overrides {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn check(pairs: &[(&str, &str)], partitions: i32) -> Result<(), String> {
    let settings = BrokerSettings::new([]);
    let layers = Layers::new(&settings, None, None);
    check_topic(&Overrides::new(), &overrides(pairs), &layers, partitions)
        .map_err(|error| error.to_string())
}

#[test]
fn every_row_is_sound() {
    let mut names = HashSet::new();
    let mut broker_names = HashSet::new();
    for config in TOPIC_CONFIGS {
        assert!(names.insert(config.name), "{} twice", config.name);
        assert_eq!(
            config.kind.check(config.default),
            Ok(()),
            "default of {}",
            config.name
        );
        assert!(config.doc.ends_with('.'), "doc of {}", config.name);
        assert_eq!(
            config.effect == Effect::Stored,
            config.doc.contains("no effect here"),
            "doc of {}",
            config.name
        );
        for broker_name in config.broker_names {
            assert!(
                broker_names.insert(broker_name.name),
                "{} twice",
                broker_name.name
            );
        }
        if let Some(first) = config.broker_names.first() {
            assert_eq!(
                first.unit, 1,
                "{}: the first broker name counts as the topic does",
                first.name
            );
        }
    }
}

#[test]
fn values_are_checked_by_type_range_and_grammar() {
    let accepted = [
        ("retention.ms", "-1"),
        ("retention.ms", " 100 "),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact, delete"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,delete"),
        ("segment.bytes", "1048576"),
        ("retention.bytes", "-2"),
        ("leader.replication.throttled.replicas", "*"),
        ("compression.type", "uncompressed"),
        ("preallocate", "TRUE"),
        ("min.cleanable.dirty.ratio", "0.25"),
        ("leader.replication.throttled.replicas", "0:1,1:1"),
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.schema", " "),
        ("tidelog.table.invalid.records", "suspend"),
    ];
    for (name, value) in accepted {
        assert_eq!(check(&[(name, value)], 3), Ok(()), "{name}={value}");
    }
    let refused = [
        (
            "retention.ms",
            "-2",
            "must be between -1 and 9223372036854775807",
        ),
        ("retention.ms", "1d", "must be a 64-bit whole number"),
        (
            "segment.bytes",
            "3000000000",
            "must be a 32-bit whole number",
        ),
        (
            "cleanup.policy",
            "delete,shrink",
            "may only name delete, compact",
        ),
        ("cleanup.policy", "delete,", "has an empty item"),
        ("preallocate", "yes", "must be true or false"),
        ("segment.bytes", "1048575", "must be between 1048576"),
        (
            "leader.replication.throttled.replicas",
            "0:1,x",
            "PARTITION:BROKER",
        ),
        ("remote.storage.enable", "true", "there is no remote log"),
        (
            "min.cleanable.dirty.ratio",
            "NaN",
            "must be between 0 and 1",
        ),
        (
            "message.timestamp.type",
            "createtime",
            "must be one of CreateTime, LogAppendTime",
        ),
        (
            "tidelog.table.mode",
            "value_schema_latest:topic=a",
            "no option \"topic=a\"",
        ),
        (
            "tidelog.table.mode",
            "keyvalue",
            "use disabled, key_value, inline, inferred, auto",
        ),
        (
            "tidelog.table.invalid.records",
            "dlq_table",
            "must be one of dead_letter, drop, suspend, reject",
        ),
        ("tidelog.table.schema", "[1]", "must be a JSON object"),
        ("tidelog.table.schema", "{", "is not JSON"),
        (
            "tidelog.table.key",
            "a,record_key",
            "record_key stands alone",
        ),
        ("tidelog.table.key", "a,b,a", "names a twice"),
    ];
    for (name, value, reason) in refused {
        let error = check(&[(name, value)], 3).unwrap_err();
        assert!(
            error.contains(name) && error.contains(reason),
            "{name}={value}: {error}"
        );
    }
}

#[test]
fn unknown_names_get_the_nearest_one() {
    let cases = [
        (
            "retension.ms",
            "unknown topic setting retension.ms; did you mean retention.ms?",
        ),
        (
            "tidelog.tabel.mode",
            "unknown topic setting tidelog.tabel.mode; did you mean tidelog.table.mode?",
        ),
        ("colour", "unknown topic setting colour"),
    ];
    for (name, message) in cases {
        assert_eq!(check(&[(name, "1")], 1), Err(message.into()));
    }
    let long = "x".repeat(100_000);
    assert!(check(&[(&long, "1")], 1).unwrap_err().len() < 200);
}

#[test]
fn long_values_are_refused_and_never_echoed() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(VALUE_BYTES_MAX));
    let error = check(&[("tidelog.table.schema", &long)], 1).unwrap_err();
    assert!(
        error.contains("at most 32767") && error.len() < 200,
        "{error}"
    );
}

#[test]
fn table_settings_fit_together() {
    let (schema, inline) = (
        ("tidelog.table.schema", "{}"),
        ("tidelog.table.mode", "inline"),
    );
    let (raw, columns) = (
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.key", "id,at"),
    );
    let (record_key, scope) = (
        ("tidelog.table.key", "record_key"),
        ("tidelog.table.key.scope", "partition"),
    );
    let lake = ("tidelog.lake.enable", "TRUE");
    type Case<'a> = (&'a [(&'a str, &'a str)], i32, Option<&'a str>);
    let cases: &[Case<'_>] = &[
        (&[inline], 1, Some("inline needs a schema")),
        (&[inline, schema], 9, None),
        (&[record_key], 1, Some("a keyed table needs columns")),
        (&[record_key, raw], 9, None),
        (&[columns, raw], 1, Some("key_value has no value columns")),
        (&[columns, inline, schema], 1, None),
        (
            &[columns, inline, schema],
            2,
            Some("one key could land in several partitions"),
        ),
        (&[columns, inline, schema, scope], 2, None),
        (&[schema], 1, Some("set both, or leave the schema out")),
        (&[schema, raw], 1, Some("set both, or leave the schema out")),
        (&[lake], 1, Some("a lake table needs columns")),
        (&[lake, raw], 3, None),
        (&[lake, inline, schema], 3, None),
        (
            &[lake, raw, record_key],
            1,
            Some("leave out tidelog.lake.enable"),
        ),
        (
            &[("tidelog.lake.enable", "false"), raw, record_key],
            1,
            None,
        ),
    ];
    for (pairs, partitions, expected) in cases {
        match (check(pairs, *partitions), expected) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.contains(part), "{pairs:?}: {error}"),
            (result, _) => panic!("{pairs:?}: {result:?}"),
        }
    }
}

#[test]
fn what_was_accepted_once_does_not_stand_in_the_way() {
    let settings = BrokerSettings::new([]);
    let layers = Layers::new(&settings, None, None);
    let old = overrides(&[("tidelog.lake.enable", "true")]);
    let mut new = old.clone();
    new.insert("retention.ms".into(), "5".into());
    assert_eq!(check_topic(&old, &new, &layers, 1), Ok(()));
    new.insert("tidelog.table.schema".into(), "{}".into());
    assert!(check_topic(&old, &new, &layers, 1).is_err());
}

#[test]
fn a_keyed_table_sets_its_own_mode() {
    let mut settings = BrokerSettings::new([]);
    settings
        .set("tidelog.table.mode.default", "key_value")
        .unwrap();
    assert!(
        settings
            .set("tidelog.table.mode.default", "inline")
            .is_err()
    );
    let layers = Layers::new(&settings, None, None);
    let keyed = overrides(&[("tidelog.table.key", "record_key")]);
    let error = check_topic(&Overrides::new(), &keyed, &layers, 1).unwrap_err();
    assert!(
        error.to_string().contains("set tidelog.table.mode too"),
        "{error}"
    );
    assert_eq!(
        check_topic(&Overrides::new(), &Overrides::new(), &layers, 1),
        Ok(())
    );
}

#[test]
fn the_nearest_layer_wins_and_units_are_converted() {
    let mut settings = BrokerSettings::new([]);
    let config = TopicConfig::find("retention.ms").unwrap();
    assert_eq!(
        Layers::new(&settings, None, None).value(config),
        "604800000"
    );

    settings.set("log.retention.hours", "2").unwrap();
    assert_eq!(Layers::new(&settings, None, None).value(config), "7200000");
    settings.set("log.retention.minutes", "1").unwrap();
    assert_eq!(Layers::new(&settings, None, None).value(config), "60000");
    settings.set("log.retention.minutes", "-1").unwrap();
    assert_eq!(Layers::new(&settings, None, None).value(config), "-1");

    let cluster = overrides(&[("log.retention.ms", "5")]);
    let broker = overrides(&[("log.retention.ms", "4")]);
    let topic = overrides(&[("retention.ms", "3")]);
    let layers = Layers::new(&settings, Some(&broker), Some(&cluster)).with_topic(&topic);
    assert_eq!(TopicSettings::resolve(&layers).retention_ms, Some(3));

    let entry = layers
        .describe_topic(Some(&["retention.ms".into()]))
        .remove(0);
    assert_eq!(
        (entry.value.as_deref(), entry.source),
        (Some("3"), ConfigSource::Topic)
    );
    let synonyms: Vec<_> = entry
        .synonyms
        .iter()
        .map(|synonym| {
            (
                synonym.name.as_str(),
                synonym.value.as_deref().unwrap_or(""),
                synonym.source,
            )
        })
        .collect();
    assert_eq!(
        synonyms,
        [
            ("retention.ms", "3", ConfigSource::Topic),
            ("log.retention.ms", "4", ConfigSource::DynamicBroker),
            ("log.retention.ms", "5", ConfigSource::DynamicDefault),
            ("log.retention.minutes", "-1", ConfigSource::StaticBroker),
            ("log.retention.hours", "2", ConfigSource::StaticBroker),
        ]
    );
}

#[test]
fn resolution_survives_values_nobody_understands() {
    let settings = BrokerSettings::new([]);
    let odd: Overrides = TOPIC_CONFIGS
        .iter()
        .map(|config| (config.name.into(), "?".into()))
        .collect();
    let layers = Layers::new(&settings, None, None);
    let resolved = TopicSettings::resolve(&layers.with_topic(&odd));
    let mut expected = TopicSettings::resolve(&layers);
    expected.table.key = TableKey::Columns(vec!["?".into()]);
    let version = ("version.column".into(), "?".into());
    expected.table.merge.options = [version].into();
    // Any text names a topic.
    assert_eq!(resolved.view.as_ref().map(|view| &view.of[..]), Some("?"));
    expected.view.clone_from(&resolved.view);
    assert_eq!(resolved, expected);
}

#[test]
fn defaults_resolve_to_kafkas() {
    let settings = BrokerSettings::new([]);
    let resolved = TopicSettings::resolve(&Layers::new(&settings, None, None));
    assert_eq!(
        resolved.cleanup,
        CleanupPolicy {
            delete: true,
            compact: false
        }
    );
    assert_eq!(resolved.retention_bytes, None);
    assert_eq!(resolved.max_message_bytes, 1_048_588);
    assert_eq!(resolved.compression, Compression::Producer);
    assert_eq!(resolved.table.codec, TableCodec::Zstd);
    assert_eq!(resolved.table.invalid_records, InvalidRecords::DeadLetter);
    assert_eq!(
        resolved.lake,
        LakeSettings {
            enabled: false,
            target_lag_ms: 30_000,
            retention_budget_bytes: 10 << 30,
        }
    );
}

#[test]
fn broker_rows_hide_secrets() {
    let row = |name, read_only, sensitive, value: Option<&str>| BrokerSetting {
        name,
        kind: Kind::Int { min: 0, max: 10 },
        default: Some("1".into()),
        value: value.map(Into::into),
        doc: "A row.",
        read_only,
        sensitive,
    };
    let settings = BrokerSettings::new([
        row("a.pin", false, true, Some("7")),
        row("listeners", true, false, None),
    ]);
    let entries = Layers::new(&settings, None, None).describe_broker(None);
    assert_eq!(
        entries.len(),
        2 + TOPIC_CONFIGS
            .iter()
            .map(|config| config.broker_names.len())
            .sum::<usize>()
    );
    let pin = &entries[0];
    assert_eq!((pin.name.as_str(), &pin.value), ("a.pin", &None));
    assert!(pin.synonyms.iter().all(|synonym| synonym.value.is_none()));
    assert_eq!(
        (pin.config_type, pin.source),
        (ConfigType::Password, ConfigSource::StaticBroker)
    );
    assert!(
        !settings
            .check_dynamic("a.pin", "4711")
            .unwrap_err()
            .to_string()
            .contains("4711")
    );
    assert_eq!(
        settings.check_dynamic("listeners", "2"),
        Err(ConfigError::ReadOnly {
            name: "listeners".into()
        })
    );
}
