-- The self view of every span, from its definition in docs/attribution.md and from the tables `spans`, `task_spans`,
-- `task_states` and `span_quality` (the layer of each span, and why it is unbound) alone. No row of `attribution` is read.
-- `stack_layers` and `refinable` come from stack_layers.sql: where a task stands in a library, that may name the layer.
--
--   bound    span A  [---------------------------)
--            span B          [-------)
--   pieces           |   A   |   B   |     A     |   cut at starts and ends, each owned by the innermost span open
--   states           |  running  | network | running |
--   given            |A run  |B r|B n|A net|A run|
--
-- Time of a bound span in which its task has no state is `unknown`; why is not in these tables, so `sub_state` is null.
WITH RECURSIVE
-- Spans may be sent twice.
reported AS (
    SELECT DISTINCT process_id, trace_id, span_id, parent_span_id, start_ns, start_ns + duration_ns AS end_ns
    FROM spans
),
-- How deep each span is in the tree of its process.
depths AS (
    SELECT process_id, trace_id, span_id, 0 AS depth
    FROM reported AS root
    WHERE NOT EXISTS (
        FROM reported AS parent
        WHERE parent.process_id = root.process_id AND parent.trace_id = root.trace_id
            AND parent.span_id = root.parent_span_id
    )
    UNION ALL
    SELECT child.process_id, child.trace_id, child.span_id, parent.depth + 1
    FROM depths AS parent
    JOIN reported AS child
        ON child.process_id = parent.process_id AND child.trace_id = parent.trace_id
        AND child.parent_span_id = parent.span_id
),
-- Of two open spans the one of higher rank owns: it started later, or is deeper, or has the larger id.
bound AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY start_ns, depth, trace_id, span_id) AS rank,
        process_id, task_id, trace_id, span_id, start_ns, end_ns, layer, refinable.span_id IS NOT NULL AS is_refinable
    FROM reported
    JOIN depths USING (process_id, trace_id, span_id)
    LEFT JOIN refinable USING (process_id, trace_id, span_id)
    JOIN (SELECT process_id, trace_id, span_id, task_id FROM task_spans) USING (process_id, trace_id, span_id)
    JOIN (SELECT process_id, trace_id, span_id, layer FROM span_quality) USING (process_id, trace_id, span_id)
    WHERE start_ns < end_ns
),
boundaries AS (
    SELECT process_id, task_id, start_ns AS at_ns FROM bound
    UNION
    SELECT process_id, task_id, end_ns FROM bound
),
pieces AS MATERIALIZED (
    SELECT row_number() OVER () AS piece, process_id, task_id, at_ns AS from_ns,
        lead(at_ns) OVER (PARTITION BY process_id, task_id ORDER BY at_ns) AS to_ns
    FROM boundaries
),
within AS MATERIALIZED (
    SELECT piece, rank
    FROM pieces
    JOIN bound USING (process_id, task_id)
    WHERE start_ns <= from_ns AND to_ns <= end_ns
),
owned AS MATERIALIZED (
    SELECT piece, process_id, task_id, from_ns, to_ns, layer, is_refinable
    FROM (SELECT piece, max(rank) AS rank FROM within GROUP BY piece)
    JOIN pieces USING (piece)
    JOIN (SELECT rank, layer, is_refinable FROM bound) USING (rank)
),
known AS MATERIALIZED (
    SELECT piece, CASE WHEN is_refinable THEN coalesce(stack_layers.layer, owned.layer) ELSE owned.layer END AS layer,
        state, sub_state,
        sum(least(to_ns, start_ns + duration_ns) - greatest(from_ns, start_ns)) AS ns
    FROM owned
    JOIN task_states USING (process_id, task_id)
    LEFT JOIN stack_layers USING (process_id, task_id, start_ns)
    WHERE start_ns < to_ns AND from_ns < start_ns + duration_ns AND state <> 'unknown'
    GROUP BY ALL
),
given AS (
    FROM known
    UNION ALL
    SELECT piece, owned.layer, 'unknown', NULL, to_ns - from_ns - coalesce(sum(ns), 0) AS ns
    FROM owned
    LEFT JOIN (SELECT piece, ns FROM known) USING (piece)
    GROUP BY piece, owned.layer, from_ns, to_ns
    HAVING to_ns - from_ns > coalesce(sum(ns), 0)
),
cells AS (
    SELECT rank, given.layer, state, sub_state, sum(ns)::BIGINT AS ns
    FROM within
    JOIN given USING (piece)
    GROUP BY rank, given.layer, state, sub_state
)
SELECT process_id, trace_id, span_id, cells.layer, state, sub_state, ns
FROM cells
JOIN bound USING (rank)
UNION ALL
-- A span that is not bound is one cell of its own layer; `binding` says why.
SELECT process_id, trace_id, span_id, layer, 'unknown', binding, reported.end_ns - reported.start_ns
FROM reported
JOIN span_quality USING (process_id, trace_id, span_id)
WHERE task_id IS NULL AND reported.start_ns < reported.end_ns
