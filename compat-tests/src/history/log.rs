//! What readers say: each partition's log as the union of what they saw, and each reader's way through it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::anomaly::{Anomaly, Place};
use super::{Event, History, Isolation};

pub(super) type Partition<'a> = (&'a str, u32);

/// What is at an offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered<'a> {
    pub(super) value: &'a str,
    /// Who saw it first, in the order of the history.
    pub(super) reader: &'a str,
    /// Somebody who reads only what is committed saw it.
    pub(super) committed: bool,
}

/// One reader in one partition.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) isolation: Isolation,
    /// (offset, value, time of the poll), in the order given.
    pub(super) steps: Vec<(u64, &'a str, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Log<'a> {
    pub(super) partitions: BTreeMap<Partition<'a>, BTreeMap<u64, Entered<'a>>>,
    pub(super) ways: BTreeMap<(&'a str, Partition<'a>), Way<'a>>,
    /// What each reader reads of which topic; also of partitions it never got anything of.
    readers: HashMap<(&'a str, &'a str), Isolation>,
}

impl<'a> Log<'a> {
    pub(super) fn of(history: &'a History, found: &mut Vec<Anomaly>) -> Self {
        let mut log = Self::default();
        for event in &history.events {
            if let Event::Poll {
                at,
                reader,
                isolation,
                topic,
                records,
            } = event
            {
                log.readers.insert((reader, topic), *isolation);
                for (partition, offset, value) in records {
                    log.step(
                        (reader, *isolation),
                        (topic, *partition),
                        (*offset, value, *at),
                        found,
                    );
                }
            }
        }
        log
    }

    fn step(
        &mut self,
        (reader, isolation): (&'a str, Isolation),
        partition: Partition<'a>,
        (offset, value, at): (u64, &'a str, u64),
        found: &mut Vec<Anomaly>,
    ) {
        let committed = isolation == Isolation::Committed;
        match self.partitions.entry(partition).or_default().entry(offset) {
            Entry::Vacant(place) => {
                place.insert(Entered {
                    value,
                    reader,
                    committed,
                });
            }
            Entry::Occupied(mut entered) => {
                let known = entered.get_mut();
                known.committed |= committed;
                if known.value != value {
                    found.push(Anomaly::Changed {
                        place: place(partition, offset),
                        first: known.reader.to_owned(),
                        one: known.value.to_owned(),
                        second: reader.to_owned(),
                        other: value.to_owned(),
                    });
                }
            }
        }
        let way = self.ways.entry((reader, partition)).or_insert_with(|| Way {
            isolation,
            steps: Vec::new(),
        });
        if let Some(&(after, ..)) = way.steps.last()
            && after >= offset
        {
            found.push(Anomaly::WentBack {
                reader: reader.to_owned(),
                place: place(partition, offset),
                after,
            });
        }
        way.steps.push((offset, value, at));
    }

    /// The records somebody who reads what is committed can read.
    pub(super) fn committed(&self, topic: &str) -> impl Iterator<Item = (Place, &Entered<'a>)> {
        let partitions = self
            .partitions
            .iter()
            .filter(move |((of, _), _)| *of == topic);
        partitions.flat_map(|(&partition, log)| {
            let committed = log.iter().filter(|(_, entered)| entered.committed);
            committed.map(move |(&offset, entered)| (place(partition, offset), entered))
        })
    }

    /// Readers begin at the start and leave nothing out; `complete` ones also get to the end.
    pub(super) fn compare_ways(&self, complete: &[&str], found: &mut Vec<Anomaly>) {
        for (&partition, log) in &self.partitions {
            let readers = self
                .readers
                .iter()
                .filter(|((_, topic), _)| *topic == partition.0);
            for (&(reader, _), &isolation) in readers {
                let visible = log.iter().filter(|(_, entered)| {
                    entered.committed || isolation == Isolation::Uncommitted
                });
                let way = self.ways.get(&(reader, partition));
                let mut seen: Vec<_> = way
                    .iter()
                    .flat_map(|way| way.steps.iter().map(|&(offset, ..)| offset))
                    .collect();
                seen.sort_unstable();
                let reached = seen.last().copied();
                let mut last = None;
                for (&offset, _) in visible {
                    last = Some(offset);
                    if let Some(reached) = reached
                        && reached > offset
                        && seen.binary_search(&offset).is_err()
                    {
                        found.push(Anomaly::Skipped {
                            reader: reader.to_owned(),
                            place: place(partition, offset),
                            reached,
                        });
                    }
                }
                if let Some(last) = last
                    && reached < Some(last)
                    && complete.contains(&reader)
                {
                    found.push(Anomaly::Unseen {
                        reader: reader.to_owned(),
                        place: place(partition, last),
                        reached,
                    });
                }
            }
        }
    }
}

pub(super) fn place((topic, partition): Partition<'_>, offset: u64) -> Place {
    Place {
        topic: topic.to_owned(),
        partition,
        offset,
    }
}
