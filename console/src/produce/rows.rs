//! Rows of an Arrow stream or a Parquet file, by ColumnarProduce.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, bail};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidelog_client::{Client, Written};
use tokio::sync::mpsc::{self, Receiver};

use super::{Acks, Compression, Input, Options, Sent, tell};
use crate::Misuse;

/// Batches that wait to be sent.
const WAITING_MAX: usize = 2;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Writes every row of the input.
pub(super) async fn run(options: &Options, client: &Client) -> Result<()> {
    let compression = check(options)?;
    let mut batches = read(options.input, options.file.as_deref())?;
    let table = client.table(&options.topic).await?;
    let mut producer = table.producer().compression(compression);
    let mut sent = BTreeMap::<i32, Sent>::new();
    let (mut records, mut given) = (0, 0);
    while let Some(rows) = batches.recv().await {
        let rows = rows.context("the input")?;
        let written = match options.partition {
            Some(partition) => producer.send_to(partition, &rows).await,
            None => producer.send(&rows).await,
        };
        let written = written.with_context(|| {
            let acknowledged = producer.rows_written();
            format!("after {acknowledged} rows were acknowledged, in rows counted from row {given} of the input")
        });
        for done in written? {
            records += add(&mut sent, &done);
        }
        given += rows.num_rows();
    }
    tell(options, &sent, records)
}

fn add(sent: &mut BTreeMap<i32, Sent>, done: &Written) -> u64 {
    let rows = u64::try_from(done.rows).unwrap_or(u64::MAX);
    let partition = sent.entry(done.partition).or_default();
    partition.records += rows;
    partition.end = done.base_offset.saturating_add_unsigned(rows);
    rows
}

/// Refuses options that are for lines.
fn check(options: &Options) -> Result<tidelog_client::Compression> {
    if options.key_separator.is_some() || !options.header.is_empty() {
        bail!(Misuse(
            "rows bring keys and headers in the columns _key and _headers".to_owned()
        ));
    }
    if !matches!(options.acks, Acks::All) {
        bail!(Misuse(
            "rows are acknowledged once they are safe on disk".to_owned()
        ));
    }
    Ok(match options.compression {
        Compression::None => tidelog_client::Compression::None,
        Compression::Lz4 => tidelog_client::Compression::Lz4,
        Compression::Zstd => tidelog_client::Compression::Zstd,
        Compression::Gzip | Compression::Snappy => {
            bail!(Misuse("rows are compressed with lz4 or zstd".to_owned()))
        }
    })
}

/// Begins to read.
fn read(input: Input, file: Option<&Path>) -> Result<Receiver<Result<RecordBatch, ArrowError>>> {
    let opened = file
        .map(|path| File::open(path).with_context(|| format!("the file {}", path.display())))
        .transpose()?;
    let batches: Batches = match (input, opened) {
        (Input::Parquet, Some(file)) => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file);
            Box::new(reader.context("the Parquet file")?.build()?)
        }
        (Input::Parquet, None) => bail!(Misuse("a Parquet file is given with --file".to_owned())),
        (_, Some(file)) => arrow(file)?,
        (_, None) => arrow(io::stdin())?,
    };
    let (waiting, receiver) = mpsc::channel(WAITING_MAX);
    // Not one of the runtime's threads, which would be waited for at the end.
    thread::spawn(move || {
        for rows in batches {
            if waiting.blocking_send(rows).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

fn arrow(from: impl Read + Send + 'static) -> Result<Batches> {
    let reader = StreamReader::try_new(BufReader::new(from), None);
    Ok(Box::new(reader.context("the Arrow stream")?))
}
