"""What is asked of a client library, in terms of the small interface each adapter module offers:

Client(bootstrap): `codecs`, `null_headers` (can it send null header values), `produce(records, topic, **how) -> offsets`,
  `consumer(group=None, committed=False)`, `bounds(topic, partition)`, `offset_for_time(topic, partition, ms)`, and the
  admin calls, which raise `Refused` with Kafka's error code or `NotImplementedError`, and `close()`.
Consumer: `assign(topic, {partition: offset})`, `subscribe(topic)`, `poll(seconds)`, `assignment()`,
  `seek`, `position`, `commit()`, `committed`, `close()`.
"""

import threading
import time
import uuid
from dataclasses import replace

from records import EPOCH_MS, PARTITIONS, digest, plain_set, standard_set

WAIT_SECONDS = 60


class Refused(Exception):
    """The broker answered with an error code."""

    def __init__(self, code: int, message: str = ""):
        super().__init__(f"error code {code} {message}")
        self.code = code


def check(condition, *facts):
    if not condition:
        raise AssertionError(" ".join(map(str, facts)))


def eventually(question, seconds=WAIT_SECONDS):
    """Asks until the answer is true: metadata may trail behind an admin call."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        check(time.monotonic() < deadline, "not true in time:", question)
        time.sleep(0.05)
    return answer


def new_topic(client, scenario, partitions=PARTITIONS, **configs):
    name = f"{scenario}-{uuid.uuid4().hex[:8]}"
    # The records carry old timestamps: retention by time would take them away.
    client.create_topic(name, partitions, {"retention.ms": "-1"} | configs)
    eventually(lambda: client.partition_count(name) == partitions)
    eventually(lambda: all(has_leader(client, name, partition) for partition in range(partitions)))
    return name


def has_leader(client, topic, partition):
    try:
        client.bounds(topic, partition)  # Answered by the leader alone; some libraries do not retry it.
    except Exception:
        return False
    return True


def read(client, topic, count, starts=None, committed=False):
    """Reads `count` records from the partitions' starts and checks that no more follow."""
    consumer = client.consumer(committed=committed)
    consumer.assign(topic, starts or {p: 0 for p in range(PARTITIONS)})
    records, deadline = [], time.monotonic() + WAIT_SECONDS
    while len(records) < count:
        check(time.monotonic() < deadline, f"read {len(records)} of {count} records of {topic}")
        records += consumer.poll(1)
    records += consumer.poll(0.2)
    consumer.close()
    check(len(records) == count, f"read {len(records)} records of {topic}, not {count}")
    return sorted(records, key=lambda r: (r.partition, r.offset))


def expect_same(found, sent):
    for got, want in zip(found, sorted(sent, key=lambda r: (r.partition, r.offset)), strict=True):
        check(got == want, "found", got, "– expected", want)


def without_null_headers(records):
    return [replace(r, headers=tuple((k, v) for k, v in r.headers if v is not None)) for r in records]


def roundtrip(client, say):
    """Every codec: keys, values, headers, timestamps come back as sent."""
    for codec in client.codecs:
        topic = new_topic(client, "roundtrip")
        sent = standard_set() if client.null_headers else without_null_headers(standard_set())
        offsets = client.produce(sent, topic, codec=codec)
        check(offsets == [r.offset for r in sent], "offsets", offsets)
        found = read(client, topic, len(sent))
        expect_same(found, sent)
        say(codec=codec, topic=topic, records=len(found), digest=digest(found))


def read_digest(client, say, topic):
    """Hashes the standard set as found in a topic some other client filled."""
    say(topic=topic, digest=digest(read(client, topic, len(standard_set()))))


def batches(client, say):
    """Large batches of small records."""
    topic = new_topic(client, "batches")
    sent = plain_set(20_000, PARTITIONS, 200)
    started = time.monotonic()
    client.produce(sent, topic, codec="lz4", batch_bytes=900_000)
    expect_same(read(client, topic, len(sent)), sent)
    say(records=len(sent), seconds=round(time.monotonic() - started, 2))


def acks(client, say):
    """One topic, acks=0 last: it would lose what is sent before a new topic's leader is ready."""
    topic = new_topic(client, "acks")
    for round, level in enumerate(("all", 1, 0)):
        sent = plain_set(300, PARTITIONS, 100, first=300 * round)
        offsets = client.produce(sent, topic, acks=level)
        check(level == 0 or offsets == [r.offset for r in sent], "offsets", offsets)
        everything = plain_set(300 * (round + 1), PARTITIONS, 100)
        expect_same(read(client, topic, len(everything)), everything)
        say(acks=level)


