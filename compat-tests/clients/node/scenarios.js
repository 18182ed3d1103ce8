/**
 * The scenarios of ../python/scenarios.py, in terms of what each of the libraries here offers:
 *
 * `open(bootstrap)` → Client: `codecs`; `carries(record)`, what becomes of one; `produce(topic, records, how)`;
 *   `join(group, topic, how)` → Member; `transactor(name)` for transactions.js; `bounds(topic)`;
 *   `offsetsForTime(topic, ms)`; `commit(group, topic, offset)` and `committed(group, topic)` of partition 0;
 *   `createTopic`, `deleteTopic`, `partitionCount`, `groups`, `describeGroup`, `deleteGroup`; `close()`. Where a library
 *   can: `grow(topic, count)`, `configs(topic)`, `cluster()`, `deleteRecords(topic, offset)`.
 * Member, of a group: `records` it has read, `assigned` partitions, `error`; `seek`, `commit(partition, offset)`, `leave()`.
 */
const assert = require('node:assert/strict');
const { EPOCH_MS, PARTITIONS, standardSet, plainSet, expectSame, digest } = require('./records');
const { eventually, newTopic, read, sleep, suffix, until } = require('./topics');
const transactions = require('./transactions');

async function roundtrip(client, say) {
  for (const codec of client.codecs) {
    const topic = await newTopic(client, 'roundtrip');
    const sent = standardSet().map(client.carries);
    await client.produce(topic, sent, { codec });
    const found = await read(client, topic, sent.length);
    expectSame(found, sent);
    say({ codec, topic, records: found.length, digest: digest(found) });
  }
}

async function readDigest(client, say, topic) {
  say({ topic, digest: digest(await read(client, topic, standardSet().length)) });
}

async function batches(client) {
  const topic = await newTopic(client, 'batches');
  const sent = plainSet(0, 20_000, PARTITIONS, 200);
  await client.produce(topic, sent, { codec: 'gzip', chunk: 10_000 });
  expectSame(await read(client, topic, sent.length), sent);
}

/** One topic, acks=0 last: it would lose what is sent before a new topic's leader is ready. */
async function acks(client, say) {
  const topic = await newTopic(client, 'acks');
  for (const [round, level] of [-1, 1, 0].entries()) {
    await client.produce(topic, plainSet(round * 300, 300, PARTITIONS, 100), { acks: level });
    const sent = plainSet(0, (round + 1) * 300, PARTITIONS, 100);
    expectSame(await read(client, topic, sent.length), sent);
    say({ acks: level });
  }
}

async function idempotent(client) {
  const topic = await newTopic(client, 'idempotent');
  const sent = plainSet(0, 10_000, PARTITIONS, 100);
  await client.produce(topic, sent, { chunk: 300, idempotent: true });
  expectSame(await read(client, topic, sent.length), sent);
}

async function autocreate(client) {
  const topic = `autocreate-${suffix()}`;
  const sent = plainSet(0, 10, 1, 100);
  await client.produce(topic, sent, { autocreate: true });
  expectSame(await read(client, topic, sent.length), sent);
}

async function offsets(client, say) {
  const topic = await newTopic(client, 'offsets', 1);
  const sent = plainSet(0, 100, 1, 50);
  await client.produce(topic, sent);
  const [bounds] = await client.bounds(topic);
  assert.deepEqual([bounds.low, bounds.high], ['0', '100']);
  // For a time after the last record the answer is the end.
  for (const [ms, offset] of [[1, '0'], [EPOCH_MS + 41, '41'], [EPOCH_MS + 1000, '100']]) {
    assert.deepEqual(await client.offsetsForTime(topic, ms), [{ partition: 0, offset }]);
  }
  say({ step: 'times' });

  const group = `offsets-${suffix()}`;
  assert.equal(await client.committed(group, topic), -1);
  await client.commit(group, topic, 70);
  assert.equal(await client.committed(group, topic), 70);
  const member = await client.join(group, topic);
  await until('the rest', [member], () => member.records.length >= 30);
  assert.equal(member.records[0].offset, 70);
  member.records.length = 0;
  await member.seek(0, 60);
  await until('records after seek', [member], () => member.records.length >= 40);
  assert.equal(member.records[0].offset, 60);
  await member.commit(0, 85);
  await member.leave();
  assert.equal(await client.committed(group, topic), 85);
  say({ step: 'committed' });
}

/** Two records with a long way before each, past which the library has to come. */
async function view(client, say, topic) {
  for (const readUncommitted of [true, false]) {
    const started = Date.now();
    const found = await read(client, topic, 2, { readUncommitted });
    const offsets = found.map(({ offset }) => offset);
    say({ committed: !readUncommitted, offsets: JSON.stringify(offsets), seconds: (Date.now() - started) / 1000 });
  }
}

