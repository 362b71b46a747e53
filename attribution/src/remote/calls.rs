//! What takes the place of a call's network wait.

use std::collections::HashMap;

use spandrel_model::{Cell, Interval, SpanKind, UnixNanos};

use super::links::Place;
use super::offset::OffsetRange;
use crate::inferred::{Child, READING_ERROR_NS};
use crate::spans::{SpanIndex, SpanSet};

/// Waits for the network that no answer of a server ends.
const OTHER_WAITS: [&str; 9] = [
    "accept",
    "connect",
    "dns",
    "file_read",
    "file_write",
    "http_idle",
    "http_request",
    "http_watch",
    "tls_handshake",
];

/// Position of a call in [`Calls`].
pub(crate) type CallId = usize;

/// What stands in the place of a network wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Instead {
    /// The network, with everything that it leads to: no server span tells them apart.
    Remote,
    /// The network alone: no server span of the call was open.
    InFlight,
    /// The cell with this number, of a server span.
    Server(usize),
}

/// The calls of one process.
pub(crate) struct Calls {
    // By span: the call that its network waits belong to.
    of_span: Vec<Option<CallId>>,
    // The first one is that of all clients without a known server.
    calls: Vec<Call>,
    // Without time.
    cells: Vec<Cell>,
    numbers: HashMap<Cell, usize>,
    /// What was met.
    pub(crate) counts: CallCounts,
}

/// What was met while the calls of a process were followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Server spans that the calls have.
    pub servers: u64,
    /// Of these, the ones that cannot have been waited for.
    pub detached: u64,
    /// Calls not followed because too many others lie above them.
    pub too_deep: u64,
    /// Calls not followed because others have so many pieces already. Their waits stay `remote`.
    pub too_many: u64,
    /// Pieces of servers put in the place of network waits.
    pub pieces: u64,
}

/// A span with the servers that it called.
pub(crate) struct Call {
    client: Option<SpanIndex>,
    /// Servers that may have been waited for.
    servers: Vec<Server>,
    // Whether there are others, and how much time they have.
    has_detached: bool,
    detached_ns: i64,
    offset: Option<OffsetRange>,
    // What network waits outside of `parts` are.
    outside: Option<Instead>,
    // In the order of time, without overlap.
    parts: Vec<(Interval, Instead)>,
}

/// A server span on the clock of its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(super) place: Place,
    /// Time open.
    pub(crate) interval: Interval,
    /// By how much the server's own clock is taken to be ahead, nanoseconds.
    pub(super) ahead_ns: i64,
    /// By how much it can be.
    pub(super) offset: OffsetRange,
}

impl Server {
    pub(crate) fn child(&self) -> Child {
        Child {
            interval: self.interval,
            slack_ns: self.offset.width_ns().saturating_add(2 * READING_ERROR_NS),
        }
    }
}

impl Call {
    pub(super) fn new(client: SpanIndex) -> Self {
        Self {
            client: Some(client),
            servers: Vec::new(),
            has_detached: false,
            detached_ns: 0,
            offset: None,
            outside: None,
            parts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, server: Server) {
        self.offset = Some(self.offset.map_or(server.offset, |known| known.hull(server.offset)));
        self.servers.push(server);
    }

    pub(super) fn add_detached(&mut self, server: Interval) {
        self.has_detached = true;
        self.detached_ns = self.detached_ns.saturating_add(server.duration_ns());
    }
}

impl Calls {
    /// The calls of the process whose spans these are, no server being known.
    pub(crate) fn unknown(spans: &SpanSet<'_>) -> Self {
        Self::new(spans, Vec::new())
    }

