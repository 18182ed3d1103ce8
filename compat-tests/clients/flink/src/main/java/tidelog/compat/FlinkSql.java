package tidelog.compat;

import static tidelog.compat.Check.that;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.kafka.common.TopicPartition;

/**
 * Flink SQL reads a topic as a table and writes others: FlinkSql BOOTSTRAP sql|sql-exactly-once. JSON
 * lines, the last with "passed"; exit code 0 or 1.
 */
public final class FlinkSql {
    private static final int ORDERS = 3000;
    private static final int ITEMS = 7;

    private final Scenarios scenarios;
    private final TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());

    private FlinkSql(Scenarios scenarios) {
        this.scenarios = scenarios;
        tables.getConfig().set("parallelism.default", "2");
        tables.getConfig().set("execution.checkpointing.interval", "500ms");
        tables.getConfig().set("restart-strategy.type", "fixed-delay");
        tables.getConfig().set("restart-strategy.fixed-delay.attempts", "2");
        tables.getConfig().set("restart-strategy.fixed-delay.delay", "100ms");
    }

    public static void main(String[] arguments) {
        Main.tell("flink", arguments[1], out -> {
            FlinkSql story = new FlinkSql(new Scenarios(arguments[0], out));
            switch (arguments[1]) {
                case "sql" -> story.run();
                case "sql-exactly-once" -> story.exactlyOnce();
                default -> throw new IllegalArgumentException("no scenario " + arguments[1]);
            }
        });
    }

    private void run() throws Exception {
        source();
        String copies = scenarios.newTopic("copies", 2, Map.of());
        table("copies", copies, "id INT, doubled INT, place BIGINT", "");
        tables.executeSql("INSERT INTO copies SELECT id, amount * 2, place FROM orders WHERE id >= 1000").await();
        List<Sample> found = scenarios.read(copies, ORDERS - 1000, 2);
        long distinct = found.stream().map(record -> text(record.value())).distinct().count();
        that(distinct == ORDERS - 1000, "copies", distinct);
        // The order's place in its partition came along from the source's metadata.
        that(found.stream().anyMatch(record -> text(record.value()).equals("{\"id\":2999,\"doubled\":5998,\"place\":999}")), "order 2999");
        scenarios.out.say("step", "filtered");

        String totals = scenarios.newTopic("totals", 2, Map.of("cleanup.policy", "compact"));
        tables.executeSql("CREATE TABLE totals (item STRING, total BIGINT, PRIMARY KEY (item) NOT ENFORCED) WITH ("
            + "'connector' = 'upsert-kafka', 'topic' = '" + totals + "', 'properties.bootstrap.servers' = '"
            + scenarios.bootstrap + "', 'key.format' = 'json', 'value.format' = 'json')");
        tables.executeSql("INSERT INTO totals SELECT item, SUM(CAST(amount AS BIGINT)) FROM orders GROUP BY item").await();
        Map<String, String> last = new HashMap<>();
        // The aggregate's every change is a record: how many there are is the planner's choice.
        long changes = end(totals);
        for (Sample record : scenarios.read(totals, (int) changes, 2)) last.put(text(record.key()), text(record.value()));
        Map<String, String> wanted = new HashMap<>();
        for (int item = 0; item < ITEMS; item++) {
            long total = 0;
            for (int id = item; id < ORDERS; id += ITEMS) total += id;
            wanted.put("{\"item\":\"item-" + item + "\"}", "{\"item\":\"item-" + item + "\",\"total\":" + total + "}");
        }
        that(last.equals(wanted), last, "not", wanted);
        scenarios.out.say("step", "aggregated", "changes", changes);
    }

    /** The job fails once in its middle; what the first attempt wrote was in transactions and stays unseen. */
    private void exactlyOnce() throws Exception {
        source();
        String copies = scenarios.newTopic("copies", 2, Map.of());
        table("copies", copies, "id INT, amount INT", ", 'sink.delivery-guarantee' = 'exactly-once', "
            + "'sink.transactional-id-prefix' = 'flink-" + Scenarios.suffix() + "', 'properties.transaction.timeout.ms' = '60000'");
        tables.createTemporarySystemFunction("fail_once", new FailOnce());
        tables.executeSql("INSERT INTO copies SELECT fail_once(id), amount FROM orders").await();
        that(FailOnce.LEFT.get() < 0, "the failure did not happen");
        List<Sample> found = scenarios.read(copies, ORDERS, 2, "read_committed");
        long distinct = found.stream().map(record -> text(record.value())).distinct().count();
        that(distinct == ORDERS, "copies", distinct);
        scenarios.out.say("step", "exactly once");
    }

    private void source() throws Exception {
        String topic = scenarios.newTopic("orders", Sample.PARTITIONS, Map.of());
        List<Sample> orders = new ArrayList<>();
        for (int id = 0; id < ORDERS; id++) {
            String order = "{\"id\": " + id + ", \"item\": \"item-" + id % ITEMS + "\", \"amount\": " + id + "}";
            orders.add(new Sample(id % Sample.PARTITIONS, 0, null, order.getBytes(StandardCharsets.UTF_8), List.of(),
                Sample.EPOCH_MS + id));
        }
        scenarios.produce(orders, topic);
        table("orders", topic, "id INT, item STRING, amount INT, place BIGINT METADATA FROM 'offset' VIRTUAL",
            ", 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', "
            + "'properties.group.id' = 'flink-" + Scenarios.suffix() + "'");
    }

    private void table(String name, String topic, String columns, String more) {
        tables.executeSql("CREATE TABLE " + name + " (" + columns + ") WITH ('connector' = 'kafka', 'topic' = '" + topic
            + "', 'properties.bootstrap.servers' = '" + scenarios.bootstrap + "', 'format' = 'json'" + more + ")");
    }

    private long end(String topic) throws Exception {
        long end = 0;
        try (var consumer = scenarios.consumer(null)) {
            for (int partition = 0; partition < 2; partition++) {
                var at = new TopicPartition(topic, partition);
                end += consumer.endOffsets(List.of(at)).get(at);
            }
        }
        return end;
    }

    private static String text(byte[] data) {
        return new String(data, StandardCharsets.UTF_8);
    }

    /** Passes numbers on and fails at one record of the job's first attempt. */
    public static final class FailOnce extends ScalarFunction {
        static final AtomicInteger LEFT = new AtomicInteger(1500);

        private static final long serialVersionUID = 1;

        public Integer eval(Integer id) {
            if (LEFT.getAndDecrement() == 0) throw new IllegalStateException("the failure of this story");
            return id;
        }

        @Override
        public boolean isDeterministic() {
            return false;
        }
    }
}
