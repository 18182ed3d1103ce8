package tidelog.compat;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** One record with the place where it should be, or was, found; see clients/python/records.py. */
record Sample(int partition, long offset, byte[] key, byte[] value, List<Pair> headers, long timestampMs) {
    static final long EPOCH_MS = 1_700_000_000_000L;
    static final int PARTITIONS = 3;

    record Pair(String name, byte[] value) {}

    static Sample of(ConsumerRecord<byte[], byte[]> found) {
        List<Pair> headers = StreamSupport.stream(found.headers().spliterator(), false)
            .map(header -> new Pair(header.key(), header.value())).toList();
        return new Sample(found.partition(), found.offset(), found.key(), found.value(), headers, found.timestamp());
    }

    ProducerRecord<byte[], byte[]> to(String topic) {
        var record = new ProducerRecord<>(topic, partition, timestampMs, key, value);
        headers.forEach(header -> record.headers().add(header.name, header.value));
        return record;
    }

    static List<Sample> standardSet() {
        byte[] all = new byte[256];
        byte[] large = new byte[900 * 1024];
        for (int i = 0; i < all.length; i++) all[i] = (byte) i;
        for (int i = 0; i < large.length; i++) large[i] = (byte) (i * 31 + (i >> 8));
        List<Sample> set = new ArrayList<>();
        add(set, null, bytes("no key"), List.of(), EPOCH_MS);
        add(set, bytes("tombstone"), null, List.of(), EPOCH_MS);
        add(set, bytes(""), bytes(""), List.of(), EPOCH_MS + 1);
        add(set, all, bytes("plain"), List.of(pair("a", "1"), pair("b", ""), pair("a", "2"), new Pair("n", null)),
            EPOCH_MS + 2);
        add(set, bytes("large"), large, List.of(), EPOCH_MS + 3);
        add(set, bytes("late"), bytes("older than the ones before"), List.of(), EPOCH_MS - 5000);
        for (int i = 0; i < 100; i++) {
            List<Pair> headers = i % 3 == 0 ? List.of(pair("i", "" + i)) : List.of();
            add(set, bytes("key-" + i), bytes(("value-" + i + ";").repeat(i)), headers, EPOCH_MS + 10 + i);
        }
        return set;
    }

    static List<Sample> plainSet(int first, int count, int partitions, int size) {
        List<Sample> set = new ArrayList<>();
        for (int n = first; n < first + count; n++) {
            byte[] value = Arrays.copyOf(bytes((n + ";").repeat(size)), size);
            set.add(new Sample(n % partitions, n / partitions, bytes("" + n), value, List.of(), EPOCH_MS + n));
        }
        return set;
    }

    static final Comparator<Sample> BY_PLACE =
        Comparator.comparingInt(Sample::partition).thenComparingLong(Sample::offset);

    static void expectSame(List<Sample> found, List<Sample> sent) {
        Check.that(found.size() == sent.size(), "found", found.size(), "of", sent.size());
        List<Sample> wanted = sent.stream().sorted(BY_PLACE).toList();
        for (int i = 0; i < wanted.size(); i++) {
            Check.that(found.get(i).same(wanted.get(i)), "found", found.get(i), "– expected", wanted.get(i));
        }
    }

    private boolean same(Sample other) {
        return digest(List.of(this)).equals(digest(List.of(other))) && names().equals(other.names());
    }

    private List<String> names() {
        return headers.stream().map(Pair::name).toList();
    }

    static String digest(List<Sample> records) {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            for (Sample record : records.stream().sorted(BY_PLACE).toList()) {
                sha.update(ByteBuffer.allocate(20)
                    .putInt(record.partition).putLong(record.offset).putLong(record.timestampMs).array());
                put(sha, record.key);
                put(sha, record.value);
                sha.update(ByteBuffer.allocate(4).putInt(record.headers.size()).array());
                for (Pair header : record.headers.stream().sorted(Comparator.comparing(Pair::name)).toList()) {
                    put(sha, bytes(header.name));
                    put(sha, header.value);
                }
            }
            return HexFormat.of().formatHex(sha.digest());
        } catch (java.security.NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static void put(MessageDigest sha, byte[] data) {
        sha.update(ByteBuffer.allocate(4).putInt(data == null ? -1 : data.length).array());
        if (data != null) sha.update(data);
    }

    private static void add(List<Sample> set, byte[] key, byte[] value, List<Pair> headers, long timestampMs) {
        int n = set.size();
        set.add(new Sample(n % PARTITIONS, n / PARTITIONS, key, value, headers, timestampMs));
    }

    private static Pair pair(String name, String value) {
        return new Pair(name, bytes(value));
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public String toString() {
        return partition + "@" + offset + " key=" + (key == null ? null : new String(key, StandardCharsets.ISO_8859_1))
            + " value=" + (value == null ? "null" : value.length + " bytes") + " headers=" + names()
            + " timestamp=" + timestampMs;
    }
}
