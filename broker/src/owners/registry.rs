//! Schemas of records: those registered here, and those of another registry if the settings name one.
//!
//! [`embedded`] owns the registry of this broker, whose state is a log of its own; its REST API is
//! [`tidelog_registry::http`]. [`remote`] asks another server. What reads records asks [`Registry`] and
//! does not know which of the two answers.

mod embedded;
mod remote;

use std::sync::Arc;

use tidelog_registry::{Format, Refusal, Registration, SchemaId, Service, Store, VersionRef};
use uuid::Uuid;

use super::driver::DriverError;
use crate::clock::Clock;
use crate::log::Log;
use crate::settings::Settings;
use embedded::Embedded;
use remote::Remote;

pub use embedded::SCHEMAS_TOPIC_ID;

/// What a record was written with, and all that is needed to parse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSchema {
    pub id: SchemaId,
    pub format: Format,
    pub text: String,
    /// Names and texts of what it refers to; what a text needs stands before it.
    pub references: Vec<(String, String)>,
}

/// Why nobody knows whether a schema exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Worth another try.
    #[error("the schema registry cannot be asked: {0}")]
    Unavailable(String),
    /// What it answered is no schema, or one that is too large.
    #[error("the schema registry's answer cannot be used: {0}")]
    Unusable(String),
}

/// Where schemas are found.
#[derive(Clone)]
pub struct Registry {
    embedded: Arc<Embedded>,
    remote: Option<Arc<Remote>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// Starts the owner and waits until the registry is loaded.
    ///
    /// # Errors
    /// Its log cannot be understood.
    pub async fn start(
        log: &Arc<Log>,
        clock: Clock,
        settings: &Settings,
    ) -> Result<Self, DriverError> {
        let remote = Remote::new(settings, clock.clone()).map(Arc::new);
        let embedded = Arc::new(Embedded::start(log, clock).await?);
        Ok(Self { embedded, remote })
    }

    /// The registry of this broker, to register and change.
    pub fn service(&self) -> Service {
        Service::new(self.embedded.clone())
    }

    /// The schema of an id; `None` if there is none. An id stands for one schema for ever.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn schema(&self, id: SchemaId) -> Result<Option<Arc<WriterSchema>>, LookupError> {
        if let Some(remote) = &self.remote {
            return remote.schema(id).await;
        }
        let image = self.embedded.image();
        let stored = image.schema(id).map(|stored| Arc::clone(&stored.schema));
        stored.map(|schema| own(&image, id, &schema)).transpose()
    }

    /// The schema of a GUID, as records name it in a header; `None` if there is none. Looks at many: who
    /// asks keeps the answer.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn schema_of_guid(
        &self,
        guid: Uuid,
    ) -> Result<Option<Arc<WriterSchema>>, LookupError> {
        if let Some(remote) = &self.remote {
            return remote.schema_of_guid(guid).await;
        }
        let image = self.embedded.image();
        let found = image.by_guid(&guid.to_string());
        let schema = found.map(|(id, stored)| own(&image, id, &stored.schema));
        schema.transpose()
    }

    /// Registers an Avro schema that refers to no others; the same one again answers the same id.
    ///
    /// # Errors
    /// See [`LookupError`]; what the registry refuses is unusable.
    pub async fn register_avro(
        &self,
        subject: &str,
        text: String,
    ) -> Result<SchemaId, LookupError> {
        if let Some(remote) = &self.remote {
            return remote.register_avro(subject, &text).await;
        }
        let registration = Registration {
            text,
            format: Format::Avro,
            references: Vec::new(),
            metadata: None,
            rule_set: None,
            id: None,
            version: None,
            normalize: false,
        };
        let service = self.service();
        let registered = service.register(subject.to_owned(), registration).await;
        let found = registered.map_err(|refusal| match refusal {
            Refusal::Raced | Refusal::Unavailable(_) => {
                LookupError::Unavailable(refusal.to_string())
            }
            refusal => LookupError::Unusable(refusal.to_string()),
        })?;
        Ok(found.id)
    }

    /// The newest schema of a subject; `None` if it has none. Of another server it may be some seconds
    /// old.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn latest(&self, subject: &str) -> Result<Option<Arc<WriterSchema>>, LookupError> {
        if let Some(remote) = &self.remote {
            return remote.latest(subject).await;
        }
        let image = self.embedded.image();
        let found = image.version_of(image.named(subject), VersionRef::Latest, false);
        let found = found.ok();
        let latest = found.map(|found| own(&image, found.id, &found.schema));
        latest.transpose()
    }
}

fn own(
    image: &tidelog_registry::Registry,
    id: SchemaId,
    schema: &tidelog_registry::Schema,
) -> Result<Arc<WriterSchema>, LookupError> {
    let unusable = |refusal: Refusal| LookupError::Unusable(refusal.to_string());
    let references = image.resolve(&schema.references).map_err(unusable)?;
    Ok(Arc::new(WriterSchema {
        id,
        format: schema.format,
        text: schema.text.clone(),
        references,
    }))
}
