//! The registry as the log so far has made it.
//!
//! An image is a value. Cloning one costs a few reference counts, so the owner publishes a clone after
//! each change; the first change after a clone copies the map it touches (one reference count per
//! entry), never a schema.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::{Record, Schema, SchemaId, Settings, Version};

/// What a subject's versions and settings take beside their texts, in bytes, about.
const SUBJECT_BYTES: usize = 256;
const VERSION_BYTES: usize = 96;

/// All subjects and schemas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    version: u64,
    pub(crate) subjects: Arc<BTreeMap<Arc<str>, Arc<Subject>>>,
    pub(crate) schemas: Arc<BTreeMap<SchemaId, Arc<Stored>>>,
    pub(crate) ids: Arc<HashMap<Arc<Schema>, SchemaId>>,
    pub(crate) global: Arc<Settings>,
    pub(crate) last_id: i32,
    bytes: usize,
}

/// A subject with versions, settings or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub versions: BTreeMap<Version, Held>,
    pub settings: Settings,
}

/// What a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub id: SchemaId,
    /// Hidden until it is registered anew or gone for good.
    pub deleted: bool,
}

impl Subject {
    /// The newest version that is not deleted.
    pub fn latest(&self) -> Option<Version> {
        let mut versions = self.versions.iter().rev();
        versions.find(|(_, held)| !held.deleted).map(|(v, _)| *v)
    }

    /// Whether it has a version, deleted ones counted in or not.
    pub fn exists(&self, with_deleted: bool) -> bool {
        self.versions
            .values()
            .any(|held| with_deleted || !held.deleted)
    }
}

/// A schema with where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub schema: Arc<Schema>,
    pub guid: Arc<str>,
    /// Versions that have it, deleted ones too.
    pub uses: BTreeSet<(Arc<str>, Version)>,
}

impl Registry {
    /// How many records made this image; grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What everything takes in memory, about.
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// The highest id ever given; 0 before the first.
    pub fn last_id(&self) -> SchemaId {
        SchemaId(self.last_id)
    }

    /// A subject with versions or settings.
    pub fn subject(&self, name: &str) -> Option<&Arc<Subject>> {
        self.subjects.get(name)
    }

    /// The schema of an id, if a version still has it.
    pub fn schema(&self, id: SchemaId) -> Option<&Arc<Stored>> {
        self.schemas.get(&id)
    }

    /// What is set for every subject.
    pub fn global(&self) -> &Settings {
        &self.global
    }

    /// Makes one change. What a checked log cannot hold changes nothing.
    pub fn apply(&mut self, record: &Record) {
        self.version += 1;
        match record {
            Record::SchemaAdded { id, schema } => self.add_schema(*id, schema),
            Record::VersionSet {
                subject,
                number,
                id,
                deleted,
            } => self.set_version(
                subject,
                *number,
                Held {
                    id: *id,
                    deleted: *deleted,
                },
            ),
            Record::VersionRemoved { subject, number } => self.remove_version(subject, *number),
            Record::SettingsChanged {
                subject: None,
                settings,
            } => self.global = Arc::new(settings.clone()),
            Record::SettingsChanged {
                subject: Some(subject),
                settings,
            } => self.change(subject, |subject| subject.settings = settings.clone()),
            Record::Reached {
                last_id,
                image_version,
            } => {
                self.last_id = self.last_id.max(*last_id);
                self.version = *image_version;
            }
        }
    }

