//! Rows become record values, in the format of their topic.
//!
//! ```text
//! ValueForm ─┬─ bytes   the column `value`, as it is
//!            ├─ JSON    an object
//!            └─ Avro    the writer's schema, whose columns the rows have
//! frame: 0x00 schema id (4 bytes, big-endian) in front, where values name their schema
//! ```

use arrow_array::{ArrayRef, RecordBatch};

use crate::avro::{self, DraftRows};
use crate::intake::bytes_at;
use crate::json::{JsonRows, JsonStyle, Reason, Unwritable, UnwritableType};
use crate::system;
use crate::writers::frame;

/// How the values of a topic's records are written.
#[derive(Debug)]
pub enum ValueForm {
    Bytes,
    Json {
        frame: Option<i32>,
        style: JsonStyle,
    },
    Avro {
        writer: Box<avro::Writer>,
        frame: Option<i32>,
    },
}

/// Rows ready to be written as values.
pub struct ValueRows<'a> {
    frame: Option<i32>,
    rows: Rows<'a>,
}

enum Rows<'a> {
    Bytes(Option<&'a ArrayRef>),
    Json(JsonRows<'a>, JsonStyle),
    Avro(DraftRows<'a>),
}

/// Why a row has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The format has no bytes for one of its values.
    #[error(transparent)]
    Value(#[from] Reason),
    #[error("more bytes than were allowed")]
    TooLong,
}

impl<'a> ValueRows<'a> {
    /// `values` are the columns that [`Intake`](crate::Intake) took for this form's columns.
    ///
    /// # Errors
    /// [`UnwritableType`]: they are others.
    pub fn of(form: &'a ValueForm, values: &'a RecordBatch) -> Result<Self, UnwritableType> {
        let (frame, rows) = match form {
            ValueForm::Bytes => (
                None,
                Rows::Bytes(values.column_by_name(system::name::VALUE)),
            ),
            ValueForm::Json { frame, style } => (*frame, Rows::Json(JsonRows::of(values)?, *style)),
            ValueForm::Avro { writer, frame } => (*frame, Rows::Avro(writer.rows(values)?)),
        };
        Ok(Self { frame, rows })
    }

    /// Puts the value of row `row`, which exists, into `out` in place of what it holds; false if the
    /// record has none.
    ///
    /// # Errors
    /// [`EncodeError`]; `TooLong` soon after `bytes_max`.
    pub fn write(
        &self,
        row: usize,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        out.clear();
        if let Some(id) = self.frame {
            out.extend(frame(id));
        }
        match &self.rows {
            Rows::Bytes(values) => {
                let value = values.and_then(|values| bytes_at(values, row));
                out.extend_from_slice(value.unwrap_or_default());
                return Ok(value.is_some());
            }
            Rows::Json(rows, style) => rows.write_within(row, *style, bytes_max, out)?,
            Rows::Avro(rows) => rows.write_within(row, bytes_max, out)?,
        }
        Ok(true)
    }
}

impl From<Unwritable> for EncodeError {
    fn from(why: Unwritable) -> Self {
        match why {
            Unwritable::NotFinite => Self::Value(Reason::NotFinite),
            Unwritable::TooLong => Self::TooLong,
        }
    }
}
