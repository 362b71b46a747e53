//! The table of event kinds: wire number, name, arguments and the first header version that knows each.
//!
//! Source: `internal/trace/tracev2/events.go` (numbers, names, arguments) and `internal/trace/version/version.go`
//! (first versions) of the Go toolchain. An event is its number as one byte and then its arguments as LEB128
//! numbers. Like Go's validating reader, the decoder knows all kinds in every version.

/// Kind of an event as its type byte says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum WireEvent {
    /// Start of one thread's batch.
    EventBatch = 1,
    /// Start of a stack table batch.
    Stacks = 2,
    /// Entry of the stack table; four numbers a frame follow.
    Stack = 3,
    /// Start of a string table batch.
    Strings = 4,
    /// Entry of the string table; length and bytes follow.
    String = 5,
    /// Start of a CPU sample batch.
    CpuSamples = 6,
    /// CPU profile sample; its time is absolute.
    CpuSample = 7,
    /// Ticks per second.
    Frequency = 8,
    /// GOMAXPROCS.
    ProcsChange = 9,
    /// A thread takes a proc.
    ProcStart = 10,
    /// A thread gives up its proc.
    ProcStop = 11,
    /// A thread takes another thread's proc.
    ProcSteal = 12,
    /// Status of a proc.
    ProcStatus = 13,
    /// A goroutine is created.
    GoCreate = 14,
    /// A goroutine appears in a system call.
    GoCreateSyscall = 15,
    /// A goroutine starts to run.
    GoStart = 16,
    /// A goroutine ends.
    GoDestroy = 17,
    /// A goroutine vanishes in a system call.
    GoDestroySyscall = 18,
    /// A goroutine yields.
    GoStop = 19,
    /// A goroutine blocks.
    GoBlock = 20,
    /// A goroutine is readied.
    GoUnblock = 21,
    /// A system call begins.
    GoSyscallBegin = 22,
    /// A system call ends, proc kept.
    GoSyscallEnd = 23,
    /// A system call ends, proc lost.
    GoSyscallEndBlocked = 24,
    /// Status of a goroutine.
    GoStatus = 25,
    /// Stopping the world begins.
    StwBegin = 26,
    /// The world runs again.
    StwEnd = 27,
    /// Marking is under way.
    GcActive = 28,
    /// Marking begins.
    GcBegin = 29,
    /// Marking ends.
    GcEnd = 30,
    /// Sweeping is under way.
    GcSweepActive = 31,
    /// Sweeping begins.
    GcSweepBegin = 32,
    /// Sweeping ends.
    GcSweepEnd = 33,
    /// Mark assist is under way.
    GcMarkAssistActive = 34,
    /// Mark assist begins.
    GcMarkAssistBegin = 35,
    /// Mark assist ends.
    GcMarkAssistEnd = 36,
    /// Live heap.
    HeapAlloc = 37,
    /// Heap goal.
    HeapGoal = 38,
    /// Runtime label of a goroutine.
    GoLabel = 39,
    /// User task begins.
    UserTaskBegin = 40,
    /// User task ends.
    UserTaskEnd = 41,
    /// User region begins.
    UserRegionBegin = 42,
    /// User region ends.
    UserRegionEnd = 43,
    /// User log.
    UserLog = 44,
    /// Coroutine switch.
    GoSwitch = 45,
    /// Coroutine switch; the goroutine that switches ends.
    GoSwitchDestroy = 46,
    /// A goroutine is created waiting.
    GoCreateBlocked = 47,
    /// Status of a goroutine, with its stack.
    GoStatusStack = 48,
    /// Start of a batch of an experiment's own format.
    ExperimentalBatch = 49,
    /// Start of a sync batch.
    Sync = 50,
    /// Trace, monotonic and wall clock, read together.
    ClockSnapshot = 51,
    /// Ends a generation.
    EndOfGeneration = 52,
    /// AllocFree: a heap span exists.
    Span = 128,
    /// AllocFree: a heap span is allocated.
    SpanAlloc = 129,
    /// AllocFree: a heap span is freed.
    SpanFree = 130,
    /// AllocFree: an object exists.
    HeapObject = 131,
    /// AllocFree: an object is allocated.
    HeapObjectAlloc = 132,
    /// AllocFree: an object is freed.
    HeapObjectFree = 133,
    /// AllocFree: a goroutine stack exists.
    GoroutineStack = 134,
    /// AllocFree: a goroutine stack is allocated.
    GoroutineStackAlloc = 135,
    /// AllocFree: a goroutine stack is freed.
    GoroutineStackFree = 136,
}

/// Where an event may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Frames batches and tables.
    Structure,
    /// In the stream of a thread; the first argument is the time since the event before.
    Stream,
    /// As `Stream`, but only while an experiment (`GODEBUG=traceallocfree=1`) is on.
    Experiment,
    /// Timed, but only in a sync batch.
    Sync,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// The type byte.
    pub event: WireEvent,
    /// Name in the Go sources and in the text form of a trace.
    pub name: &'static str,
    /// Number in the first trace header that has it: 22 for `go 1.22 trace`.
    pub since: u8,
    /// Where it may stand.
    pub place: Place,
    /// Argument names as in the text form. `_string` and `stack` mark table ids.
    pub args: &'static [&'static str],
}

