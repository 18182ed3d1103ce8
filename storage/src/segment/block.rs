//! Encodes one block: the Arrow message, the row index, the batches side by side.

use std::io;

use arrow_ipc::Block;
use tidelog_records::BatchHeader;

use super::layout::{self, pad8};
use super::{BlockMeta, SegmentKind, StoredBatch, ipc};
use crate::ids::PartitionId;
use crate::sink::Sink;

/// Writes `batches` (not empty, all of `partition`, in offset order) as one block. Answers what the
/// manifest and what the Arrow footer say about it.
pub(super) fn write(
    sink: &mut Sink,
    kind: SegmentKind,
    partition: PartitionId,
    batches: &[StoredBatch],
) -> io::Result<(BlockMeta, Block)> {
    let rows = batches.len() as u64;
    let data_len = batches.iter().map(|batch| batch.bytes.len() as u64).sum();
    let start = sink.pos();
    let mut buffers = layout::buffer_lens(kind, rows);
    buffers.push(data_len);
    // Offsets and data are two buffers of one column.
    let message = ipc::block_message(rows, buffers.len() - 1, &buffers);
    sink.put(&message)?;

    let body = sink.pos();
    if kind == SegmentKind::Pack {
        sink.put(&lead_columns(partition, batches.len()))?;
    }
    let index = row_index(batches);
    let index_pos = sink.pos();
    sink.put(&index)?;
    let data_pos = sink.pos();
    let data_crc = put_data(sink, batches)?;

    let headers = || batches.iter().map(|batch| &batch.header);
    let meta = BlockMeta {
        base_offset: headers().next().map_or(0, |h| h.base_offset),
        end_offset: headers().next_back().map_or(0, |h| h.last_offset() + 1),
        max_timestamp: headers().map(max_timestamp).max().unwrap_or(-1),
        rows: rows as u32,
        index_pos,
        index_len: index.len() as u64,
        index_crc: crc32c::crc32c(&index),
        data_pos,
        data_len,
        data_crc,
    };
    let place = Block::new(
        start as i64,
        message.len() as i32,
        (sink.pos() - body) as i64,
    );
    Ok((meta, place))
}

/// The columns that only a pack has: whose rows these are.
fn lead_columns(partition: PartitionId, rows: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(layout::lead_len(SegmentKind::Pack, rows as u64) as usize);
    (0..rows).for_each(|_| out.extend_from_slice(&partition.topic.0));
    (0..rows).for_each(|_| out.extend_from_slice(&partition.index.to_le_bytes()));
    pad(&mut out);
    out
}

/// All small columns, then the offsets of the `batch` column.
fn row_index(batches: &[StoredBatch]) -> Vec<u8> {
    let mut out = Vec::with_capacity(layout::index_len(batches.len() as u64) as usize);
    let headers = || batches.iter().map(|batch| &batch.header);
    column(&mut out, headers().map(|h| h.base_offset.to_le_bytes()));
    column(&mut out, headers().map(|h| h.last_offset().to_le_bytes()));
    column(&mut out, headers().map(|h| max_timestamp(h).to_le_bytes()));
    column(&mut out, headers().map(|h| h.producer_id.to_le_bytes()));
    column(&mut out, headers().map(|h| h.producer_epoch.to_le_bytes()));
    column(&mut out, headers().map(|h| h.base_sequence.to_le_bytes()));
    column(&mut out, headers().map(|h| h.attributes.to_le_bytes()));
    column(
        &mut out,
        headers().map(|h| h.partition_leader_epoch.to_le_bytes()),
    );
    column(&mut out, headers().map(|h| h.record_count.to_le_bytes()));
    let ends = batches.iter().scan(0, |end, batch| {
        *end += batch.bytes.len() as i64;
        Some(*end)
    });
    column(
        &mut out,
        std::iter::once(0).chain(ends).map(i64::to_le_bytes),
    );
    out
}

/// The largest timestamp of a record: a batch that compaction emptied has none.
fn max_timestamp(header: &BatchHeader) -> i64 {
    match header.record_count {
        0 => -1,
        _ => header.max_timestamp,
    }
}

fn column<const N: usize>(out: &mut Vec<u8>, values: impl Iterator<Item = [u8; N]>) {
    values.for_each(|value| out.extend_from_slice(&value));
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(pad8(out.len() as u64) as usize, 0);
}

/// Writes the batches and their padding; answers the crc32c of the batches.
fn put_data(sink: &mut Sink, batches: &[StoredBatch]) -> io::Result<u32> {
    let mut crc = 0;
    for batch in batches {
        crc = crc32c::crc32c_append(crc, &batch.bytes);
        sink.put(&batch.bytes)?;
    }
    sink.pad8()?;
    Ok(crc)
}
