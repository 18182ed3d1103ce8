#!/usr/bin/env bash
# Makes the virtual environment of the Python clients once and prints its interpreter's path.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"

make_venv() {
    "${PYTHON:-python3}" -m venv --clear "$foreign/venv"
    "$foreign/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
}

once venv "$(cksum < "$here/requirements.txt")" make_venv
echo "$foreign/venv/bin/python"
