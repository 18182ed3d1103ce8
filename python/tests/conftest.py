"""Brokers for the tests: ours, by TIDELOG_BIN or the newest build under target/, and Apache Kafka."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import tidelog

WORKSPACE = Path(__file__).parent.parent.parent
READY_SECONDS = 120


class Broker:
    """A broker process and what tests need to fill it."""

    def __init__(self, address):
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 1})
        self.producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,  # A retry must not change the order.
                "partitioner": "murmur2_random",
                "log_level": 1,
            }
        )

    def make_topic(self, name, partitions=1, **config):
        config = {key.replace("__", "."): value for key, value in config.items()}
        topic = NewTopic(name, partitions, 1, config=config)
        self.admin.create_topics([topic])[name].result(30)
        while name not in self.admin.list_topics(timeout=30).topics:  # Kafka tells a little later.
            time.sleep(0.05)

    def produce(self, topic, records):
        """Records are (partition, key, value); answers the offsets after the last of each partition."""
        ends = {}

        def acknowledged(error, message):
            assert error is None, error
            ends[message.partition()] = max(ends.get(message.partition(), 0), message.offset() + 1)

        for partition, key, value in records:
            where = {} if partition is None else {"partition": partition}
            value = value if value is None else json.dumps(value)
            self.producer.produce(topic, value, key, on_delivery=acknowledged, **where)
            self.producer.poll(0)
        assert self.producer.flush(30) == 0
        return ends


def free_port():
    """One whose next is free as well: Kafka's controller takes that."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError):
                next_one.bind(("127.0.0.1", port + 1))
                return port


def binary():
    if named := os.environ.get("TIDELOG_BIN"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))
    built = [target / profile / "tidelog" for profile in ("release", "debug")]
    built = [path for path in built if path.exists()]
    assert built, "no tidelog binary: run `cargo build -p tidelog`, or set TIDELOG_BIN"
    return max(built, key=lambda path: path.stat().st_mtime)


@contextlib.contextmanager
def running(address, command, log):
    with open(log, "w") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    ready = threading.Event()

    def watch():  # It goes on reading: a full pipe would stop the broker.
        for line in process.stdout:
            if "ready" in line:
                ready.set()

    threading.Thread(target=watch, daemon=True).start()
    try:
        assert ready.wait(READY_SECONDS), Path(log).read_text()
        yield Broker(address)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    home = tmp_path_factory.mktemp("tidelog")
    address, *others = (f"127.0.0.1:{free_port()}" for _ in range(3))
    command = [binary(), "serve", "--admin", "off", "--data-dir", home / "data", "--listen", address]
    command += ["--catalog", others[0], "--registry", others[1]]
    with running(address, command, home / "log") as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    home = tmp_path_factory.mktemp("kafka")
    port = free_port()
    command = [WORKSPACE / "bench/kafka/start.sh", home / "data", str(port)]
    with running(f"127.0.0.1:{port}", command, home / "log") as broker:
        yield broker


@pytest.fixture(scope="session")
def client(broker):
    return tidelog.connect(broker.address)


PARTITIONS = 3
ORDERS = 3000
SCHEMA = {
    "fields": [
        {"name": "id", "type": "long", "nullable": False},
        {"name": "customer", "type": "string"},
        {"name": "price", "type": "double"},
        {"name": "total", "type": "decimal(12,2)"},
        {"name": "at", "type": "timestamp(ms)"},
        {"name": "day", "type": "date"},
        {"name": "tags", "type": {"list": "string"}},
        {"name": "address", "type": {"struct": [{"name": "city", "type": "string"}]}},
    ]
}


def order(n):
    return {
        "id": n,
        "customer": f"customer {n % 97}",
        "price": n / 4,
        "total": f"{n // 100}.{n % 100:02}",
        "at": 1_767_225_600_000 + n,
        "day": 20_000 + n % 365,
        "tags": ["a", "ü"][: n % 3],
        "address": {"city": ["Bremen", "Lyon", None][n % 3]},
    }


def orders(first=0, end=ORDERS):
    """Order n stands in partition n % 3, at offset n // 3."""
    return [(n % PARTITIONS, f"k{n}", order(n)) for n in range(first, end)]


TYPED = {"tidelog__table__mode": "inline", "tidelog__table__schema": json.dumps(SCHEMA)}


@pytest.fixture(scope="session")
def orders_topic(broker):
    """3,000 orders that nobody adds to."""
    broker.make_topic("orders", PARTITIONS, **TYPED)
    broker.produce("orders", orders())
    return "orders"
