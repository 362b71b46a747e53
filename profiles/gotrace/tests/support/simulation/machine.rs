//! The simulated program: threads, procs and goroutines, and what a reader of its trace can know of them.

use std::collections::BTreeMap;

use super::record::Record;
use super::script::Script;
use super::truth::Moment;
use super::view::{Line, Subject};

/// Position of a thread in [`Machine::threads`].
pub(crate) type Thread = usize;
/// Number of a proc, and its position in [`Machine::procs`].
pub(crate) type Proc = usize;

/// An operating system thread (M).
#[derive(Clone, Debug)]
pub(super) struct ThreadState {
    pub(super) id: u64,
    pub(super) proc: Option<Proc>,
    pub(super) goroutine: Option<u64>,
}

/// What a proc (P) is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcState {
    Idle,
    Running(Thread),
    /// Held by a thread in a system call.
    Syscall(Thread),
    /// Left behind by a thread whose C callback has ended.
    Abandoned,
}

/// What a reader knows of a proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    /// That a thread in a system call holds it, but not which.
    AbandonedBySomebody,
    Everything,
}

#[derive(Clone, Debug)]
pub(super) struct ProcInfo {
    pub(super) state: ProcState,
    pub(super) known: Known,
    /// Whether this generation has its status.
    pub(super) announced: bool,
    pub(super) sequence: u64,
    pub(super) sweeping: bool,
    /// The thread of its last system call.
    pub(super) syscall_thread: u64,
}

/// What a goroutine (G) is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Runnable,
    Running(Thread),
    Syscall(Thread),
    /// Blocked; anything may unblock it.
    Waiting,
    /// A coroutine that somebody has to switch to.
    Suspended,
}

#[derive(Clone, Debug)]
pub(super) struct GoroutineInfo {
    pub(super) doing: Doing,
    /// Whether a reader knows of it.
    pub(super) known: bool,
    /// Whether this generation has its status, or its creation.
    pub(super) announced: bool,
    pub(super) sequence: u64,
    /// Its start function.
    pub(super) root: &'static str,
    pub(super) assisting: bool,
    /// Open regions, innermost last.
    pub(super) regions: Vec<(u64, &'static str)>,
    /// The thread whose callback from C it serves.
    pub(super) callback_of: Option<Thread>,
}

/// The program and the trace of it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(super) minor: u32,
    pub(super) clocks_agree: bool,
    pub(super) now_ticks: u64,
    /// Counted from 0.
    pub(super) generation: usize,
    pub(super) forgotten_generations: usize,
    pub(super) threads: Vec<ThreadState>,
    pub(super) procs: Vec<ProcInfo>,
    /// How many procs there are since the last change of GOMAXPROCS; the others are gone.
    pub(super) procs_count: usize,
    pub(super) goroutines: BTreeMap<u64, GoroutineInfo>,
    pub(super) next_goroutine: u64,
    /// Goroutines of ended callbacks, whose ids may be used again, with their threads.
    pub(super) ended_callbacks: Vec<(Thread, u64)>,
    pub(super) marking: bool,
    /// Whether the recording has an event of marking.
    pub(super) has_marked: bool,
    /// Whether it had one when the generation started.
    pub(super) had_marked: bool,
    pub(super) gc_sequence: u64,
    pub(super) next_task: u64,
    pub(super) record: Record,
}

/// The first thread is numbered as on Linux, later ones as on macOS.
const THREAD_ID_FIRST: u64 = 4_000_001;
const THREAD_ID_STEP: u64 = 0x1_0000_1000;
const START_TICKS: u64 = 1 << 40;

impl Machine {
    /// A program whose main goroutine runs on the only thread and the first proc.
    pub(super) fn new(script: &Script) -> Self {
        let mut machine = Self {
            minor: script.minor,
            clocks_agree: script.clocks_agree,
            now_ticks: START_TICKS,
            generation: 0,
            forgotten_generations: script.forgotten_generations,
            threads: Vec::new(),
            procs: Vec::new(),
            procs_count: 0,
            goroutines: BTreeMap::new(),
            next_goroutine: 1,
            ended_callbacks: Vec::new(),
            marking: false,
            has_marked: false,
            had_marked: false,
            gc_sequence: 0,
            next_task: 1,
            record: Record::new(START_TICKS),
        };
        machine.set_procs_count(script.procs);
        let thread = machine.add_thread();
        let main = machine.add_goroutine(Doing::Running(thread), "main.main");
        machine.threads[thread].proc = Some(0);
        machine.threads[thread].goroutine = Some(main);
        machine.procs[0].state = ProcState::Running(thread);
        machine
    }

    /// Sets GOMAXPROCS. Procs that are gone must be idle.
    pub(super) fn set_procs_count(&mut self, count: usize) {
        let new = ProcInfo {
            state: ProcState::Idle,
            known: Known::Nothing,
            announced: false,
            sequence: 0,
            sweeping: false,
            syscall_thread: 0,
        };
        self.procs.resize(self.procs.len().max(count), new);
        self.procs_count = count;
    }

