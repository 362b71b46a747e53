//! The requests of one operation in one window, and what they sum up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use spandrel_model::{Cell, Culprit, Evidence, Layer, ProcessIdentity, Relation, State, View};

use super::functions::{FunctionKey, counted, counts_of, divide};
use super::label_scope::LabelScope;
use super::quantile::{PERCENTS, Quantile};
use super::rows::{
    Coverage, Distribution, InterferenceRow, MatrixRow, MatrixTables, OperationRow, RequestGroup, RunningFunctionRow,
    Tail,
};
use crate::{Band, Sketch, SpanAttribution, SpanKey};

/// Several processes can report the same ids: a proxy that passes spans on, say.
type RequestId = (SpanKey, Arc<ProcessIdentity>);
type CellKey = (View, Layer, State);
/// Where the request waited, in which state, and for what.
type WaitKey = (Layer, Arc<str>, Culprit);

/// Requests by id. Keys of cells and waits are held once and numbered.
#[derive(Debug, Default)]
pub(super) struct Group {
    requests: BTreeMap<RequestId, Request>,
    cells: BTreeMap<CellKey, u32>,
    waits: BTreeMap<WaitKey, u32>,
    functions: BTreeMap<FunctionKey, u32>,
}

#[derive(Debug)]
struct Request {
    duration_ns: i64,
    // By number of the cell, so that those of one cell are neighbors.
    cells: Box<[(u32, Evidence, i64)]>,
    waits: Box<[(u32, i64)]>,
    // Samples by number of the function.
    samples: Box<[(u32, u32)]>,
    // How long other tasks ran for it.
    helper_running_ns: i64,
}

impl Group {
    /// Counts a request, in place of what was counted under its id before.
    pub(super) fn insert(&mut self, span: &SpanAttribution) {
        let mut cells: BTreeMap<(u32, Evidence), i64> = BTreeMap::new();
        let mut waits: BTreeMap<u32, i64> = BTreeMap::new();
        for cell in &span.cells {
            let key = (cell.view, cell.layer.clone(), cell.state);
            add_to(&mut cells, (number(&mut self.cells, key), cell.evidence), cell.ns);
            if let Some(wait) = wait_of(cell) {
                add_to(&mut waits, number(&mut self.waits, wait), cell.ns);
            }
        }
        let samples = (span.functions.iter()).map(|seen| (number(&mut self.functions, FunctionKey::of(seen)), seen.n));
        let request = Request {
            samples: samples.collect(),
            helper_running_ns: span.helper_running_ns,
            duration_ns: span.interval.duration_ns(),
            cells: (cells.into_iter())
                .map(|((cell, evidence), ns)| (cell, evidence, ns))
                .collect(),
            waits: waits.into_iter().collect(),
        };
        self.requests.insert(id_of(span), request);
    }

    /// Takes a request out.
    pub(super) fn remove(&mut self, span: &SpanAttribution) {
        self.requests.remove(&id_of(span));
    }

    /// Whether it has no requests.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Appends the rows. A group without requests has none.
    pub(super) fn rows(&self, group: &RequestGroup, tables: &mut MatrixTables) {
        let Some(sums) = Sums::of(self) else {
            return;
        };
        tables.operations.push(sums.operation_row(group));
        sums.matrix_rows(group, &mut tables.cells);
        self.interference_rows(group, &mut tables.interference);
        self.function_rows(group, &mut tables.functions);
    }

    fn function_rows(&self, group: &RequestGroup, rows: &mut Vec<RunningFunctionRow>) {
        let requests = self.requests.values();
        let counts = counts_of(requests.map(|request| &*request.samples), self.functions.len());
        if counts.iter().all(|n| *n == 0) {
            return;
        }
        let running_ns = self.running_ns();
        let seen = (self.functions.iter()).filter(|(_, number)| counts[**number as usize] > 0);
        let requests = self.requests.values();
        let helper_running_ns = requests.fold(0_i64, |sum, request| sum.saturating_add(request.helper_running_ns));
        let scope = LabelScope::of(seen.map(|(key, _)| key), &running_ns, helper_running_ns);
        let functions = counted(&self.functions, &counts, scope);
        for of_layer in functions.chunk_by(|(left, _), (right, _)| left.0 == right.0) {
            // Requests of which samples are known by labels alone may have run where those that were recorded did not.
            let total_ns = LabelScope::running_ns(&of_layer[0].0.0, &running_ns);
            let samples: Vec<i64> = of_layer.iter().map(|(_, n_samples)| *n_samples).collect();
            let parts = divide(total_ns, &samples);
            for (((layer, function_layer, function), n_samples), part) in
                of_layer.iter().zip(parts).filter(|_| total_ns > 0)
            {
                rows.push(RunningFunctionRow {
                    group: group.clone(),
                    layer: layer.clone(),
                    function_layer: function_layer.clone(),
                    function: function.clone(),
                    n_samples: *n_samples,
                    ns: part.ns,
                    lo_ns: part.lo_ns,
                    hi_ns: part.hi_ns,
                });
            }
        }
    }

