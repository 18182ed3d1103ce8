#!/usr/bin/env bash
# rskafka.sh HOST:PORT [TEST…] – the integration tests in the rskafka crate, a client written from nothing
# in Rust. Those that call the Java client's examples are left out.
#
# They are built once in a scratch folder under target/foreign; a summary goes to stdout.
set -eu # No pipefail: failed tests are a result.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/once.sh"
. "$here/crate.sh"
address=$1
shift
version=0.6.0
suite=$foreign/rskafka-suite

unpack() {
    unpack_crate rskafka "$version" "$suite"
    cargo update -q --manifest-path "$suite/Cargo.toml" -p rsasl # The locked one is refused by today's compiler.
}

once rskafka-suite "$version" unpack
cd "$suite"
TEST_INTEGRATION=1 TEST_BROKER_IMPL=kafka KAFKA_CONNECT=$address cargo test -q --no-fail-fast --test '*' -- \
    --skip java "$@" 2>&1 | tee summary.txt | grep -E '^test result|FAILED|panicked|Running' || { tail -20 summary.txt >&2; exit 1; }
