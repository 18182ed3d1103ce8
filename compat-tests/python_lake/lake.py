"""Topics seen as Iceberg tables by engines that know nothing of Tidelog.

    lake.py BOOTSTRAP write CATALOG FROM TO   produces orders FROM..TO, making the topics if needed
    lake.py BOOTSTRAP check CATALOG TO        PyIceberg and DuckDB read orders 0..TO, each row once
    lake.py BOOTSTRAP registered CATALOG      tables of what registry.py wrote with its serializers
    lake.py BOOTSTRAP same CATALOG TOPIC      PyIceberg finds each record of a topic once, and nothing else

CATALOG is HOST:PORT of the REST catalog. Order N goes to partition N % 3 of `shop.orders` (typed) and
of `clicks` (key_value). Prints JSON lines and ends with {"passed": …}.
"""

import json
import os
import sys
import time
import traceback

import duckdb
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

PARTITIONS = 3
PATIENCE_SECONDS = 60

SCHEMA = {
    "fields": [
        {"name": "id", "type": "long", "nullable": False},
        {"name": "customer", "type": "string"},
        {"name": "amount", "type": "decimal(12,2)"},
        {"name": "at", "type": "timestamp(ms)"},
        {"name": "tags", "type": {"list": "string"}},
        {"name": "address", "type": {"struct": [{"name": "city", "type": "string"}]}},
    ]
}
LAKE = {"tidelog.lake.enable": "true", "tidelog.lake.target.lag.ms": "1000"}
TOPICS = {
    "shop.orders": {
        "tidelog.table.mode": "inline",
        "tidelog.table.schema": json.dumps(SCHEMA),
        **LAKE,
    },
    "clicks": {"tidelog.table.mode": "key_value", **LAKE},
}


def order(n):
    return {
        "id": n,
        "customer": f"customer {n % 97}",
        "amount": f"{n // 100}.{n % 100:02}",
        "at": 1_767_225_600_000 + n,
        "tags": ["a", "ü"][: n % 3],
        "address": {"city": ["Bremen", "Lyon", None][n % 3]},
    }


def click(n):
    return b"click %d" % n


def make_topics(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(name, PARTITIONS, 1, config=config) for name, config in TOPICS.items()]
    for made in admin.create_topics(topics).values():
        try:
            made.result(30)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise


def write(bootstrap, _, first, end):
    make_topics(bootstrap)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for n in range(int(first), int(end)):
        value = json.dumps(order(n))
        headers = [("n", str(n)), ("n", b"twice")] if n % 10 == 0 else None
        producer.produce("shop.orders", value, f"k{n}", n % PARTITIONS, headers=headers)
        producer.produce("clicks", click(n), f"k{n}", n % PARTITIONS)
        producer.poll(0)
    assert producer.flush(60) == 0


