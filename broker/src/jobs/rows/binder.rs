//! Finds out what the columns of a topic are, where its settings do not say.
//!
//! ```text
//! inferred, auto           the first records ─▶ Inference ─▶ schema 1; a record with more ─▶ schema 2 …
//! value_schema_id_prefix   a value's schema ─▶ registry ─▶ plan; if it has more fields: a schema more
//! value_schema_latest      the newest schema of the subject, looked for again now and then
//! ```
//! - Schemas are noted in the cluster image before a row is written under them, so ids and columns
//!   survive, and every reader sees the same.
//! - One at a time for each topic, whichever of its partitions asks.
//! - A schema that cannot be had right now is asked for again; one that does not exist or does not fit
//!   makes its records undecodable, until [`FORGET`] has passed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tidelog_coordinator::cluster::settings::{LatestSchema, TableMode};
use tidelog_coordinator::cluster::{Command, Reply, RowsSchema, SchemaRefusal, Topic};
use tidelog_records::Record;
use tidelog_registry::SchemaId;
use tidelog_storage::Partition;
use tidelog_storage::ids::Offset;
use tidelog_typed::evolve::merge;
use tidelog_typed::infer::{InferOptions, Inference};
use tidelog_typed::protobuf::MessageChoice;
use tidelog_typed::{Growth, Known, Plan, SchemaRef, TableSchema, Wanted, WrittenBy, written_by};
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::Rows;
use super::format::{BadFormat, FIRST_SCHEMA_ID, Format, Formats, KEY_VALUE_SCHEMA_ID};
use super::reading::{Reading, reading};
use super::sample::{self, SampleError};
use crate::api::data::compute::compute;
use crate::log::Log;
use crate::owners::cluster::ClusterHandle;
use crate::owners::driver::DriverError;
use crate::owners::registry::{LookupError, Registry, WriterSchema};

/// Time after which less than a whole sample decides what an inferred table is.
const SAMPLE_AGE: Duration = Duration::from_secs(5);
/// How often the newest schema of a subject is looked for.
const LATEST_AGE: Duration = Duration::from_secs(5);
/// How long a schema that was not there, or did not fit, is not asked for again.
const FORGET: Duration = Duration::from_secs(60);

