#!/usr/bin/env python3
"""ledger.py BOOTSTRAP TOPIC PARTITIONS [CONFIG=VALUE…]: an idempotent producer that outlives its broker, and its judge.

Produces numbered records (confluent-kafka, acks=all) and notes each acknowledgement until a line comes
on stdin; then it waits for the last ones, reads the whole topic back and checks: nothing acknowledged is
lost, nothing is there twice, offsets are dense, every partition keeps the order of sending, and what a
consumer saw live, while the broker was killed, is what is there now. Keys come back every KEYS records,
so that a keyed topic has rows to replace. JSON lines; exit code 0 or 1.
"""

import json
import sys
import threading
import time
import traceback

import confluent_kafka as ck
from confluent_kafka import admin as cka

RECORDS_PER_SECOND = 5000
PAYLOAD = "x" * 200
KEYS = 1009
PATIENT = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 250, "socket.connection.setup.timeout.ms": 2000}


def say(**fields):
    print(json.dumps({"client": "confluent", "scenario": "ledger", **fields}), flush=True)


def check(condition, *facts):
    if not condition:
        raise AssertionError(" ".join(map(str, facts)))


def number_of(message):
    return int(message.value().partition(b":")[0])


class Ledger:
    """What was sent, and where the broker said it is."""

    def __init__(self, bootstrap, topic, partitions):
        self.topic, self.partitions = topic, partitions
        self.sent, self.acked, self.errors, self.fatal = 0, {}, [], None
        self.producer = ck.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "delivery.timeout.ms": 300_000,
                "linger.ms": 2,
                "request.timeout.ms": 5000,
                "error_cb": self.on_error,
                **PATIENT,
            }
        )

    def on_error(self, error):
        if error.fatal():
            self.fatal = error

    def on_delivery(self, error, message):
        if error:
            self.errors.append(str(error))
        else:
            self.acked[number_of(message)] = (message.partition(), message.offset())

    def send_one(self):
        number = self.sent
        self.producer.produce(
            self.topic,
            key=str(number % KEYS),
            value=f"{number}:{PAYLOAD}",
            partition=number % self.partitions,
            on_delivery=self.on_delivery,
        )
        self.sent += 1

    def produce_until(self, stop):
        """Sends at a steady rate, whatever the broker does; the queue bounds what may pile up."""
        started = reported = time.monotonic()
        while not stop.is_set():
            due = int((time.monotonic() - started) * RECORDS_PER_SECOND)
            while self.sent < due and len(self.producer) < 50_000:
                self.send_one()
            self.producer.poll(0.005)
            check(self.fatal is None, "producer gave up:", self.fatal)
            if time.monotonic() - reported > 0.25:
                reported = time.monotonic()
                say(sent=self.sent, acked=len(self.acked))
        check(self.producer.flush(60) == 0, "not acknowledged in time:", len(self.producer))
        check(not self.errors, "delivery errors:", len(self.errors), self.errors[:3])


class Reader:
    """Reads the topic from its start: {(partition, offset): number}."""

    def __init__(self, bootstrap, topic, partitions):
        self.found = {}
        self.consumer = ck.Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, **PATIENT}
        )
        self.consumer.assign([ck.TopicPartition(topic, p, 0) for p in range(partitions)])

    def read(self, seconds):
        for message in self.consumer.consume(10_000, seconds):
            if not message.error():  # Errors of the connection pass; the count tells in the end.
                at = (message.partition(), message.offset())
                number = number_of(message)
                check(self.found.setdefault(at, number) == number, at, "changed from", self.found[at], "to", number)
                check(message.value() == f"{number}:{PAYLOAD}".encode(), "value of", at)
                check(message.key() == b"%d" % (number % KEYS), "key of", at)

    def read_until(self, stop):
        while not stop.is_set():
            self.read(0.2)


def judge(ledger, live, final):
    for partition in range(ledger.partitions):
        placed = sorted((o, n) for (p, o), n in final.found.items() if p == partition)
        check([o for o, _ in placed] == list(range(len(placed))), "offsets of partition", partition, "are not dense")
        numbers = [n for _, n in placed]
        check(numbers == sorted(set(numbers)), "order or duplicates in partition", partition)
    numbers = set(final.found.values())
    lost = [n for n in ledger.acked if n not in numbers]
    check(not lost, len(lost), "acknowledged records lost, first", min(lost, default=None))
    check(len(final.found) == ledger.sent, "found", len(final.found), "records, sent", ledger.sent)
    moved = [n for n, at in ledger.acked.items() if at[1] >= 0 and final.found.get(at) != n]
    check(not moved, len(moved), "records are not where their acknowledgement said, first", moved[:3])
    ghosts = [at for at, n in live.found.items() if final.found.get(at) != n]
    check(not ghosts, len(ghosts), "records were read that are gone or changed, first", ghosts[:3])


def create_topic(bootstrap, topic, partitions, configs):
    admin = cka.AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([cka.NewTopic(topic, partitions, 1, config=configs)])[topic].result(30)
    while topic not in admin.list_topics(timeout=10).topics:
        time.sleep(0.05)


def run(bootstrap, topic, partitions, configs):
    create_topic(bootstrap, topic, partitions, configs)
    ledger, live = Ledger(bootstrap, topic, partitions), Reader(bootstrap, topic, partitions)
    stop, failures = threading.Event(), []

    def watch():
        try:
            live.read_until(stop)
        except Exception as error:
            failures.append(error)

    reader = threading.Thread(target=watch, daemon=True)
    reader.start()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    ledger.produce_until(stop)
    reader.join(30)
    check(not failures, "live reader:", failures)

    final, deadline = Reader(bootstrap, topic, partitions), time.monotonic() + 60
    while len(final.found) < ledger.sent and time.monotonic() < deadline:
        final.read(0.5)
    final.read(0.5)
    judge(ledger, live, final)
    say(sent=ledger.sent, acked=len(ledger.acked), read_live=len(live.found))


if __name__ == "__main__":
    try:
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]), dict(pair.split("=", 1) for pair in sys.argv[4:]))
    except Exception as error:
        say(passed=False, error=str(error), trace=traceback.format_exc())
        sys.exit(1)
    say(passed=True)
