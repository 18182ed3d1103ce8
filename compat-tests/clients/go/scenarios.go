package main

import (
	"fmt"
	"math/rand"
	"time"
)

// how says in what way records are produced; the zero value is each library's plain way with acks=all.
type how struct {
	codec      string
	acks       string // "0", "1" or "all"
	idempotent bool
	batchBytes int
}

// library is what a Go client must do. Where the broker refuses an admin call, the error holds Kafka's
// code for `code`.
type library interface {
	produce(topic string, records []record, how how) []int64
	// member joins a group, or without a group's name reads all partitions from their start; it sees
	// what is committed or all there is.
	member(group, topic string, partitions int32, see isolation) member
	bounds(topic string, partition int32) (begin, end int64, err error)
	// offsetForTime answers −1 for a time after the last record.
	offsetForTime(topic string, ms int64) int64
	createTopic(topic string, partitions int32, configs map[string]string) error
	deleteTopic(topic string) error
	createPartitions(topic string, count int32) error
	partitionCount(topic string) int32
	topicConfigs(topic string) (map[string]string, error)
	alterTopicConfig(topic, name string, value *string) error
	cluster() (brokers []int32, controller int32)
	groups() []string
	describeGroup(group string) (state string, members int)
	deleteGroup(group string) error
	// committedOffset is the group's in partition 0, −1 without one.
	committedOffset(group, topic string) (int64, error)
	commit(group, topic string, offset int64)
	code(err error) int16
}

type isolation int8

const (
	all isolation = iota
	committed
)

// member is a running consumer; leave commits what was read.
type member interface {
	records() []record
	assigned() int
	leave()
}

type say func(map[string]any)

var scenarios = map[string]func(library, say, string){
	"roundtrip":  roundtrip,
	"digest":     readDigest,
	"batches":    batches,
	"acks":       acks,
	"idempotent": idempotent,
	"autocreate": autocreate,
	"offsets":    offsets,
	"group":      group,
	"admin":      admin,
	"view":       view,

	"transactions": transactions,
	"soak":         soak,
}

func suffix() string { return fmt.Sprintf("%08x", rand.Uint32()) }

func newTopic(lib library, scenario string, count int32) string {
	topic := scenario + "-" + suffix()
	err := lib.createTopic(topic, count, map[string]string{"retention.ms": "-1"})
	check(err == nil, "create topic: %v", err)
	eventually("topic "+topic, func() bool { return lib.partitionCount(topic) == count })
	for partition := range count {
		// Answered by the leader alone: it is ready.
		eventually("a leader", func() bool { _, _, err := lib.bounds(topic, partition); return err == nil })
	}
	return topic
}

func read(lib library, topic string, count int, partitions int32, see isolation) []record {
	reader := lib.member("", topic, partitions, see)
	eventually(fmt.Sprint(count, " records"), func() bool { return len(reader.records()) >= count })
	time.Sleep(200 * time.Millisecond)
	found := reader.records()
	reader.leave()
	check(len(found) == count, "read %d records, not %d", len(found), count)
	return byPlace(found)
}

func roundtrip(lib library, say say, _ string) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic, sent := newTopic(lib, "roundtrip", partitions), standardSet()
		for i, offset := range lib.produce(topic, sent, how{codec: codec}) {
			check(offset == sent[i].offset, "offset %d, not %d", offset, sent[i].offset)
		}
		found := read(lib, topic, len(sent), partitions, all)
		expectSame(found, sent)
		say(map[string]any{"codec": codec, "topic": topic, "records": len(found), "digest": digest(found)})
	}
}

func readDigest(lib library, say say, topic string) {
	found := read(lib, topic, len(standardSet()), partitions, all)
	say(map[string]any{"topic": topic, "digest": digest(found)})
}

func producedAndRead(lib library, scenario string, count, size int, how how) {
	topic, sent := newTopic(lib, scenario, partitions), plainSet(0, count, partitions, size)
	lib.produce(topic, sent, how)
	expectSame(read(lib, topic, count, partitions, all), sent)
}

