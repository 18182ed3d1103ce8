"""DuckDB with the lake attached."""

import sysconfig
from pathlib import Path

import duckdb


def attach(url):
    """A connection in which `lake` is the catalog at `url`."""
    # The extensions come from the package index; nothing is downloaded here.
    packages = Path(sysconfig.get_path("purelib"))
    db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    for name in ("avro", "httpfs", "iceberg"):
        [file] = packages.glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
        db.execute(f"LOAD '{file}'")
    db.execute(f"ATTACH '' AS lake (TYPE iceberg, ENDPOINT '{url}', AUTHORIZATION_TYPE 'none')")
    return db
