//! Where in the code the cells of spans were spent.
//!
//! A cell of the self view is the time in which the span's goroutine was in a state while a span of a layer owned it. The
//! same time, by the stacks at which the goroutine entered those states, says where: the owner at each instant is the span
//! of the trace on that goroutine that started last. A stack is told by one of its frames ([`telling`]).

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::answers::Value;
use super::super::site::{Frame, telling};
use super::super::{Tables, other_types};
use super::culprits;
use super::states::{self, Goroutine, RECORDING_NS_MAX, STATES_MAX, Stretch, Stretches};
use super::{Cell, Explained, Place, Span};
use crate::report::number::grouped;

/// Frames of a stack that are looked at.
const FRAMES_MAX: usize = 64;
/// Most stacks that are looked up, those with the most time.
const STACKS_MAX: usize = 2_000;
/// Most goroutines of a trace whose states are looked at.
const GOROUTINES_MAX: usize = 2_000;

/// Layer, state and sub-state: what makes a cell of the self view.
pub(super) type Key<'a> = (&'a str, &'a str, &'a str);

/// Time by stack.
pub(super) type Times = BTreeMap<i64, i64>;

/// Adds places to the cells.
///
/// # Errors
/// The tables cannot be read.
pub(super) async fn locate(tables: &Tables<'_>, explained: &mut Explained) -> anyhow::Result<()> {
    let spans = &mut explained.spans;
    let goroutines: BTreeSet<Goroutine> = spans.iter().filter_map(Span::bound_to).collect();
    let from_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    let to_ns = spans.iter().map(Span::end_ns).max().unwrap_or(0);
    let stretches = states::load(tables, goroutines.iter().take(GOROUTINES_MAX), (from_ns, to_ns)).await?;
    let Some(stretches) = stretches else {
        explained.notes.push(format!(
            "places in the code are left out: the goroutines of the trace have more than {} states",
            grouped(STATES_MAX as u64)
        ));
        return Ok(());
    };
    let places = {
        let pieces = pieces_of(spans, &stretches);
        let by_span = by_span(spans, &pieces);
        let mut times = Times::new();
        for (stack, ns) in by_span.iter().flat_map(BTreeMap::values).flatten() {
            *times.entry(*stack).or_default() += ns;
        }
        let frames = telling_frames(tables, times, (from_ns, to_ns)).await?;
        let of_cells = |(span, cells): (&Span, &BTreeMap<Key<'_>, Times>)| -> Vec<Option<Place>> {
            let place = |cell: &Cell| cells.get(&cell.key()).and_then(|times| place(times, &frames));
            span.self_cells.iter().map(place).collect()
        };
        spans.iter().zip(&by_span).map(of_cells).collect::<Vec<_>>()
    };
    for (span, places) in spans.iter_mut().zip(places) {
        span.set_places(places);
    }
    let unnamed = spans.clone();
    culprits::name(tables, spans, &pieces_of(&unnamed, &stretches), &explained.trace_id).await
}

/// The pieces of each goroutine, by time.
fn pieces_of<'a>(spans: &'a [Span], stretches: &'a Stretches) -> BTreeMap<&'a Goroutine, Vec<Piece<'a>>> {
    stretches
        .iter()
        .map(|(goroutine, stretches)| (goroutine, pieces(stretches, &owners(spans, goroutine))))
        .collect()
}

/// Of each span the time in each cell of its self view, by stack.
fn by_span<'a>(spans: &[Span], pieces: &BTreeMap<&Goroutine, Vec<Piece<'a>>>) -> Vec<BTreeMap<Key<'a>, Times>> {
    let of_span = |span: &Span| {
        let goroutine = span.bound_to();
        let pieces = goroutine.and_then(|goroutine| pieces.get(&goroutine));
        pieces.map_or_else(BTreeMap::new, |pieces| cells(pieces, span))
    };
    spans.iter().map(of_span).collect()
}

/// When a layer owns a goroutine: `[start_ns, end_ns)`.
struct Owner<'a> {
    start_ns: i64,
    end_ns: i64,
    layer: &'a str,
}

