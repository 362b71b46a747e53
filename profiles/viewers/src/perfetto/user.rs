//! What the program itself wrote into the trace: `runtime/trace` tasks, regions and logs.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;

use gotrace::{Recording, TaskEdge, TaskId, TraceNanos, UserRegion, UserTask};

use super::packets::{Arg, Event, TrackId};
use super::runtime::cut;
use super::tracks::{LaneTracks, Timeline, USER_TASKS};

/// Parents that are followed to find a task's root. OpenTelemetry spans of one process do not nest deeper.
const PARENTS_MAX: usize = 256;

pub(super) fn write<W: io::Write>(timeline: &mut Timeline<'_, W>) -> io::Result<()> {
    let tasks = Tasks::of(timeline.recording);
    write_tasks(timeline, &tasks)?;
    write_regions(timeline, &tasks)?;
    write_logs(timeline, &tasks)
}

/// The user tasks of a recording by id.
struct Tasks<'a> {
    recording: &'a Recording,
    positions: HashMap<TaskId, usize>,
}

impl<'a> Tasks<'a> {
    fn of(recording: &'a Recording) -> Self {
        let positions = (0..).zip(&recording.tasks).map(|(position, task)| (task.id, position));
        Self {
            recording,
            positions: positions.collect(),
        }
    }

    fn find(&self, id: TaskId) -> Option<(usize, &'a UserTask)> {
        let position = *self.positions.get(&id)?;
        Some((position, self.recording.tasks.get(position)?))
    }

    /// `GET /report (17)`; empty outside tasks.
    fn label(&self, id: TaskId) -> String {
        match self.find(id) {
            _ if id == TaskId::BACKGROUND => String::new(),
            Some((_, task)) if !self.recording.bytes(task.name).is_empty() => {
                format!("{} ({id})", self.recording.text(task.name))
            }
            _ => format!("({id})"),
        }
    }

    /// Position of the outermost task that `position` was begun in, as far as the trace shows.
    fn root(&self, position: usize) -> usize {
        let mut root = position;
        for _ in 0..PARENTS_MAX {
            let parent = self.recording.tasks.get(root).and_then(|task| task.parent);
            match parent.and_then(|parent| self.find(parent)) {
                Some((position, _)) => root = position,
                None => break,
            }
        }
        root
    }
}

/// A track for each root task; the tasks begun in it lie below it where they nest, else on a second track of its name.
fn write_tasks<W: io::Write>(timeline: &mut Timeline<'_, W>, tasks: &Tasks<'_>) -> io::Result<()> {
    let recording = timeline.recording;
    let mut order: Vec<(usize, usize)> = (0..recording.tasks.len())
        .map(|position| (tasks.root(position), position))
        .collect();
    order.sort_unstable_by_key(|(root, position)| {
        let (start, end) = extent(recording, &recording.tasks[*position]);
        (*root, start, Reverse(end), *position)
    });
    for family in order.chunk_by(|a, b| a.0 == b.0) {
        let name = recording.text(recording.tasks[family[0].0].name);
        let mut tracks = LaneTracks::new(USER_TASKS, &name, 0);
        for (_, position) in family {
            let task = &recording.tasks[*position];
            let (start, end) = extent(recording, task);
            let track = tracks.place(timeline, start, end)?;
            write_task(timeline, tasks, task, track)?;
        }
    }
    Ok(())
}

/// What the trace shows of a task.
fn extent(recording: &Recording, task: &UserTask) -> (TraceNanos, TraceNanos) {
    let start = task.begin.map_or(recording.start, |begin| begin.time);
    let end = task.end.map_or(recording.end, |end| end.time);
    (start, end)
}

fn write_task<W: io::Write>(
    timeline: &mut Timeline<'_, W>,
    tasks: &Tasks<'_>,
    task: &UserTask,
    track: TrackId,
) -> io::Result<()> {
    let recording = timeline.recording;
    let (start, end) = extent(recording, task);
    let goroutine = |edge: Option<TaskEdge>| {
        edge.map_or("", |edge| timeline.label(edge.goroutine, edge.time))
            .to_owned()
    };
    let args = [
        ("task", Arg::Number(Some(task.id.get()))),
        (
            "parent",
            task.parent.map_or(String::new(), |parent| tasks.label(parent)).into(),
        ),
        ("begun_on", goroutine(task.begin).into()),
        ("ended_on", goroutine(task.end).into()),
        ("cut", cut(task.begin.is_some(), task.end.is_some()).into()),
    ];
    timeline.packets.slice_begin(&Event {
        args: &args,
        stack: task.begin.and_then(|begin| begin.stack),
        ..Event::new(track, start, "user_task", &recording.text(task.name))
    })?;
    timeline.packets.slice_end(track, end)
}

/// Regions lie on a track below that of their goroutine. (The runtime lets nothing but goroutines begin regions.)
fn write_regions<W: io::Write>(timeline: &mut Timeline<'_, W>, tasks: &Tasks<'_>) -> io::Result<()> {
    let recording = timeline.recording;
    let mut regions: Vec<Region<'_>> = (recording.regions.iter())
        .filter_map(|region| Region::of(timeline, region))
        .collect();
    regions.sort_by_key(|region| (region.goroutine, region.start, Reverse(region.end)));
    for of_one in regions.chunk_by(|a, b| a.goroutine == b.goroutine) {
        let parent = timeline.goroutine(of_one[0].goroutine);
        let mut tracks = LaneTracks::new(parent, "regions", 0);
        for Region { region, start, end, .. } in of_one {
            let track = tracks.place(timeline, *start, *end)?;
            timeline.packets.slice_begin(&Event {
                args: &[
                    ("task", tasks.label(region.task).into()),
                    ("cut", cut(region.start.is_some(), region.end.is_some()).into()),
                ],
                stack: region.stack,
                ..Event::new(track, *start, "user_region", &recording.text(region.name))
            })?;
            timeline.packets.slice_end(track, *end)?;
        }
    }
    Ok(())
}

/// A region and its place: what the trace does not show of it lasts as long as the goroutine.
struct Region<'a> {
    region: &'a UserRegion,
    /// Position of its goroutine.
    goroutine: usize,
    start: TraceNanos,
    end: TraceNanos,
}

impl<'a> Region<'a> {
    /// `None` if the trace does not show its goroutine.
    fn of<W: io::Write>(timeline: &Timeline<'a, W>, region: &'a UserRegion) -> Option<Self> {
        let goroutine = timeline.position(region.goroutine, region.start.or(region.end)?)?;
        let life = &timeline.recording.goroutines[goroutine];
        let start = region.start.unwrap_or(life.first);
        Some(Self {
            region,
            goroutine,
            start,
            end: region.end.unwrap_or(life.last).max(start),
        })
    }
}

/// Instants on the goroutines that logged.
fn write_logs<W: io::Write>(timeline: &mut Timeline<'_, W>, tasks: &Tasks<'_>) -> io::Result<()> {
    let recording = timeline.recording;
    for log in &recording.logs {
        let Some(position) = timeline.position(log.goroutine, log.time) else {
            continue;
        };
        let track = timeline.goroutine(position);
        timeline.packets.instant(&Event {
            args: &[
                ("message", Arg::Unique(String::from_utf8_lossy(&log.message))),
                ("task", tasks.label(log.task).into()),
            ],
            stack: log.stack,
            ..Event::new(track, log.time, "user_log", &recording.text(log.key))
        })?;
    }
    Ok(())
}
