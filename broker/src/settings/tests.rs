use std::collections::HashSet;

use super::*;

fn load(
    file: &str,
    flags: &[(&'static str, &str, &str)],
    set: &[&str],
) -> Result<Settings, String> {
    let mut loader = Loader::default();
    let read = loader
        .text(file, Path::new("server.properties"))
        .and_then(|()| {
            flags
                .iter()
                .try_for_each(|(flag, name, text)| loader.flag(flag, name, text))
        })
        .and_then(|()| set.iter().try_for_each(|text| loader.set(text)));
    read.and_then(|()| loader.finish())
        .map(|(settings, _)| settings)
        .map_err(|e| e.to_string())
}

#[test]
fn every_row_is_sound() {
    let mut seen = HashSet::new();
    let defaults = Settings::default();
    for row in TABLE {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(seen.insert(*name), "{name} is listed twice");
        }
        assert!(
            (row.assign)(&mut Settings::default(), row.default),
            "{} breaks its limits",
            row.name
        );
        let shown = (row.render)(&defaults);
        let mut again = Settings::default();
        assert!(
            (row.assign)(&mut again, &shown),
            "{} shows `{shown}` and refuses it",
            row.name
        );
        assert_eq!(again, defaults, "{}", row.name);
        assert!(row.doc.ends_with('.'), "{}", row.name);
    }
    defaults.check_together().unwrap();
}

#[test]
fn later_sources_win_and_are_remembered() {
    let settings = load(
        "num.partitions=2\nbroker.id=7\nlog.dirs=/file\n",
        &[("--data-dir", "tidelog.data.dir", "/flag")],
        &["num.partitions=4", "message.max.bytes = 99"],
    )
    .unwrap();
    assert_eq!(settings.num_partitions, 4);
    assert_eq!(settings.node_id, 7);
    assert_eq!(settings.data_dir, PathBuf::from("/flag"));
    assert_eq!(settings.message_max_bytes, 99);

    let source = |name: &str| {
        settings
            .describe()
            .find(|d| d.row.name == name)
            .unwrap()
            .source
            .to_string()
    };
    assert_eq!(source("num.partitions"), "--set");
    assert_eq!(source("node.id"), "server.properties:2");
    assert_eq!(source("tidelog.data.dir"), "--data-dir");
    assert_eq!(source("fetch.max.bytes"), "default");
}

#[test]
fn errors_say_where_and_what_instead() {
    let long = "a".repeat(40);
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "\nnum.partition=2",
            &[],
            "server.properties:2: unknown setting `num.partition`; did you mean `num.partitions`?",
        ),
        (
            "",
            &["retention.ms=1"],
            "--set: unknown setting `retention.ms`; did you mean `log.retention.ms`?",
        ),
        (
            "",
            &["log.retention.minute=1"],
            "--set: unknown setting `log.retention.minute`; did you mean `log.retention.minutes`?",
        ),
        (
            "",
            &[&format!("{long}=1")],
            &format!("--set: unknown setting `{long}`"),
        ),
        (
            "num.partitions=few",
            &[],
            "server.properties:1: `num.partitions` cannot be `few`: expected a whole number, at least 1",
        ),
        (
            "",
            &["num.partitions=0"],
            "--set: `num.partitions` cannot be `0`: expected a whole number, at least 1",
        ),
        (
            "",
            &["tidelog.flush.mode=never"],
            "--set: `tidelog.flush.mode` cannot be `never`: expected sync | os",
        ),
        (
            "",
            &["auto.create.topics.enable=yes"],
            "--set: `auto.create.topics.enable` cannot be `yes`: expected true or false",
        ),
        (
            "",
            &["num.partitions"],
            "`--set num.partitions`: expected KEY=VALUE",
        ),
        (
            "a=\\u1",
            &[],
            "server.properties: line 1: \\u must be followed by four hexadecimal digits",
        ),
        (
            "listeners=",
            &[],
            "`listeners` names no address to listen on",
        ),
        (
            "listeners=SSL://:9093",
            &[],
            "server.properties:1: `listeners` cannot be `SSL://:9093`: expected HOST:PORT or \
             NAME://HOST:PORT (without SSL or SASL), separated by commas",
        ),
        (
            "advertised.listeners=OUT://a:1",
            &[],
            "`advertised.listeners` names `OUT`, which is not in `listeners`",
        ),
        (
            "advertised.listeners=0.0.0.0:1",
            &[],
            "`advertised.listeners` cannot be `0.0.0.0:1`: clients need a host name to connect to",
        ),
        (
            "group.max.session.timeout.ms=5",
            &[],
            "`group.min.session.timeout.ms` must not be larger than `group.max.session.timeout.ms`",
        ),
    ];
    for (file, set, expected) in cases {
        assert_eq!(
            &load(file, &[], set).unwrap_err(),
            expected,
            "{file:?} {set:?}"
        );
    }
}