    /// The calls of the process whose spans these are; `of_servers` are those whose servers are known.
    pub(super) fn new(spans: &SpanSet<'_>, mut of_servers: Vec<Call>) -> Self {
        let calls_itself = |index| matches!(spans.span(index).kind, SpanKind::Client | SpanKind::Producer);
        let unknown = Call {
            client: None,
            outside: Some(Instead::Remote),
            ..Call::new(0)
        };
        let mut of_span: Vec<Option<CallId>> = vec![None; spans.len()];
        for (number, call) in of_servers.iter_mut().enumerate() {
            if let Some(client) = call.client {
                call.outside = calls_itself(client).then_some(Instead::Remote);
                of_span[client] = Some(number + 1);
            }
        }
        for index in spans.downwards() {
            let node = spans.node(index);
            of_span[index] = of_span[index].or_else(|| match node.span.kind {
                SpanKind::Client | SpanKind::Producer => Some(0),
                SpanKind::Server | SpanKind::Consumer => None,
                SpanKind::Internal | SpanKind::Unspecified => node.parent.and_then(|parent| of_span[parent]),
            });
        }
        let mut calls = vec![unknown];
        calls.append(&mut of_servers);
        Self {
            of_span,
            calls,
            cells: Vec::new(),
            numbers: HashMap::new(),
            counts: CallCounts::default(),
        }
    }

    /// Whether a network wait of this finer kind may be one for the answer of a server.
    pub(crate) fn may_be_answer(sub_state: &str) -> bool {
        !OTHER_WAITS.contains(&sub_state)
    }

    /// The call that network waits of `span` belong to: its own, or that of the span around it.
    pub(crate) fn of_span(&self, span: SpanIndex) -> Option<CallId> {
        self.of_span[span]
    }

    /// Whether what stands in the place of network waits of `span` depends on the time.
    pub(crate) fn depends_on_time(&self, span: SpanIndex) -> bool {
        self.of_span[span].is_some_and(|call| !self.calls[call].parts.is_empty())
    }

    /// The cell of a server, without time.
    pub(crate) fn cell(&self, number: usize) -> &Cell {
        &self.cells[number]
    }

    /// Servers that `span` itself called and may have waited for.
    pub(crate) fn servers(&self, span: SpanIndex) -> &[Server] {
        self.own(span).map_or(&[], |call| &call.servers)
    }

    /// The call of `span` itself, if a server of it is known.
    pub(crate) fn of_known_servers(&self, span: SpanIndex) -> Option<CallId> {
        self.of_span[span].filter(|_| !self.servers(span).is_empty())
    }

    /// The server of `span`, if it is the only one that is known, and was followed: what of the waits it leaves was in
    /// flight.
    pub(crate) fn only_server(&self, span: SpanIndex) -> Option<&Server> {
        let call = self.own(span)?;
        match call.servers.as_slice() {
            [server] if call.outside == Some(Instead::InFlight) => Some(server),
            _ => None,
        }
    }

    /// Time of servers that `span` called and did not wait for, nanoseconds.
    pub(crate) fn detached_ns(&self, span: SpanIndex) -> i64 {
        self.own(span).map_or(0, |call| call.detached_ns)
    }

    /// By how much the clocks of the servers of `span` can be ahead.
    pub(crate) fn offset(&self, span: SpanIndex) -> Option<OffsetRange> {
        self.own(span).and_then(|call| call.offset)
    }

    /// What stands in the place of network waits of `call` where no server is known to be at work; `None` for nothing.
    pub(crate) fn outside(&self, call: CallId) -> Option<Instead> {
        self.calls[call].outside
    }

    /// Cuts `interval`, in which the call `call` waits for the network, by what stands there instead; `None` for nothing.
    pub(crate) fn split(&self, call: CallId, interval: Interval, each: &mut impl FnMut(Interval, Option<Instead>)) {
        let Call { parts, outside, .. } = &self.calls[call];
        let first = parts.partition_point(|(part, _)| part.end() <= interval.start());
        let mut at = interval.start();
        let mut until = |end: UnixNanos, instead| {
            if let Some(part) = Interval::new(at, end).filter(|part| !part.is_empty()) {
                each(part, instead);
                at = end;
            }
        };
        for (part, instead) in &parts[first..] {
            let Some(part) = part.intersection(interval) else { break };
            until(part.start(), *outside);
            until(part.end(), Some(*instead));
        }
        until(interval.end(), *outside);
    }

