"""Foreign readers and writers against `examples/standalone.rs`.

    python -m venv v; v/bin/pip install "pyiceberg[pyarrow]==0.12.0" pytz duckdb==1.5.5 \
        duckdb-extension-iceberg==1.5.5 duckdb-extension-avro==1.5.5 duckdb-extension-httpfs==1.5.5
    cargo run --example standalone -- DIRECTORY 127.0.0.1:8181 40000
    v/bin/python examples/interop.py http://127.0.0.1:8181 40000

Reads both tables with PyIceberg and DuckDB, lets both create, change and drop tables of their own,
and appends five foreign rows to a topic's table; run `standalone` again to see it go on.
"""

import os
import sys

import duckdb
import pyarrow as pa
from pyiceberg import exceptions
from pyiceberg.catalog import load_catalog
from pyiceberg.types import StringType


def expect(exception, action):
    try:
        action()
    except exception:
        return
    raise AssertionError(f"no {exception.__name__}")


def attach(url):
    packages = os.path.dirname(os.path.dirname(duckdb.__file__))
    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("avro", "httpfs", "iceberg"):
        folder = f"{packages}/duckdb_extension_{name}/extensions/v{duckdb.__version__}"
        db.execute(f"LOAD '{folder}/{name}.duckdb_extension'")
    db.execute(
        f"ATTACH 'tidelog' AS lake (TYPE iceberg, ENDPOINT '{url}', AUTHORIZATION_TYPE 'none')"
    )
    return db


def read_topics(catalog, db, rows):
    orders = catalog.load_table("tidelog.shop_orders")
    every = orders.scan().to_arrow()
    keys = set(zip(every["_kafka_partition"].to_pylist(), every["_offset"].to_pylist()))
    assert every.num_rows == len(keys) == rows
    some = orders.scan(
        row_filter="_kafka_partition == 2 and _offset >= 10 and _offset < 20",
        selected_fields=("order_id", "address.city"),
    )
    assert some.to_arrow().num_rows == 10
    for table in ("shop_orders", "clicks"):
        counts = f"count(*), count(distinct (_kafka_partition, _offset)) FROM lake.tidelog.{table}"
        assert db.sql(f"SELECT {counts}").fetchall() == [(rows, rows)]
    record = "SELECT _kafka.key, _kafka.headers[1].key, value FROM lake.tidelog.clicks"
    found = db.sql(f"{record} WHERE _offset = 20 AND _kafka_partition = 1").fetchall()
    assert found == [(b"key-20", "trace", b'{"click":20}')], found
    return orders, every


def change_with_pyiceberg(catalog):
    schema = pa.schema([("id", pa.int64()), ("s", pa.struct([("a", pa.string())]))])
    expect(exceptions.NoSuchTableError, lambda: catalog.load_table("tidelog.nope"))
    expect(exceptions.NamespaceAlreadyExistsError, lambda: catalog.create_namespace("tidelog"))
    expect(exceptions.NamespaceNotEmptyError, lambda: catalog.drop_namespace("tidelog"))
    catalog.create_namespace("other", {"a": "1"})
    catalog.update_namespace_properties("other", {"a"}, {"b": "2"})
    assert catalog.load_namespace_properties("other") == {"b": "2"}
    table = catalog.create_table("other.x", schema)
    table.append(pa.table({"id": [1, 2], "s": [{"a": "q"}] * 2}))
    with table.update_schema() as update:
        update.add_column("note", StringType())
    expect(exceptions.TableAlreadyExistsError, lambda: catalog.create_table("other.x", schema))
    catalog.rename_table("other.x", "other.y")
    stale = catalog.load_table("other.y")
    row = pa.table({"id": [3], "s": [{"a": "q"}], "note": ["n"]})
    catalog.load_table("other.y").append(row)
    stale.append(row)  # meets a conflict and tries again
    assert catalog.load_table("other.y").scan().to_arrow().num_rows == 4
    with catalog.create_table_transaction("other.z", pa.schema([("id", pa.int64())])) as change:
        change.append(pa.table({"id": [7]}))
    assert catalog.load_table("other.z").scan().to_arrow().num_rows == 1


def change_with_duckdb(db):
    assert len(db.sql("SELECT * FROM lake.other.y").fetchall()) == 4
    db.execute("CREATE TABLE lake.other.d (i INTEGER, t VARCHAR)")
    db.execute("INSERT INTO lake.other.d VALUES (1, 'a'), (2, 'b')")
    db.execute("DELETE FROM lake.other.d WHERE i = 1")
    assert db.sql("SELECT * FROM lake.other.d").fetchall() == [(2, "b")]
    db.execute("CREATE TABLE lake.other.e AS SELECT 42 AS x")
    assert db.sql("SELECT * FROM lake.other.e").fetchall() == [(42,)]
    for table in "deyz":
        db.execute(f"DROP TABLE lake.other.{table}")
    db.execute("DROP SCHEMA lake.other")


def main():
    url, rows = sys.argv[1], int(sys.argv[2])
    catalog = load_catalog("tidelog", type="rest", uri=url)
    orders, every = read_topics(catalog, attach(url), rows)
    change_with_pyiceberg(catalog)
    change_with_duckdb(attach(url))
    orders.append(every.slice(0, 5))
    print("ok")


main()
