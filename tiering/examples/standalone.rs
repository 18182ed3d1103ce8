//! The embedded catalog on a port, with two topics' worth of synthetic rows tiered into it.
//!
//! `cargo run --example standalone -- DIRECTORY HOST:PORT [ROWS [COMMITS]]` makes (or goes on with)
//! a warehouse in DIRECTORY, tiers ROWS rows into each of `shop_orders` (typed) and `clicks`
//! (key_value) by COMMITS commits, maintains both tables, prints one line with `ready`, and serves
//! until interrupted.

#![expect(clippy::print_stdout, reason = "a command line program")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use iceberg::{NamespaceIdent, TableIdent};
use tidelog_tiering::catalog::{Catalog, LocalPointers, http};
use tidelog_tiering::files::LocalFiles;
use tidelog_tiering::maintain::{Maintainer, Policy};
use tidelog_tiering::names::{Case, table_name};
use tidelog_tiering::{
    Env, LogBounds, PassLimits, ReadRange, RowBatch, RowSource, SourceError, SystemEnv, Tierer,
    TopicIdentity, ValueLayout,
};
use uuid::Uuid;

const PARTITIONS: i32 = 4;
const BATCH_ROWS: i64 = 10_000;
/// 2026-01-01 00:00 UTC.
const FIRST_TIMESTAMP_MS: i64 = 1_767_225_600_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(listen)) = (arguments.next(), arguments.next()) else {
        return Err("usage: standalone DIRECTORY HOST:PORT [ROWS]".into());
    };
    let rows: i64 = arguments.next().map_or(Ok(100_000), |rows| rows.parse())?;
    let commits: i64 = arguments.next().map_or(Ok(1), |commits| commits.parse())?;
    let directory = std::path::absolute(directory)?;
    let catalog = open_catalog(&directory)?;

    for (topic, schema) in [("shop.orders", Some(order_schema())), ("clicks", None)] {
        for _ in 0..commits {
            tier(&catalog, topic, schema.clone(), rows / commits).await?;
        }
        maintain(&catalog, topic, &directory).await?;
    }

    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("ready catalog=http://{}", listener.local_addr()?);
    let stopped = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, http::router(catalog))
        .with_graceful_shutdown(stopped)
        .await?;
    Ok(())
}

fn open_catalog(directory: &Path) -> Result<Arc<Catalog>, Box<dyn Error>> {
    let pointers = LocalPointers::open(&directory.join("catalog"))?;
    let root = directory.join("warehouse");
    let warehouse = format!("file://{}", root.display());
    let io = LocalFiles::file_io(&root);
    Ok(Arc::new(Catalog::new(
        Arc::new(pointers),
        io,
        &warehouse,
        Arc::new(SystemEnv),
    )))
}

/// Adds `rows` rows to what the lake has of `topic`.
async fn tier(
    catalog: &Arc<Catalog>,
    topic: &str,
    schema: Option<SchemaRef>,
    rows: i64,
) -> Result<(), Box<dyn Error>> {
    let (table, identity) = whose(topic);
    let layout = schema
        .clone()
        .map_or(ValueLayout::KeyValue, ValueLayout::Typed);
    let env = Arc::new(SystemEnv);
    let limits = PassLimits::default();
    let tierer = Tierer::open(
        Arc::clone(catalog) as _,
        env,
        table,
        identity,
        &layout,
        limits,
    )
    .await?;
    let mut source = Synthetic { schema, bytes: 0 };
    let state = tierer.state().await?;
    let tidelog_tiering::TierState::Active(mark) = state else {
        return Err(format!("{topic}: {state:?}").into());
    };
    let per_partition = rows / i64::from(PARTITIONS);
    let log: BTreeMap<_, _> = (0..PARTITIONS)
        .map(|partition| {
            let end = mark.ends.get(&partition).copied().unwrap_or(0);
            (
                partition,
                LogBounds {
                    log_start: 0,
                    stable_end: end + per_partition,
                },
            )
        })
        .collect();
    loop {
        let begun = Instant::now();
        let bytes_before = source.bytes;
        let report = tierer.pass(&mut source, &log).await?;
        let arrow_mb = (source.bytes - bytes_before) as f64 / 1e6;
        println!(
            "{topic}: {} rows, {arrow_mb:.1} MB of Arrow, {:.1} MB of Parquet, {:.0} MB/s",
            report.rows,
            report.file_bytes as f64 / 1e6,
            arrow_mb / begun.elapsed().as_secs_f64(),
        );
        if !report.more {
            return Ok(());
        }
    }
}

