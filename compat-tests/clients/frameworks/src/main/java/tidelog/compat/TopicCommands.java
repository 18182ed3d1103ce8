package tidelog.compat;

import static tidelog.compat.Check.eventually;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** kafka-topics, kafka-configs, kafka-console-producer and -consumer, kafka-get-offsets, kafka-delete-records. */
final class TopicCommands {
    private final Scenarios scenarios;
    private final String topic = "tools-" + Scenarios.suffix();

    TopicCommands(Scenarios scenarios) {
        this.scenarios = scenarios;
    }

    void run() throws Exception {
        topics();
        configs();
        records();
        end();
    }

    private void topics() throws Exception {
        Object[] create = {"--create", "--topic", topic, "--partitions", 3, "--replication-factor", 1};
        topics(with(create, "--config", "retention.ms=3600000")).says("Created topic " + topic);
        refused("TopicCommand", create);
        topics(with(create, "--if-not-exists"));
        eventually("the topic", () -> topics("--list").text().contains(topic));
        topics("--describe", "--topic", topic)
            .says("PartitionCount: 3\\s+ReplicationFactor: 1\\s+Configs: .*retention.ms=3600000")
            .says("Partition: 0\\s+Leader: \\d+\\s+Replicas: \\d+\\s+Isr: \\d+", "Partition: 2");
        topics("--describe", "--topics-with-overrides").says(topic);
        topics("--describe", "--under-replicated-partitions").lacks(topic);
        topics("--describe", "--unavailable-partitions").lacks(topic);
        topics("--describe", "--under-min-isr-partitions").lacks(topic);
        topics("--describe", "--at-min-isr-partitions").says(topic);
        topics("--alter", "--topic", topic, "--partitions", 5);
        eventually("5 partitions", () -> topics("--describe", "--topic", topic).text().contains("PartitionCount: 5"));
        refused("TopicCommand", "--alter", "--topic", topic, "--partitions", 2);
        scenarios.out.say("step", "topics");
    }

    private void configs() throws Exception {
        Object[] one = {"--entity-type", "topics", "--entity-name", topic};
        Path file = Tool.file("retention.ms=7200000\nmax.message.bytes=2000000\n");
        configs(with(one, "--alter", "--add-config-file", file)).says("Completed updating config for topic " + topic);
        eventually("new configs", () -> configs(with(one, "--describe")).text().contains("retention.ms=7200000"));
        configs(with(one, "--describe"))
            .says("max.message.bytes=2000000 sensitive=false synonyms=\\{DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000");
        configs(with(one, "--describe", "--all")).says("cleanup.policy=delete .*DEFAULT_CONFIG:log.cleanup.policy=delete");
        configs(with(one, "--alter", "--delete-config", "retention.ms", "--add-config", "cleanup.policy=[delete,compact]"));
        eventually("a config removed", () -> !configs(with(one, "--describe")).text().contains("retention.ms"));
        configs(with(one, "--describe")).says("cleanup.policy=delete,compact");
        refused("kafka.admin.ConfigCommand", with(one, "--alter", "--add-config", "no.such=1"));

        String broker = scenarios.admin.describeCluster().controller().get().idString();
        configs("--entity-type", "brokers", "--entity-name", broker, "--describe", "--all").says("log.segment.bytes=");
        configs("--entity-type", "brokers", "--entity-default", "--describe");
        scenarios.out.say("step", "configs");
    }

    private void records() throws Exception {
        List<String> lines = new ArrayList<>();
        for (int n = 0; n < 500; n++) lines.add("key-" + n + ":value " + n);
        Object[] target = {"--bootstrap-server", scenarios.bootstrap, "--topic", topic};
        Tool written = Tool.run(String.join("\n", lines) + "\n", "ConsoleProducer", with(target,
            "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"));
        Check.that(written.status() == 0, written);
        Tool read = Tool.run("", "consumer.ConsoleConsumer", with(target, "--from-beginning", "--max-messages", 500,
            "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:",
            "--formatter-property", "print.offset=true", "--formatter-property", "print.partition=true"));
        for (String line : lines) read.says("Partition:[0-4]:Offset:\\d+:" + line + "$");

        offsets(-1).says(topic + ":0:[1-9]\\d*", topic + ":4:[1-9]\\d*");
        offsets(-2).says(topic + ":0:0", topic + ":4:0");
        offsets("max-timestamp").says(topic + ":0:[1-9]\\d*");
        offsets("earliest-local").says(topic + ":0:0");
        offsets(0).says(topic + ":0:0");
        Path upTo = Tool.file("{\"version\": 1, \"partitions\": [{\"topic\": \"" + topic + "\", \"partition\": 0, \"offset\": 5}]}");
        Tool.ok("DeleteRecordsCommand", "--bootstrap-server", scenarios.bootstrap, "--offset-json-file", upTo)
            .says("partition: " + topic + "-0\\s+low_watermark: 5");
        offsets(-2).says(topic + ":0:5", topic + ":1:0");
        scenarios.out.say("step", "records");
    }

    private void end() throws Exception {
        topics("--delete", "--topic", topic);
        eventually("the topic to go", () -> !topics("--list").text().contains(topic));
        refused("TopicCommand", "--describe", "--topic", topic);
        topics("--describe", "--topic", topic, "--if-exists");
        scenarios.out.say("step", "deleted");
    }

    private Tool topics(Object... arguments) throws Exception {
        return Tool.ok("TopicCommand", with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }

    private Tool configs(Object... arguments) throws Exception {
        return Tool.ok("kafka.admin.ConfigCommand", with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }

    private Tool offsets(Object time) throws Exception {
        return Tool.ok("GetOffsetShell", "--bootstrap-server", scenarios.bootstrap, "--topic", topic, "--time", time);
    }

    private void refused(String name, Object... arguments) throws Exception {
        Tool.refused(name, with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }

    static Object[] with(Object[] first, Object... more) {
        List<Object> all = new ArrayList<>(List.of(first));
        all.addAll(List.of(more));
        return all.toArray();
    }
}
