//! The tables of a keyed topic's partitions, and waiting until they can be asked.
//!
//! ```text
//! topic by id ─▶ KeyedTopic ─▶ Part, one for each partition ─▶ wait ─▶ ask
//! ```
//! - A table that is being loaded, or made anew after its index failed, is waited for as long as the
//!   client waits; then it is told to come again.
//! - Whoever asks for a `min_offset` waits until it is stable. What is stable is in the answer.

use std::sync::Arc;

use tidelog_coordinator::cluster::Topic;
use tidelog_coordinator::cluster::settings::TableKey;
use tidelog_keyed::RuleSet;
use tidelog_storage::Partition;
use tokio::time::Instant;
use uuid::Uuid;

use super::columns::ColumnsError;
use crate::api::context::Context;
use crate::api::data::target::{PartitionError, TopicKey, partition_of};
use crate::jobs::rows::format::Format;
use crate::owners::keyed::{NotReady, Table, rules_of};
use crate::waiter::Waiter;

/// Why a topic has no rows by key.
#[derive(Debug, thiserror::Error)]
pub enum NotKeyed {
    #[error(transparent)]
    Topic(#[from] PartitionError),
    #[error("the topic is no keyed table: it was not made with tidelog.table.key=record_key")]
    NoKey,
    #[error(transparent)]
    Columns(#[from] ColumnsError),
}

/// Why a key, or what is asked of a partition, has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("there is no such partition")]
    NoPartition,
    /// The client did not name the partition.
    #[error("only the producer knows the partition of a key: name it")]
    Ambiguous,
    #[error("the cursor is none that an answer had")]
    BadCursor,
    #[error("min_offset was not reached in time")]
    TimedOut,
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("the value is not of the topic's schema")]
    Undecodable,
}

/// A topic whose partitions are tables by key, and how their rows are shown.
pub struct KeyedTopic {
    pub topic: Arc<Topic>,
    pub rules: RuleSet,
    pub format: Arc<Format>,
}

impl KeyedTopic {
    /// # Errors
    /// [`NotKeyed`].
    pub fn find(ctx: &Context, id: Uuid) -> Result<Self, NotKeyed> {
        let view = ctx.broker.cluster().view();
        let topic = TopicKey::Id(id).find(&view.image)?;
        let settings = view.topic_settings(topic);
        if settings.table.key != TableKey::RecordKey {
            return Err(NotKeyed::NoKey);
        }
        let format = ctx.broker.rows().format(topic, &settings.table);
        Ok(Self {
            topic: Arc::clone(topic),
            rules: rules_of(topic, &settings.table),
            format: format.map_err(ColumnsError::from)?,
        })
    }

    /// One of its partitions, which has to reflect all below `min_offset`.
    ///
    /// # Errors
    /// [`KeyFault::NoPartition`].
    pub fn part(&self, ctx: &Context, index: i32, min_offset: i64) -> Result<Part, KeyFault> {
        let partition = partition_of(ctx.broker.log(), &self.topic, index);
        Ok(Part {
            index,
            topic: self.topic.id,
            partition: partition.map_err(|_| KeyFault::NoPartition)?,
            min_offset,
        })
    }
}

/// A partition whose table is asked.
#[derive(Clone)]
pub struct Part {
    pub index: i32,
    topic: Uuid,
    partition: Arc<Partition>,
    min_offset: i64,
}

impl Part {
    /// # Errors
    /// The table is not open, or does not reflect yet what it must.
    pub fn table(&self, ctx: &Context) -> Result<Arc<Table>, KeyFault> {
        if !self.is_reached() {
            return Err(KeyFault::TimedOut);
        }
        Ok(ctx.broker.keyed().open_table(self.topic, self.index)?)
    }

    /// The partition in the log.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    fn is_reached(&self) -> bool {
        self.partition.marks().stable_end >= self.min_offset
    }

    fn is_loading(&self, ctx: &Context) -> bool {
        let open = ctx.broker.keyed().open_table(self.topic, self.index);
        matches!(open, Err(NotReady::Loading))
    }
}

/// Waits until every partition reflects what it must and its table is open, or lost.
pub async fn wait(ctx: &Context, parts: &[Part], deadline: Instant) {
    let waiter = Waiter::register(parts.iter().map(|part| &part.partition));
    let mut stop = ctx.broker.shutdown_signal();
    let is_due = |part: &Part| !part.is_reached() || part.is_loading(ctx);
    loop {
        let opened = ctx.broker.keyed().opened();
        tokio::pin!(opened);
        // Before the look: a table that is opened between the two is not missed.
        opened.as_mut().enable();
        if !parts.iter().any(is_due) {
            return;
        }
        tokio::select! {
            () = waiter.moved() => {}
            () = opened => {}
            () = tokio::time::sleep_until(deadline) => return,
            () = stop.stopping() => return,
        }
    }
}

/// Asks a partition's table on a thread that may block, and once more if it failed and was opened
/// anew before `deadline`.
///
/// # Errors
/// As [`Part::table`].
pub async fn ask<T: Send + 'static>(
    ctx: &Context,
    part: &Part,
    deadline: Instant,
    question: impl Fn(&Arc<Table>) -> Result<T, NotReady> + Send + Sync + 'static,
) -> Result<T, KeyFault> {
    let question = Arc::new(question);
    loop {
        let table = part.table(ctx)?;
        let question = Arc::clone(&question);
        let answer = ctx.broker.log().blocking(move || question(&table)).await;
        match answer {
            Err(NotReady::Loading) if part.is_loading(ctx) && Instant::now() < deadline => {
                wait(ctx, std::slice::from_ref(part), deadline).await;
            }
            answer => return Ok(answer?),
        }
    }
}
