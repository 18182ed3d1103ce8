//! Rows of a table by column for a member of a group: its share, from where the group stands, committed
//! once it was printed.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use tidelog_client::{
    Client, Event, GroupOptions, GroupReader, GroupRows, Scan, Start, Table, TopicPartition,
};
use tokio::signal::ctrl_c;

use crate::consume::Options;
use crate::place::Place;
use crate::rows;
use crate::sink::{Form, Sink};
use crate::{Misuse, Out};

/// The system column that says where a row stands.
const OFFSET_COLUMN: &str = "_offset";
/// How often it is looked whether the end is reached where no rows come.
const LOOK: Duration = Duration::from_millis(100);

/// Reads rows as a member of `group` and prints them, until its share was read to where the topic ended
/// or, if it is to follow, until it is interrupted.
///
/// # Errors
/// There is no such column, the filter is none, or a broker refuses.
pub async fn read(options: &Options, client: Client, group: &str) -> Result<()> {
    if !options.partitions.is_empty() {
        let refusal = "a group shares the partitions out: leave --partitions out";
        bail!(Misuse(refusal.to_owned()));
    }
    let table = client.table(&options.topic).await?;
    let ends = match options.follow {
        true => None,
        false => {
            let partitions: Vec<_> = client
                .topic(&options.topic)
                .await?
                .leaders
                .into_keys()
                .collect();
            let ends = Place::Latest.find(&client, &options.topic, &partitions);
            Some(ends.await?)
        }
    };
    let scan = scan(options, &table)?;
    let by_hand = GroupOptions {
        auto_commit: None,
        ..GroupOptions::default()
    };
    let reader = client.subscribe(group, [scan], by_hand).await?;
    let mut member = Member::new(options, reader, ends)?;
    let printed = member.print().await;
    member.end(printed).await
}

/// What is read: what is wanted, and where rows stand if some of those that come may be too many.
fn scan(options: &Options, table: &Table) -> Result<Scan> {
    let mut scan = rows::wanted(options, table);
    if options.max.is_some() && !options.columns.is_empty() {
        let columns = options.columns.iter().map(String::as_str);
        scan = scan.columns(columns.chain([OFFSET_COLUMN]));
    }
    let start = match options.from {
        Place::Earliest => Start::Earliest,
        Place::Latest => Start::Latest,
        Place::Time(millis) => Start::Timestamp(millis),
        Place::Offset(_) => bail!(Misuse(
            "a group begins at earliest, latest or a time; `tidelog group reset` moves it to an offset"
                .to_owned()
        )),
    };
    Ok(scan.from(start))
}

/// A member and what it prints.
struct Member {
    reader: GroupReader,
    sink: Sink,
    /// Places of the columns that are printed.
    shown: Vec<usize>,
    left: u64,
    ends: Option<BTreeMap<i32, i64>>,
    /// Whether a partition was ever its own.
    has_share: bool,
    /// Whether nothing can be read of what is printed before its end.
    is_whole: bool,
    /// The first row that came and is not to be printed any more.
    cut: Option<(TopicPartition, i64)>,
}

impl Member {
    fn new(
        options: &Options,
        reader: GroupReader,
        ends: Option<BTreeMap<i32, i64>>,
    ) -> Result<Self> {
        let form = rows::form(options);
        let Some(schema) = reader.schema(&options.topic) else {
            bail!("topic {} is not subscribed to", options.topic);
        };
        let is_wanted = |name: &str| {
            let names = &options.columns;
            name != OFFSET_COLUMN || names.is_empty() || names.iter().any(|own| own == name)
        };
        let shown: Vec<_> = (0..schema.fields().len())
            .filter(|place| is_wanted(schema.field(*place).name()))
            .collect();
        let out = Out::to(options.to_file.as_deref())?;
        let sink = Sink::new(form, &schema.project(&shown)?.into(), out)?;
        Ok(Self {
            sink,
            shown,
            left: options.max.unwrap_or(u64::MAX),
            ends,
            has_share: false,
            is_whole: form == Form::Parquet,
            cut: None,
            reader,
        })
    }

    async fn print(&mut self) -> Result<()> {
        let mut interrupted = pin!(ctrl_c());
        while self.left > 0 && !self.is_done() {
            let event = tokio::select! {
                event = self.reader.poll(LOOK) => event?,
                stopped = &mut interrupted => return Ok(stopped?),
            };
            match event {
                Some(Event::Rows(rows)) => {
                    self.rows(&rows)?;
                    if !self.is_whole {
                        // After what it covers has left this process.
                        self.commit().await?;
                    }
                }
                Some(Event::Assigned(_)) => self.has_share = true,
                Some(Event::Revoked(_) | Event::Lost(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Prints rows, as many as are left.
    fn rows(&mut self, of: &GroupRows) -> Result<()> {
        let rows = &of.rows;
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = rows.batch.num_rows().min(left);
        rows::write(
            &mut self.sink,
            &rows.batch.project(&self.shown)?.slice(0, count),
        )?;
        self.left -= count as u64;
        let offsets = rows.batch.column_by_name(OFFSET_COLUMN);
        let offsets = offsets.and_then(|column| column.as_primitive_opt::<Int64Type>());
        if let Some(offsets) = offsets.filter(|offsets| count < offsets.len()) {
            let partition = TopicPartition::new(of.topic.clone(), rows.partition);
            self.cut = Some((partition, offsets.value(count)));
        }
        Ok(())
    }

    /// Whether its share was read up to where the topic ended.
    fn is_done(&self) -> bool {
        let Some(ends) = &self.ends else {
            return false;
        };
        let is_read =
            |(of, at): (&TopicPartition, &i64)| ends.get(&of.partition).is_none_or(|end| at >= end);
        self.has_share && self.reader.positions().iter().all(is_read)
    }

    async fn commit(&mut self) -> Result<()> {
        commit(&mut self.reader, self.cut.clone()).await
    }

    /// Ends the output, and the membership in any case.
    async fn end(self, printed: Result<()>) -> Result<()> {
        let Self {
            mut reader,
            sink,
            cut,
            ..
        } = self;
        let committed = match printed.and_then(|()| sink.finish()) {
            Ok(()) => commit(&mut reader, cut).await,
            failed => failed,
        };
        reader.close().await?;
        committed
    }
}

/// Commits where the reader stands, or before the row that was cut off.
async fn commit(reader: &mut GroupReader, cut: Option<(TopicPartition, i64)>) -> Result<()> {
    let mut offsets = reader.positions();
    offsets.extend(cut);
    Ok(reader.commit_offsets(offsets).await?)
}
