//! Calls to other processes: the server's time in the place of the client's network wait.
//!
//! The runtime of the client says that it waited for the network. The server's span says when the request was there, and
//! the server's runtime what became of it meanwhile:
//!
//! ```text
//! client, process A     |run |network                                   |run |
//! server, process B                |run  |mutex, ended by g9  |run |             on the clock of A
//! g9, process B               |run                            |dead              working for PUT
//! root of the client    |run |in     |run|blocked by PUT      |run |in   |run |
//!                            |flight |remote ------------------->  |flight
//! ```
//!
//! That is so for every span whose root view ends in a network wait of the client, such as the handler that calls; and
//! for every server's view that is put there, so that a call of a call is followed too.
//!
//! `links` finds which span called which, `clocks` and `offset` how far the clocks of their hosts are apart, `calls` holds
//! what stands where, `in_flight` how long its messages took, and this module fills it, the innermost calls first: a server's time is
//! complete before it is put in the place of a client's. What a server waited for is therefore followed only into calls that have more calls above them than the
//! server itself; so no circle can be followed, whatever the spans say.

mod calls;
mod clocks;
mod in_flight;
mod links;
mod offset;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use spandrel_model::{Cell, CpuProfile, Interval, Relation, TaskRecording};

pub use self::calls::CallCounts;
use self::calls::{Call, Server};
pub(crate) use self::calls::{CallId, Calls, Instead};
pub use self::in_flight::InFlight;
pub(crate) use self::links::is_call;
use self::links::{HOPS_MAX, Link, Place};
use self::offset::OffsetRange;
use crate::inferred::WaitedFor;
use crate::{Analysis, Attributed, ProcessSpans, Rules, SpanKey};

/// Pieces of servers for each state and span, and as many as there may be anyway. A state of a server comes again in each
/// call above it.
const PIECES_PER_STATE: usize = 16;
const PIECES_MIN: usize = 65_536;

/// What is known of one process.
#[derive(Clone, Debug)]
pub struct ProcessInput<'a> {
    /// Its spans.
    pub spans: ProcessSpans<'a>,
    /// All recordings of it that are at hand, in any order.
    pub recordings: Vec<&'a TaskRecording>,
    /// CPU profiles of it, in any order.
    pub cpu_profiles: Vec<&'a CpuProfile>,
}

/// Attributes the spans of several processes, following calls from one to the other. One result for each process, in their
/// order, which does not matter otherwise; a process must be given once. See [`attribute`](crate::attribute).
pub fn attribute_together(processes: &[ProcessInput<'_>], rules: &Rules) -> Vec<Attributed> {
    analyze_together(processes, rules)
        .iter()
        .map(Analysis::attributed)
        .collect()
}

/// Everything that [`attribute_together`] finds out, to be asked for in detail.
pub fn analyze_together<'a>(processes: &[ProcessInput<'a>], rules: &Rules) -> Vec<Analysis<'a>> {
    let analyze = |process: &ProcessInput<'a>| {
        let mut analysis = Analysis::new(&process.spans, &process.recordings, rules);
        analysis.add_cpu_profiles(&process.cpu_profiles, &rules.stack_layers);
        analysis
    };
    let mut analyses: Vec<Analysis<'a>> = processes.iter().map(analyze).collect();
    follow_calls(&mut analyses);
    analyses
}

