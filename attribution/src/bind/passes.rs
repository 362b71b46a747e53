//! The order in which evidence is used up.
//!
//! A pass takes the spans and tasks that are not paired yet, finds the edges between them and solves the graph:
//!
//! | pass | names | parents | a pair without rivals is accepted if |
//! |---|---|---|---|
//! | named | same | must fit | always, see [`super::levels`] |
//! | renamed | any | must fit | a relative confirms it, or both lags are tight |
//! | detached | same | ignored | both lags are tight |
//! | late | same | must fit | always, but of other pairs, see [`super::late`] |
//!
//! The last three are for spans and tasks that the first left without any partner. *Renamed*: a span's name may change
//! after its start (`otelhttp` learns the route late), the task's does not. *Detached*: a span may be started under a
//! context that carries its parent span and not its parent task (a job passed through a queue). *Late*: its lags are longer
//! than is looked at otherwise.
//!
//! The passes repeat while they find pairs, since every pair names the task of a parent or the span of a child.

use std::cell::OnceCell;

use spandrel_model::{BindingKind, TaskId};

use super::BindWindows;
use super::clock::{self, ClockOffset};
use super::direct::Pin;
use super::edges::{self, Edge};
use super::late;
use super::solve::solve;
use super::unbroken::Unbroken;
use super::user_tasks::{RowIndex, UserTasks};
use crate::Timeline;
use crate::spans::{SpanIndex, SpanSet};

/// Most repetitions of all passes. Each but the last pairs something; in practice two or three do.
const ROUNDS_MAX: usize = 8;

/// Lags that are tight at both ends: about the 90th percentile of what was measured, and some.
const TIGHT_BEGIN_NS: i64 = 50_000;
const TIGHT_END_NS: i64 = 5_000;

/// One pass, see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Named,
    Renamed,
    Detached,
    Late,
}

/// What has been paired so far.
pub(super) struct Matching<'a> {
    pub(super) spans: &'a SpanSet<'a>,
    pub(super) timeline: &'a Timeline,
    pub(super) windows: &'a BindWindows,
    pub(super) pins: &'a [Option<Pin>],
    pub(super) table: UserTasks<'a>,
    pub(super) clock: ClockOffset,
    pub(super) start_covered: Vec<bool>,
    /// The task of each span. A task whose beginning is not recorded may be here, found through a child.
    pub(super) task_of: Vec<Option<RowIndex>>,
    pub(super) span_of: Vec<Option<SpanIndex>>,
    /// Spans and tasks that the last named pass left with partners to choose from.
    pub(super) ambiguous: Vec<bool>,
    pub(super) row_wanted: Vec<bool>,
    unbroken: OnceCell<Unbroken>,
}

impl<'a> Matching<'a> {
    pub(super) fn new(
        spans: &'a SpanSet<'a>,
        timeline: &'a Timeline,
        windows: &'a BindWindows,
        pins: &'a [Option<Pin>],
    ) -> Self {
        let table = UserTasks::new(timeline);
        let starts = (0..spans.len()).map(|span| spans.interval(span).start());
        Self {
            start_covered: starts.map(|start| timeline.covers(start)).collect(),
            task_of: vec![None; spans.len()],
            span_of: vec![None; table.len()],
            ambiguous: vec![false; spans.len()],
            row_wanted: vec![false; table.len()],
            clock: ClockOffset::within(windows.clock_error_ns),
            unbroken: OnceCell::new(),
            spans,
            timeline,
            windows,
            pins,
            table,
        }
    }

    /// Pairs what can be paired.
    pub(super) fn run(&mut self) {
        let mut named = edges::find(self, Pass::Named);
        self.clock = clock::narrowed(self.clock, &named.edges);
        edges::recheck(self, &mut named);
        for _ in 0..ROUNDS_MAX {
            let mut paired = solve(self, Pass::Named, named);
            for pass in [Pass::Renamed, Pass::Detached, Pass::Late] {
                let found = edges::find(self, pass);
                paired += solve(self, pass, found);
            }
            if paired == 0 {
                return;
            }
            named = edges::find(self, Pass::Named);
        }
    }

    /// Where goroutines went on without a wait. Found out when it is asked for the first time.
    pub(super) fn unbroken(&self) -> &Unbroken {
        self.unbroken.get_or_init(|| Unbroken::new(self.timeline))
    }

    /// The goroutine on which the span's user task began, if the span has one, and what kind of evidence that is.
    pub(super) fn goroutine_of(&self, span: SpanIndex) -> Option<(TaskId, BindingKind)> {
        let row = self.task_of[span]?;
        let begin = self.table.row(row).begin?;
        let kind = match late::is_after_the_fact(self, span, row) {
            true => BindingKind::AfterTheFact,
            false => BindingKind::UserTask,
        };
        Some((begin.goroutine, kind))
    }

    /// The goroutine that ended the span's user task, if that is recorded.
    pub(super) fn ended_by(&self, span: SpanIndex) -> Option<TaskId> {
        let row = self.task_of[span]?;
        self.table.row(row).end.map(|end| end.goroutine)
    }

    /// Whether several user tasks of its name, or one that several spans want, fit the span.
    pub(super) fn is_ambiguous(&self, span: SpanIndex) -> bool {
        self.ambiguous[span]
    }
}

/// Whether the lags leave little room for another pair.
pub(super) fn is_tight(edge: &Edge) -> bool {
    edge.begin_lag_ns <= TIGHT_BEGIN_NS && edge.end_lag_ns.is_some_and(|lag| lag <= TIGHT_END_NS)
}
