#!/usr/bin/env bash
# run.sh BOOTSTRAP SCENARIO [ARGUMENT…] – builds the program once, then runs one story in one JVM.
# TIDELOG_JAVA_LOG=info shows what the frameworks say.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
out=$foreign/frameworks
sources=("$here/pom.xml" "$here"/src/main/resources/* "$here"/src/main/java/tidelog/compat/*.java "$here"/../java/src/main/java/tidelog/compat/*.java)

build() {
    mvn -B -q --color never -f "$here/pom.xml" -Dout="$out" \
        compile dependency:build-classpath -Dmdep.outputFile="$out/classpath"
}

once frameworks "$(cat "${sources[@]}" | cksum)" build
exec java -Xmx512m -XX:TieredStopAtLevel=1 -Dtidelog.log="${TIDELOG_JAVA_LOG:-error}" \
    -cp "$out/classes:$(cat "$out/classpath")" tidelog.compat.Frameworks "$@"
