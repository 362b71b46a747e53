//! Which calls speak about the same two clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use spandrel_model::{ProcessIdentity, Span};

use super::links::{self, Link, Place};
use super::offset::{self, OffsetRange, Witness};
use crate::{Analysis, SpanKey};

/// What has a clock of its own. Processes of the same host share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    Host(Arc<str>),
    Process(Arc<ProcessIdentity>),
}

/// The call of a link as a witness of how far the second clock of a pair is ahead of the first, at a time of the first. In
/// this order, so that nothing depends on that of processes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    witness: Witness,
    server: SpanKey,
    process: Arc<ProcessIdentity>,
    /// Whether it was the second that called the first.
    is_reversed: bool,
    link: usize,
}

/// How far the clock of each link's server can be ahead of its client's; `None` where the server cannot have been waited
/// for.
pub(super) fn offsets(analyses: &[Analysis<'_>], links: &[Link]) -> Vec<Option<OffsetRange>> {
    let mut pairs: BTreeMap<[Clock; 2], Vec<Call>> = BTreeMap::new();
    let span = |(process, span): Place| analyses[process].spans().span(span);
    for (number, link) in links.iter().enumerate() {
        if let Some((pair, call)) = call(span(link.client), span(link.server), number) {
            pairs.entry(pair).or_default().push(call);
        }
    }
    let mut offsets = vec![None; links.len()];
    for ([first, second], mut calls) in pairs {
        calls.sort_unstable();
        for (call, range) in calls.iter().zip(ranges(&calls, first == second)) {
            offsets[call.link] = match call.is_reversed {
                true => range.map(OffsetRange::reversed),
                false => range,
            };
        }
    }
    offsets
}

/// The clocks of a call, and what it says of them; `None` if the client cannot have waited for the server.
fn call(client: &Span, server: &Span, link: usize) -> Option<([Clock; 2], Call)> {
    if links::is_message(client, server) {
        return None;
    }
    let range = OffsetRange::of_call(client.interval, server.interval)?;
    let (from, to) = (Clock::of(&client.process), Clock::of(&server.process));
    let is_reversed = from > to;
    let call = Call {
        witness: Witness {
            at: if is_reversed {
                server.interval.start()
            } else {
                client.interval.start()
            },
            range: if is_reversed { range.reversed() } else { range },
        },
        server: SpanKey::of(server),
        process: server.process.clone(),
        is_reversed,
        link,
    };
    Some((if is_reversed { [to, from] } else { [from, to] }, call))
}

/// The range of each call of a pair. Of clocks that should be one it is next to nothing, unless most calls contradict that.
fn ranges(calls: &[Call], is_one_clock: bool) -> Vec<Option<OffsetRange>> {
    let on_one_clock = |call: &Call| call.witness.range.and(OffsetRange::ONE_CLOCK);
    let fitting = calls.iter().filter(|call| on_one_clock(call).is_some()).count();
    if is_one_clock && 2 * fitting >= calls.len() {
        return calls.iter().map(on_one_clock).collect();
    }
    let witnesses: Vec<Witness> = calls.iter().map(|call| call.witness).collect();
    offset::agreed(&witnesses)
}

impl Clock {
    fn of(process: &Arc<ProcessIdentity>) -> Self {
        match &process.host_name {
            Some(host) => Self::Host(host.clone()),
            None => Self::Process(process.clone()),
        }
    }
}
