"""Rows as they come: an iterator of batches, an asynchronous one, and a stream of Arrow data."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Optional

from . import _native
from ._native import Batch, Schema

if TYPE_CHECKING:
    import pyarrow
    from typing_extensions import Self


class _Reading:
    """One pass over rows, in whichever of the ways below; they may be mixed, and a row comes once."""

    def __init__(self, native: _native.Reader) -> None:
        self._native = native

    @property
    def schema(self) -> Schema:
        """The schema of every batch, whatever schemas the rows were written under: cast where a column
        was widened, null where it did not exist.
        """
        return self._native.schema

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        while self._native.ready(None).wait():
            batch = self._native.take()
            if batch is not None:  # else another thread was quicker
                return batch
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        while await self._native.ready(None):
            batch = self._native.take()
            if batch is not None:
                return batch
        raise StopAsyncIteration

    def to_arrow_reader(self) -> pyarrow.RecordBatchReader:
        """The rows still to come as a ``pyarrow.RecordBatchReader``, which raises the exceptions that
        iteration does.
        """
        import pyarrow

        batches = (batch.to_pyarrow() for batch in self)
        return pyarrow.RecordBatchReader.from_batches(self.schema.to_pyarrow(), batches)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._native.__arrow_c_stream__()

    def close(self) -> None:
        """Gives up what is under way. No more rows come; closing again does nothing.

        Raises RuntimeError while another thread waits for rows.
        """
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


class Consumer(_Reading):
    """Rows of the log, made by :meth:`Client.consumer <tidelog.Client.consumer>`.

    ``for batch in consumer``, ``async for batch in consumer``, or :meth:`poll`. One that has an end
    (``until=…``) is also what Arrow libraries take whole: ``polars.DataFrame(consumer)``.

    A failure is raised once; going on afterwards tries on from where it was.
    """

    def __init__(self, native: _native.Reader, *, follows: bool) -> None:
        super().__init__(native)
        self._follows = follows

    @property
    def positions(self) -> dict[int, int]:
        """By partition, where to go on after the batches handed out so far. Kept with what was made of
        the rows, and given to a later consumer as ``start``, it makes each row count once.
        """
        return self._native.positions

    def poll(self, timeout: float = 0.0) -> Optional[Batch]:
        """The next batch, or None if there is none within ``timeout`` seconds or none any more."""
        deadline = time.monotonic() + timeout
        while self._native.ready(_left(deadline)).wait():
            batch = self._native.take()
            if batch is not None:
                return batch
        return None

    async def apoll(self, timeout: float = 0.0) -> Optional[Batch]:
        """As :meth:`poll`, for an event loop. Cancelling it loses no rows."""
        deadline = time.monotonic() + timeout
        while await self._native.ready(_left(deadline)):
            batch = self._native.take()
            if batch is not None:
                return batch
        return None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if self._follows:
            raise ValueError(
                "this consumer follows its topic and has no end: give until='now', "
                "or use to_arrow_reader() and read batch by batch"
            )
        return super().__arrow_c_stream__(requested_schema)


class Scan(_Reading):
    """Rows of lake and log, made by :meth:`Client.scan <tidelog.Client.scan>`.

    First come the lake's, then the log's. Arrow libraries take it whole: ``polars.DataFrame(scan)``.
    A failure within the lake's part ends it.
    """

    @property
    def snapshot_id(self) -> Optional[int]:
        """The Iceberg snapshot that is read; None if all rows are in the log."""
        return self._native.snapshot_id


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
