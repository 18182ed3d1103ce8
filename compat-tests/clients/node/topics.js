/** Topics with kafkajs: made, filled, and read by members of groups. */
const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const codecs = require('./codecs');
const { PARTITIONS, pairs, byPlace } = require('./records');

const WAIT_MS = 60_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const suffix = () => randomUUID().slice(0, 8);

async function eventually(what, question) {
  const deadline = Date.now() + WAIT_MS;
  while (!(await question())) {
    assert(Date.now() < deadline, `not in time: ${what}`);
    await sleep(50);
  }
}

async function partitionCount(admin, topic) {
  // Asking by name makes kafkajs create the topic.
  const { topics } = await admin.fetchTopicMetadata();
  return topics.find(({ name }) => name === topic)?.partitions.length;
}

async function newTopic({ admin }, scenario, numPartitions = PARTITIONS) {
  const topic = `${scenario}-${suffix()}`;
  const configEntries = [{ name: 'retention.ms', value: '-1' }];
  await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] });
  await eventually(`topic ${topic}`, async () => (await partitionCount(admin, topic)) === numPartitions);
  // Answered by leaders alone: they are ready.
  const ready = () => admin.fetchTopicOffsets(topic).then(() => true, () => false);
  await eventually(`leaders of ${topic}`, ready);
  return topic;
}

async function produce({ kafka }, topic, records, { codec = 'none', chunk = 1000, ...send } = {}, settings = {}) {
  const producer = kafka.producer(settings);
  await producer.connect();
  for (let i = 0; i < records.length; i += chunk) {
    const messages = records.slice(i, i + chunk).map((record) => ({
      partition: record.partition,
      key: record.key,
      value: record.value,
      headers: headersOf(record.headers),
      timestamp: `${record.timestampMs}`,
    }));
    await producer.send({ topic, messages, compression: codecs[codec], ...send });
  }
  await producer.disconnect();
}

function headersOf(list) {
  const headers = {};
  for (const [name, value] of list) {
    headers[name] = name in headers ? [headers[name], value].flat() : value;
  }
  return headers;
}

/** A group member that keeps what it reads; `assigned` is its share now. */
async function join({ kafka }, groupId, topic, { autoCommit = false, readUncommitted = false } = {}) {
  const consumer = kafka.consumer({
    groupId,
    readUncommitted,
    sessionTimeout: 10_000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 200,
  });
  const member = { consumer, records: [], assigned: [], error: null };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => (member.assigned = payload.memberAssignment[topic] ?? []));
  // What it restarts after by itself is no failure.
  consumer.on(consumer.events.CRASH, ({ payload }) => (member.error = payload.restart ? null : payload.error));
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommit,
    eachBatch: async ({ batch, resolveOffset }) => {
      for (const message of batch.messages) {
        member.records.push({
          partition: batch.partition,
          offset: Number(message.offset),
          key: message.key,
          value: message.value,
          headers: pairs(message.headers),
          timestampMs: Number(message.timestamp),
        });
        resolveOffset(message.offset);
      }
    },
  });
  return member;
}

async function until(what, members, question) {
  await eventually(what, () => {
    for (const member of members) if (member.error) throw member.error;
    return question();
  });
}

async function read(context, topic, count, how) {
  const member = await join(context, `read-${suffix()}`, topic, how);
  await until(`${count} records`, [member], () => member.records.length >= count);
  await sleep(300);
  await member.consumer.disconnect();
  assert.equal(member.records.length, count);
  return byPlace(member.records);
}

module.exports = { eventually, join, newTopic, partitionCount, produce, read, sleep, suffix, until };