async function group(client, say) {
  const partitions = 4;
  const topic = await newTopic(client, 'group', partitions);
  const name = `group-${suffix()}`;
  const join = () => client.join(name, topic, { autoCommit: true });
  const keys = (...members) => new Set(members.flatMap(({ records }) => records.map(({ key }) => `${key}`)));

  const alone = await join();
  await until('all partitions', [alone], () => alone.assigned.length === partitions);
  const other = await join();
  await until('an even split', [alone, other], () => alone.assigned.length === 2 && other.assigned.length === 2);
  await client.produce(topic, plainSet(0, 400, partitions, 50));
  await until('all records', [alone, other], () => keys(alone, other).size === 400);
  assert.equal(alone.records.length + other.records.length, 400);
  assert(other.records.length > 0);
  say({ step: 'split', shares: [alone.records.length, other.records.length] });

  await other.leave();
  await until('all partitions again', [alone], () => alone.assigned.length === partitions);
  await client.produce(topic, plainSet(400, 400, partitions, 50));
  await until('the rest', [alone], () => keys(alone, other).size === 800);
  await alone.leave();
  say({ step: 'left' });

  const missed = plainSet(800, 100, partitions, 50);
  await client.produce(topic, missed);
  const resumed = await join();
  await until('missed records', [resumed], () => keys(resumed).size >= 100);
  await sleep(300);
  await resumed.leave();
  assert.equal(resumed.records.length, 100);
  assert.deepEqual(keys(resumed), new Set(missed.map(({ key }) => `${key}`)));
  say({ step: 'resumed' });
}

async function admin(client, say) {
  const missing = `missing-${suffix()}`;
  const topic = await newTopic(client, 'admin', 2);
  const step = async (name, isSupported, body) => {
    if (isSupported) await body();
    say({ step: name, supported: Boolean(isSupported) });
  };

  await step('topics', true, async () => {
    await refused(36, () => client.createTopic(topic, 2, {}));
    await refused(17, () => client.createTopic('not a name', 1, {}));
    await refused(40, () => client.createTopic(missing, 1, { 'no.such.config': '1' }));
    await refused(3, () => client.deleteTopic(missing));
  });
  await step('partitions', client.grow, async () => {
    await client.grow(topic, 5);
    await eventually('5 partitions', async () => (await client.partitionCount(topic)) === 5);
    await refused(37, () => client.grow(topic, 4));
    await refused(3, () => client.grow(missing, 4));
  });
  await step('describe_configs', client.configs, async () => {
    assert.equal((await client.configs(topic))['retention.ms'], '-1');
    assert.equal((await client.configs(topic))['cleanup.policy'], 'delete');
    await refused(3, () => client.configs(missing));
  });
  await step('cluster', client.cluster, async () => {
    const { brokers, controller } = await client.cluster();
    assert.deepEqual(brokers, [controller]);
  });
  await step('delete_records', client.deleteRecords, async () => {
    await client.produce(topic, plainSet(0, 10, 1, 50));
    await client.deleteRecords(topic, 4);
    assert.equal((await client.bounds(topic))[0].low, '4');
    await refused(1, () => client.deleteRecords(topic, 11));
  });
  await step('groups', true, () => groups(client, topic));
  await step('delete', true, async () => {
    await client.deleteTopic(topic);
    await eventually('topic gone', async () => (await client.partitionCount(topic)) === undefined);
  });
}

async function groups(client, topic) {
  const name = `admin-${suffix()}`;
  const member = await client.join(name, topic);
  await until('an assignment', [member], () => member.assigned.length > 0);
  assert((await client.groups()).includes(name));
  assert.deepEqual(await client.describeGroup(name), { state: 'Stable', members: 1 });
  await refused(68, () => client.deleteGroup(name));
  await member.leave();
  await eventually('an empty group', async () => ['Empty', 'Dead'].includes((await client.describeGroup(name)).state));
  await client.deleteGroup(name);
  await refused(69, () => client.deleteGroup(name));
}

async function refused(code, call) {
  try {
    await call();
  } catch (error) {
    // Wrapped by kind of call: aggregates, groups, partitions, retries used up.
    const inner = error.errors?.[0] ?? error.groups?.[0] ?? error.partitions?.[0];
    const cause = inner?.error ?? error.cause ?? inner ?? error;
    assert.equal(cause.code ?? inner?.errorCode, code, `${cause}`);
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
  view,
  transactions,
};
