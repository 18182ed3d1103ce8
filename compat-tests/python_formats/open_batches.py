"""Opens batches segments with pyarrow and polars, which know nothing of Tidelog.

    python open_batches.py ../../storage/fixtures/v1/own.arrow ../../storage/fixtures/v1/pack.arrow

Every row must be one whole Kafka record batch whose header says what the other columns say. Exits 1
with the reason if not.
"""

import struct
import sys

import polars as pl
import pyarrow as pa

HEADER = struct.Struct(">qiibIhiqqqhii")


def check(path: str) -> int:
    table = pa.ipc.open_file(path).read_all()
    assert pl.read_ipc(path).height == table.num_rows, path
    for row in table.to_pylist():
        batch = row["batch"]
        base, length, epoch, magic, _, attributes, delta, _, top, producer, generation, first, count = HEADER.unpack(
            batch[: HEADER.size]
        )
        assert magic == 2 and length + 12 == len(batch), path
        seen = (base, base + delta, top, producer, generation, first, attributes, epoch, count)
        names = "base_offset last_offset max_timestamp producer_id producer_epoch base_sequence attributes leader_epoch record_count"
        assert seen == tuple(row[name] for name in names.split()), (path, row)
    return table.num_rows


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(path, check(path), "batches")