    /// The shortest list of records that makes this image again.
    pub fn checkpoint(&self) -> Vec<Record> {
        let schemas = self.schemas.iter().map(|(id, stored)| Record::SchemaAdded {
            id: *id,
            schema: stored.schema.as_ref().clone(),
        });
        let versions = self.subjects.iter().flat_map(|(name, subject)| {
            let set = |(number, held): (&Version, &Held)| Record::VersionSet {
                subject: name.to_string(),
                number: *number,
                id: held.id,
                deleted: held.deleted,
            };
            subject.versions.iter().map(set)
        });
        let settings = self.subjects.iter().filter(|(_, s)| !s.settings.is_empty());
        let settings = settings.map(|(name, subject)| (Some(name), &subject.settings));
        let all = [(None, self.global.as_ref())].into_iter().chain(settings);
        let settings = all.map(|(name, settings)| Record::SettingsChanged {
            subject: name.map(ToString::to_string),
            settings: settings.clone(),
        });
        let reached = Record::Reached {
            last_id: self.last_id,
            image_version: self.version,
        };
        let records = schemas.chain(versions).chain(settings);
        records.chain([reached]).collect()
    }

    /// The image a list of records makes: a checkpoint, a whole log, or one after the other.
    pub fn restore<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut image = Self::default();
        for record in records {
            image.apply(record);
        }
        image
    }

    fn add_schema(&mut self, id: SchemaId, schema: &Schema) {
        self.last_id = self.last_id.max(id.0);
        // Also what is read twice: a checkpoint on top of its log.
        if self.schemas.contains_key(&id) || self.ids.contains_key(schema) {
            return;
        }
        self.bytes += schema.size_bytes();
        let schema = Arc::new(schema.clone());
        let stored = Stored {
            schema: Arc::clone(&schema),
            guid: schema.guid().into(),
            uses: BTreeSet::new(),
        };
        Arc::make_mut(&mut self.ids).insert(schema, id);
        Arc::make_mut(&mut self.schemas).insert(id, Arc::new(stored));
    }

    fn set_version(&mut self, name: &str, number: Version, held: Held) {
        if !self.schemas.contains_key(&held.id) {
            return;
        }
        let mut before = None;
        self.change(name, |subject| {
            before = subject.versions.insert(number, held);
        });
        match before {
            None => self.bytes += VERSION_BYTES + name.len(),
            Some(old) if old.id == held.id => return,
            Some(old) => self.end_use(old.id, name, number),
        }
        self.change_uses(held.id, |uses| {
            uses.insert((name.into(), number));
        });
    }

    fn remove_version(&mut self, name: &str, number: Version) {
        let held = self.subject(name).and_then(|s| s.versions.get(&number));
        if let Some(held) = held.copied() {
            self.bytes -= VERSION_BYTES + name.len();
            self.change(name, |subject| {
                subject.versions.remove(&number);
            });
            self.end_use(held.id, name, number);
        }
    }

    /// The version no longer has the schema, which goes with the last one that has.
    fn end_use(&mut self, id: SchemaId, name: &str, number: Version) {
        let left = self.change_uses(id, |uses| {
            uses.remove(&(name.into(), number));
        });
        if left > 0 {
            return;
        }
        if let Some(stored) = Arc::make_mut(&mut self.schemas).remove(&id) {
            self.bytes -= stored.schema.size_bytes();
            Arc::make_mut(&mut self.ids).remove(&stored.schema);
        }
    }

    fn change_uses(
        &mut self,
        id: SchemaId,
        change: impl FnOnce(&mut BTreeSet<(Arc<str>, Version)>),
    ) -> usize {
        let Some(stored) = Arc::make_mut(&mut self.schemas).get_mut(&id) else {
            return 0;
        };
        let stored = Arc::make_mut(stored);
        change(&mut stored.uses);
        stored.uses.len()
    }

    /// Changes a subject, which comes with the first thing that is said of it and goes with the last.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Subject)) {
        let subjects = Arc::make_mut(&mut self.subjects);
        if !subjects.contains_key(name) {
            self.bytes += SUBJECT_BYTES + name.len();
            subjects.insert(name.into(), Arc::default());
        }
        let is_empty = subjects.get_mut(name).is_some_and(|subject| {
            let subject = Arc::make_mut(subject);
            change(subject);
            *subject == Subject::default()
        });
        if is_empty {
            self.bytes -= SUBJECT_BYTES + name.len();
            subjects.remove(name);
        }
    }
}
