"""What a topic is as a table, and how it changes."""

import json
import uuid

import pyarrow
import pytest
from conftest import ORDERS, PARTITIONS, SCHEMA, TYPED, orders

from tidelog import errors


def test_description(client, orders_topic):
    table = client.table(orders_topic)
    assert table.name == "orders" and repr(table) == "Table('orders')"
    assert isinstance(table.topic_id, uuid.UUID) and table.topic_id.int
    assert table.is_columnar
    names = [field["name"] for field in SCHEMA["fields"]]
    assert [name for name in table.schema.names if not name.startswith("_")] == names
    assert len(table.schema) == len(names) + 6
    assert "total: Decimal128(12, 2)" in repr(table.schema)
    info = table.info
    assert (info.mode, info.key_columns, info.merge_engine, info.lake) == ("inline", [], None, None)
    assert [part.partition for part in info.partitions] == list(range(PARTITIONS))
    assert {part.stable_end for part in info.partitions} == {ORDERS // PARTITIONS}
    [schema] = info.schemas
    assert schema.id == info.current_schema_id
    assert [field["name"] for field in json.loads(schema.json)["fields"]] == names
    assert pyarrow.schema(schema.arrow).equals(pyarrow.schema(table.schema))


def test_keyed_description(broker, client):
    broker.make_topic("described", 2, tidelog__table__key="record_key", **TYPED)
    info = client.table("described").info
    assert (info.key_columns, info.merge_engine) == (["_key"], "last_row")


def test_a_topic_made_anew_is_another_table(broker, client):
    broker.make_topic("renewed", PARTITIONS, **TYPED)
    broker.produce("renewed", orders(0, 3))
    table = client.table("renewed")
    table.refresh()
    assert sum(part.stable_end for part in table.info.partitions) == 3
    broker.admin.delete_topics(["renewed"])["renewed"].result(30)
    broker.make_topic("renewed", 1, **TYPED)
    with pytest.raises(errors.SchemaError, match="made anew"):
        table.refresh()


async def test_event_loop(client, orders_topic):
    table = await client.atable(orders_topic)
    await table.arefresh()
    assert table.name == orders_topic
    with pytest.raises(errors.UnknownTopicOrPartitionError):
        await client.atable("nothing")