/// Why the columns are not known yet. Tried again.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("no record says yet what the columns are")]
    Undecided,
    #[error("subject {0} has no schema yet")]
    NoSubject(String),
    #[error("no columns: {0}")]
    NoColumns(String),
    #[error(transparent)]
    Registry(#[from] LookupError),
    #[error(transparent)]
    Refused(#[from] SchemaRefusal),
    #[error(transparent)]
    Format(#[from] BadFormat),
    #[error(transparent)]
    Cluster(#[from] DriverError),
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// See the module.
#[derive(Debug)]
pub struct Binder {
    log: Arc<Log>,
    cluster: ClusterHandle,
    registry: Registry,
    topics: Mutex<HashMap<Uuid, Arc<Turn>>>,
}

/// One at a time.
type Turn = tokio::sync::Mutex<Progress>;

/// What is remembered of a topic between two calls.
#[derive(Debug, Default)]
struct Progress {
    /// When the first record was seen that nobody had columns for.
    since: Option<Instant>,
    /// The newest schema of the subject, and when that was looked for.
    latest: Option<(SchemaId, Instant)>,
    /// When what could not be used was last forgotten.
    forgot: Option<Instant>,
}

/// A topic at the moment of a call.
struct Bound<'a> {
    binder: &'a Binder,
    partition: &'a Partition,
    topic: Arc<Topic>,
    formats: Arc<Formats>,
}

impl Binder {
    pub fn new(log: Arc<Log>, cluster: ClusterHandle, registry: Registry) -> Self {
        Self {
            log,
            cluster,
            registry,
            topics: Mutex::default(),
        }
    }

    /// The topic has no columns yet, and `partition` has records from `first` on.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn found(
        &self,
        rows: &Rows,
        partition: &Partition,
        first: Offset,
    ) -> Result<(), BindError> {
        let turn = self.turn(partition);
        let mut progress = turn.lock().await;
        let Some(bound) = self.bound(rows, partition)? else {
            return Ok(());
        };
        if bound.formats.current().is_some() {
            return Ok(());
        }
        match bound.formats.mode() {
            TableMode::Inferred => bound.infer(&mut progress, first, false).await,
            TableMode::Auto => bound.infer(&mut progress, first, true).await,
            TableMode::SchemaLatest(latest) => {
                let schema = bound.latest(latest).await?;
                bound.begin(schema, latest_message(latest)).await
            }
            TableMode::SchemaIdPrefix => bound.begin_with_first_writer(first).await,
            // These have columns from the start.
            TableMode::Disabled | TableMode::KeyValue | TableMode::Inline { .. } => Ok(()),
        }
    }

    /// The record at `offset` of `partition` is one that its table has to learn something for.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn teach(
        &self,
        rows: &Rows,
        partition: &Partition,
        offset: Offset,
        wanted: Wanted,
    ) -> Result<(), BindError> {
        let turn = self.turn(partition);
        let mut progress = turn.lock().await;
        let Some(bound) = self.bound(rows, partition)? else {
            return Ok(());
        };
        let Some(format) = bound.formats.current() else {
            return Ok(());
        };
        match wanted {
            Wanted::Columns => bound.grow_for(format, offset).await,
            Wanted::Writer(writer) => bound.meet(&mut progress, format, writer).await,
        }
    }

    /// Looks, now and then, whether what a registry taught still holds.
    ///
    /// # Errors
    /// [`BindError`]; what was learned is used meanwhile.
    pub async fn refresh(&self, rows: &Rows, partition: &Partition) -> Result<(), BindError> {
        let bound = self.bound(rows, partition)?;
        let Some(bound) = bound.filter(|bound| bound.formats.mode().needs_registry()) else {
            return Ok(());
        };
        let turn = self.turn(partition);
        let Ok(mut progress) = turn.try_lock() else {
            return Ok(());
        };
        let Some(format) = bound.formats.current() else {
            return Ok(());
        };
        let is_due = |at: Option<Instant>, age| at.is_none_or(|at| at.elapsed() >= age);
        if is_due(progress.forgot, FORGET)
            && let Some(writers) = format.schema.writers()
        {
            progress.forgot = Some(Instant::now());
            writers.forget_unusable();
        }
        let TableMode::SchemaLatest(latest) = bound.formats.mode() else {
            return Ok(());
        };
        let known = progress.latest;
        if !is_due(known.map(|(_, at)| at), LATEST_AGE) {
            return Ok(());
        }
        let schema = bound.latest(latest).await?;
        if known.is_some_and(|(id, _)| id == schema.id) {
            progress.latest = Some((schema.id, Instant::now()));
            return Ok(());
        }
        let newest = WrittenBy {
            schema: SchemaRef::Latest,
            message: Vec::new(),
        };
        bound.meet(&mut progress, format, newest).await
    }

    /// `None` for a topic that is gone.
    fn bound<'a>(
        &'a self,
        rows: &Rows,
        partition: &'a Partition,
    ) -> Result<Option<Bound<'a>>, BindError> {
        let view = self.cluster.view();
        let topic = Uuid::from_bytes(partition.id.topic.0);
        let Some(topic) = view.image.topic_by_id(topic) else {
            return Ok(None);
        };
        let settings = view.topic_settings(topic);
        Ok(Some(Bound {
            binder: self,
            partition,
            formats: rows.formats(topic, &settings.table)?,
            topic: Arc::clone(topic),
        }))
    }

    fn turn(&self, partition: &Partition) -> Arc<Turn> {
        let topic = Uuid::from_bytes(partition.id.topic.0);
        Arc::clone(self.topics.lock().entry(topic).or_default())
    }

    /// Forgets topics that are gone.
    pub fn retain(&self, is_there: impl Fn(&Uuid) -> bool) {
        self.topics.lock().retain(|topic, _| is_there(topic));
    }
}

