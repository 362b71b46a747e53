"""Computes the self view of every bound span with DuckDB, from a directory of tables, and compares it with `attribution`.

Usage: self_view.py DIRECTORY QUERY [REPETITIONS]

QUERY is a file with the SELECT that computes the view; it runs on one thread, over tables in memory. `stack_layers.sql`
beside it runs before, unless there are no stacks. Spans of times that two recordings cover are left out. Prints one JSON object: DuckDB's version and how long the process ran
for each repetition; how many states stand in a library; how many of the spans were handed over; how many rows and nanoseconds either side has, of how many spans,
how many of those have time in several layers; and the first rows that only one side has.
"""

import json
import sys
import time
from pathlib import Path

import duckdb
from deltalake import DeltaTable

TABLES = ["spans", "task_spans", "task_states", "span_quality", "attribution"]

# Why a bound span has unknown time is not in the tables that the query may read.
STORED = """
    SELECT process_id, trace_id, span_id, layer, state,
        CASE WHEN state <> 'unknown' THEN sub_state END AS sub_state, sum(ns)::BIGINT AS ns
    FROM attribution
    SEMI JOIN task_spans USING (process_id, trace_id, span_id)
    SEMI JOIN compared USING (process_id, trace_id, span_id)
    WHERE view = 'self'
    GROUP BY ALL
"""

# Recordings of one process may overlap, as snapshots of a flight recorder do. Which of them a state is from is not in the
# tables, and each reads the clocks anew, so that they place an instant some nanoseconds apart. Spans of such times are not
# compared. What was before is needed beside them, once: of two states the earlier one, the later one from where that ends.
COMPARED = """
    CREATE TABLE compared AS
    WITH recordings AS (
        SELECT DISTINCT process_id, recording_start_ns AS start_ns, recording_end_ns AS end_ns FROM tasks
    ),
    twice AS (
        SELECT process_id, greatest(one.start_ns, other.start_ns) AS start_ns, least(one.end_ns, other.end_ns) AS end_ns
        FROM recordings AS one
        JOIN recordings AS other USING (process_id)
        WHERE (one.start_ns, one.end_ns) < (other.start_ns, other.end_ns)
    )
    SELECT DISTINCT process_id, trace_id, span_id
    FROM spans
    WHERE NOT EXISTS (
        FROM twice
        WHERE twice.process_id = spans.process_id
            AND twice.start_ns < spans.start_ns + spans.duration_ns AND spans.start_ns < twice.end_ns
            AND twice.start_ns < twice.end_ns
    )
"""

ALL_COMPARED = "CREATE TABLE compared AS SELECT DISTINCT process_id, trace_id, span_id FROM spans"

WITHOUT_OVERLAP = """
    CREATE OR REPLACE TABLE task_states AS
    SELECT * EXCLUDE (said_until_ns) REPLACE (
        greatest(start_ns, said_until_ns) AS start_ns,
        start_ns + duration_ns - greatest(start_ns, said_until_ns) AS duration_ns
    )
    FROM (
        SELECT *, coalesce(max(start_ns + duration_ns) OVER before, start_ns) AS said_until_ns
        FROM task_states
        WINDOW before AS (
            PARTITION BY process_id, task_id ORDER BY start_ns, duration_ns DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
    WHERE said_until_ns < start_ns + duration_ns
"""

HANDED_OVER = """
    SELECT count(*)
    FROM (FROM task_spans SEMI JOIN compared USING (process_id, trace_id, span_id) SELECT span_id GROUP BY process_id, trace_id, span_id HAVING count(*) > 1)
"""

NO_STACKS = """
    CREATE TABLE stack_layers(process_id VARCHAR, task_id BIGINT, start_ns BIGINT, layer VARCHAR);
    CREATE TABLE refinable(process_id VARCHAR, trace_id BLOB, span_id BLOB);
"""

ROWS_SHOWN = 5


def files(table):
    """Those that the log names, as others may hold rows that were replaced; all if there is no log."""
    if DeltaTable.is_deltatable(str(table)):
        return DeltaTable(table).file_uris()
    return [str(file) for file in table.glob("**/*.parquet")]


def read(connection, directory, table):
    """Loads a table into memory."""
    connection.execute(f"CREATE TABLE {table} AS FROM read_parquet({files(directory / table)})")


def numbers(connection, table):
    """What there is on one side."""
    query = f"""
        SELECT count(*) AS rows, coalesce(sum(ns), 0)::BIGINT AS ns,
            count(DISTINCT (process_id, trace_id, span_id)) AS spans,
            (SELECT count(*) FROM (SELECT process_id, trace_id, span_id FROM {table}
                GROUP BY ALL HAVING count(DISTINCT layer) > 1)) AS spans_of_several_layers
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


def compute(connection, query):
    """Fills the table `computed`; returns how long this process ran meanwhile, in nanoseconds."""
    connection.execute("DROP TABLE IF EXISTS computed")
    before = time.process_time_ns()
    connection.execute(f"CREATE TABLE computed AS {query}")
    used = time.process_time_ns() - before
    connection.execute("DELETE FROM computed WHERE (process_id, trace_id, span_id) NOT IN (FROM compared)")
    return used


def main():
    directory, query_file = Path(sys.argv[1]), Path(sys.argv[2])
    repetitions = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    connection = duckdb.connect(config={"threads": 1})
    for table in TABLES:
        read(connection, directory, table)
    connection.execute(WITHOUT_OVERLAP)
    if (directory / "tasks").is_dir():
        read(connection, directory, "tasks")
        connection.execute(COMPARED)
    else:
        connection.execute(ALL_COMPARED)
    if (directory / "stacks").is_dir():
        read(connection, directory, "stacks")
        connection.execute(query_file.with_name("stack_layers.sql").read_text())
    else:
        connection.execute(NO_STACKS)
    query = query_file.read_text()
    connection.execute(f"CREATE TABLE stored AS {STORED}")
    found = {
        "version": duckdb.__version__,
        "cpu_ns": [compute(connection, query) for _ in range(repetitions)],
        "states_in_libraries": connection.sql("SELECT count(*) FROM stack_layers").fetchall()[0][0],
        "spans_handed_over": connection.sql(HANDED_OVER).fetchall()[0][0],
        "stored": numbers(connection, "stored"),
        "computed": numbers(connection, "computed"),
        "only_stored": only_in(connection, "stored", "computed"),
        "only_computed": only_in(connection, "computed", "stored"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
