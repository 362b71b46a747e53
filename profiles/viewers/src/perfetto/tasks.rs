//! User tasks of `runtime/trace`, and what waits for them to have names.
//!
//! A trace tells of a task when it ends. Only then it has a name, and only when the outermost of its parents has ended it is
//! known where it belongs. Until then tasks, regions and logs wait; a trace's own end ends all.

use std::collections::{BTreeMap, HashMap};
use std::io;

use gotrace::{StringId, Summary, Symbols, TaskEdge, TaskId, TraceNanos, UserLog, UserRegion, UserTask};

use super::goroutines::Goroutines;
use super::packets::{Arg, Event, TrackId};
use super::runtime::cut;
use super::tracks::{self, Extent, LaneTracks, Timeline, USER_TASKS, place_all};

/// Parents that are followed to find a task's root. OpenTelemetry spans of one process do not nest deeper.
const PARENTS_MAX: usize = 256;

/// Regions and logs that wait for one task. More are written without its name.
const NOTES_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Tasks {
    /// All tasks that have ended.
    ended: HashMap<TaskId, Ended>,
    /// What waits for tasks.
    waiting: BTreeMap<TaskId, Waiting>,
    /// Tasks that never end.
    endless: Vec<UserTask>,
}

#[derive(Clone, Copy)]
struct Ended {
    name: StringId,
    /// The name of the outermost task that it was begun in, once that has ended.
    root: Option<StringId>,
}

/// What waits for a task.
#[derive(Default)]
struct Waiting {
    /// Tasks that were begun in it.
    children: Vec<UserTask>,
    notes: Vec<Note>,
}

/// What refers to a task.
pub(super) enum Note {
    Log(UserLog<'static>),
    Region(Region),
}

/// A region that is placed.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) track: TrackId,
    pub(super) start: TraceNanos,
    pub(super) end: TraceNanos,
    pub(super) region: UserRegion,
}

impl Note {
    fn task(&self) -> TaskId {
        match self {
            Self::Log(log) => log.task,
            Self::Region(placed) => placed.region.task,
        }
    }
}

impl Tasks {
    /// `GET /report (17)`; empty outside tasks.
    fn label(&self, id: TaskId, symbols: &Symbols) -> String {
        match self.ended.get(&id) {
            _ if id == TaskId::BACKGROUND => String::new(),
            Some(ended) if ended.name != StringId::EMPTY => format!("{} ({id})", symbols.text(ended.name)),
            _ => format!("({id})"),
        }
    }

