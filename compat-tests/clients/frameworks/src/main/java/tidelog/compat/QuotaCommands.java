package tidelog.compat;

import static tidelog.compat.Check.eventually;
import static tidelog.compat.TopicCommands.with;

import java.util.Set;

/**
 * kafka-configs on quotas of clients, of users with clients, of users alone (when it also asks for SCRAM
 * credentials), of addresses, and defaults.
 */
final class QuotaCommands {
    private static final Object[] ALTER = {"--alter"};

    private final Scenarios scenarios;
    private final String name = "quota-" + Scenarios.suffix();

    QuotaCommands(Scenarios scenarios) {
        this.scenarios = scenarios;
    }

    void run() throws Exception {
        Object[] client = {"--entity-type", "clients", "--entity-name", name};
        Object[] user = {"--entity-type", "users", "--entity-name", name};
        expectRates(client, "client-id '" + name + "'");
        expectRates(user, "user-principal '" + name + "'");
        expectRates(with(user, client), "user-principal '" + name + "', client-id '" + name + "'");
        expectRates(new Object[] {"--entity-type", "clients", "--entity-default"}, "the default client-id");
        expectRates(with(user, "--entity-type", "clients", "--entity-default"),
            "user-principal '" + name + "', the default client-id");
        expectRates(new Object[] {"--entity-type", "users", "--entity-default"}, "the default user-principal");
        expectAddresses();
        expectShortcuts();
        refused();
    }

    /** Set, told, changed, taken away. */
    private void expectRates(Object[] entity, String told) throws Exception {
        configs(with(entity, with(ALTER, "--add-config", "producer_byte_rate=1024,consumer_byte_rate=2048,request_percentage=12.5")))
            .says("^Completed updating (default )?config for ");
        expect(entity, told, "consumer_byte_rate=2048.0", "producer_byte_rate=1024.0", "request_percentage=12.5");
        configs(with(entity, with(ALTER, "--delete-config", "consumer_byte_rate,request_percentage",
            "--add-config", "producer_byte_rate=4096")));
        expect(entity, told, "producer_byte_rate=4096.0");
        configs(with(entity, with(ALTER, "--delete-config", "producer_byte_rate")));
        expectNone(entity);
        scenarios.out.say("step", told.replace(name, "NAME"));
    }

    private void expectAddresses() throws Exception {
        Object[] one = {"--entity-type", "ips", "--entity-name", "127.0.0.9"};
        Object[] others = {"--entity-type", "ips", "--entity-default"};
        for (Object[] entity : new Object[][] {one, others}) {
            configs(with(entity, with(ALTER, "--add-config", "connection_creation_rate=20")));
            expect(entity, entity == one ? "ip '127.0.0.9'" : "the default ip", "connection_creation_rate=20.0");
        }
        configs("--entity-type", "ips", "--describe").says("127.0.0.9", "the default ip");
        for (Object[] entity : new Object[][] {one, others}) {
            configs(with(entity, with(ALTER, "--delete-config", "connection_creation_rate")));
            expectNone(entity);
        }
        scenarios.out.say("step", "ips");
    }

    /** The short forms of the options, and all entities of a type. */
    private void expectShortcuts() throws Exception {
        configs("--client", name, "--alter", "--add-config", "producer_byte_rate=1");
        configs("--client-defaults", "--alter", "--add-config", "producer_byte_rate=2");
        eventually("both", () -> configs("--entity-type", "clients", "--describe").text().contains("the default client-id"));
        configs("--entity-type", "clients", "--describe")
            .says("client-id '" + name + "' are producer_byte_rate=1.0", "the default client-id are producer_byte_rate=2.0");
        configs("--client", name, "--alter", "--delete-config", "producer_byte_rate");
        configs("--client-defaults", "--alter", "--delete-config", "producer_byte_rate");
        scenarios.out.say("step", "shortcuts");
    }

    private void refused() throws Exception {
        for (String change : new String[] {"no_such_rate=1", "producer_byte_rate=many", "producer_byte_rate=1.5"}) {
            Tool.refused("kafka.admin.ConfigCommand", "--bootstrap-server", scenarios.bootstrap, "--client", name, "--alter",
                "--add-config", change);
        }
        Tool.refused("kafka.admin.ConfigCommand", "--bootstrap-server", scenarios.bootstrap, "--client", name, "--alter",
            "--delete-config", "producer_byte_rate");
        Tool.refused("kafka.admin.ConfigCommand", "--bootstrap-server", scenarios.bootstrap, "--ip", "no address.", "--alter",
            "--add-config", "connection_creation_rate=1");
        scenarios.out.say("step", "refused");
    }

    /** One line for the entity; the order of its values is nobody's promise. */
    private void expect(Object[] entity, String told, String... values) throws Exception {
        String start = "Quota configs for " + told + " are ";
        eventually(start + Set.of(values), () -> described(entity).lines().filter(line -> line.startsWith(start))
            .anyMatch(line -> Set.of(line.substring(start.length()).split(", ")).equals(Set.of(values))));
    }

    private void expectNone(Object[] entity) throws Exception {
        eventually("no quotas", () -> !described(entity).contains("Quota configs"));
    }

    private String described(Object[] entity) throws Exception {
        return configs(with(entity, "--describe")).text();
    }

    private Tool configs(Object... arguments) throws Exception {
        return Tool.ok("kafka.admin.ConfigCommand", with(new Object[] {"--bootstrap-server", scenarios.bootstrap}, arguments));
    }
}
