-- What each bound span's task did while the span was open, whoever owned it: one range join and one sum. It does less than the
-- self view, which tells the layers apart.
SELECT process_id, trace_id, span_id, '' AS layer, state, sub_state,
    sum(least(end_ns, states.start_ns + states.duration_ns) - greatest(bound.start_ns, states.start_ns))::BIGINT AS ns
FROM (
    SELECT process_id, task_id, trace_id, span_id, start_ns, start_ns + duration_ns AS end_ns
    FROM spans
    JOIN (SELECT process_id, trace_id, span_id, task_id FROM task_spans) USING (process_id, trace_id, span_id)
) AS bound
JOIN task_states AS states USING (process_id, task_id)
WHERE states.start_ns < end_ns AND bound.start_ns < states.start_ns + states.duration_ns
GROUP BY process_id, trace_id, span_id, state, sub_state
