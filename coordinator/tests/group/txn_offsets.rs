//! Offsets committed within transactions: scripts for the rules, and transactions at random against
//! a plain model that remembers the whole log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::group::{
    CommittedOffset, GroupRecord, GroupSettings, Groups, TxnEnd, TxnOffset,
};
use tidelog_coordinator::machine::{Envelope, Machine};
use tidelog_coordinator::producer::{Outcome, Producer};

use super::script::check;

#[test]
fn offsets_are_seen_once_their_transaction_commits() {
    check(
        "
        0  commit t/0=1                  | write t/0=1 ; t/0 ok
        0  begin 5:0                     | to confirm
        0  txn-commit 5:0 t/0=2 t/1=3    | write t/0=2 by 5:0 ; write t/1=3 by 5:0 ; t/0 ok t/1 ok
        0  fetch t/0 t/1 t/2             | t/0=1? t/1=none? t/2=none
        0  fetch                         | t/0=1?
        0  begin 5:0                     | open
        0  txn-commit 5:0 t/0=4          | write t/0=4 by 5:0 ; t/0 ok
        0  restart                       |
        0  fetch t/0 t/1                 | t/0=1? t/1=none?
        0  end-commit 5:0                | write commit of 5:0 ; ended
        0  fetch                         | t/0=4 t/1=3
        0  restart                       |
        0  fetch                         | t/0=4 t/1=3
        0  begin 5:1                     | to confirm
        0  txn-commit 5:1 t/0=9          | write t/0=9 by 5:1 ; t/0 ok
        0  end-abort 5:2                 | write abort of 5:2 ; ended
        0  fetch                         | t/0=4 t/1=3
        ",
    );
}

#[test]
fn the_latest_commit_in_the_log_wins() {
    check(
        "
        0  begin 5:0                     | to confirm
        0  txn-commit 5:0 t/0=1 t/1=1    | write t/0=1 by 5:0 ; write t/1=1 by 5:0 ; t/0 ok t/1 ok
        0  commit t/0=2                  | write t/0=2 ; t/0 ok
        0  fetch t/0                     | t/0=2?
        0  begin 6:0                     | to confirm
        0  txn-commit 6:0 t/1=3          | write t/1=3 by 6:0 ; t/1 ok
        0  restart                       |
        0  end-commit 6:0                | write commit of 6:0 ; ended
        0  fetch                         | t/0=2? t/1=3?
        0  restart                       |
        0  end-commit 5:0                | write commit of 5:0 ; ended
        0  fetch                         | t/0=2 t/1=3
        ",
    );
}

#[test]
fn a_commit_that_was_overtaken_by_a_marker_is_refused() {
    check(
        "
        0  txn-commit 5:0 t/0=1          | NotConfirmed
        0  begin 5:0                     | to confirm
        0  begin 5:0                     | to confirm
        0  end-abort 5:0                 | write abort of 5:0 ; ended
        0  txn-commit 5:0 t/0=1          | NotConfirmed
        0  begin 5:1                     | to confirm
        0  begin 5:2                     | to confirm
        0  txn-commit 5:1 t/0=1          | NotConfirmed
        0  txn-commit 5:2 t/0=1          | write t/0=1 by 5:2 ; t/0 ok
        0  txn-commit 5:1 t/0=1          | Fenced
        0  end-commit 5:1                | Fenced
        0  end-commit 5:3                | write commit of 5:3 ; ended
        9  begin 7:0                     | to confirm
        9  restart                       |
        9  txn-commit 7:0 t/0=1          | NotConfirmed
        ",
    );
}

