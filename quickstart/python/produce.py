"""Produces orders with librdkafka and tells what was acknowledged.

`placed` sends orders to the end; `steady` sends them at a low rate until its standard input closes;
`changing` sends changes of keyed orders and writes the last one of each to a file.
"""

import argparse
import json
import sys
import threading
import time

from confluent_kafka import Producer

import orders
from tally import Tally, tell

TELL_EVERY_S = 0.25


class Sender:
    """An idempotent producer whose acknowledgements are tallied, in order, as they come."""

    def __init__(self, bootstrap, topic):
        self.topic = topic
        self.tally = Tally()
        self.latest = None
        self.told = time.monotonic()
        self.producer = Producer({
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 1_000_000,
        })

    def acknowledged(self, error, message):
        if error:
            sys.exit(f"a record was not taken: {error}")
        self.tally.add(message)
        if self.latest is not None:
            status = json.loads(message.value())["status"]
            self.latest[message.key().decode()] = [message.partition(), message.offset(), status]

    def send(self, key, value):
        moment_ms = int(time.time() * 1000)
        while True:
            try:
                self.producer.produce(
                    self.topic, value, key, timestamp=moment_ms, on_delivery=self.acknowledged
                )
                break
            except BufferError:
                self.producer.poll(0.05)
        self.producer.poll(0)
        if time.monotonic() - self.told > TELL_EVERY_S:
            self.told = time.monotonic()
            tell(progress=self.tally.records)

    def finish(self, started):
        if left := self.producer.flush(60):
            sys.exit(f"{left} records were not acknowledged within a minute")
        tell(seconds=time.monotonic() - started, tally=self.tally.report())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("placed", "steady", "changing"))
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--seed", required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--rate", type=float, help="records a second")
    parser.add_argument("--latest", help="the file for the last change of each key")
    args = parser.parse_args()

    sender = Sender(args.bootstrap, args.topic)
    started = time.monotonic()
    if args.kind == "changing":
        sender.latest = {}
        for key, value in orders.changing(args.seed, args.count):
            sender.send(key, value)
    elif args.kind == "placed":
        for key, value in orders.placed(args.seed, args.first, args.count):
            sender.send(key, value)
    else:
        closed = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
        for key, value in orders.placed(args.seed, args.first, None):
            if closed.wait(1 / args.rate):
                break
            sender.send(key, value)
    sender.finish(started)
    if args.latest:
        with open(args.latest, "w") as file:
            json.dump(sender.latest, file)


main()
