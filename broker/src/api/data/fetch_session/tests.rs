//! Sessions by script: what a client asks for and what it is told.

use tidelog_protocol_ext::{ErrorCode, Rope, StrBytes};

use super::*;

fn key(topic: &'static str) -> TopicKey {
    TopicKey::Name(StrBytes::from_static_str(topic))
}

fn want(topic: &'static str, index: i32) -> Wanted {
    Wanted {
        topic: key(topic),
        index,
        fetch_offset: 0,
        max_bytes: 1,
        leader_epoch: -1,
        last_fetched_epoch: -1,
        seen: None,
    }
}

fn asked(session_id: i32, epoch: i32) -> Asked {
    Asked {
        session_id,
        epoch,
        by_ids: false,
    }
}

/// An answer with a high watermark, records and an error.
fn answer(
    wanted: &Wanted,
    high_watermark: i64,
    records: &'static [u8],
    error: ErrorCode,
) -> Answer {
    Answer {
        topic: wanted.topic.clone(),
        seen: None,
        response: FetchPartition {
            partition: wanted.index,
            error_code: error,
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset: 0,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: -1,
            records: Rope::from(bytes::Bytes::from_static(records)),
        },
    }
}

fn quiet(round: &Round) -> Vec<Answer> {
    let quiet = |wanted| answer(wanted, 5, b"", ErrorCode::None);
    round.wanted.iter().map(quiet).collect()
}

fn turns(round: &Round) -> Vec<i32> {
    round.wanted.iter().map(|wanted| wanted.index).collect()
}

/// A cache and its own ids, 1, 2, 3 …
struct Scene {
    sessions: FetchSessions,
    next_id: i32,
}

impl Scene {
    fn new(sessions_max: usize) -> Self {
        Self {
            sessions: FetchSessions::new(sessions_max),
            next_id: 0,
        }
    }

    fn close(
        &mut self,
        round: Round,
        answers: &mut Vec<Answer>,
        now_ms: i64,
    ) -> Result<i32, SessionError> {
        let next_id = &mut self.next_id;
        self.sessions.close(round, answers, now_ms, || {
            *next_id += 1;
            *next_id
        })
    }

    /// A session over `partitions` partitions of `t`, none of which has anything.
    fn begin(&mut self, partitions: i32, now_ms: i64) -> i32 {
        let wanted = (0..partitions).map(|index| want("t", index)).collect();
        let round = self
            .sessions
            .open(asked(0, 0), wanted, &[], now_ms)
            .unwrap();
        let mut answers = quiet(&round);
        let id = self.close(round, &mut answers, now_ms).unwrap();
        assert_eq!(
            answers.len(),
            partitions as usize,
            "a full round tells everything"
        );
        id
    }
}

#[test]
fn only_news_is_told_and_who_was_served_goes_last() {
    let mut scene = Scene::new(10);
    let id = scene.begin(4, 0);
    let round = scene
        .sessions
        .open(asked(id, 1), Vec::new(), &[], 0)
        .unwrap();
    assert_eq!(turns(&round), [0, 1, 2, 3]);
    let mut answers = quiet(&round);
    answers[0] = answer(&round.wanted[0], 6, b"records", ErrorCode::None);
    answers[1] = answer(
        &round.wanted[1],
        -1,
        b"",
        ErrorCode::UnknownTopicOrPartition,
    );
    answers[3] = answer(&round.wanted[3], 7, b"", ErrorCode::None);
    assert_eq!(scene.close(round, &mut answers, 0), Ok(id));
    let told: Vec<_> = answers.iter().map(|a| a.response.partition).collect();
    assert_eq!(told, [0, 1, 3]);

    // The error's end is news too; everything else is known.
    let round = scene
        .sessions
        .open(asked(id, 2), Vec::new(), &[], 0)
        .unwrap();
    assert_eq!(turns(&round), [1, 2, 3, 0]);
    let mut answers = quiet(&round);
    answers[2] = answer(&round.wanted[2], 7, b"", ErrorCode::None);
    answers[3] = answer(&round.wanted[3], 6, b"", ErrorCode::None);
    assert_eq!(scene.close(round, &mut answers, 0), Ok(id));
    let told: Vec<_> = answers.iter().map(|a| a.response.partition).collect();
    assert_eq!(told, [1]);
}

