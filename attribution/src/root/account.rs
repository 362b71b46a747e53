//! What the end of a chain means to a span: an account that all spans of a task share, and the cell that it is to each.
//!
//! | owner of the last task | | relation | layer | state |
//! |---|---|---|---|---|
//! | a span of the same trace | | same | the owner's, or that of the library in which the task stands | the task's |
//! | none | the nearest waiting task on the chain that has an owner works for the same trace | helper | that owner's, or that of the nearest library in which a task stands | the task's |
//! | none | that one works for another trace | interference | the span's | blocked on other |
//! | a span of another trace | | interference | the span's | blocked on other |
//! | the runtime | | runtime | like helper, or the span's | the task's |
//!
//! Where that is the network, relation same or helper, what a server did may stand in its place
//! ([`remote`](crate::remote)).

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use spandrel_model::{Cell, Culprit, Relation, State, View};

use super::RootView;
use super::classes::Owner;
use super::walk::Whose;
use crate::layering::LayerNumber;
use crate::remote::Instead;
use crate::self_view::Evidences;
use crate::spans::SpanIndex;
use crate::timeline::Standing;

/// Where time goes, whichever span of the task asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Account {
    /// Layer of the span's task, as in the self view.
    pub(super) layer: LayerNumber,
    /// State in which the span's task waits, if the end of the chain is another task.
    pub(super) waiting: Option<State>,
    /// What the task at the end of the chain does.
    pub(super) standing: Standing,
    /// Whose that task is.
    pub(super) whose: Whose,
    /// Layer of the library that the chain ends in, if time at its end has that layer instead of an owner's.
    pub(super) refinement: Option<LayerNumber>,
    /// What stands in the place of a wait for the network that is the trace's own.
    pub(super) instead: Option<Instead>,
}

impl RootView<'_> {
    /// The cells of `span`, each once, in the order of the table.
    pub(super) fn sorted_cells(&self, span: SpanIndex, charged: &[(Account, i64)]) -> Vec<Cell> {
        let cells = charged.iter().map(|(account, ns)| self.cell(span, *account, *ns));
        merged(cells.collect())
    }

    /// What the account is to `span`.
    pub(super) fn cell(&self, span: SpanIndex, account: Account, ns: i64) -> Cell {
        let Evidences { spans, layers, .. } = &self.evidences;
        let trace_id = spans.trace_id(span);
        let of_trace = |owner: &Owner| self.classes.is_of(spans, *owner, trace_id);
        let (relation, owner) = match account.whose {
            Whose::Own => (Relation::Same, None),
            Whose::Span(owner) if of_trace(&owner) => (Relation::Same, Some(owner)),
            Whose::Helper(owner) if owner.as_ref().is_none_or(of_trace) => (Relation::Helper, owner),
            Whose::Runtime(owner) => (Relation::Runtime, owner.filter(of_trace)),
            Whose::Span(owner) | Whose::Helper(Some(owner)) => (Relation::Interference, Some(owner)),
            Whose::Helper(None) => (Relation::Helper, None),
        };
        let of_owner = owner.map(|owner| layers.of_span(self.classes.example(owner)));
        let refinement = (account.refinement).filter(|_| account.whose.owner().as_ref().is_none_or(of_trace));
        let layer = refinement.or(of_owner).unwrap_or(account.layer);
        let (state, sub_state, evidence) = self.evidences.words(account.standing);
        let mut cell = Cell {
            view: View::Root,
            layer: layers.layer(layer).clone(),
            state,
            sub_state,
            relation,
            culprit: None,
            evidence,
            ns,
        };
        if let (Relation::Interference, Some(owner)) = (relation, owner) {
            cell.culprit = Some(self.culprit(owner, layer, state));
            cell.layer = layers.layer(account.layer).clone();
            cell.state = State::BlockedOnOther;
            cell.sub_state = state_word(account.waiting);
        }
        match account.instead {
            Some(instead) if matches!(relation, Relation::Same | Relation::Helper) => self.instead(cell, instead),
            _ => cell,
        }
    }

    /// What `owner`, of another trace, did, shared by the cells that say the same.
    fn culprit(&self, owner: Owner, layer: LayerNumber, state: State) -> Arc<Culprit> {
        let mut culprits = self.culprits.borrow_mut();
        let culprit = culprits.entry((self.classes.operation(owner), layer, state));
        let culprit = culprit.or_insert_with(|| {
            let Evidences { spans, layers, .. } = &self.evidences;
            Arc::new(Culprit {
                operation: spans.span(self.classes.request(owner)).name.clone(),
                layer: layers.layer(layer).clone(),
                state,
            })
        });
        culprit.clone()
    }

    /// What stands in the place of `cell`, a wait for the network.
    pub(super) fn instead(&self, mut cell: Cell, instead: Instead) -> Cell {
        match instead {
            Instead::Remote => cell.sub_state = REMOTE.clone(),
            Instead::InFlight => cell.sub_state = IN_FLIGHT.clone(),
            Instead::Server(number) => {
                cell = Cell {
                    ns: cell.ns,
                    ..self.calls.cell(number).clone()
                };
            }
        }
        cell
    }
}

static REMOTE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("remote"));
static IN_FLIGHT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("in_flight"));

/// The same cells, each once, in the order of the table.
pub(super) fn merged(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.sort_unstable_by(table_order);
    cells.dedup_by(|later, kept| {
        let same = same_but_for_time(later, kept);
        if same {
            kept.ns = kept.ns.saturating_add(later.ns);
        }
        same
    });
    cells
}

/// Whether the two differ in nothing but their time.
pub(super) fn same_but_for_time(left: &Cell, right: &Cell) -> bool {
    table_order(left, right) == Ordering::Equal
}

fn table_order(left: &Cell, right: &Cell) -> Ordering {
    let key = |cell: &Cell| (cell.state, cell.relation);
    (left.layer.cmp(&right.layer))
        .then_with(|| key(left).cmp(&key(right)))
        .then_with(|| left.sub_state.cmp(&right.sub_state))
        .then_with(|| left.culprit.cmp(&right.culprit))
        .then_with(|| left.evidence.cmp(&right.evidence))
}

/// The word of a state, shared instead of allocated for each cell; empty for none.
fn state_word(state: Option<State>) -> Arc<str> {
    static WORDS: LazyLock<Vec<Arc<str>>> =
        LazyLock::new(|| State::ALL.iter().map(|state| Arc::from(state.as_str())).collect());
    static NONE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    state.map_or_else(|| NONE.clone(), |state| WORDS[state.position()].clone())
}
