//! The [`View`] of a trace as the decoder reads it. All that the simulation tests know of the decoder is here.

use gotrace::{
    EventKind, Events, ExecTrace, Frame, GoEvent, GoStatus, Goroutine, GoroutineId, GoroutineState, ProcId, ProcStatus,
    RangeKind, Recording, RunnableCause, RuntimeRange, StackId, StateInterval, TaskEdge, ThreadId, UserTask,
    WaitReason, Waker,
};

use super::view::{
    Edge, GenerationStart, Interval, Life, Line, LogView, RangeView, RegionView, SampleView, State, Subject, TaskView,
    View,
};

/// Decodes a trace with the times that the simulation expects, those of Go's reader: its view, and what the decoder warns
/// of.
pub(crate) fn decode(trace: &[u8]) -> (View, Vec<String>) {
    let opened = ExecTrace::open(trace).expect("the header is right");
    let recording = Recording::of(opened.with_times_of_go_reader()).unwrap_or_else(|error| panic!("{error}"));
    let warnings = recording.warnings.as_slice().iter().map(ToString::to_string);
    let mut view = view_of(&recording);
    view.events = lines(trace);
    (view, warnings.collect())
}

/// The events of a trace.
pub(crate) fn lines(trace: &[u8]) -> Vec<Line> {
    let opened = ExecTrace::open(trace).expect("the header is right");
    let mut events = opened.with_times_of_go_reader().events();
    let mut lines = Vec::new();
    while let Some(event) = events.next() {
        lines.push(line(&event, &events));
    }
    lines
}

fn view_of(recording: &Recording) -> View {
    let generations = recording.generations.iter().map(|generation| GenerationStart {
        number: generation.number,
        start: generation.start.0,
        offset: generation.offset_bytes,
    });
    let logs = recording.logs.iter().map(|log| LogView {
        time: log.time.0,
        goroutine: log.goroutine.map(GoroutineId::get),
        task: log.task.get(),
        key: text(recording.bytes(log.key)),
        value: text(&log.message),
        stack: stack_text(recording, log.stack),
    });
    let samples = recording.cpu_samples.iter().map(|sample| SampleView {
        time: sample.time.0,
        thread: sample.thread.map(ThreadId::get),
        proc: sample.proc.map(ProcId::get),
        goroutine: sample.goroutine.map(GoroutineId::get),
        stack: stack_text(recording, sample.stack),
    });
    let regions = recording.regions.iter().map(|region| RegionView {
        goroutine: region.goroutine.map(GoroutineId::get),
        start: region.start.map(|time| time.0),
        end: region.end.map(|time| time.0),
        task: region.task.get(),
        name: text(recording.bytes(region.name)),
        stack: stack_text(recording, region.stack),
    });
    let snapshots = recording.clock.snapshots().iter();
    View {
        start: recording.start.0,
        end: recording.end.0,
        generations: generations.collect(),
        events: Vec::new(),
        lives: recording
            .goroutines
            .iter()
            .map(|life| life_of(recording, life))
            .collect(),
        ranges: recording
            .ranges
            .iter()
            .map(|range| range_of(recording, range))
            .collect(),
        tasks: recording.tasks.iter().map(|task| task_of(recording, task)).collect(),
        regions: regions.collect(),
        logs: logs.collect(),
        samples: samples.collect(),
        snapshots: snapshots
            .map(|snapshot| (snapshot.trace.0, snapshot.monotonic_ns, snapshot.unix.0))
            .collect(),
        counts: recording.event_counts.clone(),
    }
}

fn life_of(recording: &Recording, goroutine: &Goroutine) -> Life {
    let intervals = recording.states_of(goroutine).iter();
    Life {
        id: goroutine.id.get(),
        start_function: goroutine.start_function.map(|name| text(recording.bytes(name))),
        is_system: goroutine.is_system,
        creator: goroutine.creator.map(GoroutineId::get),
        creation_stack: stack_text(recording, goroutine.creation_stack),
        birth: goroutine.birth.map(|time| time.0),
        death: goroutine.death.map(|time| time.0),
        intervals: intervals.map(|interval| interval_of(recording, interval)).collect(),
    }
}

