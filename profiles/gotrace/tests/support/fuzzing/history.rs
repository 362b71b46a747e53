//! Whether events, in their order, can have happened: the rules of the Go scheduler, told by what a reader of the events
//! sees. Independent of the decoder, which finds the order by other means.

use std::collections::BTreeMap;

use gotrace::{Context, EventKind, GoEvent, GoStatus, GoroutineId, ProcId, ProcStatus, ThreadId};

/// What a thread holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Thread {
    proc: Option<ProcId>,
    goroutine: Option<GoroutineId>,
}

/// What is known between two gaps.
#[derive(Debug, Default)]
struct World {
    threads: BTreeMap<ThreadId, Thread>,
    procs: BTreeMap<ProcId, ProcStatus>,
    goroutines: BTreeMap<GoroutineId, GoStatus>,
}

/// Panics if an event contradicts those before it.
pub(super) fn check(events: &[GoEvent]) {
    let mut world = World::default();
    for (position, event) in events.iter().enumerate() {
        let next = events.get(position + 1).map(|event| event.kind);
        match event.kind {
            EventKind::Gap => {
                assert!(position > 0, "nothing is missing before the first event");
                assert!(
                    matches!(next, Some(EventKind::GenerationStart { .. })),
                    "a gap before {next:?}"
                );
                world = World::default();
            }
            EventKind::GenerationStart { .. } => assert_eq!(event.context, Context::default()),
            EventKind::CpuSample => {}
            _ => {
                assert!(position > 0, "{event:?} before any generation");
                world.apply(event, next);
            }
        }
    }
}

impl World {
    fn apply(&mut self, event: &GoEvent, next: Option<EventKind>) {
        let thread = event.context.thread;
        let here = thread
            .and_then(|thread| self.threads.get(&thread))
            .copied()
            .unwrap_or_default();
        let context = Thread {
            proc: event.context.proc,
            goroutine: event.context.goroutine,
        };
        // The end of a callback takes its proc away first, but happens on it.
        if matches!(event.kind, EventKind::GoDestroySyscall { .. }) && here.proc.is_none() {
            assert_eq!(context.goroutine, here.goroutine, "{event:?}");
        } else {
            assert_eq!(context, here, "{event:?}");
        }
        let after = match event.kind {
            EventKind::ProcStart { .. }
            | EventKind::ProcStop { .. }
            | EventKind::ProcSteal { .. }
            | EventKind::ProcStatus { .. } => self.apply_proc(event, here, next),
            EventKind::GoSyscallBegin { .. }
            | EventKind::GoSyscallEnd { .. }
            | EventKind::GoSyscallEndBlocked { .. }
            | EventKind::GoCreateSyscall { .. }
            | EventKind::GoDestroySyscall { .. } => self.apply_syscall(event, here),
            _ => self.apply_goroutine(event, here),
        };
        if let (Some(thread), Some(after)) = (thread, after) {
            self.threads.insert(thread, after);
        }
    }

    /// Returns what the thread holds then.
    fn apply_proc(&mut self, event: &GoEvent, here: Thread, next: Option<EventKind>) -> Option<Thread> {
        match event.kind {
            EventKind::ProcStart { proc } => {
                self.turn_proc(event, proc, &[ProcStatus::Idle], ProcStatus::Running);
                assert_eq!(here.proc, None, "{event:?}");
                Some(Thread {
                    proc: Some(proc),
                    ..here
                })
            }
            EventKind::ProcStop { proc } => {
                assert_eq!(here.proc, Some(proc), "{event:?}");
                self.turn_proc(
                    event,
                    proc,
                    &[ProcStatus::Running, ProcStatus::Syscall],
                    ProcStatus::Idle,
                );
                Some(Thread { proc: None, ..here })
            }
            EventKind::ProcSteal { proc, victim } => {
                let ends_callback = here.proc == Some(proc)
                    && matches!(next, Some(EventKind::GoDestroySyscall { goroutine }) if here.goroutine == Some(goroutine));
                if self.procs.get(&proc) == Some(&ProcStatus::Syscall) {
                    let holder = self.threads.values_mut().find(|thread| thread.proc == Some(proc));
                    let holder = holder.unwrap_or_else(|| panic!("{event:?}: nobody holds the proc"));
                    assert_eq!(holder.goroutine, victim, "{event:?}");
                    holder.proc = None;
                } else {
                    assert_eq!(victim, None, "{event:?}");
                }
                let from = [ProcStatus::Syscall, ProcStatus::SyscallAbandoned];
                let to = if ends_callback {
                    ProcStatus::SyscallAbandoned
                } else {
                    ProcStatus::Idle
                };
                self.turn_proc(event, proc, &from, to);
                None
            }
            EventKind::ProcStatus { proc, status, first } => {
                let known = self.procs.insert(proc, status);
                assert_eq!(known.is_none(), first, "{event:?}");
                assert_eq!(known.unwrap_or(status), status, "{event:?}");
                let binds = matches!(status, ProcStatus::Running | ProcStatus::Syscall);
                binds.then_some(Thread {
                    proc: Some(proc),
                    ..here
                })
            }
            _ => None,
        }
    }

