//! What the registry answers without a change.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::{
    Config, Held, Mode, REFERENCED_BYTES_MAX, REFERENCES_MAX, Reference, Refusal, Registry, Schema,
    SchemaId, Stored, Subject, Version, VersionRef,
};

/// A version of a subject with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub subject: Arc<str>,
    pub version: Version,
    pub id: SchemaId,
    pub guid: Arc<str>,
    pub schema: Arc<Schema>,
    pub deleted: bool,
}

/// Texts a schema refers to, by the names it has for them; what a text needs stands before it.
pub type Resolved = Vec<(String, String)>;

impl Registry {
    /// Names of subjects that begin with `prefix` and have a version, in order.
    pub fn subjects_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Subject>)> {
        self.subjects
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .filter(|(_, subject)| subject.exists(true))
    }

    /// The subject a name leads to: itself, or the one it is an alias of. Aliases are followed once.
    pub fn named<'a>(&'a self, name: &'a str) -> &'a str {
        let subject = self.subject(name);
        let alias = subject.and_then(|subject| subject.settings.config.alias.as_deref());
        alias.unwrap_or(name)
    }

    /// A subject that has versions.
    ///
    /// # Errors
    /// There is none, or every version is deleted and `with_deleted` is not asked for.
    pub fn existing(&self, name: &str, with_deleted: bool) -> Result<&Arc<Subject>, Refusal> {
        let subject = self.subject(name).filter(|s| s.exists(with_deleted));
        subject.ok_or_else(|| Refusal::SubjectNotFound(name.to_owned()))
    }

    /// A version of a subject.
    ///
    /// # Errors
    /// Subject or version is not there.
    pub fn version_of(
        &self,
        name: &str,
        version: VersionRef,
        with_deleted: bool,
    ) -> Result<Found, Refusal> {
        let subject = self.existing(name, with_deleted)?;
        let number = match version {
            VersionRef::Number(number) => Some(number),
            VersionRef::Latest => {
                let newest = || subject.versions.keys().next_back().copied();
                let latest = subject.latest();
                latest.or_else(|| newest().filter(|_| with_deleted))
            }
        };
        let held = number.and_then(|number| Some((number, *subject.versions.get(&number)?)));
        held.filter(|(_, held)| with_deleted || !held.deleted)
            .and_then(|(number, held)| self.found(name, number, held))
            .ok_or(Refusal::VersionNotFound(version))
    }

    /// Every version of a subject, the oldest first.
    pub fn versions<'a>(
        &'a self,
        name: &'a str,
        subject: &'a Subject,
    ) -> impl DoubleEndedIterator<Item = Found> + 'a {
        let versions = subject.versions.iter();
        versions.filter_map(move |(number, held)| self.found(name, *number, *held))
    }

    /// The schema a GUID stands for. Looks at each one: who asks keeps the answer.
    pub fn by_guid(&self, guid: &str) -> Option<(SchemaId, &Arc<Stored>)> {
        let mut schemas = self.schemas.iter();
        schemas
            .find(|(_, stored)| *stored.guid == *guid)
            .map(|(id, stored)| (*id, stored))
    }

    /// What holds for a subject: its own settings, then those for all.
    pub fn config_in_scope(&self, name: &str) -> Config {
        let own = self.subject(name).map(|subject| &subject.settings.config);
        own.map_or_else(
            || self.global.config.clone(),
            |own| own.over(&self.global.config),
        )
    }

    /// The mode that holds for a subject.
    pub fn mode_in_scope(&self, name: Option<&str>) -> Mode {
        let all = self.global.mode.unwrap_or_default();
        if all == Mode::ReadOnlyOverride {
            return all;
        }
        let subject = name.and_then(|name| self.subject(name));
        subject.and_then(|s| s.settings.mode).unwrap_or(all)
    }

    /// Ids of the schemas that refer to a version; those that only deleted versions have are left out
    /// unless `with_deleted`.
    pub fn referenced_by<'a>(
        &'a self,
        name: &'a str,
        version: Version,
        with_deleted: bool,
    ) -> impl Iterator<Item = SchemaId> + 'a {
        let refers = move |stored: &Stored| {
            let mut references = stored.schema.references.iter();
            references.any(|one| one.subject == name && one.version == version)
        };
        self.schemas
            .iter()
            .filter(move |(_, stored)| refers(stored))
            .filter(move |(_, stored)| with_deleted || self.is_used(stored))
            .map(|(id, _)| *id)
    }

    /// Whether a version that is not deleted has the schema.
    pub(crate) fn is_used(&self, stored: &Stored) -> bool {
        stored.uses.iter().any(|(name, version)| {
            let held = self.subject(name).and_then(|s| s.versions.get(version));
            held.is_some_and(|held| !held.deleted)
        })
    }

    /// The texts `references` lead to, and what these refer to, each name once.
    ///
    /// # Errors
    /// One leads nowhere, or they are too many or too large.
    pub fn resolve(&self, references: &[Reference]) -> Result<Resolved, Refusal> {
        let mut walk = Walk {
            registry: self,
            seen: BTreeSet::new(),
            resolved: Vec::new(),
            bytes: 0,
        };
        walk.visit(references, 0)?;
        Ok(walk.resolved)
    }

    /// The schema a reference leads to, deleted or not.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn referred(&self, reference: &Reference) -> Result<&Arc<Schema>, Refusal> {
        let subject = self.subject(&reference.subject);
        let held = subject.and_then(|subject| subject.versions.get(&reference.version));
        let stored = held.and_then(|held| self.schema(held.id));
        let schema = stored.map(|stored| &stored.schema);
        schema.ok_or_else(|| no_reference(&reference.subject, reference.version))
    }

    fn found(&self, name: &str, version: Version, held: Held) -> Option<Found> {
        let stored = self.schema(held.id)?;
        Some(Found {
            subject: name.into(),
            version,
            id: held.id,
            guid: Arc::clone(&stored.guid),
            schema: Arc::clone(&stored.schema),
            deleted: held.deleted,
        })
    }
}

/// A reference that leads nowhere.
pub(crate) fn no_reference(subject: &str, version: impl std::fmt::Display) -> Refusal {
    Refusal::InvalidSchema(format!(
        "No schema reference found for subject \"{subject}\" and version {version}"
    ))
}

/// A reference whose own references are deeper than this is refused; schemas are no chains.
const REFERENCE_DEPTH_MAX: usize = 64;

/// Collects what references lead to, depth first.
struct Walk<'a> {
    registry: &'a Registry,
    /// Names met.
    seen: BTreeSet<String>,
    resolved: Resolved,
    bytes: usize,
}

impl Walk<'_> {
    fn visit(&mut self, references: &[Reference], depth: usize) -> Result<(), Refusal> {
        if depth > REFERENCE_DEPTH_MAX {
            return Err(too_many());
        }
        for reference in references {
            if self.seen.contains(&reference.name) {
                continue;
            }
            let schema = Arc::clone(self.registry.referred(reference)?);
            self.bytes += schema.text.len();
            if self.seen.len() == REFERENCES_MAX || self.bytes > REFERENCED_BYTES_MAX {
                return Err(too_many());
            }
            self.seen.insert(reference.name.clone());
            self.visit(&schema.references, depth + 1)?;
            let text = schema.text.clone();
            self.resolved.push((reference.name.clone(), text));
        }
        Ok(())
    }
}

fn too_many() -> Refusal {
    Refusal::InvalidSchema(format!(
        "A schema may refer to at most {REFERENCES_MAX} others of together {REFERENCED_BYTES_MAX} \
         bytes, {REFERENCE_DEPTH_MAX} deep"
    ))
}
