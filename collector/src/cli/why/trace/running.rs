//! What the running time of requests was spent on: functions, of all requests of their operation in the same windows.

use std::collections::{BTreeMap, BTreeSet};

use spandrel_model::View;

use super::super::Tables;
use super::super::ran::{self, Group, by_cause, in_all_layers, is_large, is_own_running, is_running};
use super::{Cell, Explained, Span};
use crate::report::duration::human;

/// Operations of a trace that are looked up.
const OPERATIONS_MAX: usize = 50;

/// Adds functions to cells of the self view, or of the root view if that is the only one asked for, and notes where there are
/// none although a request ran for long.
///
/// # Errors
/// The tables cannot be read.
pub(super) async fn add(tables: &Tables<'_>, explained: &mut Explained, view: Option<View>) -> anyhow::Result<()> {
    let found = ran::load(tables, &groups(&explained.spans)).await?;
    let (mut unsampled, mut others) = (BTreeSet::new(), Vec::new());
    for span in explained.spans.iter_mut().filter(|span| span.is_request) {
        let own_ns = running_ns(&span.self_cells, |cell| is_own_running(&cell.cause));
        let root_ns = running_ns(&span.root, |cell| is_running(&cell.cause));
        span.other_goroutines_running_ns = (root_ns - own_ns).max(0);
        if is_large(span.other_goroutines_running_ns, span.duration_ns) {
            others.push(format!(
                "{} of {}",
                human(span.other_goroutines_running_ns),
                span.operation
            ));
        }
        let Some(layers) = found.get(&span.group()) else {
            continue;
        };
        if layers.is_empty() && is_large(own_ns, span.duration_ns) {
            unsampled.insert(span.operation.clone());
        }
        span.ran_in_all_layers = in_all_layers(layers);
        let cells = match view {
            Some(View::Root) => &mut span.root,
            Some(View::SelfView) | None => &mut span.self_cells,
        };
        let of_cells = by_cause(layers, cells.iter().map(|cell| &cell.cause));
        for (cell, ran) in cells.iter_mut().zip(of_cells) {
            cell.ran = ran;
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
    fn group(&self) -> Group {
        (self.service.clone(), self.operation.clone())
    }
}

/// The operations of requests that ran, and the time in which those of the trace began.
fn groups(spans: &[Span]) -> BTreeMap<Group, Option<(i64, i64)>> {
    let mut starts: BTreeMap<Group, (i64, i64)> = BTreeMap::new();
    let ran = |span: &&Span| span.is_request && span.self_cells.iter().any(|cell| is_own_running(&cell.cause));
    for span in spans.iter().filter(ran) {
        let (from_ns, to_ns) = starts.entry(span.group()).or_insert((span.start_ns, span.start_ns));
        (*from_ns, *to_ns) = ((*from_ns).min(span.start_ns), (*to_ns).max(span.start_ns));
    }
    let known = starts.into_iter().take(OPERATIONS_MAX);
    known.map(|(group, starts)| (group, Some(starts))).collect()
}
