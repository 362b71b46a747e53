//! What a recording says of small traces, written by hand in the text form.
//!
//! Recordings are compared in a short form, one goroutine a line:
//! `g2 main.work by g1: 0..10 runnable created | 10..20 running | 20..30 wait sync woken by g1`. Times are nanoseconds
//! since the recording's start; all traces here have one tick a nanosecond.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use gotrace::{ExecTrace, GoroutineState, RangeKind, Recording, RunnableCause, TaskId, UnixNanos, WaitReason, Waker};
use support::text::encode;

/// Tables that end a generation; strings 1 to 6 are always the same.
const STRINGS: &str = r#"
Strings
String id=1
    data="sync"
String id=2
    data="preempted"
String id=3
    data="runtime.Gosched"
String id=4
    data="main.work"
String id=5
    data="main.go"
String id=6
    data="main.caller"
"#;

/// Stack 1 is that of a new goroutine, stack 2 one inside a call.
const STACKS: &str = "
Stacks
Stack id=1 nframes=1
    pc=1 func=4 file=5 line=10
Stack id=2 nframes=2
    pc=2 func=6 file=5 line=20
    pc=1 func=4 file=5 line=11
";

/// A generation of Go 1.22 with these batches of events and the tables above.
fn generation(number: u64, events: &str) -> String {
    let table = format!("EventBatch gen={number} m=18446744073709551615 time=1000000");
    format!("{table}\nFrequency freq=1000000000\n{events}\n{table}\n{STACKS}\n{table}\n{STRINGS}\n")
}

/// A batch of a thread. All traces here start at 1000000.
fn thread(generation: u64, thread: u64, events: &str) -> String {
    format!("EventBatch gen={generation} m={thread} time=1000000\n{events}\n")
}

fn trace(generations: &[String]) -> Vec<u8> {
    encode(&format!("Trace Go1.22\n{}", generations.concat()))
}

fn decode(generations: &[String]) -> Recording {
    let recording = Recording::decode(&trace(generations)).unwrap();
    support::assert_tiled(&recording);
    recording
}

/// One generation in which one thread writes.
fn decode_one(events: &str) -> Recording {
    let recording = decode(&[generation(1, &thread(1, 7, events))]);
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    recording
}

/// P 0 and goroutine 1 run on the thread.
const RUNNING: &str = "ProcStatus dt=1 p=0 pstatus=1\nGoStatus dt=1 g=1 m=7 gstatus=2\n";

fn show(recording: &Recording) -> Vec<String> {
    let at = |time: gotrace::TraceNanos| time.0 - recording.start.0;
    let lives = recording.goroutines.iter().map(|goroutine| {
        let name = goroutine
            .start_function
            .map(|name| format!(" {}", recording.text(name)))
            .unwrap_or_default();
        let creator = goroutine.creator.map(|id| format!(" by g{id}")).unwrap_or_default();
        let intervals = recording.states_of(goroutine).iter();
        let intervals = intervals.map(|interval| {
            format!(
                "{}..{} {}",
                at(interval.start),
                at(interval.end),
                state(recording, interval.state)
            )
        });
        format!(
            "g{}{name}{creator}: {}",
            goroutine.id,
            intervals.collect::<Vec<_>>().join(" | ")
        )
    });
    lives.collect()
}

