#!/usr/bin/env bash
# run.sh python|go|java BOOTSTRAP SCENARIO REGISTRY [ARGUMENT…] – a registry client's program, made once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
family=$1
shift

build_go() { (cd "$here/go" && go build -o "$foreign/registry-go/registry" .); }
build_java() {
    mvn -B -q --color never -f "$here/java/pom.xml" -Dout="$foreign/registry-java" \
        compile dependency:build-classpath -Dmdep.outputFile="$foreign/registry-java/classpath"
}

case $family in
    python)
        python=$("$here/../python/venv.sh" registry-venv "$here/requirements.txt")
        exec "$python" "$here/registry.py" "$@"
        ;;
    go)
        once registry-go "$(cat "$here"/go/*.go "$here/go/go.mod" | cksum)" build_go
        exec "$foreign/registry-go/registry" "$@"
        ;;
    java)
        sources=$here/java/src/main/java/tidelog/compat/Registry.java
        once registry-java "$(cat "$here/java/pom.xml" "$sources" | cksum)" build_java
        out=$foreign/registry-java
        exec java -Xmx256m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
            -cp "$out/classes:$(cat "$out/classpath")" tidelog.compat.Registry "$@"
        ;;
esac
