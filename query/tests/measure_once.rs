#[path = "../../store/tests/rows/mod.rs"]
mod rows;
use spandrel_model::Table;
use spandrel_query::*;
use std::time::Instant;
#[tokio::test(flavor = "multi_thread")]
async fn measure() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = spandrel_store::Store::open(dir.path()).await.unwrap();
    let batches: Vec<_> = (0..20)
        .map(|i| {
            rows::rows(
                Table::Spans,
                10_000,
                1_795_251_600_000_000_000 + i * 100_000_000_000,
                10_000_000,
            )
        })
        .collect();
    let t = Instant::now();
    let done = store.commit(vec![(Table::Spans, batches)], None).await.unwrap();
    println!(
        "MEASURE commit {done:?} in {:?}: {} rows/s",
        t.elapsed(),
        200_000.0 / t.elapsed().as_secs_f64()
    );
    for _ in 0..5 {
        let t = Instant::now();
        store
            .commit(
                vec![(
                    Table::Logs,
                    vec![rows::rows(Table::Logs, 1, 1_795_251_600_000_000_000, 1)],
                )],
                None,
            )
            .await
            .unwrap();
        println!("MEASURE small commit {:?}", t.elapsed());
    }
    let t = Instant::now();
    let snapshot = store.reader().snapshot().await.unwrap();
    println!("MEASURE snapshot {:?}", t.elapsed());
    let t = Instant::now();
    let ctx = session(&snapshot, &SessionOptions::default()).unwrap();
    println!("MEASURE session {:?}", t.elapsed());
    for sql in [
        "SELECT service_name, name, count(*), avg(duration_ns) FROM spans GROUP BY 1, 2",
        "SELECT round(avg(duration_ns)) FROM spans",
        "SELECT count(*) FROM spans",
        "SELECT attributes['http.route'], count(*) FROM spans GROUP BY 1",
        "SELECT * FROM spans WHERE trace_id = '9e3779b97f4a7c159e3779b97f4a7c15'",
    ] {
        for _ in 0..2 {
            let t = Instant::now();
            let r = run(&ctx, sql, Limits::default()).await;
            println!(
                "MEASURE {sql}: {:?} {:?}",
                t.elapsed(),
                r.map(|r| r.row_count()).map_err(|e| e.to_string())
            );
        }
    }
}
