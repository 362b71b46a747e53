//! Which request it was that a span waited for, and where in the code that one stood.
//!
//! A cell of the root view names the operation of the other request. Its trace and its place are found on the way that led to
//! the cell: from the wait to the goroutine that ended it, and on from there while that one waited for another. Only stretches
//! at the end of which the other request's state is the cell's are counted, so what is told is never more than the cell.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::answers::Value;
use super::super::{Tables, literal, other_types};
use super::places::{Piece, Times, place, telling_frames};
use super::states::{self, Goroutine, RECORDING_NS_MAX, Stretches};
use super::{Blocker, Cell, Span};

/// Goroutines that wait for each other are followed so far.
const STEPS_MAX: usize = 4;
/// Goroutines whose states are looked at in one step.
const GOROUTINES_MAX: usize = 500;
/// Stretches that are followed in all.
const STRETCHES_MAX: usize = 20_000;

/// A stretch in which somebody waited for a goroutine.
struct Wait<'a> {
    /// Who waited, in the trace that is explained, and for what.
    origin: &'a Goroutine,
    layer: &'a str,
    state: &'a str,
    start_ns: i64,
    end_ns: i64,
    /// Who ended the wait.
    waker: Goroutine,
}

/// What the goroutine at the end of the way did meanwhile.
struct Reached<'a> {
    origin: &'a Goroutine,
    layer: &'a str,
    own_state: &'a str,
    start_ns: i64,
    end_ns: i64,
    goroutine: Goroutine,
    state: String,
    stack: Option<i64>,
    /// For which trace it worked.
    trace_id: String,
}

/// Adds traces and places to the cells of the root view that another request held up.
///
/// # Errors
/// The tables cannot be read.
pub(super) async fn name(
    tables: &Tables<'_>,
    spans: &mut [Span],
    pieces: &BTreeMap<&Goroutine, Vec<Piece<'_>>>,
    trace_id: &str,
) -> anyhow::Result<()> {
    let is_blocked = |span: &Span| span.root.iter().any(|cell| cell.cause.culprit.is_some());
    if !spans.iter().any(is_blocked) {
        return Ok(());
    }
    let mut reached = follow(tables, pieces).await?;
    let (Some(from_ns), Some(to_ns)) = (
        reached.iter().map(|reached| reached.start_ns).min(),
        reached.iter().map(|reached| reached.end_ns).max(),
    ) else {
        return Ok(());
    };
    find_owners(tables, &mut reached, (from_ns, to_ns)).await?;
    reached.retain(|reached| !reached.trace_id.is_empty() && reached.trace_id != trace_id);
    let operations = operations(tables, &reached).await?;
    let mut times = Times::new();
    for reached in &reached {
        if let Some(stack) = reached.stack {
            *times.entry(stack).or_default() += reached.end_ns - reached.start_ns;
        }
    }
    let frames = telling_frames(tables, times, (from_ns, to_ns)).await?;
    for span in spans.iter_mut().filter(|span| is_blocked(span)) {
        for (at, by_trace) in by_cell(span, &reached, &operations) {
            let cell = &mut span.root[at];
            let largest = by_trace.into_iter().max_by_key(|(_, (ns, _))| *ns);
            if let Some((trace_id, (ns, times))) = largest.filter(|(_, (ns, _))| *ns <= cell.ns) {
                cell.at = place(&times, &frames);
                cell.by = Some(Blocker {
                    trace_id: trace_id.to_owned(),
                    ns,
                });
            }
        }
    }
    Ok(())
}

/// Time by the trace of the other request; in each by stack.
type ByTrace<'a> = BTreeMap<&'a str, (i64, Times)>;

/// What was reached during a span, by the position of the cell of its root view that says the same.
fn by_cell<'a>(
    span: &Span,
    reached: &'a [Reached<'_>],
    operations: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeMap<usize, ByTrace<'a>> {
    let mut found: BTreeMap<usize, ByTrace<'_>> = BTreeMap::new();
    let goroutine = span.bound_to();
    for reached in reached
        .iter()
        .filter(|reached| Some(reached.origin) == goroutine.as_ref())
    {
        let ns = reached.end_ns.min(span.end_ns()) - reached.start_ns.max(span.start_ns);
        let cell = span.root.iter().position(|cell| reached.is_of(cell, operations));
        let Some(at) = cell.filter(|_| ns > 0) else { continue };
        let (total_ns, times) = found.entry(at).or_default().entry(&reached.trace_id).or_default();
        *total_ns += ns;
        if let Some(stack) = reached.stack {
            *times.entry(stack).or_default() += ns;
        }
    }
    found
}