func batches(lib library, _ say, _ string) {
	producedAndRead(lib, "batches", 20_000, 200, how{codec: "lz4", batchBytes: 900_000})
}

// acks: one topic, acks=0 last: it would lose what is sent before a new topic's leader is ready.
func acks(lib library, say say, _ string) {
	topic, sent := newTopic(lib, "acks", partitions), 0
	for _, level := range []string{"all", "1", "0"} {
		lib.produce(topic, plainSet(sent, 300, partitions, 100), how{acks: level})
		sent += 300
		expectSame(read(lib, topic, sent, partitions, all), plainSet(0, sent, partitions, 100))
		say(map[string]any{"acks": level})
	}
}

func idempotent(lib library, _ say, _ string) {
	producedAndRead(lib, "idempotent", 10_000, 100, how{idempotent: true, batchBytes: 4096})
}

func autocreate(lib library, _ say, _ string) {
	topic, sent := "autocreate-"+suffix(), plainSet(0, 10, 1, 100)
	lib.produce(topic, sent, how{})
	expectSame(read(lib, topic, len(sent), 1, all), sent)
}

func offsets(lib library, say say, _ string) {
	topic, sent := newTopic(lib, "offsets", 1), plainSet(0, 100, 1, 50)
	lib.produce(topic, sent, how{})
	begin, end, err := lib.bounds(topic, 0)
	check(err == nil && begin == 0 && end == 100, "bounds %d..%d (%v)", begin, end, err)
	for ms, want := range map[int64]int64{0: 0, epochMs + 41: 41, epochMs + 1000: -1} {
		found := lib.offsetForTime(topic, ms)
		check(found == want, "offset for time %d: %d, not %d", ms, found, want)
	}
	say(map[string]any{"step": "times"})

	name := "offsets-" + suffix()
	expectCommitted := func(want int64) {
		found, err := lib.committedOffset(name, topic)
		check(err == nil && found == want, "committed %d (%v), not %d", found, err, want)
	}
	eventually("a group coordinator", func() bool { _, err := lib.committedOffset(name, topic); return err == nil })
	expectCommitted(-1)
	lib.commit(name, topic, 70)
	expectCommitted(70)
	member := lib.member(name, topic, 1, all)
	eventually("the rest", func() bool { return len(member.records()) >= 30 })
	check(member.records()[0].offset == 70, "began at %d", member.records()[0].offset)
	member.leave()
	expectCommitted(100)
	say(map[string]any{"step": "committed"})
}

// group: two members share a topic, one leaves, the group restarts and resumes at the committed offsets.
// view reads two records with a long way before each, past which the library has to come.
func view(lib library, say say, topic string) {
	for _, see := range []isolation{all, committed} {
		started := time.Now()
		reader := lib.member("view-"+suffix(), topic, 1, see)
		eventually("two records", func() bool { return len(reader.records()) >= 2 })
		seconds := time.Since(started).Seconds()
		time.Sleep(200 * time.Millisecond)
		offsets := []int64{}
		for _, record := range reader.records() {
			offsets = append(offsets, record.offset)
		}
		reader.leave()
		say(map[string]any{"committed": see == committed, "offsets": fmt.Sprint(offsets), "seconds": seconds})
	}
}

