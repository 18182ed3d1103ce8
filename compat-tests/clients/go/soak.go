package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A long life with a bad broker, through franz-go; see ../python/soak.py. The argument is the history's file.

const (
	soakPartitions = 6
	events, copies = "events", "copies"
	aborted        = 0.15
)

type soaking struct {
	bootstrap, process, family string
	file                       *os.File
	lock                       sync.Mutex
	stop, end                  chan struct{}
}

func soak(lib library, _ say, path string) {
	process := strings.TrimSuffix(filepath.Base(path), ".jsonl")
	family, _, _ := strings.Cut(process, "-")
	file := must(os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644))
	s := &soaking{
		bootstrap: lib.(*franz).bootstrap, process: process, family: family, file: file,
		stop: make(chan struct{}), end: make(chan struct{}),
	}
	s.run()
}

func (s *soaking) run() {
	var stopping, ending sync.WaitGroup
	writers, readers := []string{}, []string{s.process + "-rc", s.process + "-ru"}
	if s.family != "final" {
		for _, role := range []string{"txn", "idem", "copy"} {
			writers = append(writers, s.process+"-"+role)
		}
	}
	s.say("hello", map[string]any{"process": s.process, "writers": writers, "readers": readers})
	if len(writers) > 0 {
		stopping.Go(func() { s.writeTransactions(writers[0]) })
		stopping.Go(func() { s.writePlainly(writers[1]) })
		ending.Go(func() { s.copy(writers[2]) })
	}
	ending.Go(func() { s.read(readers[0], "committed", kgo.ReadCommitted()) })
	ending.Go(func() { s.read(readers[1], "uncommitted", kgo.ReadUncommitted()) })

	stopped := false
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "stop" && !stopped {
			stopped = true
			close(s.stop)
			stopping.Wait()
			s.say("stopped", map[string]any{"process": s.process})
		}
	}
	if !stopped {
		close(s.stop)
	}
	close(s.end)
	patient, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	go func() {
		ending.Wait()
		stopping.Wait()
		cancel()
	}()
	<-patient.Done()
}

func (s *soaking) say(op string, fields map[string]any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	fields["op"], fields["at"] = op, time.Now().UnixMilli()
	line := must(json.Marshal(fields))
	must(s.file.Write(append(line, '\n')))
}

func (s *soaking) note(who string, facts ...any) {
	text := fmt.Sprint(facts...)
	s.say("note", map[string]any{"who": who, "text": text[:min(300, len(text))]})
}

func over(sign chan struct{}) bool {
	select {
	case <-sign:
		return true
	default:
		return false
	}
}

func (s *soaking) pause(low, high int) {
	select {
	case <-s.stop:
	case <-time.After(time.Duration(low+rand.Intn(high-low)) * time.Millisecond):
	}
}

func (s *soaking) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(s.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(3 * time.Millisecond), kgo.DialTimeout(3 * time.Second), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RequestTimeoutOverhead(6 * time.Second), kgo.ProduceRequestTimeout(6 * time.Second),
		kgo.RequestRetries(200), kgo.RetryBackoffFn(func(int) time.Duration { return 250 * time.Millisecond }),
	}, more...)
}

// sending completes the values and says that they are sent.
func (s *soaking) sending(writer string, txn int, topic string, seq *int, sent []*kgo.Record) {
	var places [][2]int
	for _, record := range sent {
		*seq++
		record.Topic = topic
		record.Value = []byte(fmt.Sprintf("%s %d %d%s", writer, txn, *seq, record.Value))
		places = append(places, [2]int{int(record.Partition), *seq})
	}
	s.say("send", map[string]any{"writer": writer, "txn": txn, "topic": topic, "records": places})
}

func anywhere(count int) (sent []*kgo.Record) {
	for range count {
		sent = append(sent, &kgo.Record{Partition: int32(rand.Intn(soakPartitions))})
	}
	return
}

func (s *soaking) ending(writer string, txn int, commit bool) {
	s.say("ending", map[string]any{"writer": writer, "txn": txn, "commit": commit})
}

func (s *soaking) ended(writer string, txn int, outcome string) {
	s.say("end", map[string]any{"writer": writer, "txn": txn, "outcome": outcome})
}

func (s *soaking) transactional(name string) []kgo.Opt {
	id := strings.Replace(name, s.process, s.family, 1)
	return s.options(kgo.TransactionalID(id), kgo.TransactionTimeout(20*time.Second))
}

func (s *soaking) writeTransactions(name string) {
	var client *kgo.Client
	for txn, seq := 0, 0; !over(s.stop); s.pause(50, 400) {
		if client == nil {
			client = must(kgo.NewClient(s.transactional(name)...))
			if _, _, err := client.ProducerID(limited()); err != nil {
				s.note(name, "not ready: ", err)
				client.Close()
				client = nil
				continue
			}
		}
		count := 1 + rand.Intn(8)
		if rand.Float64() >= 0.97 {
			count = 200
		}
		txn++
		sent := anywhere(count)
		s.sending(name, txn, events, &seq, sent)
		outcome, err := s.transact(client, name, txn, sent, rand.Float64() >= aborted)
		s.ended(name, txn, outcome)
		if err != nil {
			s.note(name, txn, ": ", err)
			client.Close()
			client = nil
		}
	}
	if client != nil {
		client.Close()
	}
}

