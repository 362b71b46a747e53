//! Events as both readers tell them: ours in the words of `tests/programs/reference/steps.go`.

use std::collections::HashMap;
use std::fmt::Write;

use gotrace::{EventKind, Events, ExecTrace, GoEvent, GoStatus, ProcStatus, StackId, StringId};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) time_ns: i64,
    /// Where it came from; -1 is none.
    pub(crate) thread: i64,
    pub(crate) proc: i64,
    pub(crate) goroutine: i64,
    /// What it is about.
    pub(crate) subject: Subject,
    /// A hash of the stack's program counters, or "-", and then what happened.
    pub(crate) what: String,
}

/// What an event is about, if not about where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Goroutine(i64),
    Proc(i64),
    None,
}

impl Step {
    pub(crate) fn is_sample(&self) -> bool {
        self.what.ends_with(" sample")
    }

    /// Whether it is a status, which changes nothing, of a goroutine.
    pub(crate) fn is_status(&self) -> bool {
        let states = self.what.split_once(' ').and_then(|(_, what)| what.split_once("->"));
        let changes_nothing = states.is_some_and(|(from, to)| from == "Undetermined" || from == to);
        changes_nothing && matches!(self.subject, Subject::Goroutine(_))
    }
}

/// Reads what the reference prints.
pub(crate) fn parse(text: &str) -> Vec<Step> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Step {
    let mut words = line.splitn(6, ' ');
    let mut number = || words.next().unwrap().parse().unwrap();
    let (time_ns, thread, proc, goroutine) = (number(), number(), number(), number());
    let subject = words.next().unwrap();
    let subject = match subject.split_at(1) {
        ("g", id) => Subject::Goroutine(id.parse().unwrap()),
        ("p", id) => Subject::Proc(id.parse().unwrap()),
        _ => Subject::None,
    };
    let what = words.next().unwrap().to_owned();
    Step {
        time_ns,
        thread,
        proc,
        goroutine,
        subject,
        what,
    }
}

/// Tells our own events. Go's reader ends with one more "sync" than there are generations.
pub(crate) fn of(trace: ExecTrace<'_>) -> Vec<Step> {
    let mut events = trace.events();
    let mut stacks = StackHashes::default();
    let mut steps = Vec::new();
    while let Some(event) = events.next() {
        if let EventKind::GenerationStart { .. } = event.kind {
            stacks = StackHashes::default();
        }
        steps.push(step(&event, &events, &mut stacks));
    }
    let warnings = events.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    let end_ns = steps.last().map_or(0, |step| step.time_ns + 1);
    steps.push(Step {
        time_ns: end_ns,
        thread: -1,
        proc: -1,
        goroutine: -1,
        subject: Subject::None,
        what: "- sync".to_owned(),
    });
    steps
}

fn step(event: &GoEvent, events: &Events<'_>, stacks: &mut StackHashes) -> Step {
    let (subject, what) = describe(event, events, stacks);
    let context = event.context;
    Step {
        time_ns: event.time.0,
        thread: number(context.thread),
        proc: number(context.proc),
        goroutine: number(context.goroutine),
        subject,
        what: format!("{} {what}", stacks.hash(event.stack, events)),
    }
}

/// Go prints "none" as -1.
fn number<I: Into<u64>>(id: Option<I>) -> i64 {
    id.map_or(-1, |id| id.into() as i64)
}

fn describe(event: &GoEvent, events: &Events<'_>, stacks: &mut StackHashes) -> (Subject, String) {
    let go = |id| Subject::Goroutine(number(Some(id)));
    let proc = |id| Subject::Proc(number(Some(id)));
    match event.kind {
        EventKind::GoCreate {
            goroutine,
            entry,
            blocked,
        } => {
            let state = if blocked { "Waiting" } else { "Runnable" };
            let entry = stacks.hash(entry, events);
            (go(goroutine), format!("NotExist->{state} entry {entry}"))
        }
        EventKind::GoCreateSyscall { goroutine } => (go(goroutine), "NotExist->Syscall".into()),
        EventKind::GoStart { goroutine } => (go(goroutine), "Runnable->Running".into()),
        EventKind::GoDestroy { goroutine } => (go(goroutine), "Running->NotExist".into()),
        EventKind::GoDestroySyscall { goroutine } => (go(goroutine), "Syscall->NotExist".into()),
        EventKind::GoStop { goroutine, reason } => {
            let reason = word(reason, events);
            (go(goroutine), format!("Running->Runnable {reason}"))
        }
        EventKind::GoBlock { goroutine, reason } => {
            let reason = reason
                .map(|reason| format!(" {}", word(reason, events)))
                .unwrap_or_default();
            (go(goroutine), format!("Running->Waiting{reason}"))
        }
        EventKind::GoUnblock { goroutine } => (go(goroutine), "Waiting->Runnable".into()),
        EventKind::GoSyscallBegin { goroutine } => (go(goroutine), "Running->Syscall".into()),
        EventKind::GoSyscallEnd { goroutine } => (go(goroutine), "Syscall->Running".into()),
        EventKind::GoSyscallEndBlocked { goroutine } => (go(goroutine), "Syscall->Runnable".into()),
        EventKind::GoStatus {
            goroutine,
            status,
            first,
        } => (go(goroutine), status_change(first, go_status_name(status))),
        EventKind::ProcStart { proc: id } => (proc(id), "Idle->Running".into()),
        EventKind::ProcStop { proc: id }
        | EventKind::ProcSteal {
            proc: id,
            victim: Some(_),
        } => (proc(id), "Running->Idle".into()),
        EventKind::ProcSteal { proc: id, victim: None } => (proc(id), "Idle->Idle".into()),
        EventKind::ProcStatus {
            proc: id,
            status,
            first,
        } => (proc(id), status_change(first, proc_status_name(status))),
        _ => describe_range(event, events).unwrap_or_else(|| (Subject::None, describe_other(event, events))),
    }
}

