//! Runs a [`Machine`] over an internal partition: the shell around the pure core.
//!
//! ```text
//! call(command) ─▶ inbox ─▶ decide ─▶ append (one batch) ─▶ apply ─▶ replies parked
//!                                                              durable ─▶ replies sent
//! ```
//! Every so often the machine's whole state is written as a checkpoint, and what lies before it is let
//! go. One task per machine. It keeps the contract written at [`Machine`]: records are applied as soon
//! as they are handed to the log, in order; replies leave once everything applied before them is
//! durable; after a failed append the machine is rebuilt from the log and everybody who waits is
//! told that the coordinator is not available.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidelog_coordinator::machine::{Decision, Envelope, Machine, Token};
use tidelog_records::{BatchHeader, Records};
use tidelog_storage::Partition;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::clock::Clock;
use crate::log::{Appending, Log, Outcome, Unwritten};
use crate::owners::envelope;

/// Commands that may wait for a machine; more make their callers wait.
const INBOX_MAX: usize = 256;
/// Bytes of log read at a time while loading.
const LOAD_BYTES: u64 = 4 << 20;
/// A record batch of ours never grows larger than this when decompressed.
const BATCH_BYTES_MAX: usize = 128 << 20;
/// A log is begun anew with a checkpoint once it holds this much more than the last one, so that
/// loading takes a bounded time.
const CHECKPOINT_BYTES_MIN: u64 = 4 << 20;
/// And this many times the last checkpoint's bytes, so that writing checkpoints stays a small part.
const CHECKPOINT_FACTOR: u64 = 4;

/// A machine whose records are Kafka records.
pub trait Journal: Machine + Send + 'static {
    /// For log lines.
    const NAME: &'static str;

    /// Key and value of a record; no value is a tombstone.
    ///
    /// # Errors
    /// The record cannot be written at all; it is left out, and that is logged.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), String>;

    /// A record read back out of a batch of this kind; `None` if it is none of this machine's and may
    /// be skipped.
    fn decode(
        envelope: Envelope,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<Self::Record>, String>;

    /// Called after records were applied and are durable, before their replies leave.
    fn durable(&mut self) {}

    /// Records that make the applied state again, also on top of the log they were taken from.
    fn checkpoint(&self) -> Vec<Self::Record>;
}

/// Why a call has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    #[error("the coordinator is not available; the broker's log says why")]
    Unavailable,
}

/// What callers hold.
pub struct DriverHandle<M: Machine> {
    inbox: mpsc::Sender<Call<M>>,
    /// Tokens of callers that left; never more than there are calls.
    withdrawn: mpsc::UnboundedSender<Token>,
    next_token: Arc<AtomicU64>,
}

impl<M: Machine> Clone for DriverHandle<M> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            withdrawn: self.withdrawn.clone(),
            next_token: Arc::clone(&self.next_token),
        }
    }
}

struct Call<M: Machine> {
    token: Token,
    command: M::Command,
    reply: oneshot::Sender<M::Reply>,
}

impl<M: Machine> DriverHandle<M> {
    /// Asks the machine. Dropping the future withdraws a command that is still waiting.
    ///
    /// # Errors
    /// The machine was rebuilt meanwhile, or the broker stops.
    pub async fn call(&self, command: M::Command) -> Result<M::Reply, DriverError> {
        self.submit(command).await?.answer().await
    }

    /// A handle that does not keep the driver running.
    pub fn downgrade(&self) -> WeakHandle<M> {
        WeakHandle {
            inbox: self.inbox.downgrade(),
            withdrawn: self.withdrawn.clone(),
            next_token: Arc::clone(&self.next_token),
        }
    }

    async fn submit(&self, command: M::Command) -> Result<Waiting<M::Reply>, DriverError> {
        let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
        let (reply, answered) = oneshot::channel();
        let call = Call {
            token,
            command,
            reply,
        };
        let sent = self.inbox.send(call).await;
        sent.map_err(|_| DriverError::Unavailable)?;
        Ok(Waiting {
            token: Some(token),
            answered,
            withdrawn: self.withdrawn.clone(),
        })
    }
}