impl Bound<'_> {
    /// The first columns of JSON values: of a sample.
    async fn infer(
        &self,
        progress: &mut Progress,
        first: Offset,
        or_key_value: bool,
    ) -> Result<(), BindError> {
        let since = *progress.since.get_or_insert_with(Instant::now);
        let values = self.values(first).await?;
        if values.len() < sample::RECORDS && since.elapsed() < SAMPLE_AGE {
            return Ok(());
        }
        let (draft, objects) = compute(move || {
            let mut inference = Inference::new(InferOptions::default());
            let mut objects = true;
            for value in values.iter().flatten() {
                objects &= inference.observe(value).is_ok();
            }
            (inference.draft(), objects)
        })
        .await;
        let has_columns = objects && !draft.fields.is_empty();
        if or_key_value && !has_columns {
            return self.note(KEY_VALUE_SCHEMA_ID, None).await;
        }
        if draft.fields.is_empty() {
            return Err(BindError::Undecided);
        }
        let schema = draft.allocate().map_err(no_columns)?;
        self.note(FIRST_SCHEMA_ID, Some(&schema)).await
    }

    /// More columns, for the record at `offset` and those behind it.
    async fn grow_for(&self, format: &Format, offset: Offset) -> Result<(), BindError> {
        let Some(table) = format.schema.values().cloned() else {
            return Ok(());
        };
        let values = self.values(offset).await?;
        let grown = compute(move || {
            let mut inference = Inference::over(&table, InferOptions::default());
            for value in values.iter().flatten() {
                // What is no object becomes no row, whatever the columns are.
                let _ = inference.observe(value);
            }
            merge(&table, &inference.draft())
        });
        let grown = grown.await.ok().filter(|grown| !grown.changes.is_empty());
        let noted = match &grown {
            Some(grown) => self.note(format.schema_id + 1, Some(&grown.schema)).await,
            None => Err(SchemaRefusal::TooMany.into()),
        };
        match noted {
            Err(BindError::Refused(SchemaRefusal::TooMany | SchemaRefusal::TooLong { .. })) => {
                warn!(
                    topic = self.topic.name,
                    "the inferred table has no room for more columns"
                );
                if let Some(writers) = format.schema.writers() {
                    let plan = Arc::new(Plan::Inferred(Growth::Over));
                    writers.learn(SchemaRef::Latest, Known::Plan(plan));
                }
                Ok(())
            }
            noted => noted,
        }
    }

    /// The first columns of a topic of registered schemas: those of its first record that names one.
    async fn begin_with_first_writer(&self, first: Offset) -> Result<(), BindError> {
        for (reference, indexes) in self.sample(first, written_by).await? {
            if let Ok(schema) = self.schema(reference).await? {
                return self
                    .begin(schema, indexes.map(MessageChoice::Indexes))
                    .await;
            }
        }
        Err(BindError::Undecided)
    }

    async fn begin(
        &self,
        schema: Arc<WriterSchema>,
        message: Option<MessageChoice>,
    ) -> Result<(), BindError> {
        let message = message.unwrap_or_default();
        match compute(move || reading(&schema, Some(&message), None)).await {
            Reading::Grow(first) => self.note(FIRST_SCHEMA_ID, Some(&first)).await,
            Reading::Unusable(why) => Err(BindError::NoColumns(why)),
            // Without a table there is nothing to read into yet.
            Reading::Plan(_) | Reading::Messages => Err(BindError::Undecided),
        }
    }

    /// Learns how the values of a writer are read; the table grows for it if it has to.
    async fn meet(
        &self,
        progress: &mut Progress,
        format: &Format,
        writer: WrittenBy,
    ) -> Result<(), BindError> {
        let (values, writers) = (format.schema.values(), format.schema.writers());
        let (Some(table), Some(writers)) = (values.cloned(), writers) else {
            return Ok(());
        };
        let known = match self.schema(writer.schema).await? {
            Ok(schema) => {
                if writer.schema == SchemaRef::Latest {
                    progress.latest = Some((schema.id, Instant::now()));
                }
                let message = self.message(&writer);
                compute(move || reading(&schema, message.as_ref(), Some(&table))).await
            }
            Err(why) => Reading::Unusable(why),
        };
        let learned = match known {
            Reading::Grow(grown) => {
                return self.note(format.schema_id + 1, Some(&grown)).await;
            }
            Reading::Messages => {
                writers.learn(writer.schema, Known::Messages(HashMap::new()));
                return Ok(());
            }
            Reading::Plan(plan) => Ok(plan),
            Reading::Unusable(why) => {
                warn!(
                    topic = self.topic.name,
                    why, "records of a schema are no rows"
                );
                Err(Arc::from(why))
            }
        };
        match (writer.message.is_empty(), learned) {
            (false, learned) => writers.learn_message(writer.schema, writer.message, learned),
            (true, Ok(plan)) => writers.learn(writer.schema, Known::Plan(plan)),
            (true, Err(why)) => writers.learn(writer.schema, Known::Unusable(why)),
        }
        Ok(())
    }

    /// Which message a writer's values are, as far as that is known.
    fn message(&self, writer: &WrittenBy) -> Option<MessageChoice> {
        match (writer.schema, self.formats.mode()) {
            (SchemaRef::Latest, TableMode::SchemaLatest(latest)) => {
                Some(latest_message(latest).unwrap_or_default())
            }
            _ if writer.message.is_empty() => None,
            _ => Some(MessageChoice::Indexes(writer.message.clone())),
        }
    }

    /// A schema of the registry, or why there is none.
    async fn schema(
        &self,
        reference: SchemaRef,
    ) -> Result<Result<Arc<WriterSchema>, String>, BindError> {
        let registry = &self.binder.registry;
        let found = match (reference, self.formats.mode()) {
            (SchemaRef::Latest, TableMode::SchemaLatest(latest)) => {
                return self.latest(latest).await.map(Ok);
            }
            (SchemaRef::Id(id), _) => registry.schema(SchemaId(id)).await,
            (SchemaRef::Guid(guid), _) => registry.schema_of_guid(Uuid::from_bytes(guid)).await,
            (SchemaRef::Latest, _) => Ok(None),
        };
        match found {
            Ok(Some(schema)) => Ok(Ok(schema)),
            Ok(None) => Ok(Err(format!("{reference} is not in the schema registry"))),
            Err(LookupError::Unusable(why)) => Ok(Err(why)),
            Err(error @ LookupError::Unavailable(_)) => Err(error.into()),
        }
    }

    async fn latest(&self, latest: &LatestSchema) -> Result<Arc<WriterSchema>, BindError> {
        let subject = match &latest.subject {
            Some(subject) => subject.clone(),
            None => format!("{}-value", self.topic.name),
        };
        let found = self.binder.registry.latest(&subject).await?;
        found.ok_or(BindError::NoSubject(subject))
    }

    /// Notes the topic's next schema; without columns: key and value stay bytes.
    async fn note(&self, id: i32, schema: Option<&TableSchema>) -> Result<(), BindError> {
        let newest = self.topic.schemas.last().map(|schema| schema.id);
        let next = RowsSchema {
            id,
            text: schema.map(TableSchema::to_json),
        };
        let command = Command::AddSchemas {
            topic: self.topic.id,
            newest,
            schemas: vec![next],
        };
        match self.binder.cluster.call(command).await? {
            // Somebody else was faster: their schema is looked at next.
            Reply::Schemas(Err(SchemaRefusal::Moved { .. })) => Ok(()),
            Reply::Schemas(Err(refusal)) => Err(refusal.into()),
            _ => {
                let columns = schema.map_or(2, |schema| schema.fields().len());
                info!(
                    topic = self.topic.name,
                    schema = id,
                    columns,
                    "the table has new columns"
                );
                Ok(())
            }
        }
    }

    /// Values of the records from `first` on, up to a sample.
    async fn values(&self, first: Offset) -> Result<Vec<Option<Bytes>>, SampleError> {
        self.sample(first, |record| {
            Some(record.value.map(Bytes::copy_from_slice))
        })
        .await
    }

    async fn sample<T: Send + 'static>(
        &self,
        first: Offset,
        take: impl Fn(&Record<'_>) -> Option<T> + Send + 'static,
    ) -> Result<Vec<T>, SampleError> {
        sample::sample(&self.binder.log, self.partition, first, take).await
    }
}

fn latest_message(latest: &LatestSchema) -> Option<MessageChoice> {
    latest.protobuf_name.clone().map(MessageChoice::Name)
}

fn no_columns(error: impl ToString) -> BindError {
    BindError::NoColumns(error.to_string())
}
