"""Reads a store with engines that know nothing of it, and compares with what was written.

Usage: external_readers.py [--compact] DIRECTORY EXPECTED, where EXPECTED is JSON: per table its name, columns, number of rows,
the sum of its time column (relative to `time_origin`), and whether rows of it were replaced. With --compact first, the
tables are compacted by the deltalake wheel after they were read.
"""

import json
import sys
from pathlib import Path

import duckdb
import pyarrow.compute as pc
from deltalake import DeltaTable


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")


def check_delta(path, expected):
    """The deltalake wheel reads the log, pyarrow the files."""
    table = DeltaTable(path)
    fields = table.schema().fields
    check("columns", [field.name for field in fields], expected["columns"] + ["dt", "hr"])
    check("columns without comment", [f.name for f in fields if f.name not in ("dt", "hr") and not f.metadata.get("comment")], [])
    check("reader version", table.protocol().min_reader_version, 1)

    rows = table.to_pyarrow_table()
    check("rows", rows.num_rows, expected["rows"])
    times = pc.subtract(rows[expected["time_column"]], expected["time_origin"])
    check("sum of times", pc.sum(times).as_py(), expected["time_sum"])
    check("dates", pc.unique(rows["dt"]).to_pylist(), ["2026-11-21"])

    nine = table.to_pyarrow_table(filters=[("hr", "=", "09")])
    check("rows of nine", nine.num_rows, expected["rows_of_nine"])
    if "trace_id" in expected["columns"]:
        lengths = pc.unique(pc.binary_length(pc.drop_null(rows["trace_id"]))).to_pylist()
        check("length of trace ids", lengths, [16])


def check_parquet(path, expected):
    """DuckDB reads the files: by their names alone, or by the log if some of them are no longer in the table."""
    files = f"'{path}/**/part-*.parquet'"
    if expected["replaced"]:
        files = DeltaTable(path).file_uris()
    files = f"{files}, hive_partitioning = true, hive_types_autocast = false"
    [(rows, time_sum, nine)] = duckdb.sql(
        f"""
        SELECT count(*), sum({expected["time_column"]} - {expected["time_origin"]}), count(*) FILTER (hr = '09')
        FROM read_parquet({files})
        """
    ).fetchall()
    check("rows", rows, expected["rows"])
    check("sum of times", time_sum, expected["time_sum"])
    check("rows of nine", nine, expected["rows_of_nine"])
    if "attributes" in expected["columns"]:
        [(routes,)] = duckdb.sql(
            f"SELECT count(DISTINCT attributes['http.route']) FROM read_parquet({files})"
        ).fetchall()
        check("routes", routes, 5)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--compact"]
    directory, tables = Path(arguments[0]), json.loads(arguments[1])
    for expected in tables:
        path = directory / expected["table"]
        for reader in (check_delta, check_parquet):
            try:
                reader(path, expected)
            except SystemExit as error:
                sys.exit(f"{expected['table']}, {reader.__name__}: {error}")
        if "--compact" in sys.argv:
            DeltaTable(path).optimize.compact()


if __name__ == "__main__":
    main()
