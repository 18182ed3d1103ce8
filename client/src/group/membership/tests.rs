//! What a member says, step by step; then members of a coordinator that forgets them, with answers
//! that get lost: nobody ever uses what is another's, and in the end everything is used.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const TOPIC: Uuid = Uuid::from_u128(1);
const INTERVAL: Duration = Duration::from_secs(5);
const MAX_POLL: Duration = Duration::from_secs(60);

fn partitions(of: impl IntoIterator<Item = i32>) -> Partitions {
    of.into_iter().map(|index| (TOPIC, index)).collect()
}

/// A member and the time.
struct Stage {
    member: Membership,
    now: Instant,
    reader: Reader,
}

impl Stage {
    fn new(is_static: bool) -> Self {
        let now = Instant::now();
        let member = Membership::new(Config::default(), is_static, MAX_POLL, now);
        let reader = Reader {
            tenure: 1,
            owned: Partitions::new(),
            polled: now,
        };
        Self {
            member,
            now,
            reader,
        }
    }

    /// One that has joined and owns what it was given.
    fn inside(given: impl IntoIterator<Item = i32>) -> Self {
        let mut stage = Self::new(false);
        let beat = stage.says();
        stage.told(beat, 1, Some(partitions(given)));
        let beat = stage.says();
        stage.told(beat, 1, None);
        stage.owns(stage.member.standing().target);
        stage
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn owns(&mut self, owned: Partitions) {
        self.reader.tenure = self.member.standing().tenure;
        self.reader.owned = owned;
        self.heed();
    }

    fn poll(&mut self) {
        self.reader.polled = self.now;
        self.heed();
    }

    fn heed(&mut self) {
        self.member.heed(&self.reader);
    }

    #[track_caller]
    fn says(&mut self) -> Beat {
        match self.member.decide(self.now) {
            Act::Say(beat) => beat,
            act => panic!("{act:?}"),
        }
    }

    /// For how long nothing is to be said.
    #[track_caller]
    fn waits(&mut self) -> Duration {
        match self.member.decide(self.now) {
            Act::Wait(until) => until - self.now,
            act => panic!("{act:?}"),
        }
    }

    fn told(&mut self, beat: Beat, epoch: i32, assigned: Option<Partitions>) {
        let heard = Heard::Told {
            epoch,
            interval: INTERVAL,
            assigned,
        };
        self.member.hear(self.now, beat, heard);
    }

    fn refused(&mut self, beat: Beat, code: ErrorCode) {
        self.member.hear(self.now, beat, Heard::Refused(Some(code)));
    }
}

fn beat(epoch: i32, is_full: bool, owned: Option<Partitions>) -> Beat {
    Beat {
        epoch,
        is_full,
        owned,
    }
}

#[test]
fn a_member_says_what_changed_at_once_and_else_that_it_is_there() {
    let mut stage = Stage::new(false);
    let joins = stage.says();
    assert_eq!(joins, beat(0, true, Some(partitions([]))));
    stage.told(joins, 3, Some(partitions([0, 1])));
    let standing = stage.member.standing();
    assert_eq!((standing.tenure, standing.epoch), (1, 3));
    assert_eq!(standing.target, partitions([0, 1]));
    // The reader may take them from now on.
    let news = stage.says();
    assert_eq!(news, beat(3, false, Some(partitions([0, 1]))));
    stage.told(news, 3, None);
    assert_eq!(stage.waits(), INTERVAL);
    stage.owns(partitions([0, 1]));
    assert_eq!(stage.waits(), INTERVAL);
    stage.pass(INTERVAL);
    let quiet = stage.says();
    assert_eq!(quiet, beat(3, false, None));

    // What is taken away stays owned until the reader gave it up.
    stage.told(quiet, 3, Some(partitions([1])));
    assert_eq!(stage.member.standing().target, partitions([1]));
    assert_eq!(stage.waits(), INTERVAL);
    stage.owns(partitions([1]));
    assert_eq!(stage.says(), beat(3, false, Some(partitions([1]))));
}

#[test]
fn what_may_not_have_been_heard_is_said_again_after_longer_and_longer() {
    let config = Config::default();
    let mut stage = Stage::inside([0]);
    stage.pass(INTERVAL);
    for failures in 1..8 {
        let beat = stage.says();
        match failures % 2 {
            0 => stage.refused(beat, ErrorCode::CoordinatorLoadInProgress),
            _ => {
                let nothing = Heard::Nothing { is_transient: true };
                stage.member.hear(stage.now, beat, nothing);
            }
        }
        let pause = config.backoff_after(failures);
        assert_eq!(stage.waits(), pause);
        // Not even for news.
        stage.owns(partitions([failures as i32]));
        assert_eq!(stage.waits(), pause);
        stage.pass(pause);
        stage.poll();
    }
    assert_eq!(stage.says(), beat(1, true, Some(partitions([0, 7]))));
}

#[test]
fn a_fenced_member_has_lost_everything_and_joins_again() {
    for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut stage = Stage::inside([0, 1]);
        stage.pass(INTERVAL);
        let beat = stage.says();
        stage.refused(beat, code);
        let standing = stage.member.standing();
        assert_eq!((standing.tenure, standing.epoch), (2, 0));
        assert!(standing.target.is_empty());
        // The reader has yet to hear of it.
        stage.heed();
        let joins = stage.says();
        assert_eq!(
            (joins.epoch, joins.owned.clone()),
            (0, Some(partitions([])))
        );
        stage.told(joins, 9, Some(partitions([5])));
        stage.heed();
        let claims = stage.says();
        assert_eq!(claims.owned, Some(partitions([5])), "nothing of before");
    }
    let mut stage = Stage::new(false);
    let joins = stage.says();
    stage.refused(joins, ErrorCode::UnknownMemberId);
    assert!(stage.waits() > Duration::ZERO, "it does not insist");
}

