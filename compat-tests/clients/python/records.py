"""The records every client family produces, and the hash by which families compare what they read.

The same set is written down in each language; `digest` of it is therefore one constant, and a client
that reads another family's records must arrive at it too.
"""

import hashlib
import struct
from dataclasses import dataclass

EPOCH_MS = 1_700_000_000_000
PARTITIONS = 3
LARGE_BYTES = 900 * 1024  # Below the brokers' default of 1 MiB for a batch.


@dataclass(frozen=True)
class Record:
    """One record; `partition` and `offset` are where it should be, or was, found."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = EPOCH_MS

    def __repr__(self):
        def short(data):
            return data if data is None or len(data) <= 40 else f"{data[:20]!r}… {len(data)} bytes"

        return (
            f"{self.partition}@{self.offset} key={short(self.key)} value={short(self.value)} "
            f"headers={self.headers} timestamp={self.timestamp_ms}"
        )


def standard_set() -> list[Record]:
    """Odd records first (null, empty, binary, large, back in time), then a hundred plain ones."""
    bare = [
        (None, b"no key", (), EPOCH_MS),
        (b"tombstone", None, (), EPOCH_MS),
        (b"", b"", (), EPOCH_MS + 1),
        (bytes(range(256)), b"plain", (("a", b"1"), ("b", b""), ("a", b"2"), ("n", None)), EPOCH_MS + 2),
        (b"large", bytes((i * 31 + (i >> 8)) & 0xFF for i in range(LARGE_BYTES)), (), EPOCH_MS + 3),
        (b"late", b"older than the ones before", (), EPOCH_MS - 5000),
    ]
    for i in range(100):
        headers = (("i", str(i).encode()),) if i % 3 == 0 else ()
        bare.append((f"key-{i}".encode(), f"value-{i};".encode() * i, headers, EPOCH_MS + 10 + i))
    return [Record(n % PARTITIONS, n // PARTITIONS, *parts) for n, parts in enumerate(bare)]


def plain_set(count: int, partitions: int, size: int, first: int = 0) -> list[Record]:
    """`count` records of `size` bytes, numbered from `first`, dealt out to the partitions in turn."""
    return [
        Record(
            n % partitions,
            n // partitions,
            str(n).encode(),
            (f"{n};".encode() * size)[:size],
            (),
            EPOCH_MS + n,
        )
        for n in range(first, first + count)
    ]


def digest(records: list[Record]) -> str:
    """SHA-256 over the records by (partition, offset): every integer big-endian, −1 for null lengths,
    headers in order of their keys (some clients hand them out as a map)."""
    sha = hashlib.sha256()

    def put(data):
        sha.update(struct.pack(">i", -1 if data is None else len(data)))
        sha.update(data or b"")

    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        sha.update(struct.pack(">iqq", record.partition, record.offset, record.timestamp_ms))
        put(record.key)
        put(record.value)
        sha.update(struct.pack(">i", len(record.headers)))
        for name, value in sorted(record.headers, key=lambda header: header[0]):
            put(name.encode())
            put(value)
    return sha.hexdigest()