/// The table of a topic, and who tiers to it.
fn whose(topic: &str) -> (TableIdent, TopicIdentity) {
    let namespace = NamespaceIdent::new("tidelog".to_owned());
    let identity = TopicIdentity {
        topic_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, topic.as_bytes()),
        epoch: 0,
    };
    let table = TableIdent::new(namespace, table_name(topic, Case::Keep));
    (table, identity)
}

/// Does all the maintenance that a table can get, whatever its age.
async fn maintain(
    catalog: &Arc<Catalog>,
    topic: &str,
    directory: &Path,
) -> Result<(), Box<dyn Error>> {
    let (table, identity) = whose(topic);
    let now_ms = SystemEnv.now_ms();
    let mut policy = Policy::default();
    policy.thinning.keep_all_ms = 0;
    policy.cleaning.grace_ms = 0;
    policy.merging.small_max = 4;
    let mut maintainer = Maintainer::new(
        Arc::clone(catalog) as _,
        Some(Arc::new(LocalFiles::new(&directory.join("warehouse")))),
        Arc::new(SystemEnv),
        table,
        identity,
        policy,
        now_ms,
    );
    while let Some(step) = maintainer.next_step(now_ms) {
        let report = maintainer.run(step, now_ms, &BTreeSet::new()).await?;
        if report.did_something() {
            println!("{topic}: {report:?}");
        }
    }
    Ok(())
}

/// Rows computed from partition and offset, so that any pass can read any range again.
struct Synthetic {
    schema: Option<SchemaRef>,
    bytes: usize,
}

impl RowSource for Synthetic {
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError> {
        let end_offset = range.to_offset.min(range.from_offset + BATCH_ROWS);
        let offsets: Vec<i64> = (range.from_offset..end_offset).collect();
        let mut columns = system_columns(&offsets);
        match &self.schema {
            Some(schema) => columns.extend(order_columns(schema, range.partition, &offsets)),
            None => {
                let values = offsets
                    .iter()
                    .map(|offset| format!("{{\"click\":{offset}}}"));
                let values = BinaryArray::from_iter_values(values);
                columns.push((
                    Field::new("value", DataType::Binary, true),
                    Arc::new(values),
                ));
            }
        }
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let rows =
            RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| {
                let offset = range.from_offset;
                SourceError {
                    partition: range.partition,
                    offset,
                    reason: error.to_string(),
                }
            })?;
        self.bytes += rows.get_array_memory_size();
        let (partition, first_offset) = (range.partition, range.from_offset);
        Ok(Some(RowBatch {
            partition,
            first_offset,
            end_offset,
            rows,
            dead_letters: None,
        }))
    }
}