def idempotent(client, say):
    """Many batches in flight with sequence numbers: all there once, in order."""
    topic = new_topic(client, "idempotent")
    sent = plain_set(10_000, PARTITIONS, 100)
    client.produce(sent, topic, idempotent=True, batch_bytes=4096)
    expect_same(read(client, topic, len(sent)), sent)
    say(records=len(sent))


def autocreate(client, say):
    topic = f"autocreate-{uuid.uuid4().hex[:8]}"
    sent = plain_set(10, 1, 100)
    client.produce(sent, topic)
    expect_same(read(client, topic, len(sent), {0: 0}), sent)
    say(topic=topic)


def offsets(client, say):
    """Bounds, seek, offsets by time, committed offsets."""
    topic = new_topic(client, "offsets", 1)
    check(client.bounds(topic, 0) == (0, 0), client.bounds(topic, 0))
    sent = plain_set(100, 1, 50)
    client.produce(sent, topic)
    check(client.bounds(topic, 0) == (0, 100), client.bounds(topic, 0))

    for ms, offset in ((0, 0), (EPOCH_MS, 0), (EPOCH_MS + 41, 41), (EPOCH_MS + 1000, None)):
        found = client.offset_for_time(topic, 0, ms)
        check(found == offset, f"offset for time {ms}: {found}, not {offset}")
    say(step="times")

    group = f"offsets-{uuid.uuid4().hex[:8]}"
    consumer = client.consumer(group)
    consumer.assign(topic, {0: 0})
    check(consumer.committed(topic, 0) is None, "committed before any commit")
    eventually(lambda: consumer.poll(1))
    consumer.seek(topic, 0, 60)
    first = eventually(lambda: consumer.poll(1))[0]
    check(first == sent[60], "after seek to 60:", first)
    consumer.seek(topic, 0, 70)
    consumer.commit({(topic, 0): 70})
    check(consumer.committed(topic, 0) == 70, "committed", consumer.committed(topic, 0))
    check(consumer.position(topic, 0) == 70, "position", consumer.position(topic, 0))
    consumer.close()

    again = client.consumer(group)
    again.assign(topic, {0: 0})
    check(again.committed(topic, 0) == 70, "committed after restart", again.committed(topic, 0))
    again.close()
    say(step="committed")


class Member(threading.Thread):
    """A group member that polls until told to leave; commits what it saw when it leaves."""

    def __init__(self, client, group, topic):
        super().__init__(daemon=True)
        self.consumer = client.consumer(group)
        self.topic, self.records, self.assigned = topic, [], frozenset()
        self.leaving, self.error = threading.Event(), None
        self.start()

    def run(self):
        try:
            self.consumer.subscribe(self.topic)
            while not self.leaving.is_set():
                self.records += self.consumer.poll(0.2)
                self.assigned = frozenset(self.consumer.assignment())
            self.consumer.commit()
            self.consumer.close()
        except Exception as error:
            self.error = error

    def leave(self):
        self.leaving.set()
        self.join(WAIT_SECONDS)
        check(not self.is_alive(), "member did not leave in time")
        self.raise_error()

    def raise_error(self):
        if self.error:
            raise self.error


def group(client, say):
    """Two members share a topic, one leaves, the group restarts and resumes at the committed offsets."""
    partitions = 4
    topic = new_topic(client, "group", partitions)
    name = f"group-{uuid.uuid4().hex[:8]}"

    def keys(*members):
        return {record.key for member in members for record in member.records}

    def until(question, *members):
        def asked():
            for member in members:
                member.raise_error()
            return question()

        eventually(asked)

    def send(first, count):
        client.produce(plain_set(count, partitions, 50, first), topic)
        return {str(n).encode() for n in range(first, first + count)}

    alone = Member(client, name, topic)
    until(lambda: len(alone.assigned) == partitions, alone)
    say(step="alone")

    other = Member(client, name, topic)
    until(lambda: len(alone.assigned) == len(other.assigned) == 2, alone, other)
    check(not alone.assigned & other.assigned, "both own", alone.assigned & other.assigned)
    sent = send(0, 400)
    until(lambda: keys(alone, other) == sent, alone, other)
    check(len(alone.records) + len(other.records) == 400, "some records came twice")
    check(alone.records and other.records, "one member got nothing")
    say(step="split", shares=[len(alone.records), len(other.records)])

    other.leave()
    until(lambda: len(alone.assigned) == partitions, alone)
    sent |= send(400, 400)
    until(lambda: keys(alone, other) == sent, alone, other)
    alone.leave()
    say(step="left")

    missed = send(800, 100)
    resumed = Member(client, name, topic)
    until(lambda: len(keys(resumed)) >= len(missed), resumed)
    time.sleep(0.3)
    resumed.leave()
    check(keys(resumed) == missed and len(resumed.records) == 100, "resumed with", len(resumed.records))
    say(step="resumed")


