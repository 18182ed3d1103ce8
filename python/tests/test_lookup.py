"""Rows by key."""

import polars
import pyarrow
import pytest
from conftest import TYPED, order

import tidelog
from tidelog import errors

KEYS = 500


@pytest.fixture(scope="module")
def keyed(broker):
    broker.make_topic("keyed", 3, tidelog__table__key="record_key", **TYPED)
    broker.produce("keyed", [(None, f"k{n}", order(n)) for n in range(KEYS)])
    broker.produce("keyed", [(None, "k7", order(700)), (None, "k8", None)])
    return "keyed"


def test_one_key(client, keyed):
    row = client.lookup(keyed, "k9")
    assert (row["_key"], row["id"], row["address"]) == (b"k9", 9, {"city": "Bremen"})
    assert client.lookup(keyed, b"k7", columns=["id"]) == {"id": 700}
    assert client.lookup(keyed, "k8") is None
    assert client.lookup(keyed, "nobody") is None


def test_many_keys(client, keyed):
    table = client.table(keyed)
    keys = [f"k{n}" for n in range(KEYS)]
    found = client.lookup(table, ["nobody", *keys], columns=["id", "_key"])
    assert len(found) == len(found.indices) == len(found.offsets) == KEYS + 1
    assert found[0] is None and found[9] is None and found[8]["id"] == 700
    assert found[-1] == {"_key": b"k499", "id": 499}
    for beyond in (KEYS + 1, -KEYS - 2):
        with pytest.raises(IndexError):
            found[beyond]
    assert [row and row["id"] for row in found][:3] == [None, 0, 1]
    assert found.indices[:3] == [None, 0, 1]
    assert found.offsets[0] is None and found.offsets[1] >= 0
    assert set(found.partitions) == {0, 1, 2}
    rows = pyarrow.table(found.rows)
    assert rows.num_rows == len(found.rows) == KEYS - 1
    assert polars.DataFrame(found.rows)["id"].sum() == sum(range(KEYS)) - 7 - 8 + 700
    assert len(client.lookup(table, [])) == 0
    assert [row is not None for row in client.lookup(table, ["k1", "k8"], columns=[])] == [True, False]


def test_what_was_written_is_waited_for(broker, client, keyed):
    ends = broker.produce(keyed, [(None, "k1", order(1001))])
    found = client.lookup(keyed, ["k1"], columns=["id"], reflecting=ends)
    assert found[0] == {"id": 1001}
    [(partition, end)] = ends.items()
    assert found.reflected[partition] >= end
    with pytest.raises(errors.RequestTimedOutError) as late:
        client.lookup(keyed, "k1", reflecting={partition: end + 10}, max_wait=0.2)
    assert late.value.retriable and late.value.api == "Lookup"


async def test_event_loop(broker, keyed):
    client = await tidelog.aconnect(broker.address)
    assert await client.alookup(keyed, "k3", columns=["id"]) == {"id": 3}
    assert len((await client.alookup(keyed, ["k3", "k4"])).rows) == 2


def test_what_cannot_be_looked_up(client, keyed, orders_topic):
    with pytest.raises(errors.InvalidRequestError):
        client.lookup(orders_topic, "k1")
    with pytest.raises(errors.QueryError):
        client.lookup(keyed, "k1", columns=["nothing"])
    with pytest.raises(TypeError):
        client.lookup(keyed, 7)
    with pytest.raises(TypeError):
        client.lookup(keyed, [7])
