//! What a recording of the simulation should say, noted as it happens.
//!
//! The simulation reports each change when it makes it. Times are known only when all threads' events are in order, so
//! until then a time is a [`Moment`].

use std::collections::BTreeMap;

use super::text::{root_of, stack_text};
use super::view::{Edge, Interval, Life, LogView, RangeView, RegionView, State, TaskView};
use crate::support::writer::Stack;

/// A point in the simulation whose time is not yet known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The start of a generation, by position.
    GenerationStart(usize),
    /// An event that a reader should see, by position.
    Event(usize),
    /// The end of the recording.
    End,
}

/// What can be under way at most once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Marking,
    StoppedWorld(u64),
    Assist(u64),
    Sweep(u64),
}

/// Where and by whom something is done.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) at: Moment,
    pub(crate) proc: Option<u64>,
    pub(crate) goroutine: Option<u64>,
    pub(crate) stack: Option<Stack>,
}

#[derive(Clone, Debug)]
struct Span {
    from: Moment,
    state: State,
    waker: String,
    stack: String,
}

#[derive(Clone, Debug)]
struct TrueLife {
    id: u64,
    start_function: Option<String>,
    creator: Option<u64>,
    creation_stack: String,
    birth: Option<Moment>,
    death: Option<Moment>,
    spans: Vec<Span>,
}

#[derive(Clone, Debug)]
struct TrueRange {
    kind: String,
    start: Moment,
    end: Option<Moment>,
    goroutine: Option<u64>,
    proc: Option<u64>,
    stack: String,
    began: bool,
}

#[derive(Clone, Debug)]
struct TrueRegion {
    goroutine: u64,
    task: u64,
    name: String,
    start: Option<Moment>,
    end: Option<Moment>,
    stack: String,
}

#[derive(Clone, Debug)]
struct TrueTask {
    id: u64,
    parent: Option<u64>,
    name: String,
    begin: Option<Place>,
    end: Option<Place>,
}

/// All that a recording should hold, except events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    lives: Vec<TrueLife>,
    latest: BTreeMap<u64, usize>,
    ranges: Vec<TrueRange>,
    open_ranges: BTreeMap<Scope, usize>,
    regions: Vec<TrueRegion>,
    open_regions: BTreeMap<u64, Vec<usize>>,
    tasks: Vec<TrueTask>,
    logs: Vec<(Place, u64, String, String)>,
}

/// Goroutines.
impl Truth {
    /// A goroutine is created; `entry` is the stack of its start function.
    pub(crate) fn born(&mut self, id: u64, state: State, entry: Option<&Stack>, by: &Place) {
        let life = TrueLife {
            id,
            start_function: entry.and_then(root_of),
            creator: by.goroutine,
            creation_stack: stack_text(by.stack.as_ref()),
            birth: Some(by.at),
            death: None,
            spans: Vec::new(),
        };
        self.add(life);
        self.enter(id, by.at, state, entry);
    }

    /// The first that a recording shows of a goroutine that is older than it.
    pub(crate) fn found(&mut self, id: u64, since: Moment, state: State, stack: Option<&Stack>) {
        self.add(TrueLife {
            id,
            start_function: stack.and_then(root_of),
            creator: None,
            creation_stack: String::new(),
            birth: None,
            death: None,
            spans: Vec::new(),
        });
        self.enter(id, since, state, stack);
    }

    fn add(&mut self, life: TrueLife) {
        self.latest.insert(life.id, self.lives.len());
        self.lives.push(life);
    }

    fn life(&mut self, id: u64) -> &mut TrueLife {
        let position = self.latest[&id];
        &mut self.lives[position]
    }

    /// A goroutine changes its state.
    pub(crate) fn enter(&mut self, id: u64, from: Moment, state: State, stack: Option<&Stack>) {
        let life = self.life(id);
        let stack = stack_text(stack);
        let waker = String::new();
        life.spans.push(Span {
            from,
            state,
            waker,
            stack,
        });
    }

    /// A goroutine leaves its thread, or enters a system call, where its stack shows.
    pub(crate) fn enter_at(&mut self, id: u64, from: Moment, state: State, stack: Option<&Stack>) {
        self.enter(id, from, state, stack);
        let life = self.life(id);
        life.start_function = life.start_function.take().or_else(|| stack.and_then(root_of));
    }

