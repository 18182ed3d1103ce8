package tidelog.compat;

import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A long life with a bad broker; see clients/python/soak.py. */
final class Soak {
    private static final int PARTITIONS = 6;
    private static final String EVENTS = "events";
    private static final String COPIES = "copies";
    private static final double ABORTED = 0.15;

    private final String bootstrap;
    private final String process;
    private final String family;
    private final PrintStream history;
    private volatile boolean stop;
    private volatile boolean end;

    private interface Work {
        void as(String name) throws Exception;
    }

    /** A record to send: its partition, and what follows in the value after writer, transaction and count. */
    private record Item(int partition, String rest) {}

    Soak(String bootstrap, String path) throws IOException {
        this.bootstrap = bootstrap;
        process = Path.of(path).getFileName().toString().replace(".jsonl", "");
        family = process.split("-")[0];
        history = new PrintStream(new FileOutputStream(path, true), false, StandardCharsets.UTF_8);
    }

    void run() throws Exception {
        Map<String, Work> writers = new LinkedHashMap<>();
        if (!process.startsWith("final")) {
            writers.put("txn", this::writeTransactions);
            writers.put("idem", this::writePlainly);
            writers.put("copy", this::copy);
        }
        Map<String, Work> readers = new LinkedHashMap<>();
        readers.put("rc", name -> read(name, "committed"));
        readers.put("ru", name -> read(name, "uncommitted"));
        say("hello", "\"process\":" + text(process) + ",\"writers\":" + names(writers) + ",\"readers\":" + names(readers));

        Map<String, Thread> threads = new HashMap<>();
        Map<String, Work> roles = new LinkedHashMap<>(writers);
        roles.putAll(readers);
        roles.forEach((role, work) -> threads.put(role, play(work, process + "-" + role)));

        var commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            if (!line.strip().equals("stop")) continue;
            stop = true;
            for (String role : List.of("txn", "idem")) {
                if (threads.containsKey(role)) threads.get(role).join();
            }
            say("stopped", "\"process\":" + text(process));
        }
        stop = true;
        end = true;
        for (Thread thread : threads.values()) thread.join(30_000);
    }

    private Thread play(Work work, String name) {
        Thread thread = new Thread(() -> {
            try {
                work.as(name);
            } catch (Throwable error) {
                note(name, "ENDED BY " + error);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    // Lines

    private synchronized void say(String op, String fields) {
        history.print("{\"op\":\"" + op + "\",\"at\":" + System.currentTimeMillis() + "," + fields + "}\n");
        history.flush();
    }

    private void note(String who, Object text) {
        String said = String.valueOf(text);
        say("note", "\"who\":" + text(who) + ",\"text\":" + text(said.substring(0, Math.min(300, said.length()))));
    }

    private static String text(String value) {
        return Main.json(value);
    }

    private String names(Map<String, Work> roles) {
        return roles.keySet().stream().map(role -> text(process + "-" + role)).collect(Collectors.joining(",", "[", "]"));
    }

    private void sending(String writer, long txn, String topic, List<Item> items, long first) {
        String records = IntStream.range(0, items.size())
            .mapToObj(n -> "[" + items.get(n).partition + "," + (first + n) + "]").collect(Collectors.joining(",", "[", "]"));
        say("send", "\"writer\":" + text(writer) + ",\"txn\":" + txn + ",\"topic\":" + text(topic) + ",\"records\":" + records);
    }

    // Writers

    private Map<String, Object> producer(Object... more) {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "acks", "all", "request.timeout.ms", 6000, "max.block.ms", 30_000,
            "reconnect.backoff.max.ms", 500, "key.serializer", StringSerializer.class,
            "value.serializer", StringSerializer.class));
        for (int i = 0; i < more.length; i += 2) config.put((String) more[i], more[i + 1]);
        return config;
    }

    private void writeTransactions(String name) throws Exception {
        Transactor transactor = new Transactor(name);
        var random = ThreadLocalRandom.current();
        while (!stop) {
            int count = random.nextDouble() < 0.97 ? random.nextInt(1, 9) : 200;
            List<Item> items = IntStream.range(0, count).mapToObj(n -> new Item(random.nextInt(PARTITIONS), "")).toList();
            transactor.run(EVENTS, items, random.nextDouble() >= ABORTED, null, null);
            Thread.sleep(random.nextInt(50, 400));
        }
    }

    private void writePlainly(String name) throws Exception {
        var random = ThreadLocalRandom.current();
        long seq = 1;
        for (int generation = 1; !stop; generation++) {
            String writer = name + "." + generation; // What the old one still has under way may yet arrive.
            var pending = ConcurrentHashMap.newKeySet();
            boolean[] failed = {false};
            try (var producer = new KafkaProducer<String, String>(producer(
                "enable.idempotence", true, "delivery.timeout.ms", Integer.MAX_VALUE, "linger.ms", 5))) {
                while ((!stop || !pending.isEmpty()) && !failed[0]) {
                    if (!stop && pending.size() < 500) {
                        List<Item> items = IntStream.range(0, random.nextInt(1, 8))
                            .mapToObj(n -> new Item(random.nextInt(PARTITIONS), "")).toList();
                        sending(writer, 0, EVENTS, items, seq);
                        for (Item item : items) {
                            long number = seq++;
                            pending.add(number);
                            producer.send(new ProducerRecord<>(EVENTS, item.partition, null, writer + " 0 " + number),
                                (metadata, error) -> {
                                    if (error != null) {
                                        failed[0] = true;
                                        note(writer, number + ": " + error);
                                    } else {
                                        say("acked", "\"writer\":" + text(writer) + ",\"records\":[[" + number + ","
                                            + metadata.offset() + "]]");
                                    }
                                    pending.remove(number);
                                });
                        }
                    }
                    Thread.sleep(random.nextInt(20, 250));
                }
            } catch (KafkaException error) {
                note(writer, error);
            }
        }
    }

    /** A transactional producer that is replaced when it is beyond help. */
    private final class Transactor {
        private final String name;
        private final String id;
        private long txn;
        private long seq = 1;
        private KafkaProducer<String, String> producer;

        Transactor(String name) {
            this.name = name;
            id = name.replace(process, family);
        }

        /** One transaction; whether it is known to be committed. */
        boolean run(String topic, List<Item> items, boolean wanted, Map<TopicPartition, OffsetAndMetadata> positions,
                KafkaConsumer<String, String> group) {
            if (!ready()) return false;
            txn++;
            long first = seq;
            seq += items.size();
            sending(name, txn, topic, items, first);
            String outcome = "unknown";
            try {
                outcome = transact(topic, items, first, wanted, positions, group);
            } catch (KafkaException | IllegalStateException error) {
                note(name, txn + ": " + error);
                drop();
            }
            say("end", "\"writer\":" + text(name) + ",\"txn\":" + txn + ",\"outcome\":" + text(outcome));
            return outcome.equals("committed");
        }

        private String transact(String topic, List<Item> items, long first, boolean wanted,
                Map<TopicPartition, OffsetAndMetadata> positions, KafkaConsumer<String, String> group) {
            producer.beginTransaction();
            try {
                long number = first;
                for (Item item : items) {
                    String value = name + " " + txn + " " + number++ + item.rest;
                    producer.send(new ProducerRecord<>(topic, item.partition, null, value));
                }
                if (positions != null) producer.sendOffsetsToTransaction(positions, group.groupMetadata());
                if (wanted) {
                    ending(true);
                    patiently(producer::commitTransaction);
                    return "committed";
                }
                if (ThreadLocalRandom.current().nextBoolean()) producer.flush();
            } catch (KafkaException error) {
                note(name, txn + ": abort after " + error); // If it is beyond that, abort says so.
            }
            ending(false);
            patiently(producer::abortTransaction);
            return "aborted";
        }

        private void ending(boolean commit) {
            say("ending", "\"writer\":" + text(name) + ",\"txn\":" + txn + ",\"commit\":" + commit);
        }

        private void patiently(Runnable call) {
            while (true) {
                try {
                    call.run();
                    return;
                } catch (TimeoutException error) {
                    if (end) throw error;
                }
            }
        }

        private boolean ready() {
            if (producer != null) return true;
            try {
                producer = new KafkaProducer<>(producer("transactional.id", id, "transaction.timeout.ms", 20_000,
                    "delivery.timeout.ms", 20_000, "linger.ms", 2));
                producer.initTransactions();
                return true;
            } catch (KafkaException error) {
                note(name, "not ready: " + error);
                drop();
                return false;
            }
        }

        private void drop() {
            if (producer != null) producer.close(Duration.ZERO);
            producer = null;
        }
    }

    // Consume, transform, produce

    private KafkaConsumer<String, String> consumer(String isolation, Object... more) {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "isolation.level", "read_" + isolation, "auto.offset.reset", "earliest",
            "enable.auto.commit", false, "request.timeout.ms", 6000, "reconnect.backoff.max.ms", 500,
            "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class));
        for (int i = 0; i < more.length; i += 2) config.put((String) more[i], more[i + 1]);
        return new KafkaConsumer<>(config);
    }

    private void copy(String name) {
        Transactor transactor = new Transactor(name);
        while (!end) {
            try (var consumer = consumer("committed", "group.id", "copiers", "session.timeout.ms", 8000,
                "heartbeat.interval.ms", 1000, "max.poll.interval.ms", 120_000, "max.poll.records", 100,
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor")) {
                consumer.subscribe(List.of(EVENTS));
                while (!end) copyOnce(consumer, transactor);
            } catch (KafkaException error) {
                note(name, "new consumer: " + error);
            }
        }
    }

    private void copyOnce(KafkaConsumer<String, String> consumer, Transactor transactor) {
        List<Item> items = new ArrayList<>();
        Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
        for (ConsumerRecord<String, String> found : consumer.poll(Duration.ofMillis(300))) {
            items.add(new Item(found.partition(), " " + found.offset()));
            positions.put(new TopicPartition(EVENTS, found.partition()), new OffsetAndMetadata(found.offset() + 1));
        }
        boolean wanted = ThreadLocalRandom.current().nextDouble() >= ABORTED;
        if (items.isEmpty() || transactor.run(COPIES, items, wanted, positions, consumer)) return;
        var known = consumer.committed(consumer.assignment());
        for (TopicPartition partition : consumer.assignment()) {
            OffsetAndMetadata position = known.get(partition);
            consumer.seek(partition, position == null ? 0 : position.offset());
        }
    }

    // Readers

    private void read(String name, String isolation) {
        try (var consumer = consumer(isolation, "fetch.max.wait.ms", 200)) {
            List<TopicPartition> all = List.of(EVENTS, COPIES).stream().flatMap(topic ->
                IntStream.range(0, PARTITIONS).mapToObj(partition -> new TopicPartition(topic, partition))).toList();
            consumer.assign(all);
            all.forEach(partition -> consumer.seek(partition, 0));
            while (!end) {
                var found = consumer.poll(Duration.ofMillis(300));
                for (String topic : List.of(EVENTS, COPIES)) {
                    List<String> records = new ArrayList<>();
                    for (var record : found.records(topic)) {
                        records.add("[" + record.partition() + "," + record.offset() + "," + text(record.value()) + "]");
                    }
                    if (records.isEmpty()) continue;
                    say("poll", "\"reader\":" + text(name) + ",\"isolation\":" + text(isolation) + ",\"topic\":" + text(topic)
                        + ",\"records\":[" + String.join(",", records) + "]");
                }
            }
        }
    }
}
