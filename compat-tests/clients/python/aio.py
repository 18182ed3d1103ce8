"""aiokafka: each client lives on an event loop of its own, which runs only inside the calls below."""

import asyncio

import aiokafka
from aiokafka import TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from records import Record
from scenarios import WAIT_SECONDS, Refused


class OnLoop:
    """One aiokafka client and its loop; the client must be made while the loop runs."""

    def __init__(self, make):
        self.loop = asyncio.new_event_loop()

        async def start():
            inner = make()
            await inner.start()
            return inner

        self.inner = self.run(start())

    def run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, WAIT_SECONDS))


class Client:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    null_headers = True

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = OnLoop(lambda: AIOKafkaAdminClient(bootstrap_servers=bootstrap))

    def produce(self, records, topic, codec="none", acks="all", idempotent=False, batch_bytes=16_384):
        async def send_all(producer):
            futures = [
                await producer.send(
                    topic,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                )
                for record in records
            ]
            await producer.flush()
            done = await asyncio.gather(*futures)
            await producer.stop()
            return [metadata and metadata.offset for metadata in done]

        producer = OnLoop(
            lambda: aiokafka.AIOKafkaProducer(
                bootstrap_servers=self.bootstrap,
                compression_type=None if codec == "none" else codec,
                acks=acks,
                enable_idempotence=idempotent,
                linger_ms=5,
                max_batch_size=batch_bytes,
                max_request_size=2 << 20,
            )
        )
        return producer.run(send_all(producer.inner))

    def transactor(self, name):
        return Transactor(self.bootstrap, name)

    def consumer(self, group=None, committed=False):
        return Consumer(self.bootstrap, group, committed)

    def bounds(self, topic, partition):
        at, consumer = TopicPartition(topic, partition), Consumer(self.bootstrap, None)
        found = (
            consumer.run(consumer.inner.beginning_offsets([at]))[at],
            consumer.run(consumer.inner.end_offsets([at]))[at],
        )
        consumer.close()
        return found

    def offset_for_time(self, topic, partition, ms):
        at, consumer = TopicPartition(topic, partition), Consumer(self.bootstrap, None)
        found = consumer.run(consumer.inner.offsets_for_times({at: ms}))[at]
        consumer.close()
        return found and found.offset

    def ask(self, method, *arguments):
        try:
            return self.admin.run(getattr(self.admin.inner, method)(*arguments))
        except errors.BrokerResponseError as error:
            raise Refused(error.errno, str(error)) from error

    def create_topic(self, topic, partitions, configs):
        spec = NewTopic(topic, partitions, 1, topic_configs=configs)
        refuse_first(self.ask("create_topics", [spec]).topic_errors)

    def delete_topic(self, topic):
        refuse_first(self.ask("delete_topics", [topic]).topic_error_codes)

    def create_partitions(self, topic, count):
        self.ask("create_partitions", {topic: NewPartitions(count)})

    def partition_count(self, topic):
        # Asking by name would create the topic.
        found = {each["topic"]: each for each in self.ask("describe_topics")}.get(topic)
        return len(found["partitions"]) if found else None

    def topic_configs(self, topic):
        (answer,) = self.ask("describe_configs", [ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((code, message, _, _, entries),) = answer.resources
        if code:
            raise Refused(code, message)
        return {entry[0]: entry[1] for entry in entries}

    def alter_topic_configs(self, topic, changes):
        raise NotImplementedError("only the request that replaces all configs")

    def cluster(self):
        found = self.ask("describe_cluster")
        return [broker["node_id"] for broker in found["brokers"]], found["controller_id"]

    def groups(self):
        return [group[0] for group in self.ask("list_consumer_groups")]

    def describe_group(self, group):
        (answer,) = self.ask("describe_consumer_groups", [group])
        _, _, state, _, _, members, *_ = answer.groups[0]
        return state, len(members)

    def close(self):
        self.admin.run(self.admin.inner.close())


class Transactor(OnLoop):
    def __init__(self, bootstrap, name):
        super().__init__(
            lambda: aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name, linger_ms=5)
        )

    def begin(self):
        self.run(self.inner.begin_transaction())

    def send(self, records, topic):
        async def send_all():
            futures = [
                await self.inner.send(topic, key=record.key, value=record.value, partition=record.partition)
                for record in records
            ]
            await asyncio.gather(*futures)

        self.run(send_all())

    def send_offsets(self, consumer, offsets):
        positions = {TopicPartition(*at): offset for at, offset in offsets.items()}
        self.run(self.inner.send_offsets_to_transaction(positions, consumer.group))

    def commit(self):
        self.run(self.inner.commit_transaction())

    def abort(self):
        self.run(self.inner.abort_transaction())

    def close(self):
        self.run(self.inner.stop())


class Consumer(OnLoop):
    def __init__(self, bootstrap, group, committed=False):
        self.group = group
        super().__init__(
            lambda: aiokafka.AIOKafkaConsumer(
                bootstrap_servers=bootstrap,
                group_id=group,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                session_timeout_ms=10_000,
                heartbeat_interval_ms=500,
                isolation_level="read_committed" if committed else "read_uncommitted",
            )
        )

    def poll(self, seconds):
        found = self.run(self.inner.getmany(timeout_ms=int(seconds * 1000), max_records=10_000))
        return [
            Record(m.partition, m.offset, m.key, m.value, tuple(m.headers), m.timestamp)
            for messages in found.values()
            for m in messages
        ]

    def now(self, method, *arguments):
        """Calls a method that is no coroutine and yet wants a running loop."""

        async def on_loop():
            method(*arguments)

        self.run(on_loop())

    def assign(self, topic, starts):
        self.now(self.inner.assign, [TopicPartition(topic, p) for p in starts])
        for partition, offset in starts.items():
            self.seek(topic, partition, offset)

    def subscribe(self, topic):
        self.now(self.inner.subscribe, [topic])

    def assignment(self):
        return {at.partition for at in self.inner.assignment()}

    def seek(self, topic, partition, offset):
        self.now(self.inner.seek, TopicPartition(topic, partition), offset)

    def position(self, topic, partition):
        return self.run(self.inner.position(TopicPartition(topic, partition)))

    def commit(self, offsets=None):
        self.run(self.inner.commit(offsets and {TopicPartition(*at): o for at, o in offsets.items()}))

    def committed(self, topic, partition):
        return self.run(self.inner.committed(TopicPartition(topic, partition)))

    def close(self):
        self.run(self.inner.stop())


def refuse_first(answers):
    for _, code, *_ in answers:
        if code:
            raise Refused(code)
