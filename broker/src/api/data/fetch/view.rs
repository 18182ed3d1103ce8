//! Fetch of a view: what is there is made for the reader, and how far it looked is told.

use std::sync::Arc;

use tidelog_protocol_ext::Rope;
use tidelog_storage::{Marks, Partition, ReadError};
use tokio::time::Instant;
use tracing::warn;

use super::{Found, Limits, Wanted, diverging, end_of, told};
use crate::api::context::Context;
use crate::api::data::target::{PartitionError, check_leader_epoch, marks_of_view};
use crate::views::filler::filler;
use crate::views::{self, Place, ShowError, ViewError, ViewOf, Window};

/// First version whose clients all pass over markers without showing them. segmentio/kafka-go, with
/// version 10, takes a marker for a record, and an empty batch for one it did not get whole.
const FILLERS_FROM: i16 = 11;

/// Bytes of the source after which what was found is answered: a reader that waits for more of them
/// would have them looked at again and again.
const LOOK_AGAIN_MAX: u64 = 1 << 20;

/// A partition of a view: of its source, seen through it.
pub(super) struct Reading<'a> {
    pub view: &'a ViewOf,
    pub partition: &'a Arc<Partition>,
}

/// Reads one partition within what the limits leave after `taken` bytes. How far a look came that found
/// nothing is remembered, so that the next one goes on from there.
pub(super) async fn read(
    ctx: &Context,
    Reading { view, partition }: Reading<'_>,
    wanted: &Wanted,
    limits: Limits,
    taken: u64,
) -> Result<Found, PartitionError> {
    let offset = wanted.fetch_offset;
    let first = taken == 0;
    let max_bytes = wanted.max_bytes.min(limits.max_bytes.saturating_sub(taken));
    let marks = marks_of_view(partition);
    check_leader_epoch(wanted.leader_epoch, marks.leader_epoch)?;
    let mut found = Found {
        diverging: diverging(partition, wanted, marks.log_start)?,
        marks,
        records: Rope::new(),
        bytes: 0,
        aborted: Vec::new(),
        urgent: true,
    };
    if found.diverging.is_some() {
        return Ok(found);
    }
    check_range(offset, &marks)?;
    if max_bytes == 0 && !first {
        found.urgent = offset < marks.stable_end;
        return Ok(found);
    }
    found.urgent = false;
    let unreadable = |error: ViewError| {
        warn!(partition = %partition.id, offset, %error, "a view could not be read");
        PartitionError::View(error)
    };
    let look = view
        .look(&ctx.broker)
        .await
        .map_err(|error| unreadable(error.into()))?;
    let Some(look) = look.map(Arc::new) else {
        return Ok(found);
    };
    let place = Place {
        view: view.id(),
        index: wanted.index,
        schema_id: look.schema_id(),
        offset,
    };
    let (passed, now) = (ctx.broker.passed().get(&place), Instant::now());
    let window = Window {
        from: passed.unwrap_or(offset).max(marks.log_start),
        max_bytes,
        at_least_one: first,
        look_bytes: limits.look_bytes,
        until: now + limits.deadline.saturating_duration_since(now) / 2,
    };
    let shown = views::show(&ctx.broker, partition, &look, window).await;
    let shown = shown.map_err(|error| match error {
        ShowError::Read(error) => told(&wanted.topic, error),
        ShowError::Refit(error) => unreadable(error.into()),
    })?;
    found.urgent = shown.has_more || (shown.bytes > 0 && shown.looked >= LOOK_AGAIN_MAX);
    found.bytes = shown.bytes;
    if shown.bytes == 0 && shown.end > window.from {
        ctx.broker.passed().put(place, shown.end);
    }
    found.records = Rope::from(shown.batches);
    let known_to = end_of(&found.records).unwrap_or(offset);
    if shown.end > known_to && ctx.version() >= FILLERS_FROM {
        let last = shown.end - 1;
        let epoch = partition.epoch_at(last).unwrap_or(-1);
        let filler = filler(last, epoch).map_err(|error| unreadable(error.into()))?;
        found.records.push(filler);
    }
    Ok(found)
}

/// Beyond the stable end there is nothing of a view.
fn check_range(offset: i64, marks: &Marks) -> Result<(), ReadError> {
    let (log_start, high_watermark) = (marks.log_start, marks.stable_end);
    if (log_start..=high_watermark).contains(&offset) {
        return Ok(());
    }
    Err(ReadError::OutOfRange {
        offset,
        log_start,
        high_watermark,
    })
}
