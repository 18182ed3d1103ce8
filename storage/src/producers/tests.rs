//! The rules of producers, one table or short life each.

use super::*;

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const WAIVED: Terms = Terms {
    verification: Verification::Waived,
    transactions_v2: false,
};

fn batch(epoch: i16, first: i32, count: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: offset,
        batch_length: 0,
        partition_leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 0,
        max_timestamp: 5,
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence: first,
        record_count: count,
    }
}

fn transactional(epoch: i16, first: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        attributes: TRANSACTIONAL,
        ..batch(epoch, first, 1, offset)
    }
}

fn of(producer_id: i64, header: BatchHeader) -> BatchHeader {
    BatchHeader {
        producer_id,
        ..header
    }
}

fn marker(epoch: i16, offset: i64, outcome: Outcome, coordinator_epoch: i32) -> Entry {
    Entry {
        header: BatchHeader {
            attributes: TRANSACTIONAL | CONTROL,
            ..batch(epoch, -1, 1, offset)
        },
        marker: Some(TxnMarker {
            outcome,
            coordinator_epoch,
        }),
    }
}

fn data(header: BatchHeader) -> Entry {
    Entry {
        header,
        marker: None,
    }
}

fn after(applied: &[Entry]) -> Producers {
    let mut producers = Producers::default();
    for entry in applied {
        producers.apply(entry, 0);
    }
    producers
}

fn after_data(applied: &[BatchHeader]) -> Producers {
    after(&applied.iter().copied().map(data).collect::<Vec<_>>())
}

fn out_of_order(expected: i32, got: i32) -> Result<Sequence, ProducerError> {
    Err(SequenceError::OutOfOrder { expected, got }.into())
}

fn stale(current: i16, got: i16) -> ProducerError {
    SequenceError::StaleEpoch { current, got }.into()
}

#[test]
fn the_window_holds_five_batches() {
    let sent: Vec<_> = (0..6)
        .map(|i| batch(0, i * 10, 10, i64::from(i) * 10))
        .collect();
    let producers = after_data(&sent);
    for resent in &sent[1..] {
        let Ok(Sequence::Duplicate(span)) = producers.check(resent, Terms::default()) else {
            panic!()
        };
        assert_eq!(span.base_offset, resent.base_offset);
    }
    let forgotten = producers.check(&sent[0], Terms::default());
    assert_eq!(forgotten, out_of_order(60, 0));
}

#[test]
fn sequences_follow_and_wrap() {
    let producers = after_data(&[batch(0, i32::MAX - 1, 2, 0)]);
    let next = producers.check(&batch(0, 0, 1, 2), Terms::default());
    assert_eq!(next, Ok(Sequence::Next));
    let gap = producers.check(&batch(0, 5, 1, 2), Terms::default());
    assert_eq!(gap, out_of_order(0, 5));
}

#[test]
fn epochs_only_rise_and_start_at_zero() {
    let producers = after_data(&[batch(3, 0, 1, 0)]);
    let check = |epoch, first| producers.check(&batch(epoch, first, 1, 1), Terms::default());
    assert_eq!(check(2, 1), Err(stale(3, 2)));
    assert_eq!(check(4, 0), Ok(Sequence::Next));
    assert_eq!(check(4, 1), out_of_order(0, 1));
}

#[test]
fn a_stranger_may_start_anywhere_and_the_idle_become_strangers() {
    let mut producers = after_data(&[batch(0, 0, 1, 0)]);
    producers.expire(1_000, 999);
    let anywhere = batch(0, 77, 1, 1);
    assert_eq!(
        producers.check(&anywhere, Terms::default()),
        Ok(Sequence::Next)
    );
    let strict = Terms {
        transactions_v2: true,
        ..Terms::default()
    };
    assert_eq!(producers.check(&anywhere, strict), out_of_order(0, 77));
}

#[test]
fn who_has_a_transaction_open_is_never_forgotten() {
    let mut producers = after_data(&[transactional(0, 0, 0), of(8, batch(0, 0, 1, 1))]);
    producers.expire(i64::MAX, 0);
    let left: Vec<_> = producers.iter().map(|(id, _)| id).collect();
    assert_eq!(left, [7]);
    producers.apply(&marker(0, 2, Outcome::Commit, 1), 0);
    producers.expire(i64::MAX, 0);
    assert_eq!(producers.iter().count(), 0);
}

#[test]
fn a_flood_of_producers_forgets_the_most_silent() {
    let mut producers = after_data(&[transactional(0, 0, 0)]);
    let count = PRODUCERS_MAX as i64 + 10;
    for i in 1..count {
        producers.apply(&data(of(1_000 + i, batch(0, 0, 1, i))), i);
    }
    let left = producers.iter().count();
    assert!(
        (PRODUCERS_MAX / 2..=PRODUCERS_MAX + 1).contains(&left),
        "{left}"
    );
    let seen = |id| producers.get(id).is_some();
    assert!(seen(7) && seen(1_000 + count - 1) && !seen(1_001));
}

