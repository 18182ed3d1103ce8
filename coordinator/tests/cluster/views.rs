//! Views and their sources: made, grown and deleted together.

use tidelog_coordinator::cluster::{
    Command, ConfigResource, EditOp, GrowTopic, NewTopic, Reply, TopicRef,
};

use super::{Harness, configured, new_topic, shown};

/// A harness with the table `orders`, of three partitions, and its view `seen`.
fn harness() -> Harness {
    let mut harness = Harness::new();
    let table = configured("orders", &[("tidelog.table.mode", "key_value")]);
    let settings = [
        ("tidelog.view.of", "orders"),
        ("tidelog.view.columns", "value"),
    ];
    let outcomes = harness.create(vec![table, configured("seen", &settings)]);
    assert_eq!(outcomes, ["ok", "ok"]);
    harness
}

fn grow(harness: &mut Harness, name: &str, total: i32) -> String {
    let topics = vec![GrowTopic {
        name: name.into(),
        total,
        assignments: None,
    }];
    let command = Command::CreatePartitions {
        topics,
        incarnation: 5,
        validate_only: false,
    };
    let Reply::Grown(mut outcomes) = harness.run(command) else {
        panic!()
    };
    shown(outcomes.remove(0).1.map(|_| ()))
}

fn delete(harness: &mut Harness, names: &[&str]) -> Vec<String> {
    let topics = names.iter().map(|name| TopicRef::Name((*name).into()));
    let command = Command::DeleteTopics {
        topics: topics.collect(),
    };
    let Reply::Deleted(outcomes) = harness.run(command) else {
        panic!()
    };
    let outcomes = outcomes.into_iter();
    outcomes
        .map(|(_, result)| shown(result.map(|_| ())))
        .collect()
}

#[test]
fn a_view_has_the_partitions_of_its_source() {
    let mut harness = harness();
    let image = harness.cluster.image();
    let (source, view) = (image.topic("orders").unwrap(), image.topic("seen").unwrap());
    assert_eq!((view.view_of, view.log_id()), (Some(source.id), source.id));
    assert_eq!(image.source_of(view), Some(source));
    assert_eq!(view.partitions, 3);
    let counted = |name, partitions| NewTopic {
        partitions,
        ..configured(name, &[("tidelog.view.of", "orders")])
    };
    let outcomes = harness.create(vec![counted("same", 3), counted("other", 4)]);
    assert_eq!(outcomes[0], "ok");
    assert!(outcomes[1].contains("orders has 3"), "{}", outcomes[1]);

    assert!(grow(&mut harness, "seen", 5).contains("partitions of orders"));
    assert_eq!(grow(&mut harness, "orders", 5), "ok");
    for name in ["orders", "seen", "same"] {
        assert_eq!(harness.cluster.image().topic(name).unwrap().partitions, 5);
    }
    // The limit counts views, too.
    assert!(grow(&mut harness, "orders", 40).contains("do not fit"));
}

#[test]
fn only_tables_have_views() {
    let mut harness = harness();
    assert_eq!(harness.create(vec![new_topic("plain")]), ["ok"]);
    for (settings, expected) in [
        (vec![("tidelog.view.of", "nowhere")], "does not exist"),
        (vec![("tidelog.view.of", "plain")], "no columns"),
        (vec![("tidelog.view.of", "seen")], "name orders"),
        (
            vec![("tidelog.view.filter", "a = 1")],
            "without tidelog.view.of",
        ),
        (
            vec![
                ("tidelog.view.of", "orders"),
                ("tidelog.lake.enable", "true"),
            ],
            "no records of its own",
        ),
        (
            vec![
                ("tidelog.view.of", "orders"),
                ("tidelog.view.format", "xml"),
            ],
            "one of json",
        ),
    ] {
        let outcome = &harness.create(vec![configured("new", &settings)])[0];
        assert!(outcome.contains(expected), "{settings:?}: {outcome}");
    }
}

#[test]
fn a_view_stays_what_it_was_made_as() {
    let mut harness = harness();
    let topic = |name: &str| ConfigResource::Topic(name.into());
    for (name, setting, value, expected) in [
        ("seen", "tidelog.view.filter", "a = 1", "make a new topic"),
        ("seen", "tidelog.view.of", "", "make a new topic"),
        ("orders", "tidelog.view.of", "seen", "make a new topic"),
        ("seen", "tidelog.table.mode", "key_value", "no records"),
        ("seen", "tidelog.view.columns", " value", "ok"),
        ("seen", "retention.ms", "1", "ok"),
    ] {
        let outcome = harness.edit(topic(name), &[(setting, EditOp::Set, value)]);
        assert!(outcome.contains(expected), "{name} {setting}: {outcome}");
    }
}

#[test]
fn a_source_goes_last_or_with_its_views() {
    let mut harness = harness();
    let refused = delete(&mut harness, &["orders"]);
    assert!(refused[0].contains("shown by seen"), "{}", refused[0]);
    // One that is named twice stays.
    let refused = delete(&mut harness, &["orders", "seen", "seen"]);
    assert!(refused[0].contains("shown by seen"), "{}", refused[0]);
    assert_eq!(delete(&mut harness, &["orders", "seen"]), ["ok", "ok"]);

    let mut harness = self::harness();
    assert_eq!(delete(&mut harness, &["seen"]), ["ok"]);
    assert_eq!(delete(&mut harness, &["orders"]), ["ok"]);
}
