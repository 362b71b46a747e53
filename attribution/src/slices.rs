//! Known states of tasks, laid end to end.
//!
//! Decoders tell each state once, but a recording ends in the middle of states, and the next one begins there:
//!
//! ```text
//! first recording   |run |mutex, not ended |
//! second recording                         |mutex or other, woken by g7 |run |
//! slices            |run |mutex, woken by g7                            |run |
//! ```

use spandrel_model::{Interval, NameId, State, TaskId, UnixNanos};

use crate::stack_layers::Place;
use crate::timeline::LineIndex;

/// Position of a wake among those of a timeline. Half as wide as a position is, since there are many.
pub(crate) type WakeId = u32;

/// One known state of one task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateSlice {
    pub(crate) task: TaskId,
    pub(crate) interval: Interval,
    pub(crate) state: State,
    pub(crate) sub_state: NameId,
    /// Where the task stands in it.
    pub(crate) place: Place,
    pub(crate) ending: Ending,
}

/// What ended a state, as far as waits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is not a wait, or nothing is known to have ended it.
    Open,
    /// The network poller or a timer.
    External,
    /// A task.
    Wake(WakeId),
}

impl Ending {
    pub(crate) fn wake(self) -> Option<WakeId> {
        match self {
            Self::Wake(wake) => Some(wake),
            Self::Open | Self::External => None,
        }
    }
}

/// A task ended the wait of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wake {
    /// Who did.
    pub(crate) waker: TaskId,
    /// When.
    pub(crate) at: UnixNanos,
    /// Where the waker's states are; `None` if no recording saw it.
    pub(crate) position: Option<Position>,
}

/// Where the states of a task are around an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    /// The task.
    pub(crate) line: LineIndex,
    /// Position of the first of its slices that ends after the instant, or of the end of all.
    pub(crate) slice: usize,
}

/// Cuts back slices of a task that begin before the previous one ends. Decoders do not make such; that an instant has
/// one state must not depend on it.
pub(crate) fn drop_overlap(slices: &mut Vec<StateSlice>) {
    let mut previous: Option<(TaskId, UnixNanos)> = None;
    slices.retain_mut(|slice| {
        if let Some((task, end)) = previous
            && task == slice.task
            && slice.interval.start() < end
        {
            match Interval::new(end, slice.interval.end()) {
                Some(rest) if !rest.is_empty() => slice.interval = rest,
                _ => return false,
            }
        }
        previous = Some((slice.task, slice.interval.end()));
        true
    });
}

/// Finds where tasks stand that get ready to run, or go on waiting in the next recording: a task that does not run stands
/// where it stood.
///
/// ```text
/// state     |running |network     |runnable |running |
/// stack     |        |db driver   |         |        |
/// place     |?       |db          |db       |?       |
/// ```
pub(crate) fn stand_still(slices: &mut [StateSlice]) {
    let runs = |state| matches!(state, State::Running | State::GcAssist | State::GcSweep);
    for index in 1..slices.len() {
        let [before, slice] = [slices[index - 1], slices[index]];
        let touching = before.task == slice.task && before.interval.end() == slice.interval.start();
        if slice.place == Place::NOT_KNOWN && touching && !runs(slice.state) {
            slices[index].place = before.place;
        }
    }
}

/// Gives to the poller the ends of waits for the network or a timer while the world is stopped. Only the task that stopped
/// it runs then, and asks the poller when it starts the world again.
///
/// ```text
/// waiter    |network, woken by g9 |gc_stw |runnable |
/// g9                      |running, the world is stopped |running
/// ```
pub(crate) fn polled(slices: &mut [StateSlice]) {
    for index in 1..slices.len() {
        let [before, slice] = [slices[index - 1], slices[index]];
        let touching = before.task == slice.task && before.interval.end() == slice.interval.start();
        let is_for_poller = matches!(before.state, State::Network | State::Sleep);
        if touching && is_for_poller && slice.state == State::GcStw && before.ending != Ending::Open {
            slices[index - 1].ending = Ending::External;
        }
    }
}

/// Joins what was cut: equal neighbors of which the first has no ending of its own become one. Across a seam, where one
/// recording takes over from another, a wait may go by another name, because the second did not see it begin; it keeps
/// both names and gets the ending of the second.
pub(crate) fn join(slices: &mut Vec<StateSlice>, seams: &[UnixNanos]) {
    slices.dedup_by(|later, kept| {
        let key = |slice: &StateSlice| (slice.task, slice.state, slice.sub_state, slice.place);
        let same = key(later) == key(kept);
        let open = kept.ending == Ending::Open && kept.interval.end() == later.interval.start();
        let whole = Interval::new(kept.interval.start(), later.interval.end()).filter(|_| same && open);
        if let Some(whole) = whole {
            kept.interval = whole;
            kept.ending = later.ending;
        }
        whole.is_some()
    });
    for index in (1..slices.len()).rev() {
        let [kept, later] = [slices[index - 1], slices[index]];
        let touching = kept.task == later.task && kept.interval.end() == later.interval.start();
        let waits_on = kept.ending == Ending::Open && kept.state.is_wait() && later.state.is_wait();
        if touching && waits_on && seams.binary_search(&later.interval.start()).is_ok() {
            slices[index - 1].ending = later.ending;
        }
    }
}
