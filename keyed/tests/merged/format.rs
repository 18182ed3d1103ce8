//! A format of values for tests: `ver=3 sum=-4 txt=ab`, columns by name, `?` for null. Anything else
//! does not decode.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use tidelog_keyed::merge::{Block, Column, DecodeColumns, DecodeFailed, FieldId};
use tidelog_records::Records;
use tidelog_storage::ids::Offset;

pub const VER: FieldId = 1;
pub const SUM: FieldId = 2;
pub const TXT: FieldId = 3;
pub const FST: FieldId = 5;

pub const NAMES: [(FieldId, &str); 4] = [(VER, "ver"), (SUM, "sum"), (TXT, "txt"), (FST, "fst")];

/// A cell, the plain way. The outer `None` is "not named".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    Null,
    Number(i64),
    Text(String),
}

pub fn columns() -> Vec<Column> {
    let column = |(id, name): &(FieldId, &str)| Column {
        id: *id,
        name: (*name).to_owned(),
        data_type: data_type(*id),
        nullable: true,
        key: false,
    };
    NAMES.iter().map(column).collect()
}

fn data_type(id: FieldId) -> DataType {
    match id {
        TXT => DataType::Utf8,
        _ => DataType::Int64,
    }
}

/// The columns that a value names; `None` if it does not decode.
pub fn parse(value: &[u8]) -> Option<BTreeMap<FieldId, Plain>> {
    let text = std::str::from_utf8(value).ok()?;
    let cell = |cell: &str| {
        let (name, value) = cell.split_once('=')?;
        let (id, _) = NAMES.iter().find(|(_, known)| *known == name)?;
        let value = match (value, *id) {
            ("?", _) => Plain::Null,
            (text, TXT) => Plain::Text(text.to_owned()),
            (number, _) => Plain::Number(number.parse().ok()?),
        };
        Some((*id, value))
    };
    text.split_whitespace().map(cell).collect()
}

pub struct PlainFormat;

impl DecodeColumns for PlainFormat {
    fn decode(&self, batches: &[Bytes], from: Offset) -> Result<Block, DecodeFailed> {
        let (mut offsets, mut rows, mut named) = (Vec::new(), Vec::new(), HashMap::new());
        for batch in batches {
            for record in &Records::open(batch, 1 << 20)? {
                let record = record?;
                let cells = record.value.and_then(parse);
                let Some(cells) = cells.filter(|_| record.offset >= from) else {
                    continue;
                };
                named.insert(record.offset, cells.keys().copied().collect());
                offsets.push(record.offset);
                rows.push(cells);
            }
        }
        let (fields, arrays): (Vec<_>, Vec<_>) = NAMES
            .iter()
            .map(|(id, name)| column(*id, name, &rows))
            .unzip();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        Ok(Block {
            offsets,
            rows,
            named,
        })
    }
}

fn column(id: FieldId, name: &str, rows: &[BTreeMap<FieldId, Plain>]) -> (Field, ArrayRef) {
    let cells = rows.iter().map(|row| row.get(&id));
    let array: ArrayRef = match id {
        TXT => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
            Some(Plain::Text(text)) => Some(text),
            _ => None,
        }))),
        _ => Arc::new(Int64Array::from_iter(cells.map(|cell| match cell {
            Some(Plain::Number(number)) => Some(*number),
            _ => None,
        }))),
    };
    let id = ("PARQUET:field_id".to_owned(), id.to_string());
    let field = Field::new(name, data_type_of(&array), true).with_metadata([id].into());
    (field, array)
}

fn data_type_of(array: &ArrayRef) -> DataType {
    array.data_type().clone()
}
