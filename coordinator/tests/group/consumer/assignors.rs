//! What assignors promise, by seeded fuzz; and the shape of each by table.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::group::{Assignment, Assignor, Wanted, Wish};
use uuid::Uuid;

const SEEDS: u64 = 300;

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn random_wanted(rng: &mut SmallRng, same_topics: bool) -> Wanted {
    let topics = rng.random_range(1..5);
    let partitions: BTreeMap<Uuid, i32> = (0..topics)
        .map(|number| (topic(number), rng.random_range(0..12)))
        .collect();
    let everything: BTreeSet<Uuid> = partitions.keys().copied().collect();
    let wish = |rng: &mut SmallRng| Wish {
        instance_id: None,
        topics: if same_topics {
            everything.clone()
        } else {
            // One that does not exist may be among them.
            (0..=topics)
                .map(topic)
                .filter(|_| rng.random_bool(0.6))
                .collect()
        },
        has: Assignment::default(),
    };
    let members = (0..rng.random_range(1..8)).map(|at| (format!("m{at}"), wish(rng)));
    Wanted {
        members: members.collect(),
        partitions,
    }
}

/// What is had becomes what was assigned.
fn settle(wanted: &mut Wanted, shares: &BTreeMap<String, Assignment>) {
    for (member, wish) in &mut wanted.members {
        wish.has = shares[member].clone();
    }
}

fn check_promises(seed: u64, wanted: &Wanted, shares: &BTreeMap<String, Assignment>) {
    assert!(shares.keys().eq(wanted.members.keys()), "seed {seed}");
    let mut taken = Assignment::default();
    for (member, share) in shares {
        for (topic, partition) in share.iter() {
            assert!(
                wanted.members[member].topics.contains(&topic),
                "seed {seed}"
            );
            assert!(taken.insert(topic, partition), "seed {seed}: given twice");
        }
    }
    for (&topic, &count) in &wanted.partitions {
        let somebody = wanted
            .members
            .values()
            .any(|wish| wish.topics.contains(&topic));
        for partition in 0..count {
            assert_eq!(taken.contains(topic, partition), somebody, "seed {seed}");
        }
    }
    let in_range = |(topic, partition)| (0..wanted.partitions[&topic]).contains(&partition);
    assert!(taken.iter().all(in_range), "seed {seed}");
}

fn spread(shares: &BTreeMap<String, Assignment>) -> usize {
    let loads = || shares.values().map(Assignment::len);
    loads().max().unwrap() - loads().min().unwrap()
}

/// Partitions that are where they were.
fn kept(wanted: &Wanted, shares: &BTreeMap<String, Assignment>) -> usize {
    let kept =
        |(member, share): (&String, &Assignment)| share.and(&wanted.members[member].has).len();
    shares.iter().map(kept).sum()
}

#[test]
fn every_partition_has_one_owner_who_wants_it() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut wanted = random_wanted(&mut rng, seed % 2 == 0);
        for assignor in Assignor::ALL {
            let shares = assignor.assign(&wanted);
            check_promises(seed, &wanted, &shares);
            assert_eq!(shares, assignor.assign(&wanted), "seed {seed}");
            settle(&mut wanted, &shares);
        }
    }
}

#[test]
fn uniform_is_even_and_moves_no_more_than_it_must() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut wanted = random_wanted(&mut rng, true);
        for _ in 0..6 {
            let shares = Assignor::Uniform.assign(&wanted);
            check_promises(seed, &wanted, &shares);
            assert!(spread(&shares) <= 1, "seed {seed}: {shares:?}");
            assert_eq!(kept(&wanted, &shares), most_kept(&wanted), "seed {seed}");
            settle(&mut wanted, &shares);
            assert_eq!(
                Assignor::Uniform.assign(&wanted),
                shares,
                "seed {seed}: not at rest"
            );
            change(&mut wanted, &mut rng);
        }
    }
}

/// Of an even assignment of topics everybody wants: no member can keep more than the larger quota,
/// and only so many can have that.
fn most_kept(wanted: &Wanted) -> usize {
    let total: i32 = wanted.partitions.values().sum();
    let (total, members) = (total as usize, wanted.members.len());
    let (quota, mut extra) = (total / members, total % members);
    let exists = |topic: Uuid, partition: i32| {
        wanted
            .partitions
            .get(&topic)
            .is_some_and(|&count| partition < count)
    };
    let mut kept = 0;
    for wish in wanted.members.values() {
        let has = wish.has.filtered(exists).len();
        kept += has.min(quota);
        if has > quota && extra > 0 {
            (extra, kept) = (extra - 1, kept + 1);
        }
    }
    kept
}

