#!/usr/bin/env bash
# run.sh franz|sarama|kafka-go BOOTSTRAP SCENARIO [ARGUMENT…] – builds the program once, then runs it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"

build() { (cd "$here" && go build -o "$foreign/go/clients" .); }

once go "$(cat "$here"/*.go "$here/go.mod" | cksum)" build
exec "$foreign/go/clients" "$@"
