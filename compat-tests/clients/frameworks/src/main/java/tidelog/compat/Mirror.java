package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.connect.mirror.MirrorMaker;

/**
 * MirrorMaker 2 between two clusters, both ways at a time: records, configs and a group's position arrive
 * on the other side, and what is written while it runs follows.
 */
final class Mirror {
    private static final int COUNT = 300;

    private final Map<String, Scenarios> clusters;
    private final Main out;

    Mirror(Scenarios ours, Scenarios theirs) {
        clusters = Map.of("ours", ours, "theirs", theirs);
        out = ours.out;
    }

    void run() throws Exception {
        Flow in = new Flow("theirs", "ours");
        Flow back = new Flow("ours", "theirs");
        MirrorMaker mirror = new MirrorMaker(config(in, back), List.of("ours", "theirs"));
        mirror.start();
        try {
            for (Flow flow : List.of(in, back)) {
                flow.expectRecords();
                flow.expectConfig();
                out.say("step", flow.source + " to " + flow.target);
            }
            for (Flow flow : List.of(in, back)) flow.write();
            for (Flow flow : List.of(in, back)) flow.expectRecords();
            out.say("step", "live");
            for (Flow flow : List.of(in, back)) flow.expectPosition();
            out.say("step", "positions");
        } finally {
            mirror.stop();
            mirror.awaitStop();
        }
    }

    private Map<String, String> config(Flow... flows) {
        Map<String, String> config = new HashMap<>(Map.of(
            "clusters", "ours, theirs",
            "replication.factor", "1",
            "tasks.max", "2",
            "refresh.topics.interval.seconds", "2",
            "refresh.groups.interval.seconds", "2",
            "sync.topic.acls.enabled", "false",
            "sync.group.offsets.enabled", "true",
            "sync.group.offsets.interval.seconds", "1",
            "emit.checkpoints.interval.seconds", "1"));
        for (String topic : List.of("checkpoints", "heartbeats", "offset-syncs")) {
            config.put(topic + ".topic.replication.factor", "1");
        }
        for (String store : List.of("offset", "status", "config")) {
            config.put(store + ".storage.replication.factor", "1");
        }
        clusters.forEach((name, cluster) -> config.put(name + ".bootstrap.servers", cluster.bootstrap));
        for (Flow flow : flows) {
            config.put(flow.source + "->" + flow.target + ".enabled", "true");
            config.put(flow.source + "->" + flow.target + ".topics", flow.topic);
        }
        return config;
    }

    /** One topic and one group on their way. */
    private final class Flow {
        final String source;
        final String target;
        final String topic;
        private final String group = "mirrored-" + Scenarios.suffix();
        private final List<Sample> sent = new ArrayList<>();

        Flow(String source, String target) throws Exception {
            this.source = source;
            this.target = target;
            topic = from().newTopic("mirrored", Sample.PARTITIONS, Map.of("max.message.bytes", "1234567"));
            sent.addAll(Sample.standardSet());
            from().produce(sent, topic, "compression.type", "zstd");
        }

        private Scenarios from() {
            return clusters.get(source);
        }

        private Scenarios to() {
            return clusters.get(target);
        }

        private String mirrored() {
            return source + "." + topic;
        }

        /** Adds records and lets a group read up to the old end of partition 0. */
        void write() throws Exception {
            long end = sent.stream().filter(record -> record.partition() == 0).count();
            TopicPartition at = new TopicPartition(topic, 0);
            from().admin.alterConsumerGroupOffsets(group, Map.of(at, new OffsetAndMetadata(end))).all().get();
            // In each partition after what is there, by offset; plainSet counts from 0.
            List<Sample> more = new ArrayList<>();
            for (Sample record : Sample.plainSet(0, COUNT, Sample.PARTITIONS, 100)) {
                long before = sent.stream().filter(old -> old.partition() == record.partition()).count();
                more.add(new Sample(record.partition(), before + record.offset(), record.key(), record.value(),
                    record.headers(), record.timestampMs()));
            }
            from().produce(more, topic);
            sent.addAll(more);
        }

        void expectRecords() throws Exception {
            eventually(mirrored(), () -> AdminScenario.partitionCount(to().admin, mirrored()) == Sample.PARTITIONS);
            Sample.expectSame(to().read(mirrored(), sent.size(), Sample.PARTITIONS), sent);
        }

        void expectConfig() throws Exception {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, mirrored());
            eventually("its config", () -> to().admin.describeConfigs(Set.of(resource)).all().get().get(resource)
                .get("max.message.bytes").value().equals("1234567"));
        }

        /** A position is carried over up to the last record MirrorMaker keeps a pair of offsets for. */
        void expectPosition() throws Exception {
            eventually("the position of " + group, () -> {
                OffsetAndMetadata found = position(to().admin, new TopicPartition(mirrored(), 0));
                OffsetAndMetadata origin = position(from().admin, new TopicPartition(topic, 0));
                that(found == null || found.offset() <= origin.offset(), "translated", origin, "to", found);
                return found != null && found.offset() > 0;
            });
        }

        private OffsetAndMetadata position(Admin admin, TopicPartition at) throws Exception {
            try {
                return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(at);
            } catch (ExecutionException error) {
                return null; // The group is not there yet.
            }
        }
    }
}
