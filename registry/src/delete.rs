//! Deleting versions: first they are hidden, then, if asked again, gone for good.

use std::collections::BTreeSet;

use crate::command::Decided;
use crate::{
    Outcome, Record, Refusal, Registry, SchemaId, Settings, Stored, Subject, Version, VersionRef,
};

impl Registry {
    pub(crate) fn delete_version(
        &self,
        name: &str,
        version: VersionRef,
        permanent: bool,
    ) -> Decided {
        let found = self.version_of(name, version, true)?;
        if found.deleted && !permanent {
            let subject = name.to_owned();
            return Err(Refusal::VersionSoftDeleted { subject, version });
        }
        self.check_writable(Some(name))?;
        let number = found.version;
        if self.referenced_by(name, number, permanent).next().is_some() {
            return Err(reference_exists(name, number));
        }
        if permanent && !found.deleted {
            return Err(Refusal::VersionNotSoftDeleted {
                subject: name.to_owned(),
                version: number,
            });
        }
        let mut records = vec![match permanent {
            true => removed(name, number),
            false => hidden(name, number, found.id),
        }];
        let is_last = |subject: &Subject| subject.versions.len() == 1;
        if permanent && self.subject(name).is_some_and(|s| is_last(s)) {
            records.extend(self.forget_settings(name));
        }
        Ok((records, Outcome::VersionDeleted(number)))
    }

    pub(crate) fn delete_subject(&self, name: &str, permanent: bool) -> Decided {
        let subject = self.existing(name, true)?;
        if !permanent && !subject.exists(false) {
            return Err(Refusal::SubjectSoftDeleted(name.to_owned()));
        }
        self.check_writable(Some(name))?;
        let versions = subject.versions.iter();
        let leaving: Vec<_> = versions
            .filter(|(_, held)| permanent || !held.deleted)
            .collect();
        let referenced = self.referenced_from_outside(name, permanent);
        for (number, held) in &leaving {
            if referenced.contains(number) {
                return Err(reference_exists(name, **number));
            }
            if permanent && !held.deleted {
                return Err(Refusal::SubjectNotSoftDeleted(name.to_owned()));
            }
        }
        let mut records: Vec<_> = leaving
            .iter()
            .map(|(number, held)| match permanent {
                true => removed(name, **number),
                false => hidden(name, **number, held.id),
            })
            .collect();
        if permanent {
            records.extend(self.forget_settings(name));
        }
        let numbers = leaving.iter().map(|(number, _)| **number).collect();
        Ok((records, Outcome::SubjectDeleted(numbers)))
    }

    /// Versions that schemas of other subjects refer to; the subject's own go with it.
    fn referenced_from_outside(&self, name: &str, with_deleted: bool) -> BTreeSet<Version> {
        let is_from_outside = |stored: &Stored| {
            stored.uses.iter().any(|(user, version)| {
                let subject = self.subject(user);
                let held = subject.and_then(|subject| subject.versions.get(version));
                **user != *name && held.is_some_and(|held| with_deleted || !held.deleted)
            })
        };
        let mut referenced = BTreeSet::new();
        for stored in self.schemas.values() {
            let mut led = stored.schema.references.iter();
            if led.any(|one| one.subject == name) && is_from_outside(stored) {
                let all = stored.schema.references.iter();
                referenced.extend(all.filter(|one| one.subject == name).map(|one| one.version));
            }
        }
        referenced
    }

    /// Settings go with the last version.
    fn forget_settings(&self, name: &str) -> Option<Record> {
        let subject = self.subject(name)?;
        (!subject.settings.is_empty()).then(|| Record::SettingsChanged {
            subject: Some(name.to_owned()),
            settings: Settings::default(),
        })
    }
}

fn removed(name: &str, number: Version) -> Record {
    Record::VersionRemoved {
        subject: name.to_owned(),
        number,
    }
}

fn hidden(name: &str, number: Version, id: SchemaId) -> Record {
    Record::VersionSet {
        subject: name.to_owned(),
        number,
        id,
        deleted: true,
    }
}

fn reference_exists(name: &str, version: Version) -> Refusal {
    Refusal::ReferenceExists {
        subject: name.to_owned(),
        version,
    }
}
