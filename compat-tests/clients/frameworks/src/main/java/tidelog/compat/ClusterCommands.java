package tidelog.compat;

import static tidelog.compat.TopicCommands.with;

import java.util.Map;

/** What the commands tell of the cluster; a step for each, so that one that is lacking hides no other. */
final class ClusterCommands {
    private final Scenarios scenarios;

    ClusterCommands(Scenarios scenarios) {
        this.scenarios = scenarios;
    }

    /** Takes the steps, parted by commas. */
    void run(String steps) throws Exception {
        String broker = scenarios.admin.describeCluster().controller().get().idString();
        for (String step : steps.split(",")) {
            switch (step) {
                case "api-versions" -> tool("BrokerApiVersionsCommand")
                    .says("\\(id: " + broker + " .*->", "Fetch\\(1\\): ", "Produce\\(0\\): 0 to ");
                case "cluster" -> cluster(broker);
                case "log-dirs" -> logDirs();
                case "features" -> tool("FeatureCommand", "describe")
                    .says("Feature: transaction.version\\s+SupportedMinVersion: 0\\s+SupportedMaxVersion: 2\\s+FinalizedVersionLevel: 2");
                case "quorum" -> quorum();
                case "leader-election" ->
                    tool("LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions");
                case "reassignments" -> tool("reassign.ReassignPartitionsCommand", "--list")
                    .says("No partition reassignments found");
                default -> throw new IllegalArgumentException("no step " + step);
            }
            scenarios.out.say("step", step);
        }
    }

    private void cluster(String broker) throws Exception {
        Object[] address = {"--bootstrap-server", scenarios.bootstrap};
        Tool.ok("ClusterTool", with(new Object[] {"cluster-id"}, address)).says("Cluster ID: \\S+");
        Tool.ok("ClusterTool", with(new Object[] {"list-endpoints"}, address)).says(broker + "\\s+127.0.0.1\\s+");
    }

    private void logDirs() throws Exception {
        String topic = scenarios.newTopic("cluster", 2, Map.of());
        scenarios.produce(Sample.plainSet(0, 100, 2, 100), topic);
        tool("LogDirsCommand", "--describe", "--topic-list", topic)
            .says("\"logDirs\":\\[", "\"partition\":\"" + topic + "-0\",\"size\":[1-9]", "\"isFuture\":false");
    }

    private void quorum() throws Exception {
        tool("MetadataQuorumCommand", "describe", "--status")
            .says("ClusterId:", "LeaderId:", "HighWatermark:", "CurrentVoters:");
        tool("MetadataQuorumCommand", "describe", "--replication").says("LogEndOffset", "Leader");
    }

    private Tool tool(String name, Object... arguments) throws Exception {
        return Tool.ok(name, with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }
}
