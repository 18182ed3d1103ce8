#!/usr/bin/env bash
# venv.sh [NAME REQUIREMENTS] – makes a virtual environment once, that of the Python clients unless
# told otherwise, and prints its interpreter's path.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../once.sh"
name=${1:-venv}
requirements=${2:-$here/requirements.txt}

make_venv() {
    "${PYTHON:-python3}" -m venv --clear "$foreign/$name"
    "$foreign/$name/bin/pip" install -q --disable-pip-version-check -r "$requirements"
}

once "$name" "$(cksum < "$requirements")" make_venv
echo "$foreign/$name/bin/python"
