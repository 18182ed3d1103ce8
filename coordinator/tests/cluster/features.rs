//! Feature levels move together, within what is supported, and stay as somebody set them.

use tidelog_coordinator::cluster::{Command, Direction, FeatureUpdate, Image, Reply};

use super::{Harness, shown};

fn update(harness: &mut Harness, updates: &[(&str, i16, Direction)]) -> String {
    let updates = updates
        .iter()
        .map(|(name, level, direction)| FeatureUpdate {
            name: (*name).into(),
            level: *level,
            direction: *direction,
        });
    let command = Command::UpdateFeatures {
        updates: updates.collect(),
        validate_only: false,
    };
    let Reply::Features(result) = harness.run(command) else {
        panic!()
    };
    shown(result)
}

fn begin(harness: &mut Harness) {
    let levels = [("group.version", 1), ("metadata.version", 5)];
    let levels = levels.map(|(name, level)| (name.to_owned(), level)).into();
    harness.run(Command::BeginFeatures { levels });
}

#[test]
fn levels_move_within_what_is_supported() {
    use Direction::{Down, Up};
    let mut harness = Harness::new();
    begin(&mut harness);
    let cases = [
        (("metadata.version", 8, Up), "supports 4 to 7"),
        (("metadata.version", 0, Down), "supports 4 to 7"),
        (("metadata.version", -1, Down), "supports 4 to 7"),
        (("other.version", 1, Up), "does not know it"),
        (("metadata.version", 4, Up), "a downgrade was not asked for"),
        (("metadata.version", 4, Down), "could not be read"),
        (("metadata.version", 6, Down), "a downgrade was asked for"),
        (("metadata.version", 5, Down), "ok"),
        (("metadata.version", 6, Up), "ok"),
        (("group.version", 0, Up), "a downgrade was not asked for"),
        (("group.version", 0, Down), "ok"),
    ];
    for (case, expected) in cases {
        let outcome = update(&mut harness, &[case]);
        assert!(outcome.contains(expected), "{case:?}: {outcome}");
    }
    let both = [("group.version", 1, Up), ("metadata.version", 9, Up)];
    assert!(update(&mut harness, &both).contains("supports 4 to 7"));
    let image = harness.cluster.image();
    let levels = ["group.version", "metadata.version"].map(|name| image.feature_level(name));
    assert_eq!(levels, [0, 6], "all of a request or nothing");
}

#[test]
fn what_was_ended_is_not_begun_again() {
    let mut harness = Harness::new();
    begin(&mut harness);
    update(&mut harness, &[("group.version", 0, Direction::Down)]);
    let written = harness.log.len();
    begin(&mut harness);
    assert_eq!(harness.log.len(), written);
    let restored = Image::restore(&harness.cluster.image().checkpoint());
    assert_eq!(restored.features()["group.version"], 0);
}
