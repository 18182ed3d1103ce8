//! Quotas change per entity: all of its changes, or none.

use tidelog_coordinator::cluster::{Command, EntityType, Image, QuotaChange, Record, Reply};

use super::{Harness, shown};

type Names<'a> = &'a [(&'a str, Option<&'a str>)];
type Ops<'a> = &'a [(&'a str, Option<f64>)];

fn change(entity: Names<'_>, ops: Ops<'_>) -> QuotaChange {
    let entity = entity.iter();
    let ops = ops.iter();
    QuotaChange {
        entity: entity
            .map(|(kind, name)| (kind.to_string(), name.map(str::to_owned)))
            .collect(),
        ops: ops.map(|(key, value)| (key.to_string(), *value)).collect(),
    }
}

fn alter(harness: &mut Harness, changes: Vec<QuotaChange>) -> Vec<String> {
    let command = Command::AlterQuotas {
        changes,
        validate_only: false,
    };
    let Reply::Quotas(results) = harness.run(command) else {
        panic!()
    };
    results
        .into_iter()
        .map(|(_, result)| shown(result))
        .collect()
}

#[test]
fn one_bad_value_spoils_its_entity_only() {
    let mut harness = Harness::new();
    let rate = ("producer_byte_rate", Some(5.0));
    let outcomes = alter(
        &mut harness,
        vec![
            change(
                &[("user", Some("a"))],
                &[rate, ("request_percentage", Some(-1.0))],
            ),
            change(&[("user", None)], &[rate]),
            change(&[("user", None), ("ip", None)], &[rate]),
        ],
    );
    assert!(outcomes[0].contains("above 0") && outcomes[2].contains("stands alone"));
    assert_eq!(outcomes[1], "ok");
    let quotas = harness.cluster.image().quotas();
    let entities: Vec<_> = quotas.keys().cloned().collect();
    assert_eq!(entities, [[(EntityType::User, None)].into()]);
}

#[test]
fn records_state_what_is_left() {
    let mut harness = Harness::new();
    let user: Names<'_> = &[("user", Some("a"))];
    // Not a number of few digits: the log must keep every bit of it.
    let set: Ops<'_> = &[("request_percentage", Some(0.1 + 0.2))];
    assert_eq!(alter(&mut harness, vec![change(user, set)]), ["ok"]);
    let written = harness.log.len();
    let absent: Ops<'_> = &[("consumer_byte_rate", None)];
    for nothing_new in [
        change(user, set),
        change(user, absent),
        change(&[("user", Some("b"))], absent),
    ] {
        assert_eq!(alter(&mut harness, vec![nothing_new]), ["ok"]);
    }
    assert_eq!(harness.log.len(), written);
    let kept = harness.log[written - 1].encode().unwrap().1;
    assert_eq!(Record::decode(&kept).unwrap(), harness.log[written - 1]);
    alter(
        &mut harness,
        vec![change(user, &[("request_percentage", None)])],
    );
    assert!(harness.cluster.image().quotas().is_empty());
    assert_eq!(Image::restore(&harness.log), *harness.cluster.image());
}