def view(client, say, topic):
    """Two records with a long way before each, past which the client has to come."""
    for committed in (False, True):
        started = time.monotonic()
        found = read(client, topic, 2, {0: 0}, committed)
        seconds = round(time.monotonic() - started, 2)
        say(committed=committed, offsets=str([r.offset for r in found]), seconds=seconds)


def admin(client, say):
    """Topics, partitions, configs, cluster, groups, and the error codes for bad requests."""

    def refused(code, call, *arguments):
        try:
            call(*arguments)
        except Refused as refusal:
            check(refusal.code == code, f"{call.__name__}{arguments}: {refusal}, not {code}")
        else:
            check(False, f"{call.__name__}{arguments} was not refused")

    def step(name, body):
        try:
            body()
            say(step=name)
        except NotImplementedError:
            say(step=name, supported=False)

    topic = new_topic(client, "admin", 2, **{"retention.ms": "3600000"})
    missing = f"missing-{uuid.uuid4().hex[:8]}"

    def topics():
        refused(36, client.create_topic, topic, 2, {})
        refused(17, client.create_topic, "not a name", 1, {})
        refused(40, client.create_topic, missing, 1, {"no.such.config": "1"})
        refused(40, client.create_topic, missing, 1, {"retention.ms": "soon"})
        refused(3, client.delete_topic, missing)

    def partitions():
        client.create_partitions(topic, 5)
        eventually(lambda: client.partition_count(topic) == 5)
        refused(37, client.create_partitions, topic, 4)
        refused(3, client.create_partitions, missing, 4)

    def describe_configs():
        found = client.topic_configs(topic)
        check(found["retention.ms"] == "3600000", found["retention.ms"])
        check(found["cleanup.policy"] == "delete", found["cleanup.policy"])
        refused(3, client.topic_configs, missing)

    def alter_configs():
        client.alter_topic_configs(topic, {"retention.ms": "7200000", "segment.bytes": "10485760"})
        eventually(lambda: client.topic_configs(topic)["retention.ms"] == "7200000")
        client.alter_topic_configs(topic, {"retention.ms": None})
        eventually(lambda: client.topic_configs(topic)["retention.ms"] == "604800000")
        check(client.topic_configs(topic)["segment.bytes"] == "10485760", "segment.bytes")
        refused(40, client.alter_topic_configs, topic, {"segment.bytes": "many"})
        refused(3, client.alter_topic_configs, missing, {"retention.ms": "1"})

    def cluster():
        brokers, controller = client.cluster()
        check(len(brokers) == 1 and controller in brokers, brokers, controller)

    def groups():
        name = f"admin-{uuid.uuid4().hex[:8]}"
        member = Member(client, name, topic)
        eventually(lambda: member.assigned)
        member.raise_error()
        check(name in client.groups(), "group is not listed")
        check(client.describe_group(name) == ("Stable", 1), client.describe_group(name))
        member.leave()
        eventually(lambda: client.describe_group(name) == ("Empty", 0))

    def delete():
        client.delete_topic(topic)
        eventually(lambda: client.partition_count(topic) is None)

    for body in (topics, partitions, describe_configs, alter_configs, cluster, groups, delete):
        step(body.__name__, body)


SCENARIOS = {
    "roundtrip": roundtrip,
    "digest": read_digest,
    "batches": batches,
    "acks": acks,
    "idempotent": idempotent,
    "autocreate": autocreate,
    "offsets": offsets,
    "group": group,
    "admin": admin,
    "view": view,
}
