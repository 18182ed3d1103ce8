//! Server-side assignors: who is to have which partition, given who wants which topics.
//!
//! Promises of each: every partition of a topic somebody subscribes to is given to exactly one
//! subscriber, nobody gets what it did not subscribe to, and equal input gives equal output.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::assignment::Assignment;

/// The assignors members can wish for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Even numbers of partitions; whoever has a partition keeps it if balance allows.
    #[default]
    Uniform,
    /// Runs of consecutive partitions, the same runs for topics with equal numbers of partitions
    /// and subscribers.
    Range,
}

impl Assignor {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// The name clients use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// A share for every member, by member id.
    pub fn assign(self, wanted: &Wanted) -> BTreeMap<String, Assignment> {
        match self {
            Self::Uniform => uniform::assign(wanted),
            Self::Range => range::assign(wanted),
        }
    }
}

/// Who wants what.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub members: BTreeMap<String, Wish>,
    /// Partition counts of the topics that exist.
    pub partitions: BTreeMap<Uuid, i32>,
}

/// What one member wants, and has.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub instance_id: Option<String>,
    /// Subscribed to.
    pub topics: BTreeSet<Uuid>,
    /// Its share so far.
    pub has: Assignment,
}

impl Wanted {
    /// Subscribers of each topic that exists and is wanted, as positions among the members.
    fn subscribers(&self) -> BTreeMap<Uuid, Vec<usize>> {
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (at, wish) in self.members.values().enumerate() {
            for topic in wish.topics.iter().filter(|&id| self.count(*id) > 0) {
                subscribers.entry(*topic).or_default().push(at);
            }
        }
        subscribers
    }

    fn count(&self, topic: Uuid) -> i32 {
        self.partitions.get(&topic).copied().unwrap_or(0)
    }

    /// Member ids with their shares, which are in the order of the members.
    fn shares(&self, shares: Vec<Assignment>) -> BTreeMap<String, Assignment> {
        self.members.keys().cloned().zip(shares).collect()
    }
}