#[test]
fn a_member_that_nobody_asks_leaves_until_somebody_does() {
    let mut stage = Stage::inside([0]);
    stage.pass(MAX_POLL);
    let leaves = stage.says();
    assert_eq!(leaves, beat(-1, false, None));
    assert_eq!(stage.member.standing().tenure, 2);
    stage.told(leaves, -1, None);
    stage.heed();
    assert_eq!(stage.waits(), LONG);
    stage.pass(Duration::from_secs(1));
    stage.poll();
    assert_eq!(stage.says().epoch, 0);

    // Asked while it is about to leave: it comes back once it has left.
    let mut stage = Stage::inside([0]);
    stage.pass(MAX_POLL);
    let leaves = stage.says();
    stage.pass(Duration::from_secs(1));
    stage.poll();
    stage.refused(leaves, ErrorCode::UnknownMemberId);
    stage.heed();
    assert_eq!(stage.says().epoch, 0);
}

#[test]
fn a_member_leaves_for_good_once_whatever_is_answered() {
    for (is_static, epoch) in [(false, -1), (true, -2)] {
        let mut stage = Stage::new(is_static);
        let joins = stage.says();
        stage.told(joins, 1, Some(partitions([])));
        stage.member.leave();
        let leaves = stage.says();
        assert_eq!(leaves, beat(epoch, false, None));
        let nothing = Heard::Nothing { is_transient: true };
        stage.member.hear(stage.now, leaves, nothing);
        assert_eq!(stage.member.decide(stage.now), Act::End);
    }
}

#[test]
fn some_refusals_are_final() {
    use ErrorCode::{FencedInstanceId, GroupMaxSizeReached, InvalidRequest, UnreleasedInstanceId};
    let refusals = [
        FencedInstanceId,
        GroupMaxSizeReached,
        InvalidRequest,
        UnreleasedInstanceId,
    ];
    let refusals = refusals.map(|code| Heard::Refused(Some(code)));
    let others = [
        Heard::Refused(None),
        Heard::Nothing {
            is_transient: false,
        },
    ];
    for heard in refusals.into_iter().chain(others) {
        let mut stage = Stage::inside([0]);
        stage.pass(INTERVAL);
        let beat = stage.says();
        assert!(heard.is_final());
        stage.member.hear(stage.now, beat, heard);
        assert_eq!(stage.member.decide(stage.now), Act::End);
        assert_eq!(stage.member.standing().tenure, 2, "nothing of it is owned");
    }
}

/// A coordinator as far as KIP-848 binds it: partitions go in turn to members by name, and to the
/// next owner only when the last has said that it has them no more.
#[derive(Default)]
struct Model {
    epoch: i32,
    joins: u64,
    members: BTreeMap<usize, Known>,
}

#[derive(Default, Clone)]
struct Known {
    /// Which of all joins it came by.
    join: u64,
    epoch: i32,
    assigned: Partitions,
    /// Taken away, and not known to be given up.
    pending: Partitions,
}

const COUNT: i32 = 6;

impl Model {
    fn target(&self, id: usize) -> Partitions {
        let place = self.members.keys().position(|member| *member == id);
        let (Some(place), members) = (place, self.members.len()) else {
            return Partitions::new();
        };
        partitions((0..COUNT).filter(|index| *index as usize % members == place))
    }

    fn forget(&mut self, id: usize) {
        self.epoch += i32::from(self.members.remove(&id).is_some());
    }

