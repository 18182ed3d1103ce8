"""Views, with librdkafka: what is made, refused and read of topics that show another one."""

import json
import uuid

import confluent_kafka as ck

from scenarios import Refused, check, eventually, has_leader, read

SCHEMA = {
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "city", "type": "string"},
        {"name": "at", "type": {"struct": [{"name": "x", "type": "int"}, {"name": "y", "type": "int"}]}},
    ]
}
UNKNOWN_TOPIC, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_CONFIG, POLICY_VIOLATION = 3, 17, 37, 40, 44


def table(client, partitions=1):
    name = f"table-{uuid.uuid4().hex[:8]}"
    mode = {"tidelog.table.mode": "inline", "tidelog.table.schema": json.dumps(SCHEMA)}
    client.create_topic(name, partitions, mode | {"retention.ms": "-1"})
    eventually(lambda: all(has_leader(client, name, partition) for partition in range(partitions)))
    return name


def view_of(client, source, partitions=-1, **settings):
    name = f"view-{uuid.uuid4().hex[:8]}"
    configs = {f"tidelog.view.{setting}": text for setting, text in settings.items()}
    client.create_topic(name, partitions, {"tidelog.view.of": source} | configs)
    eventually(lambda: has_leader(client, name, 0))
    return name


def fill(client, topic, values, **settings):
    """Small records in large batches, all in partition 0."""
    defaults = {"compression.type": "lz4", "linger.ms": 50, "batch.size": 1_000_000, "batch.num.messages": 100_000}
    queue = {"queue.buffering.max.messages": 2_000_000}
    producer = ck.Producer({"bootstrap.servers": client.bootstrap} | defaults | queue | settings)
    for n, value in enumerate(values):
        producer.produce(topic, key=b"k%d" % n, value=value, partition=0, headers=[("h", b"1")], timestamp=1_000 + n)
        if n % 10_000 == 0:
            producer.poll(0)
    check(producer.flush(120) == 0, "records still in the queue")


def row(n):
    return b'{"n":%d,"city":"Bergen","at":{"x":1,"y":2}}' % n


def rare_view(client, say, count):
    """A view of two among `count` records, the one in the middle and the last, for the scenario `view`."""
    count = int(count)
    source = table(client)
    fill(client, source, (row(n) for n in range(count)))
    topic = view_of(client, source, filter=f"n = {count // 2} OR n = {count - 1}", columns="n,at.y")
    say(topic=topic, source=source)


def view_contents(client, say):
    """Values are rows as JSON; everything else of a record is as it was; what is no row is left out."""
    source = table(client)
    everything = view_of(client, source)
    some = view_of(client, source, filter="n >= 8", columns="at.y,n")
    fill(client, source, [*(row(n) for n in range(10)), b"not JSON", b'{"n":12,"city":"Oslo"}'])
    found = read(client, everything, 11, {0: 0})
    check([r.offset for r in found] == [*range(10), 11], [r.offset for r in found])
    check(json.loads(found[3].value) == json.loads(row(3)), found[3])
    check(found[-1].value == b'{"n":12,"city":"Oslo","at":null}', found[-1])
    check(all(r.key == b"k%d" % r.offset for r in found), "keys")
    check(all(r.timestamp_ms == 1_000 + r.offset for r in found), "timestamps")
    check(all(r.headers == (("h", b"1"),) for r in found), "headers")
    found = read(client, some, 3, {0: 5}, committed=True)
    check([r.offset for r in found] == [8, 9, 11], [r.offset for r in found])
    check([r.value for r in found] == [b'{"n":8,"at":{"y":2}}', b'{"n":9,"at":{"y":2}}', b'{"n":12,"at":null}'], found)
    check(client.bounds(some, 0) == client.bounds(source, 0) == (0, 12), client.bounds(some, 0))
    check(client.offset_for_time(some, 0, 1_003) == 3, "offset for time")
    say(step="read")

    configs = client.topic_configs(some)
    check(configs["tidelog.view.of"] == source and configs["tidelog.view.columns"] == "at.y,n", configs)
    client.create_partitions(source, 3)
    eventually(lambda: client.partition_count(some) == 3)
    say(step="grown")


