package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// viaSarama is IBM's sarama.
type viaSarama struct {
	bootstrap string
	admin     sarama.ClusterAdmin
	client    sarama.Client
}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.MaxMessageBytes = 1 << 20
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	return config
}

func openSarama(bootstrap string) library {
	config := saramaConfig()
	config.Metadata.AllowAutoTopicCreation = false
	config.Metadata.Retry.Max = 0
	config.Admin.Retry.Max = 0
	client := must(sarama.NewClient([]string{bootstrap}, config))
	return &viaSarama{bootstrap, must(sarama.NewClusterAdminFromClient(client)), client}
}

func (s *viaSarama) produce(topic string, records []record, how how) []int64 {
	config := saramaConfig()
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"": sarama.CompressionNone, "none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[how.codec]
	config.Producer.RequiredAcks = map[string]sarama.RequiredAcks{
		"": sarama.WaitForAll, "all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse,
	}[how.acks]
	config.Net.MaxOpenRequests = 1 // The library's condition for idempotence, and for order without it.
	config.Producer.Idempotent = how.idempotent
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Producer.Flush.Bytes = how.batchBytes
	producer := must(sarama.NewAsyncProducer([]string{s.bootstrap}, config))

	go func() {
		for i, r := range records {
			message := &sarama.ProducerMessage{
				Topic: topic, Partition: r.partition, Timestamp: time.UnixMilli(r.timestampMs), Metadata: i,
			}
			if r.key != nil {
				message.Key = sarama.ByteEncoder(r.key)
			}
			if r.value != nil {
				message.Value = sarama.ByteEncoder(r.value)
			}
			for _, h := range r.headers {
				message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(h.name), Value: h.value})
			}
			producer.Input() <- message
		}
	}()
	offsets := make([]int64, len(records))
	for range records {
		select {
		case done := <-producer.Successes():
			offsets[done.Metadata.(int)] = done.Offset
		case failure := <-producer.Errors():
			panic(failure.Err)
		case <-time.After(wait):
			panic("records still in the queue")
		}
	}
	check(producer.Close() == nil, "close failed")
	return offsets
}

// saramaMember is the handler of a group session, or a set of partition consumers.
type saramaMember struct {
	mutex  sync.Mutex
	found  []record
	owned  int
	closed func()
}

func (s *viaSarama) member(group, topic string, partitions int32, see isolation) member {
	m, config := &saramaMember{}, saramaConfig()
	if see == committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	if group == "" {
		consumer := must(sarama.NewConsumer([]string{s.bootstrap}, config))
		for p := range partitions {
			messages := must(consumer.ConsumePartition(topic, p, sarama.OffsetOldest)).Messages()
			go func() {
				for message := range messages {
					m.add(message)
				}
			}()
		}
		m.closed = func() {}
		return m
	}
	members := must(sarama.NewConsumerGroup([]string{s.bootstrap}, group, config))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = members.Consume(ctx, []string{topic}, m)
		}
	}()
	m.closed = func() {
		cancel()
		<-done
		check(members.Close() == nil, "close failed")
	}
	return m
}

func (m *saramaMember) Setup(session sarama.ConsumerGroupSession) error {
	m.own(session.Claims())
	return nil
}

func (m *saramaMember) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	m.own(nil)
	return nil
}

func (m *saramaMember) own(claims map[string][]int32) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.owned = 0
	for _, claimed := range claims {
		m.owned += len(claimed)
	}
}

func (m *saramaMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.add(message)
		session.MarkMessage(message, "")
	}
	return nil
}

func (m *saramaMember) add(message *sarama.ConsumerMessage) {
	found := record{
		message.Partition, message.Offset, message.Key, message.Value, nil, message.Timestamp.UnixMilli(),
	}
	for _, h := range message.Headers {
		found.headers = append(found.headers, header{string(h.Key), h.Value})
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.found = append(m.found, found)
}

func (m *saramaMember) records() []record {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return append([]record(nil), m.found...)
}

func (m *saramaMember) assigned() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.owned
}

func (m *saramaMember) leave() { m.closed() }

func (s *viaSarama) bounds(topic string, partition int32) (int64, int64, error) {
	begin, err := s.client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return 0, 0, err
	}
	end, err := s.client.GetOffset(topic, partition, sarama.OffsetNewest)
	return begin, end, err
}

func (s *viaSarama) offsetForTime(topic string, ms int64) int64 {
	return must(s.client.GetOffset(topic, 0, ms))
}

func (s *viaSarama) createTopic(topic string, partitions int32, configs map[string]string) error {
	values := map[string]*string{}
	for name, value := range configs {
		values[name] = &value
	}
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: values}
	return s.admin.CreateTopic(topic, detail, false)
}

func (s *viaSarama) deleteTopic(topic string) error { return s.admin.DeleteTopic(topic) }

func (s *viaSarama) createPartitions(topic string, count int32) error {
	return s.admin.CreatePartitions(topic, count, nil, false)
}

func (s *viaSarama) partitionCount(topic string) int32 {
	found := must(s.admin.DescribeTopics([]string{topic}))[0]
	if found.Err != sarama.ErrNoError {
		return -1
	}
	return int32(len(found.Partitions))
}

func (s *viaSarama) topicConfigs(topic string) (map[string]string, error) {
	found, err := s.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	configs := map[string]string{}
	for _, entry := range found {
		configs[entry.Name] = entry.Value
	}
	return configs, err
}

func (s *viaSarama) alterTopicConfig(topic, name string, value *string) error {
	change := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: value}
	if value == nil {
		change.Operation = sarama.IncrementalAlterConfigsOperationDelete
	}
	changes := map[string]sarama.IncrementalAlterConfigsEntry{name: change}
	return s.admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false)
}

func (s *viaSarama) cluster() ([]int32, int32) {
	brokers, controller, err := s.admin.DescribeCluster()
	check(err == nil, "%v", err)
	var ids []int32
	for _, broker := range brokers {
		ids = append(ids, broker.ID())
	}
	return ids, controller
}

func (s *viaSarama) groups() []string {
	var names []string
	for name := range must(s.admin.ListConsumerGroups()) {
		names = append(names, name)
	}
	return names
}

func (s *viaSarama) describeGroup(group string) (string, int) {
	found := must(s.admin.DescribeConsumerGroups([]string{group}))[0]
	return found.State, len(found.Members)
}

func (s *viaSarama) deleteGroup(group string) error { return s.admin.DeleteConsumerGroup(group) }

func (s *viaSarama) committedOffset(group, topic string) (int64, error) {
	found, err := s.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	if err != nil {
		return -1, err
	}
	return found.Blocks[topic][0].Offset, nil
}

func (s *viaSarama) commit(group, topic string, offset int64) {
	manager := must(sarama.NewOffsetManagerFromClient(group, s.client))
	partition := must(manager.ManagePartition(topic, 0))
	partition.MarkOffset(offset, "")
	manager.Commit()
	partition.AsyncClose()
	check(manager.Close() == nil, "close failed")
}

func (s *viaSarama) code(err error) int16 {
	var describe *sarama.DescribeConfigError // The one error that does not unwrap to its code.
	if errors.As(err, &describe) {
		return int16(describe.Err)
	}
	var code sarama.KError
	check(errors.As(err, &code), "not a broker's answer: %v", err)
	return int16(code)
}
