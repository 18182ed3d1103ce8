#!/usr/bin/env bash
# old.sh – makes a virtual environment once with confluent-kafka 1.9.2 on librdkafka 1.9.2, of 2022, and
# prints its interpreter's path. There are no wheels for today's Python: the rdkafka-sys crate carries the
# library's source, which is built without zstd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
name=librdkafka-old
crate=4.3.0+1.9.2
home=$foreign/$name

build() {
    rm -rf "$home"
    mkdir -p "$home/source/src"
    touch "$home/source/src/lib.rs"
    printf '[package]\nname = "source"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\nrdkafka-sys = "=%s"\n[workspace]\n' \
        "$crate" > "$home/source/Cargo.toml"
    (cd "$home/source" && cargo vendor -q vendor > /dev/null)
    (cd "$home/source/vendor/rdkafka-sys/librdkafka" && bash ./configure --prefix="$home/lib" --disable-zstd --disable-gssapi \
        && make -j2 -s libs && make -s install-subdirs)
    "${PYTHON:-python3}" -m venv --clear "$home/venv"
    C_INCLUDE_PATH="$home/lib/include" LIBRARY_PATH="$home/lib/lib" LDFLAGS="-Wl,-rpath,$home/lib/lib" \
        "$home/venv/bin/pip" install -q --disable-pip-version-check --no-binary confluent-kafka confluent-kafka==1.9.2
    rm -rf "$home/source"
}

once "$name" "$(cksum < "$0")" build
echo "$home/venv/bin/python"
