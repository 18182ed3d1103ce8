"""Counts and hashes records by partition, the same way for what was written and what is read."""

import hashlib
import json
import struct
import sys


class Tally:
    """Records of each partition in the order of their offsets."""

    def __init__(self):
        self.partitions = {}
        self.records = 0
        self.bytes = 0

    def add(self, message):
        """Takes the next record of its partition; a gap or a step back ends the program."""
        key, value = message.key() or b"", message.value() or b""
        partition, offset = message.partition(), message.offset()
        seen = self.partitions.get(partition)
        if seen is None:
            seen = self.partitions[partition] = {"first": offset, "end": offset, "hash": hashlib.sha256()}
        if offset != seen["end"]:
            sys.exit(f"partition {partition}: offset {offset} came where {seen['end']} is due")
        seen["end"] = offset + 1
        head = struct.pack(">qqii", offset, message.timestamp()[1], len(key), len(value))
        seen["hash"].update(head + key + value)
        self.records += 1
        self.bytes += len(key) + len(value)

    def report(self):
        """What the receipt holds of it."""
        return {
            "records": self.records,
            "bytes": self.bytes,
            "partitions": {
                str(partition): {"first": seen["first"], "end": seen["end"], "sha256": seen["hash"].hexdigest()}
                for partition, seen in sorted(self.partitions.items())
            },
        }


def tell(**line):
    """One JSON line to whoever started this program."""
    print(json.dumps(line), flush=True)
