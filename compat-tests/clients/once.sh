# Sourced by each family's run.sh: one-time set-up under target/foreign (or $TIDELOG_FOREIGN).
foreign=${TIDELOG_FOREIGN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/foreign}

# once NAME STAMP COMMAND… – runs COMMAND unless it succeeded before for this STAMP. Safe to call
# from several processes at a time: one does the work, the others wait.
once() {
    local dir=$foreign/$1 stamp=$2
    shift 2
    mkdir -p "$dir"
    exec 9> "$foreign/$(basename "$dir").lock"
    flock 9
    if [ "$(cat "$dir.stamp" 2>/dev/null)" != "$stamp" ]; then
        "$@" >&2
        echo "$stamp" > "$dir.stamp"
    fi
    exec 9>&-
}
