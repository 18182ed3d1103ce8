"""Reads the lake table through the REST catalog with DuckDB.

usage: read_duckdb.py CATALOG_URL NAMESPACE TABLE [SNAPSHOT_ID]
"""

import sys

from lake import attach
from tally import tell

url, namespace, table = sys.argv[1:4]
snapshot_id = int(sys.argv[4]) if len(sys.argv) > 4 else None

db = attach(url)
name = f'lake."{namespace}"."{table}"'
if snapshot_id is None:
    [snapshot_id] = db.execute(
        f"SELECT snapshot_id FROM iceberg_snapshots({name}) ORDER BY sequence_number DESC LIMIT 1"
    ).fetchone()
[files] = db.execute(
    f"SELECT count(DISTINCT file_path) FROM iceberg_metadata({name}, snapshot_from_id => {snapshot_id})"
    " WHERE manifest_content = 'DATA'"
).fetchone()
partitions = db.execute(
    "SELECT _kafka_partition, count(DISTINCT _offset), count(*), min(_offset), max(_offset) + 1,"
    f" sum(quantity) FROM {name} AT (VERSION => {snapshot_id}) GROUP BY ALL ORDER BY ALL"
).fetchall()
tell(
    snapshot_id=snapshot_id,
    files=files,
    rows=sum(row[2] for row in partitions),
    quantity=int(sum(row[5] for row in partitions)),
    partitions={
        str(partition): {"distinct": distinct, "rows": rows, "first": first, "end": end}
        for partition, distinct, rows, first, end, _ in partitions
    },
)
