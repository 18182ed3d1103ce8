//! Registering a schema: prepared on an image that may be a moment old, decided on the newest.
//!
//! 1. [`Registry::prepare`] parses the schema, looks for it in the subject, and compares it with older
//!    versions as the subject's level says. This may take its time.
//! 2. [`Registry::decide`] gives it a number, if everything the first step rested on is still so.
//!
//! [`Registry::look_up`] and [`Registry::test`] are the first step without the second.

use std::sync::Arc;

use serde_json::Value;

use crate::command::Decided;
use crate::compat::{self, Old};
use crate::read::no_reference;
use crate::{
    Config, Format, Found, Mode, Outcome, REGISTRY_BYTES_MAX, Record, Reference, Refusal, Registry,
    Resolved, SCHEMA_BYTES_MAX, Schema, SchemaId, Settings, Subject, Version, VersionRef,
};

/// What a client sends to register, look up or test a schema.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Empty: that of the latest version.
    pub text: String,
    pub format: Format,
    pub references: Vec<(String, String, VersionRef)>,
    /// `None`: those of the latest version.
    pub metadata: Option<Value>,
    pub rule_set: Option<Value>,
    /// The id it had elsewhere; only while importing.
    pub id: Option<SchemaId>,
    /// The version it is to be.
    pub version: Option<Version>,
    pub normalize: bool,
}

/// What is to be done about a registration.
#[derive(Debug, Clone)]
pub enum Preparation {
    /// Nothing: it is registered.
    Known(Found),
    New(Prepared),
}

/// A schema that may be registered while nothing it rests on changes.
#[derive(Debug, Clone)]
pub struct Prepared {
    subject: String,
    schema: Arc<Schema>,
    id: Option<SchemaId>,
    version: Option<Version>,
    basis: Basis,
}

/// What a preparation rested on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Basis {
    subject: Option<Arc<Subject>>,
    global: Arc<Settings>,
    referred: Vec<Arc<Schema>>,
}

impl Registry {
    /// Judges a registration.
    ///
    /// # Errors
    /// The schema is none, does not fit older versions, or may not be registered now.
    pub fn prepare(
        &self,
        subject: &str,
        registration: &Registration,
    ) -> Result<Preparation, Refusal> {
        if let Some(known) = self.known(subject, registration)? {
            return Ok(Preparation::Known(known));
        }
        let mode = self.mode_in_scope(Some(subject));
        self.check_mode(subject, registration, mode)?;
        let (schema, resolved) = match mode {
            Mode::Import => self.parse(subject, registration)?,
            _ => self.parse(subject, &self.completed(subject, registration)?)?,
        };
        if registration.version.is_none()
            && let Some(known) = self.holding(subject, &schema, registration.id, false)
        {
            return Ok(Preparation::Known(known));
        }
        if mode != Mode::Import {
            let reasons = self.compare(subject, &schema, &resolved, None)?;
            if !reasons.is_empty() {
                let subject = subject.to_owned();
                return Err(Refusal::Incompatible { subject, reasons });
            }
        }
        Ok(Preparation::New(Prepared {
            subject: subject.to_owned(),
            basis: self.basis(subject, &schema.references)?,
            schema: Arc::new(schema),
            id: registration.id,
            version: registration.version,
        }))
    }

    /// The newest version of the subject that has this schema.
    ///
    /// # Errors
    /// There is none, or the text is no schema.
    pub fn look_up(
        &self,
        subject: &str,
        registration: &Registration,
        with_deleted: bool,
    ) -> Result<Found, Refusal> {
        let (schema, _) = self.parse(subject, registration)?;
        if let Some(found) = self.holding(subject, &schema, None, with_deleted) {
            return Ok(found);
        }
        self.existing(subject, with_deleted)?;
        // Registered without metadata and rules, it was given those of the version before.
        let completed = self.completed(subject, registration)?;
        let (schema, _) = self.parse(subject, &completed)?;
        let found = self.holding(subject, &schema, None, with_deleted);
        found.ok_or(Refusal::SchemaNotFound)
    }

    /// What keeps the schema from being the subject's next version, or from following `against` alone.
    ///
    /// # Errors
    /// The schema is none, or the version is not there.
    pub fn test(
        &self,
        subject: &str,
        registration: &Registration,
        against: Option<VersionRef>,
    ) -> Result<Vec<String>, Refusal> {
        let against = match against {
            None => None,
            Some(version) => match (self.version_of(subject, version, false), version) {
                (Ok(found), _) => Some(found),
                // Before the first version everything fits.
                (Err(_), VersionRef::Latest) => None,
                (Err(_), _) => return Err(Refusal::VersionNotFound(version)),
            },
        };
        let (schema, resolved) = self.parse(subject, registration)?;
        self.compare(subject, &schema, &resolved, against)
    }

