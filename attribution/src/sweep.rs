//! One pass over a task fills in the cells of all spans that were on it.
//!
//! What a span gets depends on the time alone, so the time of a task is charged once to the accounts of a ledger, piece
//! by piece, whatever the number of spans that share it; when a stretch of a span ends, it asks the ledger for what was charged
//! since it began. A span that was handed over puts together what its stretches got.

use std::hash::Hash;

use foldhash::HashMap;
use spandrel_model::{Interval, UnixNanos};

use crate::ledger::Ledger;
use crate::owner::{BoundSpan, OwnedPiece, OwnedTask};
use crate::self_view::Evidences;
use crate::spans::SpanIndex;

/// What spans with several stretches got of each account so far.
pub(crate) struct HandedOver<K>(HashMap<SpanIndex, HashMap<K, i64>>);

impl<K: Copy + Eq + Hash> HandedOver<K> {
    pub(crate) fn new() -> Self {
        Self(HashMap::default())
    }

    /// Adds what one stretch of `span` got.
    pub(crate) fn add(&mut self, span: SpanIndex, charged: &[(K, i64)]) {
        let totals = self.0.entry(span).or_default();
        for (account, ns) in charged {
            let total = totals.entry(*account).or_default();
            *total = total.saturating_add(*ns);
        }
    }

    /// The spans, with what all their stretches got.
    pub(crate) fn totals(self) -> impl Iterator<Item = (SpanIndex, Vec<(K, i64)>)> {
        (self.0.into_iter()).map(|(span, totals)| (span, totals.into_iter().collect()))
    }
}

/// A stretch of a task asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The span that was on the task, at least for all of the interval.
    pub(crate) bound: BoundSpan,
    /// The span whose view it is a part of: the same, or one around it.
    pub(crate) by: SpanIndex,
}

/// What sweeping one task after the other needs, kept because tasks are many and short.
pub(crate) struct Sweeping<K> {
    pub(crate) ledger: Ledger<K>,
    ending: Vec<Asked>,
    charged: Vec<(K, i64)>,
}

impl<K: Copy + Eq + Hash> Sweeping<K> {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Ledger::new(),
            ending: Vec::new(),
            charged: Vec::new(),
        }
    }
}

impl Evidences<'_> {
    /// Charges the owned time of `task` with `charge`, and calls `done` with what a stretch on it gets of each account: for
    /// those of spans that yield rows, and for `others`, as far as they have a length. The time is cut where `others` begin
    /// and end.
    pub(crate) fn sweep<K: Copy + Eq + Hash>(
        &self,
        task: &OwnedTask,
        others: &[Asked],
        sweeping: &mut Sweeping<K>,
        mut charge: impl FnMut(OwnedPiece, &mut Ledger<K>),
        mut done: impl FnMut(Asked, &mut [(K, i64)]),
    ) {
        let Sweeping {
            ledger,
            ending,
            charged,
        } = sweeping;
        let of_span = |bound: &BoundSpan| Asked {
            bound: *bound,
            by: bound.span,
        };
        let yielding = self.owners.bound(task).iter().map(of_span);
        let yielding = yielding.filter(|asked| self.spans.emits(asked.by));
        let asked = yielding.chain(others.iter().copied());
        ending.clear();
        ending.extend(asked.filter(|asked| !asked.bound.interval.is_empty()));
        if ending.is_empty() {
            return;
        }
        ending.sort_unstable_by_key(|asked| asked.bound.interval.end());
        let mut ending = ending.iter().copied().peekable();
        let mut reached = None;
        for piece in cut(self.owners.pieces(task), others) {
            if reached != Some(piece.interval.start()) {
                ledger.close();
            }
            charge(piece, ledger);
            reached = Some(piece.interval.end());
            while let Some(asked) = ending.next_if(|asked| asked.bound.interval.end() == piece.interval.end()) {
                charged.clear();
                ledger.since(asked.bound.interval.start(), charged);
                done(asked, charged);
            }
        }
        ledger.close();
    }
}

/// The pieces, cut where stretches of `asked` begin and end.
fn cut(pieces: &[OwnedPiece], asked: &[Asked]) -> impl Iterator<Item = OwnedPiece> {
    let borders = asked.iter().map(|asked| asked.bound.interval);
    let mut borders: Vec<UnixNanos> = borders.flat_map(|part| [part.start(), part.end()]).collect();
    borders.sort_unstable();
    let mut borders = borders.into_iter().peekable();
    let mut pieces = pieces.iter().copied();
    let mut rest: Option<OwnedPiece> = None;
    std::iter::from_fn(move || {
        let piece = rest.take().or_else(|| pieces.next())?;
        let (start, end) = (piece.interval.start(), piece.interval.end());
        while borders.next_if(|border| *border <= start).is_some() {}
        let at = borders.peek().map_or(end, |border| end.min(*border));
        let part = |start, end| Interval::new(start, end).map(|interval| OwnedPiece { interval, ..piece });
        rest = part(at, end).filter(|rest| !rest.interval.is_empty());
        part(start, at)
    })
}