    pub(super) fn add_thread(&mut self) -> Thread {
        let id = THREAD_ID_FIRST + self.threads.len() as u64 * THREAD_ID_STEP;
        self.threads.push(ThreadState {
            id,
            proc: None,
            goroutine: None,
        });
        self.threads.len() - 1
    }

    /// A goroutine that nothing has been written of.
    pub(super) fn add_goroutine(&mut self, doing: Doing, root: &'static str) -> u64 {
        let id = self.next_goroutine;
        self.next_goroutine += 1;
        self.insert_goroutine(id, doing, root);
        id
    }

    pub(super) fn insert_goroutine(&mut self, id: u64, doing: Doing, root: &'static str) {
        let info = GoroutineInfo {
            doing,
            known: false,
            announced: false,
            sequence: 0,
            root,
            assisting: false,
            regions: Vec::new(),
            callback_of: None,
        };
        self.goroutines.insert(id, info);
    }

    pub(super) fn goroutine(&mut self, id: u64) -> &mut GoroutineInfo {
        self.goroutines.get_mut(&id).expect("the goroutine lives")
    }

    /// Goroutines that do something of a kind.
    pub(super) fn goroutines_that(&self, are: impl Fn(&GoroutineInfo) -> bool) -> Vec<u64> {
        let found = self.goroutines.iter().filter(|(_, goroutine)| are(goroutine));
        found.map(|(id, _)| *id).collect()
    }

    /// Procs in a state of a kind.
    pub(super) fn procs_that(&self, are: impl Fn(ProcState) -> bool) -> Vec<Proc> {
        (0..self.procs_count)
            .filter(|proc| are(self.procs[*proc].state))
            .collect()
    }

    /// Threads of which something holds.
    pub(super) fn threads_that(&self, are: impl Fn(&Self, Thread) -> bool) -> Vec<Thread> {
        (0..self.threads.len()).filter(|thread| are(self, *thread)).collect()
    }

    /// Runs Go code.
    pub(super) fn runs(&self, thread: Thread) -> bool {
        let goroutine = self.threads[thread].goroutine;
        goroutine.is_some_and(|id| self.goroutines[&id].doing == Doing::Running(thread))
    }

    /// Runs Go code that may leave the thread: sweeping cannot be preempted.
    pub(super) fn may_leave(&self, thread: Thread) -> bool {
        self.runs(thread) && !self.sweeps(thread)
    }

    /// Has a proc and looks for a goroutine.
    pub(super) fn schedules(&self, thread: Thread) -> bool {
        let state = &self.threads[thread];
        state.proc.is_some() && state.goroutine.is_none()
    }

    pub(super) fn sweeps(&self, thread: Thread) -> bool {
        self.threads[thread].proc.is_some_and(|proc| self.procs[proc].sweeping)
    }

    pub(super) fn is_in_syscall(&self, thread: Thread) -> bool {
        let goroutine = self.threads[thread].goroutine;
        goroutine.is_some_and(|id| self.goroutines[&id].doing == Doing::Syscall(thread))
    }

    /// Has neither proc nor goroutine.
    pub(super) fn is_free(&self, thread: Thread) -> bool {
        let state = &self.threads[thread];
        state.proc.is_none() && state.goroutine.is_none()
    }

    /// A thread with neither proc nor goroutine.
    pub(super) fn free_thread(&mut self) -> Thread {
        let free = self.threads_that(Self::is_free);
        free.first().copied().unwrap_or_else(|| self.add_thread())
    }

    /// The goroutine on a thread that is known to have one.
    pub(super) fn on(&self, thread: Thread) -> u64 {
        self.threads[thread].goroutine.expect("the thread has a goroutine")
    }

    /// The proc of a thread, if a reader knows that the thread has it.
    pub(super) fn known_proc(&self, thread: Thread) -> Option<Proc> {
        let proc = self.threads[thread].proc?;
        (self.procs[proc].known == Known::Everything).then_some(proc)
    }

    /// The goroutine of a thread, if a reader knows that the thread has it.
    pub(super) fn known_goroutine(&self, thread: Thread) -> Option<u64> {
        let goroutine = self.threads[thread].goroutine?;
        self.goroutines[&goroutine].known.then_some(goroutine)
    }

    /// An event as a reader should see it: in the context of a thread as far as that is known, before it takes effect.
    pub(super) fn line(&self, thread: Option<Thread>, name: &'static str) -> Line {
        Line {
            time: 0,
            thread: thread.map(|thread| self.threads[thread].id),
            proc: thread
                .and_then(|thread| self.known_proc(thread))
                .map(|proc| proc as u64),
            goroutine: thread.and_then(|thread| self.known_goroutine(thread)),
            name,
            subject: Subject::Nothing,
            detail: String::new(),
            stack: String::new(),
        }
    }

    /// When the current generation started.
    pub(super) fn generation_start(&self) -> Moment {
        Moment::GenerationStart(self.generation)
    }
}