func (s *soaking) transact(client *kgo.Client, name string, txn int, sent []*kgo.Record, wanted bool) (string, error) {
	if err := client.BeginTransaction(); err != nil {
		return "unknown", err
	}
	var failed atomic.Bool
	for _, record := range sent {
		client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(true)
			}
		})
	}
	if wanted || rand.Intn(2) == 0 {
		if err := client.Flush(context.Background()); err != nil {
			return "unknown", err
		}
	}
	if wanted && !failed.Load() {
		s.ending(name, txn, true)
		err := client.EndTransaction(context.Background(), kgo.TryCommit)
		if err == nil {
			return "committed", nil
		}
		if !errors.Is(err, kerr.OperationNotAttempted) && !errors.Is(err, kerr.TransactionAbortable) {
			return "unknown", err
		}
	}
	s.ending(name, txn, false)
	if err := client.AbortBufferedRecords(context.Background()); err != nil {
		return "unknown", err
	}
	if err := client.EndTransaction(context.Background(), kgo.TryAbort); err != nil {
		return "unknown", err
	}
	return "aborted", nil
}

func (s *soaking) writePlainly(name string) {
	seq := 0
	for generation := 1; !over(s.stop); generation++ {
		writer := fmt.Sprintf("%s.%d", name, generation) // What the old one still has under way may yet arrive.
		client := must(kgo.NewClient(s.options()...))
		var pending atomic.Int64
		var failed atomic.Bool
		for !failed.Load() && (!over(s.stop) || pending.Load() > 0) {
			if !over(s.stop) && pending.Load() < 500 {
				sent, first := anywhere(1+rand.Intn(7)), seq+1
				s.sending(writer, 0, events, &seq, sent)
				for i, record := range sent {
					pending.Add(1)
					client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
						if err != nil {
							s.note(writer, first+i, ": ", err)
							failed.Store(true)
						} else {
							s.say("acked", map[string]any{"writer": writer, "records": [][2]int64{{int64(first + i), record.Offset}}})
						}
						pending.Add(-1)
					})
				}
			}
			time.Sleep(time.Duration(20+rand.Intn(230)) * time.Millisecond)
		}
		client.Close()
	}
}

// copy uses the library's own loop of consuming, writing and ending, which watches for rebalances.
func (s *soaking) copy(name string) {
	txn, seq := 0, 0
	for !over(s.end) {
		session, err := kgo.NewGroupTransactSession(append(s.transactional(name),
			kgo.ConsumerGroup("copiers"), kgo.ConsumeTopics(events), kgo.Balancers(kgo.RangeBalancer()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.SessionTimeout(8*time.Second), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(20*time.Second))...)
		check(err == nil, "%v", err)
		if _, _, err = session.Client().ProducerID(limited()); err == nil {
			for err == nil && !over(s.end) {
				err = s.copyOnce(session, name, &txn, &seq)
			}
		}
		if err != nil {
			s.note(name, txn, ": ", err)
			time.Sleep(250 * time.Millisecond)
		}
		session.Close()
	}
}

func (s *soaking) copyOnce(session *kgo.GroupTransactSession, name string, txn, seq *int) error {
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	fetches := session.PollRecords(short, 100)
	var sent []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) {
		sent = append(sent, &kgo.Record{Partition: r.Partition, Value: fmt.Appendf(nil, " %d", r.Offset)})
	})
	if len(sent) == 0 {
		return nil
	}
	*txn++
	s.sending(name, *txn, copies, seq, sent)
	if err := session.Begin(); err != nil {
		s.ended(name, *txn, "unknown")
		return err
	}
	var failed atomic.Bool
	for _, record := range sent {
		session.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(true)
			}
		})
	}
	wanted := rand.Float64() >= aborted
	if wanted {
		if err := session.Client().Flush(context.Background()); err != nil {
			s.ended(name, *txn, "unknown")
			return err
		}
		wanted = !failed.Load()
	}
	s.ending(name, *txn, wanted)
	committed, err := session.End(context.Background(), kgo.TransactionEndTry(wanted))
	switch {
	case err != nil:
		s.ended(name, *txn, "unknown")
	case committed:
		s.ended(name, *txn, "committed")
	default:
		s.ended(name, *txn, "aborted")
	}
	return err
}

func (s *soaking) read(name, isolation string, level kgo.IsolationLevel) {
	starts := map[string]map[int32]kgo.Offset{}
	for _, topic := range []string{events, copies} {
		starts[topic] = map[int32]kgo.Offset{}
		for partition := range int32(soakPartitions) {
			starts[topic][partition] = kgo.NewOffset().At(0)
		}
	}
	client := must(kgo.NewClient(s.options(
		kgo.ConsumePartitions(starts), kgo.FetchIsolationLevel(level), kgo.FetchMaxWait(200*time.Millisecond))...))
	defer client.Close()
	for !over(s.end) {
		short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		fetches := client.PollFetches(short)
		cancel()
		found := map[string][][3]any{}
		fetches.EachRecord(func(r *kgo.Record) {
			found[r.Topic] = append(found[r.Topic], [3]any{r.Partition, r.Offset, string(r.Value)})
		})
		for topic, records := range found {
			s.say("poll", map[string]any{"reader": name, "isolation": isolation, "topic": topic, "records": records})
		}
	}
}
