//! What the running time of requests was spent on: functions, of all requests of their operation in the same windows.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Tables;
use super::super::ran::{self, Ran, by_cause, is_large, is_own_running, is_running};
use super::{Cell, Explained, Span};
use crate::report::duration::human;

/// Operations of a trace that are looked up.
const OPERATIONS_MAX: usize = 50;

/// Adds functions to cells of the self view, and notes where there are none although a request ran for long.
///
/// # Errors
/// The tables cannot be read.
pub(super) async fn add(tables: &Tables<'_>, explained: &mut Explained) -> anyhow::Result<()> {
    let found = functions(tables, &explained.spans).await?;
    let (mut unsampled, mut others) = (BTreeSet::new(), Vec::new());
    for span in explained.spans.iter_mut().filter(|span| span.is_request) {
        let layers = found.get(&span.group());
        let own_ns = running_ns(&span.self_cells, |cell| is_own_running(&cell.cause));
        if layers.is_some_and(Vec::is_empty) && is_large(own_ns, span.duration_ns) {
            unsampled.insert(span.operation.clone());
        }
        let of_cells = by_cause(
            layers.map_or(&[], Vec::as_slice),
            span.self_cells.iter().map(|cell| &cell.cause),
        );
        for (cell, ran) in span.self_cells.iter_mut().zip(of_cells) {
            cell.ran = ran;
        }
        let root_ns = running_ns(&span.root, |cell| is_running(&cell.cause));
        span.other_goroutines_running_ns = (root_ns - own_ns).max(0);
        if is_large(span.other_goroutines_running_ns, span.duration_ns) {
            others.push(format!(
                "{} of {}",
                human(span.other_goroutines_running_ns),
                span.operation
            ));
        }
    }
    let unsampled: Vec<String> = unsampled.into_iter().collect();
    let notes = [ran::remedy(&unsampled), ran::elsewhere(&others)];
    explained.notes.extend(notes.into_iter().flatten());
    Ok(())
}

fn running_ns(cells: &[Cell], is_meant: impl Fn(&Cell) -> bool) -> i64 {
    cells.iter().filter(|cell| is_meant(cell)).map(|cell| cell.ns).sum()
}

impl Span {
    /// Service and operation, by which requests are summed up.
    fn group(&self) -> (String, String) {
        (self.service.clone(), self.operation.clone())
    }
}

/// What requests ran, by service and operation, in the windows in which those of the trace began.
async fn functions(tables: &Tables<'_>, spans: &[Span]) -> anyhow::Result<BTreeMap<(String, String), Vec<Ran>>> {
    let mut starts: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    let ran = |span: &&Span| span.is_request && span.self_cells.iter().any(|cell| is_own_running(&cell.cause));
    for span in spans.iter().filter(ran) {
        let (from_ns, to_ns) = starts.entry(span.group()).or_insert((span.start_ns, span.start_ns));
        (*from_ns, *to_ns) = ((*from_ns).min(span.start_ns), (*to_ns).max(span.start_ns));
    }
    let mut found = BTreeMap::new();
    for ((service, operation), starts) in starts.into_iter().take(OPERATIONS_MAX) {
        let layers = ran::load(tables, (&service, &operation), Some(starts)).await?;
        found.insert((service, operation), layers);
    }
    Ok(found)
}