/// The layers of the spans on a goroutine, of several the one that started last; by time.
fn owners<'a>(spans: &'a [Span], goroutine: &Goroutine) -> Vec<Owner<'a>> {
    let bound: Vec<&Span> = spans
        .iter()
        .filter(|span| span.bound_to().as_ref() == Some(goroutine))
        .collect();
    let mut edges: Vec<(i64, bool, usize)> = Vec::with_capacity(2 * bound.len());
    for (at, span) in bound.iter().enumerate() {
        edges.push((span.start_ns, true, at));
        edges.push((span.end_ns(), false, at));
    }
    edges.sort_unstable();
    let mut open: BTreeSet<(i64, usize, &str, usize)> = BTreeSet::new();
    let mut owners: Vec<Owner<'_>> = Vec::new();
    let mut since_ns = 0;
    for (edge_ns, is_start, at) in edges {
        if let Some((.., last)) = open.last().filter(|_| since_ns < edge_ns) {
            let last: &Span = bound[*last];
            owners.push(Owner {
                start_ns: since_ns,
                end_ns: edge_ns,
                layer: &last.layer,
            });
        }
        since_ns = edge_ns;
        let key = (bound[at].start_ns, bound[at].depth, bound[at].span_id.as_str(), at);
        if is_start {
            open.insert(key);
        } else {
            open.remove(&key);
        }
    }
    owners
}

/// A stretch of a goroutine with one owner.
pub(super) struct Piece<'a> {
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    pub(super) key: Key<'a>,
    stack: Option<i64>,
    pub(super) waker: Option<i64>,
}

/// What owners and stretches, both by time, have in common.
fn pieces<'a>(stretches: &'a [Stretch], owners: &[Owner<'a>]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for owner in owners {
        let first = stretches.partition_point(|stretch| stretch.end_ns <= owner.start_ns);
        let inside = stretches[first..]
            .iter()
            .take_while(|stretch| stretch.start_ns < owner.end_ns);
        pieces.extend(inside.map(|stretch| Piece {
            start_ns: stretch.start_ns.max(owner.start_ns),
            end_ns: stretch.end_ns.min(owner.end_ns),
            key: (owner.layer, &stretch.state, &stretch.sub_state),
            stack: stretch.stack,
            waker: stretch.waker,
        }));
    }
    pieces
}

fn cells<'a>(pieces: &[Piece<'a>], span: &Span) -> BTreeMap<Key<'a>, Times> {
    let mut cells: BTreeMap<Key<'_>, Times> = BTreeMap::new();
    let first = pieces.partition_point(|piece| piece.end_ns <= span.start_ns);
    let inside = pieces[first..]
        .iter()
        .take_while(|piece| piece.start_ns < span.end_ns());
    for (piece, stack) in inside.filter_map(|piece| Some((piece, piece.stack?))) {
        let ns = piece.end_ns.min(span.end_ns()) - piece.start_ns.max(span.start_ns);
        *cells.entry(piece.key).or_default().entry(stack).or_default() += ns;
    }
    cells
}

/// The frames that tell of the stacks with the most time, in recordings of a time.
pub(super) async fn telling_frames(
    tables: &Tables<'_>,
    times: Times,
    (from_ns, to_ns): (i64, i64),
) -> anyhow::Result<BTreeMap<i64, Frame>> {
    let mut stacks: Vec<(i64, i64)> = times.into_iter().collect();
    stacks.sort_unstable_by_key(|(stack, ns)| (std::cmp::Reverse(*ns), *stack));
    stacks.truncate(STACKS_MAX);
    if stacks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<String> = stacks.iter().map(|(stack, _)| stack.to_string()).collect();
    let sql = format!(
        "SELECT s.stack_id, i, s.frames[i]['function'], s.frames[i]['file'], s.frames[i]['line'] FROM          (SELECT stack_id, frames, unnest(range(1, CAST(least(cardinality(frames), {FRAMES_MAX}) AS BIGINT) + 1)) AS i          FROM stacks WHERE stack_id IN ({}) AND recording_start_ns >= {} AND recording_start_ns < {to_ns}) AS s          GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2",
        ids.join(", "),
        from_ns.saturating_sub(RECORDING_NS_MAX)
    );
    let mut frames: BTreeMap<i64, Vec<Frame>> = BTreeMap::new();
    for row in tables.rows(&sql).await? {
        let [
            Value::Int(stack),
            Value::Int(_),
            Value::Text(function),
            Value::Text(file),
            Value::Int(line),
        ] = row.as_slice()
        else {
            return Err(other_types());
        };
        frames.entry(*stack).or_default().push(Frame {
            function: function.clone(),
            file: file.clone(),
            line: *line,
        });
    }
    let told = |(stack, frames): (i64, Vec<Frame>)| Some((stack, telling(&frames)?.clone()));
    Ok(frames.into_iter().filter_map(told).collect())
}

