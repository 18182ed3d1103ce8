/** @confluentinc/kafka-javascript through its events and callbacks, which are node-rdkafka's. */
const { AdminClient, CODES, KafkaConsumer, OffsetSpec, Producer } = require('@confluentinc/kafka-javascript').RdKafka;
const { CODECS, carries, described } = require('./confluent');
const { bytes } = require('./records');
const { WAIT_MS } = require('./topics');

/** A method whose last argument is the callback. */
const ask = (object, method, ...given) =>
  new Promise((resolve, reject) => object[method](...given, (error, found) => (error ? reject(error) : resolve(found))));

class Client {
  constructor(bootstrap) {
    this.settings = { 'bootstrap.servers': bootstrap, log_level: 0 };
    this.admin = AdminClient.create(this.settings);
    this.codecs = CODECS;
    this.carries = carries;
  }

  async produce(topic, records, { codec = 'none', acks = -1, idempotent = false } = {}) {
    const producer = await connected(Producer, {
      ...this.settings,
      acks,
      'compression.codec': codec,
      'enable.idempotence': idempotent,
      'max.in.flight': idempotent ? 5 : 1, // A retry may not overtake: order is checked.
      'linger.ms': 5,
      dr_cb: true,
    });
    await send(producer, topic, records);
    await ask(producer, 'disconnect', WAIT_MS);
  }

  async join(group, topic, { autoCommit = false, readUncommitted = false } = {}) {
    return new Member(await this.consumer(group, autoCommit, readUncommitted), topic);
  }

  consumer(group, autoCommit, readUncommitted) {
    return connected(KafkaConsumer, {
      ...this.settings,
      'group.id': group,
      'auto.offset.reset': 'earliest',
      'enable.auto.commit': autoCommit,
      'isolation.level': readUncommitted ? 'read_uncommitted' : 'read_committed',
      'session.timeout.ms': 10_000,
      'heartbeat.interval.ms': 500,
      'fetch.wait.max.ms': 200,
    });
  }

  async transactor(name) {
    const producer = await connected(Producer, { ...this.settings, 'transactional.id': name, 'linger.ms': 5, dr_cb: true });
    await ask(producer, 'initTransactions', WAIT_MS);
    return new Transactor(producer);
  }

  createTopic(topic, partitions, config) {
    return ask(this.admin, 'createTopic', { topic, num_partitions: partitions, replication_factor: 1, config }, WAIT_MS);
  }

  deleteTopic(topic) {
    return ask(this.admin, 'deleteTopic', topic, WAIT_MS);
  }

  grow(topic, count) {
    return ask(this.admin, 'createPartitions', topic, count, WAIT_MS);
  }

  async partitionCount(topic) {
    const [found] = await ask(this.admin, 'describeTopics', [topic], { timeout: WAIT_MS });
    if (found.error?.code === CODES.ERRORS.ERR_UNKNOWN_TOPIC_OR_PART) return undefined;
    return found.partitions.length;
  }

  async bounds(topic) {
    const [low, high] = [await this.offsets(topic, OffsetSpec.EARLIEST), await this.offsets(topic, OffsetSpec.LATEST)];
    return low.map(({ partition, offset }, at) => ({ partition, low: `${offset}`, high: `${high[at].offset}` }));
  }

  async offsetsForTime(topic, ms) {
    const [found, ends] = [await this.offsets(topic, new OffsetSpec(ms)), await this.offsets(topic, OffsetSpec.LATEST)];
    return found.map(({ partition, offset }, at) => ({ partition, offset: `${offset < 0 ? ends[at].offset : offset}` }));
  }

  async offsets(topic, offset) {
    const count = await this.partitionCount(topic);
    const asked = Array.from({ length: count }, (_, partition) => ({ topic, partition, offset }));
    const found = await ask(this.admin, 'listOffsets', asked, { timeout: WAIT_MS });
    const failed = found.find(({ error }) => error);
    if (failed) throw failed.error;
    return found.sort((a, b) => a.partition - b.partition);
  }

  async deleteRecords(topic, offset) {
    const [done] = await ask(this.admin, 'deleteRecords', [{ topic, partition: 0, offset }], { timeout: WAIT_MS });
    if (done.error) throw done.error;
  }

