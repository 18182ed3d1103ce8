//! The registry of this broker: one owner, everybody else reads the image.
//!
//! Its records are a partition of their own in the same WAL, which no client sees. Whatever parses
//! schemas is computed on threads that may block, a few at a time, so that a client with large schemas
//! keeps nobody waiting but others like it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidelog_coordinator::machine::{Decision, Envelope, Machine, Token};
use tidelog_registry::{Command, Outcome, Record, Refusal, Registry, Store, Work};
use tidelog_storage::LogSettings;
use tidelog_storage::ids::{PartitionId, TopicId};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::clock::Clock;
use crate::log::Log;
use crate::owners::driver::{self, DriverError, DriverHandle, Journal};

/// Id of the registry's log. Kafka reserves ids of this kind for its own internal topics.
pub const SCHEMAS_TOPIC_ID: Uuid = Uuid::from_u128(2);

/// Threads that parse and compare schemas at the same time.
const COMPUTING_MAX: usize = 2;

/// Access to the registry and its owner.
pub struct Embedded {
    driver: DriverHandle<Owner>,
    view: watch::Receiver<Arc<Registry>>,
    computing: Arc<Semaphore>,
}

impl Embedded {
    /// Starts the owner and waits until the registry is loaded.
    pub async fn start(log: &Arc<Log>, clock: Clock) -> Result<Self, DriverError> {
        let id = PartitionId {
            topic: TopicId(SCHEMAS_TOPIC_ID.into_bytes()),
            index: 0,
        };
        let store = log.engine().store();
        let partition = store.ensure_partition(id, 0, LogSettings::default());
        let (publish, view) = watch::channel(Arc::new(Registry::default()));
        let make = move || Owner {
            registry: Registry::default(),
            publish: publish.clone(),
        };
        let driver = driver::start(Arc::clone(log), clock, partition, make);
        driver.call(Call::UntilLoaded).await?;
        Ok(Self {
            driver,
            view,
            computing: Arc::new(Semaphore::new(COMPUTING_MAX)),
        })
    }
}

#[async_trait]
impl Store for Embedded {
    fn image(&self) -> Arc<Registry> {
        Arc::clone(&self.view.borrow())
    }

    async fn submit(&self, command: Command) -> Result<Outcome, Refusal> {
        match self.driver.call(Call::Decide(command)).await {
            Ok(Reply::Decided(outcome)) => outcome,
            Ok(Reply::Loaded) => unreachable!("a command is decided"),
            // The owner may have written the records before it had to start over.
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        }
    }

    async fn compute(&self, work: Work) -> Result<(), Refusal> {
        // Nobody closes the semaphore.
        let turn = Arc::clone(&self.computing).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            work();
            drop(turn);
        });
        let done = done.await;
        done.map_err(|_| Refusal::Unavailable("a computation failed".to_owned()))
    }
}

enum Call {
    /// Answered once the log has been read.
    UntilLoaded,
    Decide(Command),
}

enum Reply {
    Loaded,
    Decided(Result<Outcome, Refusal>),
}

/// The machine and where its image goes.
struct Owner {
    registry: Registry,
    publish: watch::Sender<Arc<Registry>>,
}

impl Machine for Owner {
    type Command = Call;
    type Record = Record;
    type Reply = Reply;

    fn decide(&mut self, _: i64, token: Token, call: Call) -> Decision<Record, Reply> {
        let command = match call {
            Call::UntilLoaded => return Decision::reply(token, Reply::Loaded),
            Call::Decide(command) => command,
        };
        match self.registry.decide(command) {
            Ok((records, outcome)) => Decision {
                records,
                replies: vec![(token, Reply::Decided(Ok(outcome)))],
            },
            Err(refusal) => Decision::reply(token, Reply::Decided(Err(refusal))),
        }
    }

    fn apply(&mut self, record: &Record) {
        self.registry.apply(record);
    }
}

impl Journal for Owner {
    const NAME: &'static str = "registry";

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), String> {
        let (key, value) = record.encode().map_err(|error| error.to_string())?;
        Ok((key.into(), Some(value.into())))
    }

    fn decode(_: Envelope, _: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, String> {
        let value = value.ok_or("a registry record without a value")?;
        let record = Record::decode(value).map_err(|error| error.to_string())?;
        Ok(Some(record))
    }

    fn checkpoint(&self) -> Vec<Record> {
        self.registry.checkpoint()
    }

    fn durable(&mut self) {
        if *self.publish.borrow().as_ref() != self.registry {
            self.publish.send_replace(Arc::new(self.registry.clone()));
        }
    }
}