    /// A status shows the stack of a goroutine that has not moved.
    pub(crate) fn still_at(&mut self, id: u64, stack: &Stack) {
        let life = self.life(id);
        life.start_function = life.start_function.take().or_else(|| root_of(stack));
        let span = life.spans.last_mut().expect("a life has a state");
        if span.stack.is_empty() {
            span.stack = stack_text(Some(stack));
        }
    }

    /// A goroutine's wait ends.
    pub(crate) fn woken(&mut self, id: u64, by: &Place) {
        let waker = by
            .goroutine
            .map_or("the runtime".to_owned(), |waker| format!("g{waker}"));
        let span = self.life(id).spans.last_mut().expect("a life has a state");
        span.waker = format!("{waker} at {}", stack_text(by.stack.as_ref()));
        self.enter(id, by.at, State::Runnable("unblocked".to_owned()), None);
    }

    /// The thread of a goroutine in a system call loses its proc.
    pub(crate) fn lost_proc(&mut self, id: u64, at: Moment) {
        let spans = &mut self.life(id).spans;
        let span = spans.last().expect("a life has a state").clone();
        if span.state == State::Syscall {
            let state = State::SyscallBlocked;
            spans.push(Span {
                from: at,
                state,
                ..span
            });
        }
    }

    /// A goroutine ends, and with it its regions.
    pub(crate) fn died(&mut self, id: u64, at: Moment) {
        self.life(id).death = Some(at);
        self.open_regions.remove(&id);
    }
}

/// Runtime ranges.
impl Truth {
    pub(crate) fn range_begins(&mut self, scope: Scope, kind: String, by: &Place) {
        let goroutine = if scope == Scope::Marking { None } else { by.goroutine };
        self.open_ranges.insert(scope, self.ranges.len());
        self.ranges.push(TrueRange {
            kind,
            start: by.at,
            end: None,
            goroutine,
            proc: by.proc,
            stack: stack_text(by.stack.as_ref()),
            began: true,
        });
    }

    /// A range is announced that is under way since before the generation.
    pub(crate) fn range_active(&mut self, scope: Scope, since: Moment) {
        if self.open_ranges.contains_key(&scope) {
            return;
        }
        let (kind, goroutine, proc) = match scope {
            Scope::Marking => ("mark", None, None),
            Scope::StoppedWorld(goroutine) => ("stop the world: ", Some(goroutine), None),
            Scope::Assist(goroutine) => ("mark assist", Some(goroutine), None),
            Scope::Sweep(proc) => ("sweep 0 0", None, Some(proc)),
        };
        self.open_ranges.insert(scope, self.ranges.len());
        self.ranges.push(TrueRange {
            kind: kind.to_owned(),
            start: since,
            end: None,
            goroutine,
            proc,
            stack: String::new(),
            began: false,
        });
    }

    /// A range ends; `kind` says more than its beginning did.
    pub(crate) fn range_ends(&mut self, scope: Scope, kind: Option<String>, at: Moment) {
        let position = self.open_ranges.remove(&scope).expect("a range ends that is under way");
        let range = &mut self.ranges[position];
        range.end = Some(at);
        if let Some(kind) = kind {
            range.kind = kind;
        }
    }
}

/// What the program writes.
impl Truth {
    pub(crate) fn task_begins(&mut self, id: u64, parent: Option<u64>, name: String, by: Place) {
        self.tasks.push(TrueTask {
            id,
            parent,
            name,
            begin: Some(by),
            end: None,
        });
    }

    /// A task ends, for the first time or once more.
    pub(crate) fn task_ends(&mut self, id: u64, by: Place) {
        if let Some(task) = self.tasks.iter_mut().find(|task| task.id == id) {
            task.end.get_or_insert(by);
            return;
        }
        self.tasks.push(TrueTask {
            id,
            parent: None,
            name: String::new(),
            begin: None,
            end: Some(by),
        });
    }

