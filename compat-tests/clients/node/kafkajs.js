/** kafkajs, whose old API versions are what we want tested. */
const { Kafka, logLevel } = require('kafkajs');
const codecs = require('./codecs');
const { headersOf, pairs, withoutNullHeaders } = require('./records');

const TOPIC = 2; // A kind of resource that has configs.

class Client {
  constructor(bootstrap) {
    this.kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING });
    this.admin = this.kafka.admin();
    this.codecs = Object.keys(codecs);
    this.carries = withoutNullHeaders;
  }

  async produce(topic, records, { codec = 'none', chunk = 1000, acks = -1, idempotent = false, autocreate = false } = {}) {
    const producer = this.kafka.producer({ idempotent, allowAutoTopicCreation: autocreate });
    await producer.connect();
    for (let i = 0; i < records.length; i += chunk) {
      const messages = records.slice(i, i + chunk).map((record) => ({
        partition: record.partition,
        key: record.key,
        value: record.value,
        headers: headersOf(record.headers),
        timestamp: `${record.timestampMs}`,
      }));
      await producer.send({ topic, messages, compression: codecs[codec], acks });
    }
    await producer.disconnect();
  }

  async join(group, topic, { autoCommit = false, readUncommitted = false } = {}) {
    const consumer = this.kafka.consumer({
      groupId: group,
      readUncommitted,
      sessionTimeout: 10_000,
      heartbeatInterval: 500,
      maxWaitTimeInMs: 200,
    });
    const member = new Member(consumer, group, topic);
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ autoCommit, eachBatch: (payload) => member.keep(payload) });
    return member;
  }

  /** kafkajs asks for one request at a time where it is to keep order. */
  async transactor(transactionalId) {
    const settings = { transactionalId, idempotent: true, maxInFlightRequests: 1, retry: { retries: 2 } };
    const producer = this.kafka.producer(settings);
    await producer.connect();
    return new Transactor(producer);
  }

  async createTopic(topic, numPartitions, configs) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    // A name that is taken is no error to kafkajs, it answers false.
    if (!(await this.admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] }))) throw { code: 36 };
  }

  deleteTopic(topic) {
    return this.admin.deleteTopics({ topics: [topic] });
  }

  grow(topic, count) {
    return this.admin.createPartitions({ topicPartitions: [{ topic, count }] });
  }

  async partitionCount(topic) {
    // Asking by name makes kafkajs create the topic.
    const { topics } = await this.admin.fetchTopicMetadata();
    return topics.find(({ name }) => name === topic)?.partitions.length;
  }

  bounds(topic) {
    return this.admin.fetchTopicOffsets(topic);
  }

  offsetsForTime(topic, ms) {
    return this.admin.fetchTopicOffsetsByTimestamp(topic, ms);
  }

  async configs(name) {
    const { resources } = await this.admin.describeConfigs({ resources: [{ type: TOPIC, name }], includeSynonyms: true });
    return Object.fromEntries(resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]));
  }

  async cluster() {
    const { brokers, controller } = await this.admin.describeCluster();
    return { brokers: brokers.map(({ nodeId }) => nodeId), controller };
  }

  commit(groupId, topic, offset) {
    return this.admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: `${offset}` }] });
  }

  async committed(groupId, topic) {
    const [found] = await this.admin.fetchOffsets({ groupId, topics: [topic] });
    return Number(found.partitions[0].offset);
  }

  async groups() {
    return (await this.admin.listGroups()).groups.map(({ groupId }) => groupId);
  }

  async describeGroup(group) {
    const [{ state, members }] = (await this.admin.describeGroups([group])).groups;
    return { state, members: members.length };
  }

  deleteGroup(group) {
    return this.admin.deleteGroups([group]);
  }

  close() {
    return this.admin.disconnect();
  }
}

class Member {
  constructor(consumer, group, topic) {
    Object.assign(this, { consumer, group, topic, records: [], assigned: [], error: null });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => (this.assigned = payload.memberAssignment[topic] ?? []));
    // What it restarts after by itself is no failure.
    consumer.on(consumer.events.CRASH, ({ payload }) => (this.error = payload.restart ? null : payload.error));
  }

  async keep({ batch, resolveOffset }) {
    for (const message of batch.messages) {
      this.records.push({
        partition: batch.partition,
        offset: Number(message.offset),
        key: message.key,
        value: message.value,
        headers: pairs(message.headers),
        timestampMs: Number(message.timestamp),
      });
      resolveOffset(message.offset);
    }
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

  async begin() {
    this.open = await this.producer.transaction();
  }

  send(topic, records) {
    return this.open.send({ topic, messages: records.map(({ partition, key, value }) => ({ partition, key, value })) });
  }

  sendOffset(member, offset) {
    const topics = [{ topic: member.topic, partitions: [{ partition: 0, offset: `${offset}` }] }];
    return this.open.sendOffsets({ consumerGroupId: member.group, topics });
  }

  commit() {
    return this.open.commit();
  }

  abort() {
    return this.open.abort();
  }

  close() {
    return this.producer.disconnect();
  }
}

module.exports = {
  async open(bootstrap) {
    const client = new Client(bootstrap);
    await client.admin.connect();
    return client;
  },
};
