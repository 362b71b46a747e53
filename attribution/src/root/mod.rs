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
//! `classes` and `account` say what that means to a span, `unbound` what there is to say of a span without a task,
//! `call_waits` when a call waited for its answer, and this module gives the time out.

mod account;
mod call_waits;
mod classes;
mod summary;
mod unbound;
mod walk;

use std::cell::RefCell;
use std::sync::Arc;

use foldhash::HashMap;
use spandrel_model::{Cell, Culprit, Interval, State, TaskId, TraceId, UnixNanos};

use self::account::{Account, same_but_for_time};
pub(crate) use self::classes::OwnerClasses;
use self::unbound::Leaf;
pub use self::walk::WalkCounts;
use self::walk::{Reached, Walker, Whose};
use crate::layering::LayerNumber;
use crate::ledger::Ledger;
use crate::owner::{BoundSpan, OwnedPiece};
use crate::remote::{CallId, Calls};
use crate::self_view::Evidences;
use crate::spans::SpanIndex;
use crate::sweep::{Asked, HandedOver, Sweeping};
use crate::timeline::Standing;

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
    /// Task whose doing it was, in the span's process; `None` where no task is known.
    pub task: Option<TaskId>,
    /// Steps from the task that the span was on to that one, along wakes and creations.
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
    pub(crate) calls: &'a Calls,
    pub(crate) chain_limit: u32,
    pub(crate) culprits: Culprits,
}

/// Culprits by operation (see [`OwnerClasses`]), layer and state.
pub(crate) type Culprits = RefCell<HashMap<(usize, LayerNumber, State), Arc<Culprit>>>;

