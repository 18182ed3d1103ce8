"""The way in: a client, and what can be asked of a topic through it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union, overload

from . import _native
from ._native import Found
from .reading import Consumer, Scan
from .table import Table

#: A topic by name, or a table that was opened before: the name costs two requests more, each time.
Topic = Union[str, Table]
#: The bytes of a record's key; text stands for its UTF-8.
Key = Union[str, bytes]
Start = Union[Literal["earliest", "latest"], datetime.datetime, Mapping[int, int]]
Until = Union[Literal["now"], Mapping[int, int]]


@dataclass(frozen=True)
class Count:
    """The rows of a table at one moment."""

    #: The Iceberg snapshot that was counted; None if all rows are in the log.
    snapshot_id: Optional[int]
    lake_rows: int
    log_rows: int

    @property
    def total(self) -> int:
        """All rows."""
        return self.lake_rows + self.log_rows


def connect(
    bootstrap: str,
    *,
    client_id: str = "tidelog-python",
    use_extensions: bool = True,
    connect_timeout: float = 5.0,
    request_timeout: float = 30.0,
    retry_for: float = 30.0,
) -> Client:
    """Connects to the first of ``bootstrap`` (``host:port``, several with commas) that answers.

    ``client_id`` goes with every request. With ``use_extensions=False`` every topic is read as from
    Apache Kafka: whole records, decoded here. Times are in seconds: how long a connection may take to
    be made; how long an answer may take; how long transient failures are retried without progress.

    Raises :class:`~tidelog.errors.TransportError` if no address answers.
    """
    settings = _settings(client_id, use_extensions, connect_timeout, request_timeout, retry_for)
    return Client(_native.connect(bootstrap, settings).wait())


async def aconnect(
    bootstrap: str,
    *,
    client_id: str = "tidelog-python",
    use_extensions: bool = True,
    connect_timeout: float = 5.0,
    request_timeout: float = 30.0,
    retry_for: float = 30.0,
) -> Client:
    """As :func:`connect`, for an event loop."""
    settings = _settings(client_id, use_extensions, connect_timeout, request_timeout, retry_for)
    return Client(await _native.connect(bootstrap, settings))


class Client:
    """A client of one cluster, made by :func:`connect`. Threads may share it; it has one connection
    to each broker, which is made anew when it is lost, and nothing to close.
    """

    def __init__(self, native: _native.Client) -> None:
        self._native = native

    def table(self, topic: str, *, value_schema: Optional[str] = None) -> Table:
        """What a topic is as a table, ready to be given to the other methods.

        ``value_schema`` (the JSON text of the topic setting ``tidelog.table.schema``) decodes JSON
        values here, where the broker has no columns to offer; without it such a topic has its value as
        one binary column, ``value``. It has no effect where the broker does the decoding.

        Raises :class:`~tidelog.errors.UnknownTopicOrPartitionError`; a schema that is none is a
        :class:`~tidelog.errors.SchemaError`.
        """
        return Table(self._native.table(topic, value_schema).wait())

    async def atable(self, topic: str, *, value_schema: Optional[str] = None) -> Table:
        """As :meth:`table`, for an event loop."""
        return Table(await self._native.table(topic, value_schema))

    def consumer(
        self,
        topic: Topic,
        *,
        columns: Optional[Iterable[str]] = None,
        filter: Optional[str] = None,
        partitions: Optional[Iterable[int]] = None,
        start: Start = "earliest",
        until: Optional[Until] = None,
        max_wait: float = 0.5,
        min_rows: int = 1,
    ) -> Consumer:
        """Committed rows of the log, those of each partition in order, and then those to come.

        - ``columns``: dotted names (``address.city``), or ``#`` and a field id (``#17``); None for all;
          of an empty list rows are only counted. They come in the order of the table's schema.
        - ``filter``: a SQL condition: ``price > 10 AND city LIKE 'B%'``. Its columns need not be read.
        - ``partitions``: only these; None for those there are now.
        - ``start``: ``"earliest"``, ``"latest"``, a datetime, or an offset for each partition, such as
          :attr:`Consumer.positions <tidelog.Consumer.positions>` of an earlier consumer.
        - ``until``: None to go on for ever, ``"now"`` to end where the partitions end now, or the offset
          to end before, for each partition.
        - ``max_wait``: how many seconds a broker may wait for ``min_rows`` rows before it answers that
          there are none; a consumer that goes on asks again.

        Raises :class:`~tidelog.errors.QueryError` for columns, filters and partitions that the table
        does not have.
        """
        options = _reading(columns, filter, partitions, start, until, max_wait, min_rows)
        reader = self._opened(topic).read(options).wait()
        return Consumer(reader, follows=until is None)

    async def aconsumer(
        self,
        topic: Topic,
        *,
        columns: Optional[Iterable[str]] = None,
        filter: Optional[str] = None,
        partitions: Optional[Iterable[int]] = None,
        start: Start = "earliest",
        until: Optional[Until] = None,
        max_wait: float = 0.5,
        min_rows: int = 1,
    ) -> Consumer:
        """As :meth:`consumer`, for an event loop: ``async for batch in consumer``."""
        options = _reading(columns, filter, partitions, start, until, max_wait, min_rows)
        reader = await (await self._aopened(topic)).read(options)
        return Consumer(reader, follows=until is None)

    def scan(
        self,
        topic: Topic,
        *,
        columns: Optional[Iterable[str]] = None,
        filter: Optional[str] = None,
        lease: float = 60.0,
    ) -> Scan:
        """All rows there are now, each once: those in the lake, then those the log goes on with.

        ``columns`` and ``filter`` are as for :meth:`consumer`. Snapshot and log stay in place while the
        scan goes on, and ``lease`` seconds after the last sign of life from here. The lake's files must
        be within reach of this machine. A topic that has no lake is read from the log alone.

        Raises :class:`~tidelog.errors.GapError` if rows are in neither, and
        :class:`~tidelog.errors.LakeError` if the snapshot cannot be read.
        """
        options = {"columns": _names(columns), "filter": filter, "lease": lease}
        return Scan(self._opened(topic).union(options).wait())

    async def ascan(
        self,
        topic: Topic,
        *,
        columns: Optional[Iterable[str]] = None,
        filter: Optional[str] = None,
        lease: float = 60.0,
    ) -> Scan:
        """As :meth:`scan`, for an event loop: ``async for batch in scan``."""
        options = {"columns": _names(columns), "filter": filter, "lease": lease}
        return Scan(await (await self._aopened(topic)).union(options))

    def count(self, topic: Topic, *, filter: Optional[str] = None) -> Count:
        """How many rows :meth:`scan` would give, without reading more of them than it must."""
        options = {"columns": None, "filter": filter, "lease": 60.0}
        return Count(*self._opened(topic).count(options).wait())

    async def acount(self, topic: Topic, *, filter: Optional[str] = None) -> Count:
        """As :meth:`count`, for an event loop."""
        options = {"columns": None, "filter": filter, "lease": 60.0}
        return Count(*await (await self._aopened(topic)).count(options))

    @overload
    def lookup(  # type: ignore[overload-overlap]
        self,
        topic: Topic,
        keys: Key,
        *,
        columns: Optional[Iterable[str]] = ...,
        reflecting: Optional[Mapping[int, int]] = ...,
        max_wait: float = ...,
    ) -> Optional[dict[str, Any]]: ...

    @overload
    def lookup(
        self,
        topic: Topic,
        keys: Iterable[Key],
        *,
        columns: Optional[Iterable[str]] = ...,
        reflecting: Optional[Mapping[int, int]] = ...,
        max_wait: float = ...,
    ) -> Found: ...

    def lookup(
        self,
        topic: Topic,
        keys: Union[Key, Iterable[Key]],
        *,
        columns: Optional[Iterable[str]] = None,
        reflecting: Optional[Mapping[int, int]] = None,
        max_wait: float = 1.0,
    ) -> Union[Optional[dict[str, Any]], Found]:
        """The latest row of a key of a keyed table, as a dict, or None; of several keys (10,000 at
        most), what was found.

        A lookup sees all that was acknowledged before it. To wait for more, give ``reflecting``: for
        each partition, the offset below which every change must be in the answer. That may take
        ``max_wait`` seconds, or it is a :class:`~tidelog.errors.RequestTimedOutError`.

        Raises :class:`~tidelog.errors.InvalidRequestError` for a table without a key, and
        :class:`~tidelog.errors.UnsupportedError` where there are no lookups.
        """
        options, is_one = _looking_up(keys, columns, reflecting, max_wait)
        found = self._opened(topic).lookup(options).wait()
        return found[0] if is_one else found

    @overload
    async def alookup(  # type: ignore[overload-overlap]
        self,
        topic: Topic,
        keys: Key,
        *,
        columns: Optional[Iterable[str]] = ...,
        reflecting: Optional[Mapping[int, int]] = ...,
        max_wait: float = ...,
    ) -> Optional[dict[str, Any]]: ...

    @overload
    async def alookup(
        self,
        topic: Topic,
        keys: Iterable[Key],
        *,
        columns: Optional[Iterable[str]] = ...,
        reflecting: Optional[Mapping[int, int]] = ...,
        max_wait: float = ...,
    ) -> Found: ...

    async def alookup(
        self,
        topic: Topic,
        keys: Union[Key, Iterable[Key]],
        *,
        columns: Optional[Iterable[str]] = None,
        reflecting: Optional[Mapping[int, int]] = None,
        max_wait: float = 1.0,
    ) -> Union[Optional[dict[str, Any]], Found]:
        """As :meth:`lookup`, for an event loop."""
        options, is_one = _looking_up(keys, columns, reflecting, max_wait)
        found = await (await self._aopened(topic)).lookup(options)
        return found[0] if is_one else found

    def _opened(self, topic: Topic) -> _native.Table:
        return topic._native if isinstance(topic, Table) else self.table(topic)._native

    async def _aopened(self, topic: Topic) -> _native.Table:
        return topic._native if isinstance(topic, Table) else (await self.atable(topic))._native


def _settings(
    client_id: str,
    use_extensions: bool,
    connect_timeout: float,
    request_timeout: float,
    retry_for: float,
) -> dict[str, object]:
    return {
        "client_id": client_id,
        "use_extensions": use_extensions,
        "connect_timeout": connect_timeout,
        "request_timeout": request_timeout,
        "retry_for": retry_for,
    }


def _reading(
    columns: Optional[Iterable[str]],
    filter: Optional[str],
    partitions: Optional[Iterable[int]],
    start: Start,
    until: Optional[Until],
    max_wait: float,
    min_rows: int,
) -> dict[str, object]:
    return {
        "columns": _names(columns),
        "filter": filter,
        "partitions": None if partitions is None else list(partitions),
        "start": _milliseconds(start) if isinstance(start, datetime.datetime) else _place(start),
        "until": _place(until),
        "max_wait": max_wait,
        "min_rows": min_rows,
    }


def _looking_up(
    keys: Union[Key, Iterable[Key]],
    columns: Optional[Iterable[str]],
    reflecting: Optional[Mapping[int, int]],
    max_wait: float,
) -> tuple[dict[str, object], bool]:
    is_one = isinstance(keys, (str, bytes))
    options = {
        "keys": [keys] if is_one else list(keys),
        "columns": _names(columns),
        "reflecting": _place(reflecting),
        "max_wait": max_wait,
    }
    return options, is_one


def _names(columns: Optional[Iterable[str]]) -> Optional[list[str]]:
    if isinstance(columns, str):
        raise TypeError("columns are a list of names, not one text")
    return None if columns is None else list(columns)


def _place(place: object) -> object:
    return dict(place) if isinstance(place, Mapping) else place


def _milliseconds(moment: datetime.datetime) -> int:
    """Since 1970, rounded up: a row a little before the moment is not wanted."""
    since = moment.astimezone(datetime.timezone.utc) - _EPOCH
    return -(-since // datetime.timedelta(milliseconds=1))


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
