"""Reads the lake table through the REST catalog with PyIceberg.

usage: read_pyiceberg.py CATALOG_URL NAMESPACE TABLE
"""

import sys

import pyarrow.compute as compute
from pyiceberg.catalog.rest import RestCatalog

from tally import tell

url, namespace, name = sys.argv[1:4]
table = RestCatalog("lake", uri=url).load_table((namespace, name))
snapshot = table.current_snapshot()
scan = table.scan(
    snapshot_id=snapshot.snapshot_id, selected_fields=("_kafka_partition", "_offset", "quantity")
)
files = len(list(scan.plan_files()))
rows = scan.to_arrow()
offsets = rows.group_by("_kafka_partition").aggregate([
    ("_offset", "count"), ("_offset", "count_distinct"), ("_offset", "min"), ("_offset", "max")
])
tell(
    snapshot_id=snapshot.snapshot_id,
    files=files,
    rows=rows.num_rows,
    quantity=compute.sum(rows["quantity"]).as_py() or 0,
    partitions={
        str(row["_kafka_partition"]): {
            "distinct": row["_offset_count_distinct"],
            "rows": row["_offset_count"],
            "first": row["_offset_min"],
            "end": row["_offset_max"] + 1,
        }
        for row in sorted(offsets.to_pylist(), key=lambda row: row["_kafka_partition"])
    },
)
