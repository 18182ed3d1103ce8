package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is franz-go with its admin package.
type franz struct {
	bootstrap string
	admin     *kadm.Client
}

func openFranz(bootstrap string) library {
	client := must(kgo.NewClient(kgo.SeedBrokers(bootstrap)))
	return &franz{bootstrap, kadm.NewClient(client)}
}

func (f *franz) produce(topic string, records []record, how how) []int64 {
	codec := map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[how.codec]
	options := []kgo.Opt{
		kgo.SeedBrokers(f.bootstrap), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5 * time.Millisecond), kgo.AllowAutoTopicCreation(),
	}
	if !how.idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	switch how.acks {
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if how.batchBytes > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(how.batchBytes)))
	}
	client := must(kgo.NewClient(options...))
	defer client.Close()

	offsets := make([]int64, len(records))
	for i, r := range records {
		sent := &kgo.Record{Key: r.key, Value: r.value, Partition: r.partition, Timestamp: time.UnixMilli(r.timestampMs)}
		for _, h := range r.headers {
			sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
		}
		client.Produce(context.Background(), sent, func(done *kgo.Record, err error) {
			offsets[i] = done.Offset
			if err != nil {
				offsets[i] = -2
			}
		})
	}
	check(client.Flush(limited()) == nil, "records still in the queue")
	if how.acks == "0" {
		time.Sleep(300 * time.Millisecond) // Closing at once would drop what the broker has not read yet.
	}
	for i, offset := range offsets {
		check(offset != -2, "record %d was not delivered", i)
	}
	return offsets
}

type franzMember struct {
	client *kgo.Client
	mutex  sync.Mutex
	found  []record
	owned  int
	done   chan struct{}
}

func (f *franz) member(group, topic string, partitions int32, see isolation) member {
	m := &franzMember{done: make(chan struct{})}
	count := func(by int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			m.mutex.Lock()
			defer m.mutex.Unlock()
			m.owned += by * len(changed[topic])
		}
	}
	options := []kgo.Opt{kgo.SeedBrokers(f.bootstrap), kgo.FetchMaxWait(200 * time.Millisecond)}
	if see == committed {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if group == "" {
		starts := map[int32]kgo.Offset{}
		for p := range partitions {
			starts[p] = kgo.NewOffset().AtStart()
		}
		options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	} else {
		options = append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.HeartbeatInterval(500*time.Millisecond), kgo.SessionTimeout(10*time.Second),
			kgo.OnPartitionsAssigned(count(1)), kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1)))
	}
	m.client = must(kgo.NewClient(options...))
	go m.poll()
	return m
}

func (m *franzMember) poll() {
	defer close(m.done)
	for {
		fetches := m.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		m.mutex.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			found := record{r.Partition, r.Offset, r.Key, r.Value, nil, r.Timestamp.UnixMilli()}
			for _, h := range r.Headers {
				found.headers = append(found.headers, header{h.Key, h.Value})
			}
			m.found = append(m.found, found)
		})
		m.mutex.Unlock()
	}
}

func (m *franzMember) records() []record {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return append([]record(nil), m.found...)
}

func (m *franzMember) assigned() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.owned
}

func (m *franzMember) leave() {
	if group, _ := m.client.GroupMetadata(); group != "" {
		check(m.client.CommitUncommittedOffsets(limited()) == nil, "commit failed")
	}
	m.client.Close()
	<-m.done
}

func (f *franz) bounds(topic string, partition int32) (int64, int64, error) {
	begin, _ := must(f.admin.ListStartOffsets(limited(), topic)).Lookup(topic, partition)
	end, _ := must(f.admin.ListEndOffsets(limited(), topic)).Lookup(topic, partition)
	return begin.Offset, end.Offset, errors.Join(begin.Err, end.Err)
}

func (f *franz) offsetForTime(topic string, ms int64) int64 {
	found, _ := must(f.admin.ListOffsetsAfterMilli(limited(), ms, topic)).Lookup(topic, 0)
	if found.Timestamp == -1 { // The library asks again for the end.
		return -1
	}
	return found.Offset
}

func (f *franz) createTopic(topic string, partitions int32, configs map[string]string) error {
	values := map[string]*string{}
	for name, value := range configs {
		values[name] = &value
	}
	_, err := f.admin.CreateTopic(limited(), partitions, 1, values, topic)
	return err
}

func (f *franz) deleteTopic(topic string) error {
	_, err := f.admin.DeleteTopic(limited(), topic)
	return err
}

func (f *franz) createPartitions(topic string, count int32) error {
	return must(f.admin.UpdatePartitions(limited(), int(count), topic))[topic].Err
}

func (f *franz) partitionCount(topic string) int32 {
	found := must(f.admin.ListTopics(limited(), topic))[topic]
	if found.Err != nil {
		return -1
	}
	return int32(len(found.Partitions))
}

func (f *franz) topicConfigs(topic string) (map[string]string, error) {
	found, err := must(f.admin.DescribeTopicConfigs(limited(), topic)).On(topic, nil)
	configs := map[string]string{}
	for _, config := range found.Configs {
		configs[config.Key] = config.MaybeValue()
	}
	return configs, errors.Join(err, found.Err)
}

func (f *franz) alterTopicConfig(topic, name string, value *string) error {
	change := kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: value}
	if value == nil {
		change.Op = kadm.DeleteConfig
	}
	answer := must(f.admin.AlterTopicConfigs(limited(), []kadm.AlterConfig{change}, topic))
	return answer[0].Err
}

func (f *franz) cluster() ([]int32, int32) {
	found := must(f.admin.BrokerMetadata(limited()))
	return found.Brokers.NodeIDs(), found.Controller
}

func (f *franz) groups() []string { return must(f.admin.ListGroups(limited())).Groups() }

func (f *franz) describeGroup(group string) (string, int) {
	found := must(f.admin.DescribeGroups(limited(), group))[group]
	check(found.Err == nil, "%v", found.Err)
	return found.State, len(found.Members)
}

func (f *franz) deleteGroup(group string) error {
	_, err := f.admin.DeleteGroup(limited(), group)
	return err
}

func (f *franz) committedOffset(group, topic string) (int64, error) {
	all, err := f.admin.FetchOffsets(limited(), group)
	found, known := all.Lookup(topic, 0)
	if err != nil || !known {
		return -1, err
	}
	return found.At, found.Err
}

func (f *franz) commit(group, topic string, offset int64) {
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, offset, -1)
	answers := must(f.admin.CommitOffsets(limited(), group, offsets))
	check(answers.Ok(), "%v", answers.Error())
}

func (f *franz) code(err error) int16 {
	var found *kerr.Error
	check(errors.As(err, &found), "not a broker's answer: %v", err)
	return found.Code
}

func limited() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	context.AfterFunc(ctx, cancel)
	return ctx
}
