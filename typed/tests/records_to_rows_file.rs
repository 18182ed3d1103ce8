//! From record batches to a projected rows block and back: what `typed` makes is what `storage`
//! stores, for every type and both modes, and nothing of it changes on the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use tidelog_records::BatchBuilder;
use tidelog_storage::rows::{Compression, EncodedBlock, Projection, Shape};
use tidelog_typed::{DecodeLimits, OffsetRange, RowBatch, RowSchema, TableSchema, decode_batches};

const SCHEMA: &str = r#"{"fields":[
    {"name":"id","type":"long","nullable":false},
    {"name":"flags","type":{"list":"bool"}},
    {"name":"amount","type":"decimal(12,2)"},
    {"name":"when","type":"timestamp(ms)"},
    {"name":"day","type":"date"},
    {"name":"at","type":"time"},
    {"name":"local","type":"local_timestamp(us)"},
    {"name":"counts","type":{"map":"long","keys":"int"}},
    {"name":"raw","type":"binary"},
    {"name":"rates","type":{"map":{"struct":[{"name":"rate","type":"float","nullable":false}]}}},
    {"name":"address","type":{"struct":[
        {"name":"city","type":"string","nullable":false},
        {"name":"zip","type":"int"}]}}]}"#;

fn decode(schema: &RowSchema) -> RowBatch {
    let mut builder = BatchBuilder::new().base_offset(100);
    for row in 0..50 {
        let value = match row % 5 {
            0 => format!(r#"{{"id":{row},"address":{{"city":"Kiel"}},"flags":[true,null]}}"#),
            1 => format!(r#"{{"id":{row},"amount":{row}.5,"rates":{{"eur":{{"rate":1.5}}}}}}"#),
            2 => format!(
                r#"{{"id":{row},"raw":"AAEC","when":{row},"day":"2026-05-01","at":"12:30:00","counts":{{"1":2}}}}"#
            ),
            3 => format!(
                r#"{{"id":{row},"address":null,"rates":{{"x":null}},"local":"2026-05-01T12:30:00"}}"#
            ),
            _ => "{".to_owned(),
        };
        let headers = [(&b"h"[..], (row % 2 == 0).then_some(&b"v"[..]))];
        let value = Some(value.as_bytes());
        builder.append(row, None, value, headers).unwrap();
    }
    let range = OffsetRange {
        first: 100,
        end: 200,
    };
    let limits = DecodeLimits {
        records_max: 1_000,
        bytes_max: 1 << 20,
        batch_bytes_max: 1 << 20,
    };
    let batches: [Bytes; 1] = [builder.finish().unwrap()];
    decode_batches(schema, 3, range, batches, &limits).unwrap()
}

fn check(schema: &RowSchema, paths: &[&str]) {
    let batch = decode(schema);
    let shape = Shape::shared(schema.arrow().clone()).unwrap();
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let (first, end) = (batch.first_offset, batch.end_offset);
        let block = EncodedBlock::encode(&shape, &batch.rows, first, end, compression).unwrap();
        let all = block.decode(&Projection::all(&shape)).unwrap();
        assert_eq!(all, batch.rows);
        let (projection, unknown) = Projection::select(&shape, paths);
        assert!(unknown.is_empty(), "{unknown:?}");
        let some = block.decode(&projection).unwrap();
        assert_eq!(some.num_rows(), batch.rows.num_rows());
        for (field, column) in some.schema().fields().iter().zip(some.columns()) {
            if field.name() != "address" {
                assert_eq!(Some(column), batch.rows.column_by_name(field.name()));
            }
        }
    }
}

#[test]
fn typed_rows_are_stored_and_projected() {
    let schema = RowSchema::typed(TableSchema::parse(SCHEMA).unwrap());
    assert_eq!(decode(&schema).undecodable.len(), 10);
    check(&schema, &["#-2", "_headers", "rates", "address.city", "#2"]);
}

#[test]
fn key_value_rows_are_stored_and_projected() {
    let schema = RowSchema::key_value();
    assert!(decode(&schema).undecodable.is_empty());
    check(&schema, &["_key", "value", "_partition", "_timestamp"]);
}