  async commit(group, topic, offset) {
    const consumer = await this.consumer(group, false, false);
    await ask(consumer, 'commitCb', [{ topic, partition: 0, offset }]);
    await ask(consumer, 'disconnect');
  }

  async committed(groupId, topic) {
    const asked = [{ groupId, partitions: [{ topic, partition: 0 }] }];
    const [found] = await ask(this.admin, 'listConsumerGroupOffsets', asked, { timeout: WAIT_MS });
    // Below zero, or nothing, stands for none.
    return Math.max(-1, found.partitions[0].offset ?? -1);
  }

  async groups() {
    return (await ask(this.admin, 'listGroups', { timeout: WAIT_MS })).groups.map(({ groupId }) => groupId);
  }

  async describeGroup(group) {
    return described(await ask(this.admin, 'describeGroups', [group], { timeout: WAIT_MS }));
  }

  async deleteGroup(group) {
    const [done] = await ask(this.admin, 'deleteGroups', [group], { timeout: WAIT_MS });
    if (done.error) throw done.error;
  }

  close() {
    this.admin.disconnect();
  }
}

/** Polls until it leaves: where messages flow by themselves, leaving may wait for ever for one that is on its way. */
class Member {
  constructor(consumer, topic) {
    Object.assign(this, { consumer, topic, records: [], error: null, isLeaving: false });
    consumer.setDefaultConsumeTimeout(200);
    consumer.subscribe([topic]);
    this.polling = this.poll().catch((error) => (this.error = error));
  }

  async poll() {
    while (!this.isLeaving) {
      for (const message of await ask(this.consumer, 'consume', 1000)) this.keep(message);
    }
  }

  get assigned() {
    return this.consumer.assignments().map(({ partition }) => partition);
  }

  keep(message) {
    this.records.push({
      partition: message.partition,
      offset: message.offset,
      key: bytes(message.key),
      value: message.value,
      headers: (message.headers ?? []).flatMap(Object.entries),
      timestampMs: message.timestamp,
    });
  }

  seek(partition, offset) {
    return ask(this.consumer, 'seek', { topic: this.topic, partition, offset }, WAIT_MS);
  }

  commit(partition, offset) {
    return ask(this.consumer, 'commitCb', [{ topic: this.topic, partition, offset }]);
  }

  async leave() {
    this.isLeaving = true;
    await this.polling;
    await ask(this.consumer, 'disconnect');
  }
}

class Transactor {
  constructor(producer) {
    this.producer = producer;
  }

  begin() {
    return ask(this.producer, 'beginTransaction');
  }

  send(topic, records) {
    const bare = records.map(({ partition, key, value }) => ({ partition, key, value, headers: [] }));
    return send(this.producer, topic, bare);
  }

  sendOffset({ consumer, topic }, offset) {
    return ask(this.producer, 'sendOffsetsToTransaction', [{ topic, partition: 0, offset }], consumer, WAIT_MS);
  }

  commit() {
    return ask(this.producer, 'commitTransaction', WAIT_MS);
  }

  abort() {
    return ask(this.producer, 'abortTransaction', WAIT_MS);
  }

  close() {
    return ask(this.producer, 'disconnect', WAIT_MS);
  }
}

async function connected(Kind, settings) {
  const client = new Kind(settings);
  client.on('event.error', () => {}); // Lost connections; what fails for good is told to the caller.
  await ask(client, 'connect', {});
  if (Kind === Producer) {
    client.setPollInterval(20);
    client.on('delivery-report', (error, { opaque }) => (error ? opaque.reject(error) : opaque.resolve()));
  }
  return client;
}

/** Resolves once all are acknowledged. */
function send(producer, topic, records) {
  const reports = records.map(
    ({ partition, key, value, timestampMs, headers }) =>
      new Promise((resolve, reject) => {
        const pairs = headers.map(([name, header]) => ({ [name]: header }));
        producer.produce(topic, partition, value, key, timestampMs, { resolve, reject }, pairs);
      }),
  );
  return Promise.all(reports);
}

module.exports = {
  async open(bootstrap) {
    return new Client(bootstrap);
  },
};
