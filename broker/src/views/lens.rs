//! Which rows of its source a view shows, and which columns of them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields, Schema};
use tidelog_coordinator::cluster::settings::{ViewFormat, ViewSettings};
use tidelog_predicate::{
    BindError, Bound, ParseError, Predicate, WrongRows, bind, bind_version, parse,
};
use tidelog_typed::RowSchema;

use super::values::{AvroError, AvroSchema, ValueFormat, avro_text};
use crate::jobs::rows::format::{BadFormat, Format};

/// Why a view cannot show its source.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadLens {
    #[error("tidelog.view.filter: {0}")]
    Filter(#[from] ParseError),
    #[error("tidelog.view.filter: {0}")]
    Bind(#[from] BindError),
    #[error("tidelog.view.columns: topic {source_name} has no column {column:?}")]
    Column { source_name: String, column: String },
    #[error(transparent)]
    Format(#[from] BadFormat),
    #[error(transparent)]
    Avro(#[from] AvroError),
    #[error("the columns shown: {0}")]
    Shown(Arc<ArrowError>),
}

/// A view's settings, understood under one format of its source.
#[derive(Debug)]
pub struct Lens {
    format: Arc<Format>,
    /// What the rows have that it is made for.
    rows: RowSchema,
    columns: Vec<Pick>,
    filter: Option<Bound>,
    values: ValueFormat,
}

/// A column, or some members of one that is a struct, by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pick {
    Whole(usize),
    Members(usize, Vec<Pick>),
}

impl Lens {
    /// A column that the source does not have (yet) is left out of values, and null for the filter.
    /// Values are JSON.
    ///
    /// # Errors
    /// [`BadLens`], but no unknown column.
    pub fn new(settings: &ViewSettings, format: Arc<Format>) -> Result<Self, BadLens> {
        let rows = rows_of(settings, &format).clone();
        let schema = rows.arrow();
        let filter = predicate(&settings.filter)?;
        let filter = filter.map(|predicate| bind_version(&predicate, schema));
        let filter = filter.transpose()?;
        let columns = match settings.columns.as_slice() {
            [] => values(&rows).map(Pick::Whole).collect(),
            names => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                picks(schema.fields(), &names)
            }
        };
        Ok(Self {
            format,
            rows,
            columns,
            filter,
            values: ValueFormat::Json,
        })
    }

    /// The same with values in Avro, of a schema with the columns shown.
    pub fn in_avro(self, schema: Arc<AvroSchema>) -> Self {
        let values = ValueFormat::Avro(schema);
        Self { values, ..self }
    }

    /// As [`Lens::new`], and every column named has to be there, and have a place in the view's format.
    ///
    /// # Errors
    /// [`BadLens`].
    pub fn check(settings: &ViewSettings, format: &Arc<Format>) -> Result<(), BadLens> {
        let schema = rows_of(settings, format).arrow();
        if let Some(predicate) = predicate(&settings.filter)? {
            bind(&predicate, schema)?;
        }
        let is_unknown = |name: &&String| picks(schema.fields(), &[name.as_str()]).is_empty();
        if let Some(column) = settings.columns.iter().find(is_unknown) {
            return Err(BadLens::Column {
                source_name: settings.of.clone(),
                column: column.clone(),
            });
        }
        if settings.format == ViewFormat::Avro {
            let lens = Self::new(settings, Arc::clone(format))?;
            avro_text(&settings.of, &lens.shown()?)?;
        }
        Ok(())
    }

    /// Of the source's rows.
    pub fn schema_id(&self) -> i32 {
        self.format.schema_id
    }

    /// How records of the source become rows; for a view of changes, what those have.
    pub fn rows(&self) -> &RowSchema {
        &self.rows
    }

    /// How the source's rows are kept.
    pub fn format(&self) -> &Arc<Format> {
        &self.format
    }

    /// Which of the rows are shown: those for which the filter is true.
    ///
    /// # Errors
    /// [`WrongRows`], never for rows of [`Lens::rows`].
    pub fn matches(&self, rows: &RecordBatch) -> Result<BooleanArray, WrongRows> {
        match &self.filter {
            Some(filter) => filter.eval(rows),
            None => Ok(BooleanArray::from(vec![true; rows.num_rows()])),
        }
    }

    /// How the rows that are shown are written.
    pub fn values(&self) -> &ValueFormat {
        &self.values
    }

    /// What [`Lens::columns`] makes of the source's columns.
    ///
    /// # Errors
    /// None in practice.
    pub fn shown(&self) -> Result<Fields, BadLens> {
        let none = RecordBatch::new_empty(Arc::clone(self.rows.arrow()));
        let shown = self.columns(&none);
        let shown = shown.map_err(|error| BadLens::Shown(Arc::new(error)))?;
        Ok(shown.schema().fields().clone())
    }

    /// The columns shown, in the order they have in the source.
    ///
    /// # Errors
    /// None for rows of [`Lens::rows`].
    pub fn columns(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let (fields, columns) = picked(&self.columns, rows.schema_ref().fields(), rows.columns())?;
        // A view of columns that are not there yet has none.
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::new(Schema::new(fields));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }
}

/// What a view of this format looks at: records, or the changes they make.
fn rows_of<'a>(settings: &ViewSettings, format: &'a Format) -> &'a RowSchema {
    match settings.format {
        ViewFormat::Json | ViewFormat::Avro => &format.records,
        ViewFormat::DebeziumJson => &format.schema,
    }
}