/// What is not known before is "Undetermined".
fn status_change(first: bool, to: &str) -> String {
    format!("{}->{to}", if first { "Undetermined" } else { to })
}

fn go_status_name(status: GoStatus) -> &'static str {
    match status {
        GoStatus::Runnable => "Runnable",
        GoStatus::Running => "Running",
        GoStatus::Syscall => "Syscall",
        GoStatus::Waiting => "Waiting",
    }
}

fn proc_status_name(status: ProcStatus) -> &'static str {
    match status {
        ProcStatus::Running | ProcStatus::Syscall => "Running",
        ProcStatus::Idle | ProcStatus::SyscallAbandoned => "Idle",
    }
}

fn describe_range(event: &GoEvent, events: &Events<'_>) -> Option<(Subject, String)> {
    const MARK: &str = "GC%20concurrent%20mark%20phase";
    const SWEEP: &str = "GC%20incremental%20sweep";
    const ASSIST: &str = "GC%20mark%20assist";
    let go = |id| Subject::Goroutine(number(Some(id)));
    let proc = |id| Subject::Proc(number(Some(id)));
    let here = Subject::Goroutine(number(event.context.goroutine));
    Some(match event.kind {
        EventKind::StwBegin { kind } => (here, format!("begin stop-the-world%20({})", word(kind, events))),
        EventKind::StwEnd => (here, "end stop-the-world".into()),
        EventKind::GcActive => (Subject::None, format!("active {MARK}")),
        EventKind::GcBegin => (Subject::None, format!("begin {MARK}")),
        EventKind::GcEnd => (Subject::None, format!("end {MARK}")),
        EventKind::SweepActive { proc: id } => (proc(id), format!("active {SWEEP}")),
        EventKind::SweepBegin { proc: id } => (proc(id), format!("begin {SWEEP}")),
        EventKind::SweepEnd {
            proc: id,
            swept_bytes,
            reclaimed_bytes,
        } => (proc(id), format!("end {SWEEP} {swept_bytes} {reclaimed_bytes}")),
        EventKind::MarkAssistActive { goroutine } => (go(goroutine), format!("active {ASSIST}")),
        EventKind::MarkAssistBegin { goroutine } => (go(goroutine), format!("begin {ASSIST}")),
        EventKind::MarkAssistEnd { goroutine } => (go(goroutine), format!("end {ASSIST}")),
        EventKind::GoLabel { label } => (here, format!("label {}", word(label, events))),
        _ => return None,
    })
}

fn describe_other(event: &GoEvent, events: &Events<'_>) -> String {
    match event.kind {
        EventKind::GenerationStart { .. } => "sync".into(),
        EventKind::CpuSample => "sample".into(),
        EventKind::ProcsChange { gomaxprocs } => format!("metric /sched/gomaxprocs:threads {gomaxprocs}"),
        EventKind::HeapAlloc { bytes } => format!("metric /memory/classes/heap/objects:bytes {bytes}"),
        EventKind::HeapGoal { bytes } => format!("metric /gc/heap/goal:bytes {bytes}"),
        EventKind::UserTaskBegin { task, parent, name } => {
            let parent = number(parent);
            format!("task-begin {task} parent {parent} {}", word(name, events))
        }
        EventKind::UserTaskEnd { task } => format!("task-end {task}"),
        EventKind::UserRegionBegin { task, name } => format!("region-begin {task} {}", word(name, events)),
        EventKind::UserRegionEnd { task, name } => format!("region-end {task} {}", word(name, events)),
        EventKind::UserLog { task, key, value } => {
            format!("log {task} {} {}", word(key, events), word(value, events))
        }
        EventKind::Experimental {
            event,
            id,
            value,
            kind_class,
        } => {
            let spec = gotrace::WireEvent::spec_of(event.byte()).unwrap();
            let mut what = spec.name.to_owned();
            for arg in [id, value, u64::from(kind_class)].iter().take(spec.args.len() - 1) {
                write!(what, " {arg}").unwrap();
            }
            what
        }
        other => format!("unexpected {other:?}"),
    }
}

fn word(id: StringId, events: &Events<'_>) -> String {
    escape(events.strings().bytes(id))
}

/// Makes one word of any bytes.
fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02x}").unwrap();
        }
    }
    out
}

/// Remembers the hashes of a generation's stacks.
#[derive(Default)]
struct StackHashes(HashMap<StackId, String>);

impl StackHashes {
    fn hash(&mut self, stack: Option<StackId>, events: &Events<'_>) -> String {
        let Some(stack) = stack else { return "-".to_owned() };
        let of_frames = || hash_of(events.stacks().frames(stack).iter().map(|frame| frame.pc));
        self.0.entry(stack).or_insert_with(of_frames).clone()
    }
}

/// FNV-1a over program counters, leaf first; "-" for no frames.
pub(crate) fn hash_of(pcs: impl Iterator<Item = u64>) -> String {
    let mut pcs = pcs.peekable();
    if pcs.peek().is_none() {
        return "-".to_owned();
    }
    let bytes = pcs.flat_map(u64::to_le_bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:x}")
}
