#!/usr/bin/env bash
# node-rdkafka.sh HOST:PORT [FILE…] – the end-to-end tests in the node-rdkafka package (librdkafka in Node).
#
# They are built once under target/foreign, which takes a C++ compiler and some minutes; each file runs in a
# process of its own, because some do not end. The broker needs group.initial.rebalance.delay.ms=0: tests poll
# once, and one file ends in a segmentation fault where a group takes longer. `producer` makes the others' topic.
set -eu # No pipefail: failed tests are a result.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/once.sh"
address=$1
shift
versions="node-rdkafka@3.6.1 mocha@12.0.3"
suite=$foreign/node-rdkafka-suite

unpack() {
    echo '{"private": true}' > "$suite/package.json"
    (cd "$suite" && npm install --silent --no-audit --no-fund --no-package-lock $versions)
}

once node-rdkafka-suite "$versions" unpack
cd "$suite/node_modules/node-rdkafka"
[ $# -gt 0 ] || set -- admin producer producer-transaction both consumer groups
for file in "$@"; do
    echo "== $file"
    KAFKA_HOST=$address timeout 180 ../.bin/mocha --exit --timeout 20000 "e2e/$file.spec.js" 2>&1 |
        grep -E '^ +(✔|[0-9]+\) |[0-9]+ (passing|failing))' || true
done