#[test]
fn listeners_have_many_forms() {
    let cases = [
        ("127.0.0.1:9092", "PLAINTEXT://127.0.0.1:9092"),
        ("PLAINTEXT://:9092", "PLAINTEXT://:9092"),
        ("[::1]:0", "PLAINTEXT://[::1]:0"),
        ("IN://a:1, OUT://b:2", "IN://a:1,OUT://b:2"),
        ("PLAINTEXT://:9092,CONTROLLER://:9093", "PLAINTEXT://:9092"),
    ];
    for (text, expected) in cases {
        let settings = load("", &[], &[&format!("listeners={text}")]).unwrap();
        assert_eq!(settings.listeners.render(), expected);
    }
    for text in [
        "9092",
        "a",
        "a:70000",
        "::1:9092",
        "a:1,b:2",
        "://a:1",
        "a b:1",
        "X://Y://a:1",
    ] {
        assert!(
            load("", &[], &[&format!("listeners={text}")]).is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_stock_server_properties_starts() {
    let file = "process.roles=broker,controller\nnode.id=1\n\
        controller.quorum.bootstrap.servers=localhost:9093\n\
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
        inter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
        num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
        socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n\
        log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
        num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
        share.coordinator.state.topic.replication.factor=1\n\
        share.coordinator.state.topic.min.isr=1\n\
        transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
        log.retention.hours=168\nlog.segment.bytes=1073741824\n\
        log.retention.check.interval.ms=300000\n";
    let mut loader = Loader::default();
    loader.text(file, Path::new("server.properties")).unwrap();
    let (settings, inert) = loader.finish().unwrap();
    assert_eq!(settings.data_dir, PathBuf::from("/tmp/kraft-combined-logs"));
    assert_eq!(
        settings.advertised_listeners.render(),
        "PLAINTEXT://localhost:9092"
    );
    assert_eq!(inert.len(), 15);
    assert_eq!(inert[0].origin.to_string(), "server.properties:1");
}

#[test]
fn names_of_others_are_warnings() {
    let file = "log.cleaner.threads=2\nlistener.name.internal.ssl.keystore.location=/k\n\
        com.example.plugin=x\nauthorizer.class.name=\n";
    let mut loader = Loader::default();
    loader.text(file, Path::new("server.properties")).unwrap();
    let (_, inert) = loader.finish().unwrap();
    let named: Vec<_> = inert.iter().map(|inert| inert.name.as_str()).collect();
    assert_eq!(
        named,
        [
            "log.cleaner.threads",
            "listener.name.internal.ssl.keystore.location",
            "com.example.plugin",
            "authorizer.class.name"
        ]
    );
    for refused in [
        "tidelog.no.such=1",
        "num.partition=2",
        "authorizer.class.name=a.B",
    ] {
        assert!(load(refused, &[], &[]).is_err(), "{refused}");
    }
    assert!(load("", &[], &["com.example.plugin=x"]).is_err());
}

#[test]
fn a_name_of_kafka_says_what_to_use_instead() {
    for (set, expected) in [
        (
            "log.cleaner.threads=2",
            "log.cleaner.io.max.bytes.per.second",
        ),
        ("security.inter.broker.protocol=SSL", "plaintext"),
        (
            "remote.log.storage.system.enable=true",
            "tidelog.lake.enable",
        ),
        ("log.flush.interval.ms=1", "tidelog.flush.mode"),
        ("log.message.downconversion.enable=true", "nothing here"),
    ] {
        let mut loader = Loader::default();
        loader.set(set).unwrap();
        let (_, inert) = loader.finish().unwrap();
        assert!(
            inert[0].reason.contains(expected),
            "{set}: {}",
            inert[0].reason
        );
        assert_eq!(inert[0].origin, Source::Set);
    }
}

#[test]
fn numbers_that_are_not_whole() {
    let rate = |text: &str| {
        let settings = load(
            "",
            &[],
            &[&format!("log.cleaner.io.max.bytes.per.second={text}")],
        );
        settings.map(|settings| settings.log_cleaner_io_max_bytes_per_second)
    };
    assert_eq!(
        rate("1.7976931348623157E308"),
        Ok(f64::MAX),
        "Kafka's default"
    );
    assert_eq!(rate("1e6"), Ok(1e6));
    for bad in ["0.5", "-1", "NaN", "inf", "x", ""] {
        assert!(rate(bad).is_err(), "{bad}");
    }
    for bad in ["1.1", "-0.1", "NaN", ""] {
        let set = format!("log.cleaner.min.cleanable.ratio={bad}");
        assert!(load("", &[], &[&set]).is_err(), "{bad}");
    }
}

#[test]
fn names_of_kafka_are_in_order_and_not_ours() {
    assert!(kafka_names::KAFKA_NAMES.is_sorted_by(|a, b| a < b));
    assert!(kafka_names::KAFKA_DYNAMIC.is_sorted_by(|a, b| a < b));
    for name in kafka_names::KAFKA_DYNAMIC {
        assert!(kafka_names::KAFKA_NAMES.contains(name), "{name}");
    }
    for name in kafka_names::KAFKA_NAMES {
        let ours = TABLE
            .iter()
            .any(|row| row.name == *name || row.aliases.contains(name));
        assert!(!ours, "{name}");
    }
}

#[test]
fn only_dynamic_settings_change_while_running() {
    let start = load("message.max.bytes=5", &[], &[]).unwrap();
    let changed = start.with_changes([("message.max.bytes", "7")]).unwrap();
    assert_eq!(changed.message_max_bytes, 7);
    assert_eq!(start.with_changes([]).unwrap().message_max_bytes, 5);
    assert!(matches!(
        start.with_changes([("node.id", "7")]),
        Err(SettingsError::ReadOnly { name: "node.id" })
    ));
    assert!(matches!(
        start.with_changes([("message.max.bytes", "-7")]),
        Err(SettingsError::BadValue { .. })
    ));
}

#[test]
fn the_finest_unit_of_retention_decides() {
    let cases: &[(&[&str], Option<i64>)] = &[
        (&[], Some(604_800_000)),
        (&["log.retention.hours=1"], Some(3_600_000)),
        (
            &["log.retention.hours=1", "log.retention.minutes=2"],
            Some(120_000),
        ),
        (&["log.retention.minutes=2", "log.retention.ms=3"], Some(3)),
        (&["log.retention.ms=-1"], None),
        (&["log.retention.hours=-1"], None),
    ];
    for (set, expected) in cases {
        assert_eq!(
            load("", &[], set).unwrap().retention_ms(),
            *expected,
            "{set:?}"
        );
    }
}

#[test]
fn the_committed_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIG.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == docs::markdown(),
        "run `tidelog config docs > docs/CONFIG.md`"
    );
}
