package main

import (
	"errors"

	"github.com/IBM/sarama"
)

type saramaTransactor struct{ sarama.SyncProducer }

func (s *viaSarama) transactor(name string) transactor {
	config := saramaConfig()
	config.Net.MaxOpenRequests = 1 // The library's condition for idempotence.
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Transaction.ID = name
	return saramaTransactor{must(sarama.NewSyncProducer([]string{s.bootstrap}, config))}
}

func (t saramaTransactor) begin() error { return t.BeginTxn() }

func (t saramaTransactor) send(topic string, records []record) error {
	var messages []*sarama.ProducerMessage
	for _, r := range records {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: topic, Partition: r.partition, Key: sarama.ByteEncoder(r.key), Value: sarama.ByteEncoder(r.value),
		})
	}
	err := t.SendMessages(messages)
	var each sarama.ProducerErrors // Its own text only counts them.
	if errors.As(err, &each) {
		return each[0].Err
	}
	return err
}

func (t saramaTransactor) commit() error { return t.CommitTxn() }

func (t saramaTransactor) abort() error { return t.AbortTxn() }

func (t saramaTransactor) close() { done(t.Close()) }

// copy: the library takes no membership along with the offsets, the group's name is all.
func (s *viaSarama) copy(name, group, source, target string, count int, commit bool) {
	found := read(s, source, count, 1, committed)
	producer := s.transactor(name).(saramaTransactor)
	defer producer.close()
	done(producer.begin())
	done(producer.send(target, found))
	position := &sarama.PartitionOffsetMetadata{Partition: 0, Offset: found[len(found)-1].offset + 1}
	done(producer.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{source: {position}}, group))
	if commit {
		done(producer.commit())
	} else {
		done(producer.abort())
	}
}
