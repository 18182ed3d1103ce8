"""Rows of the log: what is read, from where to where, and who takes it."""

import asyncio
import datetime
import decimal
import threading
import time

import duckdb
import pandas
import polars
import pyarrow
import pytest
from conftest import ORDERS, PARTITIONS, TYPED, orders

import tidelog
from tidelog import errors

COLUMNS = ["_offset", "id", "price"]


def whole(client, topic, **options):
    with client.consumer(topic, until="now", **options) as consumer:
        return pyarrow.table(consumer)


def test_batches_tell_where_they_stand(client, orders_topic):
    ends = dict.fromkeys(range(PARTITIONS), 0)
    with client.consumer(orders_topic, columns=COLUMNS, until="now") as consumer:
        assert consumer.schema.names == COLUMNS
        for batch in consumer:
            assert isinstance(batch, tidelog.Batch)
            assert batch.first_offset == ends[batch.partition]
            assert len(batch) == batch.num_rows > 0
            offsets = batch.to_pyarrow()["_offset"].to_pylist()
            assert offsets == list(range(batch.first_offset, batch.next_offset))
            ends[batch.partition] = batch.next_offset
            assert consumer.positions[batch.partition] == batch.next_offset
        assert consumer.positions == ends == dict.fromkeys(range(PARTITIONS), ORDERS // PARTITIONS)


def test_every_value_in_every_form(client, orders_topic):
    rows = whole(client, orders_topic, filter="id = 1001")
    assert rows.num_rows == 1
    expected = {
        "id": 1001,
        "customer": "customer 31",
        "price": 250.25,
        "total": decimal.Decimal("10.01"),
        "at": datetime.datetime(2026, 1, 1, 0, 0, 1, 1000, datetime.timezone.utc),
        "day": datetime.date(1970, 1, 1) + datetime.timedelta(20_000 + 1001 % 365),
        "tags": ["a", "ü"],
        "address": {"city": None},
    }
    [own] = next(client.consumer(orders_topic, filter="id = 1001", until="now")).to_pylist()
    for row in (own, *rows.to_pylist()):
        assert row.pop("_headers") == []
        assert abs(row.pop("_timestamp").timestamp() - time.time()) < 3600
        system = {name: row.pop(name) for name in list(row) if name.startswith("_")}
        assert system == {"_partition": 2, "_offset": 333, "_key": b"k1001", "_timestamp_type": 0}
        assert row == expected


def test_filters_and_nested_columns(client, orders_topic):
    rows = whole(client, orders_topic, columns=["address.city", "id"], filter="address.city = 'Lyon'")
    assert rows.schema.names == ["id", "address"]
    assert sorted(rows["id"].to_pylist()) == list(range(1, ORDERS, 3))
    assert rows["address"].to_pylist() == [{"city": "Lyon"}] * (ORDERS // 3)


def test_rows_are_counted_without_columns(client, orders_topic):
    with client.consumer(orders_topic, columns=[], until="now", filter="price >= 500") as consumer:
        assert sum(map(len, consumer)) == ORDERS - 2000
    assert whole(client, orders_topic, columns=[]).num_rows == ORDERS


@pytest.mark.parametrize("take", [pyarrow.table, polars.DataFrame, pandas.DataFrame.from_arrow])
def test_libraries_take_consumers_and_batches(client, orders_topic, take):
    consumer = client.consumer(orders_topic, columns=["id", "price"], until="now")
    first = next(consumer)
    tables = [pyarrow.table(take(first)), pyarrow.table(take(consumer))]
    assert tables[0].num_rows == len(first)
    assert sorted(pyarrow.concat_tables(tables)["id"].to_pylist()) == list(range(ORDERS))


def test_duckdb_takes_consumers_and_batches(client, orders_topic):
    consumer = client.consumer(orders_topic, columns=["id", "price"], until="now")
    first = next(consumer)
    [(count,)] = duckdb.sql("SELECT count(*) FROM first").fetchall()
    assert count == len(first)
    [(rest, total)] = duckdb.sql("SELECT count(*), sum(id) FROM consumer").fetchall()
    assert rest == ORDERS - count
    assert total + sum(first.to_pyarrow()["id"].to_pylist()) == sum(range(ORDERS))


def test_pyarrow_takes_a_batch_and_its_schema(client, orders_topic):
    batch = next(client.consumer(orders_topic, columns=COLUMNS, until="now"))
    assert pyarrow.record_batch(batch).equals(batch.to_pyarrow())
    assert pyarrow.schema(batch.schema) == batch.to_pyarrow().schema == batch.schema.to_pyarrow()
    assert [field.nullable for field in pyarrow.schema(batch.schema)] == [False, False, True]
    # What was taken is its own: it outlives the batch.
    taken = pyarrow.record_batch(batch)
    length = len(batch)
    del batch
    assert taken.num_rows == length and taken.validate(full=True) is None


def test_arrow_reader(client, orders_topic):
    with client.consumer(orders_topic, columns=["id"], until="now") as consumer:
        reader = consumer.to_arrow_reader()
        assert reader.schema.names == ["id"]
        assert sorted(reader.read_all()["id"].to_pylist()) == list(range(ORDERS))


def test_places_to_start_and_to_end(client, orders_topic):
    def ids(**options):
        with client.consumer(orders_topic, columns=["id"], **options) as consumer:
            return sorted(id for batch in consumer for id in batch.to_pyarrow()["id"].to_pylist())

    assert ids(start="latest", until="now") == []
    assert ids(start={1: 10}, until={1: 12}, partitions=[1]) == [31, 34]
    assert ids(start=datetime.datetime(2020, 1, 1), until={0: 2, 1: 1, 2: 1}) == [0, 1, 2, 3]
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    assert ids(start=tomorrow, until="now") == []


def test_positions_make_each_row_count_once(client, orders_topic):
    seen, positions = [], "earliest"
    while True:
        with client.consumer(orders_topic, columns=["id"], start=positions, until="now") as consumer:
            batch = consumer.poll(10)
            positions = consumer.positions
        if batch is None:
            break
        seen += batch.to_pyarrow()["id"].to_pylist()
    assert sorted(seen) == list(range(ORDERS))


def test_following(broker, client):
    broker.make_topic("followed", PARTITIONS, **TYPED)
    with client.consumer("followed", columns=["id"], start="latest") as consumer:
        assert consumer.poll(0.3) is None
        broker.produce("followed", orders(0, 30))
        seen = []
        while len(seen) < 30:
            seen += consumer.poll(30).to_pyarrow()["id"].to_pylist()
        assert sorted(seen) == list(range(30))
        assert consumer.poll() is None
        with pytest.raises(ValueError, match="no end"):
            pyarrow.table(consumer)
    with pytest.raises(ValueError, match="closed"):
        next(consumer)


def test_a_wait_keeps_nobody_else_waiting(client, orders_topic):
    with client.consumer(orders_topic, start="latest") as consumer:
        waiting = threading.Thread(target=consumer.poll, args=(2,))
        started = time.monotonic()
        waiting.start()
        beats = 0
        while waiting.is_alive():
            beats += 1
            time.sleep(0.01)
            if beats == 10:
                with pytest.raises(RuntimeError, match="waiting"):
                    consumer.close()
        assert beats > 50 and 1.9 < time.monotonic() - started < 10


def test_threads_share_a_consumer(client, orders_topic):
    seen = []
    with client.consumer(orders_topic, columns=["id"], until="now") as consumer:

        def read():
            for batch in consumer:
                seen.extend(batch.to_pyarrow()["id"].to_pylist())

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(seen) == list(range(ORDERS))


async def test_event_loop(broker, orders_topic):
    client = await tidelog.aconnect(broker.address)
    table = await client.atable(orders_topic)
    async with await client.aconsumer(table, columns=["id"], until="now") as consumer:
        seen = [id async for batch in consumer for id in batch.to_pyarrow()["id"].to_pylist()]
    assert sorted(seen) == list(range(ORDERS))
    with pytest.raises(errors.QueryError):
        await client.aconsumer(table, columns=["nothing"])


async def test_a_cancelled_wait_loses_nothing(broker, client):
    broker.make_topic("cancelled", PARTITIONS, **TYPED)

    def produce():
        for n in range(0, 200, 10):
            broker.produce("cancelled", orders(n, n + 10))
            time.sleep(0.05)

    producing = threading.Thread(target=produce)
    producing.start()
    seen = []
    async with await client.aconsumer("cancelled", columns=["id"], max_wait=0.05) as consumer:
        deadline = time.monotonic() + 60
        while len(seen) < 200 and time.monotonic() < deadline:
            try:
                batch = await asyncio.wait_for(anext(consumer), 0.005)
            except asyncio.TimeoutError:
                continue
            seen += batch.to_pyarrow()["id"].to_pylist()
        assert await consumer.apoll(0.1) is None
    producing.join()
    assert sorted(seen) == list(range(200))


def test_what_is_asked_for_must_make_sense(client, orders_topic):
    for wrong in [
        {"columns": ["id", "nothing"]},
        {"filter": "id >"},
        {"filter": "customer + 1 = 2"},
        {"partitions": [7]},
        {"start": {0: 0}},
        {"start": "tomorrow"},
        {"until": "later"},
        {"max_wait": -1},
    ]:
        with pytest.raises(ValueError):
            client.consumer(orders_topic, **wrong)
    with pytest.raises(TypeError):
        client.consumer(orders_topic, columns="id")
    with pytest.raises(errors.UnknownTopicOrPartitionError) as refused:
        client.consumer("nothing")
    assert (refused.value.code, refused.value.name) == (3, "UNKNOWN_TOPIC_OR_PARTITION")
    with pytest.raises(errors.OffsetOutOfRangeError) as refused:
        next(client.consumer(orders_topic, partitions=[0], start={0: 10**9}))
    assert not refused.value.retriable and "offset" in str(refused.value).lower()
