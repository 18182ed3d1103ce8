"""Lake and log together: each row once, wherever it is."""

import threading
import time

import duckdb
import polars
import pyarrow
import pytest
from conftest import ORDERS, PARTITIONS, TYPED, orders

import tidelog

LAKE = {"tidelog__lake__enable": "true", "tidelog__lake__target__lag__ms": "1000"}


@pytest.fixture(scope="module")
def tiered(broker, client):
    """Orders of which some are in the lake, and 30 more that came later."""
    broker.make_topic("tiered", PARTITIONS, **TYPED, **LAKE)
    broker.produce("tiered", orders(0, ORDERS - 30))
    deadline = time.monotonic() + 60
    while client.count("tiered").lake_rows < ORDERS - 30:
        assert time.monotonic() < deadline, "nothing was tiered"
        time.sleep(0.2)
    broker.produce("tiered", orders(ORDERS - 30, ORDERS))
    return "tiered"


def test_each_row_once(client, tiered):
    with client.scan(tiered, columns=["id"]) as scan:
        assert isinstance(scan, tidelog.Scan) and isinstance(scan.snapshot_id, int)
        ids = [id for batch in scan for id in batch.to_pyarrow()["id"].to_pylist()]
    assert sorted(ids) == list(range(ORDERS))


def test_each_row_once_while_more_come(broker, client):
    broker.make_topic("growing", PARTITIONS, **TYPED, **LAKE)

    def produce():
        for n in range(0, ORDERS, 100):
            broker.produce("growing", orders(n, n + 100))
            time.sleep(0.1)

    producing = threading.Thread(target=produce)
    producing.start()
    total = 0
    while total < ORDERS:
        rows = pyarrow.table(client.scan("growing", columns=["id", "_partition", "_offset"]))
        assert rows.num_rows >= total
        total = rows.num_rows
        offsets = sorted(zip(rows["_partition"].to_pylist(), rows["_offset"].to_pylist()))
        assert len(set(offsets)) == total
        assert all(n % 3 == part for n, part in zip(rows["id"].to_pylist(), rows["_partition"].to_pylist()))
    producing.join()
    deadline = time.monotonic() + 60
    while client.count("growing").lake_rows < ORDERS and time.monotonic() < deadline:
        time.sleep(0.2)
    assert client.count("growing").lake_rows == client.count("growing").total == ORDERS


def test_filters_mean_the_same_in_the_lake(client, tiered):
    rows = pyarrow.table(client.scan(tiered, columns=["id"], filter="price >= 700 AND id <> 2999"))
    assert sorted(rows["id"].to_pylist()) == list(range(2800, 2999))
    assert client.count(tiered, filter="price >= 700").total == 200


def test_libraries_take_scans(client, tiered):
    assert polars.DataFrame(client.scan(tiered, columns=["id"]))["id"].sum() == sum(range(ORDERS))
    scan = client.scan(tiered, columns=["address.city", "price"])
    sums = duckdb.sql("SELECT address.city, count(*), sum(price) FROM scan GROUP BY 1 ORDER BY 1")
    expected = [
        (city, ORDERS // 3, sum(n / 4 for n in range(start, ORDERS, 3)))
        for city, start in (("Bremen", 0), ("Lyon", 1), (None, 2))
    ]
    assert sums.fetchall() == expected


async def test_event_loop(broker, tiered):
    client = await tidelog.aconnect(broker.address)
    count = await client.acount(tiered)
    assert count.total == ORDERS and count.snapshot_id is not None
    async with await client.ascan(tiered, columns=["id"]) as scan:
        assert sum([len(batch) async for batch in scan]) == ORDERS


def test_without_a_lake_the_log_is_all(client, orders_topic):
    scan = client.scan(orders_topic, columns=["id"], filter="id < 10")
    assert scan.snapshot_id is None
    assert sorted(pyarrow.table(scan)["id"].to_pylist()) == list(range(10))
    assert client.count(orders_topic) == tidelog.Count(None, 0, ORDERS)
    assert client.count(orders_topic, filter="id < 10").total == 10
