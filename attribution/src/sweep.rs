//! One pass over a task fills in the cells of all spans bound to it.
//!
//! What a span gets depends on the time alone, so the time of a task is charged once to the accounts of a ledger, piece
//! by piece, whatever the number of spans that share it; when a span ends, it asks the ledger for what was charged since
//! it began.

use std::hash::Hash;

use crate::ledger::Ledger;
use crate::owner::{OwnedPiece, OwnedTask};
use crate::self_view::Evidences;
use crate::spans::SpanIndex;

impl Evidences<'_> {
    /// Charges the owned time of `task` with `charge`, and calls `done` for each of its spans that yields rows and has a
    /// length, with what it gets of each account.
    pub(crate) fn sweep<K: Copy + Eq + Hash>(
        &self,
        task: &OwnedTask,
        ledger: &mut Ledger<K>,
        mut charge: impl FnMut(OwnedPiece, &mut Ledger<K>),
        mut done: impl FnMut(SpanIndex, &[(K, i64)]),
    ) {
        let interval = |span: SpanIndex| self.spans.span(span).interval;
        let mut ending: Vec<SpanIndex> = self.owners.bound(task).to_vec();
        ending.retain(|span| self.spans.node(*span).emits && !interval(*span).is_empty());
        if ending.is_empty() {
            return;
        }
        ending.sort_unstable_by_key(|span| interval(*span).end());
        let mut ending = ending.into_iter().peekable();
        let mut charged = Vec::new();
        let mut reached = None;
        for piece in self.owners.pieces(task) {
            if reached != Some(piece.interval.start()) {
                ledger.close();
            }
            charge(*piece, ledger);
            reached = Some(piece.interval.end());
            while let Some(span) = ending.next_if(|span| interval(*span).end() == piece.interval.end()) {
                charged.clear();
                ledger.since(interval(span).start(), &mut charged);
                done(span, &charged);
            }
        }
        ledger.close();
    }
}