fn interval_of(recording: &Recording, interval: &StateInterval) -> Interval {
    let (state, waker) = match interval.state {
        GoroutineState::Undetermined => (State::Undetermined, String::new()),
        GoroutineState::Runnable { cause } => (State::Runnable(cause_text(recording, cause)), String::new()),
        GoroutineState::Running { proc, thread } => {
            let (proc, thread) = (proc.map(ProcId::get), thread.map(ThreadId::get));
            (State::Running { proc, thread }, String::new())
        }
        GoroutineState::Syscall => (State::Syscall, String::new()),
        GoroutineState::SyscallBlocked => (State::SyscallBlocked, String::new()),
        GoroutineState::Waiting {
            reason,
            waker,
            waker_stack,
        } => {
            let reason = match reason {
                WaitReason::Runtime(id) => text(recording.bytes(id)),
                WaitReason::CoroutineSwitch => "coroutine switch".to_owned(),
                WaitReason::Unknown => "unknown".to_owned(),
            };
            let stack = stack_text(recording, waker_stack);
            let waker = match waker {
                Waker::Goroutine(id) => format!("g{id} at {stack}"),
                Waker::External => format!("the runtime at {stack}"),
                Waker::None => String::new(),
            };
            (State::Waiting(reason), waker)
        }
    };
    Interval {
        start: interval.start.0,
        end: interval.end.0,
        state,
        waker,
        stack: stack_text(recording, interval.stack),
    }
}

fn cause_text(recording: &Recording, cause: RunnableCause) -> String {
    let cause = match cause {
        RunnableCause::Created => "created",
        RunnableCause::Unblocked => "unblocked",
        RunnableCause::Preempted => "preempted",
        RunnableCause::Yield => "runtime.Gosched",
        RunnableCause::Stopped(reason) => return text(recording.bytes(reason)),
        RunnableCause::SyscallExit => "syscall exit",
        RunnableCause::Unknown => "unknown",
        other => panic!("{other:?} is not simulated"),
    };
    cause.to_owned()
}

fn range_of(recording: &Recording, range: &RuntimeRange) -> RangeView {
    let kind = match range.kind {
        RangeKind::StopTheWorld { kind } => format!("stop the world: {}", text(recording.bytes(kind))),
        RangeKind::GcMark => "mark".to_owned(),
        RangeKind::MarkAssist => "mark assist".to_owned(),
        RangeKind::Sweep {
            swept_bytes,
            reclaimed_bytes,
        } => format!("sweep {swept_bytes} {reclaimed_bytes}"),
        other => panic!("{other:?} is not simulated"),
    };
    RangeView {
        start: range.start.0,
        end: range.end.0,
        kind,
        goroutine: range.goroutine.map(GoroutineId::get),
        proc: range.proc.map(ProcId::get),
        stack: stack_text(recording, range.stack),
        began: range.began,
        ended: range.ended,
    }
}

fn task_of(recording: &Recording, task: &UserTask) -> TaskView {
    let edge = |edge: TaskEdge| Edge {
        time: edge.time.0,
        goroutine: edge.goroutine.map(GoroutineId::get),
        stack: stack_text(recording, edge.stack),
    };
    TaskView {
        id: task.id.get(),
        parent: task.parent.map(|parent| parent.get()),
        name: text(recording.bytes(task.name)),
        begin: task.begin.map(edge),
        end: task.end.map(edge),
    }
}

fn stack_text(recording: &Recording, stack: Option<StackId>) -> String {
    let Some(stack) = stack else { return String::new() };
    frames_text(recording.frames(stack), |id| recording.bytes(id))
}

