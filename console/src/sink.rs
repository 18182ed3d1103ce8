//! Where rows go: lines of JSON, a table for people, an Arrow stream, a Parquet file.

use std::io::Write as _;

use anyhow::Result;
use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::out::widths;
use crate::{Out, cells};

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A line for each row
    Json,
    /// Columns side by side
    Table,
    /// An Arrow IPC stream
    Arrow,
    /// A Parquet file
    Parquet,
}

/// Rows on their way out.
pub enum Sink {
    Json(Out),
    Table {
        out: Out,
        schema: SchemaRef,
        /// Once the first rows have come.
        widths: Option<Vec<usize>>,
    },
    Arrow(Box<StreamWriter<Out>>),
    Parquet(Box<ArrowWriter<Out>>),
}

impl Sink {
    /// # Errors
    /// The schema has no such form.
    pub fn new(form: Form, schema: &SchemaRef, out: Out) -> Result<Self> {
        Ok(match form {
            Form::Json => Self::Json(out),
            Form::Table => Self::Table {
                out,
                schema: schema.clone(),
                widths: None,
            },
            Form::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(out, schema)?)),
            Form::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
                Self::Parquet(Box::new(writer))
            }
        })
    }

    /// Takes rows, and lets the reader of a stream see them.
    ///
    /// # Errors
    /// The reader went away, or the disk is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        match self {
            Self::Json(out) => {
                for at in 0..rows.num_rows() {
                    out.json(&cells::row(rows, at)?)?;
                }
                out.flush()?;
            }
            Self::Table {
                out,
                schema,
                widths: known,
            } => {
                let cells = table(rows)?;
                let wide = match known {
                    Some(wide) => wide,
                    None => {
                        let heads = heads(schema);
                        let wide = known.insert(widths(&heads, &cells));
                        out.row(&heads, wide)?;
                        wide
                    }
                };
                cells.iter().try_for_each(|row| out.row(row, wide))?;
                out.flush()?;
            }
            Self::Arrow(writer) => {
                writer.write(rows)?;
                writer.flush()?;
            }
            Self::Parquet(writer) => writer.write(rows)?,
        }
        Ok(())
    }

    /// Writes what belongs at the end.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Json(out) => out.done(),
            Self::Table {
                mut out,
                schema,
                widths,
            } => {
                if widths.is_none() {
                    let heads = heads(&schema);
                    out.row(&heads, &vec![0; heads.len()])?;
                }
                out.done()
            }
            Self::Arrow(mut writer) => {
                writer.finish()?;
                Ok(writer.flush()?)
            }
            Self::Parquet(writer) => writer.into_inner()?.done(),
        }
    }
}

fn heads(schema: &SchemaRef) -> Vec<String> {
    let fields = schema.fields().iter();
    fields.map(|field| field.name().clone()).collect()
}

fn table(rows: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let mut cells = Vec::with_capacity(rows.num_rows());
    for at in 0..rows.num_rows() {
        let row = rows.columns().iter().map(|column| cells::cell(column, at));
        cells.push(row.collect::<Result<_, _>>()?);
    }
    Ok(cells)
}
