//! Range: each topic's partitions are cut into runs, one for each subscriber; the first subscribers
//! get one more where it does not come out even.
//!
//! Static members come first, by instance id, so that they keep their runs when they come back
//! under another member id; then the others by member id.

use std::collections::BTreeMap;

use super::Wanted;
use crate::group::consumer::assignment::Assignment;

pub(super) fn assign(wanted: &Wanted) -> BTreeMap<String, Assignment> {
    let mut shares = vec![Assignment::default(); wanted.members.len()];
    let ranks = ranks(wanted);
    for (topic, mut subscribers) in wanted.subscribers() {
        subscribers.sort_unstable_by_key(|&at| ranks[at]);
        let mut partitions = 0..wanted.count(topic);
        let (each, extra) = (
            partitions.len() / subscribers.len(),
            partitions.len() % subscribers.len(),
        );
        for (rank, at) in subscribers.into_iter().enumerate() {
            let run = partitions.by_ref().take(each + usize::from(rank < extra));
            shares[at].extend(run.map(|partition| (topic, partition)));
        }
    }
    wanted.shares(shares)
}

/// The place of each member in the order of runs.
fn ranks(wanted: &Wanted) -> Vec<usize> {
    let mut order: Vec<_> = wanted.members.iter().enumerate().collect();
    order.sort_by_key(|(_, (id, wish))| (wish.instance_id.is_none(), &wish.instance_id, *id));
    let mut ranks = vec![0; order.len()];
    for (rank, (at, _)) in order.into_iter().enumerate() {
        ranks[at] = rank;
    }
    ranks
}