#[test]
fn partitions_come_change_and_go() {
    let scene = &mut Scene::new(10);
    let id = scene.begin(3, 0);
    let mut moved = want("t", 1);
    moved.fetch_offset = 9;
    let changes = vec![moved.clone(), want("t", 8)];
    let round = scene
        .sessions
        .open(asked(id, 1), changes, &[(key("t"), 0)], 0)
        .unwrap();
    assert_eq!(turns(&round), [1, 2, 8]);
    assert_eq!(round.wanted[0], moved);

    let all = [1, 2, 8].map(|index| (key("t"), index));
    let round = scene
        .sessions
        .open(asked(id, 2), Vec::new(), &all, 0)
        .unwrap();
    assert!(round.wanted.is_empty());
    assert_eq!(
        scene.close(round, &mut Vec::new(), 0),
        Ok(NO_SESSION),
        "an empty session ends"
    );
    assert!(scene.sessions.is_empty());
    assert_eq!(scene.sessions.cache.lock().partitions, 0);
}

#[test]
fn epochs_ids_and_kinds_of_key_must_fit() {
    let mut scene = Scene::new(10);
    let id = scene.begin(1, 0);
    let open = |asked: Asked| scene.sessions.open(asked, Vec::new(), &[], 0).map(|_| ());
    assert_eq!(open(asked(id + 1, 1)), Err(SessionError::Unknown));
    assert_eq!(open(asked(id, 2)), Err(SessionError::Epoch));
    let by_ids = Asked {
        by_ids: true,
        ..asked(id, 1)
    };
    assert_eq!(open(by_ids), Err(SessionError::KeyKind));
    assert_eq!(open(asked(id, 1)), Ok(()));
    assert_eq!(
        open(asked(id, 1)),
        Err(SessionError::Epoch),
        "that round is over"
    );
}

#[test]
fn a_round_that_was_overtaken_is_not_told() {
    let mut scene = Scene::new(10);
    let id = scene.begin(1, 0);
    let slow = scene
        .sessions
        .open(asked(id, 1), Vec::new(), &[], 0)
        .unwrap();
    scene
        .sessions
        .open(asked(id, 2), Vec::new(), &[], 0)
        .unwrap();
    let mut answers = quiet(&slow);
    assert_eq!(scene.close(slow, &mut answers, 0), Err(SessionError::Epoch));
}

#[test]
fn epochs_wrap_to_one() {
    let mut scene = Scene::new(10);
    let id = scene.begin(1, 0);
    scene
        .sessions
        .cache
        .lock()
        .sessions
        .get_mut(&id)
        .unwrap()
        .epoch = i32::MAX;
    scene
        .sessions
        .open(asked(id, i32::MAX), Vec::new(), &[], 0)
        .unwrap();
    assert!(
        scene
            .sessions
            .open(asked(id, 1), Vec::new(), &[], 0)
            .is_ok()
    );
}

#[test]
fn full_requests_end_the_session_they_name() {
    for epoch in [FINAL_EPOCH, INITIAL_EPOCH] {
        let mut scene = Scene::new(10);
        let id = scene.begin(1, 0);
        scene
            .sessions
            .open(asked(id, epoch), vec![want("t", 0)], &[], 0)
            .unwrap();
        assert!(scene.sessions.is_empty());
    }
}

#[test]
fn a_full_cache_makes_room_for_the_larger_and_of_the_idle() {
    let mut scene = Scene::new(2);
    let [small, large] = [2, 3].map(|partitions| scene.begin(partitions, 0));
    assert_eq!(scene.begin(9, SAFE_MS), NO_SESSION, "both are safe");
    for id in [small, large] {
        scene
            .sessions
            .open(asked(id, 1), Vec::new(), &[], SAFE_MS)
            .unwrap();
    }
    let later = SAFE_MS + 1;
    assert_eq!(scene.begin(2, later), NO_SESSION, "no smaller one");
    let third = scene.begin(3, later);
    assert_ne!(third, NO_SESSION);
    let gone = scene
        .sessions
        .open(asked(small, 2), Vec::new(), &[], later)
        .unwrap_err();
    assert_eq!(gone, SessionError::Unknown);

    scene
        .sessions
        .open(asked(large, 2), Vec::new(), &[], later + 1)
        .unwrap();
    assert_ne!(
        scene.begin(1, later + SAFE_MS + 1),
        NO_SESSION,
        "in place of the idle third"
    );
    assert!(
        scene
            .sessions
            .open(asked(third, 1), Vec::new(), &[], 0)
            .is_err()
    );
    assert!(
        scene
            .sessions
            .open(asked(large, 3), Vec::new(), &[], 0)
            .is_ok()
    );
}

#[test]
fn without_slots_everybody_is_refused() {
    assert_eq!(Scene::new(0).begin(1, 0), NO_SESSION);
}
