"""A long life with a bad broker, through librdkafka; the Java and Go programs do the same.

`soak(client, say, HISTORY)` appends what it does and sees to that file, whose name is the process's; see
src/history/mod.rs for the lines. Five threads: a transactional writer and an idempotent one to `events`, a
member of the group `copiers` that copies what is committed there to `copies` with its positions in the same
transaction, and two readers of both topics from their start, one of what is committed, one of everything.
The line `stop` on stdin ends the writers, its end ends the rest. A process named `final…` only reads.
"""

import json
import os
import random
import sys
import threading
import time
from pathlib import Path

import confluent_kafka as ck

PARTITIONS = 6
EVENTS, COPIES = "events", "copies"
PATIENT = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "socket.connection.setup.timeout.ms": 3000,
    "socket.timeout.ms": 6000,
    "log_level": 0,
    # Else librdkafka 2.16.0 drops the broker it was bootstrapped to, which a transaction's offsets may wait for
    # for ever; with Apache Kafka too.
    "metadata.recovery.strategy": "none",
}
TXN_TIMEOUT_MS = 20_000
ABORTED = 0.15  # This part of the transactions, by choice.
TRIES_SECONDS = 10  # One call of the library; longer than its own requests take.
DEBUG = os.environ.get("TIDELOG_SOAK_DEBUG", "")  # Of the copier's producer: `eos,broker,protocol`, to NAME.said.


def soak_topics(client, say):
    for topic in (EVENTS, COPIES):
        client.create_topic(topic, PARTITIONS, {"retention.ms": "-1"})
    while any(client.partition_count(topic) != PARTITIONS for topic in (EVENTS, COPIES)):
        time.sleep(0.05)


class History:
    def __init__(self, path):
        self.file, self.lock = open(path, "a"), threading.Lock()

    def say(self, op, **fields):
        with self.lock:
            self.file.write(json.dumps({"op": op, "at": int(time.time() * 1000), **fields}, separators=(",", ":")) + "\n")
            self.file.flush()


class Soak:
    def __init__(self, client, path):
        self.bootstrap, self.history = client.bootstrap, History(path)
        self.process = Path(path).stem
        self.family = self.process.split("-")[0]
        self.stop, self.end = threading.Event(), threading.Event()

    def run(self):
        only_reads = self.process.startswith("final")
        writers = {} if only_reads else {"txn": self.write_transactions, "idem": self.write_plainly, "copy": self.copy}
        readers = {"rc": lambda name: self.read(name, "committed"), "ru": lambda name: self.read(name, "uncommitted")}
        self.history.say(
            "hello",
            process=self.process,
            writers=[f"{self.process}-{role}" for role in writers],
            readers=[f"{self.process}-{role}" for role in readers],
        )
        roles = {
            role: threading.Thread(target=self.play, args=(work, f"{self.process}-{role}"), daemon=True)
            for role, work in {**writers, **readers}.items()
        }
        for thread in roles.values():
            thread.start()
        for line in sys.stdin:
            if line.strip() == "stop":
                self.stop.set()
                for role in {"txn", "idem"} & set(roles):
                    roles[role].join()
                self.history.say("stopped", process=self.process)
        self.stop.set()
        self.end.set()
        for thread in roles.values():
            thread.join(30)

    def play(self, work, name):
        try:
            work(name)
        except BaseException as error:
            self.note(name, f"ENDED BY {error!r}")
            raise

    def note(self, who, text):
        self.history.say("note", who=who, text=str(text)[:300])

    def config(self, **more):
        return {"bootstrap.servers": self.bootstrap, **PATIENT, **{k.replace("_", "."): v for k, v in more.items()}}

    # Writers

    def write_transactions(self, name):
        transactor = Transactor(self, name)
        while not self.stop.is_set():
            count = random.randint(1, 8) if random.random() < 0.97 else 200
            values = [(EVENTS, random.randrange(PARTITIONS), "") for _ in range(count)]
            transactor.run(values, random.random() >= ABORTED)
            self.stop.wait(random.uniform(0.05, 0.4))

    def write_plainly(self, name):
        seq, pending, generation, fatal = 0, set(), 0, []
        producer = None
        while not self.stop.is_set() or (pending and not fatal):
            if producer is None or fatal:
                # What the old one still has under way may yet arrive: the new one is another writer.
                generation, pending, writer = generation + 1, set(), f"{name}.{generation}"
                producer, fatal = None, []
                producer = ck.Producer(
                    self.config(enable_idempotence=True, linger_ms=5, message_timeout_ms=0, request_timeout_ms=6000)
                    | {"error_cb": lambda error: fatal.append(error) if error.fatal() else None}
                )
            if not self.stop.is_set() and len(pending) < 500:
                records = [(random.randrange(PARTITIONS), seq + n) for n in range(1, random.randint(2, 8))]
                seq = records[-1][1]
                self.history.say("send", writer=writer, txn=0, topic=EVENTS, records=records)
                acked = []
                for partition, number in records:
                    pending.add(number)
                    producer.produce(
                        EVENTS, f"{writer} 0 {number}", partition=partition,
                        on_delivery=self.delivered(writer, number, pending),
                    )
            until = time.monotonic() + random.uniform(0.02, 0.25)
            while time.monotonic() < until:
                producer.poll(0.02)
            if fatal:
                self.note(writer, fatal)

    def delivered(self, writer, number, pending):
        def told(error, message):
            if error:
                self.note(writer, f"{number}: {error}")
            else:
                self.history.say("acked", writer=writer, records=[(number, message.offset())])
            pending.discard(number)

        return told

    # Consume, transform, produce

    def copy(self, name):
        transactor = Transactor(self, name)
        while not self.end.is_set():
            consumer = ck.Consumer(
                self.config(
                    group_id="copiers", partition_assignment_strategy="range", session_timeout_ms=8000,
                    heartbeat_interval_ms=1000, isolation_level="read_committed", enable_auto_commit=False,
                    auto_offset_reset="earliest", max_poll_interval_ms=120_000,
                )
            )
            try:
                self.copy_with(consumer, transactor)
            except ck.KafkaException as error:
                self.note(name, f"new consumer: {error}")
            finally:
                consumer.close()

    def copy_with(self, consumer, transactor):
        """Until a position cannot be had back."""
        batch = []
        consumer.subscribe([EVENTS], on_revoke=lambda *_: batch.clear(), on_lost=lambda *_: batch.clear())
        while not self.end.is_set():
            batch.clear()
            message = consumer.poll(0.3)
            while message is not None and len(batch) < 100:
                if not message.error():
                    batch.append(message)
                message = consumer.poll(0.02)
            if message is not None and not message.error():
                batch.append(message)
            if not batch:
                continue
            values = [(COPIES, m.partition(), f" {m.offset()}") for m in batch]
            ends = {m.partition(): m.offset() + 1 for m in batch}
            positions = [ck.TopicPartition(EVENTS, p, offset) for p, offset in ends.items()]
            wanted = random.random() >= ABORTED
            if not transactor.run(values, wanted, positions, consumer.consumer_group_metadata()):
                batch.clear()
                self.rewind(consumer)

    def rewind(self, consumer):
        for known in consumer.committed(consumer.assignment(), timeout=TRIES_SECONDS):
            if known.error:
                raise ck.KafkaException(known.error)
            consumer.seek(ck.TopicPartition(known.topic, known.partition, max(known.offset, 0)))

    # Readers

    def read(self, name, isolation):
        consumer = ck.Consumer(
            self.config(
                group_id="unused", enable_auto_commit=False, isolation_level=f"read_{isolation}",
                auto_offset_reset="earliest", fetch_wait_max_ms=200,
            )
        )
        consumer.assign([ck.TopicPartition(t, p, 0) for t in (EVENTS, COPIES) for p in range(PARTITIONS)])
        while not self.end.is_set():
            found = [m for m in consumer.consume(1000, 0.3) if not m.error()]
            for topic in (EVENTS, COPIES):
                records = [(m.partition(), m.offset(), m.value().decode()) for m in found if m.topic() == topic]
                if records:
                    self.history.say("poll", reader=name, isolation=isolation, topic=topic, records=records)
        consumer.close()


