//! Rows as they come: one question under way to each broker, one answer waiting to be taken.
//!
//! ```text
//!      ask ─► round (a task: wait, fetch, decode) ─► take ─► queue ─► next
//!       ▲                                              │
//!       └────────── partitions free to ask again ◄─────┘
//! ```
//!
//! A partition is asked again as soon as its answer was taken, before the rows are handed out: the
//! next ones are on their way while the caller works. Answers are taken only when the queue is empty.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::Stream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Leader;
#[cfg(feature = "lake")]
use crate::columns::Columns;
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result};
use crate::offsets::leaderless;
use crate::source::{Answer, Ask, Progress, Source};
use tidelog_protocol_ext::ErrorCode;

/// Rows of one partition, next to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub partition: i32,
    /// The first offset answered for; the first row stands there or later.
    pub first_offset: i64,
    /// Where to go on: everything below has been answered for.
    pub next_offset: i64,
    /// At least one row, in order of offset, of [`RowStream::schema`].
    pub batch: RecordBatch,
}

/// What to read of a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: Option<i64>,
    pub(crate) skips: Skips,
}

/// Whether to go on at the first row left when those before it are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skips {
    Never,
    /// As long as nothing was read.
    BeforeRows,
    Always,
}

/// Rows of a scan, in order within each partition: see [`Scan::open`](crate::Scan::open).
#[derive(Debug)]
pub struct RowStream {
    source: Arc<Source>,
    cursors: BTreeMap<i32, Cursor>,
    rounds: JoinSet<Round>,
    /// Counts answers, to ask first for what was served longest ago.
    turn: u64,
    /// Counts partitions taken on.
    places: u64,
    queue: VecDeque<Rows>,
}

/// A partition being read.
#[derive(Debug)]
struct Cursor {
    /// Tells it from the same partition taken on another time.
    place: u64,
    leader: Option<Leader>,
    /// The end of what was handed out.
    position: i64,
    /// The end of what was answered.
    offset: i64,
    span: Span,
    with_offsets: bool,
    is_asked: bool,
    served: u64,
    retry: Retry,
    pause: Duration,
}

/// The outcome of one request.
#[derive(Debug)]
struct Round {
    /// With the place of each.
    partitions: Vec<(i32, u64)>,
    outcome: Result<Vec<Answer>>,
}

impl RowStream {
    pub(crate) fn new(source: Arc<Source>, spans: BTreeMap<i32, Span>) -> Self {
        let mut stream = Self {
            cursors: BTreeMap::new(),
            source,
            rounds: JoinSet::new(),
            turn: 0,
            places: 0,
            queue: VecDeque::new(),
        };
        for (partition, span) in spans {
            stream.take_on(partition, span);
        }
        stream
    }

    /// Reads a partition, too, that is not being read.
    pub(crate) fn take_on(&mut self, partition: i32, span: Span) {
        self.places += 1;
        let cursor = Cursor {
            place: self.places,
            leader: None,
            position: span.start,
            offset: span.start,
            span,
            with_offsets: false,
            is_asked: false,
            served: 0,
            retry: Retry::new(),
            pause: Duration::ZERO,
        };
        self.cursors.insert(partition, cursor);
    }