impl Spec {
    const fn new(event: WireEvent, name: &'static str, since: u8, place: Place, args: &'static [&'static str]) -> Self {
        Self {
            event,
            name,
            since,
            place,
            args,
        }
    }

    /// Whether the first argument is the time since the event before.
    #[inline]
    pub const fn is_timed(&self) -> bool {
        !matches!(self.place, Place::Structure)
    }
}

impl WireEvent {
    /// The row of the table for a type byte; `None` if no version of Go writes that byte.
    #[inline]
    pub fn spec_of(byte: u8) -> Option<&'static Spec> {
        BY_BYTE.get(usize::from(byte)).copied().flatten()
    }

    /// The type byte.
    #[inline]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Name in the Go sources: "GoStart".
    pub fn name(self) -> &'static str {
        Self::spec_of(self.byte()).map_or("", |spec| spec.name)
    }
}

/// All event kinds, by number.
#[rustfmt::skip]
pub const SPECS: &[Spec] = &[
    Spec::new(WireEvent::EventBatch, "EventBatch", 22, Place::Structure, &["gen", "m", "time", "size"]),
    Spec::new(WireEvent::Stacks, "Stacks", 22, Place::Structure, &[]),
    Spec::new(WireEvent::Stack, "Stack", 22, Place::Structure, &["id", "nframes"]),
    Spec::new(WireEvent::Strings, "Strings", 22, Place::Structure, &[]),
    Spec::new(WireEvent::String, "String", 22, Place::Structure, &["id"]),
    Spec::new(WireEvent::CpuSamples, "CPUSamples", 22, Place::Structure, &[]),
    Spec::new(WireEvent::CpuSample, "CPUSample", 22, Place::Structure, &["time", "m", "p", "g", "stack"]),
    Spec::new(WireEvent::Frequency, "Frequency", 22, Place::Structure, &["freq"]),
    Spec::new(WireEvent::ProcsChange, "ProcsChange", 22, Place::Stream, &["dt", "procs_value", "stack"]),
    Spec::new(WireEvent::ProcStart, "ProcStart", 22, Place::Stream, &["dt", "p", "p_seq"]),
    Spec::new(WireEvent::ProcStop, "ProcStop", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::ProcSteal, "ProcSteal", 22, Place::Stream, &["dt", "p", "p_seq", "m"]),
    Spec::new(WireEvent::ProcStatus, "ProcStatus", 22, Place::Stream, &["dt", "p", "pstatus"]),
    Spec::new(WireEvent::GoCreate, "GoCreate", 22, Place::Stream, &["dt", "new_g", "new_stack", "stack"]),
    Spec::new(WireEvent::GoCreateSyscall, "GoCreateSyscall", 22, Place::Stream, &["dt", "new_g"]),
    Spec::new(WireEvent::GoStart, "GoStart", 22, Place::Stream, &["dt", "g", "g_seq"]),
    Spec::new(WireEvent::GoDestroy, "GoDestroy", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::GoDestroySyscall, "GoDestroySyscall", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::GoStop, "GoStop", 22, Place::Stream, &["dt", "reason_string", "stack"]),
    Spec::new(WireEvent::GoBlock, "GoBlock", 22, Place::Stream, &["dt", "reason_string", "stack"]),
    Spec::new(WireEvent::GoUnblock, "GoUnblock", 22, Place::Stream, &["dt", "g", "g_seq", "stack"]),
    Spec::new(WireEvent::GoSyscallBegin, "GoSyscallBegin", 22, Place::Stream, &["dt", "p_seq", "stack"]),
    Spec::new(WireEvent::GoSyscallEnd, "GoSyscallEnd", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::GoSyscallEndBlocked, "GoSyscallEndBlocked", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::GoStatus, "GoStatus", 22, Place::Stream, &["dt", "g", "m", "gstatus"]),
    Spec::new(WireEvent::StwBegin, "STWBegin", 22, Place::Stream, &["dt", "kind_string", "stack"]),
    Spec::new(WireEvent::StwEnd, "STWEnd", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::GcActive, "GCActive", 22, Place::Stream, &["dt", "gc_seq"]),
    Spec::new(WireEvent::GcBegin, "GCBegin", 22, Place::Stream, &["dt", "gc_seq", "stack"]),
    Spec::new(WireEvent::GcEnd, "GCEnd", 22, Place::Stream, &["dt", "gc_seq"]),
    Spec::new(WireEvent::GcSweepActive, "GCSweepActive", 22, Place::Stream, &["dt", "p"]),
    Spec::new(WireEvent::GcSweepBegin, "GCSweepBegin", 22, Place::Stream, &["dt", "stack"]),
    Spec::new(WireEvent::GcSweepEnd, "GCSweepEnd", 22, Place::Stream, &["dt", "swept_value", "reclaimed_value"]),
    Spec::new(WireEvent::GcMarkAssistActive, "GCMarkAssistActive", 22, Place::Stream, &["dt", "g"]),
    Spec::new(WireEvent::GcMarkAssistBegin, "GCMarkAssistBegin", 22, Place::Stream, &["dt", "stack"]),
    Spec::new(WireEvent::GcMarkAssistEnd, "GCMarkAssistEnd", 22, Place::Stream, &["dt"]),
    Spec::new(WireEvent::HeapAlloc, "HeapAlloc", 22, Place::Stream, &["dt", "heapalloc_value"]),
    Spec::new(WireEvent::HeapGoal, "HeapGoal", 22, Place::Stream, &["dt", "heapgoal_value"]),
    Spec::new(WireEvent::GoLabel, "GoLabel", 22, Place::Stream, &["dt", "label_string"]),
    Spec::new(WireEvent::UserTaskBegin, "UserTaskBegin", 22, Place::Stream, &["dt", "task", "parent_task", "name_string", "stack"]),
    Spec::new(WireEvent::UserTaskEnd, "UserTaskEnd", 22, Place::Stream, &["dt", "task", "stack"]),
    Spec::new(WireEvent::UserRegionBegin, "UserRegionBegin", 22, Place::Stream, &["dt", "task", "name_string", "stack"]),
    Spec::new(WireEvent::UserRegionEnd, "UserRegionEnd", 22, Place::Stream, &["dt", "task", "name_string", "stack"]),
    Spec::new(WireEvent::UserLog, "UserLog", 22, Place::Stream, &["dt", "task", "key_string", "value_string", "stack"]),
    Spec::new(WireEvent::GoSwitch, "GoSwitch", 23, Place::Stream, &["dt", "g", "g_seq"]),
    Spec::new(WireEvent::GoSwitchDestroy, "GoSwitchDestroy", 23, Place::Stream, &["dt", "g", "g_seq"]),
    Spec::new(WireEvent::GoCreateBlocked, "GoCreateBlocked", 23, Place::Stream, &["dt", "new_g", "new_stack", "stack"]),
    Spec::new(WireEvent::GoStatusStack, "GoStatusStack", 23, Place::Stream, &["dt", "g", "m", "gstatus", "stack"]),
    Spec::new(WireEvent::ExperimentalBatch, "ExperimentalBatch", 23, Place::Structure, &["exp", "gen", "m", "time"]),
    Spec::new(WireEvent::Sync, "Sync", 25, Place::Structure, &[]),
    Spec::new(WireEvent::ClockSnapshot, "ClockSnapshot", 25, Place::Sync, &["dt", "mono", "sec", "nsec"]),
    Spec::new(WireEvent::EndOfGeneration, "EndOfGeneration", 26, Place::Structure, &[]),
    Spec::new(WireEvent::Span, "Span", 23, Place::Experiment, &["dt", "id", "npages_value", "kindclass"]),
    Spec::new(WireEvent::SpanAlloc, "SpanAlloc", 23, Place::Experiment, &["dt", "id", "npages_value", "kindclass"]),
    Spec::new(WireEvent::SpanFree, "SpanFree", 23, Place::Experiment, &["dt", "id"]),
    Spec::new(WireEvent::HeapObject, "HeapObject", 23, Place::Experiment, &["dt", "id", "type"]),
    Spec::new(WireEvent::HeapObjectAlloc, "HeapObjectAlloc", 23, Place::Experiment, &["dt", "id", "type"]),
    Spec::new(WireEvent::HeapObjectFree, "HeapObjectFree", 23, Place::Experiment, &["dt", "id"]),
    Spec::new(WireEvent::GoroutineStack, "GoroutineStack", 23, Place::Experiment, &["dt", "id", "order"]),
    Spec::new(WireEvent::GoroutineStackAlloc, "GoroutineStackAlloc", 23, Place::Experiment, &["dt", "id", "order"]),
    Spec::new(WireEvent::GoroutineStackFree, "GoroutineStackFree", 23, Place::Experiment, &["dt", "id"]),
];

/// `SPECS` by type byte.
static BY_BYTE: [Option<&'static Spec>; 256] = index_by_byte();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "evaluated by the compiler"
)]
const fn index_by_byte() -> [Option<&'static Spec>; 256] {
    let mut table = [None; 256];
    let mut row = 0;
    while row < SPECS.len() {
        table[SPECS[row].event as usize] = Some(&SPECS[row]);
        row += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        assert!(SPECS.is_sorted_by(|a, b| a.event < b.event));
    }

    #[test]
    fn every_row_is_found_by_its_byte() {
        for spec in SPECS {
            assert_eq!(WireEvent::spec_of(spec.event.byte()).unwrap().name, spec.name);
        }
        assert!(WireEvent::spec_of(0).is_none());
        assert!(WireEvent::spec_of(127).is_none());
        assert!(WireEvent::spec_of(255).is_none());
    }

    #[test]
    fn timed_rows_start_with_a_time_and_fit_a_chunk() {
        for spec in SPECS.iter().filter(|spec| spec.is_timed()) {
            assert_eq!(spec.args.first(), Some(&"dt"), "{}", spec.name);
            assert!(10 * spec.args.len() < crate::wire::CHUNK_BYTES, "{}", spec.name);
        }
    }
}
