"""Consumes a topic with librdkafka from the first record up to given ends and tallies it.

usage: consume.py BOOTSTRAP TOPIC '{"PARTITION": END, …}'
"""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition

from tally import Tally, tell

SILENCE_S = 30
BATCH = 5000

bootstrap, topic, ends = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
due = sum(ends.values())
consumer = Consumer({
    "bootstrap.servers": bootstrap,
    "group.id": "quickstart",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
})
tally = Tally()
started = last = told = time.monotonic()
consumer.assign([TopicPartition(topic, int(partition), 0) for partition in ends])
while tally.records < due:
    messages = consumer.consume(BATCH, timeout=1)
    now = time.monotonic()
    if messages:
        last = now
    elif now - last > SILENCE_S:
        sys.exit(f"{tally.records} of {due} records came, then none for {SILENCE_S} s")
    for message in messages:
        if message.error():
            sys.exit(str(message.error()))
        tally.add(message)
    if now - told > 0.25:
        told = now
        tell(progress=tally.records)
tell(seconds=time.monotonic() - started, tally=tally.report())
consumer.close()
