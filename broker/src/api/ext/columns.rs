//! Which columns a reader wants, for every schema that rows of a table may carry.

use std::sync::Arc;

use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::StrBytes;
use tidelog_storage::rows::Projection;

use crate::broker::Broker;
use crate::jobs::rows::format::{BadFormat, Format, KEY_VALUE_SCHEMA_ID};
use crate::owners::cluster::View;

/// Why there are no columns to read.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    #[error("the table has no column {0:?}")]
    Unknown(String),
    #[error(transparent)]
    Format(#[from] BadFormat),
}

/// One projection for each schema.
#[derive(Debug)]
pub struct Columns {
    by_schema: Vec<(i32, Projection)>,
}

impl Columns {
    /// What `paths` name in any of the schemas of `formats`; every column without `paths`.
    ///
    /// # Errors
    /// [`ColumnsError::Unknown`] for a path that names nothing in any of them.
    pub fn select(
        formats: &[Arc<Format>],
        paths: Option<&[StrBytes]>,
    ) -> Result<Self, ColumnsError> {
        let Some(paths) = paths else {
            let all = |format: &Arc<Format>| (format.schema_id, Projection::all(&format.shape));
            let by_schema = formats.iter().map(all).collect();
            return Ok(Self { by_schema });
        };
        let paths: Vec<&str> = paths.iter().map(|path| &path[..]).collect();
        let mut unknown = paths.clone();
        let mut by_schema = Vec::new();
        for format in formats {
            let (projection, missing) = Projection::select(&format.shape, &paths);
            unknown.retain(|path| missing.contains(path));
            by_schema.push((format.schema_id, projection));
        }
        match unknown.first() {
            // A table without columns yet may come to have it.
            _ if formats.is_empty() => Ok(Self { by_schema }),
            Some(path) => Err(ColumnsError::Unknown((*path).to_owned())),
            None => Ok(Self { by_schema }),
        }
    }

    /// True for a schema that came after the columns were selected.
    pub fn is_newer(&self, schema_id: i32) -> bool {
        self.by_schema.iter().all(|(id, _)| *id < schema_id)
    }

    /// The columns of rows written under a schema; `None` if the table never had it.
    pub fn of(&self, schema_id: i32) -> Option<&Projection> {
        let found = self.by_schema.iter().find(|(id, _)| *id == schema_id);
        found.map(|(_, projection)| projection)
    }
}

/// How rows of a topic may have been written, in ascending order of schema id; the last one is in
/// force.
///
/// # Errors
/// [`BadFormat`].
pub fn formats_of(
    broker: &Broker,
    view: &View,
    topic: &Topic,
) -> Result<Vec<Arc<Format>>, BadFormat> {
    let settings = view.topic_settings(topic);
    let all = broker.rows().formats(topic, &settings.table)?;
    let mut formats = Vec::new();
    // A topic without a setting follows the broker's default, which may have been key_value once.
    let had_key_values = || {
        let partitions = 0..topic.partitions;
        partitions
            .filter_map(|index| broker.log().partition(topic.id, index)?.first_rows())
            .any(|rows| rows.schema_id == KEY_VALUE_SCHEMA_ID)
    };
    if all.with_id(KEY_VALUE_SCHEMA_ID).is_none() && had_key_values() {
        formats.push(Arc::new(Format::key_value()?));
    }
    formats.extend_from_slice(all.all());
    Ok(formats)
}
