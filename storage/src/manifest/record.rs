//! Records of the manifest log and the state they add up to.

use std::collections::HashMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::codec;
use super::invariants::{self, Violation};
use super::state::{ManifestEdit, PartitionManifest};
use crate::ids::{Incarnation, PartitionId};

/// Most incarnations remembered, the newest ones: bounds what endless restarts can add.
const INCARNATIONS_MAX: usize = 65_536;

/// One change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Record {
    /// A process start, or storage opened again after a failure. Numbers rise.
    #[n(1)]
    Incarnation {
        #[cbor(n(0), with = "codec::incarnation")]
        id: Incarnation,
        #[n(1)]
        number: u32,
    },
    /// A whole partition: at its creation (version 1), and in the snapshot a file opens with.
    #[n(2)]
    Full {
        #[n(0)]
        manifest: Box<PartitionManifest>,
    },
    /// The next version of a partition.
    #[n(3)]
    Edit {
        #[cbor(n(0), with = "codec::partition")]
        partition: PartitionId,
        /// The version this makes: the present one plus 1.
        #[n(1)]
        version: u64,
        #[n(2)]
        edit: Box<ManifestEdit>,
    },
    /// The partition is deleted.
    #[n(4)]
    Drop {
        #[cbor(n(0), with = "codec::partition")]
        partition: PartitionId,
    },
}

impl Record {
    /// The partition it is about.
    pub fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Incarnation { .. } => None,
            Self::Full { manifest } => Some(manifest.partition),
            Self::Edit { partition, .. } | Self::Drop { partition } => Some(*partition),
        }
    }
}

/// What all records so far add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub partitions: HashMap<PartitionId, Arc<PartitionManifest>>,
    /// In order of their numbers.
    pub incarnations: Vec<(Incarnation, u32)>,
}

impl State {
    /// Applies one record of the delta. On an error nothing has changed.
    pub(super) fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        let mut draft = Draft::of(self);
        draft.apply(record)?;
        let changes = draft.changes;
        self.accept(changes);
        Ok(())
    }

    /// Applies one record of a snapshot, where partitions come whole at any version.
    pub(super) fn restore(&mut self, record: Record) -> Result<(), Violation> {
        let Record::Full { manifest } = record else {
            return self.apply(&record);
        };
        invariants::check(&manifest)?;
        let partition = manifest.partition;
        match self.partitions.insert(partition, Arc::new(*manifest)) {
            Some(_) => Err(Violation::Exists),
            None => Ok(()),
        }
    }

    pub(super) fn accept(&mut self, changes: Changes) {
        self.incarnations.extend(changes.incarnations);
        let surplus = self.incarnations.len().saturating_sub(INCARNATIONS_MAX);
        self.incarnations.drain(..surplus);
        for (partition, manifest) in changes.partitions {
            match manifest {
                Some(manifest) => self.partitions.insert(partition, manifest),
                None => self.partitions.remove(&partition),
            };
        }
    }

    pub(super) fn go_back(&mut self, undo: Undo) {
        let incarnations = self.incarnations.len().saturating_sub(undo.incarnations);
        self.incarnations.truncate(incarnations);
        for (partition, before) in undo.partitions {
            match before {
                Some(before) => self.partitions.insert(partition, before),
                None => self.partitions.remove(&partition),
            };
        }
    }

    /// The records of a snapshot, in an order that depends on nothing but the state.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Record> {
        let mut partitions: Vec<_> = self.partitions.values().collect();
        partitions.sort_unstable_by_key(|manifest| manifest.partition);
        let incarnations = self.incarnations.iter();
        incarnations
            .map(|(id, number)| Record::Incarnation {
                id: *id,
                number: *number,
            })
            .chain(partitions.into_iter().map(|manifest| Record::Full {
                manifest: Box::new(PartitionManifest::clone(manifest)),
            }))
    }
}

/// What a state was before some changes.
#[derive(Default)]
pub(super) struct Undo {
    /// `None`: it was not there.
    partitions: HashMap<PartitionId, Option<Arc<PartitionManifest>>>,
    incarnations: usize,
}

impl Undo {
    /// Notes what `changes` are about to replace in `state`.
    pub(super) fn note(&mut self, state: &State, changes: &Changes) {
        for partition in changes.partitions.keys() {
            let before = || state.partitions.get(partition).cloned();
            self.partitions.entry(*partition).or_insert_with(before);
        }
        self.incarnations += changes.incarnations.len();
    }
}

/// Checked effects of records that are not yet in the state.
#[derive(Default)]
pub(super) struct Changes {
    /// `None`: deleted.
    partitions: HashMap<PartitionId, Option<Arc<PartitionManifest>>>,
    incarnations: Vec<(Incarnation, u32)>,
}

/// A state and changes on top of it, so that several records are taken all or none.
pub(super) struct Draft<'a> {
    base: &'a State,
    pub changes: Changes,
}

impl<'a> Draft<'a> {
    pub(super) fn of(base: &'a State) -> Self {
        Self {
            base,
            changes: Changes::default(),
        }
    }

    pub(super) fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Incarnation { id, number } => self.start(*id, *number)?,
            Record::Full { manifest } => {
                invariants::check_first(manifest)?;
                if self.get(manifest.partition).is_some() {
                    return Err(Violation::Exists);
                }
                let partition = manifest.partition;
                let manifest = Arc::new(PartitionManifest::clone(manifest));
                self.changes.partitions.insert(partition, Some(manifest));
            }
            Record::Edit {
                partition,
                version,
                edit,
            } => {
                let before = self.get(*partition).ok_or(Violation::Unknown)?;
                if before.version.checked_add(1) != Some(*version) {
                    return Err(Violation::VersionGap {
                        have: before.version,
                        got: *version,
                    });
                }
                let after = Arc::new(before.apply(edit)?);
                self.changes.partitions.insert(*partition, Some(after));
            }
            Record::Drop { partition } => {
                self.get(*partition).ok_or(Violation::Unknown)?;
                self.changes.partitions.insert(*partition, None);
            }
        }
        Ok(())
    }

    fn start(&mut self, id: Incarnation, number: u32) -> Result<(), Violation> {
        let newest = self
            .changes
            .incarnations
            .last()
            .or(self.base.incarnations.last());
        match newest {
            Some((_, have)) if *have >= number => Err(Violation::IncarnationOrder {
                have: *have,
                got: number,
            }),
            _ => {
                self.changes.incarnations.push((id, number));
                Ok(())
            }
        }
    }

    fn get(&self, partition: PartitionId) -> Option<&Arc<PartitionManifest>> {
        match self.changes.partitions.get(&partition) {
            Some(changed) => changed.as_ref(),
            None => self.base.partitions.get(&partition),
        }
    }
}
