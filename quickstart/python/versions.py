"""Which versions run here; an import that fails is a set-up that is not finished."""

import platform
from importlib.metadata import version

import confluent_kafka
import duckdb
import pyiceberg

from tally import tell

tell(
    python=platform.python_version(),
    confluent_kafka=confluent_kafka.__version__,
    librdkafka=confluent_kafka.libversion()[0],
    duckdb=duckdb.__version__,
    duckdb_iceberg=version("duckdb-extension-iceberg"),
    pyiceberg=pyiceberg.__version__,
)
