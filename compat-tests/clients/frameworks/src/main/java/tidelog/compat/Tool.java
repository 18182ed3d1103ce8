package tidelog.compat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.apache.kafka.common.utils.Exit;

/**
 * One of Kafka's commands, run by its own main method in this JVM, which saves the start of another: what
 * it printed on both streams, and its exit code.
 */
record Tool(String command, int status, String text) {
    private static final String PACKAGE = "org.apache.kafka.tools.";

    /** Thrown where a command would end the process. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1;
    }

    /** Runs `org.apache.kafka.tools.CLASS`, or a class named in full; the first exit code counts. */
    static Tool run(String input, String name, Object... arguments) throws Exception {
        String[] words = Arrays.stream(arguments).map(String::valueOf).toArray(String[]::new);
        Class<?> main = Class.forName(name.startsWith("kafka.") ? name : PACKAGE + name);
        List<Runnable> hooks = new ArrayList<>();
        int[] status = {0};
        boolean[] ended = {false};
        Exit.Procedure end = (code, message) -> {
            if (!ended[0]) status[0] = code;
            ended[0] = true;
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((hook, body) -> hooks.add(body));

        PrintStream out = System.out;
        PrintStream err = System.err;
        InputStream in = System.in;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream capture = new PrintStream(said, true, StandardCharsets.UTF_8);
        System.setOut(capture);
        System.setErr(capture);
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        try {
            main.getMethod("main", String[].class).invoke(null, (Object) words);
            hooks.forEach(Runnable::run);
        } catch (InvocationTargetException error) {
            if (!(error.getCause() instanceof Ended)) throw error;
            hooks.forEach(Runnable::run);
        } finally {
            System.setOut(out);
            System.setErr(err);
            System.setIn(in);
            Exit.resetExitProcedure();
            Exit.resetHaltProcedure();
            Exit.resetShutdownHookAdder();
        }
        String command = main.getSimpleName() + " " + String.join(" ", words);
        return new Tool(command, status[0], said.toString(StandardCharsets.UTF_8));
    }

    /** A run that must succeed and, since some commands print their failures and exit with 0, say of none. */
    static Tool ok(String name, Object... arguments) throws Exception {
        Tool done = run("", name, arguments);
        Check.that(done.status == 0 && !done.text.matches("(?s).*(Error|Exception|WARN).*"), done);
        return done;
    }

    /** A run that must not succeed. */
    static void refused(String name, Object... arguments) throws Exception {
        Tool done = run("", name, arguments);
        Check.that(done.status != 0, done);
    }

    /** A run in a JVM of its own, for a command that ends in the JVM's own shutdown hook. */
    static Tool apart(String name, Object... arguments) throws Exception {
        List<String> words = new ArrayList<>(List.of("java", "-XX:TieredStopAtLevel=1", "-cp",
            System.getProperty("java.class.path"), PACKAGE + name));
        for (Object argument : arguments) words.add(String.valueOf(argument));
        Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Tool(name, process.waitFor(), said);
    }

    /** Checks that the output has a line for each of these regular expressions. */
    Tool says(String... patterns) {
        for (String pattern : patterns) {
            Check.that(Pattern.compile(pattern, Pattern.MULTILINE).matcher(text).find(), "no", pattern, "in", this);
        }
        return this;
    }

    Tool lacks(String pattern) {
        Check.that(!Pattern.compile(pattern, Pattern.MULTILINE).matcher(text).find(), pattern, "is in", this);
        return this;
    }

    /** A file for a command's argument. */
    static Path file(String content) throws Exception {
        Path path = Files.createTempFile("tidelog-tool-", ".txt");
        path.toFile().deleteOnExit();
        return Files.writeString(path, content);
    }
}
