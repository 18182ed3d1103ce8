#!/usr/bin/env python3
"""migrate.py STEP …: what a cluster that moves looks like to its clients (confluent-kafka).

  fill SOURCE            topics of every codec, with a late start, compacted, with transactions; group offsets
  live SOURCE            an idempotent producer that writes until a line comes on stdin
  grow SOURCE            a topic, a partition and configs that were not there when the move began
  early TARGET           a producer that moved before its topic did: delivered once the topic is ordinary
  judge SOURCE TARGET    every record of every topic is the same; groups resume where they were
JSON lines, the last with "passed"; exit code 0 or 1.
"""

import json
import sys
import threading
import time
import traceback

import confluent_kafka as ck
from confluent_kafka import admin as cka

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOPICS = {"codecs": 5, "late": 1, "compacted": 2, "transactions": 2, "live": 3}
GROWN = TOPICS | {"codecs": 6, "later": 2}
GROUP = "readers"
RECORDS = 4000
# Not so long ago that retention takes the records.
BEGAN_MS = int(time.time() * 1000) - 600_000


def say(**fields):
    print(json.dumps(fields), flush=True)


def check(condition, *facts):
    if not condition:
        raise AssertionError(" ".join(map(str, facts)))


def producer(bootstrap, **more):
    def delivered(error, _):
        check(error is None, "delivery:", error)

    made = ck.Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **{k.replace("_", "."): v for k, v in more.items()}})
    return made, delivered


def send(made, delivered, topic, partition, first, count, size=300):
    for number in range(first, first + count):
        while True:
            try:
                made.produce(
                    topic,
                    key=f"key-{number % 97}",
                    value=f"{number}:".encode() + bytes((number + i) % 251 for i in range(size)),
                    partition=partition,
                    timestamp=BEGAN_MS + number,
                    headers=[("h", str(number)), ("h", None), ("empty", b"")],
                    on_delivery=delivered,
                )
                break
            except BufferError:
                made.poll(0.1)
        made.poll(0)


def fill(bootstrap):
    admin = cka.AdminClient({"bootstrap.servers": bootstrap})
    configs = {
        "codecs": {"retention.ms": "-1", "max.message.bytes": "2000000"},
        "compacted": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "500"},
    }
    new = [cka.NewTopic(name, count, 1, config=configs.get(name, {})) for name, count in TOPICS.items()]
    for made in admin.create_topics(new).values():
        made.result(30)
    time.sleep(0.5)

    for partition, codec in enumerate(CODECS):
        made, delivered = producer(bootstrap, compression_type=codec, enable_idempotence=partition % 2 == 0)
        send(made, delivered, "codecs", partition, 0, RECORDS)
        check(made.flush(60) == 0, "flush")

    made, delivered = producer(bootstrap, compression_type="lz4")
    send(made, delivered, "late", 0, 0, 1000)
    for rolled in range(3):
        for partition in range(TOPICS["compacted"]):
            send(made, delivered, "compacted", partition, rolled * 500, 500, 20)
        check(made.flush(60) == 0, "flush")
        time.sleep(0.7)
    # In the midst of a batch.
    start = admin.delete_records([ck.TopicPartition("late", 0, 137)])
    check(next(iter(start.values())).result(30).low_watermark == 137, "log start")

    made, delivered = producer(bootstrap, transactional_id="mover", compression_type="zstd")
    made.init_transactions(30)
    for round in range(12):
        made.begin_transaction()
        for partition in range(TOPICS["transactions"]):
            send(made, delivered, "transactions", partition, round * 20, 20)
        if round % 3 == 1:
            made.flush(30)
            made.abort_transaction(30)
        else:
            made.commit_transaction(30)

    offsets = [ck.TopicPartition("codecs", p, 700 + p, metadata="a note" if p == 1 else "") for p in range(4)]
    offsets.append(ck.TopicPartition("transactions", 1, 100))
    member = ck.Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False})
    for attempt in range(60):
        try:
            member.commit(offsets=offsets, asynchronous=False)
            break
        except ck.KafkaException as error:
            # The coordinator of a new cluster is being made.
            check(error.args[0].retriable() or attempt < 20, error)
            time.sleep(0.5)
    member.close()


    # A source that compacts soon has gaps from the beginning; another comes to them while it is copied.
    for _ in range(8):
        kept = sum(at[0] == "compacted" for at in read(bootstrap, "read_uncommitted", TOPICS)[0])
        if kept < 3000:
            break
        time.sleep(0.25)
    say(compacted=kept)


def live(bootstrap):
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    made, delivered = producer(bootstrap, enable_idempotence=True, compression_type="lz4", delivery_timeout_ms=300_000)
    made_at, sent = time.monotonic(), 0
    while not stop.is_set():
        while sent < (time.monotonic() - made_at) * 500 and len(made) < 20_000:
            send(made, delivered, "live", sent % TOPICS["live"], sent, 1)
            sent += 1
        made.poll(0.02)
    check(made.flush(120) == 0, "flush")
    say(sent=sent)


