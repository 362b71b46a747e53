//! Windows of the tables `operations`, `matrix` and `interference`: opened by the first request, closed when no more are
//! to be expected, and kept for a while so that corrected requests replace what they counted for.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::num::NonZeroI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use spandrel_attribution::{Matrix, MatrixTables, RequestGroup, SpanAttribution, SpanKey, window_start};
use spandrel_model::{Interval, ProcessIdentity, UnixNanos};

mod restore;

/// How many windows that were let go are remembered, to number what arrives for them later.
const REMEMBERED_WINDOWS: usize = 10_000;

/// How windows come and go.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowRules {
    /// Length of a window.
    pub(super) window_ns: NonZeroI64,
    /// How long an open window waits for a further request.
    pub(super) patience: Duration,
    /// How long a closed one waits for further corrections before it is sent again.
    pub(super) settle: Duration,
    /// How long a closed window can be corrected after its last change.
    pub(super) retention: Duration,
    /// Requests held in all windows. Beyond, the oldest window goes.
    pub(super) request_limit: usize,
    /// `emission` of the first rows of every window. Rows of other runs of the collector, and of other collectors, must
    /// not have the same, or corrections would replace them too.
    pub(super) first_emission: i32,
}

/// Requests collected by window.
///
/// A window closes when no request has joined it for `patience` and it is not the one that the wall clock is in; so one
/// of the future, by a service's wrong clock, closes too. Then its rows are sent. Where requests are added or corrected
/// later, the rows of their operation are sent again, to replace the earlier ones. `retention` after its last change the
/// window is let go, if by then nothing in it can be corrected any more. What arrives for it still later opens it again; its rows then carry the next `emission` number and
/// count only these requests.
#[derive(Debug)]
pub(super) struct Windows {
    rules: WindowRules,
    held: BTreeMap<UnixNanos, Window>,
    /// In all of them.
    request_count: usize,
    /// Windows that were let go, the last ones at the end, with their next emission.
    let_go: VecDeque<(UnixNanos, i32)>,
}

/// [`Windows`] for the threads on which requests are counted and rows are made.
#[derive(Clone, Debug)]
pub(super) struct SharedWindows(Arc<Mutex<Windows>>);