/// The frame with the most time.
pub(super) fn place(times: &Times, frames: &BTreeMap<i64, Frame>) -> Option<Place> {
    let mut by_frame: BTreeMap<&Frame, i64> = BTreeMap::new();
    for (stack, ns) in times {
        *by_frame.entry(frames.get(stack)?).or_default() += ns;
    }
    let (frame, ns) = by_frame.into_iter().max_by_key(|(_, ns)| *ns)?;
    Some(Place {
        frame: frame.clone(),
        ns,
    })
}

impl Span {
    pub(super) fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns)
    }

    pub(super) fn bound_to(&self) -> Option<Goroutine> {
        Some(Goroutine {
            service: self.service.clone(),
            process: self.process.clone(),
            id: self.goroutine?,
        })
    }

    /// A cell of the root view is at the same place if it is the same time. Of a span that another goroutine went on with, more
    /// may be found on the first one than the cell has: then nothing is said.
    fn set_places(&mut self, places: Vec<Option<Place>>) {
        for (cell, place) in self.self_cells.iter_mut().zip(places) {
            cell.at = place.filter(|place| place.ns <= cell.ns);
        }
        for cell in &mut self.root {
            let same = self
                .self_cells
                .iter()
                .find(|own| (&own.cause, &own.sub_state, own.ns) == (&cell.cause, &cell.sub_state, cell.ns));
            cell.at = same.and_then(|own| own.at.clone());
        }
    }
}

impl Cell {
    fn key(&self) -> Key<'_> {
        (&self.cause.layer, &self.cause.state, &self.sub_state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(layer: &str, start_ns: i64, end_ns: i64) -> Span {
        Span {
            span_id: layer.into(),
            layer: layer.into(),
            start_ns,
            duration_ns: end_ns - start_ns,
            goroutine: Some(1),
            ..Span::default()
        }
    }

    fn stretch(start_ns: i64, end_ns: i64, stack: i64) -> Stretch {
        Stretch {
            start_ns,
            end_ns,
            state: "network".into(),
            sub_state: "read".into(),
            stack: Some(stack),
            waker: None,
        }
    }

    #[test]
    fn time_belongs_to_the_layer_of_the_innermost_span_at_that_time() {
        let spans = [span("handler", 0, 100), span("db", 20, 60), span("cache", 30, 40)];
        let goroutine = spans[0].bound_to().unwrap();
        let stretches = Stretches::from([(goroutine, vec![stretch(10, 35, 7), stretch(35, 90, 8)])]);
        let found = by_span(&spans, &pieces_of(&spans, &stretches));
        let cell = |span: usize, layer| {
            found[span]
                .get(&(layer, "network", "read"))
                .cloned()
                .unwrap_or_default()
        };
        assert_eq!(cell(0, "handler"), Times::from([(7, 10), (8, 30)]));
        assert_eq!(cell(0, "db"), Times::from([(7, 10), (8, 20)]));
        assert_eq!(cell(0, "cache"), Times::from([(7, 5), (8, 5)]));
        assert_eq!(cell(1, "db"), cell(0, "db"));
        assert_eq!(cell(2, "cache"), Times::from([(7, 5), (8, 5)]));
        assert_eq!(cell(2, "db"), Times::new());
    }

    #[test]
    fn the_place_is_the_frame_with_the_most_time_over_all_stacks() {
        let frame = |function: &str| Frame {
            function: function.into(),
            file: "main.go".into(),
            line: 1,
        };
        let frames = [(7, frame("main.a")), (8, frame("main.b")), (9, frame("main.a"))].into();
        let found = place(&Times::from([(7, 3), (8, 5), (9, 4)]), &frames).unwrap();
        assert_eq!((found.frame, found.ns), (frame("main.a"), 7));
        assert_eq!(place(&Times::new(), &frames), None);
    }
}