class Transactor:
    """A transactional producer that is replaced when it is beyond help."""

    def __init__(self, soak, name):
        self.soak, self.name, self.id = soak, name, name.replace(soak.process, soak.family)
        self.txn, self.seq, self.producer = 0, 0, None

    def run(self, values, wanted, positions=None, group=None):
        """One transaction of (topic, partition, rest of the value); whether it is known to be committed."""
        if not self.ready():
            return False
        self.txn += 1
        records = [(partition, self.seq + n) for n, (_, partition, _) in enumerate(values, 1)]
        self.seq = records[-1][1]
        self.soak.history.say("send", writer=self.name, txn=self.txn, topic=values[0][0], records=records)
        try:
            outcome = self.transact(values, records, wanted, positions, group)
        except ck.KafkaException as error:
            self.soak.note(self.name, f"{self.txn}: {error}")
            outcome, self.producer = "unknown", None
        self.soak.history.say("end", writer=self.name, txn=self.txn, outcome=outcome)
        return outcome == "committed"

    def transact(self, values, records, wanted, positions, group):
        self.producer.begin_transaction()
        try:
            for (topic, partition, rest), (_, seq) in zip(values, records):
                self.producer.produce(topic, f"{self.name} {self.txn} {seq}{rest}", partition=partition)
            if positions:
                self.patiently(lambda: self.producer.send_offsets_to_transaction(positions, group, TRIES_SECONDS))
            if wanted:
                self.ending(True)
                self.patiently(lambda: self.producer.commit_transaction(TRIES_SECONDS))
                return "committed"
            self.producer.flush(random.choice([0, TRIES_SECONDS]))
        except ck.KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            self.soak.note(self.name, f"{self.txn}: abort after {error}")
        self.ending(False)
        self.patiently(lambda: self.producer.abort_transaction(TRIES_SECONDS))
        return "aborted"

    def ending(self, commit):
        self.soak.history.say("ending", writer=self.name, txn=self.txn, commit=commit)

    def patiently(self, call):
        while True:
            try:
                return call()
            except ck.KafkaException as error:
                self.soak.note(self.name, f"{self.txn}: again after {error}")
                if not error.args[0].retriable() or self.soak.end.is_set():
                    raise
                time.sleep(0.1)

    def ready(self):
        if self.producer is not None:
            return True
        try:
            producer = ck.Producer(
                self.soak.config(
                    transactional_id=self.id, transaction_timeout_ms=TXN_TIMEOUT_MS, linger_ms=2, request_timeout_ms=6000
                )
                | ({"debug": DEBUG, "log_level": 7} if DEBUG and self.id.endswith("copy") else {})
            )
            producer.init_transactions(TRIES_SECONDS)
        except ck.KafkaException as error:
            self.soak.note(self.name, f"not ready: {error}")
            return False
        self.producer = producer
        return True


def soak(client, say, history):
    Soak(client, history).run()