    /// Writes a region or log as soon as its task has a name.
    pub(super) fn note<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        note: Note,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let task = note.task();
        if task != TaskId::BACKGROUND && !self.ended.contains_key(&task) {
            let notes = &mut self.waiting.entry(task).or_default().notes;
            if notes.len() < NOTES_MAX {
                notes.push(note);
                return Ok(());
            }
        }
        self.write_note(timeline, &note, symbols)
    }

    /// Writes a region or log with what is known of its task.
    pub(super) fn write_note<W: io::Write>(
        &self,
        timeline: &mut Timeline<W>,
        note: &Note,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let task = self.label(note.task(), symbols);
        match note {
            Note::Log(log) => {
                let Some(goroutine) = log.goroutine else {
                    return Ok(());
                };
                let name = symbols.text(log.key);
                let event = Event {
                    args: &[
                        ("message", Arg::Unique(String::from_utf8_lossy(&log.message))),
                        ("task", task.into()),
                    ],
                    stack: log.stack,
                    ..Event::new(tracks::goroutine(goroutine), log.time, "user_log", &name)
                };
                timeline.packets.instant(&event, symbols)
            }
            Note::Region(Region {
                track,
                start,
                end,
                region,
            }) => {
                let name = symbols.text(region.name);
                let event = Event {
                    args: &[
                        ("task", task.into()),
                        ("cut", cut(region.start.is_some(), region.end.is_some()).into()),
                    ],
                    stack: region.stack,
                    ..Event::new(*track, *start, "user_region", &name)
                };
                timeline.packets.slice(&event, *end, symbols)
            }
        }
    }

    /// A task has ended. `trace_start` is when it began if the trace does not show that.
    pub(super) fn ended<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        task: &UserTask,
        trace_start: TraceNanos,
        goroutines: &Goroutines<'_>,
        symbols: &Symbols,
    ) -> io::Result<()> {
        if task.begin.is_none() && self.ended.contains_key(&task.id) {
            // Further ends of a task say nothing new.
            return Ok(());
        }
        let (name, root) = (task.name, None);
        self.ended.insert(task.id, Ended { name, root });
        if let Some(waiting) = self.waiting.get_mut(&task.id) {
            for note in std::mem::take(&mut waiting.notes) {
                self.write_note(timeline, &note, symbols)?;
            }
        }
        let Some(end) = task.end else {
            self.endless.push(*task);
            return Ok(());
        };
        let root = match task.parent {
            None => Some(name),
            Some(parent) => self.ended.get(&parent).and_then(|parent| parent.root),
        };
        match (root, task.parent) {
            (Some(root), _) => {
                let family = self.family(*task, root);
                let extents = family.into_iter().map(|task| extent(task, trace_start, end.time));
                self.write(timeline, root, extents.collect(), goroutines, symbols)
            }
            (None, parent) => {
                let children = parent.map(|parent| &mut self.waiting.entry(parent).or_default().children);
                children.into_iter().for_each(|children| children.push(*task));
                Ok(())
            }
        }
    }

    /// A task, and all that were begun in it and in those.
    fn family(&mut self, first: UserTask, root: StringId) -> Vec<UserTask> {
        let mut family = vec![first];
        let mut next = 0;
        while let Some(task) = family.get(next) {
            next += 1;
            if let Some(ended) = self.ended.get_mut(&task.id) {
                ended.root = Some(root);
            }
            if let Some(waiting) = self.waiting.remove(&task.id) {
                family.extend(waiting.children);
            }
        }
        family
    }

    /// The trace has ended: writes what has waited.
    pub(super) fn finish<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        summary: &Summary,
        goroutines: &Goroutines<'_>,
    ) -> io::Result<()> {
        let mut left = std::mem::take(&mut self.endless);
        let mut notes = Vec::new();
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            left.extend(waiting.children);
            notes.extend(waiting.notes);
        }
        for note in &notes {
            self.write_note(timeline, note, &summary.symbols)?;
        }
        let by_id: HashMap<TaskId, UserTask> = left.iter().map(|task| (task.id, *task)).collect();
        let mut families: BTreeMap<TaskId, Vec<Extent<UserTask>>> = BTreeMap::new();
        for task in left {
            let family = families.entry(outermost(task.id, &by_id)).or_default();
            family.push(extent(task, summary.start, summary.end));
        }
        for (id, family) in families {
            let Some(first) = by_id.get(&id) else { continue };
            let above = first.parent.and_then(|parent| self.ended.get(&parent)?.root);
            self.write(
                timeline,
                above.unwrap_or(first.name),
                family,
                goroutines,
                &summary.symbols,
            )?;
        }
        Ok(())
    }

    /// Writes tasks below the name of their root: on one track where they nest, else on further ones of that name.
    fn write<W: io::Write>(
        &self,
        timeline: &mut Timeline<W>,
        root: StringId,
        family: Vec<Extent<UserTask>>,
        goroutines: &Goroutines<'_>,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let mut tracks = LaneTracks::new(USER_TASKS, symbols.text(root), 0);
        place_all(timeline, &mut tracks, family, |timeline, track, placed| {
            let task = &placed.what;
            let on = |edge: Option<TaskEdge>| goroutines.label(edge.and_then(|edge| edge.goroutine), symbols);
            let parent = task.parent.map_or(String::new(), |parent| self.label(parent, symbols));
            let name = symbols.text(task.name);
            let event = Event {
                args: &[
                    ("task", Arg::Number(Some(task.id.get()))),
                    ("parent", parent.into()),
                    ("begun_on", on(task.begin).into()),
                    ("ended_on", on(task.end).into()),
                    ("cut", cut(task.begin.is_some(), task.end.is_some()).into()),
                ],
                stack: task.begin.and_then(|begin| begin.stack),
                ..Event::new(track, placed.start, "user_task", &name)
            };
            timeline.packets.slice(&event, placed.end, symbols)
        })
    }
}

/// What the trace shows of a task.
fn extent(task: UserTask, trace_start: TraceNanos, end: TraceNanos) -> Extent<UserTask> {
    Extent {
        start: task.begin.map_or(trace_start, |begin| begin.time),
        end: task.end.map_or(end, |end| end.time),
        what: task,
    }
}

/// The outermost of these tasks that one was begun in.
fn outermost(id: TaskId, tasks: &HashMap<TaskId, UserTask>) -> TaskId {
    let mut found = id;
    for _ in 0..PARENTS_MAX {
        match tasks.get(&found).and_then(|task| task.parent) {
            Some(parent) if tasks.contains_key(&parent) => found = parent,
            _ => break,
        }
    }
    found
}
