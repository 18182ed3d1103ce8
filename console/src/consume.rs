//! `tidelog consume`: records as they were written, or rows by column.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use tidelog_client::Client;
use tidelog_records::Record;

use crate::format::{Format, as_json};
use crate::offsets::{Offsets, commit, committed};
use crate::place::Place;
use crate::records::{Batch, Reader};
use crate::server::Server;
use crate::sink::Form;
use crate::{Misuse, Out, group_rows, rows};

/// With `--columns`, `--where` or `--output` rows are read by column, else records.
#[derive(Debug, Clone, Args)]
pub struct Options {
    pub topic: String,
    #[command(flatten)]
    pub server: Server,
    /// earliest, latest, an offset, a time such as 2026-05-01T12:00:00Z, or @ and milliseconds
    #[arg(long, value_name = "PLACE", default_value = "earliest")]
    pub from: Place,
    /// Go on when the end is reached, until stopped
    #[arg(long)]
    pub follow: bool,
    /// Stop after so many records or rows
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,
    /// Only these, joined by commas
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub partitions: Vec<i32>,
    /// Go on where this group stands, --from where it does not, and commit what was printed
    #[arg(long)]
    pub group: Option<String>,
    /// %k key, %v value, %t topic, %p partition, %o offset, %T timestamp, %h headers, %K and %S lengths
    #[arg(long, default_value = "%v\\n", conflicts_with_all = ["columns", "filter", "output", "json"])]
    pub format: Format,
    /// Columns to read, dotted names joined by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Which rows to read, as SQL has it: "price > 10 AND city LIKE 'B%'"
    #[arg(long = "where", value_name = "CONDITION")]
    pub filter: Option<String>,
    /// The form of rows
    #[arg(long, value_enum)]
    pub output: Option<Form>,
    /// Write there instead of standard output
    #[arg(long, value_name = "FILE")]
    pub to_file: Option<PathBuf>,
}

impl Options {
    pub async fn run(self) -> Result<()> {
        if self.follow && self.output == Some(Form::Parquet) {
            bail!(Misuse(
                "a Parquet file has an end: leave --follow out, or take --output arrow".to_owned()
            ));
        }
        let client = self.server.connect().await?;
        let by_column = !self.columns.is_empty() || self.filter.is_some() || self.output.is_some();
        match (by_column, &self.group) {
            (true, Some(group)) => group_rows::read(&self, client, group).await,
            (true, None) => rows::read(&self, client).await,
            (false, _) => self.records(client).await,
        }
    }

    async fn records(&self, client: Client) -> Result<()> {
        let starts = self.starts(&client).await?;
        let partitions: Vec<_> = starts.keys().copied().collect();
        let ends = match self.follow {
            true => None,
            false => Some(
                Place::Latest
                    .find(&client, &self.topic, &partitions)
                    .await?,
            ),
        };
        let mut printer = Printer {
            options: self,
            out: Out::to(self.to_file.as_deref())?,
            left: self.max.unwrap_or(u64::MAX),
            printed: starts.clone(),
            ends: ends.clone(),
        };
        let mut reader = Reader::new(client.clone(), &self.topic, starts, ends.as_ref());
        let mut kept = printer.printed.clone();
        while printer.left > 0 && !reader.is_done() {
            for batch in reader.read().await? {
                printer.batch(&batch)?;
            }
            printer.out.flush()?;
            if let Some(group) = &self.group
                && kept != printer.printed
            {
                // After what it covers has left this process.
                commit(&client, group, &self.offsets(&printer.printed)).await?;
                kept.clone_from(&printer.printed);
            }
        }
        printer.out.done()
    }

    fn offsets(&self, of: &BTreeMap<i32, i64>) -> Offsets {
        let of = of.iter();
        of.map(|(partition, offset)| ((self.topic.clone(), *partition), *offset))
            .collect()
    }

    /// Where to begin in each partition.
    async fn starts(&self, client: &Client) -> Result<BTreeMap<i32, i64>> {
        let topic = &self.topic;
        let mut partitions: Vec<_> = client.topic(topic).await?.leaders.into_keys().collect();
        if let Some(missing) = self.partitions.iter().find(|one| !partitions.contains(one)) {
            bail!(Misuse(format!("topic {topic} has no partition {missing}")));
        }
        if !self.partitions.is_empty() {
            partitions.retain(|one| self.partitions.contains(one));
        }
        let mut starts = self.from.find(client, topic, &partitions).await?;
        if let Some(group) = &self.group {
            let first = Place::Earliest.find(client, topic, &partitions).await?;
            for ((_, partition), offset) in committed(client, group)
                .await?
                .into_iter()
                .filter(|((name, _), _)| name == topic)
            {
                if let Some(start) = starts.get_mut(&partition) {
                    // What retention took since is gone.
                    *start = offset.max(first.get(&partition).copied().unwrap_or(0));
                }
            }
        }
        Ok(starts)
    }
}

/// Records on their way out.
struct Printer<'a> {
    options: &'a Options,
    out: Out,
    left: u64,
    /// The offset after the last record printed, by partition.
    printed: BTreeMap<i32, i64>,
    ends: Option<BTreeMap<i32, i64>>,
}

impl Printer<'_> {
    fn batch(&mut self, batch: &Batch) -> Result<()> {
        let partition = batch.partition;
        let end = self
            .ends
            .as_ref()
            .and_then(|ends| ends.get(&partition).copied());
        for record in batch.records.iter() {
            let record = record?;
            let is_wanted =
                record.offset >= batch.first && end.is_none_or(|end| record.offset < end);
            if !is_wanted {
                continue;
            }
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            self.record(partition, &record)?;
            self.printed.insert(partition, record.offset + 1);
        }
        Ok(())
    }

    fn record(&mut self, partition: i32, record: &Record<'_>) -> Result<()> {
        let place = (&self.options.topic[..], partition);
        match self.options.server.json {
            true => self.out.json(&as_json(place, record))?,
            false => self.options.format.write(&mut self.out, place, record)?,
        }
        Ok(())
    }
}
