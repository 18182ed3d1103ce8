#!/usr/bin/env bash
# Builds Tidelog, makes a private Python environment under target/, and runs the quickstart in a new
# folder. Options are those of `tidelog quickstart`. The first command of README.md.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

python=${PYTHON:-python3}
venv=$PWD/target/quickstart-venv
requirements=quickstart/python/requirements.txt
command -v cargo >/dev/null || fail "cargo is missing; install Rust from https://rustup.rs"
command -v "$python" >/dev/null || fail "$python is missing; install Python 3.10 or newer, or name one with PYTHON=…"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "$python is older than 3.10; name a newer one with PYTHON=…"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module; on Debian and Ubuntu install python3-venv"

cargo build --release --locked -p tidelog

# The stamp is written last, so that a set-up that was cut off is made again.
stamp=$("$python" --version; cat "$requirements")
if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "quickstart: installing librdkafka, DuckDB and PyIceberg into $venv"
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check -r "$requirements" \
        || fail "the packages of $requirements could not be installed (see above)"
    echo "$stamp" > "$venv/stamp"
fi

# A folder of its own for each run, unless told otherwise.
case " $* " in
    *" --data-dir"[\ =]*) data=() ;;
    *) mkdir -p target/quickstart && data=(--data-dir "target/quickstart/$(date +%Y%m%d-%H%M%S)") ;;
esac
exec target/release/tidelog quickstart --python "$venv/bin/python" "${data[@]}" "$@"
