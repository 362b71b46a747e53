//! The root view: what the span's task was really waiting for.
//!
//! A wait is whatever the task that ended it was doing meanwhile; if that one was itself waiting for a task, whatever
//! that one was doing, and so on; before a task existed, whatever its creator was doing. The walk never leaves the time
//! of the wait, so it does not stray into what the waker did before anybody waited for it.
//!
//! ```text
//! g1    |run |waitgroup, ended by g2           |run    span GET
//! g2       |run |mutex, ended by g3 |run       |dead   span render, of the same trace
//! g3    |run                        |sleep             span PUT, of another trace
//! root  |g1  |g2|g3                 |g2        |g1
//! ```
//!
//! `walk` finds who is at the end of the chain at each instant, `summary` does so at once for long stretches of a task,
//! `classes` and `account` say what that means to a span, and this module gives the time out.

mod account;
mod classes;
mod summary;
mod walk;

use spandrel_model::{Binding, Cell, Interval, TaskId, TraceId, UnixNanos, UnknownReason};

use self::account::{Account, same_but_for_time};
pub(crate) use self::classes::OwnerClasses;
pub use self::walk::WalkCounts;
use self::walk::{Reached, Walker, Whose};
use crate::ledger::Ledger;
use crate::owner::OwnedPiece;
use crate::self_view::Evidences;
use crate::spans::SpanIndex;

/// A ledger that has seen many other traces is not worth keeping for the next task.
const ACCOUNTS_KEPT: usize = 1_024;

/// A stretch of a span in which its root cell, the task at the end of the chain and the length of the chain stay the
/// same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPiece {
    /// The time, never empty.
    pub interval: Interval,
    /// What the time is given to; [`Cell::ns`] is the length of the interval.
    pub cell: Cell,
    /// Task whose doing it was; `None` if the span is not bound.
    pub task: Option<TaskId>,
    /// Steps from the span's own task to that one, along wakes and creations.
    pub depth: u32,
}

/// A time without a gap in which spans are open on a task. A goroutine that serves one request after the other has one
/// for each.
struct Stay {
    start: UnixNanos,
    end: UnixNanos,
    /// Trace of the spans, if they have one in common.
    trace: Option<TraceId>,
}

/// What the root view is made of, beside what the self view is.
pub(crate) struct RootView<'a> {
    pub(crate) evidences: Evidences<'a>,
    pub(crate) classes: &'a OwnerClasses,
    pub(crate) chain_limit: u32,
}

impl RootView<'_> {
    /// The cells of every span that yields rows, by span; no cells for a span without length.
    pub(crate) fn cells(&self) -> (Vec<Vec<Cell>>, WalkCounts) {
        let Evidences { spans, owners, .. } = self.evidences;
        let mut cells = vec![Vec::new(); spans.len()];
        let mut walker = self.walker();
        let mut ledger = Ledger::new();
        for task in owners.tasks() {
            let mut stays = self.stays(owners.bound(task)).into_iter().peekable();
            let charge = |piece: OwnedPiece, ledger: &mut Ledger<Account>| {
                while let Some(stay) = stays.next_if(|stay| stay.start <= piece.interval.start()) {
                    walker.sum_for(stay.trace);
                }
                let mut each = |reached: Reached| {
                    let account = self.account(piece.span, &reached);
                    ledger.charge_part(account, reached.interval.end(), reached.ns);
                };
                walker.walk(task.task, piece.interval, &mut each);
            };
            let done = |span: SpanIndex, charged: &[(Account, i64)]| cells[span] = self.sorted_cells(span, charged);
            self.evidences.sweep(task, &mut ledger, charge, done);
            if ledger.len() > ACCOUNTS_KEPT {
                ledger = Ledger::new();
            }
        }
        for (span, cells) in cells.iter_mut().enumerate() {
            let duration_ns = spans.span(span).interval.duration_ns();
            if let (Binding::Unbound(reason), true) = (self.evidences.bindings[span], duration_ns > 0) {
                cells.push(self.cell(span, self.unbound(span, reason), duration_ns));
            }
        }
        (cells, walker.counts)
    }

    /// The pieces of one span: maximal, in the order of time. They tile the span.
    pub(crate) fn pieces(&self, span: SpanIndex) -> Vec<RootPiece> {
        let interval = self.evidences.spans.span(span).interval;
        let mut pieces: Vec<RootPiece> = Vec::new();
        let mut add = |interval: Interval, account: Account, task: Option<TaskId>, depth: u32| {
            let piece = RootPiece {
                interval,
                cell: self.cell(span, account, interval.duration_ns()),
                task,
                depth,
            };
            match pieces.last_mut() {
                Some(last) if last.continues_in(&piece) => last.extend_to(&piece),
                _ => pieces.push(piece),
            }
        };
        match self.evidences.bindings[span] {
            Binding::Unbound(_) if interval.is_empty() => {}
            Binding::Unbound(reason) => add(interval, self.unbound(span, reason), None, 0),
            Binding::Bound { task, .. } => {
                let mut walker = self.walker();
                for owned in self.evidences.owned_within(task, interval) {
                    walker.walk(task, owned.interval, &mut |reached: Reached| {
                        let account = self.account(owned.span, &reached);
                        add(reached.interval, account, Some(reached.task), reached.depth);
                    });
                }
            }
        }
        pieces
    }

    fn walker(&self) -> Walker<'_> {
        Walker::new(self.evidences, self.classes, self.chain_limit)
    }

    /// `waiting` is the owner of the first task of the chain.
    fn account(&self, waiting: SpanIndex, reached: &Reached) -> Account {
        let layers = self.evidences.layers;
        Account {
            layer: layers.of_time(waiting, reached.first_layer),
            waiting: reached.waiting,
            standing: reached.standing,
            whose: reached.whose,
            refinement: match reached.whose {
                Whose::Own => None,
                Whose::Span(_) | Whose::Helper(Some(_)) | Whose::Runtime(Some(_)) => reached.refinement,
                Whose::Helper(None) | Whose::Runtime(None) => layers.refinement(waiting, reached.refinement),
            },
        }
    }

    /// The stays of the spans on their task, which come in the order of their start.
    fn stays(&self, spans: &[SpanIndex]) -> Vec<Stay> {
        let mut stays: Vec<Stay> = Vec::new();
        for span in spans.iter().map(|span| self.evidences.spans.span(*span)) {
            match stays.last_mut() {
                Some(stay) if span.interval.start() <= stay.end => {
                    stay.end = stay.end.max(span.interval.end());
                    stay.trace = stay.trace.filter(|trace| *trace == span.trace_id);
                }
                _ => stays.push(Stay {
                    start: span.interval.start(),
                    end: span.interval.end(),
                    trace: Some(span.trace_id),
                }),
            }
        }
        stays
    }

    fn unbound(&self, span: SpanIndex, reason: UnknownReason) -> Account {
        Account::unknown(self.evidences.layers.of_span(span), reason)
    }
}

impl RootPiece {
    fn continues_in(&self, next: &Self) -> bool {
        self.interval.end() == next.interval.start()
            && (self.task, self.depth) == (next.task, next.depth)
            && same_but_for_time(&self.cell, &next.cell)
    }

    fn extend_to(&mut self, next: &Self) {
        if let Some(whole) = Interval::new(self.interval.start(), next.interval.end()) {
            self.interval = whole;
            self.cell.ns = whole.duration_ns();
        }
    }
}
