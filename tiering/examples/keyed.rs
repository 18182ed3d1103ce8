//! A keyed table for other engines to read.
//!
//! `cargo run --example keyed -- DIRECTORY HOST:PORT [ROUNDS]` makes a warehouse in DIRECTORY with the
//! keyed table `tidelog.accounts`: each round is one commit of random puts and deletes, every fifth
//! is followed by a compaction. Writes the rows that the table must have to DIRECTORY/accounts.json
//! (a list of [partition, offset, key, balance]), prints one line with `ready`, and serves the catalog
//! until interrupted. `compat-tests/python_lake/keyed.py` compares.

#![expect(clippy::print_stdout, reason = "a command line program")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use iceberg::{NamespaceIdent, TableIdent};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidelog_tiering::catalog::{Catalog, MemoryPointers, http};
use tidelog_tiering::files::LocalFiles;
use tidelog_tiering::maintain::{Maintainer, Policy, Step};
use tidelog_tiering::{
    Env, LogBounds, PassLimits, RowBatch, SystemEnv, Tierer, TopicIdentity, ValueLayout,
};
use uuid::Uuid;

const PARTITIONS: i32 = 3;
const KEYS: u32 = 2_000;
const CHANGES: usize = 1_500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(listen)) = (arguments.next(), arguments.next()) else {
        return Err("usage: keyed DIRECTORY HOST:PORT [ROUNDS]".into());
    };
    let rounds: u64 = arguments.next().map_or(Ok(12), |rounds| rounds.parse())?;
    let directory = std::path::absolute(directory)?;
    let root = directory.join("warehouse");
    let io = LocalFiles::file_io(&root);
    let warehouse = format!("file://{}", root.display());
    let pointers = Arc::new(MemoryPointers::default());
    let catalog = Arc::new(Catalog::new(pointers, io, &warehouse, Arc::new(SystemEnv)));
    let accounts = write(&catalog, rounds).await?;
    store(&directory.join("accounts.json"), &accounts)?;

    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("ready catalog=http://{}", listener.local_addr()?);
    axum::serve(listener, http::router(catalog)).await?;
    Ok(())
}

/// The row of an account: (partition, key) → offset, balance.
type Accounts = BTreeMap<(i32, u32), (i64, i64)>;

async fn write(catalog: &Arc<Catalog>, rounds: u64) -> Result<Accounts, Box<dyn Error>> {
    let namespace = NamespaceIdent::new("tidelog".to_owned());
    let table = TableIdent::new(namespace, "accounts".to_owned());
    let identity = TopicIdentity {
        topic_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, b"accounts"),
        epoch: 0,
    };
    let layout = ValueLayout::Typed(Arc::new(Schema::new(vec![balance_field()])));
    let (port, env) = (Arc::clone(catalog) as _, Arc::new(SystemEnv));
    let limits = PassLimits::default();
    let tierer = Tierer::open_keyed(port, env, table.clone(), identity, &layout, limits).await?;
    let mut rng = StdRng::seed_from_u64(1);
    let mut accounts = Accounts::new();
    let mut ends = BTreeMap::new();
    for round in 1..=rounds {
        let mut batches = Vec::new();
        for partition in 0..PARTITIONS {
            let end = ends.entry(partition).or_insert(0);
            batches.push(changes(&mut rng, &mut accounts, partition, end));
        }
        let bounds = |(partition, end): (&i32, &i64)| {
            let (log_start, stable_end) = (0, *end);
            let bounds = LogBounds {
                log_start,
                stable_end,
            };
            (*partition, bounds)
        };
        let report = tierer
            .pass(&mut batches, &ends.iter().map(bounds).collect())
            .await?;
        println!(
            "round {round}: {} rows, {} replaced",
            report.rows, report.replaced
        );
        if round % 5 == 0 {
            let (port, env) = (Arc::clone(catalog) as _, Arc::new(SystemEnv));
            let mut policy = Policy::default();
            policy.compaction.inputs_min = 3;
            let now_ms = SystemEnv.now_ms();
            let mut maintainer =
                Maintainer::new(port, None, env, table.clone(), identity, policy, now_ms);
            while maintainer
                .run(Step::Compact, now_ms, &BTreeSet::new())
                .await?
                .more
            {}
        }
    }
    Ok(accounts)
}

/// Some changes of a partition, from `end` on.
fn changes(rng: &mut StdRng, accounts: &mut Accounts, partition: i32, end: &mut i64) -> RowBatch {
    let first_offset = *end;
    let mut rows: Vec<(i64, u32, &str, Option<i64>, i64)> = Vec::new();
    for offset in first_offset..first_offset + CHANGES as i64 {
        let key = rng.random_range(0..KEYS);
        let balance = rng.random_range(-1_000..1_000_000);
        if rng.random_bool(0.8) {
            let prev = accounts.insert((partition, key), (offset, balance));
            let prev = prev.map(|(offset, _)| offset);
            rows.push((offset, key, "update_after", prev, balance));
        } else if let Some((prev, balance)) = accounts.remove(&(partition, key)) {
            rows.push((offset, key, "delete", Some(prev), balance));
        }
    }
    *end += CHANGES as i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "_offset",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        ),
        (
            "_key",
            Arc::new(BinaryArray::from_iter_values(
                rows.iter().map(|row| key(row.1)),
            )),
        ),
        (
            "_change",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        ),
        (
            "_prev_offset",
            Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
        ),
        (
            "balance",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4))),
        ),
    ];
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns
        .into_iter()
        .map(|(name, column)| match name {
            "balance" => (balance_field(), column),
            name => (Field::new(name, column.data_type().clone(), true), column),
        })
        .unzip();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    RowBatch {
        partition,
        first_offset,
        end_offset: *end,
        // As many values in each column, of the types just taken from them.
        rows: rows.unwrap_or_else(|error| unreachable!("{error}")),
        dead_letters: None,
    }
}

fn key(account: u32) -> String {
    format!("account-{account}")
}

fn balance_field() -> Field {
    let id = ("PARQUET:field_id".to_owned(), "1".to_owned());
    Field::new("balance", DataType::Int64, true).with_metadata([id].into())
}

fn store(path: &Path, accounts: &Accounts) -> Result<(), Box<dyn Error>> {
    let rows = accounts.iter();
    let rows: Vec<_> = rows
        .map(|((partition, account), (offset, balance))| {
            (partition, offset, key(*account), balance)
        })
        .collect();
    std::fs::write(path, serde_json::to_vec(&rows)?)?;
    Ok(())
}
