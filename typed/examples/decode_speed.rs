//! How fast one core turns values into columns: `cargo run --release -p tidelog-typed --example
//! decode_speed [json | inferred | mixed | avro | protobuf]`. Prints MB of values and records per
//! second, best of ten rounds. JSON comes in record batches, as a topic has it; the others as values
//! alone. `inferred` reads it into an inferred table, `mixed` too, and every tenth record has a value
//! that only a sibling column takes.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::time::Instant;

use apache_avro::types::Value as Avro;
use bytes::Bytes;
use tidelog_records::BatchBuilder;
use tidelog_typed::evolve::merge;
use tidelog_typed::infer::{InferOptions, Inference};
use tidelog_typed::{DecodeLimits, Growth, OffsetRange, RowSchema, TableSchema, decode_batches};
use tidelog_typed::{avro, protobuf};

const RECORDS: i64 = 100_000;
const RECORDS_PER_BATCH: i64 = 500;
const ROUNDS: usize = 10;
/// Rows of one Arrow batch.
const ROWS: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        None | Some("json") => json(RowSchema::typed, false),
        Some("inferred") => json(growing, false),
        Some("mixed") => json(growing, true),
        Some("avro") => of_avro(),
        Some("protobuf") => of_protobuf(),
        Some(other) => Err(format!(
            "no mode {other:?}; there are json, inferred, mixed, avro, protobuf"
        )
        .into()),
    }
}

fn growing(columns: TableSchema) -> RowSchema {
    RowSchema::inferred(columns, Growth::Wanted)
}

fn json(of: fn(TableSchema) -> RowSchema, mixed: bool) -> Result<(), Box<dyn Error>> {
    let mut columns = TableSchema::parse(&schema())?;
    if mixed {
        columns = with_sibling(&columns)?;
    }
    let schema = of(columns);
    let (batches, bytes) = batches(mixed)?;
    let range = OffsetRange {
        first: 0,
        end: RECORDS,
    };
    let limits = DecodeLimits {
        records_max: ROWS,
        bytes_max: 64 << 20,
        batch_bytes_max: 16 << 20,
    };
    measure("JSON", bytes, || {
        let mut rows = 0;
        let mut rest = range;
        while rest.first < rest.end {
            let from = (rest.first / RECORDS_PER_BATCH) as usize;
            let out = decode_batches(&schema, 0, rest, batches[from..].iter().cloned(), &limits)?;
            rows += out.rows.num_rows();
            rest.first = out.end_offset;
        }
        Ok(rows)
    })
}

fn of_avro() -> Result<(), Box<dyn Error>> {
    let table = TableSchema::parse(&schema())?;
    let text = avro_schema();
    let plan = avro::Plan::compile(&avro::Writer::parse(&text, &[])?, &table)?;
    let schema = apache_avro::Schema::parse_str(&text)?;
    let values = (0..RECORDS).map(|offset| apache_avro::to_avro_datum(&schema, avro_value(offset)));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let bytes = values.iter().map(Vec::len).sum();
    measure("Avro", bytes, || {
        let mut rows = 0;
        for values in values.chunks(ROWS) {
            let decoded = plan.decode(values.iter().map(Vec::as_slice))?;
            rows += decoded.rows.num_rows();
        }
        Ok(rows)
    })
}

/// The table as it is once it has met a record of the odd kind.
fn with_sibling(columns: &TableSchema) -> Result<TableSchema, Box<dyn Error>> {
    let mut inference = Inference::over(columns, InferOptions::default());
    inference.observe(json_value(0, true).as_bytes())?;
    Ok(merge(columns, &inference.draft())?.schema)
}

fn measure(
    format: &str,
    bytes: usize,
    mut round: impl FnMut() -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert_eq!(round()? as i64, RECORDS);
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{} bytes a record, {:.0} MB/s of {format}, {:.0} thousand records/s",
        bytes as i64 / RECORDS,
        bytes as f64 / best / 1e6,
        RECORDS as f64 / best / 1e3
    );
    Ok(())
}

fn of_protobuf() -> Result<(), Box<dyn Error>> {
    let first = protobuf::MessageChoice::default();
    let writer = protobuf::Writer::parse(PROTOBUF, &[], &first)?;
    let plan = protobuf::Plan::compile(&writer, &writer.draft().allocate()?)?;
    let values: Vec<_> = (0..RECORDS).map(protobuf_value).collect();
    let bytes = values.iter().map(Vec::len).sum();
    measure("Protobuf", bytes, || {
        let mut rows = 0;
        for values in values.chunks(ROWS) {
            let (batch, undecodable) = plan.columns(values.iter().map(Vec::as_slice))?;
            assert!(undecodable.is_empty());
            rows += batch.num_rows();
        }
        Ok(rows)
    })
}

/// Twenty columns: 3 integers, a moment, 4 doubles, a bool, 11 texts.
fn columns() -> impl Iterator<Item = (String, &'static str)> {
    (0..3)
        .map(|i| (format!("number_{i}"), "long"))
        .chain([("created_at".to_owned(), "timestamp(us)")])
        .chain((0..4).map(|i| (format!("measure_{i}"), "double")))
        .chain([("active".to_owned(), "bool")])
        .chain((0..11).map(|i| (format!("text_{i}"), "string")))
}

