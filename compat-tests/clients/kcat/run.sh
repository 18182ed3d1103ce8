#!/usr/bin/env bash
# run.sh BOOTSTRAP roundtrip|group|offsets|autocreate|list|view [TOPIC] – scenarios with Debian's kcat (an old librdkafka).
# Prints JSON lines, the last with "passed"; exits 0 or 1.
set -Eeuo pipefail
bootstrap=$1 scenario=$2 argument=${3-}
work=$(mktemp -d)
name=$scenario-$(head -c4 /dev/urandom | od -An -tx4 | tr -d ' ')

say() { echo "{\"client\": \"kcat\", \"scenario\": \"$scenario\", $1}"; }
finish() {
    [ "$1" = 0 ] && say '"passed": true' || say "\"passed\": false, \"error\": \"line $2\""
    kill $(jobs -p) 2>/dev/null || true
    rm -rf "$work"
}
line=0
trap 'line=$LINENO' ERR
trap 'finish $? $line' EXIT
command -v kcat > /dev/null || { echo 'kcat is not installed: apt-get install kcat' >&2; exit 1; }
kcat=(timeout 40 kcat -b "$bootstrap" -X allow.auto.create.topics=true)

# All of a topic: partition, offset, timestamp, headers, key and value, with their lengths.
read_all() { "${kcat[@]}" -C -q -e -o beginning -t "$1" -f '%p %o %T %h %K %k %S %s\n'; }

roundtrip() {
    for codec in none gzip snappy lz4 zstd; do
        local topic=$name-$codec
        seq 1 500 | sed 's/.*/key-&\tvalue &/' > "$work/sent"
        "${kcat[@]}" -P -t "$topic" -K '\t' -z "$codec" -H a=1 -H b= -H a=2 -p 0 -l "$work/sent"
        head -c 900000 /dev/zero | tr '\0' x > "$work/large"
        "${kcat[@]}" -P -t "$topic" -z "$codec" -p 0 -k large "$work/large"
        echo 'gone:' | "${kcat[@]}" -P -t "$topic" -K : -Z -z "$codec" -p 0
        read_all "$topic" > "$work/read"
        awk '{ print "0", NR - 1, "a=1,b=,a=2" }' "$work/sent" > "$work/wanted"
        awk 'NR <= 500 { print $1, $2, $4 }' "$work/read" | cmp - "$work/wanted"
        sed -n '1,500{s/.* key-/key-/;s/ [0-9]* value/\tvalue/;p}' "$work/read" | cmp - "$work/sent"
        sed -n 501p "$work/read" | grep '  *5 large 900000 xxx' > /dev/null
        sed -n 502p "$work/read" | grep -q '4 gone -1 '
        say "\"codec\": \"$codec\", \"topic\": \"$topic\""
    done
}

# Two members of a balanced group get every record once between them, a third resumes with nothing.
group() {
    seq 1 1000 | "${kcat[@]}" -P -t "$name"
    local settings=(-X auto.offset.reset=earliest -X session.timeout.ms=10000 -X heartbeat.interval.ms=500)
    "${kcat[@]}" "${settings[@]}" -q -u -G "$name" "$name" > "$work/one" 2>/dev/null & local one=$!
    "${kcat[@]}" "${settings[@]}" -q -u -G "$name" "$name" > "$work/two" 2>/dev/null & local two=$!
    for _ in $(seq 100); do
        [ "$(cat "$work/one" "$work/two" | wc -l)" -ge 1000 ] && break
        sleep 0.2
    done
    kill -INT "$one" "$two"
    wait "$one" "$two" || true
    sort -n "$work/one" "$work/two" | cmp - <(seq 1 1000)
    say '"step": "read"'
    echo late | "${kcat[@]}" -P -t "$name"
    [ "$("${kcat[@]}" "${settings[@]}" -q -c1 -G "$name" "$name" 2>/dev/null)" = late ]
    say '"step": "resumed"'
}

offsets() {
    seq 0 99 | "${kcat[@]}" -P -t "$name" -p 0
    [ "$("${kcat[@]}" -C -q -e -t "$name" -p 0 -o 40 | head -1)" = 40 ]
    [ "$("${kcat[@]}" -C -q -e -t "$name" -p 0 -o -5 | tr '\n' ' ')" = '95 96 97 98 99 ' ]
    [ "$("${kcat[@]}" -Q -t "$name:0:0")" = "$name [0] offset 0" ]
    [ "$("${kcat[@]}" -Q -t "$name:0:-1")" = "$name [0] offset 100" ]
}

autocreate() {
    echo hello | "${kcat[@]}" -P -t "$name"
    [ "$("${kcat[@]}" -C -q -e -o beginning -t "$name")" = hello ]
}

# Two records with a long way before each, past which the client has to come.
view() {
    "${kcat[@]}" -C -q -e -o beginning -t "$argument" -f '%o ' > "$work/offsets"
    say "\"offsets\": \"[$(sed 's/ $//; s/ /, /' "$work/offsets")]\""
}

list() {
    "${kcat[@]}" -L -J > "$work/list"
    grep -q '"brokers":\[{"id":' "$work/list"
}

"$scenario"