    /// How long all requests ran in each layer, in the self view, nanoseconds. Saturates.
    fn running_ns(&self) -> BTreeMap<&Layer, i64> {
        let is_running = |(view, _, state): &&CellKey| (*view, *state) == (View::SelfView, State::Running);
        let layers: BTreeMap<u32, &Layer> = (self.cells.iter())
            .filter(|(key, _)| is_running(key))
            .map(|(key, number)| (*number, &key.1))
            .collect();
        let mut running_ns = BTreeMap::new();
        for (cell, _, ns) in self.requests.values().flat_map(|request| &request.cells) {
            if let Some(layer) = layers.get(cell) {
                add_to(&mut running_ns, *layer, *ns);
            }
        }
        running_ns
    }

    fn interference_rows(&self, group: &RequestGroup, rows: &mut Vec<InterferenceRow>) {
        let mut totals = vec![(0_i64, 0_i64); self.waits.len()];
        for (wait, ns) in self.requests.values().flat_map(|request| &request.waits) {
            let (n, sum_ns) = &mut totals[*wait as usize];
            *n += 1;
            *sum_ns = sum_ns.saturating_add(*ns);
        }
        let waits = self.waits.iter().map(|(wait, number)| (wait, totals[*number as usize]));
        rows.extend(
            waits
                .filter(|(_, (n, _))| *n > 0)
                .map(|((layer, state, culprit), (n, ns))| InterferenceRow {
                    group: group.clone(),
                    layer: layer.clone(),
                    state: state.clone(),
                    culprit: culprit.clone(),
                    n,
                    ns,
                }),
        );
    }
}

fn id_of(span: &SpanAttribution) -> RequestId {
    (span.key(), span.process.clone())
}

/// The number of a key: that of the equal one, or the next.
fn number<K: Ord>(numbers: &mut BTreeMap<K, u32>, key: K) -> u32 {
    let next = u32::try_from(numbers.len()).expect("a group has fewer than 2^32 kinds of cells");
    *numbers.entry(key).or_insert(next)
}

fn add_to<K: Ord>(sums: &mut BTreeMap<K, i64>, key: K, ns: i64) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(ns);
}

/// What held up a server that the request called counts for the server's own request.
fn wait_of(cell: &Cell) -> Option<WaitKey> {
    let culprit = (cell.culprit.as_deref()).filter(|_| cell.relation == Relation::Interference)?;
    Some((cell.layer.clone(), cell.sub_state.clone(), culprit.clone()))
}

/// What is summed up in one pass over the requests of a group.
struct Sums<'a> {
    // Sorted.
    durations: Vec<i64>,
    bands: [Band; 3],
    // Variance of the durations times n squared; `None` beyond 128 bits.
    variance: Option<i128>,
    cells: Vec<(&'a CellKey, CellSums)>,
}

#[derive(Clone, Default)]
struct CellSums {
    // One value for each request with time in the cell.
    values: Vec<i64>,
    band_ns: [i128; 3],
    covariance: Option<i128>,
    coverage: Coverage,
}

impl<'a> Sums<'a> {
    fn of(group: &'a Group) -> Option<Self> {
        let mut durations: Vec<i64> = group.requests.values().map(|request| request.duration_ns).collect();
        durations.sort_unstable();
        let [p50, p95, p99] = PERCENTS.map(|percent| Band::around(percent, &durations));
        let bands = [p50?, p95?, p99?];
        let weights = Weights::of(&durations);
        let empty = CellSums {
            covariance: Some(0),
            ..CellSums::default()
        };
        let mut by_number = vec![empty; group.cells.len()];
        for request in group.requests.values() {
            for same in request.cells.chunk_by(|left, right| left.0 == right.0) {
                let sums = &mut by_number[same[0].0 as usize];
                sums.add(same, request.duration_ns, &bands, &weights);
            }
        }
        let variance = durations.iter().try_fold(0, |sum, ns| weights.add(sum, *ns, *ns));
        let cells = (group.cells.iter()).map(|(key, number)| (key, std::mem::take(&mut by_number[*number as usize])));
        Some(Self {
            // A cell is left empty when the only request with time in it was replaced.
            cells: cells.filter(|(_, sums)| !sums.values.is_empty()).collect(),
            durations,
            bands,
            variance,
        })
    }

