"""Confluent's own Python serializers and registry client.

    registry.py BOOTSTRAP serializers REGISTRY     Avro, JSON and Protobuf through a topic and back
    registry.py BOOTSTRAP headers REGISTRY         the same with the schema's GUID in a header
    registry.py BOOTSTRAP async REGISTRY           the client and the Avro serializer for asyncio
    registry.py BOOTSTRAP api REGISTRY             every call of the client, and its error codes
    registry.py BOOTSTRAP tables REGISTRY          typed topics in the lake, filled by each serializer
    registry.py BOOTSTRAP remember REGISTRY FILE   writes down all there is, or compares with the file

REGISTRY is HOST:PORT. Prints JSON lines and ends with {"passed": …}.
"""

import asyncio
import json
import os
import sys
import time
import traceback
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import (
    AsyncSchemaRegistryClient,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    header_schema_id_serializer,
    dual_schema_id_deserializer,
)
from confluent_kafka.schema_registry.avro import (
    AsyncAvroDeserializer,
    AsyncAvroSerializer,
    AvroDeserializer,
    AvroSerializer,
)
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PATIENCE_SECONDS = 30

AVRO = json.dumps(
    {
        "type": "record",
        "name": "Order",
        "namespace": "shop",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "note", "type": ["null", "string"], "default": None},
        ],
    }
)
AVRO_NEXT = json.dumps(
    {
        "type": "record",
        "name": "Order",
        "namespace": "shop",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "note", "type": ["null", "string"], "default": None},
            {"name": "count", "type": "int", "default": 1},
        ],
    }
)
AVRO_BROKEN = AVRO.replace('"id", "type": "long"', '"code", "type": "long"')
JSON_SCHEMA = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Order",
        "type": "object",
        "properties": {"id": {"type": "integer"}, "note": {"type": ["string", "null"]}},
        "required": ["id"],
    }
)
# Ids are large: the library takes no value of less than 6 bytes, also where the id is in a header.
ORDERS = [{"id": 10**12 + n, "note": [None, "a", "ü" * 3][n % 3]} for n in range(10)]


def say(**fields):
    print(json.dumps(fields), flush=True)


def expect(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what}: {found!r} is not {expected!r}")


def refused(code, call, *arguments, **named):
    """The call must fail with this error code."""
    try:
        answer = call(*arguments, **named)
    except SchemaRegistryError as error:
        expect(call.__name__, error.error_code, code)
    else:
        raise AssertionError(f"{call.__name__}{arguments} answered {answer!r}")


def protobuf_class():
    """A message that uses one of another file, made without a compiler."""
    label = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.DescriptorPool()
    common = descriptor_pb2.FileDescriptorProto(name="shop/common.proto", package="shop", syntax="proto3")
    note = common.message_type.add(name="Note")
    note.field.add(name="text", number=1, type=label.TYPE_STRING, label=label.LABEL_OPTIONAL)
    order = descriptor_pb2.FileDescriptorProto(name="shop/order.proto", package="shop", syntax="proto3")
    order.dependency.append(common.name)
    message = order.message_type.add(name="Order")
    message.field.add(name="id", number=1, type=label.TYPE_INT64, label=label.LABEL_OPTIONAL)
    message.field.add(
        name="note", number=2, type=label.TYPE_MESSAGE, type_name=".shop.Note", label=label.LABEL_OPTIONAL
    )
    pool.Add(common)
    pool.Add(order)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def to_message(kind):
    def make(order, _):
        message = kind(id=order["id"])
        if order["note"] is not None:
            message.note.text = order["note"]
        return message

    return make


def from_message(message):
    return {"id": message.id, "note": message.note.text if message.HasField("note") else None}


def formats(client, conf, read):
    """Name, serializer and deserializer of each format."""
    kind = protobuf_class()
    make = to_message(kind)
    protobuf = ProtobufSerializer(kind, client, {"use.deprecated.format": False, **conf})
    back = ProtobufDeserializer(kind, {"use.deprecated.format": False, **read}, client)
    return [
        ("avro", AvroSerializer(client, AVRO, conf=conf), AvroDeserializer(client, conf=read)),
        (
            "json",
            JSONSerializer(JSON_SCHEMA, client, conf=conf),
            JSONDeserializer(None, schema_registry_client=client, conf=read),
        ),
        (
            "protobuf",
            lambda order, ctx: protobuf(make(order, ctx), ctx),
            lambda value, ctx: from_message(back(value, ctx)),
        ),
    ]