/// What tasks hold that serve a machine and end with it.
pub struct WeakHandle<M: Machine> {
    inbox: mpsc::WeakSender<Call<M>>,
    withdrawn: mpsc::UnboundedSender<Token>,
    next_token: Arc<AtomicU64>,
}

impl<M: Machine> WeakHandle<M> {
    /// Asks the machine; `None` once nobody else can. While it waits the driver may end.
    pub async fn call(&self, command: M::Command) -> Option<Result<M::Reply, DriverError>> {
        let handle = DriverHandle {
            inbox: self.inbox.upgrade()?,
            withdrawn: self.withdrawn.clone(),
            next_token: Arc::clone(&self.next_token),
        };
        let waiting = handle.submit(command).await;
        drop(handle);
        Some(match waiting {
            Ok(waiting) => waiting.answer().await,
            Err(error) => Err(error),
        })
    }
}

/// A caller that says so when it leaves before its answer.
struct Waiting<Reply> {
    token: Option<Token>,
    answered: oneshot::Receiver<Reply>,
    withdrawn: mpsc::UnboundedSender<Token>,
}

impl<Reply> Waiting<Reply> {
    async fn answer(mut self) -> Result<Reply, DriverError> {
        let answer = (&mut self.answered).await;
        self.token = None;
        answer.map_err(|_| DriverError::Unavailable)
    }
}

impl<Reply> Drop for Waiting<Reply> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            // A driver that is gone has nothing to withdraw from.
            let _ = self.withdrawn.send(token);
        }
    }
}

/// Starts the owner of `make()` over `partition`. The machine loads before it takes commands.
pub fn start<M: Journal>(
    log: Arc<Log>,
    clock: Clock,
    partition: Arc<Partition>,
    make: impl Fn() -> M + Send + 'static,
) -> DriverHandle<M>
where
    M::Command: Send,
    M::Record: Send,
    M::Reply: Send,
{
    let (inbox, calls) = mpsc::channel(INBOX_MAX);
    let (withdrawn, withdrawals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut driver = Driver {
            log,
            clock,
            partition,
            machine: make(),
            make,
            withdrawals,
            callers: HashMap::new(),
            flushes: VecDeque::new(),
            grown_bytes: 0,
            checkpoint_bytes: 0,
        };
        if let Err(LoadError::Undecodable(error) | LoadError::Read(error)) = driver.run(calls).await
        {
            error!(machine = M::NAME, partition = %driver.partition.id, error,
                "the coordinator's log holds a record that cannot be understood; it stays closed");
        }
    });
    DriverHandle {
        inbox,
        withdrawn,
        next_token: Arc::default(),
    }
}

/// A decision on its way to the disk.
struct Flush<Reply> {
    appending: Pin<Box<Appending>>,
    replies: Vec<(Token, Reply)>,
    /// The log may begin with this flush.
    is_checkpoint: bool,
}

struct Driver<M: Journal, F> {
    log: Arc<Log>,
    clock: Clock,
    partition: Arc<Partition>,
    machine: M,
    make: F,
    withdrawals: mpsc::UnboundedReceiver<Token>,
    callers: HashMap<Token, oneshot::Sender<M::Reply>>,
    /// Oldest first; replies leave in this order.
    flushes: VecDeque<Flush<M::Reply>>,
    /// Bytes of log since the last checkpoint, and of that one.
    grown_bytes: u64,
    checkpoint_bytes: u64,
}

enum Event<M: Machine> {
    Called(Call<M>),
    HandlesGone,
    Deadline,
    /// The oldest flush is durable from this offset on (if it wrote anything), or failed.
    Flushed(Result<Option<i64>, Unwritten>),
    CallerGone(Token),
}

