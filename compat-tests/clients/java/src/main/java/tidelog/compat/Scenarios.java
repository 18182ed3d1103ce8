package tidelog.compat;

import static tidelog.compat.Check.WAIT_SECONDS;
import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The scenarios of clients/python/scenarios.py with the Java client. */
final class Scenarios {
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    final Main out;
    final Admin admin;
    final String bootstrap;

    Scenarios(String bootstrap, Main out) {
        this.bootstrap = bootstrap;
        this.out = out;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    void run(String scenario, String argument) throws Exception {
        switch (scenario) {
            case "roundtrip" -> roundtrip();
            case "digest" -> out.say("topic", argument, "digest",
                Sample.digest(read(argument, Sample.standardSet().size(), Sample.PARTITIONS)));
            case "batches" -> batches();
            case "acks" -> acks();
            case "idempotent" -> idempotent();
            case "autocreate" -> autocreate();
            case "offsets" -> offsets();
            case "group" -> group();
            case "view" -> view(argument);
            case "admin" -> new AdminScenario(this).run();
            case "transactions" -> new TransactionScenario(this).run();
            case "soak" -> new Soak(bootstrap, argument).run();
            default -> throw new IllegalArgumentException("no scenario " + scenario);
        }
    }

    private void roundtrip() throws Exception {
        for (String codec : CODECS) {
            String topic = newTopic("roundtrip", Sample.PARTITIONS, Map.of());
            List<Sample> sent = Sample.standardSet();
            List<Long> offsets = produce(sent, topic, "compression.type", codec);
            that(offsets.equals(sent.stream().map(Sample::offset).toList()), "offsets", offsets);
            List<Sample> found = read(topic, sent.size(), Sample.PARTITIONS);
            Sample.expectSame(found, sent);
            out.say("codec", codec, "topic", topic, "records", found.size(), "digest", Sample.digest(found));
        }
    }

    private void batches() throws Exception {
        String topic = newTopic("batches", Sample.PARTITIONS, Map.of());
        List<Sample> sent = Sample.plainSet(0, 20_000, Sample.PARTITIONS, 200);
        produce(sent, topic, "compression.type", "lz4", "batch.size", 900_000);
        Sample.expectSame(read(topic, sent.size(), Sample.PARTITIONS), sent);
    }

    /** Two records with a long way before each, past which the client has to come. */
    private void view(String topic) throws Exception {
        for (String isolation : List.of("read_uncommitted", "read_committed")) {
            long started = System.nanoTime();
            List<Long> offsets = read(topic, 2, 1, isolation).stream().map(Sample::offset).toList();
            out.say("isolation", isolation, "offsets", offsets, "seconds", (System.nanoTime() - started) / 1e9);
        }
    }

    /** One topic, acks=0 last: it would lose what is sent before a new topic's leader is ready. */
    private void acks() throws Exception {
        String topic = newTopic("acks", Sample.PARTITIONS, Map.of());
        int sent = 0;
        for (String level : List.of("all", "1", "0")) {
            produce(Sample.plainSet(sent, 300, Sample.PARTITIONS, 100), topic, "acks", level,
                "enable.idempotence", false, "max.in.flight.requests.per.connection", 1);
            sent += 300;
            Sample.expectSame(read(topic, sent, Sample.PARTITIONS), Sample.plainSet(0, sent, Sample.PARTITIONS, 100));
            out.say("acks", level);
        }
    }

    private void idempotent() throws Exception {
        String topic = newTopic("idempotent", Sample.PARTITIONS, Map.of());
        List<Sample> sent = Sample.plainSet(0, 10_000, Sample.PARTITIONS, 100);
        produce(sent, topic, "batch.size", 4096);
        Sample.expectSame(read(topic, sent.size(), Sample.PARTITIONS), sent);
    }

    private void autocreate() throws Exception {
        String topic = "autocreate-" + suffix();
        List<Sample> sent = Sample.plainSet(0, 10, 1, 100);
        produce(sent, topic);
        Sample.expectSame(read(topic, sent.size(), 1), sent);
    }

    private void offsets() throws Exception {
        String topic = newTopic("offsets", 1, Map.of());
        TopicPartition at = new TopicPartition(topic, 0);
        List<Sample> sent = Sample.plainSet(0, 100, 1, 50);
        String group = "offsets-" + suffix();
        try (var consumer = consumer(group)) {
            expectBounds(consumer, at, 0);
            produce(sent, topic);
            expectBounds(consumer, at, 100);
            expectTime(consumer, at, 0, 0L);
            expectTime(consumer, at, Sample.EPOCH_MS + 41, 41L);
            expectTime(consumer, at, Sample.EPOCH_MS + 1000, null);
            out.say("step", "times");

            that(consumer.committed(Set.of(at)).get(at) == null, "committed before any commit");
            consumer.assign(List.of(at));
            consumer.seek(at, 60);
            List<Sample> first = new ArrayList<>();
            eventually("records after seek", () -> first.addAll(poll(consumer)));
            Sample.expectSame(List.of(first.get(0)), List.of(sent.get(60)));
            consumer.seek(at, 70);
            consumer.commitSync(Map.of(at, new OffsetAndMetadata(70, "a note")));
            that(consumer.position(at) == 70, "position", consumer.position(at));
        }
        try (var again = consumer(group)) {
            OffsetAndMetadata found = again.committed(Set.of(at)).get(at);
            that(found.offset() == 70 && found.metadata().equals("a note"), "committed", found);
        }
        out.say("step", "committed");
    }

    private void expectBounds(KafkaConsumer<?, ?> consumer, TopicPartition at, long end) {
        that(consumer.beginningOffsets(Set.of(at)).get(at) == 0, "beginning");
        that(consumer.endOffsets(Set.of(at)).get(at) == end, "end", consumer.endOffsets(Set.of(at)));
    }

    private void expectTime(KafkaConsumer<?, ?> consumer, TopicPartition at, long ms, Long offset) {
        var found = consumer.offsetsForTimes(Map.of(at, ms)).get(at);
        that(offset == null ? found == null : found.offset() == offset, "offset for time", ms, found);
    }

    /** Two members share a topic, one leaves, the group restarts and resumes at the committed offsets. */
    private void group() throws Exception {
        int partitions = 4;
        String topic = newTopic("group", partitions, Map.of());
        String name = "group-" + suffix();

        Member alone = new Member(name, topic);
        eventually("all partitions", () -> alone.assigned().size() == partitions);
        Member other = new Member(name, topic);
        eventually("an even split", () -> alone.assigned().size() == 2 && other.assigned().size() == 2);
        produce(Sample.plainSet(0, 400, partitions, 50), topic);
        eventually("all records", () -> alone.keys().size() + other.keys().size() == 400);
        that(alone.count() + other.count() == 400 && other.count() > 0, "shares", alone.count(), other.count());
        out.say("step", "split");

        other.leave();
        eventually("all partitions again", () -> alone.assigned().size() == partitions);
        produce(Sample.plainSet(400, 400, partitions, 50), topic);
        eventually("the rest", () -> alone.keys().size() + other.keys().size() == 800);
        alone.leave();
        out.say("step", "left");

        produce(Sample.plainSet(800, 100, partitions, 50), topic);
        Member resumed = new Member(name, topic);
        eventually("missed records", () -> resumed.keys().size() >= 100);
        Thread.sleep(300);
        resumed.leave();
        Set<String> missed = IntStream.range(800, 900).mapToObj(String::valueOf).collect(Collectors.toSet());
        that(resumed.keys().equals(missed) && resumed.count() == 100, "resumed with", resumed.count());
        out.say("step", "resumed");
    }

    /** A group member on its own thread; commits what it saw when it leaves. */
    final class Member extends Thread {
        private final String group;
        private final String topic;
        private final List<Sample> records = new ArrayList<>();
        private Set<Integer> assigned = Set.of();
        private volatile boolean leaving;
        private volatile Throwable error;

        Member(String group, String topic) {
            this.group = group;
            this.topic = topic;
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try (var consumer = consumer(group)) {
                consumer.subscribe(List.of(topic));
                while (!leaving) {
                    List<Sample> found = poll(consumer);
                    synchronized (this) {
                        records.addAll(found);
                        assigned = consumer.assignment().stream().map(TopicPartition::partition)
                            .collect(Collectors.toSet());
                    }
                }
                consumer.commitSync();
            } catch (Throwable failure) {
                error = failure;
            }
        }

        void leave() throws InterruptedException {
            leaving = true;
            join(WAIT_SECONDS * 1000L);
            that(!isAlive(), "member did not leave in time");
            assigned();
        }

        synchronized Set<Integer> assigned() {
            if (error != null) throw new AssertionError(error);
            return assigned;
        }

        synchronized Set<String> keys() {
            if (error != null) throw new AssertionError(error);
            return records.stream().map(record -> new String(record.key())).collect(Collectors.toSet());
        }

        synchronized int count() {
            return records.size();
        }
    }

    String newTopic(String scenario, int partitions, Map<String, String> configs) throws Exception {
        String name = scenario + "-" + suffix();
        Map<String, String> all = new HashMap<>(Map.of("retention.ms", "-1"));
        all.putAll(configs);
        admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(all))).all().get();
        eventually("topic " + name, () -> AdminScenario.partitionCount(admin, name) == partitions);
        // Answered by leaders alone. Kafka refuses a producer's first batch until its leader is ready, takes
        // the second one that was under way, and then finds the first out of order until it expires.
        admin.listOffsets(IntStream.range(0, partitions).boxed().collect(
            Collectors.toMap(partition -> new TopicPartition(name, partition), partition -> OffsetSpec.latest()))).all().get();
        return name;
    }

    static String suffix() {
        return UUID.randomUUID().toString().substring(0, 8);
    }

    /** Sends all, waits for all answers, returns the offsets (−1 where none was asked for). */
    List<Long> produce(List<Sample> records, String topic, Object... settings) throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "linger.ms", 5, "max.request.size", 2 << 20,
            "acks", "all", "enable.idempotence", true));
        for (int i = 0; i < settings.length; i += 2) config.put((String) settings[i], settings[i + 1]);
        List<Long> offsets = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (Sample record : records) answers.add(producer.send(record.to(topic)));
            producer.flush();
            for (Future<RecordMetadata> answer : answers) offsets.add(answer.get().offset());
        }
        return offsets;
    }

    List<Sample> read(String topic, int count, int partitions) throws Exception {
        return read(topic, count, partitions, "read_uncommitted");
    }

    List<Sample> read(String topic, int count, int partitions, String isolation) throws Exception {
        List<Sample> found = new ArrayList<>();
        try (var consumer = consumer(null, "isolation.level", isolation)) {
            List<TopicPartition> all = IntStream.range(0, partitions)
                .mapToObj(partition -> new TopicPartition(topic, partition)).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            eventually(count + " records", () -> {
                found.addAll(poll(consumer));
                return found.size() >= count;
            });
            found.addAll(poll(consumer));
        }
        that(found.size() == count, "read", found.size(), "records, not", count);
        found.sort(Sample.BY_PLACE);
        return found;
    }

    static List<Sample> poll(KafkaConsumer<byte[], byte[]> consumer) {
        List<Sample> found = new ArrayList<>();
        consumer.poll(Duration.ofMillis(200)).forEach(record -> found.add(Sample.of(record)));
        return found;
    }

    KafkaConsumer<byte[], byte[]> consumer(String group, Object... settings) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        config.put("session.timeout.ms", 10_000);
        config.put("heartbeat.interval.ms", 500);
        if (group != null) config.put("group.id", group);
        for (int i = 0; i < settings.length; i += 2) config.put(settings[i], settings[i + 1]);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
