/** Topics through any of the libraries: made, and read by members of groups. */
const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { PARTITIONS, byPlace } = require('./records');

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

async function newTopic(client, scenario, partitions = PARTITIONS) {
  const topic = `${scenario}-${suffix()}`;
  await client.createTopic(topic, partitions, { 'retention.ms': '-1' });
  await eventually(`topic ${topic}`, async () => (await client.partitionCount(topic)) === partitions);
  // Answered by leaders alone: they are ready.
  const ready = () => client.bounds(topic).then(() => true, () => false);
  await eventually(`leaders of ${topic}`, ready);
  return topic;
}

async function until(what, members, question) {
  await eventually(what, () => {
    for (const member of members) if (member.error) throw member.error;
    return question();
  });
}

/** All of a topic by place, and that no more than `count` records follow. */
async function read(client, topic, count, how) {
  const member = await client.join(`read-${suffix()}`, topic, how);
  await until(`${count} records`, [member], () => member.records.length >= count);
  await sleep(300);
  await member.leave();
  assert.equal(member.records.length, count);
  return byPlace(member.records);
}

module.exports = { WAIT_MS, eventually, newTopic, read, sleep, suffix, until };
