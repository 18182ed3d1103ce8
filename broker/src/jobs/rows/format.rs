//! How the records of a topic become rows: the schema, its id, and how columns are encoded.

use std::sync::Arc;

use tidelog_coordinator::cluster::settings::{TableCodec, TableMode, TableSettings};
use tidelog_storage::rows::{Compression, Shape, UnsupportedType};
use tidelog_typed::{RowSchema, SchemaError, TableSchema};

/// Id of the columns key and value, which no topic's own schema ever has.
pub const KEY_VALUE_SCHEMA_ID: i32 = 0;
/// Id of the first schema of a topic. There is no second yet: a schema, once set, stays.
pub const FIRST_SCHEMA_ID: i32 = 1;

/// Made once for each topic and shared.
#[derive(Debug)]
pub struct Format {
    pub schema_id: i32,
    pub schema: RowSchema,
    pub shape: Arc<Shape>,
    pub compression: Compression,
    mode: TableMode,
}

/// Why a topic's settings do not say how its records become rows. They were checked when they were
/// set, so this is a newer version's doing.
#[derive(Debug, thiserror::Error)]
pub enum BadFormat {
    #[error("tidelog.table.schema: {0}")]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Type(#[from] UnsupportedType),
}

impl Format {
    /// By a topic's settings. A topic that is no table has its key and value as columns, too, for
    /// whoever reads them as such; they are decoded for each reader and never compressed.
    ///
    /// # Errors
    /// [`BadFormat`].
    pub fn of(settings: &TableSettings) -> Result<Self, BadFormat> {
        let (schema_id, schema) = match &settings.mode {
            TableMode::Disabled | TableMode::KeyValue => {
                (KEY_VALUE_SCHEMA_ID, RowSchema::key_value())
            }
            TableMode::Inline { schema } => {
                let schema = TableSchema::parse(schema)?;
                (FIRST_SCHEMA_ID, RowSchema::typed(schema))
            }
        };
        let compression = match (&settings.mode, settings.codec) {
            (TableMode::Disabled, _) | (_, TableCodec::None) => Compression::None,
            (_, TableCodec::Lz4) => Compression::Lz4,
            (_, TableCodec::Zstd) => Compression::Zstd,
        };
        Ok(Self {
            schema_id,
            shape: Shape::shared(Arc::clone(schema.arrow()))?,
            schema,
            compression,
            mode: settings.mode.clone(),
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
            schema,
            compression: Compression::None,
            mode: TableMode::KeyValue,
        })
    }

    /// True while `settings` still say the same.
    pub fn is_of(&self, settings: &TableSettings) -> bool {
        let codec = match self.compression {
            Compression::None => TableCodec::None,
            Compression::Lz4 => TableCodec::Lz4,
            Compression::Zstd => TableCodec::Zstd,
        };
        self.mode == settings.mode && (!self.is_table() || codec == settings.codec)
    }

    /// True if rows are built as records arrive, false if only for whoever asks.
    pub fn is_table(&self) -> bool {
        self.mode != TableMode::Disabled
    }

    /// The mode as the topic's setting spells it.
    pub fn mode_name(&self) -> &'static str {
        match self.mode {
            TableMode::Disabled => "disabled",
            TableMode::KeyValue => "key_value",
            TableMode::Inline { .. } => "inline",
        }
    }
}