    pub(crate) fn register(&self, prepared: Prepared) -> Decided {
        let Prepared {
            subject,
            schema,
            id,
            version,
            basis,
        } = prepared;
        if self.basis(&subject, &schema.references) != Ok(basis) {
            return Err(Refusal::Raced);
        }
        let id = self.id_for(&schema, id)?;
        let number = self.number_for(&subject, version)?;
        let is_new = self.schema(id).is_none();
        if is_new && self.size_bytes() + schema.size_bytes() > REGISTRY_BYTES_MAX {
            self.check_room()?;
            return Err(too_large(
                "The registry has no room for a schema this large",
            ));
        }
        self.check_room()?;
        let mut records = Vec::new();
        if is_new {
            records.push(Record::SchemaAdded {
                id,
                schema: schema.as_ref().clone(),
            });
        }
        records.push(Record::VersionSet {
            subject: subject.clone(),
            number,
            id,
            deleted: false,
        });
        records.extend(self.replaced(&subject, number, id));
        let found = Found {
            subject: subject.into(),
            version: number,
            id,
            guid: schema.guid().into(),
            schema,
            deleted: false,
        };
        Ok((records, Outcome::Registered(found)))
    }

    /// A version registered before, which may be asked for also where nothing may change.
    fn known(&self, subject: &str, registration: &Registration) -> Result<Option<Found>, Refusal> {
        if registration.text.trim().is_empty() {
            return Ok(None);
        }
        let (schema, _) = self.parse(subject, registration)?;
        let known = self.holding(subject, &schema, registration.id, false);
        Ok(known.filter(|known| registration.version.is_none_or(|v| v == known.version)))
    }

    fn check_mode(
        &self,
        subject: &str,
        registration: &Registration,
        mode: Mode,
    ) -> Result<(), Refusal> {
        self.check_writable(Some(subject))?;
        let (is_allowed, wanted) = match registration.id {
            Some(_) => (mode == Mode::Import, "import"),
            None => (mode == Mode::ReadWrite, "read-write"),
        };
        match is_allowed {
            true => Ok(()),
            false => Err(Refusal::NotPermitted(format!(
                "Subject {subject} in context  is not in {wanted} mode"
            ))),
        }
    }

    /// The registration with what it leaves to the latest version.
    fn completed(
        &self,
        subject: &str,
        registration: &Registration,
    ) -> Result<Registration, Refusal> {
        let mut completed = registration.clone();
        let latest = self.version_of(subject, VersionRef::Latest, false).ok();
        let Some(latest) = latest.map(|latest| latest.schema) else {
            return Ok(completed);
        };
        if completed.text.trim().is_empty() {
            completed.text = latest.text.clone();
            completed.format = latest.format;
            let named = |one: &Reference| {
                let version = VersionRef::Number(one.version);
                (one.name.clone(), one.subject.clone(), version)
            };
            completed.references = latest.references.iter().map(named).collect();
        }
        completed.metadata = completed.metadata.or_else(|| latest.metadata.clone());
        completed.rule_set = completed.rule_set.or_else(|| latest.rule_set.clone());
        Ok(completed)
    }

    /// The schema in the form it is kept in, with the texts it refers to.
    fn parse(
        &self,
        subject: &str,
        registration: &Registration,
    ) -> Result<(Schema, Resolved), Refusal> {
        let text = &registration.text;
        if text.trim().is_empty() {
            return Err(Refusal::InvalidSchema("Empty schema".to_owned()));
        }
        check_size(text)?;
        let references = self.pinned(&registration.references)?;
        let resolved = self.resolve(&references)?;
        let normalize =
            registration.normalize || self.config_in_scope(subject).normalize == Some(true);
        let parsed = compat::Schema {
            text,
            references: &resolved,
        };
        let text = compat::canonical(registration.format, &parsed, normalize)?;
        check_size(&text)?;
        let schema = Schema {
            format: registration.format,
            text,
            references,
            metadata: registration.metadata.clone(),
            rule_set: registration.rule_set.clone(),
        };
        if schema.size_bytes() > 2 * SCHEMA_BYTES_MAX {
            return Err(too_large("References, metadata and rules are too large"));
        }
        Ok((schema, resolved))
    }

    /// References by number. "Latest" is what it is now: a schema never changes under its readers.
    fn pinned(
        &self,
        references: &[(String, String, VersionRef)],
    ) -> Result<Vec<Reference>, Refusal> {
        let pin = |(name, given, version): &(String, String, VersionRef)| {
            let subject = crate::subject(given)?;
            let number = match version {
                VersionRef::Number(number) => Some(*number),
                VersionRef::Latest => self.subject(&subject).and_then(|s| s.latest()),
            };
            let number = number.ok_or_else(|| no_reference(&subject, version))?;
            Ok(Reference {
                name: name.clone(),
                subject,
                version: number,
            })
        };
        references.iter().map(pin).collect()
    }

    /// The newest version of the subject that is exactly this schema, of this id if one is given.
    fn holding(
        &self,
        subject: &str,
        schema: &Schema,
        id: Option<SchemaId>,
        with_deleted: bool,
    ) -> Option<Found> {
        let known = self.ids.get(schema).copied();
        let known = known.filter(|known| id.is_none_or(|id| id == *known))?;
        let entry = self.subject(subject)?;
        let mut versions = entry.versions.iter().rev();
        let (number, _) =
            versions.find(|(_, held)| held.id == known && (with_deleted || !held.deleted))?;
        self.version_of(subject, VersionRef::Number(*number), true)
            .ok()
    }

