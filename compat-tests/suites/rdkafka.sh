#!/usr/bin/env bash
# rdkafka.sh HOST:PORT [TEST…] – the integration tests in the rdkafka crate (librdkafka from Rust).
#
# They are built once in a scratch folder under target/foreign; a summary for each file goes to stdout.
# The broker needs num.partitions=3. Compare with a run against Apache Kafka.
set -eu # No pipefail: failed tests are a result.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/once.sh"
. "$here/crate.sh"
address=$1
shift
version=0.39.0
suite=$foreign/rdkafka-suite

once rdkafka-suite "$version" unpack_crate rdkafka "$version" "$suite"
cd "$suite"
# One test at a time: some count what the whole broker holds.
KAFKA_HOST=$address KAFKA_VERSION=4.0.0 cargo test -q --no-fail-fast --test "*" -- --test-threads=1 "$@" 2>&1 |
    tee summary.txt | grep -E '^test result|^    test_|FAILED|panicked|Running' || { tail -20 summary.txt >&2; exit 1; }
