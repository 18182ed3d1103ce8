"""Transactions through a client library. Besides what scenarios.py names, an adapter module offers
`Client.transactor(name)`, an initialised transactional producer with
`begin()`, `send(records, topic)` that waits for the answers, `send_offsets(consumer, {(topic, partition): offset})`,
`commit()`, `abort()` and `close()`, and `Client.consumer(group, committed=True)`, which reads what is committed.
"""

import re
import uuid

from records import PARTITIONS, plain_set
from scenarios import check, eventually, new_topic, read

GONE = re.compile("fenced|epoch", re.IGNORECASE)


def numbered(round, count=30, partitions=PARTITIONS):
    return plain_set(count, partitions, 50, first=round * count)


def expect(client, topic, sent, committed=True, partitions=PARTITIONS):
    """Each partition holds these records in the order sent; markers take offsets between them."""
    found = read(client, topic, len(sent), {p: 0 for p in range(partitions)}, committed)
    wanted = sorted(sent, key=lambda record: (record.partition, int(record.key)))
    check([(r.partition, r.key, r.value) for r in found] == [(r.partition, r.key, r.value) for r in wanted], found)


def visibility(client, say):
    """Aborted records stay unseen; an open transaction holds back what follows it in the partition."""
    topic = new_topic(client, "transactions")
    producer = client.transactor(f"visibility-{uuid.uuid4().hex[:8]}")
    first, dropped, second, outside = (numbered(round) for round in range(4))
    producer.begin()
    producer.send(first, topic)
    producer.commit()
    producer.begin()
    producer.send(dropped, topic)
    producer.abort()
    expect(client, topic, first)
    expect(client, topic, first + dropped, committed=False)
    say(step="aborted")

    producer.begin()
    producer.send(second, topic)
    client.produce(outside, topic)
    expect(client, topic, first)
    producer.commit()
    expect(client, topic, first + second + outside)
    producer.close()
    say(step="open")


def offsets(client, say):
    """Read, write and commit the position in one transaction: all of it counts, or nothing."""
    source, target = new_topic(client, "source", 1), new_topic(client, "target", 1)
    sent, group = numbered(0, 100, 1), f"transactions-{uuid.uuid4().hex[:8]}"
    client.produce(sent, source)

    def committed():
        consumer = client.consumer(group)
        found = consumer.committed(source, 0)
        consumer.close()
        return found

    def copy(end):
        consumer, found = client.consumer(group, committed=True), []
        consumer.subscribe(source)
        eventually(lambda: found.extend(consumer.poll(1)) or len(found) >= len(sent))
        producer.begin()
        producer.send(found, target)
        producer.send_offsets(consumer, {(source, 0): found[-1].offset + 1})
        end()
        consumer.close()

    producer = client.transactor(f"offsets-{uuid.uuid4().hex[:8]}")
    copy(producer.abort)
    check(committed() is None, "the offset of an aborted transaction:", committed())
    say(step="offsets aborted")
    copy(producer.commit)
    eventually(lambda: committed() == len(sent))
    expect(client, target, sent, partitions=1)
    producer.close()
    say(step="offsets committed")


def fencing(client, say):
    """The second producer of a name ends what the first left open and shuts it out."""
    topic, name = new_topic(client, "fencing"), f"fencing-{uuid.uuid4().hex[:8]}"
    first = client.transactor(name)
    first.begin()
    first.send(numbered(0), topic)
    second = client.transactor(name)
    second.begin()
    second.send(numbered(1), topic)
    # Before the first tries again: kafka-python, shut out, asks for a new epoch behind the scenes, and at
    # times that ends what the second has open (seen with Kafka 4.3.1).
    second.commit()
    try:
        first.send(numbered(2), topic)
        first.commit()
    except Exception as error:
        check(GONE.search(repr(error)), "shut out by", repr(error))
    else:
        check(False, "the first producer was not shut out")
    expect(client, topic, numbered(1))
    second.close()
    say(step="fenced")


def transactions(client, say):
    visibility(client, say)
    offsets(client, say)
    fencing(client, say)