    fn operation_row(&self, group: &RequestGroup) -> OperationRow {
        let mut coverage = Coverage::default();
        for (_, sums) in self.cells.iter().filter(|(key, _)| key.0 == View::SelfView) {
            coverage.merge(sums.coverage);
        }
        OperationRow {
            group: group.clone(),
            durations: self.distribution(&self.durations),
            tails: self.bands.map(|band| Tail {
                n: count(band.requests),
                mean_ns: band.mean_ns(),
            }),
            coverage,
        }
    }

    fn matrix_rows(&self, group: &RequestGroup, rows: &mut Vec<MatrixRow>) {
        for cells in self.cells.chunk_by(|(left, _), (right, _)| left.0 == right.0) {
            // Rounded to nanoseconds together, so that those of a view sum up.
            let mut tails = [0, 1, 2].map(|at| {
                let sums: Vec<i128> = cells.iter().map(|(_, sums)| sums.band_ns[at]).collect();
                self.bands[at].means_ns(&sums).into_iter()
            });
            for ((view, layer, state), sums) in cells {
                rows.push(MatrixRow {
                    group: group.clone(),
                    view: *view,
                    layer: layer.clone(),
                    state: *state,
                    n_nonzero: count(sums.values.len()),
                    times: self.distribution(&sums.values),
                    tail_ns: tails.each_mut().map(|means| means.next().unwrap_or(0)),
                    cov_share: share(sums.covariance, self.variance),
                    coverage: sums.coverage,
                });
            }
        }
    }

    /// `values` are those above zero, in any order, of as many as there are requests.
    fn distribution(&self, values: &[i64]) -> Distribution {
        let mut sorted: Vec<i64> = values.iter().copied().filter(|ns| *ns > 0).collect();
        sorted.sort_unstable();
        let n = self.durations.len();
        let mut sketch = Sketch::default();
        sketch.add(0, count(n - sorted.len()));
        sorted.iter().for_each(|ns| sketch.add(*ns, 1));
        Distribution {
            n: count(n),
            sum_ns: sorted.iter().fold(0, |sum, ns| sum.saturating_add(*ns)),
            quantiles: Quantile::of(&sorted, n),
            sketch,
        }
    }
}

impl CellSums {
    /// Adds the time of one request in this cell, by evidence.
    fn add(&mut self, amounts: &[(u32, Evidence, i64)], duration_ns: i64, bands: &[Band; 3], weights: &Weights) {
        let mut ns = 0_i64;
        for (_, evidence, amount_ns) in amounts {
            self.coverage.add(*evidence, *amount_ns);
            ns = ns.saturating_add(*amount_ns);
        }
        self.values.push(ns);
        for (sum, band) in self.band_ns.iter_mut().zip(bands) {
            if (band.from_ns..=band.to_ns).contains(&duration_ns) {
                *sum += i128::from(ns);
            }
        }
        self.covariance = (self.covariance).and_then(|sum| weights.add(sum, ns, duration_ns));
    }
}

/// How far durations are from their mean, times n, which makes them integers: the covariance of anything with the duration,
/// times n squared, is its sum weighted by them.
struct Weights {
    n: i128,
    sum_ns: i128,
}

impl Weights {
    fn of(durations: &[i64]) -> Self {
        Self {
            n: i128::from(count(durations.len())),
            sum_ns: durations.iter().map(|ns| i128::from(*ns)).sum(),
        }
    }

    /// Adds what a request of this duration adds to the covariance of `ns`.
    fn add(&self, sum: i128, ns: i64, duration_ns: i64) -> Option<i128> {
        let weight = self.n * i128::from(duration_ns) - self.sum_ns;
        sum.checked_add(weight.checked_mul(i128::from(ns))?)
    }
}

fn share(covariance: Option<i128>, variance: Option<i128>) -> Option<f64> {
    let variance = variance.filter(|variance| *variance > 0)?;
    Some(covariance? as f64 / variance as f64)
}

fn count(of: usize) -> i64 {
    i64::try_from(of).expect("a count of things in memory fits")
}