impl Reached<'_> {
    /// Whether it is part of what the cell says.
    fn is_of(&self, cell: &Cell, operations: &BTreeMap<String, BTreeSet<String>>) -> bool {
        let Some(culprit) = &cell.cause.culprit else {
            return false;
        };
        (self.layer, self.own_state) == (cell.cause.layer.as_str(), cell.sub_state.as_str())
            && self.state == culprit.state
            && (operations.get(&self.trace_id)).is_some_and(|names| names.contains(&culprit.operation))
    }
}

/// Follows every wait that a goroutine ended to the end of the way.
async fn follow<'a>(
    tables: &Tables<'_>,
    pieces: &'a BTreeMap<&Goroutine, Vec<Piece<'a>>>,
) -> anyhow::Result<Vec<Reached<'a>>> {
    let mut waits: Vec<Wait<'a>> = Vec::new();
    for (goroutine, pieces) in pieces {
        let ended = pieces.iter().filter_map(|piece| {
            let (layer, state, _) = piece.key;
            Some(Wait {
                origin: goroutine,
                layer,
                state,
                start_ns: piece.start_ns,
                end_ns: piece.end_ns,
                waker: goroutine.beside(piece.waker?),
            })
        });
        waits.extend(ended);
    }
    let mut reached = Vec::new();
    for _ in 0..STEPS_MAX {
        waits.truncate(STRETCHES_MAX.saturating_sub(reached.len()));
        let (Some(from_ns), Some(to_ns)) = (
            waits.iter().map(|wait| wait.start_ns).min(),
            waits.iter().map(|wait| wait.end_ns).max(),
        ) else {
            break;
        };
        let wakers: BTreeSet<Goroutine> = waits.iter().map(|wait| wait.waker.clone()).collect();
        let Some(stretches) = states::load(tables, wakers.iter().take(GOROUTINES_MAX), (from_ns, to_ns)).await? else {
            break;
        };
        waits = step(waits, &stretches, &mut reached);
    }
    Ok(reached)
}

/// What the wakers did during the waits: what they waited for themselves is to be followed, the rest has been reached.
fn step<'a>(waits: Vec<Wait<'a>>, stretches: &Stretches, reached: &mut Vec<Reached<'a>>) -> Vec<Wait<'a>> {
    let mut further = Vec::new();
    for wait in waits {
        let of_waker = stretches.get(&wait.waker).map_or(&[][..], Vec::as_slice);
        let first = of_waker.partition_point(|stretch| stretch.end_ns <= wait.start_ns);
        for stretch in of_waker[first..]
            .iter()
            .take_while(|stretch| stretch.start_ns < wait.end_ns)
        {
            let (start_ns, end_ns) = (stretch.start_ns.max(wait.start_ns), stretch.end_ns.min(wait.end_ns));
            match stretch.waker {
                Some(waker) => further.push(Wait {
                    start_ns,
                    end_ns,
                    waker: wait.waker.beside(waker),
                    ..wait
                }),
                None => reached.push(Reached {
                    origin: wait.origin,
                    layer: wait.layer,
                    own_state: wait.state,
                    start_ns,
                    end_ns,
                    goroutine: wait.waker.clone(),
                    state: stretch.state.clone(),
                    stack: stretch.stack,
                    trace_id: String::new(),
                }),
            }
        }
    }
    further
}

