/** @confluentinc/kafka-javascript through its promises, which are made after kafkajs's. */
const { KafkaJS, RdKafka } = require('@confluentinc/kafka-javascript');
const { headersOf, pairs, withoutNullHeaders } = require('./records');

/** The library's own build may lack some. */
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'].filter((codec) => codec === 'none' || RdKafka.features.includes(codec));
const STATES = new Map(Object.entries(RdKafka.ConsumerGroupStates).map(([name, number]) => [number, name]));

class Client {
  constructor(bootstrap) {
    this.kafka = new KafkaJS.Kafka({ kafkaJS: { brokers: [bootstrap], logLevel: KafkaJS.logLevel.NOTHING } });
    this.admin = this.kafka.admin();
    this.codecs = CODECS;
    this.carries = carries;
  }

  async produce(topic, records, { codec = 'none', acks = -1, idempotent = false, autocreate = false } = {}) {
    const producer = this.kafka.producer({
      kafkaJS: {
        acks,
        compression: codec,
        idempotent,
        maxInFlightRequests: idempotent ? 5 : 1, // A retry may not overtake: order is checked.
        allowAutoTopicCreation: autocreate,
      },
      'linger.ms': 5,
    });
    await producer.connect();
    const messages = records.map((record) => ({
      partition: record.partition,
      key: record.key,
      value: record.value,
      headers: headersOf(record.headers),
      timestamp: `${record.timestampMs}`,
    }));
    await producer.send({ topic, messages });
    await producer.disconnect();
  }

  async join(groupId, topic, { autoCommit = false, readUncommitted = false } = {}) {
    const member = new Member(await this.consumer({ groupId, autoCommit, readUncommitted, fromBeginning: true }), topic);
    await member.consumer.subscribe({ topic });
    await member.consumer.run({ eachMessage: (payload) => member.keep(payload) });
    return member;
  }

  async consumer(settings) {
    const timing = { sessionTimeout: 10_000, heartbeatInterval: 500, maxWaitTimeInMs: 200 };
    const consumer = this.kafka.consumer({ kafkaJS: { ...timing, ...settings } });
    await consumer.connect();
    return consumer;
  }

  async transactor(transactionalId) {
    const producer = this.kafka.producer({ kafkaJS: { transactionalId }, 'linger.ms': 5 });
    await producer.connect();
    return new Transactor(producer);
  }

  async createTopic(topic, numPartitions, configs) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    // A name that is taken is no error, the answer is false.
    if (!(await this.admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] }))) throw { code: 36 };
  }

  deleteTopic(topic) {
    return this.admin.deleteTopics({ topics: [topic] });
  }

  async partitionCount(topic) {
    try {
      const [found] = await this.admin.fetchTopicMetadata({ topics: [topic] });
      return found.partitions.length;
    } catch (error) {
      if (error.code === RdKafka.CODES.ERRORS.ERR_UNKNOWN_TOPIC_OR_PART) return undefined;
      throw error;
    }
  }

  bounds(topic) {
    return this.admin.fetchTopicOffsets(topic);
  }

  offsetsForTime(topic, ms) {
    return this.admin.fetchTopicOffsetsByTimestamp(topic, ms);
  }

  deleteRecords(topic, offset) {
    return this.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: `${offset}` }] });
  }

  async commit(groupId, topic, offset) {
    const consumer = await this.consumer({ groupId });
    await consumer.commitOffsets([{ topic, partition: 0, offset: `${offset}` }]);
    await consumer.disconnect();
  }

  async committed(groupId, topic) {
    const found = await this.admin.fetchOffsets({ groupId, topics: [{ topic, partitions: [0] }] });
    // Below zero stands for none.
    return Math.max(-1, Number(found[0].partitions[0].offset));
  }

  async groups() {
    return (await this.admin.listGroups()).groups.map(({ groupId }) => groupId);
  }

  async describeGroup(group) {
    return described(await this.admin.describeGroups([group]));
  }

  deleteGroup(group) {
    return this.admin.deleteGroups([group]);
  }

  close() {
    return this.admin.disconnect();
  }
}

class Member {
  constructor(consumer, topic) {
    Object.assign(this, { consumer, topic, records: [], error: null });
  }

  get assigned() {
    return this.consumer.assignment().map(({ partition }) => partition);
  }

  async keep({ partition, message }) {
    this.records.push({
      partition,
      offset: Number(message.offset),
      key: message.key,
      value: message.value,
      headers: pairs(message.headers),
      timestampMs: Number(message.timestamp),
    });
  }

  async seek(partition, offset) {
    this.consumer.seek({ topic: this.topic, partition, offset: `${offset}` });
  }

  commit(partition, offset) {
    return this.consumer.commitOffsets([{ topic: this.topic, partition, offset: `${offset}` }]);
  }

  leave() {
    return this.consumer.disconnect();
  }
}

class Transactor {
  constructor(producer) {
    this.producer = producer;
  }

  begin() {
    return this.producer.transaction();
  }

  send(topic, records) {
    const messages = records.map(({ partition, key, value }) => ({ partition, key, value }));
    return this.producer.send({ topic, messages });
  }

  sendOffset({ consumer, topic }, offset) {
    return this.producer.sendOffsets({ consumer, topics: [{ topic, partitions: [{ partition: 0, offset: `${offset}` }] }] });
  }

  commit() {
    return this.producer.commit();
  }

  abort() {
    return this.producer.abort();
  }

  close() {
    return this.producer.disconnect();
  }
}

/** It writes null for what is empty. */
function carries(record) {
  const full = (data) => (data?.length ? data : null);
  return { ...withoutNullHeaders(record), key: full(record.key), value: full(record.value) };
}

function described({ groups: [{ state, members }] }) {
  const name = STATES.get(state).toLowerCase();
  return { state: name[0].toUpperCase() + name.slice(1), members: members.length };
}

module.exports = {
  CODECS,
  carries,
  described,
  async open(bootstrap) {
    const client = new Client(bootstrap);
    await client.admin.connect();
    return client;
  },
};
