//! Views: topics that show the records of another topic, their source, to clients that know nothing of
//! tables.
//!
//! ```text
//! batches of the source ─▶ what counts of them ─▶ rows ─▶ filter ─▶ columns ─▶ values ─▶ batches at the
//!   (storage)               (storage)            (typed)  └──── lens ─────────┘ JSON, Avro   same offsets
//!                                                                                (values)     (refit)
//! ```
//! - A view has no records: its offsets, log start and leader epochs are its source's, its end is the
//!   source's stable end. Aborted and control batches never appear.
//! - One batch for each batch of the source of which some row is left. It has the same base and last
//!   offset; its records keep offset, timestamp, key and headers. So what a client is given at an offset
//!   does not depend on how it asked, while the source's schema stays. Values in Avro name a schema that the
//!   registry has had before any of them is shown.
//! - Work is bounded for each request, whatever the filter: an answer that got far without a record says
//!   how far ([`filler`]), and so does a memory for clients that cannot be told ([`Passed`]).
//!
//! - A view of changes shows what records did to the rows of a keyed table ([`Changes`]); its frames are
//!   those of the records' batches, and it ends where rows are built to.
//!
//! What is refused of views is in the coordinator's `cluster/views` and `cluster/settings/view`, but for
//! what takes a look at the source's columns ([`check_new`]).

mod changes;
pub mod filler;
mod lens;
mod passed;
mod reading;
mod refit;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{Overrides, TopicSettings, ViewFormat};
use tidelog_records::BuildError;
use uuid::Uuid;

use crate::broker::Broker;
use crate::owners::cluster::View;

pub use changes::Changes;
pub use lens::{BadLens, Lens};
pub use passed::{Passed, Place};
pub use reading::{LOOK_BYTES_MAX, ShowError, Shown, Window, show};
pub use refit::RefitError;
pub use values::{AvroError, AvroSchemas};

/// Why a view shows nothing of what there is.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Lens(#[from] BadLens),
    #[error(transparent)]
    Refit(#[from] RefitError),
    #[error("a batch without records: {0}")]
    Filler(#[from] BuildError),
}

/// What a view looks at, understood as the source's columns are now.
#[derive(Debug)]
pub enum Look {
    /// Its records, one row each.
    Records(Lens),
    /// What they did to the rows of its table.
    Changes(Changes),
}

impl Look {
    /// Of the source's rows to come.
    pub fn schema_id(&self) -> i32 {
        match self {
            Self::Records(lens) => lens.schema_id(),
            Self::Changes(changes) => changes.schema_id(),
        }
    }
}

/// A view, as its readers keep it: what it shows, and how.
#[derive(Debug, Clone)]
pub struct ViewOf {
    id: Uuid,
    name: String,
    source: Uuid,
    settings: Arc<TopicSettings>,
}

impl ViewOf {
    /// `None` for a topic that is no view.
    pub fn topic(view: &View, topic: &Topic) -> Option<Self> {
        Some(Self {
            id: topic.id,
            name: topic.name.clone(),
            source: topic.view_of?,
            settings: view.topic_settings(topic),
        })
    }

    /// The view's own id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How it shows records as the source's columns are now; `None` while nothing is known of those.
    ///
    /// # Errors
    /// [`BadLens`]: the filter does not fit the columns, or the registry has no schema for them.
    pub async fn look(&self, broker: &Broker) -> Result<Option<Look>, BadLens> {
        let format = self.settings.view.as_ref().map(|view| view.format);
        match self.look_at_columns(broker)? {
            Some(Look::Records(lens)) if format == Some(ViewFormat::Avro) => {
                let (view, columns) = ((self.id, &self.name[..]), lens.shown()?);
                let schemas = broker.avro_schemas();
                let schema = schemas.schema(broker.registry(), view, lens.schema_id(), &columns);
                Ok(Some(Look::Records(lens.in_avro(schema.await?))))
            }
            look => Ok(look),
        }
    }

    /// The same, with records in JSON.
    fn look_at_columns(&self, broker: &Broker) -> Result<Option<Look>, BadLens> {
        let view = broker.cluster().view();
        let (Some(source), Some(settings)) =
            (view.image.topic_by_id(self.source), &self.settings.view)
        else {
            return Ok(None);
        };
        let table = &view.topic_settings(source).table;
        let formats = broker.rows().formats(source, table)?;
        match settings.format {
            ViewFormat::Json | ViewFormat::Avro => {
                let current = formats.current().cloned();
                let lens = current.map(|format| Lens::new(settings, format));
                Ok(lens.transpose()?.map(Look::Records))
            }
            ViewFormat::DebeziumJson => {
                let formats = formats.all().iter().cloned();
                let lenses = formats.map(|format| Lens::new(settings, format));
                let lenses = lenses.collect::<Result<_, _>>()?;
                Ok(Changes::new(&source.name, lenses).map(Look::Changes))
            }
        }
    }
}

/// Checks what a topic that is to be made shows against the columns of its source, as far as they are
/// known. Whatever else is wrong with it, the cluster's owner will say.
///
/// # Errors
/// [`BadLens`].
pub fn check_new(broker: &Broker, configs: &[(String, Option<String>)]) -> Result<(), BadLens> {
    let set = configs.iter();
    let overrides: Overrides = set
        .filter_map(|(name, text)| Some((name.clone(), text.clone()?)))
        .collect();
    let view = broker.cluster().view();
    let layers = view
        .image
        .layers(broker.node_id(), broker.cluster().broker_settings());
    let settings = TopicSettings::resolve(&layers.with_topic(&overrides)).view;
    let Some(settings) = settings else {
        return Ok(());
    };
    lens::check_filter(&settings.filter)?;
    let source = view.image.topic(&settings.of);
    let format = source.map(|source| {
        let table = &view.topic_settings(source).table;
        broker.rows().format(source, table)
    });
    match format {
        Some(Ok(format)) => Lens::check(&settings, &format),
        _ => Ok(()),
    }
}
