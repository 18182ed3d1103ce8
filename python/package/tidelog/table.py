"""A topic as a table."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Optional

from . import _native
from ._native import Schema


@dataclass(frozen=True)
class TableSchema:
    """One version of a table's schema."""

    id: int
    arrow: Schema
    #: The same for people, as JSON text.
    json: str


@dataclass(frozen=True)
class PartitionInfo:
    """A partition when its table was described."""

    partition: int
    log_start_offset: int
    #: The end of rows: the smaller of high watermark and last stable offset.
    stable_end: int
    #: The end of what has been written as columns.
    rows_to: int
    #: Rows, or live keys of a table with a primary key; None if that is not known.
    row_count: Optional[int]


@dataclass(frozen=True)
class TableInfo:
    """What a broker says of a table."""

    #: How records become rows: the topic's setting ``tidelog.table.mode``.
    mode: str
    #: Every schema that rows may have been written under, in ascending order of id.
    schemas: list[TableSchema]
    #: The one in force.
    current_schema_id: int
    #: The primary key, in order; empty without one.
    key_columns: list[str]
    #: How changes to one key are merged.
    merge_engine: Optional[str]
    #: The rule that gives a key its partition.
    partitioner: Optional[str]
    #: The Iceberg table it is tiered to, ``namespace.name``.
    lake: Optional[str]
    partitions: list[PartitionInfo]


class Table:
    """A topic as a table, made by :meth:`Client.table <tidelog.Client.table>`. It may be given to the
    client's other methods in place of the topic's name; it stays what it was when it was made, or last
    refreshed.
    """

    def __init__(self, native: _native.Table) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """The name of the topic."""
        return self._native.name

    @property
    def topic_id(self) -> uuid.UUID:
        """The id of the topic; all zeros where the broker gives topics none."""
        return uuid.UUID(self._native.topic_id)

    @property
    def is_columnar(self) -> bool:
        """Whether the broker answers columns. If not, records are fetched whole and decoded here: the
        same rows and offsets, more bytes.
        """
        return self._native.is_columnar

    @property
    def schema(self) -> Schema:
        """All columns, system columns first."""
        return self._native.schema

    @property
    def info(self) -> Optional[TableInfo]:
        """What the broker said of the table last; None if it has no columns to offer."""
        said = self._native.info()
        return None if said is None else _info(said)

    def refresh(self) -> None:
        """Asks the broker again what the table is.

        Raises :class:`~tidelog.errors.SchemaError` if the topic was deleted and made anew.
        """
        self._native.refresh().wait()

    async def arefresh(self) -> None:
        """As :meth:`refresh`, for an event loop."""
        await self._native.refresh()

    def __repr__(self) -> str:
        return f"Table({self.name!r})"


def _info(said: dict[str, Any]) -> TableInfo:
    schemas = [TableSchema(*one) for one in said.pop("schemas")]
    partitions = [PartitionInfo(**one) for one in said.pop("partitions")]
    return TableInfo(schemas=schemas, partitions=partitions, **said)
