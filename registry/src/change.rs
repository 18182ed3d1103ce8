//! Settings: compatibility and modes.

use std::collections::HashSet;

use crate::command::Decided;
use crate::{
    ConfigUpdate, Mode, Outcome, REGISTRY_BYTES_MAX, Record, Refusal, Registry, Scope, Settings,
};

impl Registry {
    /// What is set for exactly this scope.
    pub fn settings(&self, scope: &Scope) -> Settings {
        match scope.subject() {
            None => self.global.as_ref().clone(),
            Some(name) => {
                let subject = self.subject(name);
                subject.map(|s| s.settings.clone()).unwrap_or_default()
            }
        }
    }

    pub(crate) fn set_config(&self, scope: &Scope, update: &ConfigUpdate) -> Decided {
        self.check_writable(scope.subject())?;
        self.check_room()?;
        let mut settings = self.settings(scope);
        settings.config = update.apply(&settings.config);
        let config = settings.config.clone();
        Ok((vec![changed(scope, settings)], Outcome::Config(config)))
    }

    pub(crate) fn delete_config(&self, scope: &Scope) -> Decided {
        let mut settings = self.settings(scope);
        if let (Some(name), true) = (scope.subject(), settings.config.is_empty()) {
            return Err(Refusal::SubjectNotFound(name.to_owned()));
        }
        self.check_writable(scope.subject())?;
        let before = std::mem::take(&mut settings.config);
        Ok((vec![changed(scope, settings)], Outcome::Config(before)))
    }

    /// Import begins with nothing: what was deleted before goes for good.
    pub(crate) fn set_mode(&self, scope: &Scope, mode: Option<Mode>, force: bool) -> Decided {
        self.check_room()?;
        let mut records = Vec::new();
        let begins_import = mode == Some(Mode::Import)
            && self.mode_in_scope(scope.subject()) != Mode::Import
            && !force;
        if begins_import {
            records = self.clear(scope)?;
        }
        let mut settings = self.settings(scope);
        let before = std::mem::replace(&mut settings.mode, mode);
        records.push(changed(scope, settings));
        Ok((records, Outcome::Mode(before)))
    }

    pub(crate) fn delete_mode(&self, scope: &Scope) -> Decided {
        let mut settings = self.settings(scope);
        if let (Some(name), None) = (scope.subject(), settings.mode) {
            return Err(Refusal::SubjectNotFound(name.to_owned()));
        }
        let before = settings.mode.take();
        Ok((vec![changed(scope, settings)], Outcome::Mode(before)))
    }

    /// Removes the deleted versions of a scope.
    fn clear(&self, scope: &Scope) -> Result<Vec<Record>, Refusal> {
        let in_scope = |name: &str| scope.subject().is_none_or(|subject| subject == name);
        let subjects = self.subjects.iter().filter(|(name, _)| in_scope(name));
        let references = self.schemas.values().flat_map(|s| &s.schema.references);
        let referenced: HashSet<_> = references
            .map(|one| (one.subject.as_str(), one.version))
            .collect();
        let mut records = Vec::new();
        for (name, subject) in subjects {
            if subject.exists(false) {
                let reason = "Cannot import since found existing subjects".to_owned();
                return Err(Refusal::NotPermitted(reason));
            }
            for version in subject.versions.keys() {
                if referenced.contains(&(name.as_ref(), *version)) {
                    return Err(Refusal::ReferenceExists {
                        subject: name.to_string(),
                        version: *version,
                    });
                }
                records.push(Record::VersionRemoved {
                    subject: name.to_string(),
                    number: *version,
                });
            }
        }
        Ok(records)
    }

    /// # Errors
    /// There is no room for another subject.
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        match self.size_bytes() < REGISTRY_BYTES_MAX {
            true => Ok(()),
            false => Err(Refusal::TooLarge(format!(
                "The registry is full: it keeps at most {REGISTRY_BYTES_MAX} bytes"
            ))),
        }
    }
}

fn changed(scope: &Scope, settings: Settings) -> Record {
    Record::SettingsChanged {
        subject: scope.subject().map(str::to_owned),
        settings,
    }
}