def wait_for_rows(catalog, table, rows):
    """The table, once a scan of it finds that many rows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            loaded = catalog.load_table(table)
            found = loaded.scan(selected_fields=("_offset",)).to_arrow().num_rows
        except (NoSuchNamespaceError, NoSuchTableError):
            found = 0
        if found >= rows or time.monotonic() > deadline:
            assert found == rows, f"{table}: {found} rows instead of {rows}"
            return loaded
        time.sleep(0.2)


def check_chain(table):
    """Each snapshot begins where the one before ended; those of maintenance move no rows."""
    ends = {}
    snapshots = [snapshot for snapshot in table.snapshots() if snapshot.summary.operation.value != "replace"]
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.sequence_number):
        for partition, (start, end) in json.loads(snapshot.summary["tidelog.moved"]).items():
            assert ends.get(partition, 0) == start, (partition, start, ends)
            ends[partition] = end
    return ends


def check_pyiceberg(catalog, end):
    orders = wait_for_rows(catalog, "tidelog.shop_orders", end)
    clicks = wait_for_rows(catalog, "tidelog.clicks", end)
    places = [sorted(range(p, end, PARTITIONS)) for p in range(PARTITIONS)]
    assert check_chain(orders) == {str(p): len(ns) for p, ns in enumerate(places) if ns}
    for row in orders.scan().to_arrow().to_pylist():
        n = places[row["_kafka_partition"]][row["_offset"]]
        places[row["_kafka_partition"]][row["_offset"]] = None
        wanted = order(n)
        assert row["id"] == n and row["customer"] == wanted["customer"], row
        assert str(row["amount"]) == wanted["amount"], row
        assert row["at"].timestamp() * 1000 == wanted["at"], row
        assert (row["tags"], row["address"]) == (wanted["tags"], wanted["address"]), row
        assert row["_kafka"]["key"] == b"k%d" % n, row
        headers = [(h["key"], h["value"]) for h in row["_kafka"]["headers"]]
        assert headers == ([("n", b"%d" % n), ("n", b"twice")] if n % 10 == 0 else []), row
    seen = {row["value"] for row in clicks.scan().to_arrow().to_pylist()}
    assert seen == {click(n) for n in range(end)}
    some = orders.scan(row_filter="_kafka_partition == 1 and _offset >= 10 and _offset < 20")
    assert some.to_arrow().num_rows == 10


def attach(address):
    packages = os.path.dirname(os.path.dirname(duckdb.__file__))
    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("avro", "httpfs", "iceberg"):
        folder = f"{packages}/duckdb_extension_{name}/extensions/v{duckdb.__version__}"
        db.execute(f"LOAD '{folder}/{name}.duckdb_extension'")
    endpoint = f"ENDPOINT 'http://{address}', AUTHORIZATION_TYPE 'none'"
    db.execute(f"ATTACH 'tidelog' AS lake (TYPE iceberg, {endpoint})")
    return db


def check_duckdb(db, end):
    for table in ("shop_orders", "clicks"):
        counts = f"count(*), count(DISTINCT (_kafka_partition, _offset)) FROM lake.tidelog.{table}"
        assert db.sql(f"SELECT {counts}").fetchall() == [(end, end)], table
    sums = "sum(id), count(DISTINCT customer), sum(amount), count(address.city)"
    found = db.sql(f"SELECT {sums} FROM lake.tidelog.shop_orders").fetchone()
    cents = sum(range(end))
    cities = sum(1 for n in range(end) if n % 3 != 2)
    assert found[:2] == (sum(range(end)), min(end, 97)), found
    assert int(found[2] * 100) == cents and found[3] == cities, found
    key = "SELECT decode(_kafka.key), decode(value) FROM lake.tidelog.clicks"
    found = db.sql(f"{key} WHERE _kafka_partition = 2 AND _offset = 5").fetchall()
    assert found == [("k17", "click 17")], found
    names = [row[2] for row in db.sql("SHOW ALL TABLES").fetchall()]
    assert {"shop_orders", "clicks"} <= set(names), names


def check(_, address, end):
    catalog = load_catalog("tidelog", type="rest", uri=f"http://{address}")
    assert ("tidelog",) in catalog.list_namespaces()
    check_pyiceberg(catalog, int(end))
    check_duckdb(attach(address), int(end))


def log_rows(bootstrap, topic):
    """{(partition, offset): hash of key and value} of everything a consumer reads to the end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    rows, deadline = {}, time.monotonic() + PATIENCE_SECONDS
    while len(rows) < sum(ends.values()) and time.monotonic() < deadline:
        for message in consumer.consume(10_000, 0.5):
            assert not message.error(), message.error()
            rows[message.partition(), message.offset()] = hash((message.key(), message.value()))
    assert len(rows) == sum(ends.values()), (len(rows), ends)
    return rows


def same(bootstrap, address, topic):
    """The table of a key_value topic holds the log's records, each once."""
    rows = log_rows(bootstrap, topic)
    catalog = load_catalog("tidelog", type="rest", uri=f"http://{address}")
    table = wait_for_rows(catalog, f"tidelog.{topic}", len(rows))
    check_chain(table)
    found = table.scan().to_arrow().to_pylist()
    for row in found:
        place = row["_kafka_partition"], row["_offset"]
        # Taken out, so that a row that is there twice is not found the second time.
        assert rows.pop(place, None) == hash((row["_kafka"]["key"], row["value"])), place
    assert not rows, list(rows)[:3]
    say = {"rows": len(found), "snapshots": len(table.snapshots())}
    print(json.dumps(say))


def registered(_, address):
    """Ten orders of each format; Avro has five more, of a schema with a field more."""
    catalog = load_catalog("tidelog", type="rest", uri=f"http://{address}")
    wanted = [(10**12 + n, [None, "a", "ü" * 3][n % 3]) for n in range(10)]
    for suffix in ("", "-header"):
        for name in ("avro", "json", "protobuf"):
            table = f"tidelog.typed-{name}{suffix}"
            count = 15 if name == "avro" else 10
            rows = wait_for_rows(catalog, table, count).scan().to_arrow().to_pylist()
            rows.sort(key=lambda row: row["_offset"])
            note = lambda row: row["note"] and row["note"]["text"] if name == "protobuf" else row["note"]
            assert [(row["id"], note(row)) for row in rows[:10]] == wanted, (table, rows)
            if name == "avro":
                assert [row["count"] for row in rows] == [None] * 10 + list(range(5)), rows
            print(json.dumps({"table": table, "rows": len(rows)}))


def main():
    bootstrap, scenario, *arguments = sys.argv[1:]
    try:
        {"write": write, "check": check, "registered": registered, "same": same}[scenario](bootstrap, *arguments)
    except Exception:
        traceback.print_exc()
        print(json.dumps({"passed": False}))
        sys.exit(1)
    print(json.dumps({"passed": True}))


main()
