//! The self view of the bundled recording, computed a second time from the stored tables by another engine.

use serde_json::json;
use spandrel_tests::collector::{Collector, QUICK};
use spandrel_tests::self_view;

#[test]
fn duckdb_computes_the_same_cells_of_every_bound_span_to_the_nanosecond() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), &[], &QUICK);
    collector.replay();
    let tables = collector.stop();
    let found = self_view::duckdb_computes_the_same(&tables);
    let bound = "SELECT count(*) FROM span_quality WHERE task_id IS NOT NULL AND duration_ns > 0";
    assert_eq!(found["computed"]["spans"], json!(tables.number(bound)));
    assert_ne!(found["states_in_libraries"], json!(0), "{found}");
    assert_ne!(found["computed"]["spans_of_several_layers"], json!(0), "{found}");
}
