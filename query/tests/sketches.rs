//! What a user of SQL can rely on about sketches.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use spandrel_attribution::Sketch;
use spandrel_query::{Format, Limits, SessionOptions, run, session};
use spandrel_store::Store;

/// The answer as CSV without the header, or the error.
async fn ask(sql: &str) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let ctx = session(&store.reader().snapshot().await.unwrap(), &SessionOptions::default()).unwrap();
    let result = run(&ctx, sql, Limits::default())
        .await
        .map_err(|error| error.to_string())?;
    let mut csv = Vec::new();
    Format::Csv.write(&result, &mut csv).unwrap();
    let lines = String::from_utf8(csv).unwrap();
    Ok(lines.lines().skip(1).map(str::to_owned).collect())
}

/// A sketch of milliseconds as SQL.
fn sketch(milliseconds: &[i64]) -> String {
    let mut sketch = Sketch::default();
    milliseconds.iter().for_each(|ms| sketch.add(ms * 1_000_000, 1));
    let hex: String = sketch.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("unhex('{hex}')")
}

fn rows(sketches: &[&[i64]]) -> String {
    let rows = sketches.iter().enumerate();
    let rows: Vec<String> = rows.map(|(at, ms)| format!("({at}, {})", sketch(ms))).collect();
    format!("(VALUES {}, (99, NULL)) AS t(at, sketch)", rows.join(", "))
}

#[tokio::test]
async fn a_window_that_slides_is_what_is_in_it() {
    let panes: [&[i64]; 5] = [&[7], &[1, 900], &[2], &[], &[3, 0]];
    let sql = format!(
        "SELECT sketch_count(s), round(sketch_quantile(s, 1) / 1e7) FROM (SELECT at, sketch_merge(sketch) OVER (ORDER BY at \
         ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM {}) AS w ORDER BY at",
        rows(&panes)
    );
    // How many, and the largest of them in units of 10 ms, as a sketch is half a percent off.
    let expected = ["1,1.0", "3,90.0", "3,90.0", "1,0.0", "2,0.0", "2,0.0"];
    assert_eq!(ask(&sql).await.unwrap(), expected);
}

#[tokio::test]
async fn sketches_are_merged_by_group_and_nulls_are_left_out() {
    let sql = format!(
        "SELECT at % 2, sketch_count(sketch_merge(sketch)) FROM {} GROUP BY at % 2 ORDER BY 1",
        rows(&[&[1, 2], &[3], &[4, 5, 6]])
    );
    assert_eq!(ask(&sql).await.unwrap(), ["0,5", "1,1"]);
    let none = "SELECT sketch_merge(s), sketch_count(sketch_merge(s)) FROM (SELECT unhex(NULL) AS s) AS t";
    assert_eq!(ask(none).await.unwrap(), [","]);
}

#[tokio::test]
async fn what_was_not_there_cannot_be_asked_about_after_it_was_subtracted() {
    let difference = format!("sketch_subtract({}, {})", sketch(&[1, 2]), sketch(&[2, 3]));
    let sql = format!("SELECT sketch_count({difference}), sketch_quantile({difference}, 0.5)");
    assert_eq!(ask(&sql).await.unwrap(), ["0,"]);
    let again = format!("sketch_subtract({}, {})", sketch(&[1, 2]), sketch(&[2]));
    let sql = format!("SELECT {again} = {}", sketch(&[1]));
    assert_eq!(ask(&sql).await.unwrap(), ["true"]);
}

#[tokio::test]
async fn refuses_what_is_no_sketch_and_says_why() {
    for (sql, message) in [
        ("SELECT sketch_count(x'09')", "version 9 of a sketch, expected 1"),
        (
            "SELECT sketch_merge(x'0106')",
            "a sketch of 2 bytes ends within its count of zeros",
        ),
        (
            "SELECT sketch_count('text')",
            "`sketch_count` takes a sketch here, and found Utf8",
        ),
        (
            "SELECT sketch_quantile(x'01060000', 'p99')",
            "`sketch_quantile` takes a number here, and found Utf8",
        ),
        (
            "SELECT sketch_quantile(x'01060000', 99)",
            "takes a share from 0 to 1, such as 0.99 for p99, and found 99",
        ),
        ("SELECT sketch_merge(1)", "`sketch_merge` takes a sketch, and found"),
        ("SELECT sketch_quantile(x'01060000')", "sketch_quantile"),
    ] {
        let error = ask(sql).await.unwrap_err();
        assert!(error.contains(message), "{sql}: {error}");
    }
    assert_eq!(ask("SELECT sketch_quantile(x'01060000', 0.5)").await.unwrap(), [""]);
}
