//! What was sent of windows: their rows of `operations`, `matrix` and `interference`, summed up over emissions.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroI64;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use spandrel_attribution::{MatrixTables, RequestGroup};
use spandrel_model::{Table, UnixNanos};
use spandrel_pipeline::{StoredRows, WantedRows};

use super::RecallError;
use super::columns::{Shared, column, integers, text};

/// Groups of requests of which rows were sent.
pub(in crate::attribution) type SentGroups = BTreeMap<RequestGroup, SentGroup>;

/// What was sent of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::attribution) struct SentGroup {
    /// Emissions that its rows have.
    pub(in crate::attribution) emissions: BTreeSet<i32>,
    totals: Totals,
}

/// Sums over all rows of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Requests, and their time.
    requests: (i64, i64),
    /// Time by view, layer and state.
    cells: BTreeMap<[Arc<str>; 3], i64>,
    /// Requests that waited for others, and how long.
    interference: (i64, i64),
}

impl SentGroup {
    /// Whether `tables`, the rows of all requests of the group, say the same.
    pub(in crate::attribution) fn agrees_with(&self, tables: &MatrixTables) -> bool {
        let mut totals = Totals::default();
        for row in &tables.operations {
            totals.requests.0 += row.durations.n;
            totals.requests.1 = totals.requests.1.saturating_add(row.durations.sum_ns);
        }
        for row in &tables.cells {
            let key = [row.view.as_str(), row.layer.as_str(), row.state.as_str()].map(Arc::from);
            totals.add_cell(key, row.times.sum_ns);
        }
        for row in &tables.interference {
            totals.interference.0 += row.n;
            totals.interference.1 = totals.interference.1.saturating_add(row.ns);
        }
        totals == self.totals
    }
}

impl Totals {
    fn add_cell(&mut self, key: [Arc<str>; 3], ns: i64) {
        let sum_ns = self.cells.entry(key).or_default();
        *sum_ns = sum_ns.saturating_add(ns);
    }
}

/// The groups in the windows that are wanted, and maybe others. `None` if windows were of another length.
pub(super) fn read(
    rows: &dyn StoredRows,
    wanted: &WantedRows,
    window_ns: NonZeroI64,
) -> Result<Option<SentGroups>, RecallError> {
    let (mut groups, mut shared, mut same_length) = (SentGroups::new(), Shared::default(), true);
    for (table, values) in [
        (Table::Operations, &["n", "sum_ns"][..]),
        (Table::Matrix, &["view", "layer", "state", "sum_ns"]),
        (Table::Interference, &["n", "ns"]),
    ] {
        let mut columns = vec!["window_start_ns", "window_ns", "emission", "service_name", "operation"];
        columns.extend(values);
        rows.read(table, &columns, wanted, &mut |_, batch| {
            same_length &= integers(batch, "window_ns")?
                .values()
                .iter()
                .all(|ns| *ns == window_ns.get());
            add(table, batch, &mut shared, &mut groups)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(Some(groups).filter(|_| same_length))
}

fn add(table: Table, batch: &RecordBatch, shared: &mut Shared, groups: &mut SentGroups) -> Result<(), ArrowError> {
    let (starts, lengths) = (integers(batch, "window_start_ns")?, integers(batch, "window_ns")?);
    let (services, operations) = (text(batch, "service_name")?, text(batch, "operation")?);
    let emissions = column(batch, "emission")?.as_primitive_opt::<Int32Type>();
    let emissions = emissions.ok_or_else(|| ArrowError::SchemaError("emissions are not integers".to_owned()))?;
    for row in 0..batch.num_rows() {
        let group = groups.entry(RequestGroup {
            window_start: UnixNanos(starts.value(row)),
            window_ns: lengths.value(row),
            service_name: shared.word(services.value(row)),
            operation: shared.word(operations.value(row)),
        });
        let group = group.or_default();
        group.emissions.insert(emissions.value(row));
        let value = |name: &str| Ok::<_, ArrowError>(integers(batch, name)?.value(row));
        let totals = &mut group.totals;
        match table {
            Table::Operations => {
                totals.requests.0 += value("n")?;
                totals.requests.1 = totals.requests.1.saturating_add(value("sum_ns")?);
            }
            Table::Matrix => {
                let mut word = |name: &str| Ok::<_, ArrowError>(shared.word(text(batch, name)?.value(row)));
                let key = [word("view")?, word("layer")?, word("state")?];
                totals.add_cell(key, value("sum_ns")?);
            }
            _ => {
                totals.interference.0 += value("n")?;
                totals.interference.1 = totals.interference.1.saturating_add(value("ns")?);
            }
        }
    }
    Ok(())
}