#[test]
fn a_transaction_opens_only_with_the_coordinators_word() {
    let producers = after_data(&[batch(0, 0, 1, 0)]);
    let first = transactional(0, 1, 1);
    let not_open = TransactionError::NotOpen { producer_id: 7 };
    let check = |producers: &Producers, verification| {
        let terms = Terms {
            verification,
            ..Terms::default()
        };
        producers.check(&first, terms)
    };
    assert_eq!(check(&producers, Verification::None), Err(not_open.into()));
    assert_eq!(check(&producers, Verification::Waived), Ok(Sequence::Next));
    let since = Verification::Since(producers.guard(0));
    assert_eq!(check(&producers, since), Ok(Sequence::Next));

    let mut ended = producers.clone();
    ended.apply(&marker(0, 1, Outcome::Abort, 1), 0);
    assert_eq!(check(&ended, since), Err(not_open.into()));
    let since = Verification::Since(ended.guard(0));
    assert_eq!(check(&ended, since), Ok(Sequence::Next));
    let terms = Terms {
        verification: since,
        ..Terms::default()
    };
    assert_eq!(terms.under(0), terms);
    assert_eq!(terms.under(1), Terms::default(), "offsets were given anew");
}

#[test]
fn an_open_transaction_goes_on_in_its_epoch_and_excludes_other_batches() {
    let producers = after_data(&[transactional(1, 0, 0)]);
    let check = |batch: BatchHeader| producers.check(&batch, Terms::default());
    assert_eq!(check(transactional(1, 1, 1)), Ok(Sequence::Next));
    let outside = TransactionError::Outside { producer_id: 7 };
    assert_eq!(check(batch(1, 1, 1, 1)), Err(outside.into()));
    assert_eq!(check(transactional(0, 1, 1)), Err(stale(1, 0)));
    let not_open = TransactionError::NotOpen { producer_id: 7 };
    assert_eq!(check(transactional(2, 0, 1)), Err(not_open.into()));
    // A coordinator's batch has no sequence.
    assert_eq!(check(transactional(1, -1, 1)), Ok(Sequence::Next));
}

#[test]
fn markers_fence_older_epochs_of_producers_and_of_coordinators() {
    let open = after(&[
        data(transactional(4, 0, 0)),
        marker(4, 1, Outcome::Commit, 9),
        data(transactional(4, 1, 2)),
    ]);
    let ended = {
        let mut ended = open.clone();
        ended.apply(&marker(5, 3, Outcome::Abort, 9), 0);
        ended
    };
    let fenced = TransactionError::CoordinatorFenced { current: 9, got: 8 };
    for (producers, epoch, coordinator, rule, expected) in [
        (&open, 3, 9, MarkerRule::AtLeast, Err(stale(4, 3))),
        (&open, 4, 9, MarkerRule::AtLeast, Ok(())),
        (&open, 5, 10, MarkerRule::AtLeast, Ok(())),
        (&open, 4, 8, MarkerRule::AtLeast, Err(fenced.into())),
        (&open, 4, 9, MarkerRule::Above, Err(stale(4, 4))),
        (&open, 5, 9, MarkerRule::Above, Ok(())),
        (&open, 5, 8, MarkerRule::Above, Err(fenced.into())),
        // A repetition, as after a coordinator's restart.
        (&ended, 5, 9, MarkerRule::Above, Ok(())),
        (&ended, 5, 9, MarkerRule::AtLeast, Ok(())),
        (&ended, 4, 9, MarkerRule::Above, Err(stale(5, 4))),
    ] {
        let Entry { header, marker } = marker(epoch, 9, Outcome::Abort, coordinator);
        let judged = producers.check_marker(&header, marker.unwrap(), rule);
        assert_eq!(judged, expected, "{epoch} {coordinator} {rule:?}");
    }
    // The marker raised the epoch: the old one is fenced, the new one begins at 0.
    let check = |batch: BatchHeader| ended.check(&batch, WAIVED);
    assert_eq!(check(transactional(4, 2, 4)), Err(stale(5, 4)));
    assert_eq!(check(transactional(5, 2, 4)), out_of_order(0, 2));
    assert_eq!(check(transactional(5, 0, 4)), Ok(Sequence::Next));
}

#[test]
fn the_end_of_a_transaction_tells_what_is_stable_then() {
    let mut producers = after_data(&[transactional(0, 0, 3), of(8, transactional(0, 0, 5))]);
    assert_eq!(producers.first_open(), Some(3));
    let ended = producers.apply(&marker(0, 7, Outcome::Abort, 1), 0);
    let expected = Ended {
        producer_id: 7,
        first_offset: 3,
        last_offset: 7,
        outcome: Outcome::Abort,
        last_stable_offset: 5,
    };
    assert_eq!(ended, Some(expected));
    assert_eq!(producers.apply(&marker(0, 8, Outcome::Abort, 1), 0), None);
    let other = marker(0, 9, Outcome::Commit, 1);
    let other = Entry {
        header: of(8, other.header),
        ..other
    };
    let ended = producers.apply(&other, 0).unwrap();
    assert_eq!((ended.first_offset, ended.last_stable_offset), (5, 10));
    assert_eq!(producers.first_open(), None);
}

#[test]
fn a_manifest_carries_all_but_the_guards_memory() {
    let producers = after(&[
        data(transactional(0, 0, 0)),
        marker(1, 1, Outcome::Commit, 4),
        data(of(8, transactional(2, 0, 2))),
        data(of(9, batch(0, 5, 2, 3))),
    ]);
    let open = producers.open_transactions();
    let restored = Producers::restore(&producers.snapshot(), &open, 5);
    assert_eq!(restored.snapshot(), producers.snapshot());
    assert_eq!(restored.open_transactions(), open);
    assert_eq!(restored.first_open(), Some(2));
    assert_eq!(restored.get(7).unwrap().coordinator_epoch, Some(4));
    // What the state holds already changes nothing when it is replayed.
    let mut replayed = restored.clone();
    replayed.apply(&data(of(9, batch(0, 5, 2, 3))), 99);
    assert_eq!(replayed, restored);
}
