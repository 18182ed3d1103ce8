package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * Kafka Streams counts words through a repartition topic and a state store with a changelog. Nothing is
 * cached, so that the output holds 1, 2, 3, … for each word: a lost or doubled record breaks the sequence.
 */
final class WordCount {
    private static final int PARTITIONS = 3;
    private static final int WORDS_PER_LINE = 3;

    private final Scenarios scenarios;
    private final String guarantee;
    private final String application = "words-" + Scenarios.suffix();
    private final Path state;
    private final String input;
    private final String output;
    private final AtomicLong restored = new AtomicLong();
    /** Records until the processing fails once; never at 0. */
    private final AtomicInteger fuse = new AtomicInteger();
    private int lines;

    WordCount(Scenarios scenarios, String guarantee) throws Exception {
        this.scenarios = scenarios;
        this.guarantee = guarantee;
        state = Files.createTempDirectory("tidelog-streams-");
        input = scenarios.newTopic("lines", PARTITIONS, Map.of());
        output = scenarios.newTopic("counts", 2, Map.of());
    }

    void run() throws Exception {
        write(200);
        try (var streams = start()) {
            expectCounts();
            expectStore(streams);
            expectInternalTopics();
        }
        scenarios.out.say("step", "counted");

        write(200);
        // Without transactions what was counted before a failure is counted again.
        if (guarantee.startsWith("exactly")) fuse.set(250);
        try (var streams = start()) {
            expectCounts();
            that(fuse.get() <= 0, "the failure did not happen");
        }
        scenarios.out.say("step", "went on");

        write(100);
        try (var streams = new KafkaStreams(topology(), config())) {
            streams.cleanUp();
        }
        restored.set(0);
        try (var streams = start()) {
            expectCounts();
            that(restored.get() > 0, "nothing was restored from the changelog");
            expectStore(streams);
        }
        scenarios.out.say("step", "restored", "records", restored.get());
        reset();
    }

    private KafkaStreams start() {
        KafkaStreams streams = new KafkaStreams(topology(), config());
        streams.setUncaughtExceptionHandler(error -> StreamThreadExceptionResponse.REPLACE_THREAD);
        streams.setGlobalStateRestoreListener(new Restored());
        streams.start();
        return streams;
    }

    private Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(input)
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word)
            .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
                .withValueSerde(Serdes.Long()).withCachingDisabled())
            .toStream()
            .peek((word, count) -> {
                if (fuse.getAndDecrement() == 1) throw new IllegalStateException("the failure of this story");
            })
            .mapValues(String::valueOf)
            .to(output);
        return builder.build();
    }

    private Properties config() {
        Properties config = new Properties();
        config.put("application.id", application);
        config.put("bootstrap.servers", scenarios.bootstrap);
        config.put("processing.guarantee", guarantee);
        config.put("default.key.serde", Serdes.StringSerde.class);
        config.put("default.value.serde", Serdes.StringSerde.class);
        config.put("num.stream.threads", 2);
        config.put("state.dir", state.toString());
        config.put("commit.interval.ms", 200);
        config.put("repartition.purge.interval.ms", 500);
        // Streams' members do not say when they leave; the broker's lowest limit is waited for.
        config.put("session.timeout.ms", 6000);
        config.put("heartbeat.interval.ms", 500);
        return config;
    }

    private void write(int count) throws Exception {
        List<Sample> records = new ArrayList<>();
        for (int n = lines; n < lines + count; n++) {
            byte[] line = line(n).getBytes(StandardCharsets.UTF_8);
            records.add(new Sample(n % PARTITIONS, 0, null, line, List.of(), Sample.EPOCH_MS + n));
        }
        scenarios.produce(records, input);
        lines += count;
    }

    private static String line(int n) {
        return "every by-seven-" + n % 7 + " by-thirteen-" + n % 13;
    }

    private Map<String, Long> counts() {
        return IntStream.range(0, lines).boxed().flatMap(n -> List.of(line(n).split(" ")).stream())
            .collect(Collectors.groupingBy(word -> word, TreeMap::new, Collectors.counting()));
    }

    private void expectCounts() throws Exception {
        List<Sample> found = scenarios.read(output, lines * WORDS_PER_LINE, 2, "read_committed");
        Map<String, Long> last = new TreeMap<>();
        for (Sample record : found) {
            String word = new String(record.key(), StandardCharsets.UTF_8);
            long count = Long.parseLong(new String(record.value(), StandardCharsets.UTF_8));
            that(count == last.getOrDefault(word, 0L) + 1, word, "goes from", last.get(word), "to", count);
            last.put(word, count);
        }
        that(last.equals(counts()), last, "not", counts());
    }

    private void expectStore(KafkaStreams streams) throws Exception {
        eventually("a running application", () -> streams.state() == KafkaStreams.State.RUNNING);
        var store = streams.store(StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.<String, Long>keyValueStore()));
        Map<String, Long> found = new TreeMap<>();
        try (var all = store.all()) {
            all.forEachRemaining(entry -> found.put(entry.key, entry.value));
        }
        that(found.equals(counts()), "store", found, "not", counts());
    }

    /** Streams asks for compaction, for no retention, and deletes what it has taken from between its steps. */
    private void expectInternalTopics() throws Exception {
        String changelog = application + "-counts-changelog";
        String between = application + "-counts-repartition";
        that(config(changelog).get("cleanup.policy").value().equals("compact"), config(changelog).get("cleanup.policy"));
        that(config(between).get("cleanup.policy").value().equals("delete"), config(between).get("cleanup.policy"));
        that(config(between).get("retention.ms").value().equals("-1"), config(between).get("retention.ms"));
        var starts = IntStream.range(0, PARTITIONS).boxed()
            .collect(Collectors.toMap(partition -> new TopicPartition(between, partition), partition -> OffsetSpec.earliest()));
        eventually("records deleted from " + between, () -> scenarios.admin.listOffsets(starts).all().get().values().stream()
            .anyMatch(start -> start.offset() > 0));
    }

    private Config config(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return scenarios.admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    /** kafka-streams-application-reset puts the input back to its start and deletes the internal topics. */
    private void reset() throws Exception {
        Tool.ok("StreamsResetter", "--bootstrap-server", scenarios.bootstrap, "--application-id", application,
            "--input-topics", input, "--force").says(application + "-counts-changelog");
        eventually("no internal topics", () -> scenarios.admin.listTopics().names().get().stream()
            .noneMatch(name -> name.startsWith(application)));
        long committed = scenarios.admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get()
            .get(new TopicPartition(input, 0)).offset();
        that(committed == 0, "the input is at", committed);
        scenarios.out.say("step", "reset");
    }

    private final class Restored implements StateRestoreListener {
        @Override
        public void onRestoreStart(TopicPartition partition, String store, long start, long end) {}

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long end, long count) {
            restored.addAndGet(count);
        }

        @Override
        public void onRestoreEnd(TopicPartition partition, String store, long total) {}
    }
}