def grow(bootstrap):
    admin = cka.AdminClient({"bootstrap.servers": bootstrap})
    settled(admin.create_topics([cka.NewTopic("later", GROWN["later"], 1, config={"retention.ms": "-1"})]))
    settled(admin.create_partitions([cka.NewPartitions("codecs", GROWN["codecs"])]))
    changes = [
        cka.ConfigEntry("segment.bytes", "20971520", incremental_operation=cka.AlterConfigOpType.SET),
        cka.ConfigEntry("max.message.bytes", None, incremental_operation=cka.AlterConfigOpType.DELETE),
    ]
    resource = cka.ConfigResource(cka.ResourceType.TOPIC, "codecs", incremental_configs=changes)
    settled(admin.incremental_alter_configs([resource]))
    time.sleep(0.5)
    made, delivered = producer(bootstrap, compression_type="snappy")
    for topic, partition in [("later", 0), ("later", 1), ("codecs", 5)]:
        send(made, delivered, topic, partition, 0, 200)
    check(made.flush(60) == 0, "flush")


def settled(futures):
    (future,) = futures.values()
    return future.result(30)


def early(bootstrap):
    at = []
    made, _ = producer(bootstrap, enable_idempotence=True, delivery_timeout_ms=300_000)
    made.produce("codecs", value=b"early", partition=4, on_delivery=lambda error, message: at.append((error, message)))
    say(waits=True)
    check(made.flush(280) == 0, "flush")
    error, message = at[0]
    check(error is None, error)
    check(message.offset() == RECORDS, "delivered at", message.offset())


def read(bootstrap, isolation, topics=GROWN):
    consumer = ck.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "check.crcs": True,
        }
    )
    parts = [ck.TopicPartition(topic, p, ck.OFFSET_BEGINNING) for topic, count in topics.items() for p in range(count)]
    ends = {(part.topic, part.partition): consumer.get_watermark_offsets(part, timeout=30) for part in parts}
    consumer.assign(parts)
    found, open_parts, deadline = {}, {(part.topic, part.partition) for part in parts}, time.monotonic() + 120
    while open_parts and time.monotonic() < deadline:
        for message in consumer.consume(5000, 0.5):
            at = (message.topic(), message.partition())
            if message.error():
                check(message.error().code() == ck.KafkaError._PARTITION_EOF, message.error())
                open_parts.discard(at)
            else:
                record = (message.key(), message.value(), message.headers(), message.timestamp())
                found[(*at, message.offset())] = record
    check(not open_parts, "did not end:", open_parts)
    consumer.close()
    return found, ends


def judge(source, target):
    for isolation in ["read_uncommitted", "read_committed"]:
        (theirs, their_ends), (ours, our_ends) = read(source, isolation), read(target, isolation)
        # Delivered after the cut-over.
        check(ours.pop(("codecs", 4, RECORDS))[1] == b"early", "the early record")
        our_ends["codecs", 4] = (our_ends["codecs", 4][0], our_ends["codecs", 4][1] - 1)
        check({at: end for at, (_, end) in their_ends.items()} == {at: end for at, (_, end) in our_ends.items()}, "ends", their_ends, our_ends)
        check(our_ends["late", 0][0] == 137, "log start", our_ends["late", 0])
        # Both sides compact on their own.
        # Killed, Apache Kafka forgets that records were deleted a moment ago; what was copied did not have them.
        has_begun = lambda at: at[2] >= our_ends[at[:2]][0]
        plain = lambda found: {at: record for at, record in found.items() if at[0] != "compacted" and has_begun(at)}
        check(plain(theirs) == plain(ours), isolation, "records differ:", len(theirs), len(ours))
        both = [at for at in theirs if at in ours]
        check(all(theirs[at] == ours[at] for at in both), "records differ")
        newest = lambda found: {(at[1], record[0]): record for at, record in sorted(found.items()) if at[0] == "compacted"}
        check(newest(theirs) == newest(ours), "newest records of keys differ")
        kept = sum(at[0] == "compacted" for at in ours)
        say(isolation=isolation, records=len(ours), compacted=kept, compacted_since=sum(at not in theirs for at in ours))
    aborted = {at for at in read(target, "read_uncommitted")[0] if at[0] == "transactions"} - {
        at for at in read(target, "read_committed")[0] if at[0] == "transactions"
    }
    check(len(aborted) == 4 * 20 * TOPICS["transactions"], "aborted records:", len(aborted))

    admin = cka.AdminClient({"bootstrap.servers": target})
    wanted = {("codecs", "retention.ms"): "-1", ("codecs", "segment.bytes"): "20971520", ("later", "retention.ms"): "-1"}
    wanted["codecs", "max.message.bytes"] = "1048588"  # Kafka's default again.
    for (topic, name), value in wanted.items():
        found = settled(admin.describe_configs([cka.ConfigResource(cka.ResourceType.TOPIC, topic)]))[name].value
        check(found == value, topic, name, found)

    member = ck.Consumer({"bootstrap.servers": target, "group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": "error"})
    offsets = member.committed([ck.TopicPartition("codecs", p) for p in range(5)], timeout=30)
    check([part.offset for part in offsets] == [700, 701, 702, 703, ck.OFFSET_INVALID], "committed", offsets)
    check(offsets[1].metadata == "a note", "metadata", offsets[1].metadata)
    member.subscribe(["transactions"], on_assign=lambda own, parts: own.assign([p for p in parts if p.partition == 1]))
    first = member.poll(60)
    # 100 is in the fifth transaction, which was aborted; its marker is 104.
    check(first is not None and not first.error() and first.offset() == 105, "resumed at", first and (first.error() or first.offset()))
    member.close()


if __name__ == "__main__":
    try:
        {"fill": fill, "live": live, "grow": grow, "early": early, "judge": judge}[sys.argv[1]](*sys.argv[2:])
    except BaseException as error:
        say(passed=False, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        sys.exit(1)
    say(passed=True)
