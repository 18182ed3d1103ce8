package tidelog.compat;

import java.io.PrintWriter;
import java.io.StringWriter;

/** Main CLIENT BOOTSTRAP SCENARIO [ARGUMENT…]: JSON lines, the last with "passed"; exit code 0 or 1. */
public final class Main {
    private final String client;
    private final String scenario;

    private Main(String client, String scenario) {
        this.client = client;
        this.scenario = scenario;
    }

    public static void main(String[] arguments) {
        Main main = new Main(arguments[0], arguments[2]);
        try {
            new Scenarios(arguments[1], main).run(arguments[2], arguments.length > 3 ? arguments[3] : null);
        } catch (Throwable error) {
            StringWriter trace = new StringWriter();
            error.printStackTrace(new PrintWriter(trace));
            main.say("passed", false, "error", error, "trace", trace);
            System.exit(1);
        }
        main.say("passed", true);
        System.exit(0);
    }

    /** Prints one line from names and values in turn. */
    void say(Object... fields) {
        StringBuilder line = new StringBuilder("{\"client\": " + json(client) + ", \"scenario\": " + json(scenario));
        for (int i = 0; i < fields.length; i += 2) {
            line.append(", ").append(json(fields[i])).append(": ").append(json(fields[i + 1]));
        }
        System.out.println(line.append('}'));
    }

    private static String json(Object value) {
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : String.valueOf(value).toCharArray()) {
            if (c == '"' || c == '\\') quoted.append('\\').append(c);
            else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
            else quoted.append(c);
        }
        return quoted.append('"').toString();
    }
}
