/** The scenarios of ../python/scenarios.py with kafkajs, whose old API versions are what we want tested. */
const assert = require('node:assert/strict');
const { EPOCH_MS, PARTITIONS, standardSet, plainSet, expectSame, digest } = require('./records');
const { eventually, join, newTopic, partitionCount, produce, read, sleep, suffix, until } = require('./topics');
const codecs = require('./codecs');
const transactions = require('./transactions');

async function roundtrip(context) {
  for (const codec of Object.keys(codecs)) {
    const topic = await newTopic(context, 'roundtrip');
    const sent = withoutNullHeaders(standardSet());
    await produce(context, topic, sent, { codec });
    const found = await read(context, topic, sent.length);
    expectSame(found, sent);
    context.say({ codec, topic, records: found.length, digest: digest(found) });
  }
}

/** kafkajs reads null header values but fails on writing one. */
function withoutNullHeaders(records) {
  return records.map((record) => ({ ...record, headers: record.headers.filter(([, value]) => value !== null) }));
}

async function readDigest(context, topic) {
  context.say({ topic, digest: digest(await read(context, topic, standardSet().length)) });
}

async function batches(context) {
  const topic = await newTopic(context, 'batches');
  const sent = plainSet(0, 20_000, PARTITIONS, 200);
  await produce(context, topic, sent, { codec: 'gzip', chunk: 10_000 });
  expectSame(await read(context, topic, sent.length), sent);
}

/** One topic, acks=0 last: it would lose what is sent before a new topic's leader is ready. */
async function acks(context) {
  const topic = await newTopic(context, 'acks');
  for (const [round, level] of [-1, 1, 0].entries()) {
    await produce(context, topic, plainSet(round * 300, 300, PARTITIONS, 100), { acks: level });
    const sent = plainSet(0, (round + 1) * 300, PARTITIONS, 100);
    expectSame(await read(context, topic, sent.length), sent);
    context.say({ acks: level });
  }
}

async function idempotent(context) {
  const topic = await newTopic(context, 'idempotent');
  const sent = plainSet(0, 10_000, PARTITIONS, 100);
  await produce(context, topic, sent, { chunk: 300 }, { idempotent: true });
  expectSame(await read(context, topic, sent.length), sent);
}

async function autocreate(context) {
  const topic = `autocreate-${suffix()}`;
  const sent = plainSet(0, 10, 1, 100);
  await produce(context, topic, sent, {}, { allowAutoTopicCreation: true });
  expectSame(await read(context, topic, sent.length), sent);
}

async function offsets(context) {
  const { admin, say } = context;
  const topic = await newTopic(context, 'offsets', 1);
  const sent = plainSet(0, 100, 1, 50);
  await produce(context, topic, sent);
  const [bounds] = await admin.fetchTopicOffsets(topic);
  assert.deepEqual([bounds.low, bounds.high], ['0', '100']);
  // For a time after the last record kafkajs answers with the end.
  for (const [ms, offset] of [[1, '0'], [EPOCH_MS + 41, '41'], [EPOCH_MS + 1000, '100']]) {
    assert.deepEqual(await admin.fetchTopicOffsetsByTimestamp(topic, ms), [{ partition: 0, offset }]);
  }
  say({ step: 'times' });

  const groupId = `offsets-${suffix()}`;
  const committed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset;
  assert.equal(await committed(), '-1');
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '70' }] });
  assert.equal(await committed(), '70');
  const member = await join(context, groupId, topic);
  await until('the rest', [member], () => member.records.length >= 30);
  assert.equal(member.records[0].offset, 70);
  member.records.length = 0;
  member.consumer.seek({ topic, partition: 0, offset: '60' });
  await until('records after seek', [member], () => member.records.length >= 40);
  assert.equal(member.records[0].offset, 60);
  await member.consumer.commitOffsets([{ topic, partition: 0, offset: '85' }]);
  await member.consumer.disconnect();
  assert.equal(await committed(), '85');
  say({ step: 'committed' });
}