    /// What keeps `new` from following the versions that count, or `against` alone.
    fn compare(
        &self,
        subject: &str,
        new: &Schema,
        resolved: &Resolved,
        against: Option<Found>,
    ) -> Result<Vec<String>, Refusal> {
        let config = self.config_in_scope(subject);
        let old = match against {
            Some(found) => vec![found],
            None => self.counting(subject, new, &config),
        };
        let texts: Vec<_> = old
            .iter()
            .map(|found| self.resolve(&found.schema.references))
            .collect::<Result<_, _>>()?;
        let old: Vec<_> = old
            .iter()
            .zip(&texts)
            .map(|(found, references)| Old {
                version: found.version,
                format: found.schema.format,
                schema: compat::Schema {
                    text: &found.schema.text,
                    references,
                },
            })
            .collect();
        let new_schema = compat::Schema {
            text: &new.text,
            references: resolved,
        };
        let level = config.level();
        Ok(compat::check(new.format, &new_schema, &old, level)?)
    }

    /// The versions a new schema is compared with, the oldest first.
    fn counting(&self, subject: &str, new: &Schema, config: &Config) -> Vec<Found> {
        let Some(entry) = self.subject(subject) else {
            return Vec::new();
        };
        let group = |schema: &Schema| {
            let name = config.group.as_deref()?;
            let value = schema.metadata.as_ref()?.get("properties")?.get(name)?;
            value.as_str().map(str::to_owned)
        };
        let of_new = group(new);
        let mut versions: Vec<_> = self
            .versions(subject, entry)
            .filter(|found| !found.deleted && group(&found.schema) == of_new)
            .collect();
        if !config.level().is_transitive() {
            versions.drain(..versions.len().saturating_sub(1));
        }
        versions
    }

    fn basis(&self, subject: &str, references: &[Reference]) -> Result<Basis, Refusal> {
        let referred = references.iter().map(|one| self.referred(one).cloned());
        Ok(Basis {
            subject: self.subject(subject).cloned(),
            global: Arc::clone(&self.global),
            referred: referred.collect::<Result<_, _>>()?,
        })
    }

    /// The schema's id: the one it has, the one asked for, or the next.
    fn id_for(&self, schema: &Schema, asked: Option<SchemaId>) -> Result<SchemaId, Refusal> {
        match (asked, self.ids.get(schema).copied()) {
            (Some(asked), Some(known)) if asked != known => {
                Err(Refusal::IdDoesNotMatch { known, asked })
            }
            (_, Some(known)) => Ok(known),
            (Some(asked), None) if self.schema(asked).is_some() => Err(Refusal::NotPermitted(
                format!("Overwrite new schema with id {asked} in context  is not permitted."),
            )),
            (Some(asked), None) => Ok(asked),
            (None, None) => {
                let next = self.last_id.checked_add(1).map(SchemaId);
                next.ok_or_else(|| too_large("Every id has been given"))
            }
        }
    }

    /// The version's number: the next, or while importing the one asked for.
    fn number_for(&self, subject: &str, asked: Option<Version>) -> Result<Version, Refusal> {
        let entry = self.subject(subject);
        let newest = entry.and_then(|entry| entry.versions.keys().next_back());
        let next = newest.map_or(Some(1), |newest| newest.0.checked_add(1));
        let next = Version(next.ok_or_else(|| too_large("Every version has been given"))?);
        let Some(asked) = asked.filter(|asked| *asked != next) else {
            return Ok(next);
        };
        if self.mode_in_scope(Some(subject)) != Mode::Import {
            let reason = "Version is not one more than previous version".to_owned();
            return Err(Refusal::InvalidSchema(reason));
        }
        match entry.is_some_and(|entry| entry.versions.contains_key(&asked)) {
            true => Err(Refusal::NotPermitted(format!(
                "Version {asked} of subject {subject} is another schema"
            ))),
            false => Ok(asked),
        }
    }

    /// Deleted versions the new one takes the place of: the same schema, and nobody refers to them.
    fn replaced<'a>(
        &'a self,
        subject: &'a str,
        number: Version,
        id: SchemaId,
    ) -> impl Iterator<Item = Record> + 'a {
        let versions = self.subject(subject).map(|entry| &entry.versions);
        let older = versions.into_iter().flat_map(move |v| v.range(..number));
        older
            .filter(move |(_, held)| held.deleted && held.id == id)
            .filter(move |(old, _)| self.referenced_by(subject, **old, true).next().is_none())
            .map(move |(old, _)| Record::VersionRemoved {
                subject: subject.to_owned(),
                number: *old,
            })
    }
}

fn check_size(text: &str) -> Result<(), Refusal> {
    match text.len() <= SCHEMA_BYTES_MAX {
        true => Ok(()),
        false => Err(too_large(&format!(
            "Register operation failed because schema is too large: at most {SCHEMA_BYTES_MAX} bytes"
        ))),
    }
}

fn too_large(reason: &str) -> Refusal {
    Refusal::TooLarge(reason.to_owned())
}
