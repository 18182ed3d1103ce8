#!/usr/bin/env bash
# instructions.sh [in-flight…] – instructions the broker executes for one produce request, by size.
#
# Counted by Valgrind's callgrind over the whole process, background work included, so the figure does
# not depend on how fast or busy the machine is. Needs valgrind and a release build of tidelog and tidelog-bench.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-19392}
seconds=${SECONDS_EACH:-10}
dir=$(mktemp -d)
trap 'kill "$broker" 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$dir"' EXIT

valgrind --tool=callgrind --callgrind-out-file="$dir/out" \
  target/release/tidelog serve --data-dir "$dir/data" --listen "127.0.0.1:$port" \
  --admin off --catalog off > "$dir/ready" 2> "$dir/log" &
broker=$!
touch "$dir/ready"
until grep -q ready "$dir/ready"; do
  kill -0 "$broker" || { cat "$dir/log"; exit 1; }
  sleep 0.2
done

# load NAME RECORD_SIZE BATCH_BYTES IN_FLIGHT
load() {
  local run=(target/release/tidelog-bench produce --bootstrap "127.0.0.1:$port" --topic "t$2x$3x$4"
    --connections 1 --in-flight "$4" --record-size "$2" --batch-bytes "$3" --warmup-seconds 0)
  "${run[@]}" --seconds 3 > "$dir/warm.json"
  callgrind_control --zero "$broker" &> /dev/null
  "${run[@]}" --seconds "$seconds" > "$dir/run.json"
  callgrind_control --dump "$broker" &> /dev/null
  local dump
  dump=$(ls -t "$dir"/out* | head -1)
  python3 - "$1" "$4" "$dir/run.json" "$dump" <<'P'
import json, sys
name, in_flight, run, dump = sys.argv[1:]
run = json.load(open(run))
total = next(int(line.split()[1]) for line in open(dump) if line.startswith(("totals:", "summary:")))
requests = run["requests"]
print(f"{name:12} in flight {in_flight:>2}: {total / requests:12,.0f} instructions a request ({requests} requests)")
P
  rm -f "$dump"
}

[ $# -gt 0 ] || set -- 1 16
for in_flight in "$@"; do
  load "1 record" 100 1 "$in_flight"
  load "16 KiB" 100 16384 "$in_flight"
  load "1 MiB" 1024 1048576 "$in_flight"
done
