//! How the recordings of a process become one line of time.

use foldhash::{HashMap, HashMapExt};
use spandrel_model::{
    Interval, NameId, Names, State, Task, TaskId, TaskRecording, TaskState, UnixNanos, UserLog, UserTask, Waker,
};

use super::{TaskLine, Timeline};
use crate::StackLayers;
use crate::slices::{self, Ending, Position, StateSlice, Wake, WakeId};
use crate::stack_layers::{Place, Places};

impl Timeline {
    /// Merges `recordings`, all of one process, in any order; `stack_layers` say in which layers tasks stand.
    pub fn new(recordings: &[&TaskRecording], stack_layers: &StackLayers) -> Self {
        let mut ordered: Vec<&TaskRecording> = recordings.to_vec();
        ordered.sort_by_key(|recording| {
            let window = recording.window;
            (
                window.start(),
                std::cmp::Reverse(window.end()),
                recording.source.clone(),
            )
        });
        let mut timeline = Self::default();
        let mut tasks: Vec<&Task> = Vec::new();
        for recording in ordered {
            let mut renames = Renames::new(&recording.names);
            if let Some(part) = timeline.claim(recording.window) {
                timeline.seams.push(part.start());
                let places = stack_layers.places(&recording.stacks, &recording.names);
                timeline.add_states(&recording.states, part, &mut renames, &places);
                let rename = |name| renames.rename(name, &mut timeline.names);
                timeline.samples.add(recording, part, &places, rename);
                let error_ns = recording.clock.error_ns();
                timeline.estimated.extend(error_ns.map(|error_ns| (part, error_ns)));
            }
            timeline.add_user_events(recording, &mut renames);
            tasks.extend(&recording.tasks);
        }
        timeline.settle(tasks);
        timeline
    }

    /// Takes the part of `window` that no earlier recording covers. Recordings come sorted by start, so it is one
    /// stretch at the end of `window`.
    fn claim(&mut self, window: Interval) -> Option<Interval> {
        let Some(last) = self.covered.last_mut() else {
            self.covered.extend((!window.is_empty()).then_some(window));
            return (!window.is_empty()).then_some(window);
        };
        let part = Interval::new(window.start().max(last.end()), window.end()).filter(|part| !part.is_empty())?;
        if part.start() == last.end() {
            *last = Interval::new(last.start(), part.end()).expect("part ends after last");
        } else {
            self.covered.push(part);
        }
        Some(part)
    }

    fn add_states(&mut self, states: &[TaskState], part: Interval, renames: &mut Renames<'_>, places: &Places) {
        self.slices.reserve(states.len());
        for state in states.iter().filter(|state| state.state != State::Unknown) {
            if let Some(interval) = state.interval.intersection(part) {
                let ending = self.ending(state);
                self.slices.push(StateSlice {
                    task: state.task,
                    interval,
                    state: state.state,
                    sub_state: renames.rename(state.sub_state, &mut self.names),
                    place: match state.state {
                        State::Running => Place::NOT_KNOWN,
                        _ => places.of(state.stack),
                    },
                    ending,
                });
            }
        }
    }

    fn ending(&mut self, state: &TaskState) -> Ending {
        match state.waker {
            Waker::None => Ending::Open,
            Waker::External => Ending::External,
            Waker::Task(waker) => {
                let id = WakeId::try_from(self.wakes.len()).expect("four thousand million states do not fit in memory");
                self.wakes.push(Wake {
                    waker,
                    at: state.interval.end(),
                    position: None,
                });
                Ending::Wake(id)
            }
        }
    }

    fn add_user_events(&mut self, recording: &TaskRecording, renames: &mut Renames<'_>) {
        for user_task in &recording.user_tasks {
            let name = user_task.name.map(|name| renames.rename(name, &mut self.names));
            self.user_tasks.push(UserTask {
                name,
                ..user_task.clone()
            });
        }
        self.user_logs.reserve(recording.user_logs.len());
        for log in &recording.user_logs {
            let category = renames.rename(log.category, &mut self.names);
            self.user_logs.push(UserLog {
                category,
                ..log.clone()
            });
        }
    }

    /// Sorts what the recordings brought and merges by id. Sorts are stable: of two equals the earlier recording's
    /// comes first and counts.
    fn settle(&mut self, tasks: Vec<&Task>) {
        self.slices.sort_by_key(|slice| slice.task);
        slices::drop_overlap(&mut self.slices);
        slices::stand_still(&mut self.slices);
        slices::polled(&mut self.slices);
        slices::join(&mut self.slices, &self.seams);
        self.user_tasks.sort_by_key(|user_task| user_task.id);
        self.user_tasks.dedup_by(|later, kept| {
            let same = later.id == kept.id;
            if same {
                kept.parent = kept.parent.or(later.parent);
                kept.name = kept.name.or(later.name);
                kept.begin = kept.begin.or(later.begin);
                kept.end = kept.end.or(later.end);
            }
            same
        });
        self.user_logs.sort_by_key(|log| log.at);
        self.samples.sort();
        self.settle_tasks(tasks);
        self.find_wakers();
    }

    fn settle_tasks(&mut self, mut tasks: Vec<&Task>) {
        tasks.sort_by_key(|task| task.id);
        let by_id = || tasks.chunk_by(|left, right| left.id == right.id);
        self.tasks.reserve(by_id().count());
        let mut from = 0;
        for same in by_id() {
            let id = same[0].id;
            let start = pass(&self.slices, from, |task| task < id);
            from = pass(&self.slices, start, |task| task == id);
            self.tasks.push(TaskLine {
                id,
                creator: same.iter().find_map(|task| task.creator),
                birth: same.iter().find_map(|task| task.birth),
                death: same.iter().find_map(|task| task.death),
                kind: same[0].kind,
                slices: start..from,
            });
        }
    }

    /// Finds where the waker of every wake is, in one pass over wakers and slices side by side.
    fn find_wakers(&mut self) {
        let mut wakes: Vec<(TaskId, UnixNanos, usize)> = (self.wakes.iter().enumerate())
            .map(|(wake, Wake { waker, at, .. })| (*waker, *at, wake))
            .collect();
        wakes.sort_unstable();
        let (mut line, mut slice) = (0, 0);
        for (waker, at, wake) in wakes {
            while self.tasks.get(line).is_some_and(|task| task.id < waker) {
                line += 1;
            }
            let Some(task) = self.tasks.get(line).filter(|task| task.id == waker) else {
                continue;
            };
            slice = slice.max(task.slices.start);
            while slice < task.slices.end && self.slices[slice].interval.end() <= at {
                slice += 1;
            }
            self.wakes[wake].position = Some(Position { line, slice });
        }
    }
}

/// The position from `from` on of the first slice whose task is not to be passed.
fn pass(slices: &[StateSlice], from: usize, is_passed: impl Fn(TaskId) -> bool) -> usize {
    let passed = slices[from..].iter().take_while(|slice| is_passed(slice.task));
    from + passed.count()
}

/// Translates the names of one recording.
struct Renames<'a> {
    names: &'a Names,
    known: HashMap<NameId, NameId>,
    last: (NameId, NameId),
}

impl<'a> Renames<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            known: HashMap::new(),
            last: (Names::EMPTY, Names::EMPTY),
        }
    }

    fn rename(&mut self, name: NameId, into: &mut Names) -> NameId {
        if name != self.last.0 {
            let renamed = *self
                .known
                .entry(name)
                .or_insert_with(|| into.intern(self.names.resolve(name)));
            self.last = (name, renamed);
        }
        self.last.1
    }
}
