//! Bindings that the program states itself.
//!
//! | evidence | written by | form |
//! |---|---|---|
//! | log, category `otel` | Spandrel's helper for Go | 16 bytes trace id, 8 bytes span id |
//! | log, category `otel.end` | the same, from the goroutine that ends the span | the same |
//! | log, category `datadog.uint64_span_id` | dd-trace-go | 8 bytes span id, little-endian |
//! | log, any category; name of a region | programs' own span processors | `traceid-spanid` in hexadecimal digits |
//! | attribute `go.goroutine.id`, `goroutine.id` | programs' own span processors | number |
//!
//! The goroutine that logs is the one that starts the span. Of several logs the earliest counts. A full id is no other
//! span's, so its log may lie anywhere, as long as the goroutine lived when the span started; 64 bits of an id are used
//! again, so such a log must lie within the span, and no other span with that id may be open; one that more than 64 spans have
//! says nothing.

use foldhash::{HashMap, HashMapExt};
use spandrel_model::{BindingKind, Interval, SpanId, TaskId, TraceId, UserLog};

use super::BindWindows;
use crate::Timeline;
use crate::spans::{SpanIndex, SpanKey, SpanSet};

const OTEL_CATEGORY: &str = "otel";
const END_CATEGORY: &str = "otel.end";
const DATADOG_CATEGORY: &str = "datadog.uint64_span_id";

/// Most spans of one 64-bit id. With more it is no id, and logs of it would each be compared with all of them.
const SAME_ID_MAX: usize = 64;

/// A goroutine that a span certainly started on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    pub(super) task: TaskId,
    pub(super) kind: BindingKind,
}

/// The pin of each span that has one.
pub(super) fn pins(spans: &SpanSet<'_>, timeline: &Timeline, windows: &BindWindows) -> Vec<Option<Pin>> {
    let mut pins = vec![None; spans.len()];
    pin_logged(&mut pins, spans, timeline, windows);
    for (index, pin) in pins.iter_mut().enumerate() {
        if pin.is_none() {
            *pin = reported(spans, timeline, index);
        }
    }
    pins
}

fn pin_logged(pins: &mut [Option<Pin>], spans: &SpanSet<'_>, timeline: &Timeline, windows: &BindWindows) {
    let mut by_span_id: Option<HashMap<SpanId, Vec<SpanIndex>>> = None;
    for log in timeline.user_logs() {
        let span = match logged_id(log, timeline) {
            Some(LoggedId::Full(key)) => spans
                .find(key)
                .filter(|span| fits(spans, *span, log, windows) || lived_at_start(spans, *span, log.task, timeline)),
            Some(LoggedId::Datadog(span_id)) => {
                let by_span_id = by_span_id.get_or_insert_with(|| index_by_span_id(spans));
                let same = by_span_id.get(&span_id).map_or(&[][..], Vec::as_slice);
                let same = if same.len() > SAME_ID_MAX { &[] } else { same };
                only(same.iter().copied().filter(|span| fits(spans, *span, log, windows)))
            }
            None => None,
        };
        if let Some(span) = span {
            pins[span].get_or_insert(Pin {
                task: log.task,
                kind: BindingKind::LoggedId,
            });
        }
    }
}

enum LoggedId {
    Full(SpanKey),
    Datadog(SpanId),
}

fn logged_id(log: &UserLog, timeline: &Timeline) -> Option<LoggedId> {
    let message = &*log.message;
    match (&**timeline.name(log.category), message.len()) {
        (DATADOG_CATEGORY, 8) => {
            let number = u64::from_le_bytes(message.try_into().ok()?);
            Some(LoggedId::Datadog(SpanId::new(number.to_be_bytes())))
        }
        (OTEL_CATEGORY, 24) => Some(LoggedId::Full(raw_key(message)?)),
        (_, 49) => {
            let (trace_id, span_id) = std::str::from_utf8(message).ok()?.split_once('-')?;
            Some(LoggedId::Full(SpanKey {
                trace_id: TraceId::from_hex(trace_id)?,
                span_id: SpanId::from_hex(span_id)?,
            }))
        }
        _ => None,
    }
}

fn raw_key(message: &[u8]) -> Option<SpanKey> {
    let (trace_id, span_id) = message.split_at_checked(TraceId::LEN)?;
    Some(SpanKey {
        trace_id: TraceId::from_slice(trace_id)?,
        span_id: SpanId::from_slice(span_id)?,
    })
}

/// The goroutines that logged the ends of spans.
pub(super) fn ends(spans: &SpanSet<'_>, timeline: &Timeline) -> HashMap<SpanIndex, TaskId> {
    let mut ends = HashMap::new();
    for log in timeline.user_logs() {
        if log.message.len() == TraceId::LEN + SpanId::LEN && **timeline.name(log.category) == *END_CATEGORY {
            let span = raw_key(&log.message).and_then(|key| spans.find(key));
            span.map(|span| *ends.entry(span).or_insert(log.task));
        }
    }
    ends
}

/// Whether the log was written while the span was open, give or take the lags.
fn fits(spans: &SpanSet<'_>, span: SpanIndex, log: &UserLog, windows: &BindWindows) -> bool {
    let interval = spans.interval(span);
    interval.start().plus(-windows.clock_error_ns) <= log.at && log.at <= interval.end().plus(windows.end_lag_ns)
}

/// Whether the goroutine lived when the span started. A log outside of the span's time was written by who made the span,
/// with times of its own; it may be who did the work. One that was born later cannot have started it.
fn lived_at_start(spans: &SpanSet<'_>, span: SpanIndex, task: TaskId, timeline: &Timeline) -> bool {
    let start = spans.interval(span).start();
    timeline.task(task).is_some_and(|line| {
        line.birth.is_none_or(|birth| birth <= start) && line.death.is_none_or(|death| start < death)
    })
}

fn index_by_span_id(spans: &SpanSet<'_>) -> HashMap<SpanId, Vec<SpanIndex>> {
    let mut index: HashMap<SpanId, Vec<SpanIndex>> = HashMap::with_capacity(spans.len());
    for span in 0..spans.len() {
        index.entry(spans.span(span).span_id).or_default().push(span);
    }
    index
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    if items.next().is_some() { None } else { first }
}

/// The goroutine that the span's attributes name, if it was alive at the first recorded instant of the span. Goroutine
/// ids are never used twice in a process, so that a later recording of the span will do.
fn reported(spans: &SpanSet<'_>, timeline: &Timeline, span: SpanIndex) -> Option<Pin> {
    let span = spans.span(span);
    let task = span.reported_task()?;
    let start = span.interval.start();
    let at = if timeline.covers(start) {
        start
    } else {
        timeline
            .covered()
            .iter()
            .find_map(|covered| covered.intersection(span.interval).map(Interval::start))?
    };
    timeline.state_at(task, at)?;
    Some(Pin {
        task,
        kind: BindingKind::TaskAttribute,
    })
}
