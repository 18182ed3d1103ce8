#!/usr/bin/env bash
# flink.sh – the Flink stories, which `cargo test` leaves out.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec cargo test -p tidelog-compat-tests --test flink -- --ignored --nocapture
