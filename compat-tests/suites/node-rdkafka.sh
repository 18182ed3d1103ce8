#!/usr/bin/env bash
# node-rdkafka.sh HOST:PORT [mocha argument…] – the end-to-end tests in the node-rdkafka package (librdkafka
# from Node). The package builds its library once, which takes some minutes; a summary goes to stdout.
set -eu # No pipefail: failed tests are a result.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/once.sh"
address=$1
shift
suite=$foreign/node-rdkafka-suite

install() {
    rm -rf "$suite"
    mkdir -p "$suite"
    cd "$suite"
    echo '{"private": true, "dependencies": {"node-rdkafka": "3.6.1", "mocha": "10.8.2"}}' > package.json
    npm install --silent --no-audit --no-fund --no-package-lock
}

(once node-rdkafka-suite "$(cksum < "$0")" install)
cd "$suite/node_modules/node-rdkafka"
KAFKA_HOST=$address "$suite/node_modules/.bin/mocha" --exit --timeout 120000 --ui exports "$@" e2e/*.spec.js 2>&1 |
    tee "$suite/summary.txt" | grep -E '^ +(✔|✓|[0-9]+\)|[0-9]+ (passing|failing|pending))' || { tail -20 "$suite/summary.txt" >&2; exit 1; }
