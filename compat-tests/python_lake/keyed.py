"""A keyed table, deletes by position and all, as PyIceberg and DuckDB read it.

    keyed.py CATALOG EXPECTED   CATALOG is HOST:PORT; EXPECTED a JSON list of [partition, offset, key, balance]

`cargo run -p tidelog-tiering --example keyed` makes both. Prints a JSON line and exits with 1 if a
reader finds other rows, or if there was nothing to merge.
"""

import json
import os
import sys

import duckdb
from pyiceberg.catalog import load_catalog


def by_pyiceberg(table):
    fields = ("_kafka_partition", "_offset", "_kafka", "balance")
    rows = table.scan(selected_fields=fields).to_arrow().to_pylist()
    return [[r["_kafka_partition"], r["_offset"], r["_kafka"]["key"].decode(), r["balance"]] for r in rows]


def by_duckdb(address):
    packages = os.path.dirname(os.path.dirname(duckdb.__file__))
    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("avro", "httpfs", "iceberg"):
        folder = f"{packages}/duckdb_extension_{name}/extensions/v{duckdb.__version__}"
        db.execute(f"LOAD '{folder}/{name}.duckdb_extension'")
    db.execute(f"ATTACH 'tidelog' AS lake (TYPE iceberg, ENDPOINT 'http://{address}', AUTHORIZATION_TYPE 'none')")
    columns = "_kafka_partition, _offset, decode(_kafka.key), balance"
    return [list(row) for row in db.sql(f"SELECT {columns} FROM lake.tidelog.accounts").fetchall()]


def main(address, expected):
    with open(expected) as file:
        wanted = sorted(json.load(file))
    table = load_catalog("tidelog", type="rest", uri=f"http://{address}").load_table("tidelog.accounts")
    summary = table.current_snapshot().summary
    deletes = int(summary["total-position-deletes"])
    found = {"pyiceberg": sorted(by_pyiceberg(table)), "duckdb": sorted(by_duckdb(address))}
    wrong = [engine for engine, rows in found.items() if rows != wanted]
    say = {"rows": len(wanted), "position_deletes": deletes, "wrong": wrong}
    say |= {"files": summary["total-data-files"], "delete_files": summary["total-delete-files"]}
    print(json.dumps(say))
    sys.exit(1 if wrong or deletes == 0 else 0)


main(*sys.argv[1:])
