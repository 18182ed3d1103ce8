//! A topic's JSON values as the columns that merge engines read.
//!
//! Answers the same for the same bytes for ever: by the schema the topic was made with and nothing
//! that is learned.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use tidelog_keyed::merge::{Block, DecodeColumns, DecodeFailed, FieldId};
use tidelog_records::Records;
use tidelog_storage::ids::Offset;
use tidelog_typed::{DecodeLimits, OffsetRange, RowSchema, TableSchema, decode_batches, system};

/// What comes was taken as one batch, or is the rows of some keys: nothing stops in between.
const LIMITS: DecodeLimits = DecodeLimits {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
    batch_bytes_max: 128 << 20,
};

/// Which partition the rows are of plays no part.
const NO_PARTITION: i32 = -1;

/// Reads the values of one schema.
pub struct Decoder {
    schema: RowSchema,
    /// Whether it counts which members a value has.
    with_names: bool,
}

impl Decoder {
    pub fn new(schema: RowSchema, with_names: bool) -> Self {
        Self { schema, with_names }
    }
}

impl DecodeColumns for Decoder {
    fn decode(&self, batches: &[Bytes], from: Offset) -> Result<Block, DecodeFailed> {
        let range = OffsetRange {
            first: from,
            end: Offset::MAX,
        };
        let batch = decode_batches(
            &self.schema,
            NO_PARTITION,
            range,
            batches.iter().cloned(),
            &LIMITS,
        )?;
        let named = match self.schema.values() {
            Some(values) if self.with_names => named(values, batches, from)?,
            _ => HashMap::new(),
        };
        Ok(Block {
            offsets: offsets(&batch.rows),
            rows: batch.rows,
            named,
        })
    }
}

fn offsets(rows: &RecordBatch) -> Vec<Offset> {
    let column = rows.column_by_name(system::name::OFFSET);
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map_or_else(Vec::new, |offsets| offsets.values().to_vec())
}

/// The columns that values name, for those that do not name all.
fn named(
    schema: &TableSchema,
    batches: &[Bytes],
    from: Offset,
) -> Result<HashMap<Offset, Arc<[FieldId]>>, DecodeFailed> {
    let fields = schema.fields().iter();
    let by_name = fields.map(|field| (&field.name[..], field.id)).collect();
    let mut named = HashMap::new();
    let mut last: Arc<[FieldId]> = [].into();
    for batch in batches {
        let records = Records::open(batch, LIMITS.batch_bytes_max)?;
        if records.header().is_control() {
            continue;
        }
        for record in &records {
            let record = record?;
            let Some(value) = record.value.filter(|_| record.offset >= from) else {
                continue;
            };
            let mut text = serde_json::Deserializer::from_slice(value);
            // A value that is no object has no row.
            let Ok(ids) = text.deserialize_map(Members(&by_name)) else {
                continue;
            };
            if ids.len() == by_name.len() {
                continue;
            }
            // Records of one producer mostly name the same.
            if !last.iter().eq(&ids) {
                last = ids.into_iter().collect();
            }
            named.insert(record.offset, Arc::clone(&last));
        }
    }
    Ok(named)
}

/// The columns whose names an object has, in ascending order.
struct Members<'a>(&'a HashMap<&'a str, FieldId>);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = BTreeSet<FieldId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut ids = BTreeSet::new();
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            ids.extend(self.0.get(&*name));
            members.next_value::<IgnoredAny>()?;
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use tidelog_records::BatchBuilder;

    use super::*;

    fn decoder(with_names: bool) -> Decoder {
        let text = r#"{"fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#;
        Decoder::new(
            RowSchema::typed(TableSchema::parse(text).unwrap()),
            with_names,
        )
    }

    fn batch(base: Offset, values: &[Option<&str>]) -> Bytes {
        let mut batch = BatchBuilder::new().base_offset(base);
        for value in values {
            batch
                .append(0, Some(b"k"), value.map(str::as_bytes), [])
                .unwrap();
        }
        batch.finish().unwrap()
    }

    #[test]
    fn values_name_the_members_they_have() {
        let first = [
            Some(r#"{"a":1,"b":"x"}"#),
            Some(r#"{"b":null}"#),
            None,
            Some("{"),
            Some(r#"{"c":7,"a":2}"#),
        ];
        let batches = [batch(10, &first), batch(20, &[Some("{}")])];
        let block = decoder(true).decode(&batches, 11).unwrap();
        assert_eq!(block.offsets, [11, 14, 20]);
        let named = |offset| block.named.get(&offset).map(|ids| ids.to_vec());
        assert_eq!(named(11), Some(vec![2]));
        assert_eq!(named(14), Some(vec![1]));
        assert_eq!(named(20), Some(vec![]));
        let block = decoder(false).decode(&batches, 0).unwrap();
        assert_eq!(block.offsets, [10, 11, 14, 20]);
        assert!(block.named.is_empty());
    }

    #[test]
    fn what_names_all_is_not_noted() {
        let batches = [batch(0, &[Some(r#"{"b":"x","a":null}"#)])];
        let block = decoder(true).decode(&batches, 0).unwrap();
        assert_eq!((block.offsets.len(), block.named.len()), (1, 0));
    }
}