    /// Reads a partition no more, and answers its position. Nothing of it is handed out after this.
    pub(crate) fn give_up(&mut self, partition: i32) -> Option<i64> {
        self.queue.retain(|rows| rows.partition != partition);
        let cursor = self.cursors.remove(&partition)?;
        Some(cursor.position)
    }

    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        self.source.columns().target()
    }

    /// What was chosen to be read.
    #[cfg(feature = "lake")]
    pub(crate) fn columns(&self) -> &Columns {
        self.source.columns()
    }

    /// Where to go on in each partition after the rows handed out so far. Kept with what was made
    /// of the rows, and given to [`Start::Offsets`](crate::Start::Offsets), it makes each row count
    /// once.
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        let of = |(partition, cursor): (&i32, &Cursor)| (*partition, cursor.position);
        self.cursors.iter().map(of).collect()
    }

    /// The next rows, of whichever partition has some; `None` when every partition was read to its
    /// end, which without one is never. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Whatever a partition fails with, once for each failure; calling again tries on.
    pub async fn next(&mut self) -> Result<Option<Rows>> {
        Ok(match self.ready().await? {
            true => self.pop(),
            false => None,
        })
    }

    /// Waits until [`pop`](Self::pop) has rows; false when there will be no more. For callers whose
    /// own wait may be given up after this one has ended.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn ready(&mut self) -> Result<bool> {
        loop {
            if !self.queue.is_empty() {
                return Ok(true);
            }
            if self.cursors.values().all(Cursor::is_done) {
                return Ok(false);
            }
            self.find_leaders().await?;
            self.ask();
            match self.rounds.join_next().await {
                Some(Ok(round)) => self.take(round)?,
                Some(Err(error)) => {
                    // Rounds are not cancelled while the stream lives.
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
                None => {}
            }
        }
    }

    /// The next rows, if they have come already.
    pub fn pop(&mut self) -> Option<Rows> {
        let rows = self.queue.pop_front()?;
        if let Some(cursor) = self.cursors.get_mut(&rows.partition) {
            cursor.position = rows.next_offset;
        }
        Some(rows)
    }

    /// The same as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Rows>> + Send {
        futures::stream::unfold(Some(self), |stream| async {
            let mut stream = stream?;
            match stream.next().await {
                Ok(rows) => Some((Ok(rows?), Some(stream))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Asks for all rows that nobody was asked for, as far as it is known whom to ask.
    fn ask(&mut self) {
        let mut rounds = BTreeMap::<(String, bool, Duration), Vec<(Ask, u64)>>::new();
        let mut idle: Vec<_> = self
            .cursors
            .iter_mut()
            .filter(|(_, cursor)| cursor.is_idle())
            .collect();
        idle.sort_by_key(|(_, cursor)| cursor.served);
        for (partition, cursor) in idle {
            let Some(leader) = &cursor.leader else {
                continue;
            };
            let ask = Ask {
                partition: *partition,
                leader_epoch: leader.epoch,
                offset: cursor.offset,
                end: cursor.span.end,
                with_offsets: cursor.with_offsets,
            };
            cursor.is_asked = true;
            let round = (leader.address.clone(), ask.with_offsets, cursor.pause);
            let asks = rounds.entry(round).or_default();
            asks.push((ask, cursor.place));
        }
        for ((address, _, pause), asks) in rounds {
            let source = Arc::clone(&self.source);
            let partitions = asks.iter().map(|(ask, place)| (ask.partition, *place));
            let partitions = partitions.collect();
            let asks: Vec<_> = asks.into_iter().map(|(ask, _)| ask).collect();
            self.rounds.spawn(async move {
                sleep(pause).await;
                Round {
                    partitions,
                    outcome: source.read(&address, &asks).await,
                }
            });
        }
    }

    async fn find_leaders(&mut self) -> Result<()> {
        let is_lost = |cursor: &Cursor| cursor.is_idle() && cursor.leader.is_none();
        if !self.cursors.values().any(is_lost) {
            return Ok(());
        }
        let table = self.source.table().clone();
        let view = table.client().topic(table.name()).await?;
        let mut pause = None;
        for (partition, cursor) in &mut self.cursors {
            if !is_lost(cursor) {
                continue;
            }
            cursor.leader = view.leaders.get(partition).cloned().flatten();
            if cursor.leader.is_none() {
                let error = leaderless(table.name(), *partition).into();
                match cursor.retry.pause(table.client().config(), &error) {
                    Some(due) => pause = Some(due),
                    None => return Err(error),
                }
            }
        }
        if let Some(pause) = pause
            && self.rounds.is_empty()
        {
            sleep(pause).await;
        }
        Ok(())
    }

    /// Takes an answer and asks on at once. The first error is answered, after all rows were taken.
    fn take(&mut self, round: Round) -> Result<()> {
        self.turn += 1;
        let mut failure = Ok(());
        // What was given up meanwhile is of no interest, nor if it was taken on again since.
        let mut waiting = Vec::with_capacity(round.partitions.len());
        for (partition, place) in round.partitions {
            if let Some(cursor) = self.cursors.get_mut(&partition)
                && cursor.place == place
            {
                cursor.is_asked = false;
                waiting.push(partition);
            }
        }
        match round.outcome {
            Ok(answers) => {
                let wanted = |answer: &Answer| waiting.contains(&answer.partition);
                for answer in answers.into_iter().filter(wanted) {
                    failure = failure.and(self.take_answer(answer));
                }
            }
            Err(error) => failure = self.put_off(&waiting, error),
        }
        self.ask();
        failure
    }

    fn take_answer(&mut self, answer: Answer) -> Result<()> {
        let partition = answer.partition;
        match answer.outcome {
            Ok(progress) => self.advance(partition, progress),
            Err(error) => self.put_off(&[partition], error),
        }
    }

    fn advance(&mut self, partition: i32, progress: Progress) -> Result<()> {
        let Some(cursor) = self.cursors.get_mut(&partition) else {
            return Ok(());
        };
        if progress.skipped && cursor.span.skips == Skips::Never {
            let (offset, first) = (cursor.offset, progress.next_offset);
            let table = self.source.table().name();
            return Err(Error::Broker(BrokerError {
                api: "ListOffsets",
                code: ErrorCode::OffsetOutOfRange.code(),
                message: format!(
                    "table {table}, partition {partition} at {offset} (rows begin at {first})"
                ),
            }));
        }
        cursor.offset = progress.next_offset;
        cursor.with_offsets |= progress.needs_offsets;
        cursor.retry.reset();
        cursor.pause = Duration::ZERO;
        match progress.rows.is_empty() {
            true => cursor.position = progress.next_offset,
            false => {
                if cursor.span.skips == Skips::BeforeRows {
                    cursor.span.skips = Skips::Never;
                }
                cursor.served = self.turn;
            }
        }
        self.queue.extend(progress.rows);
        Ok(())
    }

    /// Asks again after a while, perhaps somebody else; or gives up with the error.
    fn put_off(&mut self, partitions: &[i32], error: Error) -> Result<()> {
        let config = self.source.table().client().config();
        let mut is_given_up = false;
        for partition in partitions {
            let Some(cursor) = self.cursors.get_mut(partition) else {
                continue;
            };
            cursor.leader = None;
            match cursor.retry.pause(config, &error) {
                Some(pause) => cursor.pause = pause,
                None => {
                    cursor.retry.reset();
                    is_given_up = true;
                }
            }
        }
        match is_given_up {
            true => Err(error),
            false => Ok(()),
        }
    }
}

impl Cursor {
    /// Read to the end, whether or not it was handed out.
    fn is_done(&self) -> bool {
        self.span.end.is_some_and(|end| self.offset >= end)
    }

    fn is_idle(&self) -> bool {
        !self.is_asked && !self.is_done()
    }
}
