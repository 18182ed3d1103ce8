package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.protocol.Errors;

/** Topics, partitions, configs, cluster, groups, and the error codes for bad requests. */
final class AdminScenario {
    private final Scenarios scenarios;
    private final Admin admin;
    private final String missing = "missing-" + Scenarios.suffix();

    AdminScenario(Scenarios scenarios) {
        this.scenarios = scenarios;
        admin = scenarios.admin;
    }

    void run() throws Exception {
        String topic = scenarios.newTopic("admin", 2, Map.of("retention.ms", "3600000"));
        step("topics", () -> topics(topic));
        step("partitions", () -> partitions(topic));
        step("configs", () -> configs(topic));
        step("cluster", this::cluster);
        step("groups", () -> groups(topic));
        step("delete", () -> delete(topic));
    }

    private void topics(String topic) throws Exception {
        refused(36, () -> create(topic, 2, 1, Map.of()));
        refused(17, () -> create("not a name", 1, 1, Map.of()));
        refused(37, () -> create(missing, 0, 1, Map.of()));
        refused(38, () -> create(missing, 1, 0, Map.of()));
        refused(40, () -> create(missing, 1, 1, Map.of("no.such.config", "1")));
        refused(40, () -> create(missing, 1, 1, Map.of("retention.ms", "soon")));
        refused(3, () -> admin.deleteTopics(Set.of(missing)).all().get());
        NewTopic unmade = new NewTopic(missing, 3, (short) 1);
        admin.createTopics(Set.of(unmade), new CreateTopicsOptions().validateOnly(true)).all().get();
        that(partitionCount(admin, missing) == -1, "validateOnly made the topic");
    }

    private void partitions(String topic) throws Exception {
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        eventually("5 partitions", () -> partitionCount(admin, topic) == 5);
        refused(37, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get());
        refused(3, () -> admin.createPartitions(Map.of(missing, NewPartitions.increaseTo(4))).all().get());
    }

    private void configs(String topic) throws Exception {
        ConfigEntry retention = describe(topic).get("retention.ms");
        that(retention.value().equals("3600000"), retention);
        that(retention.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention);
        that(describe(topic).get("cleanup.policy").isDefault(), describe(topic).get("cleanup.policy"));
        refused(3, () -> describe(missing));

        alter(topic, "retention.ms", "7200000", OpType.SET);
        eventually("retention.ms set", () -> describe(topic).get("retention.ms").value().equals("7200000"));
        alter(topic, "retention.ms", null, OpType.DELETE);
        eventually("retention.ms default", () -> describe(topic).get("retention.ms").value().equals("604800000"));
        alter(topic, "cleanup.policy", "compact", OpType.APPEND);
        eventually("appended", () -> describe(topic).get("cleanup.policy").value().equals("delete,compact"));
        alter(topic, "cleanup.policy", "compact", OpType.SUBTRACT);
        eventually("subtracted", () -> describe(topic).get("cleanup.policy").value().equals("delete"));
        refused(40, () -> alter(topic, "segment.bytes", "many", OpType.SET));
        refused(40, () -> alter(topic, "no.such.config", "1", OpType.SET));
        refused(3, () -> alter(missing, "retention.ms", "1", OpType.SET));
    }

    private void cluster() throws Exception {
        var found = admin.describeCluster();
        that(found.nodes().get().size() == 1, found.nodes().get());
        that(found.controller().get() != null && !found.clusterId().get().isEmpty(), "controller, cluster id");
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "" + found.controller().get().id());
        Config config = admin.describeConfigs(Set.of(broker)).all().get().get(broker);
        that(config.get("num.partitions") != null, "broker config num.partitions");
    }

    private void groups(String topic) throws Exception {
        String name = "admin-" + Scenarios.suffix();
        var member = scenarios.new Member(name, topic);
        eventually("an assignment", () -> !member.assigned().isEmpty());
        that(admin.listConsumerGroups().all().get().stream().anyMatch(g -> g.groupId().equals(name)), "not listed");
        ConsumerGroupDescription found = describeGroup(name);
        that(found.state().toString().equals("Stable") && found.members().size() == 1, found);
        that(found.members().iterator().next().assignment().topicPartitions().size() == 5, found);
        refused(68, () -> admin.deleteConsumerGroups(Set.of(name)).all().get());
        member.leave();
        eventually("an empty group", () -> describeGroup(name).state().toString().equals("Empty"));
        that(!admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get().isEmpty(), "no offsets");
        admin.deleteConsumerGroups(Set.of(name)).all().get();
        refused(69, () -> admin.deleteConsumerGroups(Set.of(name)).all().get());
    }

    private void delete(String topic) throws Exception {
        admin.deleteTopics(Set.of(topic)).all().get();
        eventually("topic gone", () -> partitionCount(admin, topic) == -1);
    }

    private Object create(String topic, int partitions, int replicas, Map<String, String> configs) throws Exception {
        return admin.createTopics(List.of(new NewTopic(topic, partitions, (short) replicas).configs(configs))).all().get();
    }

    private Config describe(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(Set.of(resource)).all().get().get(resource);
    }

    private Object alter(String topic, String name, String value, OpType type) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Collection<AlterConfigOp> change = List.of(new AlterConfigOp(new ConfigEntry(name, value), type));
        return admin.incrementalAlterConfigs(Map.of(resource, change)).all().get();
    }

    private ConsumerGroupDescription describeGroup(String name) throws Exception {
        return admin.describeConsumerGroups(Set.of(name)).all().get().get(name);
    }

    /** The number of partitions, −1 if there is no such topic. */
    static int partitionCount(Admin admin, String topic) throws Exception {
        try {
            return description(admin.describeTopics(List.of(topic)), topic).get().partitions().size();
        } catch (ExecutionException error) {
            if (error.getCause() instanceof UnknownTopicOrPartitionException) return -1;
            throw error;
        }
    }

    /** The accessor was renamed in 3.1, its old name removed in 4.0. */
    @SuppressWarnings("unchecked")
    private static KafkaFuture<TopicDescription> description(DescribeTopicsResult result, String topic) throws Exception {
        boolean old = List.of(DescribeTopicsResult.class.getMethods()).stream().noneMatch(m -> m.getName().equals("topicNameValues"));
        var method = DescribeTopicsResult.class.getMethod(old ? "values" : "topicNameValues");
        return ((Map<String, KafkaFuture<TopicDescription>>) method.invoke(result)).get(topic);
    }

    private static void refused(int code, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (ExecutionException error) {
            that(error.getCause() instanceof ApiException, "not a broker's answer:", error.getCause());
            Errors found = Errors.forException(error.getCause());
            that(found.code() == code, "refused with", found, error.getCause().getMessage(), "not", code);
            return;
        }
        that(false, "not refused with", code);
    }

    private interface Body {
        void run() throws Exception;
    }

    private void step(String name, Body body) throws Exception {
        body.run();
        scenarios.out.say("step", name);
    }
}
