//! The first records from an offset on, for whoever has to find out what a topic's columns are.

use bytes::Bytes;
use tidelog_records::{Record, Records, RecordsError};
use tidelog_storage::ids::Offset;
use tidelog_storage::{Partition, ReadEnd, ReadError};

use crate::api::data::compute::compute;
use crate::log::Log;

/// Records of a whole sample.
pub const RECORDS: usize = 1_000;
/// Bytes of batches that are read for one.
const BYTES: u64 = 4 << 20;
/// Largest decompressed batch: what Produce admits.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a batch of the log: {0}")]
    Batch(#[from] RecordsError),
}

/// What `take` makes of the stable records of `partition` from `first` on, up to a sample.
///
/// # Errors
/// [`SampleError`].
pub async fn sample<T: Send + 'static>(
    log: &Log,
    partition: &Partition,
    first: Offset,
    take: impl Fn(&Record<'_>) -> Option<T> + Send + 'static,
) -> Result<Vec<T>, SampleError> {
    let plan = partition.plan_read_to(ReadEnd::StableEnd, first, BYTES, true)?;
    let pieces = log.load(plan).await?;
    let committed = partition.committed(first, pieces)?;
    compute(move || walk(&committed.batches, first, take)).await
}

fn walk<T>(
    batches: &[Bytes],
    first: Offset,
    take: impl Fn(&Record<'_>) -> Option<T>,
) -> Result<Vec<T>, SampleError> {
    let mut sample = Vec::new();
    for batch in batches {
        let records = Records::open(batch, BATCH_BYTES_MAX)?;
        for record in &records {
            let record = record.map_err(RecordsError::from)?;
            if record.offset >= first && sample.len() < RECORDS {
                sample.extend(take(&record));
            }
        }
    }
    Ok(sample)
}
