//! Copying one partition, a turn at a time.
//!
//! ```text
//! source ── fetch ─▶ chunk ── import ─▶ target's log      the next chunk is fetched meanwhile
//! ```
//! Where to go on is what the target says it holds: there is no other memory of what was copied.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join;
use tidelog_client::wire::Ours;
use tidelog_client::{BrokerError, Error};
use tidelog_protocol_ext::ErrorCode;
use tidelog_protocol_ext::Rope;
use tidelog_protocol_ext::ext::import_records::ImportRecordsRequest;
use tokio::time::sleep;

use crate::Both;
use crate::batches::{self, Batch};
use crate::cluster::say;
use crate::part::{Found, Part};

/// Between two attempts to append, as on a disk that is full.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Bytes of one partition before others have their turn.
const TURN_BYTES: usize = 64 << 20;

/// Copies up to what the source was seen to hold, or for one turn.
///
/// # Errors
/// What waiting does not mend.
pub async fn turn(both: &Both, part: &mut Part, lane: usize) -> Result<()> {
    let mut taken = 0;
    let mut chunk = fetch(both, part, part.target.end, lane).await?;
    while let Some(batches) = chunk {
        let bytes: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
        taken += bytes;
        let next = batches.last().map_or(part.target.end, Batch::end);
        let goes_on = next < part.source.end && taken < TURN_BYTES;
        let fetched = async {
            match goes_on {
                true => fetch(both, part, next, lane).await,
                false => Ok(None),
            }
        };
        let (imported, fetched) = join(import(both, part, batches, lane), fetched).await;
        let before = part.target.end;
        part.target = imported?;
        both.tally.copied(bytes, part.target.end - before);
        chunk = fetched?;
    }
    Ok(())
}

/// Lets the target's log begin where the source's does.
///
/// # Errors
/// As [`turn`].
pub async fn move_start(both: &Both, part: &mut Part) -> Result<()> {
    part.target = import(both, part, Vec::new(), 0).await?;
    Ok(())
}

/// What the source holds from `offset` on; `None` if that cannot be told before it is listed again.
async fn fetch(both: &Both, part: &Part, offset: i64, lane: usize) -> Result<Option<Vec<Batch>>> {
    let at = offset.max(part.source.start);
    if at >= part.source.end {
        // All that the source once had is gone; its offsets are not given again.
        return Ok(Some(batches::fillers(offset, at)).filter(|fillers| !fillers.is_empty()));
    }
    match part.read(&both.source, at, lane).await? {
        Found::Batches(batches) => {
            both.throttle
                .spend(batches.iter().map(|batch| batch.bytes.len()).sum())
                .await;
            Ok(Some(batches))
        }
        // Compaction took the end of the log.
        Found::Nothing { high_watermark } if high_watermark > at => {
            Ok(Some(batches::fillers(offset, high_watermark)))
        }
        Found::Nothing { .. } | Found::OutOfRange => Ok(None),
    }
}

/// Appends the batches to the target's log, whatever becomes of the target meanwhile, and answers what
/// it then holds.
async fn import(
    both: &Both,
    part: &Part,
    mut batches: Vec<Batch>,
    lane: usize,
) -> Result<Range<i64>> {
    let Some(end) = batches.last().map(Batch::end) else {
        return Ok(both
            .target
            .patiently(async || send(both, part, &[], lane).await)
            .await?);
    };
    let mut pause = PAUSE_MIN;
    loop {
        let error = match send(both, part, &batches, lane).await {
            Ok(held) if held.end == end => return Ok(held),
            Ok(held) => bail!("{part}: the target ends at {}, not {end}", held.end),
            Err(error) => error,
        };
        if !error.is_transient() && error.error_code() != Some(ErrorCode::InvalidRequest) {
            return Err(error.into());
        }
        if matches!(error, Error::Broker(_)) && pause == PAUSE_MIN {
            say(&format!("target: {error}; trying again"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        // Perhaps it has them, or some: the answer may have been lost.
        let ask = async || send(both, part, &[], lane).await;
        let held = both.target.patiently(ask).await?;
        batches.retain(|batch| batch.end() > held.end);
        match batches.first() {
            None if held.end == end => return Ok(held),
            Some(first) if first.header.base_offset >= held.end && error.is_transient() => {}
            _ => bail!("{part}: {error}; does another migration write to the topic?"),
        }
    }
}

/// One attempt.
async fn send(
    both: &Both,
    part: &Part,
    batches: &[Batch],
    lane: usize,
) -> Result<Range<i64>, Error> {
    let pieces: Vec<_> = batches.iter().map(|batch| batch.bytes.clone()).collect();
    let request = ImportRecordsRequest {
        topic_id: part.topic_id,
        partition: part.index,
        log_start_offset: part.source.start,
        records: Rope::from(pieces),
    };
    let place = (part.topic.as_str(), part.index);
    let answer = both.target.leader(place, lane, &Ours(request)).await?;
    BrokerError::check("ImportRecords", answer.error_code, || {
        let said = answer.error_message.as_deref().unwrap_or_default();
        format!("{part} ({said})")
    })?;
    Ok(answer.log_start_offset..answer.end_offset)
}
