"""Opens rows files with pyarrow and polars, which know nothing of Tidelog.

    pip install pyarrow polars cbor2
    python open_rows.py ../../storage/fixtures/v1/rows-*.arrow*

Every file must hold the same table, whatever its compression, and every block must be described
rightly by the CBOR in its header. A stream (.arrows: the answer to a ColumnarFetch) must hold the
same values in the columns it has. Exits 1 with the reason if not.
"""

import sys

import cbor2
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def check_block(batch: pa.RecordBatch, info: list) -> None:
    base, end, crcs, stats = info
    offsets = batch.column("_offset").to_pylist()
    assert offsets == sorted(set(offsets)) and base <= offsets[0] and offsets[-1] < end
    assert len(stats) == batch.num_columns and len(crcs) >= batch.num_columns
    for name, column, entry in zip(batch.schema.names, batch.columns, stats):
        nulls, low, high = (entry + [None, None])[:3]  # absent ones at the end are left out
        assert column.null_count == nulls, name
        if low and high and not pa.types.is_binary(column.type):
            low, high = (bound[1][0] for bound in (low, high))
            if pa.types.is_decimal(column.type):
                low, high = (int.from_bytes(b, "big", signed=True) for b in (low, high))
                column = pa.array([v and int(v.scaleb(2)) for v in column.to_pylist()])
            elif pa.types.is_string(column.type):
                low, high = low.decode(), high.decode()
            elif pa.types.is_timestamp(column.type):
                column = column.cast(pa.int64())
            seen = pc.min_max(column).as_py()
            assert seen == {"min": low, "max": high}, (name, seen, low, high)


def check_first_column_crc(path: str, batch_index: int, info: list) -> None:
    """The first column is the first node; its buffers open the body."""
    with pa.memory_map(path) as source:
        source.seek(8)
        pa.ipc.read_message(source)  # schema
        for _ in range(batch_index + 1):
            message = pa.ipc.read_message(source)
    body = message.body.to_pybytes()
    # Where it ends is in the flatbuffer; one of the multiples of 8 must match.
    assert any(crc32c(body[:n]) == info[2][0] for n in range(0, len(body) + 1, 8))


def table_of(path: str) -> pa.Table:
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        metadata = reader.schema.metadata
        assert metadata[b"tidelog.kind"] == b"rows", metadata
        assert int(metadata[b"tidelog.min_reader"]) <= 1
        for index in range(reader.num_record_batches):
            batch, custom = reader.get_batch_with_custom_metadata(index)
            batch.validate(full=True)
            info = cbor2.loads(bytes.fromhex(custom[b"tidelog.block"].decode()))
            check_block(batch, info)
            check_first_column_crc(path, index, info)
        table = reader.read_all()
        for field in table.schema:
            assert b"PARQUET:field_id" in field.metadata, field
    return table


def check_with_polars(path: str, table: pa.Table) -> None:
    frame = pl.scan_ipc(path).collect()
    for name in table.column_names:
        assert frame[name].to_list() == pl.from_arrow(table[name]).to_list(), name
    two = pl.scan_ipc(path).select("_offset", "city").collect()
    assert two.height == table.num_rows and two["_offset"].is_sorted()


def check_stream(path: str, table: pa.Table) -> None:
    with pa.memory_map(path) as source:
        projected = pa.ipc.open_stream(source).read_all()
    projected.validate(full=True)
    assert projected["city"].equals(table["city"])
    assert projected["tags"].equals(table["tags"])
    (lat,) = projected["address"].combine_chunks().flatten()[0].flatten()
    geo = table["address"].combine_chunks().flatten()[1]
    assert lat.equals(geo.flatten()[0])


def main(paths: list[str]) -> None:
    files = [path for path in paths if path.endswith(".arrow")]
    tables = [table_of(path) for path in files]
    for path, table in zip(files, tables):
        assert table.equals(tables[0]), f"{path} differs from {files[0]}"
        check_with_polars(path, table)
        print(f"{path}: {table.num_rows} rows, {table.num_columns} columns")
    for path in (path for path in paths if path.endswith(".arrows")):
        check_stream(path, tables[0])
        print(f"{path}: the same")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
