-- Layers from stacks, as docs/attribution.md defines them, for the libraries that the bundled recording calls. Makes two tables:
--
--   stack_layers   states in which a task stands in a library, and the layer of that library
--   refinable      spans whose time such states may name otherwise
CREATE TABLE stack_layers AS
WITH
-- Those that build on others first.
libraries(rank, prefix, layer) AS (
    VALUES (1, 'github.com/redis/go-redis', 'cache'), (2, 'database/sql', 'db'), (2, 'github.com/jackc/pgx', 'db')
),
library_stacks AS (
    SELECT stack_id, arg_min(layer, rank) AS layer
    FROM (SELECT DISTINCT stack_id, unnest(frames).function AS function FROM stacks)
    JOIN libraries ON starts_with(function, prefix || '.') OR starts_with(function, prefix || '/')
    GROUP BY stack_id
),
-- A task that does not run stands where it stood: a state without a stack goes on from the one before.
steps AS (
    SELECT process_id, task_id, start_ns, stack_id,
        start_ns IS DISTINCT FROM lag(start_ns + duration_ns) OVER task
            OR state = 'running' OR (state IN ('gc_assist', 'gc_sweep') AND stack_id IS NULL) AS begins
    FROM task_states
    WHERE state <> 'unknown'
    WINDOW task AS (PARTITION BY process_id, task_id ORDER BY start_ns)
),
-- Of a task that runs nobody knows where it is.
places AS (
    SELECT process_id, task_id, start_ns, sum(begins::INT) OVER task AS stay,
        CASE WHEN state <> 'running' THEN stack_id END AS stack_id
    FROM steps
    JOIN (SELECT process_id, task_id, start_ns, state FROM task_states) USING (process_id, task_id, start_ns)
    WINDOW task AS (PARTITION BY process_id, task_id ORDER BY start_ns)
),
stands AS (
    SELECT process_id, task_id, start_ns,
        last_value(stack_id IGNORE NULLS) OVER (PARTITION BY process_id, task_id, stay ORDER BY start_ns) AS stack_id
    FROM places
)
SELECT process_id, task_id, start_ns, layer
FROM stands
JOIN library_stacks USING (stack_id);

-- Not those that are calls themselves, or say their layer.
CREATE TABLE refinable AS
SELECT DISTINCT process_id, trace_id, span_id
FROM spans
WHERE NOT map_contains(attributes, 'attribution.layer') AND CASE
    WHEN kind IN ('client', 'producer') THEN false
    WHEN kind IN ('server', 'consumer') THEN true
    ELSE NOT list_has_any(
        map_keys(attributes),
        ['db.system.name', 'db.system', 'messaging.system', 'rpc.system', 'rpc.system.name']
    )
END;
