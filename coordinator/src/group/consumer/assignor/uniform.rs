//! Uniform: as even as the subscriptions allow, with as few moves as that takes.
//!
//! 1. Everybody keeps what it has, as far as that still exists and is wanted. Where all members want
//!    the same topics, nobody keeps more than its even share; the larger shares go to those who
//!    have most.
//! 2. Partitions without an owner go to the least loaded subscriber, the topics with the fewest
//!    subscribers first: they have the least choice.
//! 3. While a member has at least two partitions more than another subscriber of a topic it has a
//!    partition of, that partition moves. Each move makes the sum of squared loads smaller, so
//!    this ends.
//!
//! In the end no single move makes the loads more even; where all members want the same topics,
//! the loads differ by at most one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use uuid::Uuid;

use super::Wanted;
use crate::group::consumer::assignment::Assignment;

/// Rounds over all topics; real groups need two or three. Bounds the time of odd ones, which are
/// left a little uneven.
const ROUNDS_MAX: usize = 16;

pub(super) fn assign(wanted: &Wanted) -> BTreeMap<String, Assignment> {
    let subscribers = wanted.subscribers();
    let mut shares = Shares::kept(wanted);
    if subscribers
        .values()
        .all(|all| all.len() == wanted.members.len())
    {
        shares.trim(subscribers.keys().map(|&topic| wanted.count(topic)).sum());
    }
    let mut topics: Vec<_> = subscribers.iter().collect();
    topics.sort_by_key(|(topic, subscribers)| (subscribers.len(), **topic));
    for (topic, subscribers) in topics {
        shares.hand_out(*topic, wanted.count(*topic), subscribers);
    }
    for _ in 0..ROUNDS_MAX {
        let mut moves = 0;
        for (topic, subscribers) in &subscribers {
            moves += shares.level(*topic, subscribers);
        }
        if moves == 0 {
            break;
        }
    }
    wanted.shares(shares.by_member)
}

/// Shares in the order of the members, and how many partitions each has.
struct Shares {
    by_member: Vec<Assignment>,
    loads: Vec<usize>,
    taken: Assignment,
}

impl Shares {
    /// What members have and may keep. If two claim a partition the first keeps it.
    fn kept(wanted: &Wanted) -> Self {
        let mut taken = Assignment::default();
        let mut by_member = Vec::with_capacity(wanted.members.len());
        for wish in wanted.members.values() {
            let may_keep = |topic: Uuid, partition: i32| {
                wish.topics.contains(&topic) && (0..wanted.count(topic)).contains(&partition)
            };
            let kept = wish.has.filtered(may_keep).without(&taken);
            taken.extend(kept.iter());
            by_member.push(kept);
        }
        let loads = by_member.iter().map(Assignment::len).collect();
        Self {
            by_member,
            loads,
            taken,
        }
    }

    /// Frees what members have beyond an even share of `partitions` partitions.
    fn trim(&mut self, partitions: i32) {
        let (total, members) = (usize::try_from(partitions).unwrap_or(0), self.loads.len());
        let (quota, extra) = (total / members.max(1), total % members.max(1));
        let mut order: Vec<usize> = (0..members).collect();
        order.sort_by_key(|&at| Reverse(self.loads[at]));
        for (rank, at) in order.into_iter().enumerate() {
            let keeps = quota + usize::from(rank < extra);
            let surplus: Vec<_> = self.by_member[at].iter().skip(keeps).collect();
            for (topic, partition) in surplus {
                self.by_member[at].remove(topic, partition);
                self.taken.remove(topic, partition);
                self.loads[at] -= 1;
            }
        }
    }

    fn give(&mut self, to: usize, topic: Uuid, partition: i32) {
        self.by_member[to].insert(topic, partition);
        self.loads[to] += 1;
    }

    fn hand_out(&mut self, topic: Uuid, partitions: i32, subscribers: &[usize]) {
        let free: Vec<i32> = (0..partitions)
            .filter(|&partition| !self.taken.contains(topic, partition))
            .collect();
        if free.is_empty() {
            return;
        }
        let loads = subscribers.iter().map(|&at| Reverse((self.loads[at], at)));
        let mut least: BinaryHeap<_> = loads.collect();
        for partition in free {
            let Some(Reverse((load, at))) = least.pop() else {
                return;
            };
            self.give(at, topic, partition);
            least.push(Reverse((load + 1, at)));
        }
    }

    /// Moves partitions of one topic from those who have most to those who have least; how many.
    fn level(&mut self, topic: Uuid, subscribers: &[usize]) -> usize {
        let loads = subscribers.iter().map(|&at| (self.loads[at], at));
        let mut receivers: BTreeSet<(usize, usize)> = loads.collect();
        let mut givers: BTreeSet<(usize, usize)> = receivers
            .iter()
            .copied()
            .filter(|&(_, at)| self.last_of(at, topic).is_some())
            .collect();
        let mut moves = 0;
        while let (Some(&(most, giver)), Some(&(least, receiver))) =
            (givers.last(), receivers.first())
            && most >= least + 2
        {
            givers.remove(&(most, giver));
            let Some(partition) = self.last_of(giver, topic) else {
                continue;
            };
            self.by_member[giver].remove(topic, partition);
            self.loads[giver] -= 1;
            self.give(receiver, topic, partition);
            receivers.remove(&(most, giver));
            receivers.insert((most - 1, giver));
            receivers.remove(&(least, receiver));
            receivers.insert((least + 1, receiver));
            if self.last_of(giver, topic).is_some() {
                givers.insert((most - 1, giver));
            }
            givers.remove(&(least, receiver));
            givers.insert((least + 1, receiver));
            moves += 1;
        }
        moves
    }

    /// The partition of a topic that a member would give away.
    fn last_of(&self, at: usize, topic: Uuid) -> Option<i32> {
        self.by_member[at].last_of(topic)
    }
}
