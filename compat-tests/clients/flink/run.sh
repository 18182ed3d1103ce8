#!/usr/bin/env bash
# run.sh BOOTSTRAP sql|sql-exactly-once – builds the program once, then runs it. TIDELOG_JAVA_LOG=info shows
# what Flink says.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
out=$foreign/flink
sources=("$here/pom.xml" "$here"/src/main/resources/* "$here"/src/main/java/tidelog/compat/*.java "$here"/../java/src/main/java/tidelog/compat/*.java)

build() {
    mvn -B -q --color never -f "$here/pom.xml" -Dout="$out" \
        compile dependency:build-classpath -Dmdep.outputFile="$out/classpath"
}

once flink "$(cat "${sources[@]}" | cksum)" build
# Flink reaches into the JDK's collections and times when it copies rows.
opens=(--add-opens=java.base/{java.lang,java.util,java.time,java.util.concurrent,java.nio}=ALL-UNNAMED)
exec java -Xmx1g -XX:TieredStopAtLevel=1 "${opens[@]}" -Dtidelog.log="${TIDELOG_JAVA_LOG:-error}" \
    -cp "$out/classes:$(cat "$out/classpath")" tidelog.compat.FlinkSql "$@"