/// Whether a text is a filter at all.
///
/// # Errors
/// [`BadLens::Filter`].
pub fn check_filter(text: &str) -> Result<(), BadLens> {
    predicate(text).map(|_| ())
}

fn predicate(text: &str) -> Result<Option<Predicate>, BadLens> {
    match text {
        "" => Ok(None),
        text => Ok(Some(parse(text)?)),
    }
}

/// The places of the value columns.
fn values(schema: &RowSchema) -> impl Iterator<Item = usize> {
    let all = schema.arrow().fields().len();
    let of_value = schema.values().map_or(1, |values| values.fields().len());
    all - of_value..all
}

/// What dotted names pick of these fields.
fn picks(fields: &Fields, names: &[&str]) -> Vec<Pick> {
    let pick = |(place, field): (usize, &FieldRef)| {
        let behind = names
            .iter()
            .filter_map(|name| name.strip_prefix(field.name().as_str()));
        let behind: Vec<&str> = behind.collect();
        if behind.contains(&"") {
            return Some(Pick::Whole(place));
        }
        let DataType::Struct(members) = field.data_type() else {
            return None;
        };
        let inner = behind.iter().filter_map(|name| name.strip_prefix('.'));
        let members = picks(members, &inner.collect::<Vec<_>>());
        (!members.is_empty()).then_some(Pick::Members(place, members))
    };
    fields.iter().enumerate().filter_map(pick).collect()
}

type Columns = (Vec<FieldRef>, Vec<ArrayRef>);

fn picked(picks: &[Pick], fields: &Fields, columns: &[ArrayRef]) -> Result<Columns, ArrowError> {
    let each = picks.iter().map(|pick| match pick {
        Pick::Whole(place) => Ok((Arc::clone(&fields[*place]), Arc::clone(&columns[*place]))),
        Pick::Members(place, members) => {
            let (field, group) = (&fields[*place], columns[*place].as_struct());
            let (fields, columns) = picked(members, group.fields(), group.columns())?;
            let nulls = group.nulls().cloned();
            let group = StructArray::try_new(fields.into(), columns, nulls)?;
            let field = field.as_ref().clone();
            let field = field.with_data_type(group.data_type().clone());
            Ok((Arc::new(field), Arc::new(group) as ArrayRef))
        }
    });
    each.collect::<Result<Vec<_>, _>>()
        .map(|pairs| pairs.into_iter().unzip())
}