func group(lib library, say say, _ string) {
	const shares = 4
	topic, name := newTopic(lib, "group", shares), "group-"+suffix()
	read := func(members ...member) map[string]int {
		seen := map[string]int{}
		for _, member := range members {
			for _, record := range member.records() {
				seen[string(record.key)]++
			}
		}
		return seen
	}

	alone := lib.member(name, topic, shares, all)
	eventually("all partitions", func() bool { return alone.assigned() == shares })
	other := lib.member(name, topic, shares, all)
	eventually("an even split", func() bool { return alone.assigned() == 2 && other.assigned() == 2 })
	lib.produce(topic, plainSet(0, 400, shares, 50), how{})
	eventually("all records", func() bool { return len(read(alone, other)) == 400 })
	first, second := len(alone.records()), len(other.records())
	check(first+second == 400 && second > 0, "shares %d and %d", first, second)
	say(map[string]any{"step": "split", "shares": []int{first, second}})

	other.leave()
	eventually("all partitions again", func() bool { return alone.assigned() == shares })
	lib.produce(topic, plainSet(400, 400, shares, 50), how{})
	eventually("the rest", func() bool { return len(read(alone, other)) == 800 })
	alone.leave()
	say(map[string]any{"step": "left"})

	missed := plainSet(800, 100, shares, 50)
	lib.produce(topic, missed, how{})
	resumed := lib.member(name, topic, shares, all)
	eventually("missed records", func() bool { return len(read(resumed)) >= 100 })
	time.Sleep(300 * time.Millisecond)
	resumed.leave()
	check(len(resumed.records()) == 100, "resumed with %d records", len(resumed.records()))
	for _, record := range missed {
		check(read(resumed)[string(record.key)] == 1, "record %s was not resumed with", record.key)
	}
	say(map[string]any{"step": "resumed"})
}

func admin(lib library, say say, _ string) {
	topic, missing := newTopic(lib, "admin", 2), "missing-"+suffix()
	refused := func(code int16, err error) {
		check(err != nil, "not refused with %d", code)
		check(lib.code(err) == code, "refused with %d (%v), not %d", lib.code(err), err, code)
	}
	fine := func(err error) { check(err == nil, "%v", err) }
	step := func(name string) { say(map[string]any{"step": name}) }
	text := func(value string) *string { return &value }

	refused(36, lib.createTopic(topic, 2, nil))
	refused(17, lib.createTopic("not a name", 1, nil))
	refused(37, lib.createTopic(missing, 0, nil))
	refused(40, lib.createTopic(missing, 1, map[string]string{"no.such.config": "1"}))
	refused(40, lib.createTopic(missing, 1, map[string]string{"retention.ms": "soon"}))
	refused(3, lib.deleteTopic(missing))
	step("topics")

	fine(lib.createPartitions(topic, 5))
	eventually("5 partitions", func() bool { return lib.partitionCount(topic) == 5 })
	refused(37, lib.createPartitions(topic, 4))
	refused(3, lib.createPartitions(missing, 4))
	step("partitions")

	config := func(name string) string { return must(lib.topicConfigs(topic))[name] }
	check(config("retention.ms") == "-1", "retention.ms %s", config("retention.ms"))
	check(config("cleanup.policy") == "delete", "cleanup.policy %s", config("cleanup.policy"))
	_, err := lib.topicConfigs(missing)
	refused(3, err)
	fine(lib.alterTopicConfig(topic, "retention.ms", text("7200000")))
	eventually("retention.ms set", func() bool { return config("retention.ms") == "7200000" })
	fine(lib.alterTopicConfig(topic, "retention.ms", nil))
	eventually("retention.ms default", func() bool { return config("retention.ms") == "604800000" })
	refused(40, lib.alterTopicConfig(topic, "segment.bytes", text("many")))
	refused(3, lib.alterTopicConfig(missing, "retention.ms", text("1")))
	step("configs")

	brokers, controller := lib.cluster()
	check(len(brokers) == 1 && brokers[0] == controller, "brokers %v controller %d", brokers, controller)
	step("cluster")

	name := "admin-" + suffix()
	member := lib.member(name, topic, 5, all)
	eventually("an assignment", func() bool { return member.assigned() == 5 })
	listed := false
	for _, group := range lib.groups() {
		listed = listed || group == name
	}
	check(listed, "group is not listed")
	state, members := lib.describeGroup(name)
	check(state == "Stable" && members == 1, "%s with %d members", state, members)
	refused(68, lib.deleteGroup(name))
	member.leave()
	eventually("an empty group", func() bool { state, _ := lib.describeGroup(name); return state == "Empty" || state == "Dead" })
	step("groups")

	fine(lib.deleteTopic(topic))
	eventually("topic gone", func() bool { return lib.partitionCount(topic) == -1 })
	step("delete")
}
