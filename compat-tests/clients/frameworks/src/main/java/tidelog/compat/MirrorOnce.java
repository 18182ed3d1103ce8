package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.mirror.MirrorMaker;

/**
 * MirrorMaker 2 with exactly-once support from another cluster into ours, killed in the midst of its work:
 * what was committed there arrives once and in order, and nothing of what was aborted.
 */
final class MirrorOnce {
    private static final int TRANSACTIONS = 60;
    private static final int SIZE = 500;
    private static final int KILLS = 2;

    private final Scenarios ours;
    private final Scenarios theirs;
    private final Path home;
    private String topic;

    MirrorOnce(Scenarios ours, Scenarios theirs) throws Exception {
        this.ours = ours;
        this.theirs = theirs;
        home = Files.createTempDirectory("tidelog-mirror-");
    }

    void run() throws Exception {
        topic = theirs.newTopic("once", Sample.PARTITIONS, Map.of());
        List<Sample> committed = write();
        int round = 0;
        Process mirror = start(round);
        try {
            for (; round < KILLS; round++) {
                long wanted = (long) committed.size() * (round + 1) / (KILLS + 2);
                awaitCopied(wanted, mirror, round);
                mirror.destroyForcibly().waitFor();
                long end = copied();
                that(end < committed.size(), "all", end, "records were there before the kill");
                ours.out.say("step", "killed", "records", end);
                mirror = start(round + 1);
            }
            awaitCopied(committed.size(), mirror, round);
            mirror.destroy();
            that(mirror.waitFor() == 143, "exit code", mirror.exitValue());
        } finally {
            mirror.destroyForcibly();
        }
        expect(committed);
        ours.out.say("step", "all once", "records", committed.size());
    }

    /** Transactions on all partitions, each third aborted; the records of the others. */
    private List<Sample> write() throws Exception {
        List<Sample> committed = new ArrayList<>();
        Map<String, Object> config = Map.of("bootstrap.servers", theirs.bootstrap, "transactional.id", topic, "linger.ms", 5);
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            for (int round = 0; round < TRANSACTIONS; round++) {
                List<Sample> records = Sample.plainSet(round * SIZE, SIZE, Sample.PARTITIONS, 100);
                producer.beginTransaction();
                for (Sample record : records) producer.send(record.to(topic));
                if (round % 3 == 2) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                    committed.addAll(records);
                }
            }
        }
        return committed;
    }

    private Process start(int round) throws Exception {
        Path file = home.resolve("mirror.properties");
        Properties properties = new Properties();
        properties.putAll(config());
        try (var to = Files.newOutputStream(file)) {
            properties.store(to, null);
        }
        File said = home.resolve("said-" + round + ".txt").toFile();
        return new ProcessBuilder("java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dtidelog.log=warn",
            "-cp", System.getProperty("java.class.path"), MirrorMaker.class.getName(), file.toString())
            .redirectErrorStream(true).redirectOutput(said).start();
    }

    private Map<String, String> config() {
        Map<String, String> config = new HashMap<>(Map.of(
            "clusters", "ours, theirs",
            "ours.bootstrap.servers", ours.bootstrap,
            "theirs.bootstrap.servers", theirs.bootstrap,
            "theirs->ours.enabled", "true",
            "theirs->ours.topics", topic,
            "emit.checkpoints.enabled", "false",
            "emit.heartbeats.enabled", "false",
            "sync.topic.acls.enabled", "false",
            "replication.factor", "1",
            "tasks.max", "2"));
        for (String kind : List.of("offset", "status", "config")) {
            config.put(kind + ".storage.replication.factor", "1");
        }
        config.put("offset-syncs.topic.replication.factor", "1");
        config.put("dedicated.mode.enable.internal.rest", "true");
        config.put("listeners", "http://127.0.0.1:0");
        config.put("ours.exactly.once.source.support", "enabled");
        config.put("ours.session.timeout.ms", "6000");
        config.put("ours.heartbeat.interval.ms", "1000");
        config.put("ours.scheduled.rebalance.max.delay.ms", "0");
        // What a killed one left open holds its successor up until then.
        config.put("ours.producer.transaction.timeout.ms", "5000");
        config.put("theirs.consumer.isolation.level", "read_committed");
        // Small transactions, so that a kill meets one.
        config.put("theirs.consumer.max.poll.records", "50");
        return config;
    }

    private String mirrored() {
        return "theirs." + topic;
    }

    private void awaitCopied(long count, Process mirror, int round) throws Exception {
        eventually(count + " records", () -> {
            that(mirror.isAlive(), "MirrorMaker ended:", Files.readString(home.resolve("said-" + round + ".txt")));
            return copied() >= count;
        });
    }

    /** Records of transactions that were committed. */
    private long copied() throws Exception {
        if (AdminScenario.partitionCount(ours.admin, mirrored()) != Sample.PARTITIONS) return 0;
        long count = 0;
        try (var consumer = ours.consumer(null, "isolation.level", "read_committed", "max.poll.records", 100_000)) {
            List<TopicPartition> all = IntStream.range(0, Sample.PARTITIONS)
                .mapToObj(partition -> new TopicPartition(mirrored(), partition)).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            while (!all.stream().allMatch(at -> consumer.position(at) >= ends.get(at))) {
                count += Scenarios.poll(consumer).size();
            }
        }
        return count;
    }

    /** The same in the same order, whatever their offsets. */
    private void expect(List<Sample> committed) throws Exception {
        List<Sample> found = ours.read(mirrored(), committed.size(), Sample.PARTITIONS, "read_committed");
        Sample.expectSame(ranked(found), ranked(committed));
    }

    private static List<Sample> ranked(List<Sample> records) {
        long[] next = new long[Sample.PARTITIONS];
        return records.stream().sorted(Sample.BY_PLACE).map(record -> new Sample(record.partition(),
            next[record.partition()]++, record.key(), record.value(), record.headers(), record.timestampMs())).toList();
    }
}
