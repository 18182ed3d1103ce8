package tidelog.compat;

import java.util.Arrays;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;

/** Assertions that say what they saw. */
final class Check {
    static final int WAIT_SECONDS = 60;

    private Check() {}

    static void that(boolean condition, Object... facts) {
        if (!condition) {
            throw new AssertionError(Arrays.stream(facts).map(String::valueOf).collect(Collectors.joining(" ")));
        }
    }

    /** Asks until the answer is true: metadata may trail behind an admin call. */
    static void eventually(String what, Callable<Boolean> question) throws Exception {
        long deadline = System.nanoTime() + WAIT_SECONDS * 1_000_000_000L;
        while (!question.call()) {
            that(System.nanoTime() < deadline, "not in time:", what);
            Thread.sleep(50);
        }
    }
}