fn change(wanted: &mut Wanted, rng: &mut SmallRng) {
    let topics: BTreeSet<Uuid> = wanted.partitions.keys().copied().collect();
    match rng.random_range(0..3) {
        0 => {
            let wish = Wish {
                topics,
                ..Wish::default()
            };
            wanted
                .members
                .insert(format!("n{}", rng.random::<u32>()), wish);
        }
        1 if wanted.members.len() > 1 => {
            wanted.members.pop_first();
        }
        _ => {
            let count = wanted.partitions.values_mut().next().unwrap();
            *count += rng.random_range(0..4);
        }
    }
}

#[test]
fn uniform_leaves_nothing_a_single_move_could_mend() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let wanted = random_wanted(&mut rng, false);
        let shares = Assignor::Uniform.assign(&wanted);
        for (member, share) in &shares {
            for (topic, _) in share.iter() {
                let others = wanted
                    .members
                    .iter()
                    .filter(|(_, wish)| wish.topics.contains(&topic));
                for (other, _) in others {
                    assert!(
                        share.len() <= shares[other].len() + 1,
                        "seed {seed}: {member} could give {topic} to {other}"
                    );
                }
            }
        }
    }
}

fn wanted(members: &[(&str, Option<&str>, &[u128])], partitions: &[(u128, i32)]) -> Wanted {
    let wish = |&(name, instance, topics): &(&str, Option<&str>, &[u128])| {
        let wish = Wish {
            instance_id: instance.map(str::to_owned),
            topics: topics.iter().copied().map(topic).collect(),
            has: Assignment::default(),
        };
        (name.to_owned(), wish)
    };
    Wanted {
        members: members.iter().map(wish).collect(),
        partitions: partitions
            .iter()
            .map(|&(id, count)| (topic(id), count))
            .collect(),
    }
}

fn share(partitions: &[(u128, i32)]) -> Assignment {
    partitions
        .iter()
        .map(|&(id, partition)| (topic(id), partition))
        .collect()
}

#[test]
fn range_gives_runs_the_same_in_equal_topics() {
    let all: &[u128] = &[1, 2];
    let shares = Assignor::Range.assign(&wanted(
        &[("a", None, all), ("b", None, all)],
        &[(1, 3), (2, 3)],
    ));
    assert_eq!(shares["a"], share(&[(1, 0), (1, 1), (2, 0), (2, 1)]));
    assert_eq!(shares["b"], share(&[(1, 2), (2, 2)]));
}

#[test]
fn range_puts_static_members_first_by_instance() {
    let shares = Assignor::Range.assign(&wanted(
        &[
            ("a", None, &[1]),
            ("b", Some("2"), &[1]),
            ("c", Some("1"), &[1]),
        ],
        &[(1, 4)],
    ));
    assert_eq!(shares["c"], share(&[(1, 0), (1, 1)]));
    assert_eq!(shares["b"], share(&[(1, 2)]));
    assert_eq!(shares["a"], share(&[(1, 3)]));
}

#[test]
fn more_members_than_partitions_leave_some_idle() {
    for assignor in Assignor::ALL {
        let members = [
            ("a", None, &[1u128][..]),
            ("b", None, &[1]),
            ("c", None, &[1]),
        ];
        let shares = assignor.assign(&wanted(&members, &[(1, 2)]));
        let loads: Vec<usize> = shares.values().map(Assignment::len).collect();
        assert_eq!(loads, [1, 1, 0], "{}", assignor.name());
    }
}

#[test]
fn large_groups_do_not_take_long() {
    let names: Vec<String> = (0..500).map(|at| format!("m{at:03}")).collect();
    let all: Vec<u128> = (0..50).collect();
    let members: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), None, all.as_slice()))
        .collect();
    let partitions: Vec<_> = all.iter().map(|&id| (id, 100)).collect();
    let mut wanted = wanted(&members, &partitions);
    let shares = Assignor::Uniform.assign(&wanted);
    assert!(shares.values().all(|share| share.len() == 10));
    settle(&mut wanted, &shares);
    wanted.members.pop_last();
    assert!(spread(&Assignor::Uniform.assign(&wanted)) <= 1);
}
