//! Reading a view from an offset on, within the bounds of a request.

use std::sync::Arc;

use bytes::Bytes;
use tidelog_storage::ids::Offset;
use tidelog_storage::{Partition, ReadEnd, ReadError};
use tidelog_typed::OffsetRange;
use tokio::time::Instant;
use uuid::Uuid;

use super::refit::{Refit, Room, refit};
use super::{Look, RefitError};
use crate::api::data::compute::compute;
use crate::broker::Broker;
use crate::server::read_budget::Grant;

/// Most bytes of its sources that one request looks at, all partitions together; of each, some are
/// looked at in any case.
pub const LOOK_BYTES_MAX: u64 = 16 << 20;

/// Most bytes of a source that are refitted at a time, but for one batch however large it is. More of
/// changes: a block of their rows is read whole.
const STEP_BYTES: u64 = 256 << 10;
const STEP_BYTES_OF_CHANGES: u64 = 1 << 20;

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Where to read on, not beyond the stable end.
    pub from: Offset,
    pub max_bytes: u64,
    /// The first batch comes however large it is.
    pub at_least_one: bool,
    /// Bytes of the source after which it is enough.
    pub look_bytes: u64,
    /// When it is enough, too: some clients wait as long as they said and hardly longer. One step is made
    /// in any case.
    pub until: Instant,
}

/// What there is to be seen.
#[derive(Debug)]
pub struct Shown {
    /// In offset order.
    pub batches: Vec<Bytes>,
    pub bytes: u64,
    /// Next offset after those looked at.
    pub end: Offset,
    /// Bytes of the source.
    pub looked: u64,
    /// There is more to be looked at now.
    pub has_more: bool,
}

/// Why a view cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Refit(#[from] RefitError),
}

/// Shows `source`, one of its partitions, as `look` does.
///
/// # Errors
/// [`ShowError`].
pub async fn show(
    broker: &Broker,
    source: &Arc<Partition>,
    look: &Arc<Look>,
    window: Window,
) -> Result<Shown, ShowError> {
    let mut shown = Shown {
        batches: Vec::new(),
        bytes: 0,
        end: window.from,
        looked: 0,
        has_more: true,
    };
    while shown.bytes < window.max_bytes.max(1) && shown.looked < window.look_bytes {
        let room = Room {
            max_bytes: window.max_bytes - shown.bytes,
            at_least_one: window.at_least_one && shown.batches.is_empty(),
        };
        match step(broker, source, look, &mut shown, room).await? {
            Step::On if Instant::now() >= window.until => break,
            Step::On => {}
            Step::Full => break,
            Step::End => {
                shown.has_more = false;
                break;
            }
        }
    }
    Ok(shown)
}

/// Whether to go on.
enum Step {
    On,
    /// The answer has no more room, or memory is short.
    Full,
    /// Nothing follows right now.
    End,
}

async fn step(
    broker: &Broker,
    source: &Arc<Partition>,
    look: &Arc<Look>,
    shown: &mut Shown,
    room: Room,
) -> Result<Step, ShowError> {
    let first = shown.end;
    let bytes = match **look {
        Look::Records(_) => STEP_BYTES,
        Look::Changes(_) => STEP_BYTES_OF_CHANGES,
    };
    let loaded = load(broker, source, first, bytes, room.at_least_one).await?;
    let Some((pieces, grant)) = loaded else {
        return Ok(Step::Full);
    };
    let looked: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let committed = source.committed(first, pieces)?;
    if committed.end <= first {
        return Ok(Step::End);
    }
    let range = OffsetRange {
        first,
        end: committed.end,
    };
    let refitted = refitted(broker, source, look, range, committed.batches, room).await?;
    // What was read from the disk is held until it is refitted.
    drop(grant);
    if refitted.bytes > 0 {
        // Waits only while the answer holds nothing yet.
        let grant = broker.reads().take(refitted.bytes, room.at_least_one);
        let Some(grant) = grant.await else {
            return Ok(Step::Full);
        };
        let batches = refitted.batches.into_iter();
        shown
            .batches
            .extend(batches.map(|batch| grant.pay_for(batch)));
        shown.bytes += refitted.bytes;
    }
    shown.looked += looked;
    shown.end = refitted.end;
    Ok(match (refitted.is_full, refitted.end < range.end) {
        (true, _) => Step::Full,
        (false, true) => Step::End,
        (false, false) => Step::On,
    })
}

/// Refits what was loaded, where that may take its time.
async fn refitted(
    broker: &Broker,
    source: &Arc<Partition>,
    look: &Arc<Look>,
    range: OffsetRange,
    batches: Vec<Bytes>,
    room: Room,
) -> Result<Refit, RefitError> {
    let (source, index) = (Arc::clone(source), source.id.index);
    let live = broker
        .rows()
        .live(Uuid::from_bytes(source.id.topic.0), index);
    let shared = Arc::clone(look);
    let work = move || match &*shared {
        Look::Records(lens) => refit(lens, index, range, &batches, room),
        Look::Changes(changes) => changes.refit(&source, live.as_deref(), range, &batches, room),
    };
    match **look {
        Look::Records(_) => compute(work).await,
        // Reads files.
        Look::Changes(_) => broker.log().blocking(work).await,
    }
}

/// Whole batches of the source and leave to hold them; `None` while memory is short and the answer has
/// something already.
async fn load(
    broker: &Broker,
    source: &Partition,
    from: Offset,
    bytes: u64,
    is_first: bool,
) -> Result<Option<(Vec<Bytes>, Option<Grant>)>, ReadError> {
    let plan = |bytes| source.plan_read_to(ReadEnd::StableEnd, from, bytes, true);
    let wanted = plan(bytes)?;
    if let Some(pieces) = wanted.in_memory() {
        return Ok(Some((pieces, None)));
    }
    let Some(grant) = broker.reads().take(wanted.bytes(), is_first).await else {
        return Ok(None);
    };
    let granted = match grant.max_bytes < wanted.bytes() {
        true => plan(grant.max_bytes)?,
        false => wanted,
    };
    let pieces = broker.log().load(granted).await?;
    Ok(Some((pieces, Some(grant))))
}
