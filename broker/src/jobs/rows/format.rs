//! How the records of a topic become rows: its schemas, their ids, and how columns are encoded.
//!
//! A [`Format`] never changes. A topic has one for each schema its rows were ever written under, the
//! newest of which takes the records to come. Where that has to be found out first (`inferred`, the
//! modes of a registry), there is none to begin with.

use std::sync::Arc;

use tidelog_coordinator::cluster::RowsSchema;
use tidelog_coordinator::cluster::settings::{TableCodec, TableMode, TableSettings};
use tidelog_storage::rows::{Compression, Shape, UnsupportedType};
use tidelog_typed::{Growth, Known, Plan, RowSchema, SchemaError, SchemaRef, TableSchema, Writers};

/// Id of the columns key and value, which no topic's own schema ever has.
pub const KEY_VALUE_SCHEMA_ID: i32 = 0;
/// Id of the first schema of a topic.
pub const FIRST_SCHEMA_ID: i32 = 1;

/// How records become rows of one schema.
#[derive(Debug)]
pub struct Format {
    pub schema_id: i32,
    /// What rows have.
    pub schema: RowSchema,
    /// What a record has, as it comes: the same, but for what a changelog adds.
    pub records: RowSchema,
    pub shape: Arc<Shape>,
    pub compression: Compression,
    /// True if rows are built as records arrive, false if only for whoever asks.
    pub is_table: bool,
}

/// All formats of one topic, oldest first. Made once for each change and shared.
#[derive(Debug)]
pub struct Formats {
    mode: TableMode,
    codec: TableCodec,
    is_changelog: bool,
    all: Vec<Arc<Format>>,
}

/// Why a topic's settings do not say how its records become rows. They were checked when they were
/// set, so this is a newer version's doing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadFormat {
    #[error("tidelog.table.schema: {0}")]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Type(#[from] UnsupportedType),
    #[error("the table has no columns yet: its first records will say which")]
    Undecided,
}

impl Formats {
    /// By a topic's settings and the schemas noted for it; what `before` has made of the same is kept,
    /// and with it what its writers taught.
    ///
    /// A topic that is no table has its key and value as columns, too, for whoever reads them as such;
    /// they are decoded for each reader and never compressed.
    ///
    /// # Errors
    /// [`BadFormat`].
    pub fn of(
        settings: &TableSettings,
        noted: &[RowsSchema],
        before: Option<&Formats>,
    ) -> Result<Self, BadFormat> {
        let before = before.filter(|before| before.is_made_by(settings));
        let known = |id| before.and_then(|before| before.with_id(id)).cloned();
        let own = own_schema(&settings.mode).filter(|_| noted.is_empty());
        let all = noted
            .iter()
            .chain(&own)
            .map(|schema| match known(schema.id) {
                Some(format) => Ok(format),
                None => Format::new(schema, settings).map(Arc::new),
            });
        Ok(Self {
            mode: settings.mode.clone(),
            codec: settings.codec,
            is_changelog: settings.has_changelog(),
            all: all.collect::<Result<_, BadFormat>>()?,
        })
    }

    /// True while these are what `settings` and `noted` say.
    pub fn are_of(&self, settings: &TableSettings, noted: &[RowsSchema]) -> bool {
        let newest = noted.last().map(|schema| schema.id);
        self.is_made_by(settings)
            && (newest.is_none() || newest == self.current().map(|format| format.schema_id))
    }

    /// Every one, in ascending order of schema id.
    pub fn all(&self) -> &[Arc<Format>] {
        &self.all
    }

    /// The one for records to come; `None` while it has to be found out.
    pub fn current(&self) -> Option<&Arc<Format>> {
        self.all.last()
    }

    pub fn with_id(&self, schema_id: i32) -> Option<&Arc<Format>> {
        self.all.iter().find(|format| format.schema_id == schema_id)
    }

    /// True if rows are built as records arrive.
    pub fn is_table(&self) -> bool {
        self.mode != TableMode::Disabled
    }

    pub fn mode(&self) -> &TableMode {
        &self.mode
    }

    fn is_made_by(&self, settings: &TableSettings) -> bool {
        self.mode == settings.mode
            && self.is_changelog == settings.has_changelog()
            && (!self.is_table() || self.codec == settings.codec)
    }
}

/// The schema that a topic of this mode has as long as none is noted.
fn own_schema(mode: &TableMode) -> Option<RowsSchema> {
    match mode {
        TableMode::Disabled | TableMode::KeyValue => Some(RowsSchema {
            id: KEY_VALUE_SCHEMA_ID,
            text: None,
        }),
        TableMode::Inline { schema } => Some(RowsSchema {
            id: FIRST_SCHEMA_ID,
            text: Some(schema.clone()),
        }),
        TableMode::Inferred
        | TableMode::Auto
        | TableMode::SchemaIdPrefix
        | TableMode::SchemaLatest(_) => None,
    }
}

impl Format {
    fn new(schema: &RowsSchema, settings: &TableSettings) -> Result<Self, BadFormat> {
        let records = match &schema.text {
            None => RowSchema::key_value(),
            Some(text) => RowSchema::written(TableSchema::parse(text)?, writers(&settings.mode)),
        };
        let rows = match settings.has_changelog() {
            true => records.changelog(),
            false => records.clone(),
        };
        let compression = match (&settings.mode, settings.codec) {
            (TableMode::Disabled, _) | (_, TableCodec::None) => Compression::None,
            (_, TableCodec::Lz4) => Compression::Lz4,
            (_, TableCodec::Zstd) => Compression::Zstd,
        };
        Ok(Self {
            schema_id: schema.id,
            shape: Shape::shared(Arc::clone(rows.arrow()))?,
            schema: rows,
            records,
            compression,
            is_table: settings.mode != TableMode::Disabled,
        })
    }

    /// Rows from before a topic had a schema of its own.
    ///
    /// # Errors
    /// [`BadFormat`].
    pub fn key_value() -> Result<Self, BadFormat> {
        let schema = RowSchema::key_value();
        Ok(Self {
            schema_id: KEY_VALUE_SCHEMA_ID,
            shape: Shape::shared(Arc::clone(schema.arrow()))?,
            records: schema.clone(),
            schema,
            compression: Compression::None,
            is_table: true,
        })
    }
}

/// How the values of a topic of this mode name their schema, and what is known of it from the start.
fn writers(mode: &TableMode) -> Arc<Writers> {
    Arc::new(match mode {
        TableMode::SchemaIdPrefix => Writers::framed(),
        TableMode::SchemaLatest(_) => Writers::latest(),
        TableMode::Inferred | TableMode::Auto => {
            // Not fixed: a table may come to have no room to grow.
            let growing = Writers::latest();
            let plan = Arc::new(Plan::Inferred(Growth::Wanted));
            growing.learn(SchemaRef::Latest, Known::Plan(plan));
            growing
        }
        TableMode::Disabled | TableMode::KeyValue | TableMode::Inline { .. } => {
            Writers::bare(Arc::new(Plan::Json))
        }
    })
}