fn system_columns(offsets: &[i64]) -> Vec<(Field, ArrayRef)> {
    let timestamps = offsets.iter().map(|offset| FIRST_TIMESTAMP_MS + offset * 7);
    let keys = offsets
        .iter()
        .map(|offset| format!("key-{}", offset % 1000));
    let header = StructBuilder::new(
        vec![
            Field::new("key", DataType::Utf8, false),
            Field::new("value", DataType::Binary, true),
        ],
        vec![
            Box::new(StringBuilder::new()),
            Box::new(BinaryBuilder::new()),
        ],
    );
    let mut headers = ListBuilder::new(header);
    for offset in offsets {
        if offset % 10 == 0 {
            let header = headers.values();
            if let Some(key) = header.field_builder::<StringBuilder>(0) {
                key.append_value("trace");
            }
            if let Some(value) = header.field_builder::<BinaryBuilder>(1) {
                value.append_value(offset.to_be_bytes());
            }
            header.append(true);
        }
        headers.append(true);
    }
    let headers = headers.finish();
    let headers_type = arrow_array::Array::data_type(&headers).clone();
    vec![
        (
            Field::new("_offset", DataType::Int64, false),
            Arc::new(Int64Array::from(offsets.to_vec())),
        ),
        (
            Field::new("_timestamp", DataType::Int64, false),
            Arc::new(Int64Array::from_iter_values(timestamps)),
        ),
        (
            Field::new("_timestamp_type", DataType::Int32, false),
            Arc::new(Int32Array::from_value(0, offsets.len())),
        ),
        (
            Field::new("_key", DataType::Binary, true),
            Arc::new(BinaryArray::from_iter_values(keys)),
        ),
        (
            Field::new("_headers", headers_type, true),
            Arc::new(headers),
        ),
    ]
}

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata([("PARQUET:field_id".to_owned(), id.to_string())].into())
}

fn order_schema() -> SchemaRef {
    let address: Fields = vec![
        with_id(Field::new("city", DataType::Utf8, true), 7),
        with_id(Field::new("zip", DataType::Int32, true), 8),
    ]
    .into();
    Arc::new(Schema::new(vec![
        with_id(Field::new("order_id", DataType::Int64, true), 1),
        with_id(Field::new("customer", DataType::Utf8, true), 2),
        with_id(Field::new("amount", DataType::Float64, true), 3),
        with_id(Field::new("quantity", DataType::Int32, true), 4),
        with_id(Field::new("paid", DataType::Boolean, true), 5),
        with_id(Field::new("address", DataType::Struct(address), true), 6),
        with_id(Field::new("_OFFSET", DataType::Utf8, true), 9),
    ]))
}

fn order_columns(schema: &SchemaRef, partition: i32, offsets: &[i64]) -> Vec<(Field, ArrayRef)> {
    let ids = offsets
        .iter()
        .map(|offset| offset * i64::from(PARTITIONS) + i64::from(partition));
    let ids: Vec<i64> = ids.collect();
    // A cheap hash, so that values look unordered to the encoder.
    let mixed = |id: &i64| (*id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let cities = ["Bremen", "Lyon", "Porto", "Turku", "Ghent"];
    let city = StringArray::from_iter_values(ids.iter().map(|id| cities[mixed(id) as usize % 5]));
    let zip = Int32Array::from_iter_values(ids.iter().map(|id| mixed(id) as i32 % 100_000));
    let customer =
        StringArray::from_iter_values(ids.iter().map(|id| format!("customer-{}", mixed(id))));
    let amount = Float64Array::from_iter_values(ids.iter().map(|id| mixed(id) as f64 / 100.0));
    let quantity = Int32Array::from_iter_values(ids.iter().map(|id| mixed(id) as i32 % 9 + 1));
    let paid: BooleanArray = ids.iter().map(|id| Some(mixed(id) % 3 > 0)).collect();
    let shadow = StringArray::from_iter_values(ids.iter().map(|id| format!("shadow-{id}")));
    let address_type = schema.field(5).data_type().clone();
    let DataType::Struct(address_fields) = address_type else {
        return Vec::new();
    };
    let address = StructArray::new(address_fields, vec![Arc::new(city), Arc::new(zip)], None);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(customer),
        Arc::new(amount),
        Arc::new(quantity),
        Arc::new(paid),
        Arc::new(address),
        Arc::new(shadow),
    ];
    schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .zip(arrays)
        .collect()
}
