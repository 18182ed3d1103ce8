"""What can go wrong, told apart by what a caller can do about it.

Transient failures are retried (``retry_for`` of :func:`tidelog.connect`) before they come here.
Refusals of a broker have a class for each of Kafka's error codes, named after it::

    try:
        client.table("orders")
    except errors.UnknownTopicOrPartitionError as refusal:
        print(refusal.name, refusal.code)         # UNKNOWN_TOPIC_OR_PARTITION 3
"""

from __future__ import annotations

from ._kafka_errors import *  # noqa: F403
from ._kafka_errors import BY_CODE, BrokerError, TidelogError


class TransportError(TidelogError):
    """No connection could be made, it ended before the answer came, or the broker was silent."""

    retriable = True


class ProtocolError(TidelogError):
    """The bytes of an answer are not such an answer, or a request cannot be expressed."""


class UnsupportedError(TidelogError):
    """The broker does not offer what was asked for: Apache Kafka has no lookups."""


class QueryError(TidelogError, ValueError):
    """A column, filter or partition that the table does not have."""


class SchemaError(TidelogError):
    """The table's schemas cannot be used to read it, or it is another table now."""


class GapError(TidelogError):
    """Rows are in neither lake nor log: they went from the log before they were tiered."""


class LakeError(TidelogError):
    """The lake's part of a table cannot be read, or holds what cannot be read exactly here."""


class DamagedRowsError(TidelogError):
    """Rows came damaged, or are not what their schema says. Nothing of them was handed out."""


def refusal(code: int, api: str, message: str) -> BrokerError:
    """The exception for an error code; a plain BrokerError for one that is not Kafka's."""
    error = BY_CODE.get(code, BrokerError)(message)
    error.code, error.api = code, api
    return error
