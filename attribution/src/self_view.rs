//! The self view: what the span's own task did.
//!
//! For a span that is on task g at t, the instant t belongs to the cell (layer of g at t, state of g at t). The layer is that of
//! the span that owns g, or of the library in which g stands, if that has no span of its own. All of this depends on g and t
//! alone, so each task is swept once, whatever the number of its spans; a span gets the pieces of its stretches. A span that
//! is not bound is one unknown cell of its own layer.

use std::sync::Arc;

use spandrel_model::{Binding, Cell, Evidence, Interval, Layer, Relation, State, TaskId, UnknownReason, View};

use crate::layering::{LayerNumber, Layering};
use crate::ledger::Ledger;
use crate::owner::{OwnedPiece, Owners};
use crate::spans::{SpanIndex, SpanSet};
use crate::stretches::{Bindings, Stretch};
use crate::sweep::{Asked, HandedOver, Sweeping};
use crate::timeline::{Standing, TaskLine, Timeline};

/// A stretch of a span in which its cell does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The time, never empty.
    pub interval: Interval,
    /// Layer of the span that owned the task, or of the library in which the task stood.
    pub layer: Layer,
    /// State of the task.
    pub state: State,
    /// Finer kind of the state; for [`State::Unknown`], the reason.
    pub sub_state: Arc<str>,
}

/// What the views are made of.
#[derive(Clone, Copy)]
pub(crate) struct Evidences<'a> {
    pub(crate) spans: &'a SpanSet<'a>,
    pub(crate) timeline: &'a Timeline,
    pub(crate) bindings: &'a Bindings,
    pub(crate) owners: &'a Owners,
    pub(crate) layers: &'a Layering,
}

type Account = (LayerNumber, Standing);

impl Evidences<'_> {
    /// The cells of every span that yields rows, by span; no cells for a span without length.
    pub(crate) fn cells(&self) -> Vec<Vec<Cell>> {
        let mut cells = vec![Vec::new(); self.spans.len()];
        let mut sweeping = Sweeping::new();
        let mut handed_over = HandedOver::new();
        for task in self.owners.tasks() {
            let line = task.line.map(|line| &self.timeline.tasks()[line]);
            let charge = |piece: OwnedPiece, ledger: &mut Ledger<Account>| {
                for (interval, account) in self.charges(line, piece) {
                    ledger.charge(account, interval);
                }
            };
            self.sweep(
                task,
                &[],
                &mut sweeping,
                charge,
                |Asked { by: span, .. }, charged| match self.bindings.is_handed_over(span) {
                    true => handed_over.add(span, charged),
                    false => cells[span] = self.sorted_cells(charged),
                },
            );
        }
        for (span, mut charged) in handed_over.totals() {
            cells[span] = self.sorted_cells(&mut charged);
        }
        for (span, cells) in cells.iter_mut().enumerate() {
            let duration_ns = self.spans.interval(span).duration_ns();
            if let (Binding::Unbound(reason), true) = (self.bindings.of(span), duration_ns > 0) {
                cells.push(self.cell((self.layers.of_span(span), Standing::Unknown(reason)), duration_ns));
            }
        }
        cells
    }

    /// The pieces of one span: maximal, in the order of time. They tile the span.
    pub(crate) fn pieces(&self, span: SpanIndex) -> Vec<Piece> {
        let interval = self.spans.interval(span);
        let mut accounts: Vec<(Interval, Account)> = Vec::new();
        match self.bindings.of(span) {
            Binding::Unbound(_) if interval.is_empty() => {}
            Binding::Unbound(reason) => {
                accounts.push((interval, (self.layers.of_span(span), Standing::Unknown(reason))));
            }
            Binding::Bound { .. } => {
                for Stretch { task, interval } in self.bindings.stretches(self.spans, span) {
                    let line = self.timeline.task(task);
                    let owned = self.owned_within(task, interval);
                    accounts.extend(owned.flat_map(|piece| self.charges(line, piece)));
                }
            }
        }
        accounts
            .chunk_by(|left, right| left.1 == right.1)
            .filter_map(|same| {
                let interval = Interval::new(same.first()?.0.start(), same.last()?.0.end())?;
                Some(self.piece(same[0].1, interval))
            })
            .collect()
    }

    /// The owned stretches of `task` in `interval`.
    pub(crate) fn owned_within(&self, task: TaskId, interval: Interval) -> impl Iterator<Item = OwnedPiece> {
        let owned = self.owners.find(task).map_or(&[][..], |task| self.owners.pieces(task));
        let first = owned.partition_point(|piece| piece.interval.end() <= interval.start());
        owned[first..].iter().map_while(move |piece| {
            Some(OwnedPiece {
                interval: piece.interval.intersection(interval)?,
                ..*piece
            })
        })
    }

    fn charges<'a>(
        &'a self,
        line: Option<&'a TaskLine>,
        piece: OwnedPiece,
    ) -> impl Iterator<Item = (Interval, Account)> + use<'a> {
        let tiles = self.timeline.tiles(line, piece.interval);
        tiles.map(move |tile| {
            let layer = self.layers.of_time(piece.span, tile.stack_layer);
            (tile.interval, (layer, tile.standing))
        })
    }

    /// One cell an account, in the order of layer, state and finer kind.
    fn sorted_cells(&self, charged: &mut [(Account, i64)]) -> Vec<Cell> {
        charged.sort_unstable_by(|((layer, standing), _), ((other_layer, other_standing), _)| {
            let place = |layer: &LayerNumber, standing: &Standing| (self.layers.place(*layer), standing.state());
            let by_layer = place(layer, standing).cmp(&place(other_layer, other_standing));
            by_layer.then_with(|| self.sub_state(*standing).cmp(self.sub_state(*other_standing)))
        });
        charged.iter().map(|(account, ns)| self.cell(*account, *ns)).collect()
    }

    fn sub_state(&self, standing: Standing) -> &str {
        match standing {
            Standing::Known(_, sub_state) => self.timeline.name(sub_state),
            Standing::Unknown(reason) => reason.as_str(),
        }
    }

    fn cell(&self, account: Account, ns: i64) -> Cell {
        let (state, sub_state, evidence) = self.words(account.1);
        Cell {
            view: View::SelfView,
            layer: self.layers.layer(account.0).clone(),
            state,
            sub_state,
            relation: Relation::Same,
            culprit: None,
            evidence,
            ns,
        }
    }

    fn piece(&self, account: Account, interval: Interval) -> Piece {
        let (state, sub_state, _) = self.words(account.1);
        Piece {
            interval,
            layer: self.layers.layer(account.0).clone(),
            state,
            sub_state,
        }
    }

    pub(crate) fn words(&self, standing: Standing) -> (State, Arc<str>, Evidence) {
        match standing {
            Standing::Known(state, sub_state) => (state, self.timeline.name(sub_state).clone(), Evidence::Exact),
            Standing::Unknown(reason) => (State::Unknown, reason_word(reason), Evidence::None),
        }
    }
}

/// The word of a reason, shared instead of allocated for each cell.
fn reason_word(reason: UnknownReason) -> Arc<str> {
    use std::sync::LazyLock;
    static WORDS: LazyLock<Vec<(UnknownReason, Arc<str>)>> = LazyLock::new(|| {
        UnknownReason::ALL
            .map(|reason| (reason, Arc::from(reason.as_str())))
            .to_vec()
    });
    WORDS
        .iter()
        .find(|(known, _)| *known == reason)
        .map_or_else(|| Arc::from(reason.as_str()), |(_, word)| word.clone())
}
