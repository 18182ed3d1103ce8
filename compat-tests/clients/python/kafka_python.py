"""kafka-python: a wire implementation of its own, with synchronous clients."""

import re

import kafka
from kafka import admin as ka
from kafka import errors

from records import Record
from scenarios import WAIT_SECONDS, Refused


class Client:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    null_headers = False

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = ka.KafkaAdminClient(bootstrap_servers=bootstrap)

    def produce(self, records, topic, codec="none", acks="all", idempotent=False, batch_bytes=16_384):
        producer = kafka.KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks=acks,
            enable_idempotence=idempotent,
            max_in_flight_requests_per_connection=5 if idempotent else 1,
            linger_ms=5,
            batch_size=batch_bytes,
            max_block_ms=WAIT_SECONDS * 1000,
        )
        futures = [
            producer.send(
                topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        producer.flush(WAIT_SECONDS)
        offsets = [future.get(WAIT_SECONDS).offset for future in futures]
        producer.close()
        return offsets

    def transactor(self, name):
        return Transactor(self.bootstrap, name)

    def consumer(self, group=None, committed=False):
        return Consumer(self.bootstrap, group, committed)

    def bounds(self, topic, partition):
        at = kafka.TopicPartition(topic, partition)
        consumer = Consumer(self.bootstrap, None).inner
        return consumer.beginning_offsets([at])[at], consumer.end_offsets([at])[at]

    def offset_for_time(self, topic, partition, ms):
        at = kafka.TopicPartition(topic, partition)
        found = Consumer(self.bootstrap, None).inner.offsets_for_times({at: ms})[at]
        return found.offset if found and found.offset >= 0 else None

    def create_topic(self, topic, partitions, configs):
        spec = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        ask(self.admin.create_topics, {topic: spec})

    def delete_topic(self, topic):
        ask(self.admin.delete_topics, [topic])

    def create_partitions(self, topic, count):
        ask(self.admin.create_partitions, {topic: count})

    def partition_count(self, topic):
        (found,) = self.admin.describe_topics([topic])
        return len(found["partitions"]) if found["error_code"] == 0 else None

    def topic_configs(self, topic):
        resource = ka.ConfigResource(ka.ConfigResourceType.TOPIC, topic)
        found = ask(self.admin.describe_configs, [resource], config_filter="all")["topic"][topic]
        if not found:
            raise Refused(3, "(the library drops the code and answers with no configs)")
        return {name: entry["value"] for name, entry in found.items()}

    def alter_topic_configs(self, topic, changes):
        entries = {name: ("DELETE" if value is None else "SET", value) for name, value in changes.items()}
        resource = ka.ConfigResource(ka.ConfigResourceType.TOPIC, topic, entries)
        answer = ask(self.admin.alter_configs, [resource], raise_on_unknown=False, incremental=True)
        if refusal := re.match(r"\[Error (\d+)\]", answer["topic"][topic]):
            raise Refused(int(refusal[1]), answer["topic"][topic])

    def cluster(self):
        found = self.admin.describe_cluster()
        return [broker["broker_id"] for broker in found["brokers"]], found["controller_id"]

    def groups(self):
        return [group["group_id"] for group in self.admin.list_groups()]

    def describe_group(self, group):
        found = self.admin.describe_groups([group])[group]
        return found["group_state"], len(found["members"])

    def close(self):
        self.admin.close()


class Transactor:
    def __init__(self, bootstrap, name):
        self.inner = kafka.KafkaProducer(bootstrap_servers=bootstrap, transactional_id=name, linger_ms=5)
        self.inner.init_transactions()
        self.begin = self.inner.begin_transaction
        self.commit, self.abort = self.inner.commit_transaction, self.inner.abort_transaction
        self.close = self.inner.close

    def send(self, records, topic):
        futures = [
            self.inner.send(topic, key=record.key, value=record.value, partition=record.partition)
            for record in records
        ]
        self.inner.flush(WAIT_SECONDS)
        for future in futures:
            future.get(WAIT_SECONDS)

    def send_offsets(self, consumer, offsets):
        self.inner.send_offsets_to_transaction(positions(offsets), consumer.inner.group_metadata())


class Consumer:
    def __init__(self, bootstrap, group, committed=False):
        self.inner = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=500,
            isolation_level="read_committed" if committed else "read_uncommitted",
        )

    def assign(self, topic, starts):
        self.inner.assign([kafka.TopicPartition(topic, p) for p in starts])
        for partition, offset in starts.items():
            self.seek(topic, partition, offset)

    def subscribe(self, topic):
        self.inner.subscribe([topic])

    def poll(self, seconds):
        found = self.inner.poll(timeout_ms=int(seconds * 1000), max_records=10_000)
        return [
            Record(m.partition, m.offset, m.key, m.value, tuple(m.headers), m.timestamp)
            for messages in found.values()
            for m in messages
        ]

    def assignment(self):
        return {at.partition for at in self.inner.assignment()}

    def seek(self, topic, partition, offset):
        self.inner.seek(kafka.TopicPartition(topic, partition), offset)

    def position(self, topic, partition):
        return self.inner.position(kafka.TopicPartition(topic, partition))

    def commit(self, offsets=None):
        self.inner.commit(offsets and positions(offsets))

    def committed(self, topic, partition):
        return self.inner.committed(kafka.TopicPartition(topic, partition))

    def close(self):
        self.inner.close(autocommit=False)


def positions(offsets):
    return {kafka.TopicPartition(*at): kafka.OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}


def ask(call, *arguments, **options):
    try:
        return call(*arguments, **options)
    except errors.BrokerResponseError as error:
        raise Refused(error.errno, str(error)) from error
