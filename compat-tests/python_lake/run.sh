#!/usr/bin/env bash
# run.sh BOOTSTRAP SCENARIO CATALOG [ARGUMENT…] – lake.py in a virtual environment of its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/once.sh"

make_venv() {
    "${PYTHON:-python3}" -m venv --clear "$foreign/lake-venv"
    "$foreign/lake-venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
}

once lake-venv "$(cksum < "$here/requirements.txt")" make_venv
exec "$foreign/lake-venv/bin/python" "$here/lake.py" "$@"
