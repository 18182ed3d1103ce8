"""librdkafka through confluent-kafka."""

import confluent_kafka as ck
from confluent_kafka import admin as cka

from records import Record
from scenarios import WAIT_SECONDS, Refused, check


def built_with(codec):
    try:
        ck.Producer({"compression.type": codec, "log_level": 0})
    except ck.KafkaException:
        return False
    return True


class Client:
    codecs = tuple(filter(built_with, ("none", "gzip", "snappy", "lz4", "zstd")))
    null_headers = True

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = cka.AdminClient({"bootstrap.servers": bootstrap})

    def produce(self, records, topic, codec="none", acks="all", idempotent=False, batch_bytes=None):
        config = {
            "bootstrap.servers": self.bootstrap,
            "compression.type": codec,
            "acks": acks,
            "enable.idempotence": idempotent,
            "max.in.flight": 5 if idempotent else 1,  # A retry may not overtake: order is checked.
            "linger.ms": 5,
        }
        if batch_bytes:
            config |= {"batch.size": batch_bytes, "batch.num.messages": 100_000}
        producer = ck.Producer(config)
        offsets, errors = [None] * len(records), []

        def delivered(index):
            def callback(error, message):
                errors.append(error) if error else None
                offsets[index] = message.offset()

            return callback

        for index, record in enumerate(records):
            producer.produce(
                topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
                timestamp=record.timestamp_ms,
                on_delivery=delivered(index),
            )
            producer.poll(0)
        check(producer.flush(WAIT_SECONDS) == 0, "records still in the queue")
        check(not errors, "delivery errors", errors[:3])
        return offsets

    def transactor(self, name):
        return Transactor(self.bootstrap, name)

    def consumer(self, group=None, committed=False):
        return Consumer(self.bootstrap, group, committed)

    def bounds(self, topic, partition):
        consumer = Consumer(self.bootstrap, None)
        return consumer.inner.get_watermark_offsets(ck.TopicPartition(topic, partition), timeout=WAIT_SECONDS)

    def offset_for_time(self, topic, partition, ms):
        consumer = Consumer(self.bootstrap, None)
        at = ck.TopicPartition(topic, partition, ms)
        (found,) = consumer.inner.offsets_for_times([at], timeout=WAIT_SECONDS)
        return found.offset if found.offset >= 0 else None

    def create_topic(self, topic, partitions, configs):
        spec = cka.NewTopic(topic, num_partitions=partitions, replication_factor=1, config=configs)
        result(self.admin.create_topics([spec]))

    def delete_topic(self, topic):
        result(self.admin.delete_topics([topic]))

    def create_partitions(self, topic, count):
        result(self.admin.create_partitions([cka.NewPartitions(topic, count)]))

    def partition_count(self, topic):
        # Asking by name would create the topic.
        found = self.admin.list_topics(timeout=WAIT_SECONDS).topics.get(topic)
        return len(found.partitions) if found else None

    def topic_configs(self, topic):
        found = result(self.admin.describe_configs([cka.ConfigResource(cka.ResourceType.TOPIC, topic)]))
        return {name: entry.value for name, entry in found.items()}

    def alter_topic_configs(self, topic, changes):
        entries = [
            cka.ConfigEntry(
                name,
                value,
                incremental_operation=cka.AlterConfigOpType.DELETE if value is None else cka.AlterConfigOpType.SET,
            )
            for name, value in changes.items()
        ]
        resource = cka.ConfigResource(cka.ResourceType.TOPIC, topic, incremental_configs=entries)
        result(self.admin.incremental_alter_configs([resource]))

    def cluster(self):
        found = self.admin.describe_cluster().result(WAIT_SECONDS)
        return [node.id for node in found.nodes], found.controller.id

    def groups(self):
        return [group.group_id for group in self.admin.list_consumer_groups().result(WAIT_SECONDS).valid]

    def describe_group(self, group):
        found = result(self.admin.describe_consumer_groups([group]))
        return found.state.name.title(), len(found.members)

    def close(self):
        """The library closes its admin client itself."""


class Transactor:
    def __init__(self, bootstrap, name):
        self.inner = ck.Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "linger.ms": 5})
        self.inner.init_transactions(WAIT_SECONDS)
        self.begin = self.inner.begin_transaction

    def send(self, records, topic):
        errors = []

        def delivered(error, _):
            errors.append(error) if error else None

        for record in records:
            self.inner.produce(
                topic, key=record.key, value=record.value, partition=record.partition, on_delivery=delivered
            )
        check(self.inner.flush(WAIT_SECONDS) == 0, "records still in the queue")
        if errors:
            raise ck.KafkaException(errors[0])

    def send_offsets(self, consumer, offsets):
        positions = [ck.TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
        group = consumer.inner.consumer_group_metadata()
        self.inner.send_offsets_to_transaction(positions, group, WAIT_SECONDS)

    def commit(self):
        self.inner.commit_transaction(WAIT_SECONDS)

    def abort(self):
        self.inner.abort_transaction(WAIT_SECONDS)

    def close(self):
        """The library closes its producer itself."""


class Consumer:
    def __init__(self, bootstrap, group, committed=False):
        self.inner = ck.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group or "unused",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 500,
                "isolation.level": "read_committed" if committed else "read_uncommitted",
            }
        )

    def assign(self, topic, starts):
        self.inner.assign([ck.TopicPartition(topic, p, offset) for p, offset in starts.items()])

    def subscribe(self, topic):
        self.inner.subscribe([topic])

    def poll(self, seconds):
        found = []
        for message in self.inner.consume(num_messages=10_000, timeout=seconds):
            if message.error():
                raise ck.KafkaException(message.error())
            found.append(
                Record(
                    message.partition(),
                    message.offset(),
                    message.key(),
                    message.value(),
                    tuple(message.headers() or ()),
                    message.timestamp()[1],
                )
            )
        return found

    def assignment(self):
        return {at.partition for at in self.inner.assignment()}

    def seek(self, topic, partition, offset):
        self.inner.seek(ck.TopicPartition(topic, partition, offset))

    def position(self, topic, partition):
        (found,) = self.inner.position([ck.TopicPartition(topic, partition)])
        # Before the first record after a seek the library knows no position: read one.
        return found.offset if found.offset >= 0 else self.poll(5)[0].offset

    def commit(self, offsets=None):
        if offsets is not None:
            positions = [ck.TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
            self.inner.commit(offsets=positions, asynchronous=False)
            return
        try:
            self.inner.commit(asynchronous=False)
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError._NO_OFFSET:
                raise

    def committed(self, topic, partition):
        (found,) = self.inner.committed([ck.TopicPartition(topic, partition)], timeout=WAIT_SECONDS)
        return found.offset if found.offset >= 0 else None

    def close(self):
        self.inner.close()


def result(futures):
    (future,) = futures.values()
    try:
        return future.result(WAIT_SECONDS)
    except ck.KafkaException as error:
        raise Refused(error.args[0].code(), error.args[0].str()) from error