    fn apply_syscall(&mut self, event: &GoEvent, here: Thread) -> Option<Thread> {
        match event.kind {
            EventKind::GoSyscallBegin { goroutine } => {
                self.turn(event, here, goroutine, GoStatus::Running, Some(GoStatus::Syscall));
                let proc = here.proc.unwrap_or_else(|| panic!("{event:?}: no proc"));
                self.procs.insert(proc, ProcStatus::Syscall);
                None
            }
            EventKind::GoSyscallEnd { goroutine } => {
                self.turn(event, here, goroutine, GoStatus::Syscall, Some(GoStatus::Running));
                let proc = here.proc.unwrap_or_else(|| panic!("{event:?}: no proc"));
                self.turn_proc(event, proc, &[ProcStatus::Syscall], ProcStatus::Running);
                None
            }
            EventKind::GoSyscallEndBlocked { goroutine } => {
                self.turn(event, here, goroutine, GoStatus::Syscall, Some(GoStatus::Runnable));
                Some(Thread {
                    goroutine: None,
                    ..here
                })
            }
            EventKind::GoCreateSyscall { goroutine } => {
                assert_eq!(here.goroutine, None, "{event:?}");
                assert_eq!(self.goroutines.insert(goroutine, GoStatus::Syscall), None, "{event:?}");
                Some(Thread {
                    goroutine: Some(goroutine),
                    ..here
                })
            }
            EventKind::GoDestroySyscall { goroutine } => {
                self.turn(event, here, goroutine, GoStatus::Syscall, None);
                Some(Thread::default())
            }
            _ => None,
        }
    }

    fn apply_goroutine(&mut self, event: &GoEvent, here: Thread) -> Option<Thread> {
        let left = Some(Thread {
            goroutine: None,
            ..here
        });
        match event.kind {
            EventKind::GoCreate { goroutine, blocked, .. } => {
                assert!(here.proc.is_some(), "{event:?}");
                let status = if blocked { GoStatus::Waiting } else { GoStatus::Runnable };
                assert_eq!(self.goroutines.insert(goroutine, status), None, "{event:?}");
                None
            }
            EventKind::GoStart { goroutine } => {
                assert!(here.proc.is_some() && here.goroutine.is_none(), "{event:?}");
                let known = self.goroutines.insert(goroutine, GoStatus::Running);
                assert_eq!(known, Some(GoStatus::Runnable), "{event:?}");
                Some(Thread {
                    goroutine: Some(goroutine),
                    ..here
                })
            }
            EventKind::GoUnblock { goroutine } => {
                let known = self.goroutines.insert(goroutine, GoStatus::Runnable);
                assert_eq!(known, Some(GoStatus::Waiting), "{event:?}");
                None
            }
            EventKind::GoStop { goroutine, .. } => {
                self.turn(event, here, goroutine, GoStatus::Running, Some(GoStatus::Runnable));
                left
            }
            EventKind::GoBlock { goroutine, .. } => {
                self.turn(event, here, goroutine, GoStatus::Running, Some(GoStatus::Waiting));
                left
            }
            EventKind::GoDestroy { goroutine } => {
                self.turn(event, here, goroutine, GoStatus::Running, None);
                left
            }
            EventKind::GoStatus {
                goroutine,
                status,
                first,
            } => {
                let known = self.goroutines.insert(goroutine, status);
                assert_eq!(known.is_none(), first, "{event:?}");
                assert_eq!(known.unwrap_or(status), status, "{event:?}");
                let binds = matches!(status, GoStatus::Running | GoStatus::Syscall);
                binds.then_some(Thread {
                    goroutine: Some(goroutine),
                    ..here
                })
            }
            EventKind::MarkAssistActive { goroutine } => {
                assert!(self.goroutines.contains_key(&goroutine), "{event:?}");
                None
            }
            EventKind::SweepActive { proc } => {
                assert!(self.procs.contains_key(&proc), "{event:?}");
                None
            }
            _ => None,
        }
    }

    /// The goroutine of this thread goes from one status to another, or ends.
    fn turn(&mut self, event: &GoEvent, here: Thread, goroutine: GoroutineId, from: GoStatus, to: Option<GoStatus>) {
        assert_eq!(here.goroutine, Some(goroutine), "{event:?}");
        let known = match to {
            Some(to) => self.goroutines.insert(goroutine, to),
            None => self.goroutines.remove(&goroutine),
        };
        assert_eq!(known, Some(from), "{event:?}");
    }

    fn turn_proc(&mut self, event: &GoEvent, proc: ProcId, from: &[ProcStatus], to: ProcStatus) {
        let known = self.procs.insert(proc, to);
        assert!(
            known.is_some_and(|known| from.contains(&known)),
            "{event:?}: the proc is {known:?}"
        );
    }
}
