//! How long other tasks ran for a request, beside its own.
//!
//! The labels of a CPU profiler pass from a task to those that it creates, and spans inside a request have labels of
//! their own on whatever task they are. The self view knows only what the request's own task ran; so labels say what
//! that was as far as no other task ran for the request.

use spandrel_model::{Binding, Interval, State, TaskId, UnixNanos};

use crate::Timeline;
use crate::owner::Owners;
use crate::spans::{SpanIndex, SpanSet};
use crate::stretches::Bindings;
use crate::timeline::{LineIndex, Standing, TaskLine};

/// By span: of each request that is bound, how long tasks ran that it owned, or a span inside it, while the request
/// itself was not on them, nanoseconds. Saturates.
pub(crate) fn helper_time(spans: &SpanSet<'_>, timeline: &Timeline, bindings: &Bindings, owners: &Owners) -> Vec<i64> {
    let requests = spans.requests();
    let mut helper_ns = vec![0_i64; spans.len()];
    for (index, line) in timeline.tasks().iter().enumerate() {
        for (owner, part) in owned(spans, timeline, owners, (index, line)) {
            let Some(request) = requests[owner].filter(|request| is_bound(bindings, *request)) else {
                continue;
            };
            if !is_on(spans, bindings, request, line.id, part) {
                helper_ns[request] = helper_ns[request].saturating_add(running_ns(timeline, line, part));
            }
        }
    }
    helper_ns
}

/// The stretches of a task that spans own, bound to it or not.
fn owned(
    spans: &SpanSet<'_>,
    timeline: &Timeline,
    owners: &Owners,
    (index, line): (LineIndex, &TaskLine),
) -> impl Iterator<Item = (SpanIndex, Interval)> {
    let life = timeline.recorded_life(line);
    let (mut at, end) = life.map_or((UnixNanos(0), UnixNanos(0)), |life| (life.start(), life.end()));
    let stretches = std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (owner, until) = owners.stretch(spans, timeline, index, at);
        let part = Interval::new(at, until.min(end))?;
        at = until;
        Some((owner, part))
    });
    stretches.filter_map(|(owner, part)| Some((owner?, part)))
}

fn is_bound(bindings: &Bindings, span: SpanIndex) -> bool {
    matches!(bindings.of(span), Binding::Bound { .. })
}

/// Whether `span` was on `task` in `part`, which no start or end of it divides.
fn is_on(spans: &SpanSet<'_>, bindings: &Bindings, span: SpanIndex, task: TaskId, part: Interval) -> bool {
    let mut stretches = bindings.stretches(spans, span);
    stretches.any(|stretch| stretch.task == task && stretch.interval.contains(part.start()))
}

fn running_ns(timeline: &Timeline, line: &TaskLine, part: Interval) -> i64 {
    let tiles = timeline.tiles(Some(line), part);
    let running = tiles.filter(|tile| matches!(tile.standing, Standing::Known(State::Running, _)));
    running.map(|tile| tile.interval.duration_ns()).sum()
}
