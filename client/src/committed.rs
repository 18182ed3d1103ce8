//! What an answer to Fetch holds that counts: whole batches that are intact, without markers and
//! without what transactions wrote that were aborted.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::PartitionData;
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_records::{BatchHeader, Records, RecordsError, validate};

use crate::fault::RowsFault;

/// A batch, checked against its checksum.
pub type Batch = (BatchHeader, Bytes);

/// The batches of an answer that count, and the offset after all that it holds: `offset`, the one
/// asked for, if that is nothing. A first batch may begin before. `bytes_max` bounds what a marker's
/// batch decompresses to.
///
/// # Errors
/// [`RowsFault::Records`] for damaged batches.
pub fn committed(
    data: PartitionData,
    offset: i64,
    bytes_max: usize,
) -> Result<(Vec<Batch>, i64), RowsFault> {
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted
        .iter()
        .map(|txn| (txn.first_offset, txn.producer_id.0));
    let batches = whole_batches(data.records.unwrap_or_default())?;
    let end = batches.last().map_or(offset, |(header, _)| {
        header.last_offset().saturating_add(1).max(offset)
    });
    Ok((without(batches, aborted.collect(), bytes_max)?, end))
}

pub(crate) fn records(error: impl ToString) -> RowsFault {
    RowsFault::Records(error.to_string())
}

/// The batches of an answer, each intact; what is cut short at the end is left for the next one.
fn whole_batches(mut bytes: Bytes) -> Result<Vec<Batch>, RowsFault> {
    let mut batches = Vec::new();
    while let Some(header) = BatchHeader::read(&bytes) {
        if header.total_len() > bytes.len() {
            break;
        }
        let batch = bytes.split_to(header.total_len());
        let header = validate::check_intact(&batch).map_err(records)?;
        batches.push((header, batch));
    }
    Ok(batches)
}

/// Leaves out markers, and what transactions wrote that were aborted: `aborted` holds the first
/// offset and the producer of each.
fn without(
    batches: Vec<Batch>,
    aborted: BTreeSet<(i64, i64)>,
    bytes_max: usize,
) -> Result<Vec<Batch>, RowsFault> {
    let mut to_come = aborted.into_iter().peekable();
    let mut open = BTreeSet::new();
    let mut kept = Vec::new();
    for (header, batch) in batches {
        while let Some((_, producer)) = to_come.next_if(|(at, _)| *at <= header.last_offset()) {
            open.insert(producer);
        }
        if header.is_control() {
            if is_abort(&batch, bytes_max).map_err(records)? {
                open.remove(&header.producer_id);
            }
        } else if !(header.is_transactional() && open.contains(&header.producer_id)) {
            kept.push((header, batch));
        }
    }
    Ok(kept)
}

fn is_abort(batch: &Bytes, bytes_max: usize) -> Result<bool, RecordsError> {
    let records = Records::open(batch, bytes_max)?;
    match records.iter().next().transpose()? {
        // Control records of other kinds end no transaction.
        Some(record) => Ok(TxnMarker::decode(record.key, record.value)
            .is_ok_and(|marker| marker.outcome == Outcome::Abort)),
        None => Ok(false),
    }
}
