//! Storage as async code sees it: appends that can be awaited, reads that never block a reactor
//! thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tidelog_coordinator::producer::Producer;
use tidelog_records::BatchHeader;
use tidelog_records::control::TxnMarker;
use tidelog_storage::ids::{PartitionId, TopicId};
use tidelog_storage::{
    Ack, Append, AppendError, AppendSink, Appended, Engine, MarkerRule, Origin, Partition,
    ReadError, ReadPlan, Refusal, Request, Watch, marker_batch,
};
use tokio::sync::{Notify, Semaphore, oneshot};
use uuid::Uuid;

/// Reads of the disk under way at once; more only queue up in the device.
const READS_MAX: usize = 32;

/// One batch on its way to a partition. The bytes were checked.
pub struct NewBatch {
    pub partition: Arc<Partition>,
    pub bytes: Bytes,
    pub header: BatchHeader,
    pub origin: Origin,
    pub ack: Ack,
}

impl NewBatch {
    /// The marker that ends a producer's transaction in a partition, answered once it is durable.
    pub fn marker(
        partition: Arc<Partition>,
        producer: Producer,
        (marker, rule): (TxnMarker, MarkerRule),
        now_ms: i64,
    ) -> Self {
        let (bytes, header) = marker_batch(marker, producer.id, producer.epoch, now_ms);
        Self {
            partition,
            bytes,
            header,
            origin: Origin::Marker { marker, rule },
            ack: Ack::Durable,
        }
    }
}

/// Why a batch was not, or perhaps not, written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unwritten {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What became of a batch.
pub type Outcome = Result<Appended, Unwritten>;

/// The log of this broker.
pub struct Log {
    engine: Engine,
    reads: Semaphore,
    health: Arc<Health>,
}

/// Told when storage fails and when it is open again.
#[derive(Default)]
struct Health(Notify);

impl Watch for Health {
    fn moved(&self) {
        self.0.notify_waiters();
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    pub fn new(engine: Engine) -> Self {
        let health = Arc::new(Health::default());
        engine.watch_failure(Arc::clone(&health) as Arc<dyn Watch>);
        Self {
            engine,
            reads: Semaphore::new(READS_MAX),
            health,
        }
    }

    /// Waits until appends are taken: after a failure storage opens again by itself.
    pub async fn until_open(&self) {
        loop {
            let changed = self.health.0.notified();
            tokio::pin!(changed);
            // Before the look, so that no change is missed.
            changed.as_mut().enable();
            if self.engine.failure().is_none() {
                return;
            }
            changed.await;
        }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn partition(&self, topic: Uuid, index: i32) -> Option<Arc<Partition>> {
        let id = PartitionId {
            topic: TopicId(topic.into_bytes()),
            index,
        };
        self.engine.store().partition(id)
    }

    /// Submits batches before it returns, in order; the future answers in the same order, each once
    /// its `ack` is reached.
    pub fn append(&self, batches: Vec<NewBatch>, now_ms: i64) -> Appending {
        let (done, outcomes) = oneshot::channel();
        if batches.is_empty() {
            // Nobody waits on the other side: an empty answer cannot be lost.
            let _ = done.send(Vec::new());
            return Appending { outcomes };
        }
        let gathered = Gathered {
            missing: batches.len(),
            outcomes: vec![None; batches.len()],
            done: Some(done),
        };
        let sink: Arc<dyn AppendSink> = Arc::new(Gathering(Mutex::new(gathered)));
        let requests = batches.into_iter().enumerate().map(|(tag, batch)| Request {
            append: Append {
                partition: batch.partition,
                batch: batch.bytes,
                header: batch.header,
                ack: batch.ack,
                now: now_ms,
                tag,
                sink: Arc::clone(&sink),
            },
            origin: batch.origin,
        });
        self.engine.append(requests);
        Appending { outcomes }
    }

    /// Makes log starts that were moved by `Partition::delete_records` durable.
    ///
    /// # Errors
    /// Says why they are not; they hold until the broker stops.
    pub async fn persist_log_starts(&self) -> Result<(), String> {
        let (done, persisted) = oneshot::channel();
        // A client that left does not wait.
        self.engine
            .persist_log_starts(Box::new(move |outcome| drop(done.send(outcome))));
        let stopping = |_| Err("the broker is shutting down".to_owned());
        persisted.await.unwrap_or_else(stopping)
    }

    /// The bytes of a plan: at once if they are in memory, else read on a thread that may block.
    ///
    /// # Errors
    /// As [`ReadPlan::load`].
    pub async fn load(&self, plan: ReadPlan) -> Result<Vec<Bytes>, ReadError> {
        match plan.in_memory() {
            Some(bytes) => Ok(bytes),
            None => self.blocking(move || plan.load()).await,
        }
    }

    /// Runs something that reads the disk, with a bound on how many do at once.
    pub async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed; without a permit the read would only be less polite.
        let _permit = self.reads.acquire().await.ok();
        match tokio::task::spawn_blocking(read).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Outcomes of submitted batches, in the order of submission.
#[must_use = "an append that nobody waits for cannot be answered"]
pub struct Appending {
    outcomes: oneshot::Receiver<Vec<Outcome>>,
}

impl Future for Appending {
    type Output = Vec<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Storage answers every append exactly once, or the process ends.
        Pin::new(&mut self.outcomes)
            .poll(cx)
            .map(Result::unwrap_or_default)
    }
}

struct Gathering(Mutex<Gathered>);

struct Gathered {
    missing: usize,
    outcomes: Vec<Option<Outcome>>,
    done: Option<oneshot::Sender<Vec<Outcome>>>,
}

impl AppendSink for Gathering {
    fn appended(&self, tag: usize, outcome: Result<Appended, AppendError>) {
        self.took(tag, outcome.map_err(Unwritten::from));
    }

    fn refused(&self, tag: usize, refusal: Refusal) {
        self.took(tag, Err(refusal.into()));
    }
}

impl Gathering {
    fn took(&self, tag: usize, outcome: Outcome) {
        let mut gathered = self.0.lock();
        gathered.outcomes[tag] = Some(outcome);
        gathered.missing -= 1;
        if gathered.missing == 0 {
            let outcomes = std::mem::take(&mut gathered.outcomes)
                .into_iter()
                .flatten()
                .collect();
            if let Some(done) = gathered.done.take() {
                // A client that left does not wait.
                let _ = done.send(outcomes);
            }
        }
    }
}
