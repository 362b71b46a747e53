//! Changes of a trace that no runtime would make.

use arbitrary::{Result, Unstructured};
use gotrace::{Place, SPECS};

use crate::support::writer::{Arg, Event, Stream, Trace};

/// Changes an event somewhere in the trace, or its place.
pub(super) fn change(trace: &mut Trace, input: &mut Unstructured<'_>) -> Result<()> {
    let generation = input.choose_index(trace.generations.len())?;
    let streams = &mut trace.generations[generation].streams;
    streams.retain(|stream| !stream.events.is_empty());
    if streams.is_empty() {
        return Ok(());
    }
    let stream = input.choose_index(streams.len())?;
    let at = position(&streams[stream], input)?;
    let events = &mut streams[stream].events;
    let last = events.len() - 1;
    match input.int_in_range(0..=8)? {
        0 => drop(events.remove(at)),
        1 => events.insert(at, events[at].clone()),
        2 => events.swap(at, (at + 1).min(last)),
        3 => events[at] = other_event(events[at].ticks, input)?,
        4 => events.insert(at, other_event(events[at].ticks, input)?),
        5 => events[at].ticks = events[at].ticks.saturating_add(input.arbitrary::<u8>()?.into()),
        6 => events[at].ticks = input.arbitrary::<u64>()?.max(1),
        7 => {
            let moved = events.remove(at);
            let stream = input.choose_index(streams.len())?;
            let at = position(&streams[stream], input)?;
            streams[stream].events.insert(at, moved);
        }
        _ => change_argument(&mut events[at], input)?,
    }
    Ok(())
}

fn position(stream: &Stream, input: &mut Unstructured<'_>) -> Result<usize> {
    let at = usize::from(input.arbitrary::<u16>()?);
    Ok(at % stream.events.len().max(1))
}

fn change_argument(event: &mut Event, input: &mut Unstructured<'_>) -> Result<()> {
    if !event.args.is_empty() {
        let arg = input.choose_index(event.args.len())?;
        event.args[arg] = number(input)?;
    }
    Ok(())
}

/// Any event that may stand in a stream, with any arguments.
fn other_event(ticks: u64, input: &mut Unstructured<'_>) -> Result<Event> {
    let timed = SPECS.iter().filter(|spec| spec.place != Place::Structure);
    let timed: Vec<_> = timed.collect();
    let spec = input.choose(&timed)?;
    let args = spec.args.iter().skip(1).map(|_| number(input));
    Ok(Event {
        ticks,
        event: spec.event,
        args: args.collect::<Result<_>>()?,
    })
}

/// A small number, mostly.
fn number(input: &mut Unstructured<'_>) -> Result<Arg> {
    let number = match input.arbitrary::<u8>()? {
        u8::MAX => input.arbitrary::<u64>()?,
        small => u64::from(small % 32),
    };
    Ok(Arg::Number(number))
}
