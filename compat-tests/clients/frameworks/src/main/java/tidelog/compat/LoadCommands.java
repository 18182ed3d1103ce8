package tidelog.compat;

import java.util.Map;

/** The commands that make load and check what comes back. */
final class LoadCommands {
    private static final int COUNT = 20_000;

    private final Scenarios scenarios;

    LoadCommands(Scenarios scenarios) {
        this.scenarios = scenarios;
    }

    void run() throws Exception {
        String topic = scenarios.newTopic("load", 3, Map.of());
        Object[] target = {"--bootstrap-server", scenarios.bootstrap, "--topic", topic};
        Tool.ok("ProducerPerformance", TopicCommands.with(target, "--num-records", COUNT, "--record-size", 100,
            "--throughput", -1, "--print-metrics")).says(COUNT + " records sent, .*99.9th");
        scenarios.out.say("step", "producer-perf");
        Tool.ok("ConsumerPerformance", TopicCommands.with(target, "--num-records", COUNT, "--timeout", 30_000))
            .says("start.time, end.time", ", " + COUNT + ", ");
        scenarios.out.say("step", "consumer-perf");
        Tool.ok("EndToEndLatency", "--bootstrap-server", scenarios.bootstrap, "--topic", "latency-" + Scenarios.suffix(),
            "--num-records", 200, "--producer-acks", "all", "--record-size", 100).says("Avg latency: ", "Percentiles: 50th");
        scenarios.out.say("step", "end-to-end");

        String plain = scenarios.newTopic("verifiable", 3, Map.of());
        Object[] checked = {"--bootstrap-server", scenarios.bootstrap, "--topic", plain};
        Tool sent = Tool.apart("VerifiableProducer", TopicCommands.with(checked, "--max-messages", 1000, "--repeating-keys", 10));
        sent.says("\"name\":\"tool_data\".*\"sent\":1000,\"acked\":1000");
        Tool read = Tool.ok("VerifiableConsumer", TopicCommands.with(checked, "--group-id", "verifiable-" + Scenarios.suffix(),
            "--max-messages", 1000, "--reset-policy", "earliest", "--verbose"));
        for (int n = 0; n < 1000; n++) read.says("\"name\":\"record_data\".*\"value\":\"" + n + "\"");
        scenarios.out.say("step", "verifiable");
    }
}
