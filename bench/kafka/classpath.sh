#!/usr/bin/env bash
# Prints the class path of Apache Kafka; resolves it once for each pom.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${TIDELOG_FOREIGN:-$here/../../target/foreign}/kafka
list=$cache/classpath-$(cksum < "$here/pom.xml" | cut -d' ' -f1)
if [ ! -s "$list" ]; then
    mkdir -p "$cache"
    mvn -B -q --color never -f "$here/pom.xml" dependency:build-classpath -Dmdep.outputFile="$list.$$" >&2
    mv "$list.$$" "$list"
fi
cat "$list"
