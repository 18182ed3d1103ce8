package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

const (
	epochMs    int64 = 1_700_000_000_000
	partitions int32 = 3
)

// header is one of a record's headers; a nil value is null.
type header struct {
	name  string
	value []byte
}

// record is one record with the place where it should be, or was, found; see ../python/records.py.
type record struct {
	partition   int32
	offset      int64
	key, value  []byte
	headers     []header
	timestampMs int64
}

func (r record) String() string {
	return fmt.Sprintf("%d@%d key=%.20q value=%d bytes headers=%q timestamp=%d",
		r.partition, r.offset, r.key, len(r.value), r.headers, r.timestampMs)
}

func standardSet() []record {
	all, large := make([]byte, 256), make([]byte, 900*1024)
	for i := range all {
		all[i] = byte(i)
	}
	for i := range large {
		large[i] = byte(i*31 + i>>8)
	}
	var set []record
	add := func(key, value []byte, timestampMs int64, headers ...header) {
		n := len(set)
		set = append(set, record{int32(n) % partitions, int64(n) / int64(partitions), key, value, headers, timestampMs})
	}
	add(nil, []byte("no key"), epochMs)
	add([]byte("tombstone"), nil, epochMs)
	add([]byte{}, []byte{}, epochMs+1)
	add(all, []byte("plain"), epochMs+2,
		header{"a", []byte("1")}, header{"b", []byte{}}, header{"a", []byte("2")}, header{"n", nil})
	add([]byte("large"), large, epochMs+3)
	add([]byte("late"), []byte("older than the ones before"), epochMs-5000)
	for i := range 100 {
		var headers []header
		if i%3 == 0 {
			headers = []header{{"i", fmt.Append(nil, i)}}
		}
		value := bytes.Repeat(fmt.Appendf(nil, "value-%d;", i), i)
		add(fmt.Appendf(nil, "key-%d", i), value, epochMs+10+int64(i), headers...)
	}
	return set
}

func plainSet(first, count int, partitions int32, size int) []record {
	var set []record
	for n := first; n < first+count; n++ {
		value := []byte(strings.Repeat(fmt.Sprintf("%d;", n), size)[:size])
		set = append(set, record{
			int32(n) % partitions, int64(n) / int64(partitions), fmt.Append(nil, n), value, nil, epochMs + int64(n),
		})
	}
	return set
}

func byPlace(records []record) []record {
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	return sorted
}

func expectSame(found, sent []record) {
	check(len(found) == len(sent), "found %d records of %d", len(found), len(sent))
	for i, want := range byPlace(sent) {
		same := digest(found[i:i+1]) == digest([]record{want}) && slices.EqualFunc(found[i].headers, want.headers, sameName)
		check(same, "found %v – expected %v", found[i], want)
	}
}

func sameName(a, b header) bool { return a.name == b.name }

func digest(records []record) string {
	sha := sha256.New()
	put := func(data []byte) {
		size := int32(len(data))
		if data == nil {
			size = -1
		}
		_ = binary.Write(sha, binary.BigEndian, size)
		sha.Write(data)
	}
	for _, r := range byPlace(records) {
		_ = binary.Write(sha, binary.BigEndian, r.partition)
		_ = binary.Write(sha, binary.BigEndian, r.offset)
		_ = binary.Write(sha, binary.BigEndian, r.timestampMs)
		put(r.key)
		put(r.value)
		_ = binary.Write(sha, binary.BigEndian, int32(len(r.headers)))
		headers := slices.Clone(r.headers)
		slices.SortStableFunc(headers, func(a, b header) int { return cmp.Compare(a.name, b.name) })
		for _, h := range headers {
			put([]byte(h.name))
			put(h.value)
		}
	}
	return hex.EncodeToString(sha.Sum(nil))
}
