//! Rows files in the world: one row per record batch, its offset and the crc of its bytes, so that
//! every row can be held against the batch it was made of.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use tidelog_records::BatchHeader;
use tidelog_storage::Partition;
use tidelog_storage::disk::Disk;
use tidelog_storage::rows::{
    Compression, EncodedBlock, OFFSET_COLUMN, Projection, RowsMeta, RowsWriter, Shape, WriteError,
};
use tidelog_storage::segment::FileId;

/// Batches in one block.
const BLOCK_ROWS: usize = 3;

pub fn shape() -> Arc<Shape> {
    let field = |name| Field::new(name, DataType::Int64, false);
    let schema = Schema::new(vec![field(OFFSET_COLUMN), field("crc")]);
    Shape::shared(Arc::new(schema)).expect("plain columns")
}

/// Offset of a batch's first record, and the crc of what follows its offset and epoch.
pub fn row_of(batch: &Bytes) -> (i64, i64) {
    let header = BatchHeader::read(batch).expect("a whole batch");
    let crc = crc32c::crc32c(&batch[16..]);
    (header.base_offset, i64::from(crc))
}

/// Writes the rows of `batches`, which are all there are from `from` on.
pub fn write(
    disk: Arc<dyn Disk>,
    file: FileId,
    partition: &Partition,
    from: i64,
    batches: &[Bytes],
) -> Result<RowsMeta, WriteError> {
    let shape = shape();
    let mut writer = RowsWriter::create(disk, file, partition.id, 1, Arc::clone(&shape), from)?;
    let mut base = from;
    for some in batches.chunks(BLOCK_ROWS) {
        let last = BatchHeader::read(&some[some.len() - 1]).expect("a whole batch");
        let end = last.last_offset() + 1;
        let block = encode(&shape, some, base, end);
        writer.push(&block)?;
        base = end;
    }
    writer.finish(base)
}

fn encode(shape: &Shape, batches: &[Bytes], base: i64, end: i64) -> EncodedBlock {
    let (offsets, crcs): (Vec<_>, Vec<_>) = batches.iter().map(row_of).unzip();
    let columns = [offsets, crcs].map(|values| Arc::new(Int64Array::from(values)) as _);
    let rows = RecordBatch::try_new(Arc::clone(shape.schema()), columns.to_vec());
    let rows = rows.expect("two equal columns");
    EncodedBlock::encode(shape, &rows, base, end, Compression::None).expect("ordered rows")
}

/// Every row from the first file on, after checks of every byte.
pub fn read_all(partition: &Partition) -> Vec<(i64, i64)> {
    let shape = shape();
    let all = Projection::all(&shape);
    let (mut rows, mut from) = (Vec::new(), 0);
    loop {
        let files = partition.rows_from(from).files;
        let Some(last) = files.last() else {
            return rows;
        };
        from = last.meta().end_offset;
        for file in files {
            file.verify(&shape).expect("a named file is whole");
            for block in &file.meta().blocks {
                let read = file.read(block, &all).expect("reads");
                let column = |at: usize| read.column(at).as_primitive::<Int64Type>().values();
                rows.extend(column(0).iter().copied().zip(column(1).iter().copied()));
            }
        }
    }
}