fn schema() -> String {
    let field = |(name, kind)| format!(r#"{{"name":"{name}","type":"{kind}"}}"#);
    let fields: Vec<_> = columns().map(field).collect();
    format!(r#"{{"fields":[{}]}}"#, fields.join(","))
}

/// The same columns; every third may be null.
fn avro_schema() -> String {
    let fields = columns().enumerate().map(|(i, (name, kind))| {
        let kind = match kind {
            "timestamp(us)" => r#"{"type":"long","logicalType":"timestamp-micros"}"#.to_owned(),
            "bool" => r#""boolean""#.to_owned(),
            kind => format!("{kind:?}"),
        };
        let of = if i % 3 == 0 {
            format!(r#"["null",{kind}]"#)
        } else {
            kind
        };
        format!(r#"{{"name":"{name}","type":{of}}}"#)
    });
    let fields: Vec<_> = fields.collect();
    format!(
        r#"{{"type":"record","name":"Row","fields":[{}]}}"#,
        fields.join(",")
    )
}

fn avro_value(offset: i64) -> Avro {
    let value = |kind, i: usize| match kind {
        "long" => Avro::Long(offset * 31 + i as i64),
        "timestamp(us)" => Avro::TimestampMicros(1_777_638_600_123_456 + offset),
        "double" => Avro::Double(offset as f64 + 0.25),
        "bool" => Avro::Boolean(offset % 2 == 0),
        _ => Avro::String(text(offset, i as i64)),
    };
    let fields = columns().enumerate().map(|(i, (name, kind))| {
        let value = value(kind, i);
        let value = match i % 3 {
            0 => Avro::Union(1, Box::new(value)),
            _ => value,
        };
        (name, value)
    });
    Avro::Record(fields.collect())
}

fn text(offset: i64, i: i64) -> String {
    format!("the quick brown fox of row {offset} jumps over {i} dogs")
}

fn batches(mixed: bool) -> Result<(Vec<Bytes>, usize), Box<dyn Error>> {
    let mut json_bytes = 0;
    let mut batches = Vec::new();
    for base in (0..RECORDS).step_by(RECORDS_PER_BATCH as usize) {
        let mut builder = BatchBuilder::new().base_offset(base);
        for offset in base..base + RECORDS_PER_BATCH {
            let value = json_value(offset, mixed && offset % 10 == 0);
            json_bytes += value.len();
            let key = format!("customer-{:012}", offset * 7_919);
            builder.append(offset, Some(key.as_bytes()), Some(value.as_bytes()), [])?;
        }
        batches.push(builder.finish()?);
    }
    Ok((batches, json_bytes))
}

/// About a kilobyte; a quarter of the texts have escapes.
fn json_value(offset: i64, odd: bool) -> String {
    let quote = |i| if odd && i == 0 { "\"" } else { "" };
    let numbers = (0..3).map(|i| format!(r#""number_{i}":{1}{0}{1}"#, offset * 31 + i, quote(i)));
    let measures =
        (0..4).map(|i| format!(r#""measure_{i}":{}.{:04}"#, offset + i, offset % 10_000));
    let texts = (0..11).map(|i| {
        let escape = if i % 4 == 0 { r#"\"quoted\"\n"# } else { "" };
        format!(r#""text_{i}":"{escape}{}""#, text(offset, i))
    });
    let members: Vec<_> = numbers
        .chain([r#""created_at":"2026-05-01T12:30:00.123456Z""#.to_owned()])
        .chain(measures)
        .chain([format!(r#""active":{}"#, offset % 2 == 0)])
        .chain(texts)
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The columns of [`schema`], the moment as a Timestamp.
const PROTOBUF: &str = r#"
    syntax = "proto3";
    import "google/protobuf/timestamp.proto";
    message Row {
      int64 number_0 = 1; int64 number_1 = 2; int64 number_2 = 3;
      google.protobuf.Timestamp created_at = 4;
      double measure_0 = 5; double measure_1 = 6; double measure_2 = 7; double measure_3 = 8;
      bool active = 9;
      string text_0 = 10; string text_1 = 11; string text_2 = 12; string text_3 = 13;
      string text_4 = 14; string text_5 = 15; string text_6 = 16; string text_7 = 17;
      string text_8 = 18; string text_9 = 19; string text_10 = 20;
    }
"#;

/// One message in the wire format, about 680 bytes.
fn protobuf_value(offset: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = |number: u64, bytes: &[u8]| {
        varint(&mut out, number << 3 | 2);
        varint(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    let mut moment = vec![1 << 3];
    varint(&mut moment, 1_777_638_600 + offset as u64);
    moment.push(2 << 3);
    varint(&mut moment, 123_456_000);
    bytes(4, &moment);
    for i in 0..11 {
        let text = format!("the quick brown fox of row {offset} jumps over {i} dogs");
        bytes(10 + i, text.as_bytes());
    }
    for i in 0..3 {
        varint(&mut out, (1 + i) << 3);
        varint(&mut out, offset as u64 * 31 + i);
    }
    for i in 0..4 {
        out.push((5 + i) << 3 | 1);
        out.extend_from_slice(&(offset as f64 + f64::from(i) / 16.0).to_le_bytes());
    }
    out.extend_from_slice(&[9 << 3, u8::from(offset % 2 == 0)]);
    out
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
