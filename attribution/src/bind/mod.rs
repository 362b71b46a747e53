//! Binding: which goroutine a span ran on, and how that is known.
//!
//! Evidence, strongest first:
//!
//! 1. [`direct`]: the span's id was logged into the recording, or the span carries a goroutine id.
//! 2. [`passes`]: OpenTelemetry's Go SDK begins a `runtime/trace` task with the span's name when the span starts and ends
//!    it when the span ends. The task carries no id, so spans and tasks are matched by name, times and parents:
//!
//! ```text
//! span            [ start ------------------------------ end )
//! user task          [ begin ------------------------------ end )
//!                 |<->| begin lag                       |<->| end lag
//! ```
//!
//! The SDK takes both times of the span *before* the runtime takes those of the task, so both lags are positive but for
//! the error of the clock; microseconds as a rule, up to milliseconds where the goroutine lost its processor between.
//! Further, the goroutine was running when the span's clock was read, and began (ended) no other task in between. Each
//! pair that survives is an edge ([`edges`]) of a graph between spans and tasks, and the tree of tasks must fit the tree
//! of spans ([`solve`]). A pair is accepted when it is the only one left for both its sides, or belongs to the only
//! complete matching of its group ([`groups`]). What stays ambiguous stays unbound.
//!
//! A span that another goroutine ended than started it goes there by [`hand_over`].

mod clock;
mod direct;
mod edges;
mod groups;
mod hand_over;
mod kinship;
mod late;
mod levels;
mod passes;
mod solve;
mod unbroken;
mod user_tasks;

use spandrel_model::{Binding, UnknownReason};

use crate::Timeline;
use crate::spans::{SpanIndex, SpanSet};
use crate::stretches::Bindings;
use passes::Matching;

/// How far apart the times of a span and of its `runtime/trace` task may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindWindows {
    /// Error of the span clock against the recording's clock, either way, in nanoseconds. Both are the same clock of the
    /// same machine; the recording's is rounded to 64 ns and tied to wall time by one pair of readings. Where that is
    /// estimated, the error of the estimate counts instead if it is larger.
    pub clock_error_ns: i64,
    /// Longest time from the start of a span to the beginning of its task, in nanoseconds: the SDK's span processors run
    /// in between (measured: median 12 us, longest 1.6 ms).
    pub begin_lag_ns: i64,
    /// Longest time from the end of a span to the end of its task, in nanoseconds: nothing runs in between, unless the
    /// goroutine loses its processor (measured: median 1 us, longest 1.1 ms).
    pub end_lag_ns: i64,
    /// Longest time from the end of a span to the end of its task that is looked at where a span and a task are left without
    /// a partner, and the distance from the border of a recording at which such pairs count, in nanoseconds.
    pub late_lag_ns: i64,
}

impl Default for BindWindows {
    fn default() -> Self {
        Self {
            clock_error_ns: 2_000,
            begin_lag_ns: 5_000_000,
            end_lag_ns: 5_000_000,
            late_lag_ns: 250_000_000,
        }
    }
}

/// Binds every span of `spans`.
pub(crate) fn bind(spans: &SpanSet<'_>, timeline: &Timeline, windows: &BindWindows) -> Bindings {
    let estimate_error_ns = timeline.clock_error_ns_max().unwrap_or(0);
    let windows = BindWindows {
        clock_error_ns: windows.clock_error_ns.max(estimate_error_ns),
        ..*windows
    };
    let pins = direct::pins(spans, timeline, &windows);
    let mut matching = Matching::new(spans, timeline, &windows, &pins);
    matching.run();
    let of_span: Vec<Binding> = (0..spans.len())
        .map(|span| match (pins[span], matching.goroutine_of(span)) {
            (Some(pin), _) => Binding::Bound {
                task: pin.task,
                kind: pin.kind,
            },
            (None, Some((task, kind))) => Binding::Bound { task, kind },
            (None, None) => Binding::Unbound(reason(spans, timeline, span, matching.is_ambiguous(span))),
        })
        .collect();
    let logged_ends = direct::ends(spans, timeline);
    let handed_over = of_span.iter().enumerate().filter_map(|(span, binding)| {
        let Binding::Bound { task, .. } = *binding else {
            return None;
        };
        let ended_by = logged_ends.get(&span).copied().or_else(|| matching.ended_by(span))?;
        (ended_by != task).then_some(())?;
        let stretches = hand_over::stretches(timeline, spans.interval(span), task, ended_by)?;
        Some((span, stretches))
    });
    let handed_over = handed_over.collect();
    Bindings::new(of_span, handed_over)
}

fn reason(spans: &SpanSet<'_>, timeline: &Timeline, span: SpanIndex, ambiguous: bool) -> UnknownReason {
    let interval = spans.interval(span);
    match (timeline.covers(interval.start()), ambiguous) {
        (true, true) => UnknownReason::AmbiguousTask,
        (true, false) => UnknownReason::NoMatchingTask,
        (false, _) if timeline.covered_ns(interval) > 0 => UnknownReason::BeganBeforeRecording,
        (false, _) => UnknownReason::NotRecorded,
    }
}
