/** Transactions with kafkajs; see ../python/transactions.py. */
const assert = require('node:assert/strict');
const { plainSet, PARTITIONS } = require('./records');
const { eventually, join, newTopic, produce, read, suffix, until } = require('./topics');

const numbered = (round) => plainSet(30 * round, 30, PARTITIONS, 50);

/** kafkajs asks for one request at a time where it is to keep order. */
async function transactor({ kafka }, transactionalId) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, retry: { retries: 2 } });
  await producer.connect();
  return producer;
}

const send = (transaction, topic, records) =>
  transaction.send({ topic, messages: records.map(({ partition, key, value }) => ({ partition, key, value })) });

/** Each partition holds these records in the order sent; markers take offsets between them. */
async function expect(context, topic, sent, how) {
  const place = ({ partition, key, value }) => `${partition} ${key} ${value}`;
  const found = await read(context, topic, sent.length, how);
  const wanted = [...sent].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  assert.deepEqual(found.map(place), wanted.map(place));
}

/** Aborted records stay unseen; an open transaction holds back what follows it in the partition. */
async function visibility(context) {
  const topic = await newTopic(context, 'transactions');
  const producer = await transactor(context, `visibility-${suffix()}`);
  const [first, dropped, second, outside] = [0, 1, 2, 3].map(numbered);
  let transaction = await producer.transaction();
  await send(transaction, topic, first);
  await transaction.commit();
  transaction = await producer.transaction();
  await send(transaction, topic, dropped);
  await transaction.abort();
  await expect(context, topic, first);
  await expect(context, topic, [...first, ...dropped], { readUncommitted: true });
  context.say({ step: 'aborted' });

  transaction = await producer.transaction();
  await send(transaction, topic, second);
  await produce(context, topic, outside);
  await expect(context, topic, first);
  await transaction.commit();
  await expect(context, topic, [...first, ...second, ...outside]);
  await producer.disconnect();
  context.say({ step: 'open' });
}

/** Read, write and commit the position in one transaction: all of it counts, or nothing. */
async function offsets(context) {
  const [source, target] = [await newTopic(context, 'source', 1), await newTopic(context, 'target', 1)];
  const sent = plainSet(0, 100, 1, 50);
  const consumerGroupId = `transactions-${suffix()}`;
  await produce(context, source, sent);
  const committed = async () => {
    const [found] = await context.admin.fetchOffsets({ groupId: consumerGroupId, topics: [source] });
    return found.partitions[0].offset;
  };
  const producer = await transactor(context, `offsets-${suffix()}`);
  const copy = async (end) => {
    const member = await join(context, consumerGroupId, source);
    await until('the source', [member], () => member.records.length >= sent.length);
    const transaction = await producer.transaction();
    await send(transaction, target, member.records);
    const topics = [{ topic: source, partitions: [{ partition: 0, offset: `${sent.length}` }] }];
    await transaction.sendOffsets({ consumerGroupId, topics });
    await transaction[end]();
    await member.consumer.disconnect();
  };

  await copy('abort');
  assert.equal(await committed(), '-1');
  context.say({ step: 'offsets aborted' });
  await copy('commit');
  await eventually('the position', async () => (await committed()) === `${sent.length}`);
  await expect(context, target, sent);
  await producer.disconnect();
  context.say({ step: 'offsets committed' });
}

/** The second producer of a name ends what the first left open and shuts it out. */
async function fencing(context) {
  const topic = await newTopic(context, 'fencing');
  const name = `fencing-${suffix()}`;
  const first = await (await transactor(context, name)).transaction();
  await send(first, topic, numbered(0));
  const producer = await transactor(context, name);
  const second = await producer.transaction();
  await send(second, topic, numbered(1));
  const goOn = async () => {
    await send(first, topic, numbered(2));
    await first.commit();
  };
  await assert.rejects(goOn, /fenced|epoch/i);
  await second.commit();
  await expect(context, topic, numbered(1));
  await producer.disconnect();
  context.say({ step: 'fenced' });
}

module.exports = async function transactions(context) {
  await visibility(context);
  await offsets(context);
  await fencing(context);
};
