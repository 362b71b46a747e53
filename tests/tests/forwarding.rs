//! Collectors in a row: what one makes of the bundled recording reaches another over OTLP, unchanged.

use std::fs;
use std::path::Path;

use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::scratch;

/// Everything is joined when the first collector stops, so that nothing is corrected: metrics are not.
const ALL_AT_ONCE: &str = "connectors.attribution.join_delay=1m";

#[test]
fn the_matrix_reaches_another_collector_as_metrics() {
    let dir = scratch::shared(Path::new(env!("CARGO_TARGET_TMPDIR")), "forwarding");
    let [front, back] = ["front", "back"].map(|name| dir.join(name));
    for dir in [&front, &back] {
        fs::create_dir_all(dir).expect("a new directory");
    }
    let back = Collector::start(&back, &[], &QUICK);
    let endpoint = format!("exporters.otlp_http.endpoint=http://{}", back.http);
    let settings = [
        ALL_AT_ONCE,
        &endpoint,
        "service.pipelines.metrics.receivers=[otlp, attribution]",
        "service.pipelines.metrics.exporters=[otlp_http, parquet]",
    ];
    let front = Collector::start(&front, &[], &[&QUICK[..], &settings].concat());
    front.replay_without_waiting();
    let (sent, received) = (front.stop(), back.stop());
    let points = "SELECT metric_name, service_name, start_ns, count(*) AS points, sum(count) AS n, sum(sum) AS sum, \
                  sum(zero_count + array_sum(bucket_counts)) AS counted FROM metrics \
                  WHERE metric_name LIKE 'spandrel.attribution.%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let sent = sent.rows(points);
    assert!(sent.len() > 2, "{sent:?}");
    assert_eq!(sent, received.rows(points));
}
