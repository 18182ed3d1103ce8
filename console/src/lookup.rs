//! `tidelog lookup`: the latest rows of keys, or of all keys that begin alike.

use std::iter;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use arrow_array::RecordBatch;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidelog_client::{BrokerError, ErrorCode, Found, KeyRow, Table};
use tokio::time::{Instant, sleep};

use crate::server::{PATIENCE, PAUSE, Server, patiently};
use crate::sink::{self, Sink};
use crate::{Misuse, Out, cells};

/// The system column that holds a row's key.
const KEY_COLUMN: &str = "_key";
/// Keys of one request.
const KEYS_AT_ONCE: usize = 1000;

#[derive(Debug, Clone, Args)]
pub struct Options {
    table: String,
    /// Keys, each the text of a record's key
    keys: Vec<String>,
    /// All rows whose keys begin with what is given
    #[arg(long)]
    prefix: bool,
    /// At most so many rows of each prefix
    #[arg(long, value_name = "N", requires = "prefix")]
    limit: Option<i32>,
    #[command(flatten)]
    server: Server,
    /// A file with more keys, one a line
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Columns to show, dotted names joined by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// The form of rows; a table, or json with --json
    #[arg(long, value_enum)]
    output: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for each key
    Json,
    /// Columns side by side
    Table,
}

impl Options {
    /// # Errors
    /// Some key has no row, or could not be looked up; what was found is printed before.
    pub async fn run(self) -> Result<()> {
        let keys = self.all_keys()?;
        let client = self.server.connect().await?;
        let table = client.table(&self.table).await?;
        if self.prefix {
            return self.prefixes(&table, &keys).await;
        }
        let mut out = Out::new();
        let mut missing = 0;
        for some in keys.chunks(KEYS_AT_ONCE) {
            let found = self.find(&table, some).await?;
            self.print(&mut out, some, &found)?;
            missing += found.keys.iter().filter(|key| row(key).is_none()).count();
            if let Some(error) = found.keys.into_iter().find_map(Result::err) {
                out.done()?;
                bail!(tidelog_client::Error::from(error));
            }
        }
        out.done()?;
        match missing {
            0 => Ok(()),
            missing => bail!("{missing} of {} keys have no row", keys.len()),
        }
    }

    /// Prints the rows of each prefix, one after the other.
    async fn prefixes(&self, table: &Table, prefixes: &[String]) -> Result<()> {
        let form = match self.is_json() {
            true => sink::Form::Json,
            false => sink::Form::Table,
        };
        let mut sink = None;
        for prefix in prefixes {
            let mut cursor = None;
            let mut left = self.limit.unwrap_or(i32::MAX);
            while left > 0 {
                let (rows, next) = self.find_prefix(table, prefix, cursor, left).await?;
                left -= i32::try_from(rows.num_rows()).unwrap_or(left);
                let sink = match &mut sink {
                    Some(sink) => sink,
                    empty => empty.insert(Sink::new(form, &rows.schema(), Out::new())?),
                };
                sink.write(&rows)?;
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        sink.map_or(Ok(()), Sink::finish)
    }

    /// Some rows of a prefix, and where to go on.
    async fn find_prefix(
        &self,
        table: &Table,
        prefix: &str,
        cursor: Option<Bytes>,
        limit: i32,
    ) -> Result<(RecordBatch, Option<Bytes>), tidelog_client::Error> {
        patiently(async || {
            let mut lookup = table.lookup_prefix([prefix.to_owned()]);
            lookup = lookup.limit(limit).resume([cursor.clone()]);
            if !self.columns.is_empty() {
                // Else nobody sees which row is whose.
                let key = iter::once(KEY_COLUMN.to_owned());
                lookup = lookup.columns(key.chain(self.columns.clone()));
            }
            let mut found = lookup.send().await?;
            let of_prefix = found.prefixes.swap_remove(0)?;
            Ok((found.rows, of_prefix.cursor))
        })
        .await
    }

    /// Asks again while an index is being opened.
    async fn find(&self, table: &Table, keys: &[String]) -> Result<Found, tidelog_client::Error> {
        let since = Instant::now();
        loop {
            let mut lookup = table.lookup(keys.iter().cloned());
            if !self.columns.is_empty() {
                lookup = lookup.columns(self.columns.clone());
            }
            let found = lookup.send().await?;
            let refusals = found.keys.iter().filter_map(|key| key.as_ref().err());
            let mut codes = refusals.filter_map(BrokerError::error_code);
            if !codes.any(ErrorCode::is_retriable) || since.elapsed() > PATIENCE {
                return Ok(found);
            }
            sleep(PAUSE).await;
        }
    }

    fn all_keys(&self) -> Result<Vec<String>> {
        let mut keys = self.keys.clone();
        if let Some(path) = &self.key_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the file {}", path.display()))?;
            keys.extend(text.lines().map(str::to_owned));
        }
        if keys.is_empty() {
            bail!(Misuse("give keys, or a --key-file".to_owned()));
        }
        Ok(keys)
    }

    fn is_json(&self) -> bool {
        self.output
            .map_or(self.server.json, |form| form == Form::Json)
    }

    fn print(&self, out: &mut Out, keys: &[String], found: &Found) -> Result<()> {
        if self.is_json() {
            for (key, place) in keys.iter().zip(&found.keys) {
                out.json(&as_json(key, place, found)?)?;
            }
            return Ok(());
        }
        let schema = found.rows.schema();
        let names = schema.fields().iter().map(|field| &field.name()[..]);
        let heads: Vec<_> = ["KEY"].into_iter().chain(names).collect();
        let mut rows = Vec::new();
        for (key, place) in keys.iter().zip(&found.keys) {
            let Some(at) = row(place) else { continue };
            let mut cells = vec![key.clone()];
            for column in found.rows.columns() {
                cells.push(cells::cell(column, at)?);
            }
            rows.push(cells);
        }
        Ok(out.table(&heads, &rows)?)
    }
}

fn row(place: &Result<KeyRow, BrokerError>) -> Option<usize> {
    place.as_ref().ok()?.row
}

fn as_json(key: &str, place: &Result<KeyRow, BrokerError>, found: &Found) -> Result<Value> {
    Ok(match place {
        Err(error) => json!({"key": key, "error": error.to_string()}),
        Ok(place) => {
            let row = place
                .row
                .map(|at| cells::row(&found.rows, at))
                .transpose()?;
            json!({
                "key": key, "found": place.row.is_some(), "partition": place.partition,
                "offset": place.offset, "row": row,
            })
        }
    })
}