/// For which trace each goroutine worked: that of the span on it that started last and covers the stretch.
async fn find_owners(
    tables: &Tables<'_>,
    reached: &mut [Reached<'_>],
    (from_ns, to_ns): (i64, i64),
) -> anyhow::Result<()> {
    let mut of_process: BTreeMap<(&str, &str), BTreeSet<i64>> = BTreeMap::new();
    for Goroutine { service, process, id } in reached.iter().map(|reached| &reached.goroutine) {
        of_process.entry((service, process)).or_default().insert(*id);
    }
    let mut spans: BTreeMap<Goroutine, Vec<(i64, i64, String)>> = BTreeMap::new();
    for ((service, process), ids) in of_process {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        let sql = format!(
            "SELECT task_id, start_ns, duration_ns, hex(trace_id) FROM task_spans WHERE service_name = {} \
             AND process_id = {} AND task_id IN ({}) AND start_ns >= {} AND start_ns < {to_ns} \
             AND start_ns + duration_ns > {from_ns} ORDER BY task_id, start_ns LIMIT {STRETCHES_MAX}",
            literal(service),
            literal(process),
            ids.join(", "),
            from_ns.saturating_sub(RECORDING_NS_MAX)
        );
        for row in tables.rows(&sql).await? {
            let [
                Value::Int(id),
                Value::Int(start_ns),
                Value::Int(duration_ns),
                Value::Text(trace),
            ] = row.as_slice()
            else {
                return Err(other_types());
            };
            let goroutine = Goroutine {
                service: service.to_owned(),
                process: process.to_owned(),
                id: *id,
            };
            let span = (*start_ns, start_ns.saturating_add(*duration_ns), trace.clone());
            spans.entry(goroutine).or_default().push(span);
        }
    }
    for reached in reached {
        let of_goroutine = spans.get(&reached.goroutine).map_or(&[][..], Vec::as_slice);
        let begun = of_goroutine.partition_point(|(start_ns, ..)| *start_ns <= reached.start_ns);
        let covering = of_goroutine[..begun]
            .iter()
            .rev()
            .find(|(_, end_ns, _)| *end_ns >= reached.end_ns);
        if let Some((.., trace)) = covering {
            reached.trace_id.clone_from(trace);
        }
    }
    Ok(())
}

/// The operations with which each trace entered a process.
async fn operations(
    tables: &Tables<'_>,
    reached: &[Reached<'_>],
) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let traces: BTreeSet<String> = reached.iter().map(|reached| literal(&reached.trace_id)).collect();
    let mut operations: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if traces.is_empty() {
        return Ok(operations);
    }
    let traces: Vec<String> = traces.into_iter().collect();
    let sql = format!(
        "SELECT DISTINCT hex(trace_id), operation FROM span_quality WHERE is_request AND trace_id IN ({})",
        traces.join(", ")
    );
    for row in tables.rows(&sql).await? {
        let [Value::Text(trace), Value::Text(operation)] = row.as_slice() else {
            return Err(other_types());
        };
        operations.entry(trace.clone()).or_default().insert(operation.clone());
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use super::super::super::cause::{self, Cause};
    use super::super::states::Stretch;
    use super::*;

    fn goroutine(id: i64) -> Goroutine {
        Goroutine {
            service: "shop".into(),
            process: "shop-1".into(),
            id,
        }
    }

    fn stretch(start_ns: i64, end_ns: i64, state: &str, waker: Option<i64>) -> Stretch {
        Stretch {
            start_ns,
            end_ns,
            state: state.into(),
            sub_state: String::new(),
            stack: Some(start_ns),
            waker,
        }
    }

    #[test]
    fn a_wait_is_followed_into_what_its_waker_did_and_waited_for() {
        let origin = goroutine(1);
        let wait = Wait {
            origin: &origin,
            layer: "service",
            state: "mutex",
            start_ns: 10,
            end_ns: 50,
            waker: goroutine(2),
        };
        let of_waker = vec![
            stretch(0, 20, "running", None),
            stretch(20, 40, "channel", Some(3)),
            stretch(40, 60, "running", None),
        ];
        let mut reached = Vec::new();
        let further = step(vec![wait], &Stretches::from([(goroutine(2), of_waker)]), &mut reached);
        let times: Vec<(i64, i64)> = reached
            .iter()
            .map(|reached| (reached.start_ns, reached.end_ns))
            .collect();
        assert_eq!(times, [(10, 20), (40, 50)]);
        let [further] = &further[..] else {
            panic!("one wait is left")
        };
        assert_eq!(
            (further.start_ns, further.end_ns, &further.waker),
            (20, 40, &goroutine(3))
        );
        assert_eq!((further.layer, further.state), ("service", "mutex"));
    }

    #[test]
    fn only_what_the_cell_says_is_counted_and_only_within_the_span() {
        let origin = goroutine(1);
        let reached = |start_ns, end_ns, state: &str, trace: &str| Reached {
            origin: &origin,
            layer: "service",
            own_state: "mutex",
            start_ns,
            end_ns,
            goroutine: goroutine(2),
            state: state.into(),
            stack: Some(7),
            trace_id: trace.into(),
        };
        let all = [
            reached(0, 20, "sleep", "a"),
            reached(20, 30, "running", "a"),
            reached(30, 60, "sleep", "b"),
            reached(60, 70, "sleep", "of another operation"),
        ];
        let cell = Cell {
            cause: Cause {
                layer: "service".into(),
                state: "blocked_on_other".into(),
                relation: "interference".into(),
                culprit: Some(cause::Culprit {
                    operation: "POST /audit".into(),
                    layer: "service".into(),
                    state: "sleep".into(),
                }),
            },
            sub_state: "mutex".into(),
            ns: 40,
            at: None,
            by: None,
            ran: None,
        };
        let span = Span {
            service: "shop".into(),
            process: "shop-1".into(),
            goroutine: Some(1),
            start_ns: 10,
            duration_ns: 40,
            root: vec![cell],
            ..Span::default()
        };
        let audit = BTreeSet::from(["POST /audit".to_owned()]);
        let operations = BTreeMap::from([("a".to_owned(), audit.clone()), ("b".to_owned(), audit)]);
        let found = by_cell(&span, &all, &operations);
        let times = |ns| (ns, Times::from([(7, ns)]));
        assert_eq!(
            found,
            BTreeMap::from([(0, BTreeMap::from([("a", times(10)), ("b", times(20))]))])
        );
    }
}
