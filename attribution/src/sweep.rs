//! One pass over a task fills in the cells of all spans that were on it.
//!
//! What a span gets depends on the time alone, so the time of a task is charged once to the accounts of a ledger, piece
//! by piece, whatever the number of spans that share it; when a stretch of a span ends, it asks the ledger for what was charged
//! since it began. A span that was handed over puts together what its stretches got.

use std::collections::HashMap;
use std::hash::Hash;

use crate::ledger::Ledger;
use crate::owner::{BoundSpan, OwnedPiece, OwnedTask};
use crate::self_view::Evidences;
use crate::spans::SpanIndex;

/// What spans with several stretches got of each account so far.
pub(crate) struct HandedOver<K>(HashMap<SpanIndex, HashMap<K, i64>>);

impl<K: Copy + Eq + Hash> HandedOver<K> {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
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

impl Evidences<'_> {
    /// Charges the owned time of `task` with `charge`, and calls `done` for each stretch on it, of a span that yields rows,
    /// that has a length, with what it gets of each account.
    pub(crate) fn sweep<K: Copy + Eq + Hash>(
        &self,
        task: &OwnedTask,
        ledger: &mut Ledger<K>,
        mut charge: impl FnMut(OwnedPiece, &mut Ledger<K>),
        mut done: impl FnMut(SpanIndex, &[(K, i64)]),
    ) {
        let mut ending: Vec<BoundSpan> = self.owners.bound(task).to_vec();
        ending.retain(|bound| self.spans.node(bound.span).emits && !bound.interval.is_empty());
        if ending.is_empty() {
            return;
        }
        ending.sort_unstable_by_key(|bound| bound.interval.end());
        let mut ending = ending.into_iter().peekable();
        let mut charged = Vec::new();
        let mut reached = None;
        for piece in self.owners.pieces(task) {
            if reached != Some(piece.interval.start()) {
                ledger.close();
            }
            charge(*piece, ledger);
            reached = Some(piece.interval.end());
            while let Some(bound) = ending.next_if(|bound| bound.interval.end() == piece.interval.end()) {
                charged.clear();
                ledger.since(bound.interval.start(), &mut charged);
                done(bound.span, &charged);
            }
        }
        ledger.close();
    }
}
