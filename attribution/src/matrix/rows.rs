//! What the matrix yields: rows of the tables `matrix`, `operations` and `interference`.

use std::sync::Arc;

use spandrel_model::{Culprit, Evidence, Layer, State, UnixNanos, View};

use super::quantile::Quantile;
use crate::Sketch;

/// Rows of the tables, each sorted as the table is. The column `emission` is the caller's to add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixTables {
    /// Rows of `operations`.
    pub operations: Vec<OperationRow>,
    /// Rows of `matrix`.
    pub cells: Vec<MatrixRow>,
    /// Rows of `interference`.
    pub interference: Vec<InterferenceRow>,
    /// What the requests ran, as far as there are samples.
    pub functions: Vec<RunningFunctionRow>,
}

/// Requests that are summed up together: those of one operation of one service that began in one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestGroup {
    /// Start of the window.
    pub window_start: UnixNanos,
    /// Length of the window, nanoseconds.
    pub window_ns: i64,
    /// Service of the requests.
    pub service_name: Arc<str>,
    /// Span name of the requests.
    pub operation: Arc<str>,
}

/// How long the requests of a group took.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationRow {
    /// The requests.
    pub group: RequestGroup,
    /// Their durations.
    pub durations: Distribution,
    /// The requests near p50, p95 and p99.
    pub tails: [Tail; 3],
    /// How the self view of their time is known.
    pub coverage: Coverage,
}

/// Time that the requests of a group spent in one layer and state.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixRow {
    /// The requests.
    pub group: RequestGroup,
    /// View.
    pub view: View,
    /// Layer.
    pub layer: Layer,
    /// State.
    pub state: State,
    /// Requests with time in this cell.
    pub n_nonzero: i64,
    /// The time of each request in this cell, zeros included.
    pub times: Distribution,
    /// Mean time in this cell of the requests near p50, p95 and p99, nanoseconds. Over the cells of a view they sum to
    /// [`Tail::mean_ns`].
    pub tail_ns: [i64; 3],
    /// Covariance with the duration, divided by the variance of the duration: the part of what makes durations differ
    /// that is in this cell. Sums to 1 over the cells of a view. `None` if all durations are equal, or if they are so
    /// long and so many that 128 bits do not hold the sums.
    pub cov_share: Option<f64>,
    /// How the time in this cell is known.
    pub coverage: Coverage,
}

/// Time that the requests of a group waited for other requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterferenceRow {
    /// The requests that waited.
    pub group: RequestGroup,
    /// Layer in which they waited.
    pub layer: Layer,
    /// State in which they waited, as a word of [`State`].
    pub state: Arc<str>,
    /// What the others did meanwhile.
    pub culprit: Culprit,
    /// Requests that waited so.
    pub n: i64,
    /// Time that they waited so, all together, nanoseconds. Saturates.
    pub ns: i64,
}

/// A part of the time that the requests of a group ran: that of one function, by samples of a CPU profiler.
///
/// The parts of a layer sum to the exact running time of its cell in the self view. Which part is whose is sampled:
/// the rows of a layer divide its time as its samples are divided, on the assumption that the requests that the
/// profiler saw are like the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningFunctionRow {
    /// The requests.
    pub group: RequestGroup,
    /// Layer of the cell; empty where the samples are known by labels that name the request alone, and divide the
    /// running time of all its layers together.
    pub layer: Layer,
    /// Layer of the library that was on the stack; `layer` if there was none, or the span was the call itself.
    pub function_layer: Layer,
    /// The innermost function; empty for samples without a stack.
    pub function: Arc<str>,
    /// Samples of it.
    pub n_samples: i64,
    /// Time, nanoseconds.
    pub ns: i64,
    /// Lower bound at 95 % (Wilson's interval of the share of the samples), nanoseconds.
    pub lo_ns: i64,
    /// Upper bound, nanoseconds.
    pub hi_ns: i64,
}

/// One number of each request: its duration, or its time in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Requests.
    pub n: i64,
    /// Their sum, nanoseconds. Saturates.
    pub sum_ns: i64,
    /// p50, p95 and p99.
    pub quantiles: [Quantile; 3],
    /// All of them, to be merged with those of other windows.
    pub sketch: Sketch,
}

/// The requests whose duration is near a quantile: [`crate::Band`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// How many there are.
    pub n: i64,
    /// Their mean duration, nanoseconds, rounded down.
    pub mean_ns: i64,
}

/// Time by evidence, nanoseconds. Saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// From the runtime's own transitions.
    pub exact_ns: i64,
    /// From samples.
    pub sampled_ns: i64,
    /// From the spans alone.
    pub inferred_ns: i64,
    /// Not known.
    pub unknown_ns: i64,
}

impl Coverage {
    /// Adds time of this evidence.
    pub fn add(&mut self, evidence: Evidence, ns: i64) {
        let sum = match evidence {
            Evidence::Exact => &mut self.exact_ns,
            Evidence::Sampled => &mut self.sampled_ns,
            Evidence::Inferred => &mut self.inferred_ns,
            Evidence::None => &mut self.unknown_ns,
        };
        *sum = sum.saturating_add(ns);
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: Self) {
        self.add(Evidence::Exact, other.exact_ns);
        self.add(Evidence::Sampled, other.sampled_ns);
        self.add(Evidence::Inferred, other.inferred_ns);
        self.add(Evidence::None, other.unknown_ns);
    }
}
