/**
 * Transactions; see ../python/transactions.py. `Client.transactor(name)` → `begin()`, `send(topic, records)`,
 * `sendOffset(member, offset)` of partition 0, `commit()`, `abort()`, `close()`.
 */
const assert = require('node:assert/strict');
const { plainSet, PARTITIONS } = require('./records');
const { eventually, newTopic, read, suffix, until } = require('./topics');

const numbered = (round) => plainSet(30 * round, 30, PARTITIONS, 50);

/** Each partition holds these records in the order sent; markers take offsets between them. */
async function expect(client, topic, sent, how) {
  const place = ({ partition, key, value }) => `${partition} ${key} ${value}`;
  const found = await read(client, topic, sent.length, how);
  const wanted = [...sent].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  assert.deepEqual(found.map(place), wanted.map(place));
}

/** Aborted records stay unseen; an open transaction holds back what follows it in the partition. */
async function visibility(client, say) {
  const topic = await newTopic(client, 'transactions');
  const producer = await client.transactor(`visibility-${suffix()}`);
  const [first, dropped, second, outside] = [0, 1, 2, 3].map(numbered);
  await producer.begin();
  await producer.send(topic, first);
  await producer.commit();
  await producer.begin();
  await producer.send(topic, dropped);
  await producer.abort();
  await expect(client, topic, first);
  await expect(client, topic, [...first, ...dropped], { readUncommitted: true });
  say({ step: 'aborted' });

  await producer.begin();
  await producer.send(topic, second);
  await client.produce(topic, outside);
  await expect(client, topic, first);
  await producer.commit();
  await expect(client, topic, [...first, ...second, ...outside]);
  await producer.close();
  say({ step: 'open' });
}

/** Read, write and commit the position in one transaction: all of it counts, or nothing. */
async function offsets(client, say) {
  const [source, target] = [await newTopic(client, 'source', 1), await newTopic(client, 'target', 1)];
  const sent = plainSet(0, 100, 1, 50);
  const group = `transactions-${suffix()}`;
  await client.produce(source, sent);
  const producer = await client.transactor(`offsets-${suffix()}`);
  const copy = async (end) => {
    const member = await client.join(group, source);
    await until('the source', [member], () => member.records.length >= sent.length);
    await producer.begin();
    await producer.send(target, member.records);
    await producer.sendOffset(member, sent.length);
    await producer[end]();
    await member.leave();
  };

  await copy('abort');
  assert.equal(await client.committed(group, source), -1);
  say({ step: 'offsets aborted' });
  await copy('commit');
  await eventually('the position', async () => (await client.committed(group, source)) === sent.length);
  await expect(client, target, sent);
  await producer.close();
  say({ step: 'offsets committed' });
}

/** The second producer of a name ends what the first left open and shuts it out. */
async function fencing(client, say) {
  const topic = await newTopic(client, 'fencing');
  const name = `fencing-${suffix()}`;
  const first = await client.transactor(name);
  await first.begin();
  await first.send(topic, numbered(0));
  const second = await client.transactor(name);
  await second.begin();
  await second.send(topic, numbered(1));
  const goOn = async () => {
    await first.send(topic, numbered(2));
    await first.commit();
  };
  await assert.rejects(goOn, /fenced|epoch/i);
  await second.commit();
  await expect(client, topic, numbered(1));
  await second.close();
  say({ step: 'fenced' });
}

module.exports = async function transactions(client, say) {
  await visibility(client, say);
  await offsets(client, say);
  await fencing(client, say);
};
