//! Moves one topic: looks at its log, and when enough waits or for long enough, runs a pass.
//!
//! A pass is exactly once whatever happens to it (see `tidelog_tiering`), so this task may be stopped
//! at any await. What goes wrong is shown in the topic's status and tried again; it holds nobody up.
//! A partition that cannot be read is left out of passes until the next try, so that it does not hold
//! the others up.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use iceberg::{NamespaceIdent, TableIdent};
use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::{InvalidRecords, TopicSettings};
use tidelog_tiering::catalog::{Change, PointerError, PointerStore};
use tidelog_tiering::commit::CommitError;
use tidelog_tiering::{
    CommitPort, LogBounds, PassError, PassLimits, PassReport, PortError, Retry, Suspension,
    TierState, Tierer, TopicIdentity, ValueLayout,
};
use tidelog_typed::{Wanted, WrittenBy};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::redecode::DeadRows;
use super::source::{Asked, LogRows};
use super::state::{Standing, TopicLake};
use super::upkeep::Upkeep;
use super::{Shared, dead_letter_table_of, table_of};
use crate::jobs::rows::format::{BadFormat, Format};

/// Pointers that remember which topics have had a table; see [`Mover::open`].
pub const MEMORY_PREFIX: &str = "lake/";

/// Log bytes that are worth a commit before their time.
const COMMIT_BYTES: u64 = 64 << 20;

/// Arrow bytes of one commit, about.
const PASS_BYTES_MAX: usize = 128 << 20;

/// Writers of dead letters that one run asks about.
const WRITERS_MAX: usize = 100;

const RETRY_MS_MIN: i64 = 1_000;
const RETRY_MS_MAX: i64 = 60_000;

/// Why rows did not move. All are tried again.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error("the topic's columns cannot be used: {0}")]
    Format(#[from] BadFormat),
    #[error(
        "table {0} is gone from the catalog; to make it anew from what the log still has, set \
         tidelog.lake.enable to false and then to true"
    )]
    TableGone(String),
    #[error(
        "table {table} belongs to topic {owner}, which had this name or one that makes the same table; \
         rename or drop that table in the catalog, and this topic gets its own"
    )]
    TableTaken { table: String, owner: Uuid },
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error("the catalog cannot remember the table: {0}")]
    Memory(#[from] PointerError),
    #[error("a pass panicked")]
    Panicked,
    /// Others of the topic have moved.
    #[error("partition {partition}: {reason}")]
    Partition { partition: i32, reason: String },
}

/// The table of a topic and how its records become rows.
struct Open {
    tierer: Tierer,
    format: Arc<Format>,
    table: TableIdent,
    identity: TopicIdentity,
    upkeep: Upkeep,
    dead_letters: TableIdent,
    /// That of the table of dead letters, once there is one.
    dead_upkeep: Option<Upkeep>,
}

/// The task of one topic.
pub struct Mover {
    shared: Arc<Shared>,
    lake: Arc<TopicLake>,
    open: Option<Open>,
    /// A topic that stopped is not tried before this, unless somebody asks for it.
    retry_at_ms: i64,
    failures: u32,
}

impl Mover {
    pub fn new(shared: Arc<Shared>, lake: Arc<TopicLake>) -> Self {
        Self {
            shared,
            lake,
            open: None,
            retry_at_ms: 0,
            failures: 0,
        }
    }