fn state(recording: &Recording, state: GoroutineState) -> String {
    match state {
        GoroutineState::Undetermined => "?".to_owned(),
        GoroutineState::Runnable { cause } => match cause {
            RunnableCause::Stopped(reason) => format!("runnable {}", recording.text(reason)),
            RunnableCause::Created => "runnable created".to_owned(),
            RunnableCause::Unblocked => "runnable unblocked".to_owned(),
            RunnableCause::Preempted => "runnable preempted".to_owned(),
            RunnableCause::Yield => "runnable yield".to_owned(),
            RunnableCause::SyscallExit => "runnable syscall exit".to_owned(),
            RunnableCause::Unknown => "runnable ?".to_owned(),
            other => panic!("{other:?}"),
        },
        GoroutineState::Running { proc, thread } => {
            format!("run p{} m{}", proc.unwrap(), thread.unwrap())
        }
        GoroutineState::Syscall => "syscall".to_owned(),
        GoroutineState::SyscallBlocked => "syscall blocked".to_owned(),
        GoroutineState::Waiting { reason, waker, .. } => {
            let reason = match reason {
                WaitReason::Runtime(_) => recording.wait_reason(reason).into_owned(),
                WaitReason::CoroutineSwitch => "coroutine".to_owned(),
                WaitReason::Unknown => "?".to_owned(),
            };
            match waker {
                Waker::Goroutine(id) => format!("wait {reason} woken by g{id}"),
                Waker::External => format!("wait {reason} woken"),
                Waker::None => format!("wait {reason}"),
            }
        }
    }
}

#[test]
fn a_goroutine_lives_from_creation_to_end() {
    let recording = decode_one(&format!(
        "{RUNNING}
        GoCreate dt=8 new_g=2 new_stack=1 stack=2
        GoBlock dt=10 reason_string=1 stack=2
        GoStart dt=10 g=2 g_seq=1
        GoUnblock dt=10 g=1 g_seq=1 stack=2
        GoDestroy dt=10
        GoStart dt=10 g=1 g_seq=2"
    ));
    assert_eq!(
        show(&recording),
        [
            "g1 main.work: 0..20 run p0 m7 | 20..40 wait sync woken by g2 | 40..60 runnable unblocked | 60..61 run p0 m7",
            "g2 main.work by g1: 10..30 runnable created | 30..50 run p0 m7",
        ]
    );
    let [first, second] = &recording.goroutines[..] else {
        panic!("two goroutines")
    };
    assert_eq!((first.birth, first.death, first.is_system), (None, None, false));
    assert_eq!((second.birth, second.death), (Some(second.first), Some(second.last)));
    assert_eq!(recording.frames(second.creation_stack.unwrap())[0].line, 20);
    let wait = recording.states_of(first)[1];
    let GoroutineState::Waiting { waker_stack, .. } = wait.state else {
        panic!("a wait")
    };
    assert_eq!(
        (wait.stack, waker_stack),
        (second.creation_stack, second.creation_stack)
    );
}

#[test]
fn what_made_a_goroutine_runnable_is_told() {
    let recording = decode_one(
        &format!(
            "{RUNNING}
        GoStop dt=8 reason_string=2 stack=2
        GoStart dt=10 g=1 g_seq=1
        GoStop dt=10 reason_string=3 stack=2
        GoStart dt=10 g=1 g_seq=2
        GoStop dt=10 reason_string=1 stack=2
        GoStart dt=10 g=1 g_seq=3
        GoUnblock dt=10 g=3 g_seq=1 stack=0
        GoStatus dt=1 g=4 m=18446744073709551615 gstatus=1"
        )
        .replace(
            "GoUnblock",
            "GoStatus dt=1 g=3 m=18446744073709551615 gstatus=4\nGoUnblock",
        ),
    );
    assert_eq!(
        show(&recording),
        [
            "g1 main.work: 0..10 run p0 m7 | 10..20 runnable preempted | 20..30 run p0 m7 | 30..40 runnable yield \
         | 40..50 run p0 m7 | 50..60 runnable sync | 60..73 run p0 m7",
            "g3: 0..71 wait ? woken by g1 | 71..73 runnable unblocked",
            "g4: 0..73 runnable ?",
        ]
    );
    assert!(
        recording.goroutines[2].is_system,
        "Go's rule for an unknown start function"
    );
}

#[test]
fn the_runtime_wakes_without_a_goroutine() {
    let recording = decode_one(&format!(
        "{RUNNING}
        GoBlock dt=8 reason_string=1 stack=0
        GoUnblock dt=10 g=1 g_seq=1 stack=0"
    ));
    assert_eq!(
        show(&recording),
        ["g1: 0..10 run p0 m7 | 10..20 wait sync woken | 20..21 runnable unblocked"]
    );
}