impl SharedWindows {
    pub(super) fn new(windows: Windows) -> Self {
        Self(Arc::new(Mutex::new(windows)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Windows> {
        // A panic ends the connector, so that nobody sees what it left.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Window {
    emission: i32,
    /// Whether an earlier one of this time was let go.
    is_reopened: bool,
    matrix: Matrix,
    /// Requests that count in it.
    counted: HashSet<RequestId>,
    groups: BTreeMap<RequestGroup, Rows>,
    last_request: Instant,
    last_change: Instant,
    is_closed: bool,
}

/// A span, and the group that it is a request of.
type RequestId = (RequestGroup, Arc<ProcessIdentity>, SpanKey);

/// Whether rows of a group of requests were sent.
#[derive(Debug, Default)]
struct Rows {
    /// Emissions under which they were, by this and earlier runs.
    sent_as: BTreeSet<i32>,
    /// Since when there is something to send.
    changed_at: Option<Instant>,
}

/// Rows of one window to send on.
#[derive(Debug)]
pub(super) struct WindowRows {
    pub(super) emission: i32,
    pub(super) tables: MatrixTables,
    /// Groups of requests whose earlier rows go, and the emissions of these.
    pub(super) replaced: Vec<(RequestGroup, i32)>,
}

impl Windows {
    pub(super) fn new(rules: WindowRules) -> Self {
        Self {
            rules,
            held: BTreeMap::new(),
            request_count: 0,
            let_go: VecDeque::new(),
        }
    }

    /// Counts a span in its window if it is a request.
    pub(super) fn add(&mut self, span: &SpanAttribution, now: Instant) {
        if span.is_request {
            let start = self.start_of(span);
            self.request_count += usize::from(self.open(start, now).count(span, now));
        }
    }

    /// Counts a span as it is now, instead of what it counted for before. `false` if its window has been let go, so that
    /// what it counts for there cannot be changed.
    pub(super) fn correct(&mut self, span: &SpanAttribution, was_request: bool, now: Instant) -> bool {
        if !span.is_request && !was_request {
            return true;
        }
        let start = self.start_of(span);
        if !was_request {
            // It may have counted as a request still earlier.
            let may_count = !self.was_let_go(start);
            if may_count {
                self.add(span, now);
            }
            return may_count;
        }
        let held = self.held.get_mut(&start);
        let Some(window) = held.filter(|window| window.counts(span)) else {
            return false;
        };
        window.count(span, now);
        if !span.is_request {
            self.request_count -= 1;
        }
        true
    }

    fn was_let_go(&self, start: UnixNanos) -> bool {
        match self.held.get(&start) {
            Some(window) => window.is_reopened,
            None => self.emission_after(start).is_some(),
        }
    }

    /// The next emission of a window that was let go.
    fn emission_after(&self, start: UnixNanos) -> Option<i32> {
        let mut latest = self.let_go.iter().rev();
        latest.find(|(known, _)| *known == start).map(|(_, emission)| *emission)
    }

    fn start_of(&self, span: &SpanAttribution) -> UnixNanos {
        window_start(span.interval.start(), self.rules.window_ns)
    }

    fn open(&mut self, start: UnixNanos, now: Instant) -> &mut Window {
        if !self.held.contains_key(&start) {
            let emission = self.emission_after(start);
            let window = Window::new(&self.rules, emission, now);
            self.held.insert(start, window);
        }
        self.held.get_mut(&start).expect("it was inserted")
    }

    /// Number of windows whose rows have not been sent.
    pub(super) fn open_count(&self) -> usize {
        self.held.values().filter(|window| !window.is_closed).count()
    }

    /// The rows that are to be sent, and lets go of windows whose time is over and in which no span begins that may still
    /// be joined or corrected. `open` are the times in which such spans begin.
    pub(super) fn take_due(&mut self, now: Instant, wall: UnixNanos, open: &[Interval]) -> Vec<WindowRows> {
        let (mut due, window_ns) = (Vec::new(), self.rules.window_ns.get());
        for (start, window) in &mut self.held {
            let is_current = *start <= wall && wall < start.plus(window_ns);
            if !is_current && now.saturating_duration_since(window.last_request) >= self.rules.patience {
                window.is_closed = true;
            }
            if window.is_closed {
                let settled = |since: Instant| since + self.rules.settle <= now;
                due.extend(window.take_rows(settled));
            }
        }
        let is_over = |window: &Window| window.is_closed && window.last_change + self.rules.retention <= now;
        let is_open = |start: UnixNanos| {
            let end = start.plus(window_ns);
            open.iter().any(|open| start < open.end() && open.start() < end)
        };
        let over: Vec<UnixNanos> = (self.held.iter())
            .filter(|(start, window)| is_over(window) && !is_open(**start))
            .map(|(start, _)| *start)
            .collect();
        due.extend(over.into_iter().filter_map(|start| self.release(start)));
        while self.request_count > self.rules.request_limit
            && let Some(start) = self.oldest()
        {
            due.extend(self.release(start));
        }
        due
    }

    /// The rows of every window that have not been sent.
    pub(super) fn take_all(&mut self) -> Vec<WindowRows> {
        let all: Vec<UnixNanos> = self.held.keys().copied().collect();
        all.into_iter().filter_map(|start| self.release(start)).collect()
    }

    fn oldest(&self) -> Option<UnixNanos> {
        let oldest = self.held.iter().min_by_key(|(_, window)| window.last_change);
        oldest.map(|(start, _)| *start)
    }

    /// Lets a window go, and returns what is still to be sent of it.
    fn release(&mut self, start: UnixNanos) -> Option<WindowRows> {
        let mut window = self.held.remove(&start)?;
        self.request_count -= window.counted.len();
        self.let_go.retain(|(known, _)| *known != start);
        self.let_go.push_back((start, window.emission.wrapping_add(1)));
        if self.let_go.len() > REMEMBERED_WINDOWS {
            self.let_go.pop_front();
        }
        window.take_rows(|_| true)
    }
}

impl Window {
    /// `emission` if an earlier one was let go.
    fn new(rules: &WindowRules, emission: Option<i32>, now: Instant) -> Self {
        Self {
            emission: emission.unwrap_or(rules.first_emission),
            is_reopened: emission.is_some(),
            matrix: Matrix::new(rules.window_ns),
            counted: HashSet::new(),
            groups: BTreeMap::new(),
            last_request: now,
            last_change: now,
            is_closed: false,
        }
    }

    fn counts(&self, span: &SpanAttribution) -> bool {
        self.counted.contains(&self.id_of(span))
    }

    fn id_of(&self, span: &SpanAttribution) -> RequestId {
        (self.matrix.group_of(span), span.process.clone(), span.key())
    }

    /// Counts a span as it is now: in place of what it counted for before, or no longer if it is not a request. Returns
    /// whether there is one more.
    fn count(&mut self, span: &SpanAttribution, now: Instant) -> bool {
        self.matrix.add(span);
        let id = self.id_of(span);
        self.last_change = now;
        let rows = self.groups.entry(id.0.clone()).or_default();
        rows.changed_at.get_or_insert(now);
        if !span.is_request {
            self.counted.remove(&id);
            return false;
        }
        let is_new = self.counted.insert(id);
        if is_new {
            self.last_request = now;
        }
        is_new
    }

    /// The rows of the groups in which something has changed: those that were never sent, and of the others those that have
    /// settled.
    fn take_rows(&mut self, is_settled: impl Fn(Instant) -> bool) -> Option<WindowRows> {
        let (mut tables, mut replaced, mut any) = (MatrixTables::default(), Vec::new(), false);
        for (group, rows) in &mut self.groups {
            if !rows
                .changed_at
                .is_some_and(|since| rows.sent_as.is_empty() || is_settled(since))
            {
                continue;
            }
            any = true;
            rows.changed_at = None;
            let before = tables.operations.len();
            self.matrix.tables_of(group, &mut tables);
            let sent_as = std::mem::take(&mut rows.sent_as);
            replaced.extend(sent_as.into_iter().map(|emission| (group.clone(), emission)));
            if tables.operations.len() > before {
                rows.sent_as.insert(self.emission);
            }
        }
        any.then_some(WindowRows {
            emission: self.emission,
            tables,
            replaced,
        })
    }
}
