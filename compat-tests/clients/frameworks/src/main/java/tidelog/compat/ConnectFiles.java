package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.Check.that;

import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.connect.cli.ConnectDistributed;

/**
 * Distributed Connect workers bring the lines of a file into a topic and the topic into another file; a
 * second worker joins, the first leaves. With clean hand-overs every line arrives once.
 */
final class ConnectFiles {
    private static final String PACKAGE = "org.apache.kafka.connect.file.";

    private final Scenarios scenarios;
    private final boolean exactlyOnce;
    private final String cluster = "connect-" + Scenarios.suffix();
    private final String topic = "lines-" + Scenarios.suffix();
    private final HttpClient http = HttpClient.newHttpClient();
    private final Path from;
    private final Path to;
    private int lines;

    ConnectFiles(Scenarios scenarios, boolean exactlyOnce) throws Exception {
        this.scenarios = scenarios;
        this.exactlyOnce = exactlyOnce;
        Path home = Files.createTempDirectory("tidelog-connect-");
        from = home.resolve("from.txt");
        to = home.resolve("to.txt");
    }

    void run() throws Exception {
        write(200);
        int first = freePort();
        var one = new ConnectDistributed().startConnect(worker(first));
        ask(first, "PUT", "/connectors/in/config", Map.of("connector.class", PACKAGE + "FileStreamSourceConnector",
            "file", from, "topic", topic, "tasks.max", 1, "topic.creation.default.partitions", 2,
            "topic.creation.default.replication.factor", 1));
        ask(first, "PUT", "/connectors/out/config", Map.of("connector.class", PACKAGE + "FileStreamSinkConnector",
            "file", to, "topics", topic, "tasks.max", 2));
        expectLines();
        expectCompacted();
        scenarios.out.say("step", "one worker");

        int second = freePort();
        var two = new ConnectDistributed().startConnect(worker(second));
        eventually("work for the second", () -> (status(first, "in") + status(first, "out")).contains(":" + second + "\""));
        write(200);
        expectLines();
        scenarios.out.say("step", "two workers");

        one.stop();
        one.awaitStop();
        eventually("all work with the second", () -> !(status(second, "in") + status(second, "out")).contains(":" + first + "\""));
        write(200);
        expectLines();
        scenarios.out.say("step", "the other worker");

        offsets(second);
        ask(second, "DELETE", "/connectors/in", null);
        ask(second, "DELETE", "/connectors/out", null);
        eventually("no connectors", () -> ask(second, "GET", "/connectors", null).equals("[]"));
        two.stop();
        two.awaitStop();
        scenarios.out.say("step", "deleted");
    }

    /** Stopped connectors' positions are read and taken back through the worker. */
    private void offsets(int worker) throws Exception {
        for (String connector : List.of("in", "out")) {
            ask(worker, "PUT", "/connectors/" + connector + "/stop", null);
            eventually(connector + " stopped", () -> status(worker, connector).contains("\"STOPPED\""));
        }
        eventually("the source's position", () -> ask(worker, "GET", "/connectors/in/offsets", null)
            .contains("\"position\":" + Files.size(from)));
        that(ask(worker, "GET", "/connectors/out/offsets", null).contains("\"kafka_offset\":"), "the sink's position");
        for (String connector : List.of("in", "out")) {
            ask(worker, "DELETE", "/connectors/" + connector + "/offsets", null);
            eventually(connector + " without a position", () -> ask(worker, "GET", "/connectors/" + connector + "/offsets", null)
                .equals("{\"offsets\":[]}"));
        }
        scenarios.out.say("step", "offsets");
    }

    private Map<String, String> worker(int port) {
        Map<String, String> config = new HashMap<>(Map.of(
            "bootstrap.servers", scenarios.bootstrap,
            "group.id", cluster,
            "listeners", "http://127.0.0.1:" + port,
            "key.converter", "org.apache.kafka.connect.storage.StringConverter",
            "value.converter", "org.apache.kafka.connect.storage.StringConverter",
            "offset.flush.interval.ms", "500",
            "scheduled.rebalance.max.delay.ms", "0",
            "plugin.discovery", "service_load",
            "exactly.once.source.support", exactlyOnce ? "enabled" : "disabled"));
        for (String kind : List.of("config", "offset", "status")) {
            config.put(kind + ".storage.topic", cluster + "-" + kind);
            config.put(kind + ".storage.replication.factor", "1");
        }
        config.put("offset.storage.partitions", "3");
        config.put("status.storage.partitions", "2");
        return config;
    }

    private void write(int count) throws Exception {
        String text = IntStream.range(lines, lines + count).mapToObj(n -> "line " + n + "\n").collect(Collectors.joining());
        Files.writeString(from, text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        lines += count;
    }

    private void expectLines() throws Exception {
        eventually(lines + " lines", () -> Files.exists(to) && Files.readAllLines(to).size() >= lines);
        Thread.sleep(500);
        List<String> found = Files.readAllLines(to).stream().sorted().toList();
        List<String> wanted = IntStream.range(0, lines).mapToObj(n -> "line " + n).sorted().toList();
        that(found.equals(wanted), "found", found.size(), "lines of", wanted.size());
    }

    private void expectCompacted() throws Exception {
        for (String kind : List.of("config", "offset", "status")) {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, cluster + "-" + kind);
            var policy = scenarios.admin.describeConfigs(List.of(resource)).all().get().get(resource).get("cleanup.policy");
            that(policy.value().equals("compact"), resource, policy);
        }
    }

    private String status(int worker, String connector) throws Exception {
        return ask(worker, "GET", "/connectors/" + connector + "/status", null);
    }

    /** Asks a worker's REST interface, again while the cluster distributes work. */
    private String ask(int worker, String method, String path, Map<String, Object> fields) throws Exception {
        String body = fields == null ? "" : fields.entrySet().stream()
            .map(field -> Main.json(field.getKey()) + ":" + Main.json(field.getValue().toString()))
            .collect(Collectors.joining(",", "{", "}"));
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + worker + path))
            .header("Content-Type", "application/json").method(method, BodyPublishers.ofString(body)).build();
        String[] answer = new String[1];
        eventually(method + " " + path, () -> {
            var found = http.send(request, BodyHandlers.ofString());
            answer[0] = found.body();
            that(found.statusCode() < 300 || found.statusCode() == 404 || found.statusCode() == 409 || found.statusCode() == 500,
                method, path, found.statusCode(), found.body());
            return found.statusCode() < 300;
        });
        return answer[0];
    }

    private static int freePort() throws Exception {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