    pub(crate) fn region_begins(&mut self, goroutine: u64, task: u64, name: String, by: &Place) {
        self.open_regions.entry(goroutine).or_default().push(self.regions.len());
        self.regions.push(TrueRegion {
            goroutine,
            task,
            name,
            start: Some(by.at),
            end: None,
            stack: stack_text(by.stack.as_ref()),
        });
    }

    /// The innermost region of a goroutine ends. It may have begun before the recording.
    pub(crate) fn region_ends(&mut self, goroutine: u64, task: u64, name: String, at: Moment) {
        let open = self.open_regions.entry(goroutine).or_default();
        if let Some(position) = open.pop() {
            self.regions[position].end = Some(at);
            return;
        }
        self.regions.push(TrueRegion {
            goroutine,
            task,
            name,
            start: None,
            end: Some(at),
            stack: String::new(),
        });
    }

    pub(crate) fn logged(&mut self, task: u64, key: String, value: String, by: Place) {
        self.logs.push((by, task, key, value));
    }
}

/// The views, once times are known.
impl Truth {
    pub(crate) fn lives(&self, time: impl Fn(Moment) -> i64) -> Vec<Life> {
        let mut lives: Vec<Life> = self.lives.iter().map(|life| life.view(&time)).collect();
        lives.sort_by_key(|life| (life.id, life.intervals.first().map(|interval| interval.start)));
        lives
    }

    pub(crate) fn ranges(&self, time: impl Fn(Moment) -> i64) -> Vec<RangeView> {
        let view = |range: &TrueRange| RangeView {
            start: time(range.start),
            end: time(range.end.unwrap_or(Moment::End)),
            kind: range.kind.clone(),
            goroutine: range.goroutine,
            proc: range.proc,
            stack: range.stack.clone(),
            began: range.began,
            ended: range.end.is_some(),
        };
        self.ranges.iter().map(view).collect()
    }

    pub(crate) fn regions(&self, time: impl Fn(Moment) -> i64) -> Vec<RegionView> {
        let view = |region: &TrueRegion| RegionView {
            goroutine: Some(region.goroutine),
            start: region.start.map(&time),
            end: region.end.map(&time),
            task: region.task,
            name: region.name.clone(),
            stack: region.stack.clone(),
        };
        self.regions.iter().map(view).collect()
    }

    pub(crate) fn tasks(&self, time: impl Fn(Moment) -> i64) -> Vec<TaskView> {
        let edge = |place: &Place| Edge {
            time: time(place.at),
            goroutine: place.goroutine,
            stack: stack_text(place.stack.as_ref()),
        };
        let view = |task: &TrueTask| TaskView {
            id: task.id,
            parent: task.parent,
            name: task.name.clone(),
            begin: task.begin.as_ref().map(edge),
            end: task.end.as_ref().map(edge),
        };
        self.tasks.iter().map(view).collect()
    }

    pub(crate) fn logs(&self, time: impl Fn(Moment) -> i64) -> Vec<LogView> {
        let view = |(place, task, key, value): &(Place, u64, String, String)| LogView {
            time: time(place.at),
            goroutine: place.goroutine,
            task: *task,
            key: key.clone(),
            value: value.clone(),
            stack: stack_text(place.stack.as_ref()),
        };
        self.logs.iter().map(view).collect()
    }
}

impl TrueLife {
    fn view(&self, time: impl Fn(Moment) -> i64) -> Life {
        let end = time(self.death.unwrap_or(Moment::End));
        let ends = self.spans.iter().skip(1).map(|span| time(span.from)).chain([end]);
        let intervals = self.spans.iter().zip(ends).map(|(span, end)| Interval {
            start: time(span.from),
            end,
            state: span.state.clone(),
            waker: span.waker.clone(),
            stack: span.stack.clone(),
        });
        let name = self.start_function.as_deref();
        Life {
            id: self.id,
            start_function: self.start_function.clone(),
            // The rule of internal/trace/summary.go.
            is_system: name.is_none_or(|name| name.starts_with("runtime.") && name != "runtime.main"),
            creator: self.creator,
            creation_stack: self.creation_stack.clone(),
            birth: self.birth.map(&time),
            death: self.death.map(&time),
            intervals: intervals.collect(),
        }
    }
}
