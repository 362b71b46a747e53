"""Computes the self view of every span with DuckDB, from a directory of tables, and compares it with `attribution`.

Usage: self_view.py DIRECTORY QUERY

QUERY is a file with the SELECT that computes the view. Prints one JSON object: how many rows and nanoseconds either side
has, of how many spans, how many of those are bound, how many have time in several layers, and the first rows that only
one side has.
"""

import json
import sys
from pathlib import Path

import duckdb

TABLES = ["spans", "task_spans", "task_states", "span_quality", "attribution"]

# Why a bound span has unknown time is not in the tables that the query may read.
STORED = """
    SELECT process_id, trace_id, span_id, layer, state,
        CASE WHEN state <> 'unknown' OR task_id IS NULL THEN sub_state END AS sub_state, sum(ns)::BIGINT AS ns
    FROM attribution
    JOIN (SELECT process_id, trace_id, span_id, task_id FROM span_quality) USING (process_id, trace_id, span_id)
    WHERE view = 'self'
    GROUP BY ALL
"""

ROWS_SHOWN = 5


def numbers(connection, table):
    """What there is on one side."""
    query = f"""
        SELECT count(*) AS rows, coalesce(sum(ns), 0)::BIGINT AS ns,
            count(DISTINCT (process_id, trace_id, span_id)) AS spans,
            (SELECT count(*) FROM (SELECT process_id, trace_id, span_id FROM {table}
                GROUP BY ALL HAVING count(DISTINCT layer) > 1)) AS spans_of_several_layers,
            (SELECT count(*) FROM {table} SEMI JOIN task_spans USING (process_id, trace_id, span_id)) AS rows_bound
        FROM {table}
    """
    result = connection.sql(query)
    [row] = result.fetchall()
    return dict(zip(result.columns, row))


def only_in(connection, one, other):
    """Rows of one side that the other has not, or not as often."""
    columns = "process_id, hex(trace_id), hex(span_id), layer, state, sub_state, ns"
    rows = connection.sql(f"SELECT {columns} FROM (FROM {one} EXCEPT ALL FROM {other})")
    return rows.order("ALL").limit(ROWS_SHOWN).fetchall()


def main():
    directory, query = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(f"CREATE TABLE {table} AS FROM read_parquet('{directory / table}/**/*.parquet')")
    connection.execute(f"CREATE TABLE stored AS {STORED}")
    connection.execute(f"CREATE TABLE computed AS {query}")
    found = {
        "stored": numbers(connection, "stored"),
        "computed": numbers(connection, "computed"),
        "only_stored": only_in(connection, "stored", "computed"),
        "only_computed": only_in(connection, "computed", "stored"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
