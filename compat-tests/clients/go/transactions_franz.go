package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

type franzTransactor struct{ client *kgo.Client }

func (f *franz) transactor(name string) transactor {
	client := must(kgo.NewClient(
		kgo.SeedBrokers(f.bootstrap), kgo.TransactionalID(name), kgo.RecordPartitioner(kgo.ManualPartitioner())))
	_, _, err := client.ProducerID(limited()) // Else it would first present itself with its first record.
	done(err)
	return franzTransactor{client}
}

func (t franzTransactor) begin() error { return t.client.BeginTransaction() }

func (t franzTransactor) send(topic string, records []record) error {
	return t.client.ProduceSync(limited(), franzRecords(topic, records)...).FirstErr()
}

func (t franzTransactor) commit() error { return t.client.EndTransaction(limited(), kgo.TryCommit) }

func (t franzTransactor) abort() error { return t.client.EndTransaction(limited(), kgo.TryAbort) }

func (t franzTransactor) close() { t.client.Close() }

// copy uses the library's own loop of consuming, writing and ending, which watches for rebalances.
func (f *franz) copy(name, group, source, target string, count int, commit bool) {
	session := must(kgo.NewGroupTransactSession(
		kgo.SeedBrokers(f.bootstrap), kgo.TransactionalID(name), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(source), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
	defer session.Close()
	done(session.Begin())
	for read := 0; read < count; {
		fetches := session.PollFetches(limited())
		check(fetches.Err() == nil, "%v", fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			sent := &kgo.Record{Topic: target, Key: r.Key, Value: r.Value}
			session.Produce(context.Background(), sent, func(_ *kgo.Record, err error) { done(err) })
		})
	}
	done(session.Client().Flush(limited())) // Else an abort would drop what was not sent yet.
	committed, err := session.End(limited(), kgo.TransactionEndTry(commit))
	check(err == nil && committed == commit, "ended with %v, %v", committed, err)
}

func franzRecords(topic string, records []record) []*kgo.Record {
	var sent []*kgo.Record
	for _, r := range records {
		sent = append(sent, &kgo.Record{Topic: topic, Partition: r.partition, Key: r.key, Value: r.value})
	}
	return sent
}
