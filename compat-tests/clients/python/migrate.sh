#!/usr/bin/env bash
# migrate.sh STEP … – migrate.py in its virtual environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
exec "$("$here/venv.sh")" "$here/migrate.py" "$@"