    fn hear(&mut self, id: usize, beat: &Beat) -> Heard {
        match beat.epoch {
            ..0 => {
                self.forget(id);
                return self.told(beat.epoch, None);
            }
            0 => {
                assert!(beat.is_full && beat.owned.as_ref().is_some_and(Partitions::is_empty));
                self.epoch += 1;
                self.joins += 1;
                let join = self.joins;
                self.members.insert(
                    id,
                    Known {
                        join,
                        ..Known::default()
                    },
                );
            }
            _ => {}
        }
        let (target, group_epoch) = (self.target(id), self.epoch);
        let others = self.members.iter().filter(|(other, _)| **other != id);
        let held: Partitions = others.flat_map(|(_, known)| known.held()).collect();
        let Some(known) = self.members.get_mut(&id) else {
            return Heard::Refused(Some(ErrorCode::UnknownMemberId));
        };
        // It may not have heard of its newest epoch.
        if beat.epoch > known.epoch {
            return Heard::Refused(Some(ErrorCode::FencedMemberEpoch));
        }
        let before = known.assigned.clone();
        if let Some(owned) = &beat.owned {
            known.pending = &known.pending & owned;
        }
        known.pending.extend(&known.assigned - &target);
        known.assigned = &known.assigned & &target;
        if known.pending.is_empty() {
            known.epoch = group_epoch;
            known.assigned.extend(&target - &held);
        }
        let is_told = beat.is_full || known.assigned != before;
        let (epoch, assigned) = (known.epoch, is_told.then(|| known.assigned.clone()));
        self.told(epoch, assigned)
    }

    fn told(&self, epoch: i32, assigned: Option<Partitions>) -> Heard {
        Heard::Told {
            epoch,
            interval: INTERVAL,
            assigned,
        }
    }
}

impl Known {
    fn held(&self) -> Partitions {
        &self.assigned | &self.pending
    }
}

/// A member with its reader, which takes one step at a time.
struct Player {
    stage: Stage,
    /// The join that its tenure rests on, once it heard of it.
    join: Option<u64>,
}

impl Player {
    fn read(&mut self, now: Instant) {
        let standing = self.stage.member.standing();
        let reader = &mut self.stage.reader;
        if reader.tenure != standing.tenure {
            reader.owned.clear();
            reader.tenure = standing.tenure;
        }
        let kept = &reader.owned & &standing.target;
        reader.owned = match kept == reader.owned {
            false => kept,
            true => standing.target,
        };
        reader.polled = now;
    }

    fn speak(&mut self, id: usize, model: &mut Model, fault: u32) {
        self.stage.heed();
        let Act::Say(beat) = self.stage.member.decide(self.stage.now) else {
            return;
        };
        let nothing = Heard::Nothing { is_transient: true };
        let heard = match fault {
            0 => nothing,
            1 => Heard::Refused(Some(ErrorCode::NotCoordinator)),
            // It was heard, and the answer got lost.
            2 => {
                model.hear(id, &beat);
                nothing
            }
            _ => model.hear(id, &beat),
        };
        if let (0, Heard::Told { .. }) = (beat.epoch, &heard) {
            self.join = Some(model.joins);
        }
        if beat.epoch < 0 {
            self.join = None;
        }
        self.stage.member.hear(self.stage.now, beat, heard);
    }

    /// What it uses is what its coordinator keeps for it, as long as it is known there.
    fn check(&self, id: usize, model: &Model, seed: u64) {
        let is_of_now = self.stage.reader.tenure == self.stage.member.standing().tenure;
        if let Some(known) = model.members.get(&id)
            && is_of_now
            && self.join == Some(known.join)
        {
            let owned = &self.stage.reader.owned;
            assert!(
                owned.is_subset(&known.held()),
                "seed {seed}, member {id}: {owned:?}"
            );
        }
    }
}

#[test]
fn nobody_uses_what_is_anothers_and_everything_is_used_in_the_end() {
    for seed in 0..100 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut model = Model::default();
        let new = || Player {
            stage: Stage::new(false),
            join: None,
        };
        let mut players: Vec<_> = (0..3).map(|_| new()).collect();
        let mut now = Instant::now() + Duration::from_secs(1);
        for step in 0..800 {
            now += Duration::from_millis(rng.random_range(0..3_000));
            let has_faults = step < 600;
            let id = rng.random_range(0..players.len());
            let fault = if has_faults {
                rng.random_range(0..12)
            } else {
                12
            };
            let player = &mut players[id];
            player.stage.now = now;
            match rng.random_range(0..40) {
                0 if has_faults => model.forget(id),
                1..15 => player.read(now),
                _ => player.speak(id, &mut model, fault),
            }
            player.check(id, &model, seed);
        }
        for _ in 0..40 {
            now += INTERVAL;
            for (id, player) in players.iter_mut().enumerate() {
                player.stage.now = now;
                player.read(now);
                player.speak(id, &mut model, 12);
                player.check(id, &model, seed);
            }
        }
        let used: Vec<_> = players
            .iter()
            .flat_map(|player| &player.stage.reader.owned)
            .collect();
        assert_eq!(used.len(), COUNT as usize, "seed {seed}: {used:?}");
        let distinct: Partitions = used.into_iter().copied().collect();
        assert_eq!(distinct, partitions(0..COUNT), "seed {seed}");
    }
}
