"""The same reads against Apache Kafka, which knows nothing of columns."""

import json

import pyarrow
import pytest
from conftest import ORDERS, PARTITIONS, SCHEMA, orders

import tidelog
from tidelog import errors


@pytest.fixture(scope="module")
def foreign(kafka):
    kafka.make_topic("orders", PARTITIONS)
    kafka.produce("orders", orders())
    return tidelog.connect(kafka.address)


def whole(client, topic, **options):
    return pyarrow.table(client.consumer(topic, until="now", **options)).sort_by(
        [("_partition", "ascending"), ("_offset", "ascending")]
    )


def test_rows_are_those_of_our_own_broker(foreign, client, orders_topic):
    table = foreign.table("orders", value_schema=json.dumps(SCHEMA))
    assert not table.is_columnar and table.info is None
    for options in [
        {},
        {"columns": ["id", "address.city"]},
        {"filter": "price BETWEEN 10 AND 11.5 AND address.city IS NOT NULL"},
        {"start": {0: 990, 1: 991, 2: 992}},
    ]:
        system = {"columns": ["_partition", "_offset", *options.pop("columns", ["id", "at", "total", "tags"])]}
        theirs, ours = (whole(one, of, **options, **system) for one, of in ((foreign, table), (client, orders_topic)))
        assert theirs.num_rows > 0
        assert theirs.to_pylist() == ours.to_pylist()


def test_without_a_schema_values_are_bytes(foreign):
    rows = whole(foreign, "orders", columns=["_partition", "_offset", "_key", "value"])
    assert rows.num_rows == ORDERS
    row = rows.slice(5, 1).to_pylist()[0]
    assert row["_key"] == b"k15" and json.loads(row["value"])["id"] == 15


def test_scans_read_the_log_and_lookups_are_refused(foreign):
    assert foreign.count("orders") == tidelog.Count(None, 0, ORDERS)
    assert sum(map(len, foreign.scan("orders", columns=[]))) == ORDERS
    with pytest.raises(errors.UnsupportedError, match="Lookup"):
        foreign.lookup("orders", "k1")
    with pytest.raises(errors.UnknownTopicOrPartitionError):
        foreign.table("nothing")


def test_following(kafka, foreign):
    kafka.make_topic("followed")
    with foreign.consumer("followed", columns=["value"]) as consumer:
        assert consumer.poll(0.2) is None
        kafka.produce("followed", [(0, "k", {"n": 1})])
        assert consumer.poll(30).to_pylist() == [{"value": b'{"n": 1}'}]


def test_our_own_broker_can_be_read_that_way(broker, client, orders_topic):
    plain = tidelog.connect(broker.address, use_extensions=False)
    table = plain.table(orders_topic, value_schema=json.dumps(SCHEMA))
    assert not table.is_columnar
    columns = ["_partition", "_offset", "id", "address"]
    assert whole(plain, table, columns=columns).equals(whole(client, orders_topic, columns=columns))