fn frames_text<'a>(frames: &[Frame], bytes: impl Fn(gotrace::StringId) -> &'a [u8]) -> String {
    let frame = |frame: &Frame| {
        let (function, file) = (text(bytes(frame.function)), text(bytes(frame.file)));
        format!("{function}@{file}:{}#{:x}", frame.line, frame.pc)
    };
    frames.iter().map(frame).collect::<Vec<_>>().join(" < ")
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn line(event: &GoEvent, events: &Events<'_>) -> Line {
    let shown = shown(event.kind, events);
    Line {
        time: event.time.0,
        thread: event.context.thread.map(ThreadId::get),
        proc: event.context.proc.map(ProcId::get),
        goroutine: event.context.goroutine.map(GoroutineId::get),
        name: shown.0,
        subject: shown.1,
        detail: shown.2,
        stack: event_stack(event.stack, events),
    }
}

fn event_stack(stack: Option<StackId>, events: &Events<'_>) -> String {
    let Some(stack) = stack else { return String::new() };
    frames_text(events.stacks().frames(stack), |id| events.strings().bytes(id))
}

/// Name, subject and details of an event.
fn shown(kind: EventKind, events: &Events<'_>) -> (&'static str, Subject, String) {
    let string = |id| text(events.strings().bytes(id));
    let proc = |name, proc: ProcId, detail| (name, Subject::Proc(proc.get()), detail);
    let go = |name, goroutine: GoroutineId, detail| (name, Subject::Goroutine(goroutine.get()), detail);
    let plain = |name, detail| (name, Subject::Nothing, detail);
    let nothing = String::new;
    match kind {
        EventKind::GenerationStart { generation } => plain("GenerationStart", generation.to_string()),
        EventKind::Gap => plain("Gap", nothing()),
        EventKind::CpuSample => plain("CPUSample", nothing()),
        EventKind::ProcsChange { gomaxprocs } => plain("ProcsChange", gomaxprocs.to_string()),
        EventKind::ProcStart { proc: id } => proc("ProcStart", id, nothing()),
        EventKind::ProcStop { proc: id } => proc("ProcStop", id, nothing()),
        EventKind::ProcSteal { proc: id, victim } => {
            let victim = victim.map_or("nobody".to_owned(), |victim| format!("g{victim}"));
            proc("ProcSteal", id, format!("from {victim}"))
        }
        EventKind::ProcStatus {
            proc: id,
            status,
            first,
        } => {
            let status = match status {
                ProcStatus::Running => "running",
                ProcStatus::Idle => "idle",
                ProcStatus::Syscall => "syscall",
                ProcStatus::SyscallAbandoned => "abandoned",
            };
            proc("ProcStatus", id, status_text(status, first))
        }
        EventKind::GoCreate {
            goroutine,
            entry,
            blocked,
        } => {
            let name = if blocked { "GoCreateBlocked" } else { "GoCreate" };
            go(name, goroutine, event_stack(entry, events))
        }
        EventKind::GoCreateSyscall { goroutine } => go("GoCreateSyscall", goroutine, nothing()),
        EventKind::GoStart { goroutine } => go("GoStart", goroutine, nothing()),
        EventKind::GoDestroy { goroutine } => go("GoDestroy", goroutine, nothing()),
        EventKind::GoDestroySyscall { goroutine } => go("GoDestroySyscall", goroutine, nothing()),
        EventKind::GoStop { goroutine, reason } => go("GoStop", goroutine, string(reason)),
        EventKind::GoBlock { goroutine, reason } => go("GoBlock", goroutine, reason.map(string).unwrap_or_default()),
        EventKind::GoUnblock { goroutine } => go("GoUnblock", goroutine, nothing()),
        EventKind::GoSyscallBegin { goroutine } => go("GoSyscallBegin", goroutine, nothing()),
        EventKind::GoSyscallEnd { goroutine } => go("GoSyscallEnd", goroutine, nothing()),
        EventKind::GoSyscallEndBlocked { goroutine } => go("GoSyscallEndBlocked", goroutine, nothing()),
        EventKind::GoStatus {
            goroutine,
            status,
            first,
        } => {
            let status = match status {
                GoStatus::Runnable => "runnable",
                GoStatus::Running => "running",
                GoStatus::Syscall => "syscall",
                GoStatus::Waiting => "waiting",
            };
            go("GoStatus", goroutine, status_text(status, first))
        }
        EventKind::StwBegin { kind } => plain("STWBegin", string(kind)),
        EventKind::StwEnd => plain("STWEnd", nothing()),
        EventKind::GcActive => plain("GCActive", nothing()),
        EventKind::GcBegin => plain("GCBegin", nothing()),
        EventKind::GcEnd => plain("GCEnd", nothing()),
        EventKind::SweepActive { proc: id } => proc("GCSweepActive", id, nothing()),
        EventKind::SweepBegin { proc: id } => proc("GCSweepBegin", id, nothing()),
        EventKind::SweepEnd {
            proc: id,
            swept_bytes,
            reclaimed_bytes,
        } => proc("GCSweepEnd", id, format!("{swept_bytes} {reclaimed_bytes}")),
        EventKind::MarkAssistActive { goroutine } => go("GCMarkAssistActive", goroutine, nothing()),
        EventKind::MarkAssistBegin { goroutine } => go("GCMarkAssistBegin", goroutine, nothing()),
        EventKind::MarkAssistEnd { goroutine } => go("GCMarkAssistEnd", goroutine, nothing()),
        EventKind::HeapAlloc { bytes } => plain("HeapAlloc", bytes.to_string()),
        EventKind::HeapGoal { bytes } => plain("HeapGoal", bytes.to_string()),
        EventKind::GoLabel { label } => plain("GoLabel", string(label)),
        EventKind::UserTaskBegin { task, parent, name } => {
            let parent = parent.map_or("none".to_owned(), |parent| parent.to_string());
            plain("UserTaskBegin", format!("{task} in {parent}: {}", string(name)))
        }
        EventKind::UserTaskEnd { task } => plain("UserTaskEnd", task.to_string()),
        EventKind::UserRegionBegin { task, name } => plain("UserRegionBegin", format!("{task}: {}", string(name))),
        EventKind::UserRegionEnd { task, name } => plain("UserRegionEnd", format!("{task}: {}", string(name))),
        EventKind::UserLog { task, key, value } => {
            plain("UserLog", format!("{task}: {} = {}", string(key), string(value)))
        }
        EventKind::Experimental {
            event,
            id,
            value,
            kind_class,
        } => plain(event.name(), format!("{:?}", [id, value, u64::from(kind_class)])),
        other => panic!("{other:?} is not simulated"),
    }
}

fn status_text(status: &str, first: bool) -> String {
    let news = if first { "first" } else { "known" };
    format!("{status}, {news}")
}
