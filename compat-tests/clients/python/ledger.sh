#!/usr/bin/env bash
# ledger.sh BOOTSTRAP TOPIC PARTITIONS [CONFIG=VALUE…] – ledger.py in its virtual environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
exec "$("$here/venv.sh")" "$here/ledger.py" "$@"
