package tidelog.compat;

/** Frameworks BOOTSTRAP SCENARIO [ARGUMENT]: JSON lines, the last with "passed"; exit code 0 or 1. */
public final class Frameworks {
    private Frameworks() {}

    public static void main(String[] arguments) {
        String bootstrap = arguments[0];
        String scenario = arguments[1];
        Main.tell("frameworks", scenario, out -> {
            Scenarios scenarios = new Scenarios(bootstrap, out);
            switch (scenario) {
                case "topic-commands" -> new TopicCommands(scenarios).run();
                case "group-commands" -> new GroupCommands(scenarios).run();
                case "cluster-commands" -> new ClusterCommands(scenarios).run(arguments[2]);
                case "quota-commands" -> new QuotaCommands(scenarios).run();
                case "load-commands" -> new LoadCommands(scenarios).run();
                case "transaction-commands" -> new TransactionCommands(scenarios).run();
                case "streams" -> new WordCount(scenarios, "at_least_once").run();
                case "streams-exactly-once" -> new WordCount(scenarios, "exactly_once_v2").run();
                case "connect" -> new ConnectFiles(scenarios, false).run();
                case "connect-exactly-once" -> new ConnectFiles(scenarios, true).run();
                case "mirror" -> new Mirror(scenarios, new Scenarios(arguments[2], out)).run();
                case "mirror-exactly-once" -> new MirrorOnce(scenarios, new Scenarios(arguments[2], out)).run();
                default -> throw new IllegalArgumentException("no scenario " + scenario);
            }
        });
    }
}
