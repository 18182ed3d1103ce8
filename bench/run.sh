#!/usr/bin/env bash
# run.sh [compare's options…] – builds for release and compares Tidelog with Apache Kafka.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p tidelog -p tidelog-bench
bench/kafka/classpath.sh > /dev/null  # Resolve before anything is timed.
exec target/release/tidelog-bench compare "$@"
