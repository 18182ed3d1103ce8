package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Transactions; see clients/python/transactions.py. */
final class TransactionScenario {
    private static final int COUNT = 30;

    private final Scenarios scenarios;

    TransactionScenario(Scenarios scenarios) {
        this.scenarios = scenarios;
    }

    void run() throws Exception {
        visibility();
        offsets();
        fencing();
    }

    /** Aborted records stay unseen; an open transaction holds back what follows it in the partition. */
    private void visibility() throws Exception {
        String topic = scenarios.newTopic("transactions", Sample.PARTITIONS, Map.of());
        try (var producer = transactor("visibility-" + Scenarios.suffix())) {
            producer.beginTransaction();
            send(producer, topic, numbered(0));
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, topic, numbered(1));
            producer.abortTransaction();
            expect(topic, "read_committed", numbered(0));
            expect(topic, "read_uncommitted", numbered(0, 1));
            scenarios.out.say("step", "aborted");

            producer.beginTransaction();
            send(producer, topic, numbered(2));
            scenarios.produce(numbered(3), topic);
            expect(topic, "read_committed", numbered(0));
            producer.commitTransaction();
            expect(topic, "read_committed", numbered(0, 2, 3));
            scenarios.out.say("step", "open");
        }
    }

    /** Read, write and commit the position in one transaction: all of it counts, or nothing. */
    private void offsets() throws Exception {
        String source = scenarios.newTopic("source", 1, Map.of());
        String target = scenarios.newTopic("target", 1, Map.of());
        String group = "transactions-" + Scenarios.suffix();
        List<Sample> sent = Sample.plainSet(0, 100, 1, 50);
        scenarios.produce(sent, source);
        try (var producer = transactor("offsets-" + Scenarios.suffix())) {
            copy(producer, group, source, target, sent.size());
            producer.abortTransaction();
            that(committed(group, source) == null, "the offset of an aborted transaction:", committed(group, source));
            scenarios.out.say("step", "offsets aborted");
            copy(producer, group, source, target, sent.size());
            producer.commitTransaction();
        }
        eventually("the position", () -> {
            OffsetAndMetadata found = committed(group, source);
            return found != null && found.offset() == sent.size();
        });
        expect(target, "read_committed", sent);
        scenarios.out.say("step", "offsets committed");
    }

    private void copy(KafkaProducer<byte[], byte[]> producer, String group, String source, String target, int count)
        throws Exception {
        try (var consumer = scenarios.consumer(group, "isolation.level", "read_committed")) {
            consumer.subscribe(List.of(source));
            List<Sample> found = new ArrayList<>();
            eventually("the source", () -> {
                found.addAll(Scenarios.poll(consumer));
                return found.size() >= count;
            });
            producer.beginTransaction();
            send(producer, target, found);
            var end = new OffsetAndMetadata(found.get(found.size() - 1).offset() + 1);
            producer.sendOffsetsToTransaction(Map.of(new TopicPartition(source, 0), end), consumer.groupMetadata());
        }
    }

    private OffsetAndMetadata committed(String group, String topic) {
        TopicPartition at = new TopicPartition(topic, 0);
        try (var consumer = scenarios.consumer(group)) {
            return consumer.committed(Set.of(at)).get(at);
        }
    }

    /** The second producer of a name ends what the first left open and shuts it out. */
    private void fencing() throws Exception {
        String topic = scenarios.newTopic("fencing", Sample.PARTITIONS, Map.of());
        String name = "fencing-" + Scenarios.suffix();
        try (var first = transactor(name); var second = begun(first, name, topic)) {
            send(second, topic, numbered(1));
            try {
                send(first, topic, numbered(2));
                first.commitTransaction();
                that(false, "the first producer was not shut out");
            } catch (Exception error) {
                String said = (error + " " + error.getCause()).toLowerCase();
                that(said.contains("fenced") || said.contains("epoch"), "shut out by", error);
            }
            second.commitTransaction();
        }
        expect(topic, "read_committed", numbered(1));
        scenarios.out.say("step", "fenced");
    }

    /** Leaves a transaction of the first producer open and begins one of a second producer of its name. */
    private KafkaProducer<byte[], byte[]> begun(KafkaProducer<byte[], byte[]> first, String name, String topic)
        throws Exception {
        first.beginTransaction();
        send(first, topic, numbered(0));
        var second = transactor(name);
        second.beginTransaction();
        return second;
    }

    private KafkaProducer<byte[], byte[]> transactor(String name) {
        var producer = new KafkaProducer<>(
            Map.of("bootstrap.servers", scenarios.bootstrap, "transactional.id", name),
            new ByteArraySerializer(), new ByteArraySerializer());
        producer.initTransactions();
        return producer;
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, String topic, List<Sample> records)
        throws Exception {
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        for (Sample record : records) answers.add(producer.send(record.to(topic)));
        producer.flush();
        for (Future<RecordMetadata> answer : answers) answer.get();
    }

    private static List<Sample> numbered(int... rounds) {
        return Arrays.stream(rounds).boxed()
            .flatMap(round -> Sample.plainSet(round * COUNT, COUNT, Sample.PARTITIONS, 50).stream()).toList();
    }

    /** Each partition holds these records in the order sent; markers take offsets between them. */
    private void expect(String topic, String isolation, List<Sample> sent) throws Exception {
        int partitions = 1 + sent.stream().mapToInt(Sample::partition).max().orElse(0);
        List<Sample> found = scenarios.read(topic, sent.size(), partitions, isolation);
        List<Sample> wanted = sent.stream().sorted(Comparator.comparingInt(Sample::partition)).toList();
        for (int i = 0; i < wanted.size(); i++) {
            Sample want = wanted.get(i);
            Sample got = found.get(i);
            that(got.partition() == want.partition() && Arrays.equals(got.key(), want.key())
                && Arrays.equals(got.value(), want.value()), "found", got, "not", want);
        }
    }
}