def view_transactions(client, say):
    """What is open is not there yet for anybody, what is aborted never."""
    source = table(client)
    view = view_of(client, source)
    producer = ck.Producer({"bootstrap.servers": client.bootstrap, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(60)

    def send(first):
        for n in range(first, first + 10):
            producer.produce(source, value=row(n), partition=0)
        check(producer.flush(60) == 0, "records still in the queue")

    producer.begin_transaction()
    send(0)
    check(client.bounds(source, 0) == (0, 10) and client.bounds(view, 0) == (0, 0), client.bounds(view, 0))
    producer.abort_transaction(60)
    producer.begin_transaction()
    send(10)
    producer.commit_transaction(60)
    eventually(lambda: client.bounds(view, 0) == (0, 22))
    for committed in (False, True):
        found = read(client, view, 10, {0: 0}, committed)
        check([json.loads(r.value)["n"] for r in found] == [*range(10, 20)], found)
    say(step="read")

    producer.begin_transaction()
    send(20)
    refusals = []
    producer.produce(view, value=row(0), partition=0, on_delivery=lambda error, _: refusals.append(error))
    producer.flush(60)
    check(refusals[0] is not None, "a view took a record in a transaction")
    producer.abort_transaction(60)
    say(step="refused")


def view_refusals(client, say):
    """What views are not, with the reason."""

    def refused(code, words, call, *arguments, **settings):
        try:
            call(*arguments, **settings)
        except Refused as refusal:
            check(refusal.code == code and words in str(refusal), refusal, "–", "expected", code, words)
        else:
            check(False, "not refused:", words)

    source = table(client, 2)
    view = view_of(client, source, partitions=2)
    make = {"client": client, "source": source}
    refused(INVALID_PARTITIONS, f"{source} has 2", view_of, **make, partitions=3)
    refused(INVALID_CONFIG, "does not exist", view_of, client, "nowhere")
    refused(INVALID_CONFIG, f"name {source}", view_of, client, view)
    refused(INVALID_CONFIG, "no column", view_of, **make, columns="n,nothing")
    refused(INVALID_CONFIG, "filter", view_of, **make, filter="n =")
    refused(INVALID_CONFIG, "filter", view_of, **make, filter="n = 'a'")
    refused(INVALID_CONFIG, "format", view_of, **make, format="xml")
    plain = f"plain-{uuid.uuid4().hex[:8]}"
    client.create_topic(plain, 1, {})
    refused(INVALID_CONFIG, "no columns", view_of, client, plain)
    change = client.alter_topic_configs
    refused(INVALID_CONFIG, "make a new topic", change, view, {"tidelog.view.filter": "n > 1"})
    refused(INVALID_CONFIG, "make a new topic", change, plain, {"tidelog.view.of": source})
    refused(INVALID_CONFIG, "a view has no records", change, view, {"tidelog.table.mode": "key_value"})
    refused(INVALID_PARTITIONS, source, client.create_partitions, view, 4)
    say(step="settings")

    producer = ck.Producer({"bootstrap.servers": client.bootstrap})
    errors = []
    producer.produce(view, value=row(0), on_delivery=lambda error, _: errors.append(error))
    producer.flush(60)
    check(errors[0] and errors[0].code() == INVALID_TOPIC, errors)
    refused(POLICY_VIOLATION, "", client.delete_topic, source)
    client.delete_topic(view)
    eventually(lambda: client.partition_count(view) is None)
    client.delete_topic(source)
    say(step="records and topics")


SCENARIOS = {
    "rare-view": rare_view,
    "view-contents": view_contents,
    "view-transactions": view_transactions,
    "view-refusals": view_refusals,
}
