"""Reads a collector's tables with engines that know nothing of it, while it runs.

Usage: external_readers.py DIRECTORY TABLE...

Prints one JSON object: engine -> {"rows": {table: count}, "attributed_ns": sum of attribution.ns in the self view}.
"""

import json
import sys
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable


def read_with_deltalake(directory, tables):
    """The deltalake wheel reads the log, pyarrow the files."""
    rows = {table: DeltaTable(directory / table).to_pyarrow_table().num_rows for table in tables}
    attribution = DeltaTable(directory / "attribution").to_pyarrow_table(filters=ds.field("view") == "self")
    return {"rows": rows, "attributed_ns": pc.sum(attribution["ns"]).as_py()}


def read_with_duckdb(directory, tables):
    """DuckDB reads the files that the log names: others in the directory may hold rows that were replaced."""

    def files(table):
        return f"read_parquet({DeltaTable(directory / table).file_uris()}, hive_partitioning = true)"

    rows = {table: duckdb.sql(f"SELECT count(*) FROM {files(table)}").fetchall()[0][0] for table in tables}
    [(attributed,)] = duckdb.sql(f"SELECT sum(ns)::BIGINT FROM {files('attribution')} WHERE view = 'self'").fetchall()
    return {"rows": rows, "attributed_ns": attributed}


def main():
    directory, tables = Path(sys.argv[1]), sys.argv[2:]
    engines = {"deltalake and pyarrow": read_with_deltalake, "duckdb": read_with_duckdb}
    print(json.dumps({name: read(directory, tables) for name, read in engines.items()}))


if __name__ == "__main__":
    main()