/// Puts servers in the place of network waits, as far as `analyses` know them.
pub(crate) fn follow_calls(analyses: &mut [Analysis<'_>]) {
    let links = links::find(analyses);
    if links.is_empty() {
        return;
    }
    let offsets = clocks::offsets(analyses, &links);
    let mut of_process: BTreeMap<usize, (Vec<Call>, CallCounts)> = BTreeMap::new();
    let mut clients: Vec<(usize, Place)> = Vec::new();
    let mut each = links.iter().zip(&offsets).peekable();
    while let Some(Link { client, hops, .. }) = each.peek().map(|(link, _)| **link) {
        let mut call = Call::new(client.1);
        let (calls, counts) = of_process.entry(client.0).or_default();
        while let Some((link, offset)) = each.next_if(|(link, _)| link.client == client) {
            counts.servers += 1;
            match server(analyses, link, *offset) {
                Ok(server) => call.add(server),
                Err(detached) => {
                    counts.detached += 1;
                    call.add_detached(detached);
                }
            }
        }
        counts.too_deep += u64::from(hops > HOPS_MAX);
        calls.push(call);
        clients.push((hops, client));
    }
    for (process, (calls, counts)) in of_process {
        let mut calls = Calls::new(analyses[process].spans(), calls);
        calls.counts = counts;
        analyses[process].set_calls(calls);
    }
    clients.retain(|(hops, _)| *hops <= HOPS_MAX);
    clients.sort_by_cached_key(|(hops, (process, client))| {
        let span = analyses[*process].spans().span(*client);
        (Reverse(*hops), span.interval, SpanKey::of(span), span.process.clone())
    });
    let mut pieces_left = pieces_max(analyses);
    for as_deep in clients.chunk_by(|left, right| left.0 == right.0) {
        // None of them sees what the others find, so that their order does not matter.
        let found: Vec<Option<Found>> = (as_deep.iter())
            .map(|(_, client)| (pieces_left > 0).then(|| find(analyses, *client, &mut pieces_left)))
            .collect();
        for ((_, (process, client)), found) in as_deep.iter().zip(found) {
            let calls = analyses[*process].calls_mut();
            match found {
                Some(found) => calls.fill(*client, found.parts, &found.others),
                None => calls.counts.too_many += 1,
            }
        }
    }
}

/// How many pieces of servers may be put in the places of network waits. Each server has the states of its task; where
/// many are on one task at a time, all of them have the same states, and so the pieces are not limited by the input.
fn pieces_max(analyses: &[Analysis<'_>]) -> usize {
    let size = |analysis: &Analysis<'_>| analysis.spans().len() + analysis.timeline().slices().len();
    PIECES_MIN + PIECES_PER_STATE * analyses.iter().map(size).sum::<usize>()
}

/// What stands in the place of the network waits of a call.
struct Found {
    /// What the servers did while they were waited for.
    parts: Vec<(Interval, Cell)>,
    /// When the other servers of the call were open, sorted.
    others: Vec<Interval>,
}

/// Places the server of `link` on the clock of its client.
///
/// # Errors
/// The server's time on its own clock, if the client cannot have waited for it.
fn server(analyses: &[Analysis<'_>], link: &Link, offset: Option<OffsetRange>) -> Result<Server, Interval> {
    let (process, span) = link.server;
    let interval = analyses[process].spans().interval(span);
    let offset = offset.ok_or(interval)?;
    let ahead_ns = offset.center_ns();
    Ok(Server {
        place: link.server,
        interval: interval.shifted(ahead_ns.saturating_neg()),
        ahead_ns,
        offset,
    })
}

/// What the servers of `client` did. Takes the pieces from `pieces_left`.
fn find(analyses: &[Analysis<'_>], (process, client): Place, pieces_left: &mut usize) -> Found {
    let analysis = &analyses[process];
    let servers = analysis.calls().servers(client);
    let mut waited_for = vec![false; servers.len()];
    let mut parts: Vec<(Interval, Cell)> = Vec::new();
    for (section, who) in analysis.root_view().parts().waits(client) {
        let WaitedFor::Server(number) = who else { continue };
        waited_for[number] = true;
        let Server { place, ahead_ns, .. } = servers[number];
        analyses[place.0]
            .root_view()
            .each_piece(place.1, section.shifted(ahead_ns), &mut |piece| {
                let cell = Cell {
                    relation: Relation::Remote,
                    ns: 0,
                    ..piece.cell
                };
                parts.push((piece.interval.shifted(ahead_ns.saturating_neg()), cell));
                *pieces_left = pieces_left.saturating_sub(1);
            });
    }
    let others = servers.iter().zip(waited_for).filter(|(_, waited_for)| !waited_for);
    let mut others: Vec<Interval> = others.map(|(server, _)| server.interval).collect();
    others.sort_unstable();
    Found { parts, others }
}
