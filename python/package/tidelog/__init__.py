"""Tidelog topics as Arrow tables.

    import tidelog

    client = tidelog.connect("localhost:9092")
    with client.consumer("orders", columns=["id", "price"], filter="price > 10", until="now") as rows:
        for batch in rows:                        # Arrow data: pyarrow, polars, pandas, DuckDB take it
            print(batch.partition, len(batch))
    client.lookup("customers", "c-17")            # {'name': …} or None
    polars.DataFrame(client.scan("orders"))       # lake and log, each row once

Everything that asks a broker has an asynchronous twin whose name begins with ``a``.
"""

from . import errors
from ._native import Batch, Found, Rows, Schema
from .client import Client, Count, aconnect, connect
from .errors import BrokerError, TidelogError
from .reading import Consumer, Scan
from .table import PartitionInfo, Table, TableInfo, TableSchema

__all__ = [
    "Batch",
    "BrokerError",
    "Client",
    "Consumer",
    "Count",
    "Found",
    "PartitionInfo",
    "Rows",
    "Scan",
    "Schema",
    "Table",
    "TableInfo",
    "TableSchema",
    "TidelogError",
    "aconnect",
    "connect",
    "errors",
]
