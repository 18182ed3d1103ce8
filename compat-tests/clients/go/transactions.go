package main

import (
	"fmt"
	"regexp"
)

// transactional is a library with transactions.
type transactional interface {
	library
	// transactor is a producer whose earlier namesakes are shut out.
	transactor(name string) transactor
	// copy reads count records of source as a member of a group and, in one transaction, writes them to
	// target and commits how far it read; then the transaction is committed or aborted.
	copy(name, group, source, target string, count int, commit bool)
}

type transactor interface {
	begin() error
	// send waits for the answers.
	send(topic string, records []record) error
	commit() error
	abort() error
	close()
}

// transactions: see ../python/transactions.py.
func transactions(lib library, say say, _ string) {
	able, fine := lib.(transactional)
	check(fine, "a library without transactions")
	visibility(able, say)
	positions(able, say)
	fencing(able, say)
}

func numbered(round int) []record { return plainSet(30*round, 30, partitions, 50) }

func done(err error) { check(err == nil, "%v", err) }

// expect: each partition holds these records in the order sent; markers take offsets between them.
func expect(lib library, topic string, see isolation, rounds ...[]record) {
	var sent []record
	for _, round := range rounds {
		sent = append(sent, round...)
	}
	count := int32(1)
	for _, record := range sent {
		count = max(count, record.partition+1)
	}
	found := read(lib, topic, len(sent), count, see)
	for i, want := range byPlace(sent) { // The offsets of plainSet grow with the numbers.
		same := found[i].partition == want.partition && string(found[i].value) == string(want.value)
		check(same, "found %v, not %v", found[i], want)
	}
}

// visibility: aborted records stay unseen; an open transaction holds back what follows it.
func visibility(lib transactional, say say) {
	topic := newTopic(lib, "transactions", partitions)
	producer := lib.transactor("visibility-" + suffix())
	first, dropped, second, outside := numbered(0), numbered(1), numbered(2), numbered(3)
	done(producer.begin())
	done(producer.send(topic, first))
	done(producer.commit())
	done(producer.begin())
	done(producer.send(topic, dropped))
	done(producer.abort())
	expect(lib, topic, committed, first)
	expect(lib, topic, all, first, dropped)
	say(map[string]any{"step": "aborted"})

	done(producer.begin())
	done(producer.send(topic, second))
	lib.produce(topic, outside, how{})
	expect(lib, topic, committed, first)
	done(producer.commit())
	expect(lib, topic, committed, first, second, outside)
	producer.close()
	say(map[string]any{"step": "open"})
}

// positions: read, write and commit the position in one transaction; all of it counts, or nothing.
func positions(lib transactional, say say) {
	source, target := newTopic(lib, "source", 1), newTopic(lib, "target", 1)
	sent := plainSet(0, 100, 1, 50)
	lib.produce(source, sent, how{})
	name, group := "offsets-"+suffix(), "transactions-"+suffix()
	position := func() int64 { return must(lib.committedOffset(group, source)) }

	lib.copy(name, group, source, target, len(sent), false)
	check(position() == -1, "the offset of an aborted transaction: %d", position())
	say(map[string]any{"step": "offsets aborted"})
	lib.copy(name, group, source, target, len(sent), true)
	eventually("the position", func() bool { return position() == int64(len(sent)) })
	expect(lib, target, committed, sent)
	say(map[string]any{"step": "offsets committed"})
}

var gone = regexp.MustCompile("(?i)fenced|epoch")

// fencing: the second producer of a name ends what the first left open and shuts it out.
func fencing(lib transactional, say say) {
	topic, name := newTopic(lib, "fencing", partitions), "fencing-"+suffix()
	first := lib.transactor(name)
	done(first.begin())
	done(first.send(topic, numbered(0)))
	second := lib.transactor(name)
	done(second.begin())
	done(second.send(topic, numbered(1)))
	err := first.send(topic, numbered(2))
	if err == nil {
		err = first.commit()
	}
	check(gone.MatchString(fmt.Sprint(err)), "shut out by %v", err)
	done(second.commit())
	expect(lib, topic, committed, numbered(1))
	second.close()
	say(map[string]any{"step": "fenced"})
}
