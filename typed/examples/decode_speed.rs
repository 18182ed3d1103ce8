//! How fast one core turns JSON records into columns: `cargo run --release -p tidelog-typed
//! --example decode_speed`. Prints MB of JSON and records per second, best of ten rounds.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use tidelog_records::BatchBuilder;
use tidelog_typed::{DecodeLimits, OffsetRange, RowSchema, TableSchema, decode_batches};

const RECORDS: i64 = 100_000;
const RECORDS_PER_BATCH: i64 = 500;
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let schema = RowSchema::typed(TableSchema::parse(&schema())?);
    let (batches, json_bytes) = batches()?;
    let range = OffsetRange {
        first: 0,
        end: RECORDS,
    };
    let limits = DecodeLimits {
        records_max: 10_000,
        bytes_max: 64 << 20,
        batch_bytes_max: 16 << 20,
    };
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut rows = 0;
        let mut rest = range;
        while rest.first < rest.end {
            let from = (rest.first / RECORDS_PER_BATCH) as usize;
            let out = decode_batches(&schema, 0, rest, batches[from..].iter().cloned(), &limits)?;
            rows += out.rows.num_rows();
            rest.first = out.end_offset;
        }
        assert_eq!(rows as i64, RECORDS);
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{} bytes a record, {:.0} MB/s of JSON, {:.0} thousand records/s",
        json_bytes as i64 / RECORDS,
        json_bytes as f64 / best / 1e6,
        RECORDS as f64 / best / 1e3
    );
    Ok(())
}

/// Twenty columns: 3 integers, a moment, 4 doubles, a bool, 11 texts.
fn schema() -> String {
    let field = |name: String, kind: &str| format!(r#"{{"name":"{name}","type":"{kind}"}}"#);
    let fields = (0..3)
        .map(|i| field(format!("number_{i}"), "long"))
        .chain([field("created_at".to_owned(), "timestamp(us)")])
        .chain((0..4).map(|i| field(format!("measure_{i}"), "double")))
        .chain([field("active".to_owned(), "bool")])
        .chain((0..11).map(|i| field(format!("text_{i}"), "string")));
    let fields: Vec<_> = fields.collect();
    format!(r#"{{"fields":[{}]}}"#, fields.join(","))
}

fn batches() -> Result<(Vec<Bytes>, usize), Box<dyn Error>> {
    let mut json_bytes = 0;
    let mut batches = Vec::new();
    for base in (0..RECORDS).step_by(RECORDS_PER_BATCH as usize) {
        let mut builder = BatchBuilder::new().base_offset(base);
        for offset in base..base + RECORDS_PER_BATCH {
            let value = value(offset);
            json_bytes += value.len();
            let key = format!("customer-{:012}", offset * 7_919);
            builder.append(offset, Some(key.as_bytes()), Some(value.as_bytes()), [])?;
        }
        batches.push(builder.finish()?);
    }
    Ok((batches, json_bytes))
}

/// About a kilobyte; a quarter of the texts have escapes.
fn value(offset: i64) -> String {
    let numbers = (0..3).map(|i| format!(r#""number_{i}":{}"#, offset * 31 + i));
    let measures =
        (0..4).map(|i| format!(r#""measure_{i}":{}.{:04}"#, offset + i, offset % 10_000));
    let texts = (0..11).map(|i| {
        let escape = if i % 4 == 0 { r#"\"quoted\"\n"# } else { "" };
        format!(r#""text_{i}":"{escape}the quick brown fox of row {offset} jumps over {i} dogs""#)
    });
    let members: Vec<_> = numbers
        .chain([r#""created_at":"2026-05-01T12:30:00.123456Z""#.to_owned()])
        .chain(measures)
        .chain([format!(r#""active":{}"#, offset % 2 == 0)])
        .chain(texts)
        .collect();
    format!("{{{}}}", members.join(","))
}
