#!/usr/bin/env bash
# start.sh DIR PORT [key=value…] – one real Apache Kafka node (KRaft) on 127.0.0.1:PORT.
#
# Keeps everything under DIR and may be started again on it. PORT + 1 is the controller's.
# Prints one line with `ready` when it serves and becomes the broker process: the pid is this
# script's, SIGTERM stops it cleanly. KAFKA_HEAP (default 1g) is the Java heap.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# \?//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 port=$2
shift 2
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
classpath=$("$here/classpath.sh")

cat > "$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
log.dirs=$dir/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
EOF
printf '%s\n' "$@" >> "$dir/server.properties"  # The last of two equal keys wins.

if [ ! -e "$dir/data/meta.properties" ]; then
    java -Xmx256m -XX:TieredStopAtLevel=1 -Dkafka.dir="$dir" -Dkafka.address=- \
        -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$classpath" kafka.tools.StorageTool \
        format --standalone --cluster-id tidelogBenchKafka0000w --config "$dir/server.properties" \
        > "$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 1; }
fi

# The flags are those of Kafka's own start script.
heap=${KAFKA_HEAP:-1g}
exec java -Xms"$heap" -Xmx"$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true \
    -Dkafka.dir="$dir" -Dkafka.address="127.0.0.1:$port" \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$classpath" kafka.Kafka "$dir/server.properties"
