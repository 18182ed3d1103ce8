"""Runs SQL on the lake with DuckDB: sql.py CATALOG_URL SQL"""

import sys

from lake import attach

url, sql = sys.argv[1:]
attach(url).sql(sql).show(max_width=160)