#[test]
fn members_commit_in_their_generation_also_while_it_forms() {
    check(
        "
        set delay=0
        0  begin 5:0                     | to confirm
        0  txn-commit 5:0 a.1 gen=3 t/0=1   | IllegalGeneration
        0  txn-commit 5:0 a.1 t/0=1      | write t/0=1 by 5:0 ; t/0 ok
        0  join a old                    | a: a.1 gen=1 range leader=a.1 [a.1]
        0  txn-commit 5:0 a.1 gen=1 t/0=2   | write t/0=2 by 5:0 ; t/0 ok
        0  sync a.1 gen=1 a.1=x          | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0  txn-commit 5:0 a.1 gen=1 t/0=3   | write t/0=3 by 5:0 ; t/0 ok
        0  txn-commit 5:0 a.1 gen=0 t/0=4   | IllegalGeneration
        0  txn-commit 5:0 a.1 gen=-1 t/0=4  | IllegalGeneration
        0  txn-commit 5:0 b.9 gen=1 t/0=4   | UnknownMember
        0  txn-commit 5:0 t/0=5          | write t/0=5 by 5:0 ; t/0 ok
        0  leave a.1                     | write g gen=2 empty ; left
        0  txn-commit 5:0 a.1 gen=2 t/0=6   | UnknownMember
        0  txn-commit 5:0 a.1 t/0=6      | write t/0=6 by 5:0 ; t/0 ok
        0  txn-commit 5:0 t/0=6 meta=4097   | t/0 OffsetMetadataTooLarge
        ",
    );
}

#[test]
fn what_is_deleted_is_deleted_also_while_it_is_pending() {
    check(
        "
        0  commit t/0=1                  | write t/0=1 ; t/0 ok
        0  begin 5:0                     | to confirm
        0  txn-commit 5:0 t/0=2 t/1=3 u/0=4  | write t/0=2 by 5:0 ; write t/1=3 by 5:0 ; write u/0=4 by 5:0 ; t/0 ok t/1 ok u/0 ok
        0  drop t/0 t/9                  | write t/0 gone ; t/0 ok t/9 ok
        0  fetch t/0 t/1                 | t/0=none t/1=none?
        0  topic-gone u                  | write u/0 gone ; ok
        0  list                          | g::Empty
        0  delete                        | write t/1 gone ; deleted
        0  list                          | no groups
        0  restart                       |
        0  end-commit 5:0                | write commit of 5:0 ; ended
        0  list                          | no groups
        ",
    );
}

#[test]
fn nothing_expires_while_a_transaction_is_undecided() {
    check(
        "
        set delay=0 retention=5000 sweep=1000
        0      join a old                | a: a.1 gen=1 range leader=a.1 [a.1]
        0      leave a.1                 | write g gen=2 empty ; left
        0      commit t/0=1 t/1=1        | write t/0=1 ; write t/1=1 ; t/0 ok t/1 ok
        0      begin 5:0                 | to confirm
        0      txn-commit 5:0 t/0=2      | write t/0=2 by 5:0 ; t/0 ok
        5000                             | write t/1 gone
        9000   fetch                     | t/0=1?
        9000   end-abort 5:0             | write abort of 5:0 ; ended
        10000                            | write t/0 gone ; write g gone
        ",
    );
}

#[test]
fn a_marker_has_kafkas_bytes() {
    let producer = Producer::new(5, 3);
    let end = |outcome| {
        GroupRecord::TxnEnd(TxnEnd {
            producer,
            outcome,
            coordinator_epoch: 7,
        })
    };
    let value = Some(Bytes::from_static(b"\0\0\0\0\0\x07"));
    for (outcome, key) in [
        (Outcome::Abort, b"\0\0\0\0"),
        (Outcome::Commit, b"\0\0\0\x01"),
    ] {
        let record = end(outcome);
        assert_eq!(record.encode(), (Bytes::from_static(key), value.clone()));
        let envelope = Envelope::Marker(producer);
        assert_eq!(record.envelope(), envelope);
        let read = GroupRecord::decode_in(envelope, key, value.as_deref());
        assert_eq!(read, Ok(Some(record)));
    }
    let envelope = Envelope::Marker(producer);
    let other = GroupRecord::decode_in(envelope, b"\0\0\0\x05", value.as_deref());
    assert_eq!(other, Ok(None));
    assert!(GroupRecord::decode_in(envelope, b"\0\0", None).is_err());
    assert!(GroupRecord::decode_in(envelope, b"\0\0\0\0", None).is_err());
}