impl RootView<'_> {
    /// The cells of every span that yields rows, by span; no cells for a span without length.
    pub(crate) fn cells(&self) -> (Vec<Vec<Cell>>, WalkCounts) {
        let Evidences {
            spans,
            owners,
            bindings,
            ..
        } = self.evidences;
        let mut cells = vec![Vec::new(); spans.len()];
        let parts_on_tasks = self.parts_on_tasks();
        // By span without a task: what spans on tasks give it of which only a part counts.
        let mut partial: HashMap<SpanIndex, Vec<Cell>> = HashMap::default();
        let mut walker = self.walker();
        let mut sweeping = Sweeping::new();
        let mut handed_over = HandedOver::new();
        for task in owners.tasks() {
            let mut stays = self.stays(owners.bound(task)).into_iter().peekable();
            let charge = |piece: OwnedPiece, ledger: &mut Ledger<Account>| {
                while let Some(stay) = stays.next_if(|stay| stay.start <= piece.interval.start()) {
                    walker.sum_for(stay.trace);
                }
                let mut each = |reached: Reached| {
                    self.each_account(piece.span, &reached, &mut |account, interval, ns| {
                        ledger.charge_part(account, interval.end(), ns);
                    });
                };
                walker.walk(task.task, piece, &mut each);
            };
            let done = |Asked { bound, by }: Asked, charged: &mut [(Account, i64)]| match bound.span {
                span if span != by => partial.entry(by).or_default().extend(self.sorted_cells(span, charged)),
                span if bindings.is_handed_over(span) => handed_over.add(span, charged),
                span => cells[span] = self.sorted_cells(span, charged),
            };
            let others = parts_on_tasks.get(&task.task).map_or(&[][..], Vec::as_slice);
            self.evidences.sweep(task, others, &mut sweeping, charge, done);
            if sweeping.ledger.len() > ACCOUNTS_KEPT {
                sweeping = Sweeping::new();
            }
        }
        for (span, charged) in handed_over.totals() {
            cells[span] = self.sorted_cells(span, &charged);
        }
        let mut counts = walker.counts;
        self.add_unbound(&mut cells, partial, &mut counts);
        (cells, counts)
    }

    /// The pieces of one span: maximal, in the order of time. They tile the span.
    pub(crate) fn pieces(&self, span: SpanIndex) -> Vec<RootPiece> {
        let interval = self.evidences.spans.interval(span);
        let mut pieces: Vec<RootPiece> = Vec::new();
        self.each_piece(span, interval, &mut |piece| match pieces.last_mut() {
            Some(last) if last.continues_in(&piece) => last.extend_to(&piece),
            _ => pieces.push(piece),
        });
        pieces
    }

    /// Calls `each` for the pieces of `span` in `part` of it, in the order of time, tiling `part`. They may be cut.
    pub(crate) fn each_piece(&self, span: SpanIndex, part: Interval, each: &mut impl FnMut(RootPiece)) {
        let mut walker = self.walker();
        let mut leaves = self.leaves(span, part);
        while let Some((interval, leaf)) = leaves.next() {
            match leaf {
                Leaf::Child(child) => leaves.enter(child, interval),
                Leaf::OnTask(span, task) => self.each_piece_on_task(span, task, interval, &mut walker, each),
                Leaf::Own(span, reason, instead) => each(RootPiece {
                    interval,
                    cell: self.own(span, reason, instead, interval.duration_ns()),
                    task: None,
                    depth: 0,
                }),
            }
        }
    }

    fn each_piece_on_task(
        &self,
        span: SpanIndex,
        task: TaskId,
        part: Interval,
        walker: &mut Walker<'_>,
        each: &mut impl FnMut(RootPiece),
    ) {
        for owned in self.evidences.owned_within(task, part) {
            walker.walk(task, owned, &mut |reached: Reached| {
                self.each_account(owned.span, &reached, &mut |account, interval, ns| {
                    each(RootPiece {
                        interval,
                        cell: self.cell(span, account, ns),
                        task: Some(reached.task),
                        depth: reached.depth,
                    });
                });
            });
        }
    }

    fn walker(&self) -> Walker<'_> {
        Walker::new(self.evidences, self.classes, self.calls, self.chain_limit)
    }

    /// Calls `each` for the accounts of the end of a chain: one, unless it waits for a server that is known. `waiting` is the
    /// owner of the first task of the chain.
    fn each_account(&self, waiting: SpanIndex, reached: &Reached, each: &mut impl FnMut(Account, Interval, i64)) {
        let layers = self.evidences.layers;
        let account = Account {
            layer: layers.of_time(waiting, reached.first_layer),
            waiting: reached.waiting,
            standing: reached.standing,
            whose: reached.whose,
            refinement: match reached.whose {
                Whose::Own => None,
                Whose::Span(_) | Whose::Helper(Some(_)) | Whose::Runtime(Some(_)) => reached.refinement,
                Whose::Helper(None) | Whose::Runtime(None) => layers.refinement(waiting, reached.refinement),
            },
            instead: None,
        };
        let Some(call) = self.call(waiting, reached) else {
            return each(account, reached.interval, reached.ns);
        };
        if reached.ns != reached.interval.duration_ns() {
            // Summed up, which the walker does only where what stands instead does not depend on the time.
            let instead = self.calls.outside(call);
            return each(Account { instead, ..account }, reached.interval, reached.ns);
        }
        self.calls.split(call, reached.interval, &mut |part, instead| {
            each(Account { instead, ..account }, part, part.duration_ns());
        });
    }

    /// The call whose answer the end of a chain waits for.
    fn call(&self, waiting: SpanIndex, reached: &Reached) -> Option<CallId> {
        let Standing::Known(State::Network, sub_state) = reached.standing else {
            return None;
        };
        let call = self.calls.of_span(match reached.whose {
            Whose::Own | Whose::Helper(None) => waiting,
            Whose::Span(owner) | Whose::Helper(Some(owner)) => self.classes.caller(owner)?,
            Whose::Runtime(_) => return None,
        });
        call.filter(|_| Calls::may_be_answer(self.evidences.timeline.name(sub_state)))
    }

    /// The stays of spans on their task, from the stretches on it.
    fn stays(&self, bound: &[BoundSpan]) -> Vec<Stay> {
        let mut bound = bound.to_vec();
        bound.sort_by_key(|bound| bound.interval.start());
        let mut stays: Vec<Stay> = Vec::new();
        for BoundSpan { span, interval } in bound {
            let trace_id = self.evidences.spans.trace_id(span);
            match stays.last_mut() {
                Some(stay) if interval.start() <= stay.end => {
                    stay.end = stay.end.max(interval.end());
                    stay.trace = stay.trace.filter(|trace| *trace == trace_id);
                }
                _ => stays.push(Stay {
                    start: interval.start(),
                    end: interval.end(),
                    trace: Some(trace_id),
                }),
            }
        }
        stays
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
