"""Times a query of DuckDB over a directory of tables.

Usage: range_join.py DIRECTORY QUERY REPETITIONS

The query runs on one thread, over tables in memory. Prints one JSON object: how long the process ran for each repetition,
and the sum of the result's column `ns`.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

TABLES = ["spans", "task_spans", "task_states"]


def compute(connection, query):
    """Fills the table `computed`; returns how long this process ran meanwhile, in nanoseconds."""
    connection.execute("DROP TABLE IF EXISTS computed")
    before = time.process_time_ns()
    connection.execute(f"CREATE TABLE computed AS {query}")
    return time.process_time_ns() - before


def main():
    directory, query, repetitions = Path(sys.argv[1]), Path(sys.argv[2]).read_text(), int(sys.argv[3])
    connection = duckdb.connect(config={"threads": 1})
    for table in TABLES:
        connection.execute(f"CREATE TABLE {table} AS FROM read_parquet('{directory / table}/**/*.parquet')")
    cpu_ns = [compute(connection, query) for _ in range(repetitions)]
    [(ns,)] = connection.sql("SELECT coalesce(sum(ns), 0)::BIGINT FROM computed").fetchall()
    print(json.dumps({"cpu_ns": cpu_ns, "ns": ns}))


if __name__ == "__main__":
    main()
