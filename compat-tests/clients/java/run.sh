#!/usr/bin/env bash
# run.sh current|three|old BOOTSTRAP SCENARIO [ARGUMENT…] – builds the program once, then runs it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
profile=$1
out=$foreign/java-$profile
shift

build() {
    mvn -B -q --color never -f "$here/pom.xml" -P"$profile" -Dout="$out" \
        compile dependency:build-classpath -Dmdep.outputFile="$out/classpath"
}

once "java-$profile" "$(cat "$here/pom.xml" "$here"/src/main/java/tidelog/compat/*.java | cksum)" build
exec java -Xmx512m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
    -cp "$out/classes:$(cat "$out/classpath")" tidelog.compat.Main "java-$profile" "$@"
