#!/usr/bin/env bash
# kafka-python.sh HOST:PORT [pytest argument…] – the integration tests in kafka-python's source package.
#
# They run in a scratch folder under target/foreign against the broker at HOST:PORT; the summary goes to
# stdout and to target/foreign/kafka-python-suite/summary.txt. Compare with a run against Apache Kafka:
# some fail there as well (TLS, several brokers).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/once.sh"
address=$1
shift
version=$(sed -n 's/^kafka-python==//p' "$here/../clients/python/requirements.txt")
suite=$foreign/kafka-python-suite
python=$("$here/../clients/python/venv.sh")

unpack() {
    rm -rf "$suite"
    mkdir -p "$suite"
    "$python" -m venv --clear "$suite/venv"
    "$suite/venv/bin/pip" install -q --disable-pip-version-check pytest pytest-timeout pytest-mock \
        "kafka-python==$version" lz4 python-snappy zstandard crc32c mock
    "$suite/venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary :all: \
        -d "$suite" "kafka-python==$version"
    tar -xzf "$suite"/kafka_python-*.tar.gz -C "$suite" --strip-components=1 --wildcards '*/test/*' '*/pyproject.toml'
    # What the package leaves out: the package marker and the starter of local brokers.
    touch "$suite/test/__init__.py"
    cat > "$suite/test/service.py" <<'EOF'
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    pass
EOF
}

once kafka-python-suite "$(cat "$0" | cksum)$version" unpack
cd "$suite"
# Long tracebacks make pytest itself fail on these fixtures.
KAFKA_ROOT=$suite KAFKA_VERSION=${KAFKA_VERSION:-4.2.0} KAFKA_URI=kafka://$address \
    "$suite/venv/bin/python" -m pytest test/integration --timeout 60 --timeout-method=signal --tb=line -q -rfEs "$@" | tee summary.txt
