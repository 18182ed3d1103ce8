package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.TopicCommands.with;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** kafka-consumer-groups and kafka-groups on groups of the verifiable consumer. */
final class GroupCommands {
    private static final int COUNT = 300;

    private final Scenarios scenarios;
    private final String group = "tools-" + Scenarios.suffix();
    private final String topic;

    GroupCommands(Scenarios scenarios) throws Exception {
        this.scenarios = scenarios;
        topic = scenarios.newTopic("groups", 3, Map.of());
    }

    void run() throws Exception {
        consume();
        active();
        reset();
        delete();
    }

    private void consume() throws Exception {
        scenarios.produce(Sample.plainSet(0, COUNT, 3, 50), topic);
        Tool.ok("VerifiableConsumer", "--bootstrap-server", scenarios.bootstrap, "--topic", topic, "--group-id", group,
                "--max-messages", COUNT, "--reset-policy", "earliest")
            .says("\"name\":\"partitions_assigned\"", "\"name\":\"records_consumed\"",
                "\"name\":\"offsets_committed\".*\"success\":true", "\"name\":\"shutdown_complete\"");
        groups("--list").says("^" + group + "$");
        groups("--list", "--state").says(group + "\\s+.*Empty");
        groups("--list", "--state", "stable").lacks(group);
        groups("--list", "--type").says(group + "\\s+Classic");
        Tool.ok("GroupsCommand", "--bootstrap-server", scenarios.bootstrap, "--list").says(group + "\\s+Classic\\s+consumer");
        Tool lag = groups("--describe", "--group", group);
        for (int partition = 0; partition < 3; partition++) {
            lag.says(group + "\\s+" + topic + "\\s+" + partition + "\\s+100\\s+100\\s+0\\s+-\\s+-\\s+-");
        }
        groups("--describe", "--all-groups").says(group);
        groups("--describe", "--group", group, "--state").says(group + "\\s+.*Empty\\s+0");
        scenarios.out.say("step", "consumed");
    }

    private void active() throws Exception {
        var member = scenarios.new Member(group, topic);
        eventually("an assignment", () -> member.assigned().size() == 3);
        groups("--describe", "--group", group, "--members", "--verbose")
            .says(group + "\\s+consumer-\\S+\\s+/127.0.0.1\\s+\\S+\\s+3\\s+.*" + topic + ":0,1,2");
        groups("--describe", "--group", group, "--state").says(group + "\\s+\\S+\\s+\\(\\d+\\)\\s+range\\s+Stable\\s+1");
        groups("--describe", "--group", group).says(topic + "\\s+0\\s+100\\s+100\\s+0\\s+consumer-");
        Tool.run("", "consumer.group.ConsumerGroupCommand", "--bootstrap-server", scenarios.bootstrap, "--delete", "--group", group)
            .says("GroupNotEmptyException");
        member.leave();
        scenarios.out.say("step", "active");
    }

    private void reset() throws Exception {
        Object[] all = {"--reset-offsets", "--group", group, "--topic", topic};
        eventually("an empty group", () -> groups("--list", "--state").text().matches("(?s).*" + group + "\\s+\\S*\\s*Empty.*"));
        expectOffset(100, "--to-earliest", "--dry-run", 0);
        expectOffset(0, "--to-earliest", "--execute", 0);
        expectOffset(10, "--shift-by", "--execute", 10, 10);
        expectOffset(100, "--to-latest", "--execute", 100);
        expectOffset(42, "--to-offset", "--execute", 42, 42);
        expectOffset(0, "--to-datetime", "--execute", 0, "2000-01-01T00:00:00.000");
        expectOffset(100, "--by-duration", "--execute", 100, "PT1S");
        Tool plan = groups(with(all, "--to-offset", 7, "--export", "--dry-run"));
        String rows = plan.text().lines().filter(line -> line.contains(",")).reduce("", (text, line) -> text + line + "\n");
        Path file = Tool.file(rows);
        groups("--reset-offsets", "--group", group, "--from-file", file, "--execute");
        groups("--describe", "--group", group).says(topic + "\\s+2\\s+7\\s+100\\s+93");
        Files.delete(file);
        scenarios.out.say("step", "reset");
    }

    /** Resets, finds `planned` in the answer, and `offset` as committed afterwards. */
    private void expectOffset(long offset, String how, String mode, long planned, Object... value) throws Exception {
        Object[] all = {"--reset-offsets", "--group", group, "--topic", topic, mode, how};
        groups(with(all, value)).says(group + "\\s+" + topic + "\\s+1\\s+" + planned + "\\s*$");
        groups("--describe", "--group", group).says(topic + "\\s+1\\s+" + offset + "\\s+100");
    }

    private void delete() throws Exception {
        groups("--delete-offsets", "--group", group, "--topic", topic + ":1").says(topic + "\\s+1\\s+Successful");
        groups("--describe", "--group", group).says(topic + "\\s+0\\s").lacks(topic + "\\s+1\\s");
        groups("--delete", "--group", group).says("successful");
        groups("--list").lacks(group);
        Tool.run("", "consumer.group.ConsumerGroupCommand", "--bootstrap-server", scenarios.bootstrap, "--delete", "--group", group)
            .says("GroupIdNotFoundException");
        scenarios.out.say("step", "deleted");
    }

    private Tool groups(Object... arguments) throws Exception {
        return Tool.ok("consumer.group.ConsumerGroupCommand",
            with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }
}
