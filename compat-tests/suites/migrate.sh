#!/usr/bin/env bash
# migrate.sh – the move from Apache Kafka, which `cargo test` leaves out.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec cargo test -p tidelog-compat-tests --test migrate -- --ignored --nocapture
