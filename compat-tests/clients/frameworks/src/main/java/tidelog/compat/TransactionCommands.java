package tidelog.compat;

import static tidelog.compat.Check.eventually;

import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** kafka-transactions on an open transaction, the transactional copier and load generator. */
final class TransactionCommands {
    private final Scenarios scenarios;
    private final String name = "tools-" + Scenarios.suffix();

    TransactionCommands(Scenarios scenarios) {
        this.scenarios = scenarios;
    }

    void run() throws Exception {
        open();
        copy();
        load();
    }

    private void open() throws Exception {
        String topic = scenarios.newTopic("open", 1, Map.of());
        var producer = new KafkaProducer<>(Map.of("bootstrap.servers", scenarios.bootstrap, "transactional.id", name),
            new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        tool("list").says(name + "\\s+\\d+\\s+\\d+\\s+Empty");
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, "left open")).get();
        tool("list").says(name + "\\s+\\d+\\s+\\d+\\s+Ongoing");
        tool("describe", "--transactional-id", name).says(name + "\\s.*Ongoing.*" + topic + "-0");
        tool("describe-producers", "--topic", topic, "--partition", 0).says("^\\d+\\s+\\d+\\s+.*\\s0\\s*$");
        tool("find-hanging", "--broker-id", scenarios.admin.describeCluster().controller().get().id()).lacks(topic);
        tool("abort", "--topic", topic, "--partition", 0, "--start-offset", 0);
        eventually("the partition without it", () -> !tool("describe-producers", "--topic", topic, "--partition", 0)
            .text().matches("(?s).*\\s0\\s*$"));
        scenarios.out.say("step", "aborted");

        tool("forceTerminateTransaction", "--transactionalId", name);
        eventually("an end", () -> tool("describe", "--transactional-id", name).text().matches("(?s).*(CompleteAbort|Empty).*"));
        producer.close(java.time.Duration.ZERO);
        scenarios.out.say("step", "terminated");
    }

    private void copy() throws Exception {
        String source = scenarios.newTopic("copied", 1, Map.of());
        String target = scenarios.newTopic("copy", 1, Map.of());
        scenarios.produce(Sample.plainSet(0, 300, 1, 50), source);
        Tool.ok("TransactionalMessageCopier", "--broker-list", scenarios.bootstrap, "--transactional-id", "copier-" + name,
            "--consumer-group", "copier-" + name, "--input-topic", source, "--input-partition", 0, "--output-topic", target,
            "--transaction-size", 50, "--max-messages", 300, "--enable-random-aborts", "--group-mode")
            .says("\"totalProcessed\":300,.*\"remaining\":0");
        Check.that(scenarios.read(target, 300, 1, "read_committed").size() == 300, "the copy");
        scenarios.out.say("step", "copied");
    }

    private void load() throws Exception {
        String topic = scenarios.newTopic("load", 1, Map.of());
        Tool.ok("ProducerPerformance", "--bootstrap-server", scenarios.bootstrap, "--topic", topic, "--num-records", 5000,
            "--record-size", 100, "--throughput", -1, "--transactional-id", "load-" + name, "--transaction-duration-ms", 20)
            .says("5000 records sent");
        Check.that(scenarios.read(topic, 5000, 1, "read_committed").size() == 5000, "the load");
        scenarios.out.say("step", "load");
    }

    private Tool tool(Object... arguments) throws Exception {
        return Tool.ok("TransactionsCommand", TopicCommands.with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }
}