/// One record of the model's log.
#[derive(Clone, Debug)]
enum Event {
    Commit(i32, i64),
    Forget(i32),
    Pending(Producer, i32, i64),
    End(Producer, Outcome),
}

impl Event {
    fn record(&self) -> GroupRecord {
        let (group, topic) = ("g".to_owned(), "t".to_owned());
        let committed = |offset| CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp_ms: 0,
            expire_timestamp_ms: None,
        };
        match *self {
            Self::Commit(partition, offset) => GroupRecord::Offset {
                group,
                topic,
                partition,
                value: Some(committed(offset)),
            },
            Self::Forget(partition) => GroupRecord::Offset {
                group,
                topic,
                partition,
                value: None,
            },
            Self::Pending(producer, partition, offset) => GroupRecord::TxnOffset(TxnOffset {
                producer,
                group,
                topic,
                partition,
                value: committed(offset),
            }),
            Self::End(producer, outcome) => GroupRecord::TxnEnd(TxnEnd {
                producer,
                outcome,
                coordinator_epoch: 0,
            }),
        }
    }
}

/// What the log says of a partition: the position, and whether a transaction is undecided.
fn model(log: &[Event], partition: i32) -> (Option<i64>, bool) {
    // Positions in the log of what counts and of what is pending, by producer.
    let mut counts: Option<(usize, i64)> = None;
    let mut pending: BTreeMap<i64, (usize, i64)> = BTreeMap::new();
    for (at, event) in log.iter().enumerate() {
        match *event {
            Event::Commit(of, offset) if of == partition => counts = Some((at, offset)),
            Event::Forget(of) if of == partition => {
                counts = None;
                pending.clear();
            }
            Event::Pending(producer, of, offset) if of == partition => {
                pending.insert(producer.id, (at, offset));
            }
            Event::End(producer, outcome) => {
                let ended = pending.remove(&producer.id);
                let ended = ended.filter(|_| outcome == Outcome::Commit);
                counts = counts.max(ended);
            }
            _ => {}
        }
    }
    (counts.map(|(_, offset)| offset), !pending.is_empty())
}

#[test]
fn any_mix_of_commits_and_transactions_is_what_the_log_says() {
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let settings = Arc::new(GroupSettings::default());
        let mut groups = Groups::new(Arc::clone(&settings));
        let (mut log, mut open) = (Vec::new(), BTreeSet::new());
        for step in 0..200 {
            let partition = rng.random_range(0..3);
            let event = match rng.random_range(0..10) {
                0..=2 => Event::Commit(partition, step),
                3 => Event::Forget(partition),
                4..=6 => {
                    let producer = Producer::new(rng.random_range(0..4), 0);
                    open.insert(producer);
                    Event::Pending(producer, partition, step)
                }
                7 | 8 => {
                    let Some(producer) = open.iter().copied().choose(&mut rng) else {
                        continue;
                    };
                    open.remove(&producer);
                    let outcome = [Outcome::Commit, Outcome::Abort][rng.random_range(0..2)];
                    Event::End(producer, outcome)
                }
                _ => {
                    // Continue in a machine that knows the checkpoint only.
                    let mut restored = Groups::new(Arc::clone(&settings));
                    let checkpoint = groups.durable().checkpoint();
                    checkpoint.iter().for_each(|record| restored.apply(record));
                    assert_eq!(restored.durable(), groups.durable(), "seed {seed}");
                    checkpoint.iter().for_each(|record| groups.apply(record));
                    assert_eq!(restored.durable(), groups.durable(), "seed {seed}");
                    groups = restored;
                    continue;
                }
            };
            groups.apply(&event.record());
            log.push(event);
            for partition in 0..3 {
                let committed = groups.durable().offset("g", "t", partition);
                let (offset, unstable) = model(&log, partition);
                assert_eq!(
                    committed.map(|value| value.offset),
                    offset,
                    "seed {seed}: {log:?}"
                );
                let seen = groups.durable().is_unstable("g", "t", partition);
                assert_eq!(seen, unstable, "seed {seed}: {log:?}");
            }
        }
    }
}
