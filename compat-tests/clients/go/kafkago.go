package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// viaKafkaGo is segmentio's kafka-go: its Writer and ConsumerGroup, which each keep to the API versions
// of their day, and its Client, which negotiates. It has neither idempotence nor transactions.
type viaKafkaGo struct{ client *kafka.Client }

func openKafkaGo(bootstrap string) library {
	return &viaKafkaGo{&kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: wait}}
}

func (k *viaKafkaGo) produce(topic string, records []record, how how) []int64 {
	check(!how.idempotent, "kafka-go has no idempotent producer")
	offsets := make([]int64, len(records))
	var failure error
	var mutex sync.Mutex
	writer := &kafka.Writer{
		Addr: k.client.Addr, Topic: topic, AllowAutoTopicCreation: true, BatchTimeout: 5 * time.Millisecond,
		BatchBytes: int64(how.batchBytes), BatchSize: 10_000,
		RequiredAcks: map[string]kafka.RequiredAcks{
			"": kafka.RequireAll, "all": kafka.RequireAll, "1": kafka.RequireOne, "0": kafka.RequireNone,
		}[how.acks],
		Compression: map[string]kafka.Compression{
			"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
		}[how.codec],
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return int(records[message.WriterData.(int)].partition)
		}),
		Completion: func(messages []kafka.Message, err error) {
			mutex.Lock()
			defer mutex.Unlock()
			failure = errors.Join(failure, err)
			for _, message := range messages {
				offsets[message.WriterData.(int)] = message.Offset
			}
		},
	}
	var messages []kafka.Message
	for i, r := range records {
		message := kafka.Message{Key: r.key, Value: r.value, Time: time.UnixMilli(r.timestampMs), WriterData: i}
		for _, h := range r.headers {
			message.Headers = append(message.Headers, kafka.Header{Key: h.name, Value: h.value})
		}
		messages = append(messages, message)
	}
	done(writer.WriteMessages(limited(), messages...))
	done(writer.Close()) // Waits for completions.
	done(failure)
	return offsets
}

// kafkaGoMember reads partitions, those of its group's generations or all of a topic.
type kafkaGoMember struct {
	mutex  sync.Mutex
	found  []record
	owned  int
	closed func()
}

func (k *viaKafkaGo) member(group, topic string, partitions int32, see isolation) member {
	m := &kafkaGoMember{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	m.closed = func() {
		cancel()
		running.Wait()
	}
	if group == "" {
		for p := range partitions {
			running.Go(func() { k.fetch(ctx, topic, p, 0, see, m.add) })
		}
		return m
	}
	members := must(kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: []string{k.client.Addr.String()}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 500 * time.Millisecond, SessionTimeout: 10 * time.Second,
	}))
	running.Go(func() {
		for {
			generation, err := members.Next(ctx)
			if err != nil {
				break
			}
			m.take(k, ctx, generation, topic)
		}
		done(members.Close())
	})
	return m
}

// take reads this generation's partitions and commits each position before the generation ends.
func (m *kafkaGoMember) take(k *viaKafkaGo, leaving context.Context, generation *kafka.Generation, topic string) {
	shares := generation.Assignments[topic]
	m.own(len(shares))
	for _, share := range shares {
		generation.Start(func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(leaving, cancel)()
			end := k.read(ctx, topic, share.ID, share.Offset, m.add)
			if end >= 0 {
				done(generation.CommitOffsets(map[string]map[int]int64{topic: {share.ID: end}}))
			}
		})
	}
}

// read is the library's Reader from an offset or its sign for the start; it answers how far it came, −1
// if nothing came.
func (k *viaKafkaGo) read(ctx context.Context, topic string, partition int, offset int64, add func(record)) int64 {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{k.client.Addr.String()}, Topic: topic, Partition: partition, MaxWait: 200 * time.Millisecond,
	})
	defer reader.Close()
	done(reader.SetOffset(offset))
	end := int64(-1)
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return end
		}
		end = message.Offset + 1
		add(record{
			int32(message.Partition), message.Offset, message.Key, message.Value, headersOf(message.Headers),
			message.Time.UnixMilli(),
		})
	}
}

// fetch uses the Client, because the Reader makes null and empty keys and values one.
func (k *viaKafkaGo) fetch(ctx context.Context, topic string, partition int32, offset int64, see isolation, add func(record)) {
	level := map[isolation]kafka.IsolationLevel{all: kafka.ReadUncommitted, committed: kafka.ReadCommitted}[see]
	for ctx.Err() == nil {
		answer, err := k.client.Fetch(ctx, &kafka.FetchRequest{
			Topic: topic, Partition: int(partition), Offset: offset, MinBytes: 1, MaxBytes: 1 << 20,
			MaxWait: 200 * time.Millisecond, IsolationLevel: level,
		})
		if ctx.Err() != nil {
			return
		}
		done(errors.Join(err, answer.Error))
		for {
			found, err := answer.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			done(err)
			key, value := must(kafka.ReadAll(found.Key)), must(kafka.ReadAll(found.Value))
			if found.Offset >= offset {
				offset = found.Offset + 1
				add(record{partition, found.Offset, key, value, headersOf(found.Headers), found.Time.UnixMilli()})
			}
		}
	}
}