#[test]
fn statuses_of_later_generations_change_nothing() {
    let waiting = "GoStatus dt=50 g=2 m=18446744073709551615 gstatus=4";
    let first = thread(1, 7, &format!("{RUNNING}{waiting}"));
    let second = thread(
        2,
        7,
        &format!("ProcStatus dt=100 p=0 pstatus=1\nGoStatus dt=1 g=1 m=7 gstatus=2\n{waiting}"),
    );
    let recording = decode(&[generation(1, &first), generation(2, &second)]);
    assert!(recording.warnings.is_empty());
    assert_eq!(show(&recording), ["g1: 0..152 run p0 m7", "g2: 0..152 wait ?"]);
    assert_eq!(
        recording
            .generations
            .iter()
            .map(|generation| generation.number)
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

/// The runtime writes the statuses that end a generation when the next one is under way.
#[test]
fn a_status_of_no_thread_puts_nothing_off() {
    let first = thread(1, 7, RUNNING);
    let statuses = "EventBatch gen=1 m=18446744073709551615 time=1000000
        GoStatus dt=500 g=2 m=18446744073709551615 gstatus=4\n";
    let second = "ProcStatus dt=100 p=0 pstatus=1
        GoStatus dt=1 g=1 m=7 gstatus=2
        GoBlock dt=10 reason_string=1 stack=0";
    let trace = trace(&[
        generation(1, &format!("{first}{statuses}")),
        generation(2, &thread(2, 7, second)),
    ]);
    let recording = Recording::decode(&trace).unwrap();
    assert_eq!(
        show(&recording),
        ["g1: 0..111 run p0 m7 | 111..112 wait sync", "g2: 0..112 wait ?"]
    );
    let as_go_has_it = Recording::of(ExecTrace::open(&trace).unwrap().with_times_of_go_reader()).unwrap();
    assert_eq!(
        show(&as_go_has_it),
        ["g1: 0..504 run p0 m7 | 504..505 wait sync", "g2: 0..505 wait ?"]
    );
}

#[test]
fn a_damaged_generation_is_left_out_and_the_next_starts_afresh() {
    let first = thread(
        1,
        7,
        &format!("{RUNNING}GoStatus dt=8 g=2 m=18446744073709551615 gstatus=4"),
    );
    let second = thread(2, 7, "ProcStatus dt=100 p=0 pstatus=1");
    let third = thread(
        3,
        7,
        "ProcStatus dt=200 p=0 pstatus=1\nGoStatus dt=10 g=1 m=7 gstatus=2",
    );
    let damaged = generation(2, &second).replace("Frequency freq=1000000000", "Frequency freq=0");
    let trace = trace(&[generation(1, &first), damaged, generation(3, &third)]);
    let recording = Recording::decode(&trace).unwrap();
    support::assert_tiled(&recording);
    let warning = recording.warnings.as_slice()[0].to_string();
    assert!(warning.starts_with("generation 2: left out: byte "), "{warning}");
    assert!(warning.ends_with("frequency 0 is out of range"), "{warning}");
    // The gap starts one nanosecond after the last event before it, the next generation one after that.
    assert_eq!(
        show(&recording),
        [
            "g1: 0..11 run p0 m7 | 11..12 ? | 12..211 run p0 m7",
            "g2: 0..11 wait ? | 11..12 ?",
        ]
    );
}

#[test]
fn events_that_contradict_each_other_end_their_generation() {
    let first = thread(
        1,
        7,
        &format!("{RUNNING}GoSyscallEnd dt=8\nGoBlock dt=1 reason_string=1 stack=0"),
    );
    let second = thread(
        2,
        7,
        "ProcStatus dt=100 p=0 pstatus=1\nGoStatus dt=10 g=1 m=7 gstatus=2",
    );
    let recording = decode(&[generation(1, &first), generation(2, &second)]);
    let warning = recording.warnings.as_slice()[0].to_string();
    assert!(warning.contains("generation 1: cut after 2 events: byte "), "{warning}");
    assert!(
        warning.ends_with("GoSyscallEnd: goroutine 1 is running, expected in a system call"),
        "{warning}"
    );
    assert_eq!(show(&recording), ["g1: 0..3 run p0 m7 | 3..4 ? | 4..111 run p0 m7"]);
}

fn numbers(recording: &Recording) -> Vec<u64> {
    recording
        .generations
        .iter()
        .map(|generation| generation.number)
        .collect()
}

fn warnings(recording: &Recording) -> Vec<String> {
    recording.warnings.as_slice().iter().map(ToString::to_string).collect()
}

#[test]
fn missing_generations_are_noted() {
    let events = |number| generation(number, &thread(number, 7, RUNNING));
    let recording = decode(&[events(1), events(2), events(5), events(6)]);
    assert_eq!(
        warnings(&recording),
        ["generation 5: generations are missing after generation 2"]
    );
    assert_eq!(numbers(&recording), [1, 2, 5, 6]);
}

#[test]
fn a_stray_batch_costs_the_generation_that_it_stands_in() {
    let events = |number| generation(number, &thread(number, 7, RUNNING));
    let spoiled = events(2).replacen("\nEventBatch gen=2", "\nEventBatch gen=9", 1);
    let recording = decode(&[events(1), spoiled, events(3)]);
    assert_eq!(numbers(&recording), [1, 3]);
    let [warning] = &warnings(&recording)[..] else {
        panic!("{:?}", recording.warnings)
    };
    assert!(warning.starts_with("generation 2: left out: byte "), "{warning}");
    assert!(
        warning.ends_with("expected a batch of generation 2, found one of generation 9"),
        "{warning}"
    );
}

#[test]
fn lost_batch_boundaries_cost_what_stands_before_the_next_generation() {
    let events = |number| generation(number, &thread(number, 7, RUNNING));
    let ends: Vec<usize> = (1..=3)
        .map(|last| trace(&(1..=last).map(events).collect::<Vec<_>>()).len())
        .collect();
    let mut bytes = trace(&[events(1), events(2), events(3)]);
    bytes[ends[0]] = 77;
    let recording = Recording::decode(&bytes).unwrap();
    assert_eq!(numbers(&recording), [1, 3]);
    let expected = format!(
        "{} bytes are unreadable: byte {}: expected a batch, found type byte 77",
        ends[1] - ends[0],
        ends[0]
    );
    assert_eq!(warnings(&recording), [expected]);

    bytes.truncate(ends[1]);
    let recording = Recording::decode(&bytes).unwrap();
    assert_eq!(numbers(&recording), [1]);
    assert_eq!(warnings(&recording).len(), 1);
}

#[test]
fn a_system_call_is_split_where_its_proc_is_stolen() {
    let caller = thread(
        1,
        7,
        &format!(
            "{RUNNING}
        GoSyscallBegin dt=8 p_seq=1 stack=2
        GoSyscallEnd dt=10
        GoSyscallBegin dt=10 p_seq=2 stack=2
        GoSyscallEndBlocked dt=30
        ProcStart dt=10 p=0 p_seq=4
        GoStart dt=10 g=1 g_seq=1"
        ),
    );
    let thief = thread(1, 8, "ProcSteal dt=40 p=0 p_seq=3 m=7");
    let recording = decode(&[generation(1, &format!("{caller}{thief}"))]);
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    assert_eq!(
        show(&recording),
        [
            "g1 main.work: 0..10 run p0 m7 | 10..20 syscall | 20..30 run p0 m7 | 30..40 syscall | 40..60 syscall blocked \
         | 60..80 runnable syscall exit | 80..81 run p0 m7",
        ]
    );
}

#[test]
fn an_event_waits_for_what_must_come_first_whatever_its_time() {
    // The clock of thread 8 is behind: it starts the goroutine before thread 7 has created it.
    let creator = thread(1, 7, &format!("{RUNNING}GoCreate dt=98 new_g=2 new_stack=1 stack=0"));
    let starter = thread(
        1,
        8,
        "ProcStatus dt=50 p=1 pstatus=2\nProcStart dt=1 p=1 p_seq=1\nGoStart dt=1 g=2 g_seq=1",
    );
    let recording = decode(&[generation(1, &format!("{creator}{starter}"))]);
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    assert_eq!(
        show(&recording)[1],
        "g2 main.work by g1: 100..101 runnable created | 101..102 run p1 m8"
    );
}

#[test]
fn a_coroutine_switch_hands_the_thread_over() {
    let recording = Recording::decode(&encode(&format!(
        "Trace Go1.23\n{}",
        generation(
            1,
            &thread(
                1,
                7,
                &format!(
                    "{RUNNING}
        GoCreateBlocked dt=8 new_g=2 new_stack=1 stack=0
        GoSwitch dt=10 g=2 g_seq=1
        GoSwitchDestroy dt=10 g=1 g_seq=1"
                )
            )
        )
    )))
    .unwrap();
    support::assert_tiled(&recording);
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    // A switch is three events, a nanosecond apart: unblock, block or end, start.
    assert_eq!(
        show(&recording),
        [
            "g1: 0..21 run p0 m7 | 21..30 wait coroutine woken by g2 | 30..32 runnable unblocked | 32..33 run p0 m7",
            "g2 main.work by g1: 10..20 wait coroutine woken by g1 | 20..22 runnable unblocked | 22..31 run p0 m7",
        ]
    );
    assert_eq!(
        (
            recording.event_counts["GoSwitch"],
            recording.event_counts.get("GoStart")
        ),
        (1, None)
    );
}

#[test]
fn an_id_that_c_callbacks_share_has_a_life_for_each() {
    let recording = decode_one(
        "GoCreateSyscall dt=10 new_g=5
        GoDestroySyscall dt=10
        GoCreateSyscall dt=10 new_g=5
        GoDestroySyscall dt=10",
    );
    assert_eq!(
        show(&recording),
        ["g5: 10..20 syscall blocked", "g5: 30..40 syscall blocked"]
    );
}

#[test]
fn user_events_keep_their_bytes_and_their_goroutines() {
    let recording = decode(&[generation(
        1,
        &thread(
            1,
            7,
            &format!(
                "{RUNNING}
            UserRegionEnd dt=1 task=0 name_string=1 stack=0
            UserTaskBegin dt=1 task=10 parent_task=0 name_string=7 stack=2
            UserTaskBegin dt=1 task=11 parent_task=10 name_string=7 stack=0
            UserLog dt=1 task=11 key_string=8 value_string=9 stack=2
            UserRegionBegin dt=1 task=11 name_string=4 stack=2
            UserRegionBegin dt=1 task=11 name_string=5 stack=2
            UserRegionEnd dt=1 task=11 name_string=5 stack=0
            UserTaskEnd dt=1 task=11 stack=0
            UserTaskEnd dt=1 task=11 stack=0
            UserTaskEnd dt=1 task=99 stack=0"
            ),
        ),
    )
    .replace(
        "String id=6",
        "String id=7
        data=\"GET /users\"
        String id=8
        data=\"datadog.uint64_span_id\"
        String id=9
        data=\"\\xff\\x00\\xfe\\x01\\x80\\x81\\x82\\x83\"
        String id=6",
    )]);
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    let [root, child, unknown] = &recording.tasks[..] else {
        panic!("{:?}", recording.tasks)
    };
    assert_eq!((root.parent, root.end), (None, None));
    assert_eq!(
        (child.parent, recording.text(child.name).as_ref()),
        (Some(root.id), "GET /users")
    );
    assert_eq!(child.end.unwrap().time.0 - child.begin.unwrap().time.0, 5);
    assert_eq!((unknown.begin, recording.text(unknown.name).as_ref()), (None, ""));
    let [log] = &recording.logs[..] else {
        panic!("{:?}", recording.logs)
    };
    assert_eq!(log.message.as_ref(), [0xff, 0, 0xfe, 1, 0x80, 0x81, 0x82, 0x83]);
    assert_eq!(
        (log.task, recording.text(log.key).as_ref()),
        (child.id, "datadog.uint64_span_id")
    );
    let [early, inner, outer] = &recording.regions[..] else {
        panic!("{:?}", recording.regions)
    };
    assert_eq!((early.task, early.start), (TaskId::BACKGROUND, None));
    assert!(inner.start > outer.start && inner.end.is_some() && outer.end.is_none());
}

#[test]
fn regions_that_overlap_are_noted() {
    let recording = decode(&[generation(
        1,
        &thread(
            1,
            7,
            &format!(
                "{RUNNING}
        UserRegionBegin dt=1 task=1 name_string=1 stack=0
        UserRegionBegin dt=1 task=1 name_string=2 stack=0
        UserRegionEnd dt=1 task=1 name_string=1 stack=0"
            ),
        ),
    )]);
    assert_eq!(
        recording.warnings.as_slice()[0].to_string(),
        "generation 1: at 1000005 ns: a user region ends that is not the innermost one on goroutine 1"
    );
    assert_eq!(
        recording.regions.iter().filter(|region| region.end.is_none()).count(),
        1
    );
}

#[test]
fn runtime_ranges_reach_to_the_ends_of_the_trace_where_it_does_not_show_theirs() {
    let recording = decode_one(&format!(
        "{RUNNING}
        GCActive dt=8 gc_seq=4
        GCMarkAssistActive dt=1 g=1
        GCMarkAssistEnd dt=9
        STWBegin dt=10 kind_string=2 stack=2
        GCEnd dt=5 gc_seq=5
        STWEnd dt=5
        GCSweepBegin dt=10 stack=2
        GCSweepEnd dt=10 swept_value=8192 reclaimed_value=4096
        GCMarkAssistBegin dt=10 stack=0"
    ));
    let shown: Vec<String> = recording
        .ranges
        .iter()
        .map(|range| {
            let kind = match range.kind {
                RangeKind::StopTheWorld { kind } => format!("stw {}", recording.text(kind)),
                RangeKind::GcMark => "mark".to_owned(),
                RangeKind::MarkAssist => "assist".to_owned(),
                RangeKind::Sweep {
                    swept_bytes,
                    reclaimed_bytes,
                } => format!("sweep {swept_bytes} {reclaimed_bytes}"),
                other => panic!("{other:?}"),
            };
            let (start, end) = (range.start.0 - recording.start.0, range.end.0 - recording.start.0);
            let goroutine = range.goroutine.map(|id| format!(" g{id}")).unwrap_or_default();
            format!("{start}..{end} {kind}{goroutine} {} {}", range.began, range.ended)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "0..35 mark false true",
            "0..20 assist g1 false true",
            "30..40 stw preempted g1 true true",
            "50..60 sweep 8192 4096 g1 true true",
            "70..71 assist g1 true false",
        ]
    );
}

#[test]
fn cpu_samples_stand_between_events() {
    let samples = "EventBatch gen=1 m=18446744073709551615 time=1000000\nCPUSamples
        CPUSample time=1000005 m=7 p=0 g=1 stack=2
        CPUSample time=1000004 m=7 p=18446744073709551615 g=0 stack=0\n";
    let recording = decode(&[generation(
        1,
        &format!(
            "{samples}{}",
            thread(1, 7, &format!("{RUNNING}GoLabel dt=20 label_string=1"))
        ),
    )]);
    let [first, second] = &recording.cpu_samples[..] else {
        panic!("{:?}", recording.cpu_samples)
    };
    assert_eq!(
        (first.time.0, first.proc, first.goroutine, first.stack),
        (1_000_004, None, None, None)
    );
    assert_eq!((second.time.0, second.goroutine.unwrap().get()), (1_000_005, 1));
    assert_eq!(recording.event_counts["CPUSample"], 2);
}

/// A thread whose next event must wait has not told yet what it did before the sample.
#[test]
fn a_cpu_sample_waits_for_earlier_events_of_threads_that_wait() {
    let samples = "EventBatch gen=1 m=18446744073709551615 time=1000000\nCPUSamples
        CPUSample time=1000010 m=7 p=0 g=2 stack=0\n";
    let early = thread(
        1,
        7,
        "ProcStatus dt=1 p=0 pstatus=1\nGoStart dt=4 g=2 g_seq=1\nGoStop dt=20 reason_string=2 stack=0",
    );
    let late = thread(
        1,
        8,
        "ProcStatus dt=2 p=1 pstatus=1\nGoStatus dt=1 g=1 m=8 gstatus=2\nGoCreate dt=12 new_g=2 new_stack=0 stack=0",
    );
    let bytes = trace(&[generation(1, &format!("{samples}{early}{late}"))]);
    let kinds = ExecTrace::open(&bytes).unwrap().events().map(|event| event.kind);
    let order: Vec<String> = kinds.map(|kind| format!("{kind:?}")).collect();
    let position = |name: &str| order.iter().position(|kind| kind.starts_with(name)).unwrap();
    let expected = ["GoCreate", "GoStart", "CpuSample", "GoStop"].map(position);
    assert!(expected.is_sorted(), "{order:#?}");
}

#[test]
fn experimental_batches_and_events_are_passed_over() {
    let experimental = "ExperimentalBatch exp=1 gen=1 m=7 time=1000000\n    data=\"\\x01\\x02\"\n";
    let events = thread(1, 7, &format!("{RUNNING}HeapObjectAlloc dt=1 id=5 type=6"));
    let recording = Recording::decode(&encode(&format!(
        "Trace Go1.23\n{}",
        generation(1, &format!("{experimental}{events}"))
    )))
    .unwrap();
    assert!(recording.warnings.is_empty(), "{:?}", recording.warnings);
    assert_eq!(recording.event_counts["HeapObjectAlloc"], 1);
}

#[test]
fn clock_snapshots_give_wall_time() {
    let clocks = "Sync\nFrequency freq=1000000000\nClockSnapshot dt=100 mono=77 sec=1700000000 nsec=5";
    let generation = generation(1, &thread(1, 7, RUNNING)).replace("Frequency freq=1000000000", clocks);
    let recording = Recording::decode(&encode(&format!("Trace Go1.25\n{generation}"))).unwrap();
    assert_eq!(
        recording.unix(recording.start),
        Some(UnixNanos(1_699_999_999_999_999_905))
    );
    assert_eq!(recording.generations[0].clock.unwrap().monotonic_ns, 77);
}

#[test]
fn before_go_1_25_there_is_no_wall_time() {
    let recording = decode_one(RUNNING);
    assert_eq!(recording.unix(recording.start), None);
    let clocks = "Frequency freq=1000000000\nClockSnapshot dt=1 mono=1 sec=1700000000 nsec=0";
    let error = error_after("Frequency freq=1000000000", clocks);
    assert!(error.contains("expected a frequency, found type byte 51"), "{error}");
}

/// The error of a trace of one generation with something replaced.
fn error_after(replace: &str, with: &str) -> String {
    let generation = generation(1, &thread(1, 7, RUNNING));
    assert!(generation.contains(replace), "{replace}");
    let trace = encode(&format!("Trace Go1.22\n{}", generation.replacen(replace, with, 1)));
    Recording::decode(&trace).unwrap_err().to_string()
}

#[test]
fn tables_that_break_a_rule_are_refused() {
    let long = format!("data=\"{}\"", "x".repeat(1025));
    let deep = format!("nframes=129{}", "\n    pc=1 func=4 file=5 line=10".repeat(128));
    for (replace, with, expected) in [
        ("data=\"sync\"", &*long, "1025 string bytes announced, at most 1024 fit"),
        ("nframes=1", &*deep, "number of stack frames 129 is out of range"),
        (
            "String id=2",
            "String id=1",
            "string id 1 is defined twice in one generation",
        ),
        (
            "Stack id=2",
            "Stack id=1",
            "stack id 1 is defined twice in one generation",
        ),
        (
            "String id=1",
            "String id=0",
            "string id 0 is defined twice in one generation",
        ),
        ("func=4", "func=44", "string id 44 is not defined in its generation"),
        ("Frequency freq=1000000000", "Stacks", "the generation has no frequency"),
        (
            "Frequency freq=1000000000",
            "Frequency freq=1\nFrequency freq=1",
            "a second frequency in one generation",
        ),
        (
            "Frequency freq=1000000000",
            "Frequency freq=1\nStack id=9 nframes=0",
            "expected a frequency, found type byte 3",
        ),
        ("gen=1 ", "gen=0 ", "generation number 0 is out of range"),
    ] {
        let error = error_after(replace, with);
        assert!(
            error.contains("no complete generation") && error.contains("byte "),
            "{error}"
        );
        assert!(error.contains(expected), "{with}: {error}");
    }
}

#[test]
fn events_that_break_a_rule_are_refused() {
    for (event, expected) in [
        (
            "GoBlock dt=1 reason_string=99 stack=0",
            "string id 99 is not defined in its generation",
        ),
        (
            "GoBlock dt=1 reason_string=1 stack=99",
            "stack id 99 is not defined in its generation",
        ),
        (
            "GoStart dt=1 g=9 g_seq=1",
            "the next event, GoStart, waits for a state that never comes",
        ),
        (
            "GoCreate dt=1 new_g=1 new_stack=0 stack=0",
            "GoCreate: goroutine 1 is running, expected not to exist",
        ),
        (
            "GoStatus dt=1 g=1 m=7 gstatus=4",
            "GoStatus: goroutine 1 is running, expected waiting",
        ),
        ("GoStatus dt=1 g=2 m=7 gstatus=5", "goroutine status 5 is out of range"),
        (
            "ProcStatus dt=1 p=0 pstatus=2",
            "ProcStatus: proc 0 is running, expected idle",
        ),
        ("ProcStatus dt=1 p=1 pstatus=0", "proc status 0 is out of range"),
        (
            "GoSyscallBegin dt=1 p_seq=7 stack=0",
            "GoSyscallBegin: sequence number 7 of proc 0, expected 1",
        ),
        (
            "GoStart dt=1 g=18446744073709551615 g_seq=1",
            "GoStart: expected a goroutine",
        ),
        ("GCEnd dt=1 gc_seq=1", "GCEnd: expected marking to be under way"),
        (
            "String id=1\ndata=\"\"",
            "expected an event with a time, found type byte 5",
        ),
        (
            "ClockSnapshot dt=1 mono=1 sec=1 nsec=1",
            "expected an event with a time, found type byte 51",
        ),
        (
            "ProcStop dt=18446744073709551615",
            "time since the event before 18446744073709551615 is out of range",
        ),
        (
            "ProcStop dt=9223372036854775807",
            "time since the event before 9223372036854775807 is out of range",
        ),
    ] {
        let recording = decode(&[generation(1, &thread(1, 7, &format!("{RUNNING}{event}")))]);
        let warning = recording.warnings.as_slice()[0].to_string();
        assert!(
            warning.starts_with("generation 1: cut after 2 events: byte "),
            "{event}: {warning}"
        );
        assert!(warning.contains(expected), "{event}: {warning}");
    }
}

#[test]
fn a_header_alone_holds_no_generation() {
    let error = Recording::decode(b"go 1.26 trace\0\0\0").unwrap_err().to_string();
    assert!(
        error.contains("no complete generation") && error.contains("byte 16"),
        "{error}"
    );
}
