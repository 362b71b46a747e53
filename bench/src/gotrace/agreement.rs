//! Whether all that was measured on a file found the same in it.

use anyhow::{Context, Result, ensure};

use super::facts::Facts;
use super::runner::Row;
use super::work::Work;

/// Checks that no two runs contradict each other or the scan of the file, and that what each row of ours counts can be
/// compared with Go's reader.
///
/// # Errors
/// Names the two that contradict each other, or the row that shares nothing with Go's reader.
pub(crate) fn agree(scanned: &Facts, rows: &[Row]) -> Result<()> {
    let runs: Vec<(Work, &Facts)> = rows
        .iter()
        .flat_map(|row| row.runs.iter().map(|run| (row.work, &run.facts)))
        .collect();
    for (work, facts) in &runs {
        facts
            .agree(scanned)
            .with_context(|| format!("{} and the scan", work.label()))?;
        let mut shared_with_go = 0;
        for (other, others) in &runs {
            let shared = facts
                .agree(others)
                .with_context(|| format!("{} and {}", work.label(), other.label()))?;
            if matches!(other, Work::Go(_)) {
                shared_with_go += shared;
            }
        }
        ensure!(
            shared_with_go > 0,
            "nothing that {} counted can be compared with Go's reader",
            work.label()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotrace::{Measurement, stage};

    fn row(work: Work, name: &str, value: i64) -> Row {
        let mut facts = Facts::default();
        facts.set(name, value);
        let mut row = Row::of(work);
        row.runs.push(Measurement {
            wall_ns: 1,
            cpu_ns: 1,
            peak_bytes: 1,
            file_bytes_held: 0,
            facts,
        });
        row
    }

    fn ours() -> Work {
        Work::Ours(stage("events").unwrap())
    }

    #[test]
    fn readers_that_count_the_same_agree() {
        let rows = [row(Work::Go("events"), "events", 5), row(ours(), "events", 5)];
        agree(&Facts::default(), &rows).unwrap();
    }

    #[test]
    fn an_error_names_the_two_that_contradict_each_other() {
        let rows = [row(Work::Go("events"), "events", 5), row(ours(), "events", 6)];
        let error = agree(&Facts::default(), &rows).unwrap_err();
        assert_eq!(error.to_string(), "Go events and ours events");
    }

    #[test]
    fn a_row_that_contradicts_the_scan_is_an_error() {
        let mut scanned = Facts::default();
        scanned.set("events", 6);
        let error = agree(&scanned, &[row(Work::Go("events"), "events", 5)]).unwrap_err();
        assert_eq!(error.to_string(), "Go events and the scan");
    }

    #[test]
    fn a_row_that_shares_nothing_with_go_is_an_error() {
        let rows = [row(Work::Go("events"), "events", 5), row(ours(), "rows", 6)];
        let error = agree(&Facts::default(), &rows).unwrap_err();
        assert!(error.to_string().contains("ours events counted"), "{error}");
    }
}