func headersOf(found []kafka.Header) []header {
	var headers []header
	for _, h := range found {
		headers = append(headers, header{h.Key, bytes.Clone(h.Value)}) // The library reuses its buffers.
	}
	return headers
}

func (m *kafkaGoMember) add(found record) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.found = append(m.found, found)
}

func (m *kafkaGoMember) own(count int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.owned = count
}

func (m *kafkaGoMember) records() []record {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return append([]record(nil), m.found...)
}

func (m *kafkaGoMember) assigned() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.owned
}

func (m *kafkaGoMember) leave() { m.closed() }

func (k *viaKafkaGo) bounds(topic string, partition int32) (int64, int64, error) {
	found, err := k.listOffsets(topic, kafka.FirstOffsetOf(int(partition)), kafka.LastOffsetOf(int(partition)))
	return found.FirstOffset, found.LastOffset, err
}

func (k *viaKafkaGo) offsetForTime(topic string, ms int64) int64 {
	found := must(k.listOffsets(topic, kafka.TimeOffsetOf(0, time.UnixMilli(ms))))
	for offset := range found.Offsets {
		return offset
	}
	return -1
}

func (k *viaKafkaGo) listOffsets(topic string, of ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	answer, err := k.client.ListOffsets(limited(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: of},
	})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	return answer.Topics[topic][0], answer.Topics[topic][0].Error
}

func (k *viaKafkaGo) createTopic(topic string, partitions int32, configs map[string]string) error {
	spec := kafka.TopicConfig{Topic: topic, NumPartitions: int(partitions), ReplicationFactor: 1}
	for name, value := range configs {
		spec.ConfigEntries = append(spec.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	answer, err := k.client.CreateTopics(limited(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{spec}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (k *viaKafkaGo) deleteTopic(topic string) error {
	answer, err := k.client.DeleteTopics(limited(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (k *viaKafkaGo) createPartitions(topic string, count int32) error {
	answer, err := k.client.CreatePartitions(limited(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: count}},
	})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (k *viaKafkaGo) partitionCount(topic string) int32 {
	answer := must(k.client.Metadata(limited(), &kafka.MetadataRequest{Topics: []string{topic}}))
	if answer.Topics[0].Error != nil {
		return -1
	}
	return int32(len(answer.Topics[0].Partitions))
}

func (k *viaKafkaGo) topicConfigs(topic string) (map[string]string, error) {
	answer := must(k.client.DescribeConfigs(limited(), &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}},
	}))
	configs := map[string]string{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		configs[entry.ConfigName] = entry.ConfigValue
	}
	return configs, answer.Resources[0].Error
}

func (k *viaKafkaGo) alterTopicConfig(topic, name string, value *string) error {
	change := kafka.IncrementalAlterConfigsRequestConfig{Name: name, ConfigOperation: kafka.ConfigOperationDelete}
	if value != nil {
		change.Value, change.ConfigOperation = *value, kafka.ConfigOperationSet
	}
	answer := must(k.client.IncrementalAlterConfigs(limited(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{change},
		}},
	}))
	return answer.Resources[0].Error
}

func (k *viaKafkaGo) cluster() ([]int32, int32) {
	answer := must(k.client.Metadata(limited(), &kafka.MetadataRequest{}))
	var ids []int32
	for _, broker := range answer.Brokers {
		ids = append(ids, int32(broker.ID))
	}
	return ids, int32(answer.Controller.ID)
}

func (k *viaKafkaGo) groups() []string {
	var names []string
	for _, group := range must(k.client.ListGroups(limited(), &kafka.ListGroupsRequest{})).Groups {
		names = append(names, group.GroupID)
	}
	return names
}

func (k *viaKafkaGo) describeGroup(group string) (string, int) {
	found := must(k.client.DescribeGroups(limited(), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})).Groups[0]
	done(found.Error)
	return found.GroupState, len(found.Members)
}

func (k *viaKafkaGo) deleteGroup(group string) error {
	return must(k.client.DeleteGroups(limited(), &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})).Errors[group]
}

func (k *viaKafkaGo) committedOffset(group, topic string) (int64, error) {
	answer, err := k.client.OffsetFetch(limited(), &kafka.OffsetFetchRequest{
		GroupID: group, Topics: map[string][]int{topic: {0}},
	})
	if err != nil || answer.Error != nil {
		return -1, errors.Join(err, answer.Error)
	}
	return answer.Topics[topic][0].CommittedOffset, answer.Topics[topic][0].Error
}

func (k *viaKafkaGo) commit(group, topic string, offset int64) {
	answer := must(k.client.OffsetCommit(limited(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Offset: offset}}},
	}))
	done(answer.Topics[topic][0].Error)
}

func (k *viaKafkaGo) code(err error) int16 {
	var code kafka.Error
	check(errors.As(err, &code), "not a broker's answer: %v", err)
	return int16(code)
}
