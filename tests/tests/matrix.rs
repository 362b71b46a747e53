//! The tables that sum up requests, made from the bundled recording: what adds up does, and sketches keep their error.

use std::path::Path;
use std::sync::LazyLock;

use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::sql::{Tables, integer, text};
use spandrel_tests::{repository, scratch};

static REPLAYED: LazyLock<Tables> = LazyLock::new(|| {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "matrix");
    let settings = [&QUICK[..], &[METRICS, ALL_AT_ONCE]].concat();
    let collector = Collector::start(&dir, &[], &settings);
    collector.replay_without_waiting();
    collector.stop()
});

/// The matrix leaves as metrics, too, as `docs/components/attribution.md` describes.
const METRICS: &str = "service.pipelines.metrics.receivers=[otlp, attribution]";

/// Everything is joined when the collector stops, so that no row is corrected: metrics are not.
const ALL_AT_ONCE: &str = "connectors.attribution.join_delay=1m";

/// The columns by which `operations` and `matrix` belong together.
const GROUP: &str = "window_start_ns, emission, service_name, operation";

#[track_caller]
fn assert_none(sql: &str) {
    let wrong = REPLAYED.rows(sql);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn tails_and_coverage_of_cells_sum_to_those_of_the_operation() {
    assert!(REPLAYED.number("SELECT count(*) FROM operations WHERE n >= 50") > 0);
    let tails = ["tail_p50_ns", "tail_p95_ns", "tail_p99_ns", "sum_ns"];
    let sums = tails.map(|column| format!("sum({column}) AS {column}")).join(", ");
    let differ = tails
        .map(|column| format!("(o.{column} IS DISTINCT FROM m.{column})"))
        .join(" OR ");
    let views = "SELECT DISTINCT view FROM matrix";
    assert_eq!(REPLAYED.rows(views).len(), 2);
    assert_none(&format!(
        "WITH m AS (SELECT {GROUP}, view, min(n) AS n, {sums} FROM matrix GROUP BY {GROUP}, view) \
         SELECT o.operation, v.view FROM operations AS o CROSS JOIN ({views}) AS v \
         LEFT JOIN m ON m.window_start_ns = o.window_start_ns AND m.emission = o.emission \
         AND m.service_name = o.service_name AND m.operation = o.operation AND m.view = v.view \
         WHERE o.sum_ns > 0 AND ({differ} OR (o.n IS DISTINCT FROM m.n))"
    ));
    for table in ["operations", "matrix"] {
        assert_none(&format!(
            "SELECT operation FROM {table} WHERE exact_ns + sampled_ns + inferred_ns + unknown_ns <> sum_ns"
        ));
    }
}

#[test]
fn shares_of_the_variance_sum_to_one() {
    let shares = format!("SELECT {GROUP}, view, sum(cov_share) AS share FROM matrix GROUP BY {GROUP}, view");
    assert!(REPLAYED.number(&format!("SELECT count(*) FROM ({shares}) WHERE share IS NOT NULL")) > 0);
    assert_none(&format!(
        "SELECT operation, share FROM ({shares}) WHERE abs(share - 1) > 1e-9"
    ));
}

#[test]
fn quantiles_lie_in_their_interval_and_few_requests_have_none() {
    for table in ["operations", "matrix"] {
        for (percent, requests) in [(50, 6), (95, 92), (99, 476)] {
            assert_none(&format!(
                "SELECT operation FROM {table} WHERE p{percent}_ns NOT BETWEEN p{percent}_lo_ns AND p{percent}_hi_ns \
                 OR (p{percent}_lo_ns IS NULL) <> (n < {requests}) OR (p{percent}_hi_ns IS NULL) <> (n < {requests})"
            ));
        }
    }
}

#[test]
fn interference_is_the_time_of_blocked_on_other_by_culprit() {
    assert!(REPLAYED.number("SELECT count(*) FROM interference") > 0);
    assert_none(&format!(
        "WITH lost AS (SELECT {GROUP}, layer, sum_ns FROM matrix WHERE view = 'root' AND state = 'blocked_on_other'), \
              caused AS (SELECT {GROUP}, layer, sum(ns) AS sum_ns FROM interference GROUP BY {GROUP}, layer) \
         SELECT * FROM lost FULL JOIN caused USING ({GROUP}, layer) WHERE lost.sum_ns IS DISTINCT FROM caused.sum_ns"
    ));
    let blamed = "SELECT culprit_operation, culprit_layer FROM interference WHERE operation = 'POST /reservations' \
                  ORDER BY ns DESC LIMIT 1";
    let from_cells = "SELECT culprit_operation, culprit_layer FROM attribution WHERE operation = 'POST /reservations' \
                      AND is_request AND relation = 'interference' GROUP BY culprit_operation, culprit_layer \
                      ORDER BY sum(ns) DESC LIMIT 1";
    let (blamed, expected) = (REPLAYED.row(blamed), REPLAYED.row(from_cells));
    assert_eq!(text(&blamed, "culprit_operation"), text(&expected, "culprit_operation"));
}

/// Quantiles of all windows together, from sketches and from every request's own number.
fn sketched_and_exact(sketches: &str, values: &str, share: &str) -> (i64, i64) {
    let row = REPLAYED.row(&format!(
        "SELECT (SELECT sketch_quantile(sketch_merge(sketch), {share}) FROM {sketches}) AS sketched, \
                (SELECT min(ns) FROM (SELECT ns, row_number() OVER (ORDER BY ns) AS rank, count(*) OVER () AS n \
                                      FROM ({values})) WHERE rank >= {share} * n) AS exact"
    ));
    (integer(&row, "sketched"), integer(&row, "exact"))
}

#[test]
fn merged_sketches_give_the_quantiles_of_all_windows_within_their_error() {
    let requests = "span_quality WHERE is_request AND operation = 'GET /catalog'";
    let cells = "operation = 'GET /catalog' AND view = 'root' AND layer = 'service' AND state = 'running'";
    let durations = format!("SELECT duration_ns AS ns FROM {requests}");
    // Requests with nothing in the cell count as zero.
    let times = format!(
        "SELECT coalesce(a.ns, 0) AS ns FROM (SELECT trace_id, span_id FROM {requests}) AS q LEFT JOIN \
         (SELECT trace_id, span_id, sum(ns) AS ns FROM attribution WHERE is_request AND {cells} \
         GROUP BY trace_id, span_id) AS a ON a.trace_id = q.trace_id AND a.span_id = q.span_id"
    );
    let operations = "operations WHERE operation = 'GET /catalog'".to_owned();
    let matrix = format!("matrix WHERE {cells}");
    assert!(
        REPLAYED.number(&format!("SELECT count(*) FROM {operations}")) >= 2,
        "windows"
    );
    for (sketches, values) in [(&operations, &durations), (&matrix, &times)] {
        for share in ["0.5", "0.95", "0.99", "1.0"] {
            let (sketched, exact) = sketched_and_exact(sketches, values, share);
            assert!(exact > 0);
            assert!(
                sketched.abs_diff(exact) as f64 <= 0.0055 * exact as f64 + 0.5,
                "{sketches}: {share} is {exact}, sketched {sketched}"
            );
        }
    }
}

#[test]
fn sketches_count_their_requests_and_can_be_subtracted() {
    for table in ["operations", "matrix"] {
        assert_none(&format!(
            "SELECT operation FROM {table} WHERE sketch_count(sketch) IS DISTINCT FROM n"
        ));
    }
    let later = "operation = 'GET /catalog' AND window_start_ns > (SELECT min(window_start_ns) FROM operations)";
    let row = REPLAYED.row(&format!(
        "SELECT hex(sketch_subtract(every.sketch, first.sketch)) AS difference, hex(later.sketch) AS later FROM \
         (SELECT sketch_merge(sketch) AS sketch FROM operations WHERE operation = 'GET /catalog') AS every, \
         (SELECT sketch_merge(sketch) AS sketch FROM operations WHERE operation = 'GET /catalog' AND NOT ({later})) AS first, \
         (SELECT sketch_merge(sketch) AS sketch FROM operations WHERE {later}) AS later"
    ));
    assert_eq!(text(&row, "difference"), text(&row, "later"));
    assert!(text(&row, "later").len() > 20);
}

#[test]
fn the_matrix_leaves_as_metrics_with_the_same_counts_and_sums() {
    let points = "SELECT start_ns AS window_start_ns, service_name, attributes['operation'] AS operation, \
                  attributes['view'] AS view, attributes['layer'] AS layer, attributes['state'] AS state, count AS n, \
                  CAST(sum AS BIGINT) AS sum_ns, scale, unit, temporality, metric_type, \
                  zero_count + array_sum(bucket_counts) AS counted \
                  FROM metrics WHERE metric_name = 'spandrel.attribution.time'";
    let cells = "SELECT window_start_ns, service_name, operation, view, layer, state, n, sum_ns FROM matrix";
    assert!(REPLAYED.number(&format!("SELECT count(*) FROM ({points})")) > 10);
    let key = "window_start_ns, service_name, operation, view, layer, state";
    assert_none(&format!(
        "SELECT operation, view, layer, state, p.n, c.n AS expected FROM ({points}) AS p FULL JOIN ({cells}) AS c USING ({key}) \
         WHERE (p.n IS DISTINCT FROM c.n) OR (p.sum_ns IS DISTINCT FROM c.sum_ns) OR p.counted <> p.n OR p.unit <> 'ns' \
         OR p.temporality <> 'delta' OR p.metric_type <> 'exponential_histogram' OR p.scale NOT BETWEEN 3 AND 6"
    ));
    let durations = "SELECT sum(count) FROM metrics WHERE metric_name = 'spandrel.attribution.duration'";
    let requests = REPLAYED.number("SELECT sum(n) FROM operations");
    assert_eq!(REPLAYED.number(durations), requests);
}

/// The example of `docs/attribution.md`.
#[test]
fn the_gap_between_p99_and_p50_is_explained_by_a_query() {
    let page = repository::read(&repository::root().join("docs/attribution.md"));
    let example = page
        .split("```sql\n")
        .skip(1)
        .find(|part| part.contains("AS gap_ns"))
        .expect("the example");
    let example = example.split("```").next().expect("it ends");
    let rows = REPLAYED.rows(example);
    assert!(rows.len() > 2, "{rows:?}");
    let gap: i64 = rows.iter().map(|row| integer(row, "gap_ns")).sum();
    let whole = REPLAYED.number(
        "SELECT tail_p99_ns - tail_p50_ns FROM operations WHERE operation = 'GET /catalog' \
         ORDER BY n DESC LIMIT 1",
    );
    assert_eq!(gap, whole);
    assert!(whole > 0);
}
