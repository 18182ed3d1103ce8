#!/usr/bin/env bash
# run.sh kafkajs|confluent-js|confluent-js-callbacks BOOTSTRAP SCENARIO [ARGUMENT…] – installs the library's packages
# once, then runs the scenario. Where confluent-js's prebuilt library cannot be had, it is built from the package's
# own sources, which takes a C++ compiler and some minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
case $1 in
    kafkajs) name=node packages=$here/package.json ;;
    *) name=node-confluent packages=$here/confluent.json ;;
esac

install() {
    cp "$packages" "$foreign/$name/package.json"
    (cd "$foreign/$name" && CKJS_LINKING=dynamic npm install --silent --no-audit --no-fund --no-package-lock)
}

once "$name" "$(cksum < "$packages")" install
export NODE_PATH=$foreign/$name/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1
exec node "$here/client.js" "$@"