async function group(context) {
  const partitions = 4;
  const topic = await newTopic(context, 'group', partitions);
  const name = `group-${suffix()}`;
  const keys = (...members) => new Set(members.flatMap(({ records }) => records.map(({ key }) => `${key}`)));

  const alone = await join(context, name, topic, { autoCommit: true });
  await until('all partitions', [alone], () => alone.assigned.length === partitions);
  const other = await join(context, name, topic, { autoCommit: true });
  await until('an even split', [alone, other], () => alone.assigned.length === 2 && other.assigned.length === 2);
  await produce(context, topic, plainSet(0, 400, partitions, 50));
  await until('all records', [alone, other], () => keys(alone, other).size === 400);
  assert.equal(alone.records.length + other.records.length, 400);
  assert(other.records.length > 0);
  context.say({ step: 'split', shares: [alone.records.length, other.records.length] });

  await other.consumer.disconnect();
  await until('all partitions again', [alone], () => alone.assigned.length === partitions);
  await produce(context, topic, plainSet(400, 400, partitions, 50));
  await until('the rest', [alone], () => keys(alone, other).size === 800);
  await alone.consumer.disconnect();
  context.say({ step: 'left' });

  const missed = plainSet(800, 100, partitions, 50);
  await produce(context, topic, missed);
  const resumed = await join(context, name, topic, { autoCommit: true });
  await until('missed records', [resumed], () => keys(resumed).size >= 100);
  await sleep(300);
  await resumed.consumer.disconnect();
  assert.equal(resumed.records.length, 100);
  assert.deepEqual(keys(resumed), new Set(missed.map(({ key }) => `${key}`)));
  context.say({ step: 'resumed' });
}

async function admin(context) {
  const { admin, say } = context;
  const missing = `missing-${suffix()}`;
  const topic = await newTopic(context, 'admin', 2);

  const create = async (topic, numPartitions, entries = {}) => {
    const configEntries = Object.entries(entries).map(([name, value]) => ({ name, value }));
    // A name that is taken is no error to kafkajs, it answers false.
    if (!(await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] }))) throw { code: 36 };
  };
  await refused(36, () => create(topic, 2));
  await refused(17, () => create('not a name', 1));
  await refused(37, () => create(missing, 0));
  await refused(40, () => create(missing, 1, { 'no.such.config': '1' }));
  await refused(3, () => admin.deleteTopics({ topics: [missing] }));
  say({ step: 'topics' });

  const grow = (topic, count) => admin.createPartitions({ topicPartitions: [{ topic, count }] });
  await grow(topic, 5);
  await eventually('5 partitions', async () => (await partitionCount(admin, topic)) === 5);
  await refused(37, () => grow(topic, 4));
  await refused(3, () => grow(missing, 4));
  say({ step: 'partitions' });

  const describe = async (name) => {
    const { resources } = await admin.describeConfigs({ resources: [{ type: 2, name }], includeSynonyms: true });
    return Object.fromEntries(resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]));
  };
  assert.equal((await describe(topic))['retention.ms'], '-1');
  assert.equal((await describe(topic))['cleanup.policy'], 'delete');
  await refused(3, () => describe(missing));
  say({ step: 'describe_configs' });

  const cluster = await admin.describeCluster();
  assert.equal(cluster.brokers.length, 1);
  assert.equal(cluster.controller, cluster.brokers[0].nodeId);
  say({ step: 'cluster' });

  const name = `admin-${suffix()}`;
  const member = await join(context, name, topic);
  await until('an assignment', [member], () => member.assigned.length === 5);
  const describeGroup = async () => (await admin.describeGroups([name])).groups[0];
  assert((await admin.listGroups()).groups.some(({ groupId }) => groupId === name));
  assert.equal((await describeGroup()).state, 'Stable');
  assert.equal((await describeGroup()).members.length, 1);
  await refused(68, () => admin.deleteGroups([name]));
  await member.consumer.disconnect();
  await eventually('an empty group', async () => ['Empty', 'Dead'].includes((await describeGroup()).state));
  say({ step: 'groups' });

  await admin.deleteTopics({ topics: [topic] });
  await eventually('topic gone', async () => (await partitionCount(admin, topic)) === undefined);
  say({ step: 'delete' });
}

async function refused(code, call) {
  try {
    await call();
  } catch (error) {
    // kafkajs wraps by kind of call: aggregates, groups, retries used up.
    const cause = error.errors?.[0] ?? error.groups?.[0]?.error ?? error.cause ?? error;
    assert.equal(cause.code ?? error.groups?.[0]?.errorCode, code, `${cause}`);
    return;
  }
  assert.fail(`not refused with ${code}`);
}

module.exports = {
  roundtrip,
  digest: readDigest,
  batches,
  acks,
  idempotent,
  autocreate,
  offsets,
  group,
  admin,
  transactions,
};
