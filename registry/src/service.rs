//! The registry as its users see it, over a [`Store`] that keeps the log.

use std::sync::Arc;

use async_trait::async_trait;
use futures::channel::oneshot;

use crate::command::{Command, Outcome};
use crate::compat;
use crate::{Found, Preparation, Refusal, Registration, Registry, Resolved, Schema, VersionRef};

/// A piece of computing that may take its time.
pub type Work = Box<dyn FnOnce() + Send>;

/// Where the registry lives: one owner of the log, readers of what it made.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is durable, and everything answered before this call.
    fn image(&self) -> Arc<Registry>;

    /// Has the owner decide a command; answers once its records are durable and in [`Store::image`].
    async fn submit(&self, command: Command) -> Result<Outcome, Refusal>;

    /// Does work where it keeps nobody waiting. Work that is refused or lost is dropped.
    async fn compute(&self, work: Work) -> Result<(), Refusal>;
}

/// A registration is prepared again so often; each time another one of the same subject came first.
const ATTEMPTS_MAX: usize = 32;

/// Registers, looks up and compares schemas.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
}

impl Service {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// What is durable now. Take it once per request.
    pub fn image(&self) -> Arc<Registry> {
        self.store.image()
    }

    /// Changes settings or deletes.
    ///
    /// # Errors
    /// See [`Registry::decide`].
    pub async fn submit(&self, command: Command) -> Result<Outcome, Refusal> {
        self.store.submit(command).await
    }

    /// Registers a schema; the same one again answers what the first time answered.
    ///
    /// # Errors
    /// See [`Registry::prepare`].
    pub async fn register(
        &self,
        subject: String,
        registration: Registration,
    ) -> Result<Found, Refusal> {
        let asked = Arc::new((subject, registration));
        for _ in 0..ATTEMPTS_MAX {
            let again = Arc::clone(&asked);
            let prepare = move |image: &Registry| image.prepare(&again.0, &again.1);
            let prepared = match self.on_image(prepare).await?? {
                Preparation::Known(found) => return Ok(found),
                Preparation::New(prepared) => prepared,
            };
            match self.store.submit(Command::Register(prepared)).await {
                Ok(Outcome::Registered(found)) => return Ok(found),
                Ok(other) => unreachable!("a registration is not answered with {other:?}"),
                Err(Refusal::Raced) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::Raced)
    }

    /// The version of a subject that has a schema.
    ///
    /// # Errors
    /// See [`Registry::look_up`].
    pub async fn look_up(
        &self,
        subject: String,
        registration: Registration,
        with_deleted: bool,
    ) -> Result<Found, Refusal> {
        self.on_image(move |image| image.look_up(&subject, &registration, with_deleted))
            .await?
    }

    /// What keeps a schema from being registered.
    ///
    /// # Errors
    /// See [`Registry::test`].
    pub async fn test(
        &self,
        subject: String,
        registration: Registration,
        against: Option<VersionRef>,
    ) -> Result<Vec<String>, Refusal> {
        self.on_image(move |image| image.test(&subject, &registration, against))
            .await?
    }

    /// A schema's text in the form readers ask for; as it is kept if the format has no such form.
    ///
    /// # Errors
    /// The schema can no longer be parsed.
    pub async fn formatted(&self, schema: Arc<Schema>, form: String) -> Result<String, Refusal> {
        if form.trim().is_empty() {
            return Ok(schema.text.clone());
        }
        let write = move |image: &Registry| {
            let references: Resolved = image.resolve(&schema.references)?;
            let parsed = compat::Schema {
                text: &schema.text,
                references: &references,
            };
            let written = compat::formatted(schema.format, &parsed, &form)?;
            Ok(written.unwrap_or_else(|| schema.text.clone()))
        };
        self.on_image(write).await?
    }

    /// Computes something from the image of this moment, where it keeps nobody waiting.
    pub(crate) async fn on_image<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&Registry) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let image = self.store.image();
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            // Nobody waits any more if the request was given up.
            let _ = answer.send(compute(&image));
        });
        self.store.compute(work).await?;
        answered
            .await
            .map_err(|_| Refusal::Unavailable("the work was given up".to_owned()))
    }
}