    /// Runs until it is dropped or the broker stops.
    pub async fn run(mut self) {
        let mut stop = self.shared.stop.clone();
        while !stop.is_stopping() {
            let pause = self.round().await;
            tokio::select! {
                () = stop.stopping() => return,
                () = self.lake.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is due and says how long to rest.
    async fn round(&mut self) -> Duration {
        let view = self.shared.cluster.view();
        let Some(topic) = view.image.topic_by_id(self.lake.id) else {
            return millis(RETRY_MS_MAX);
        };
        let settings = view.topic_settings(topic);
        let target_ms = settings.lake.target_lag_ms;
        // Half of the lag is for waiting, an eighth for noticing; the rest is the commit's.
        let rest = millis((target_ms / 8).clamp(100, 2_000));
        let now_ms = self.shared.clock.now_ms();
        let waiting = self.lake.look(topic.partitions, now_ms);
        let asked = self.lake.take_asked();
        let standing = self.lake.standing();
        let enough = waiting.age_ms >= target_ms / 2 || waiting.bytes >= COMMIT_BYTES;
        let due = match standing {
            Standing::Starting => true,
            Standing::Active => waiting.rows && (enough || asked) || self.lake.is_retry_asked(),
            Standing::Stopped(_) => asked || now_ms >= self.retry_at_ms,
        };
        if !due {
            self.maintain(topic, now_ms).await;
            return rest;
        }
        let outcome = AssertUnwindSafe(self.work(topic, &settings)).catch_unwind();
        match outcome.await.unwrap_or(Err(Stopped::Panicked)) {
            Ok(()) => {
                self.failures = 0;
                self.lake.set_standing(Standing::Active);
                self.maintain(topic, now_ms).await;
            }
            Err(stopped) => self.stopped(topic, target_ms, &stopped),
        }
        rest
    }

    /// Keeps the table in shape, a step at a time. What goes wrong holds nobody up.
    async fn maintain(&mut self, topic: &Topic, now_ms: i64) {
        let Some(open) = &mut self.open else {
            return;
        };
        let upkeeps = [Some(&mut open.upkeep), open.dead_upkeep.as_mut()];
        let mut upkeeps = upkeeps.into_iter().flatten();
        let Some(upkeep) = upkeeps.find(|upkeep| upkeep.is_due(now_ms)) else {
            return;
        };
        let pinned = self.lake.pinned();
        // Never closed; bounds the memory of encoders.
        let _permit = self.shared.passes.acquire().await.ok();
        let step = AssertUnwindSafe(upkeep.step(topic, now_ms, &pinned)).catch_unwind();
        if step.await.unwrap_or(false)
            && let Ok(TierState::Active(mark)) = open.tierer.state().await
        {
            self.lake.set_mark(mark);
        }
    }

    fn stopped(&mut self, topic: &Topic, target_ms: i64, stopped: &Stopped) {
        let reason = stopped.to_string();
        if self.lake.standing().reason() != Some(&reason) {
            warn!(topic = topic.name, reason, "rows do not move to the lake");
        }
        self.lake.set_standing(Standing::Stopped(reason));
        // The next try reads everything anew.
        self.open = None;
        let wait_ms = match stopped {
            // The other partitions keep their pace.
            Stopped::Partition { .. } => target_ms / 2,
            _ => (RETRY_MS_MIN << self.failures.min(10)).min(RETRY_MS_MAX),
        };
        self.failures = self.failures.saturating_add(1);
        self.retry_at_ms = self.shared.clock.now_ms() + wait_ms;
    }

    /// Passes until nothing is left to move that was there at the start of the last one.
    async fn work(&mut self, topic: &Topic, settings: &TopicSettings) -> Result<(), Stopped> {
        // Never closed; bounds the memory of encoders.
        let _permit = self.shared.passes.acquire().await.ok();
        if self.lake.standing().reason().is_some() {
            self.renew(topic).await;
        }
        let format = match self.shared.rows.format(topic, &settings.table) {
            Err(BadFormat::Undecided) => return Ok(()),
            format => format?,
        };
        let is_open = |open: &Open| Arc::ptr_eq(&open.format, &format);
        if !self.open.as_ref().is_some_and(is_open) {
            self.open = Some(self.open(topic, format).await?);
        }
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let moved = self.move_rows(topic, settings, &mut open).await;
        if moved.is_ok() && self.lake.take_retry_asked() {
            self.retry_dead_letters(topic, &open).await;
        }
        self.open = Some(open);
        moved
    }

    /// Tries dead letters again. What goes wrong is shown and not tried again by itself.
    async fn retry_dead_letters(&self, topic: &Topic, open: &Open) {
        if let Some(writers) = open.format.schema.writers() {
            writers.forget_unusable();
        }
        let (mut run, mut met, mut rows) = (Retry::default(), HashSet::new(), 0);
        while !self.shared.stop.is_stopping() {
            let mut decoder = DeadRows::new(open.format.schema.clone());
            let report = match Box::pin(open.tierer.retry(&mut run, &mut decoder)).await {
                Ok(report) => report,
                Err(error) => {
                    warn!(topic = topic.name, %error, "dead letters could not be tried again");
                    break;
                }
            };
            rows += report.rows;
            let mut new = decoder.wanted;
            new.retain(|writer| met.len() < WRITERS_MAX && met.insert(writer.clone()));
            if !new.is_empty() {
                self.meet(topic, new).await;
                // What they wrote was passed over.
                run = Retry::default();
                let now = self.format(topic.id);
                if !now.is_some_and(|now| Arc::ptr_eq(&now, &open.format)) {
                    // The table has grown: the next round goes on with its new columns.
                    self.lake.retry_dead_letters();
                    break;
                }
            } else if !report.more {
                break;
            }
        }
        self.shared.metrics.dead_letters_retried.inc_by(rows);
        info!(topic = topic.name, rows, "dead letters were tried again");
        if rows > 0
            && let Ok(TierState::Active(mark)) = open.tierer.state().await
        {
            self.lake.set_mark(mark);
        }
    }

    /// Has what writers wrote found out. A writer that cannot be asked about stays unknown.
    async fn meet(&self, topic: &Topic, writers: HashSet<WrittenBy>) {
        let Some(partition) = self.shared.log.partition(topic.id, 0) else {
            return;
        };
        let rows = &self.shared.rows;
        for writer in writers {
            let wanted = Wanted::Writer(writer);
            // Only columns are found out from records of the log.
            let met = rows.binder().teach(rows, &partition, 0, wanted).await;
            if let Err(error) = met {
                warn!(topic = topic.name, %error, "the schema of dead letters is not known");
            }
        }
    }

    async fn move_rows(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        open: &mut Open,
    ) -> Result<(), Stopped> {
        let invalid = settings.table.invalid_records;
        let mut left_out = BTreeMap::new();
        loop {
            let bounds = self.bounds(topic, &mut left_out);
            match self.pass(topic, open, invalid, &bounds).await {
                Ok((report, rows)) => {
                    let more = report.more || !rows.wanted.is_empty();
                    if report.dead_letters > 0 {
                        self.keep_up_dead_letters(open);
                    }
                    left_out.extend(rows.suspended);
                    self.teach(topic, rows.wanted, &mut left_out).await;
                    // With newer columns it goes on in the next round.
                    let is_same = self
                        .format(topic.id)
                        .is_some_and(|now| Arc::ptr_eq(&now, &open.format));
                    if !more || !is_same || self.shared.stop.is_stopping() {
                        break;
                    }
                }
                Err(PassError::Source(error)) => {
                    left_out.insert(error.partition, error.reason);
                }
                Err(PassError::Commit(CommitError::Suspended(Suspension::Gap {
                    partition,
                    lake_end,
                    log_start,
                }))) => {
                    self.pass_over(topic, open, partition, lake_end, log_start)
                        .await?
                }
                Err(PassError::Commit(CommitError::Port(PortError::NotFound(_)))) => {
                    return Err(Stopped::TableGone(open.table.to_string()));
                }
                Err(PassError::Commit(CommitError::Suspended(Suspension::DeadLetters(reason)))) => {
                    return Err(taken(&open.dead_letters, *reason));
                }
                Err(error) => return Err(error.into()),
            }
        }
        match left_out.pop_first() {
            Some((partition, reason)) => Err(Stopped::Partition { partition, reason }),
            None => Ok(()),
        }
    }

    /// What can be moved. A partition whose log ends before the lake does (an unsynced log lost its
    /// end) is left out: its next offsets are in the lake already, with other rows.
    fn bounds(
        &self,
        topic: &Topic,
        left_out: &mut BTreeMap<i32, String>,
    ) -> BTreeMap<i32, LogBounds> {
        let mut bounds = self.lake.bounds(topic.partitions);
        let ends = self.lake.mark().map(|mark| mark.ends).unwrap_or_default();
        for (&partition, bounds) in &bounds {
            let (stable_end, lake_end) = (bounds.stable_end, ends.get(&partition).copied());
            if let Some(lake_end) = lake_end.filter(|lake_end| *lake_end > stable_end) {
                let reason = format!("the log ends at {stable_end}, the lake at {lake_end}");
                left_out.insert(partition, reason);
            }
        }
        bounds.retain(|partition, _| !left_out.contains_key(partition));
        bounds
    }

    async fn pass(
        &self,
        topic: &Topic,
        open: &Open,
        invalid: InvalidRecords,
        bounds: &BTreeMap<i32, LogBounds>,
    ) -> Result<(PassReport, LogRows), PassError> {
        let mut rows = LogRows::new(
            Arc::clone(&self.shared.log),
            topic.id,
            open.format.schema.clone(),
            invalid,
        );
        let report = Box::pin(open.tierer.pass(&mut rows, bounds)).await?;
        self.lake.set_mark(report.mark.clone());
        if report.moved.is_empty() {
            return Ok((report, rows));
        }
        let metrics = &self.shared.metrics;
        metrics.commits.inc();
        metrics.rows.inc_by(report.rows);
        metrics.bytes.inc_by(report.file_bytes);
        metrics.undecodable.inc_by(rows.undecodable);
        metrics.dead_letters.inc_by(report.dead_letters);
        info!(
            topic = topic.name,
            rows = report.rows,
            bytes = report.file_bytes,
            "committed to the lake"
        );
        if let Some((partition, offset, reason)) = &rows.first_undecodable {
            let (count, dead_letters) = (rows.undecodable, report.dead_letters);
            warn!(
                topic = topic.name,
                count,
                dead_letters,
                partition,
                offset,
                reason,
                "records do not decode and stay out of the table"
            );
        }
        Ok((report, rows))
    }

    /// Lets the table learn what records take; a partition for which it cannot is left out.
    async fn teach(&self, topic: &Topic, wanted: Vec<Asked>, left_out: &mut BTreeMap<i32, String>) {
        let rows = &self.shared.rows;
        for (index, offset, wanted) in wanted {
            let Some(partition) = self.shared.log.partition(topic.id, index) else {
                continue;
            };
            let taught = rows.binder().teach(rows, &partition, offset, wanted);
            if let Err(error) = taught.await {
                left_out.insert(index, error.to_string());
            }
        }
    }

    /// Has what could not be used of schemas asked for anew, now and then: it may be why the topic stands
    /// still.
    async fn renew(&self, topic: &Topic) {
        let rows = &self.shared.rows;
        if let Some(partition) = self.shared.log.partition(topic.id, 0)
            && let Err(error) = rows.binder().refresh(rows, &partition).await
        {
            debug!(topic = topic.name, %error, "what is known of writers is not renewed");
        }
    }

    /// How the topic's records become rows at this moment.
    fn format(&self, topic: Uuid) -> Option<Arc<Format>> {
        let view = self.shared.cluster.view();
        let formats = self.shared.rows.formats_in(&view, topic)?;
        formats.ok()?.current().cloned()
    }

    /// Offsets went from the log before they came to the lake: by DeleteRecords, or by retention
    /// beyond its budget. That cannot be undone; it is counted, and a snapshot of the table says so.
    async fn pass_over(
        &self,
        topic: &Topic,
        open: &Open,
        partition: i32,
        lake_end: i64,
        log_start: i64,
    ) -> Result<(), Stopped> {
        warn!(
            topic = topic.name,
            partition, lake_end, log_start, "offsets went before they came to the lake"
        );
        let ends = BTreeMap::from([(partition, log_start)]);
        let mark = Box::pin(open.tierer.resume(ends)).await?;
        self.shared
            .metrics
            .lost_offsets
            .inc_by(log_start.abs_diff(lake_end));
        self.lake.set_mark(mark);
        Ok(())
    }

    /// Opens the topic's table, made if the topic never had one.
    ///
    /// That it had one is remembered under [`MEMORY_PREFIX`]: a table that somebody dropped is not
    /// made anew behind their back, with rows missing that the log no longer has.
    async fn open(&self, topic: &Topic, format: Arc<Format>) -> Result<Open, Stopped> {
        let layout = format
            .schema
            .value_arrow()
            .map_or(ValueLayout::KeyValue, ValueLayout::Typed);
        let (namespace, name) = table_of(topic);
        let table = TableIdent::new(NamespaceIdent::new(namespace.to_owned()), name);
        let memory = format!("{MEMORY_PREFIX}{}", topic.id);
        let port: Arc<dyn CommitPort> = Arc::clone(&self.shared.catalog) as _;
        let remembered = self.shared.pointers.get(&memory).await?.is_some();
        if remembered && matches!(port.load(&table).await, Err(PortError::NotFound(_))) {
            return Err(Stopped::TableGone(table.to_string()));
        }
        let identity = TopicIdentity {
            topic_id: topic.id,
            epoch: self.shared.cluster.incarnation().into(),
        };
        let limits = PassLimits {
            bytes_max: PASS_BYTES_MAX,
            ..PassLimits::default()
        };
        let env = Arc::clone(&self.shared.env);
        let upkeep = Upkeep::new(&self.shared, table.clone(), identity);
        let (namespace, name) = dead_letter_table_of(topic);
        let dead_letters = TableIdent::new(NamespaceIdent::new(namespace.to_owned()), name);
        let has_dead_letters = port.load(&dead_letters).await.is_ok();
        let opening = Tierer::open(port, env, table.clone(), identity, &layout, limits);
        let tierer = Box::pin(opening)
            .await?
            .with_dead_letters(dead_letters.clone());
        match tierer.state().await? {
            TierState::Active(mark) => self.lake.set_mark(mark),
            TierState::Suspended(suspension) => return Err(taken(&table, suspension)),
        }
        if !remembered {
            let change = Change::create(memory, table.to_string());
            self.shared.pointers.compare_and_set(vec![change]).await?;
        }
        let mut open = Open {
            tierer,
            format,
            table,
            identity,
            upkeep,
            dead_letters,
            dead_upkeep: None,
        };
        if has_dead_letters {
            self.keep_up_dead_letters(&mut open);
        }
        Ok(open)
    }

    /// From now on there is a table of dead letters to keep in shape.
    fn keep_up_dead_letters(&self, open: &mut Open) {
        let (table, identity) = (&open.dead_letters, open.identity);
        let new = || Upkeep::new(&self.shared, table.clone(), identity);
        open.dead_upkeep.get_or_insert_with(new);
    }
}

/// Why nothing moves into a table that is there.
fn taken(table: &TableIdent, suspension: Suspension) -> Stopped {
    match suspension {
        Suspension::ForeignTopic { found: owner } => Stopped::TableTaken {
            table: table.to_string(),
            owner,
        },
        other => PassError::from(other).into(),
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}
