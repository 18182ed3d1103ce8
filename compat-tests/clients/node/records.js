/** The records every client family produces and their hash; see ../python/records.py. */
const { createHash } = require('node:crypto');
const assert = require('node:assert/strict');

const EPOCH_MS = 1_700_000_000_000;
const PARTITIONS = 3;

function standardSet() {
  const bare = [
    [null, 'no key', {}, EPOCH_MS],
    ['tombstone', null, {}, EPOCH_MS],
    ['', '', {}, EPOCH_MS + 1],
    [Buffer.from(Array.from({ length: 256 }, (_, i) => i)), 'plain', { a: ['1', '2'], b: '', n: null }, EPOCH_MS + 2],
    ['large', Buffer.from(Array.from({ length: 900 * 1024 }, (_, i) => (i * 31 + (i >> 8)) & 0xff)), {}, EPOCH_MS + 3],
    ['late', 'older than the ones before', {}, EPOCH_MS - 5000],
  ];
  for (let i = 0; i < 100; i++) {
    bare.push([`key-${i}`, `value-${i};`.repeat(i), i % 3 === 0 ? { i: `${i}` } : {}, EPOCH_MS + 10 + i]);
  }
  return bare.map(([key, value, headers, timestampMs], n) => ({
    partition: n % PARTITIONS,
    offset: Math.floor(n / PARTITIONS),
    key: bytes(key),
    value: bytes(value),
    headers: pairs(headers),
    timestampMs,
  }));
}

function plainSet(first, count, partitions, size) {
  return Array.from({ length: count }, (_, i) => first + i).map((n) => ({
    partition: n % partitions,
    offset: Math.floor(n / partitions),
    key: bytes(`${n}`),
    value: bytes(`${n};`.repeat(size).slice(0, size)),
    headers: [],
    timestampMs: EPOCH_MS + n,
  }));
}

/** Headers are kept in an object: duplicates stay in order, the order between names is lost. */
function pairs(headers) {
  return Object.entries(headers ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, values]) => [values].flat().map((value) => [name, bytes(value)]));
}

/** The other way round. */
function headersOf(list) {
  const headers = {};
  for (const [name, value] of list) {
    headers[name] = name in headers ? [headers[name], value].flat() : value;
  }
  return headers;
}

/** Writing null header values fails in all libraries of this family. */
function withoutNullHeaders(record) {
  return { ...record, headers: record.headers.filter(([, value]) => value !== null) };
}

function bytes(data) {
  return data === null || data === undefined ? null : Buffer.from(data);
}

function byPlace(records) {
  return [...records].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

function expectSame(found, sent) {
  assert.equal(found.length, sent.length);
  byPlace(sent).forEach((record, i) => assert.deepEqual(found[i], record));
}

function digest(records) {
  const sha = createHash('sha256');
  const int = (value) => {
    const buffer = Buffer.alloc(4);
    buffer.writeInt32BE(value);
    sha.update(buffer);
  };
  const long = (value) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64BE(BigInt(value));
    sha.update(buffer);
  };
  const put = (data) => {
    int(data === null ? -1 : data.length);
    if (data) sha.update(data);
  };
  for (const record of byPlace(records)) {
    int(record.partition);
    long(record.offset);
    long(record.timestampMs);
    put(record.key);
    put(record.value);
    int(record.headers.length);
    for (const [name, value] of record.headers) {
      put(bytes(name));
      put(value);
    }
  }
  return sha.digest('hex');
}

module.exports = { EPOCH_MS, PARTITIONS, standardSet, plainSet, pairs, headersOf, withoutNullHeaders, bytes, byPlace, expectSame, digest };
