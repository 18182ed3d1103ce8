package tidelog.compat;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;

/** Main CLIENT BOOTSTRAP SCENARIO [ARGUMENT…]: JSON lines, the last with "passed"; exit code 0 or 1. */
public final class Main {
    private static final PrintStream OUT = System.out; // Somebody may redirect the other.

    private final String client;
    private final String scenario;

    interface Story {
        void tell(Main out) throws Exception;
    }

    private Main(String client, String scenario) {
        this.client = client;
        this.scenario = scenario;
    }

    public static void main(String[] arguments) {
        String argument = arguments.length > 3 ? arguments[3] : null;
        tell(arguments[0], arguments[2], out -> new Scenarios(arguments[1], out).run(arguments[2], argument));
    }

    /** Tells a story and ends the process with the verdict. */
    static void tell(String client, String scenario, Story story) {
        Main main = new Main(client, scenario);
        try {
            story.tell(main);
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
        OUT.println(line.append('}'));
    }

    static String json(Object value) {
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
