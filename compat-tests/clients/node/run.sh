#!/usr/bin/env bash
# run.sh BOOTSTRAP SCENARIO [ARGUMENT…] – installs the packages once, then runs kafkajs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"

install() {
    cp "$here/package.json" "$foreign/node/package.json"
    (cd "$foreign/node" && npm install --silent --no-audit --no-fund --no-package-lock)
}

once node "$(cksum < "$here/package.json")" install
export NODE_PATH=$foreign/node/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1
exec node "$here/client.js" "$@"