impl<M: Journal, F: Fn() -> M> Driver<M, F> {
    /// Serves until all handles are gone, or the log turns out not to be understood.
    async fn run(&mut self, mut calls: mpsc::Receiver<Call<M>>) -> Result<(), LoadError> {
        self.load().await?;
        loop {
            match self.next_event(&mut calls).await {
                // One who left while the call was queued has withdrawn what never arrived.
                Event::Called(call) if call.reply.is_closed() => {}
                Event::Called(Call {
                    token,
                    command,
                    reply,
                }) => {
                    self.callers.insert(token, reply);
                    let decision = self.machine.decide(self.clock.now_ms(), token, command);
                    self.carry_out(decision);
                }
                Event::Deadline => {
                    let decision = self.machine.tick(self.clock.now_ms());
                    self.carry_out(decision);
                }
                Event::CallerGone(token) => {
                    if self.callers.remove(&token).is_some() {
                        let decision = self.machine.cancel(self.clock.now_ms(), token);
                        self.carry_out(decision);
                    }
                }
                Event::Flushed(Ok(first_offset)) => self.settle(first_offset),
                Event::Flushed(Err(error)) => self.start_over(&error, &mut calls).await?,
                Event::HandlesGone => return Ok(()),
            }
        }
    }

    /// Waits for whatever comes first. Flushes go first: they free callers.
    async fn next_event(&mut self, calls: &mut mpsc::Receiver<Call<M>>) -> Event<M> {
        let deadline = self.machine.next_deadline();
        let wait_ms = deadline.map_or(i64::MAX, |at| (at - self.clock.now_ms()).max(0));
        let nap = Duration::from_millis(wait_ms.clamp(0, 60_000).unsigned_abs());
        let oldest = self.flushes.front_mut();
        let flushed = async {
            match oldest {
                Some(flush) => first_offset(flush.appending.as_mut().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = flushed => Event::Flushed(outcome),
            call = calls.recv() => call.map_or(Event::HandlesGone, Event::Called),
            Some(token) = self.withdrawals.recv() => Event::CallerGone(token),
            () = tokio::time::sleep(nap) => Event::Deadline,
        }
    }

    /// Appends, applies and parks.
    fn carry_out(&mut self, decision: Decision<M::Record, M::Reply>) {
        let Decision { records, replies } = decision;
        if records.is_empty() && (replies.is_empty() || self.flushes.is_empty()) {
            // Nothing is on its way, so what the replies speak of is durable.
            return self.send(replies);
        }
        self.append(&records, replies, false);
        records.iter().for_each(|record| self.machine.apply(record));
        let due = CHECKPOINT_BYTES_MIN.max(CHECKPOINT_FACTOR * self.checkpoint_bytes);
        if self.grown_bytes > due {
            let checkpoint = self.machine.checkpoint();
            self.checkpoint_bytes = self.append(&checkpoint, Vec::new(), true);
            self.grown_bytes = 0;
        }
    }

    /// Hands records to the log; answers their bytes.
    fn append(
        &mut self,
        records: &[M::Record],
        replies: Vec<(Token, M::Reply)>,
        is_checkpoint: bool,
    ) -> u64 {
        let now_ms = self.clock.now_ms();
        let batches = envelope::batches::<M>(&self.partition, records, now_ms);
        let bytes = batches.iter().map(|batch| batch.bytes.len() as u64).sum();
        self.grown_bytes += bytes;
        let appending = self.log.append(batches, now_ms);
        self.flushes.push_back(Flush {
            appending: Box::pin(appending),
            replies,
            is_checkpoint,
        });
        bytes
    }

    /// The oldest flush is durable.
    fn settle(&mut self, first_offset: Option<i64>) {
        self.machine.durable();
        let Some(flush) = self.flushes.pop_front() else {
            return;
        };
        if let Some(first) = first_offset.filter(|_| flush.is_checkpoint) {
            // What lies before is in the checkpoint. If the trim is lost, loading reads both.
            if let Err(error) = self.partition.delete_records(first) {
                warn!(machine = M::NAME, partition = %self.partition.id, %error, "not trimmed");
            }
        }
        self.send(flush.replies);
    }

    fn send(&mut self, replies: Vec<(Token, M::Reply)>) {
        for (token, reply) in replies {
            if let Some(caller) = self.callers.remove(&token) {
                // A caller that left meanwhile does not mind.
                let _ = caller.send(reply);
            }
        }
    }

    /// An append failed: what was applied may not be in the log.
    async fn start_over(
        &mut self,
        error: &Unwritten,
        calls: &mut mpsc::Receiver<Call<M>>,
    ) -> Result<(), LoadError> {
        warn!(machine = M::NAME, partition = %self.partition.id, %error,
            "an append failed; loading anew");
        // The oldest flush is the one that failed: it has been answered.
        self.flushes.pop_front();
        while let Some(flush) = self.flushes.pop_front() {
            let _ = flush.appending.await;
        }
        self.callers.clear();
        // A machine that could not write would start over at once.
        let log = Arc::clone(&self.log);
        let open = log.until_open();
        tokio::pin!(open);
        loop {
            tokio::select! {
                biased;
                () = &mut open => break,
                // Dropped, and so told that nobody is available.
                call = calls.recv() => if call.is_none() { return Ok(()) },
            }
        }
        self.machine = (self.make)();
        self.load().await
    }

    /// Applies the whole log, then lets the machine begin.
    async fn load(&mut self) -> Result<(), LoadError> {
        self.grown_bytes = self.partition.size_bytes();
        let mut offset = self.partition.marks().log_start;
        while offset < self.partition.marks().high_watermark {
            match self.load_from(offset).await {
                Ok(next) => offset = next,
                Err(LoadError::Read(error)) => {
                    error!(machine = M::NAME, partition = %self.partition.id, offset, error,
                        "the coordinator's log cannot be read; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(undecodable) => return Err(undecodable),
            }
        }
        let decision = self.machine.loaded(self.clock.now_ms());
        self.carry_out(decision);
        self.machine.durable();
        Ok(())
    }

    async fn load_from(&mut self, offset: i64) -> Result<i64, LoadError> {
        let plan = self
            .partition
            .plan_read(offset, LOAD_BYTES, true)
            .map_err(LoadError::read)?;
        let pieces = self.log.load(plan).await.map_err(LoadError::read)?;
        let mut next = offset;
        for mut piece in pieces {
            while let Some(header) = BatchHeader::read(&piece) {
                let batch = piece.split_to(header.total_len().min(piece.len()));
                self.apply_batch(&header, &batch)?;
                next = header.last_offset() + 1;
            }
        }
        if next == offset {
            return Err(LoadError::read("nothing to read below the high watermark"));
        }
        Ok(next)
    }

    fn apply_batch(&mut self, header: &BatchHeader, batch: &Bytes) -> Result<(), LoadError> {
        let undecodable = |error: String| LoadError::Undecodable(error);
        let envelope = envelope::of(header);
        let records = Records::open(batch, BATCH_BYTES_MAX).map_err(LoadError::undecodable)?;
        for record in &records {
            let record = record.map_err(LoadError::undecodable)?;
            let decoded = M::decode(envelope, record.key.unwrap_or_default(), record.value);
            if let Some(decoded) = decoded.map_err(undecodable)? {
                self.machine.apply(&decoded);
            }
        }
        Ok(())
    }
}

/// Where the batches of one flush begin, if all of them were written.
fn first_offset(outcomes: Vec<Outcome>) -> Result<Option<i64>, Unwritten> {
    let mut first = None;
    for outcome in outcomes {
        first = first.or(Some(outcome?.base_offset));
    }
    Ok(first)
}

/// Why a machine could not be loaded.
enum LoadError {
    /// The disk; worth another try.
    Read(String),
    /// A record that this build does not understand. Going on without it would make up a state.
    Undecodable(String),
}

impl LoadError {
    fn read(error: impl ToString) -> Self {
        Self::Read(error.to_string())
    }

    fn undecodable(error: impl ToString) -> Self {
        Self::Undecodable(error.to_string())
    }
}
