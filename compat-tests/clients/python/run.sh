#!/usr/bin/env bash
# run.sh LIBRARY BOOTSTRAP SCENARIO [ARGUMENT…] – client.py in its virtual environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case $1 in
    confluent-old) python=$("$here/old.sh") ;;
    *) python=$("$here/venv.sh") ;;
esac
exec "$python" "$here/client.py" "$@"
