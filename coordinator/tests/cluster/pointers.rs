//! Catalog pointers: all keys of a change move, or none.

use tidelog_coordinator::cluster::{
    Command, POINTER_CHANGE_BYTES_MAX, POINTERS_BYTES_MAX, PointerChange, PointerRefusal, Reply,
};

use super::Harness;

fn change(key: &str, expected: Option<&str>, new: Option<&str>) -> PointerChange {
    PointerChange {
        key: key.into(),
        expected: expected.map(Into::into),
        new: new.map(Into::into),
    }
}

fn run(harness: &mut Harness, changes: Vec<PointerChange>) -> Result<(), PointerRefusal> {
    let Reply::Pointers(outcome) = harness.run(Command::ChangePointers { changes }) else {
        panic!()
    };
    outcome
}

fn all(harness: &Harness) -> Vec<(&str, &str)> {
    harness.cluster.image().pointers().with_prefix("").collect()
}

#[test]
fn all_keys_move_or_none() {
    let mut harness = Harness::new();
    let two = vec![change("a", None, Some("1")), change("b", None, Some("2"))];
    assert_eq!(run(&mut harness, two.clone()), Ok(()));
    assert_eq!(all(&harness), [("a", "1"), ("b", "2")]);

    let mismatch = |key: &str| Err(PointerRefusal::Mismatch { key: key.into() });
    assert_eq!(run(&mut harness, two), mismatch("a"));
    let half = vec![change("a", Some("1"), None), change("b", Some("x"), None)];
    assert_eq!(run(&mut harness, half), mismatch("b"));
    assert_eq!(all(&harness), [("a", "1"), ("b", "2")]);
    assert_eq!(harness.log.len(), 1);

    let renamed = vec![change("a", Some("1"), None), change("c", None, Some("1"))];
    assert_eq!(run(&mut harness, renamed), Ok(()));
    assert_eq!(all(&harness), [("b", "2"), ("c", "1")]);
    assert_eq!(harness.log.len(), 2);
    assert_eq!(harness.cluster.image().pointers().size_bytes(), 4);
}

#[test]
fn a_prefix_finds_its_keys_only() {
    let mut harness = Harness::new();
    let keys = ["n/a", "n/b", "n0", "m/z"];
    let changes = keys.map(|key| change(key, None, Some("x")));
    assert_eq!(run(&mut harness, changes.into()), Ok(()));
    let pointers = harness.cluster.image().pointers();
    let found: Vec<_> = pointers.with_prefix("n/").map(|(key, _)| key).collect();
    assert_eq!(found, ["n/a", "n/b"]);
    assert_eq!((pointers.get("n0"), pointers.get("n")), (Some("x"), None));
}

#[test]
fn what_clients_can_make_us_keep_is_bounded() {
    let mut harness = Harness::new();
    let large = "x".repeat(POINTER_CHANGE_BYTES_MAX);
    let refused = run(&mut harness, vec![change("a", None, Some(&large))]);
    assert!(matches!(
        refused,
        Err(PointerRefusal::ChangeTooLarge { .. })
    ));

    let text = &large[8..];
    let full = (0..=POINTERS_BYTES_MAX / POINTER_CHANGE_BYTES_MAX)
        .map(|n| run(&mut harness, vec![change(&n.to_string(), None, Some(text))]))
        .find_map(Result::err);
    assert!(
        matches!(full, Some(PointerRefusal::Full { .. })),
        "{full:?}"
    );
    let smaller = change("0", Some(text), Some("x"));
    assert_eq!(run(&mut harness, vec![smaller]), Ok(()));
}