def carry(bootstrap, topic, records):
    """Produces (value, headers) and answers what a consumer gets."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for value, headers in records:
        producer.produce(topic, value, headers=headers, partition=0)
    expect("records left in the producer", producer.flush(PATIENCE_SECONDS), 0)
    settings = {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, deadline = [], time.monotonic() + PATIENCE_SECONDS
    while len(found) < len(records):
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(found)} of {len(records)} records of {topic} came")
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            found.append((message.value(), message.headers() or []))
    consumer.close()
    return found


def round_trip(bootstrap, client, conf, read, check):
    for name, serialize, deserialize in formats(client, conf, read):
        topic = f"{name}-{uuid.uuid4().hex[:8]}"
        records = []
        for order in ORDERS:
            headers = []
            context = SerializationContext(topic, MessageField.VALUE, headers)
            records.append((serialize(order, context), context.headers))
        found = carry(bootstrap, topic, records)
        latest = client.get_latest_version(f"{topic}-value")
        for order, (value, headers) in zip(ORDERS, found):
            check(value, headers, latest)
            context = SerializationContext(topic, MessageField.VALUE, headers)
            expect(topic, deserialize(value, context), order)
        say(format=name, records=len(found), id=latest.schema_id)


def serializers(bootstrap, url):
    def check(value, _, latest):
        expect("magic and id", value[:5], b"\0" + latest.schema_id.to_bytes(4, "big"))

    client = SchemaRegistryClient({"url": url})
    round_trip(bootstrap, client, {}, {}, check)
    # Another client finds what it never registered.
    fresh = SchemaRegistryClient({"url": url})
    conf = {"auto.register.schemas": False, "use.latest.version": True}
    client.register_schema("known-value", Schema(AVRO, "AVRO"))
    context = SerializationContext("known", MessageField.VALUE)
    value = AvroSerializer(fresh, conf=conf)(ORDERS[1], context)
    expect("read", AvroDeserializer(fresh)(value, context), ORDERS[1])
    references = client.get_latest_version("shop/common.proto")
    expect("type of what is referred to", references.schema.schema_type, "PROTOBUF")


def headers(bootstrap, url):
    def check(_, headers, latest):
        guid = uuid.UUID(latest.guid).bytes
        expect("header", dict(headers)["__value_schema_id"], b"\1" + guid + dict(headers)["__value_schema_id"][17:])

    client = SchemaRegistryClient({"url": url})
    conf = {"schema.id.serializer": header_schema_id_serializer}
    read = {"schema.id.deserializer": dual_schema_id_deserializer}
    round_trip(bootstrap, client, conf, read, check)


def asynchronous(_, url):
    async def run():
        client = AsyncSchemaRegistryClient({"url": url})
        context = SerializationContext("async", MessageField.VALUE)
        serialize = await AsyncAvroSerializer(client, AVRO)
        deserialize = await AsyncAvroDeserializer(client)
        values = await asyncio.gather(*(serialize(order, context) for order in ORDERS))
        for order, value in zip(ORDERS, values):
            expect("read", await deserialize(value, context), order)
        expect("subjects", "async-value" in await client.get_subjects(), True)

    asyncio.run(run())


def api(_, url):
    client = SchemaRegistryClient({"url": url})
    subject = f"api/{uuid.uuid4().hex[:8]} ü"
    first = client.register_schema(subject, Schema(AVRO, "AVRO"))
    expect("again", client.register_schema(subject, Schema(AVRO, "AVRO")), first)
    expect("elsewhere", client.register_schema(subject + "2", Schema(AVRO, "AVRO")), first)
    # Each client remembers, so a new one asks.
    client = SchemaRegistryClient({"url": url})
    expect("by id", json.loads(client.get_schema(first).schema_str), json.loads(AVRO))
    found = client.lookup_schema(subject, Schema(AVRO, "AVRO"))
    expect("looked up", (found.version, found.schema_id), (1, first))
    expect("subjects", {subject, subject + "2"} <= set(client.get_subjects()), True)
    expect("fits", client.test_compatibility(subject, Schema(AVRO_NEXT, "AVRO")), True)
    expect("fits not", client.test_compatibility(subject, Schema(AVRO_BROKEN, "AVRO")), False)
    refused(409, client.register_schema, subject, Schema(AVRO_BROKEN, "AVRO"))
    client.set_compatibility(subject, "NONE")
    expect("level", client.get_compatibility(subject), "NONE")
    second = client.register_schema(subject, Schema(AVRO_BROKEN, "AVRO"))
    expect("versions", client.get_versions(subject), [1, 2])
    expect("latest", client.get_latest_version(subject).schema_id, second)
    expect("version 1", client.get_version(subject, 1).schema_id, first)

    refused(40401, client.get_versions, "none")
    refused(40402, client.get_version, subject, 9)
    refused(40403, client.get_schema, 999_999)
    refused(40403, client.lookup_schema, subject, Schema('"int"', "AVRO"))
    refused(42201, client.register_schema, subject, Schema("{", "AVRO"))
    refused(42203, client.set_compatibility, subject, "SIDEWAYS")

    reference = SchemaReference("shop.Order", subject, 1)
    user = Schema('["null","shop.Order"]', "AVRO", [reference])
    user_id = client.register_schema(subject + "-user", user)
    expect("references", SchemaRegistryClient({"url": url}).get_schema(user_id).references, [reference])
    refused(42206, client.delete_version, subject, 1)
    refused(40405, client.delete_subject, subject + "-user", permanent=True)
    client.delete_subject(subject + "-user")
    client.delete_subject(subject + "-user", permanent=True)
    expect("hidden", client.delete_version(subject, 1), 1)
    expect("gone", client.delete_version(subject, 1, permanent=True), 1)
    expect("subject", client.delete_subject(subject), [2])
    client.delete_subject(subject, permanent=True)
    refused(40401, SchemaRegistryClient({"url": url}).get_versions, subject)


def tables(bootstrap, url):
    """Topics typed-avro, typed-json, typed-protobuf and the same with headers; Avro gets a field more."""
    client = SchemaRegistryClient({"url": url})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    config = {
        "tidelog.table.mode": "value_schema_id_prefix",
        "tidelog.lake.enable": "true",
        "tidelog.lake.target.lag.ms": "1000",
    }
    in_header = {"schema.id.serializer": header_schema_id_serializer}
    for suffix, conf in [("", {}), ("-header", in_header)]:
        for name, serialize, _ in formats(client, conf, {}):
            topic = f"typed-{name}{suffix}"
            admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(30)
            later = []
            if name == "avro":
                serialize_next = AvroSerializer(client, AVRO_NEXT, conf=conf)
                later = [(serialize_next, {"id": 10**12 + 10 + n, "note": None, "count": n}) for n in range(5)]
            records = []
            for write, order in [(serialize, order) for order in ORDERS] + later:
                context = SerializationContext(topic, MessageField.VALUE, [])
                records.append((write(order, context), context.headers))
            carry(bootstrap, topic, records)
            say(topic=topic, records=len(records))


def remember(_, url, path):
    client = SchemaRegistryClient({"url": url})
    found = {}
    for subject in client.get_subjects():
        for version in client.get_versions(subject):
            one = client.get_version(subject, version)
            found[f"{subject} {version}"] = [one.schema_id, one.guid, one.schema.schema_str]
    if not os.path.exists(path):
        with open(path, "w") as file:
            json.dump(found, file)
    with open(path) as file:
        expect("what is there", found, json.load(file))
    expect("something is there", bool(found), True)


SCENARIOS = {
    "serializers": serializers,
    "headers": headers,
    "async": asynchronous,
    "api": api,
    "tables": tables,
    "remember": remember,
}


def main():
    bootstrap, scenario, registry, *arguments = sys.argv[1:]
    try:
        SCENARIOS[scenario](bootstrap, f"http://{registry}", *arguments)
    except Exception as error:
        traceback.print_exc()
        say(passed=False, error=str(error))
        sys.exit(1)
    say(passed=True)


main()
