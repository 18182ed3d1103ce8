#!/usr/bin/env bash
# run.sh LIBRARY BOOTSTRAP SCENARIO [ARGUMENT…] – client.py in its virtual environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
exec "$("$here/venv.sh")" "$here/client.py" "$@"
