"""Never run: what a type checker must make of the package (test_package.py)."""

from __future__ import annotations

from typing import Any, Optional

from typing_extensions import assert_type

import tidelog


def use(client: tidelog.Client) -> None:
    assert_type(tidelog.connect("localhost:9092", retry_for=1), tidelog.Client)
    table = client.table("orders")
    assert_type(client.lookup(table, "k"), Optional[dict[str, Any]])
    assert_type(client.lookup("orders", [b"k", "l"], columns=["id"]), tidelog.Found)
    with client.consumer(table, columns=["id"], start={0: 7}, until="now") as consumer:
        assert_type(consumer, tidelog.Consumer)
        for batch in consumer:
            assert_type(batch, tidelog.Batch)
            assert_type(batch.next_offset, int)
        assert_type(consumer.poll(1), Optional[tidelog.Batch])
    client.consumer(table, start="yesterday")  # type: ignore[arg-type]
    client.lookup(table, 7)  # type: ignore[call-overload]


async def use_later(client: tidelog.Client) -> None:
    assert_type(await client.alookup("orders", b"k"), Optional[dict[str, Any]])
    async for batch in await client.ascan("orders"):
        assert_type(batch, tidelog.Batch)
    assert_type((await client.acount("orders")).total, int)
