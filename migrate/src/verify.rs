//! Proof that both sides hold the same: both are read and compared batch by batch.
//!
//! Every partition is read from where both logs begin to the end of what was copied, in turns that follow
//! the copying, so that little is left to be read once producers wait. Nothing is taken from memory: a
//! migration that was begun by another process is read from its start.
//!
//! Of a compacted topic the source may drop records after they were copied. Where batches differ, every
//! record that is left there must then stand in the target, at its offset and equal.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};
use tidelog_records::{Record, Records};
use twox_hash::XxHash64;

use crate::Both;
use crate::batches::{Batch, Digest};
use crate::cluster::Cluster;
use crate::part::{Found, Part};

/// Bytes of the target compared at a time.
const TURN_BYTES: usize = 16 << 20;
/// Most that one batch may decompress to.
const DECOMPRESSED_MAX_BYTES: usize = 512 << 20;

/// What was compared of one partition.
#[derive(Clone, Default)]
pub struct Verified {
    /// Offsets on both sides.
    pub range: Range<i64>,
    pub source: Digest,
    pub target: Digest,
    /// Records that the source has dropped since they were copied.
    pub dropped: u64,
}

impl Verified {
    fn begin(offset: i64) -> Self {
        Self {
            range: offset..offset,
            ..Self::default()
        }
    }
}

/// Compares the next piece; false if nothing is left for now.
///
/// # Errors
/// The sides differ, or cannot be read.
pub async fn turn(both: &Both, part: &mut Part, lane: usize) -> Result<bool> {
    let first = part.source.start.max(part.target.start);
    if part.verified.range.start < first {
        part.verified = Verified::begin(first);
    }
    let from = part.verified.range.end;
    if from >= part.target.end {
        return Ok(false);
    }
    let Some(target) = read(part, &both.target, from..part.target.end, TURN_BYTES, lane).await?
    else {
        return Ok(false);
    };
    let until = target.last().map_or(part.target.end, Batch::end);
    let Some(source) = read(part, &both.source, from..until, usize::MAX, lane).await? else {
        // Its log start moved: it will be listed again.
        return Ok(false);
    };
    both.throttle
        .spend(source.iter().map(|batch| batch.bytes.len()).sum())
        .await;
    let dropped = compare(part, &source, &target)?;
    let verified = &mut part.verified;
    verified.dropped += dropped;
    verified.range.end = until;
    source.iter().for_each(|batch| verified.source.add(batch));
    target.iter().for_each(|batch| verified.target.add(batch));
    both.tally.verified(until - from);
    Ok(true)
}

/// The batches of a range, fillers left out but as the last; `None` if the log does not have them any more.
async fn read(
    part: &Part,
    side: &Cluster,
    range: Range<i64>,
    bytes_max: usize,
    lane: usize,
) -> Result<Option<Vec<Batch>>> {
    let (mut batches, mut bytes, mut at) = (Vec::<Batch>::new(), 0, range.start);
    while at < range.end && bytes < bytes_max {
        match part.read(side, at, lane).await? {
            Found::OutOfRange => return Ok(None),
            Found::Nothing { .. } => break,
            Found::Batches(some) => {
                at = some.last().map_or(range.end, Batch::end);
                let inside = some
                    .into_iter()
                    .filter(|b| b.header.base_offset < range.end);
                for batch in inside {
                    bytes += batch.bytes.len();
                    batches.push(batch);
                }
            }
        }
    }
    Ok(Some(batches))
}

/// How many records only the target has.
fn compare(part: &Part, source: &[Batch], target: &[Batch]) -> Result<u64> {
    let real = |batches: &[Batch]| -> Vec<Batch> {
        batches
            .iter()
            .filter(|batch| !batch.is_filler())
            .cloned()
            .collect()
    };
    let (source, target) = (real(source), real(target));
    let differs = source
        .iter()
        .zip(&target)
        .position(|(one, other)| !one.is_same(other));
    if differs.is_none() && source.len() == target.len() {
        return Ok(0);
    }
    if part.is_compacted {
        return compare_records(part, &source, &target);
    }
    let at = differs.unwrap_or(source.len().min(target.len()));
    let offset = |batches: &[Batch]| batches.get(at).map_or(-1, |batch| batch.header.base_offset);
    bail!(
        "{part}: source and target differ from offset {} on (the target's batch begins at {})",
        offset(&source),
        offset(&target)
    )
}

fn compare_records(part: &Part, source: &[Batch], target: &[Batch]) -> Result<u64> {
    let ours = records(part, target)?;
    let theirs = records(part, source)?;
    for (offset, hash) in &theirs {
        ensure!(
            ours.get(offset) == Some(hash),
            "{part}: source and target differ at offset {offset}"
        );
    }
    Ok((ours.len() - theirs.len()) as u64)
}

/// A hash of each record, by offset.
fn records(part: &Part, batches: &[Batch]) -> Result<BTreeMap<i64, u64>> {
    let mut hashes = BTreeMap::new();
    for batch in batches {
        let place = || format!("{part}: the batch at offset {}", batch.header.base_offset);
        let opened = Records::open(&batch.bytes, DECOMPRESSED_MAX_BYTES).with_context(place)?;
        for record in &opened {
            let record = record.with_context(place)?;
            hashes.insert(record.offset, hash(&record));
        }
    }
    Ok(hashes)
}

fn hash(record: &Record<'_>) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    let mut field = |bytes: Option<&[u8]>| {
        hash.write(&bytes.map_or(-1, |bytes| bytes.len() as i64).to_be_bytes());
        hash.write(bytes.unwrap_or_default());
    };
    field(Some(&record.timestamp.to_be_bytes()));
    field(record.key);
    field(record.value);
    for header in record.headers.clone() {
        let (key, value) = header;
        field(Some(key));
        field(value);
    }
    hash.finish()
}