    /// Cuts `interval` of `span`, of whose task nothing is known, like [`Self::split`], if a server of its own is known.
    pub(crate) fn split_own(
        &self,
        span: SpanIndex,
        interval: Interval,
        each: &mut impl FnMut(Interval, Option<Instead>),
    ) {
        match self.of_known_servers(span) {
            Some(call) => self.split(call, interval, each),
            None => each(interval, None),
        }
    }

    /// Says what the servers of `client` did: their parts, and the times at which others were open that it did not wait
    /// for, sorted.
    pub(super) fn fill(&mut self, client: SpanIndex, parts: Vec<(Interval, Cell)>, others: &[Interval]) {
        let Some(number) = self.of_span[client] else { return };
        let mut filled: Vec<(Interval, Instead)> = Vec::with_capacity(parts.len());
        for (interval, cell) in parts {
            add(&mut filled, interval, Instead::Server(self.number(cell)));
        }
        self.counts.pieces = self.counts.pieces.saturating_add(filled.len() as u64);
        let call = &mut self.calls[number];
        if call.outside.is_some() && !call.has_detached {
            call.outside = Some(Instead::InFlight);
            filled = with_others(filled, others);
        }
        call.parts = filled;
    }

    fn number(&mut self, cell: Cell) -> usize {
        let next = self.cells.len();
        *self.numbers.entry(cell).or_insert_with_key(|cell| {
            self.cells.push(cell.clone());
            next
        })
    }

    fn own(&self, span: SpanIndex) -> Option<&Call> {
        let call = &self.calls[self.of_span[span]?];
        (call.client == Some(span)).then_some(call)
    }
}

/// Appends a part, or makes the last one longer.
fn add(parts: &mut Vec<(Interval, Instead)>, interval: Interval, instead: Instead) {
    if let Some((last, same)) = parts.last_mut()
        && (last.end(), *same) == (interval.start(), instead)
        && let Some(whole) = Interval::new(last.start(), interval.end())
    {
        *last = whole;
        return;
    }
    parts.push((interval, instead));
}

/// Adds the times of `others` between the parts: a server was at work there, and so its call was not in flight.
fn with_others(parts: Vec<(Interval, Instead)>, others: &[Interval]) -> Vec<(Interval, Instead)> {
    if others.is_empty() {
        return parts;
    }
    let mut all = Vec::with_capacity(parts.len() + others.len());
    let mut at = UnixNanos(i64::MIN);
    let mut rest = others;
    let end = Interval::new(UnixNanos(i64::MAX), UnixNanos(i64::MAX)).map(|end| (end, Instead::Remote));
    for (part, instead) in parts.into_iter().chain(end) {
        while let Some(other) = rest.first().filter(|other| other.start() < part.start()) {
            let start = other.start().max(at);
            if let Some(gap) = Interval::new(start, other.end().min(part.start())).filter(|gap| !gap.is_empty()) {
                add(&mut all, gap, Instead::Remote);
                at = gap.end();
            }
            if other.end() > part.start() {
                break;
            }
            rest = &rest[1..];
        }
        if !part.is_empty() {
            add(&mut all, part, instead);
            at = part.end();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: i64, end: i64) -> Interval {
        Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
    }

    #[test]
    fn servers_that_were_not_waited_for_fill_what_is_left_between_the_parts() {
        let parts = vec![
            (interval(10, 20), Instead::Server(0)),
            (interval(30, 40), Instead::Server(1)),
        ];
        let others = [interval(0, 5), interval(3, 12), interval(15, 50), interval(45, 60)];
        let shown: Vec<(i64, i64, Instead)> = with_others(parts, &others)
            .into_iter()
            .map(|(part, instead)| (part.start().0, part.end().0, instead))
            .collect();
        assert_eq!(
            shown,
            [
                (0, 10, Instead::Remote),
                (10, 20, Instead::Server(0)),
                (20, 30, Instead::Remote),
                (30, 40, Instead::Server(1)),
                (40, 60, Instead::Remote),
            ]
        );
    }
}
