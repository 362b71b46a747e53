//! What decides a simulation: a list of steps that shrinks well, for each step stands by itself.

/// Everything that a simulation depends on.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Header version: 22, 23, 25 or 26.
    pub(crate) minor: u32,
    pub(crate) first_generation: u64,
    /// Generations before this one are forgotten, as a flight recorder forgets them.
    pub(crate) forgotten_generations: usize,
    pub(crate) ticks_per_second: u64,
    pub(crate) procs: usize,
    /// Whether what no sequence number orders may happen on different threads.
    pub(crate) clocks_agree: bool,
    pub(crate) steps: Vec<Step>,
}

/// One action, if some thread can do it; else nothing happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    /// Decides who does it and how; 0 is the simplest.
    pub(crate) choices: u64,
}

/// What threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    ReportHeap,
    StartProc,
    StartGoroutine,
    Create,
    Block,
    Unblock,
    Stop,
    Destroy,
    StopProc,
    BeginSyscall,
    EndSyscall,
    StealProc,
    AdvanceGeneration,
    CreateCoroutine,
    Switch,
    BeginCallback,
    EndCallback,
    StopTheWorld,
    ChangeProcs,
    BeginMarking,
    EndMarking,
    Assist,
    Sweep,
    BeginTask,
    EndTask,
    BeginRegion,
    EndRegion,
    Log,
    Label,
    SampleCpu,
    Allocate,
}

/// How often each action is drawn, the simplest first.
pub(crate) const WEIGHTS: &[(Action, usize)] = &[
    (Action::ReportHeap, 1),
    (Action::StartProc, 8),
    (Action::StartGoroutine, 20),
    (Action::Create, 6),
    (Action::Block, 10),
    (Action::Unblock, 10),
    (Action::Stop, 4),
    (Action::Destroy, 4),
    (Action::StopProc, 4),
    (Action::BeginSyscall, 9),
    (Action::EndSyscall, 14),
    (Action::StealProc, 5),
    (Action::AdvanceGeneration, 2),
    (Action::CreateCoroutine, 3),
    (Action::Switch, 5),
    (Action::BeginCallback, 3),
    (Action::EndCallback, 5),
    (Action::StopTheWorld, 1),
    (Action::ChangeProcs, 1),
    (Action::BeginMarking, 1),
    (Action::EndMarking, 1),
    (Action::Assist, 3),
    (Action::Sweep, 3),
    (Action::BeginTask, 2),
    (Action::EndTask, 2),
    (Action::BeginRegion, 2),
    (Action::EndRegion, 2),
    (Action::Log, 2),
    (Action::Label, 1),
    (Action::SampleCpu, 3),
    (Action::Allocate, 1),
];

/// The choices of one step.
#[derive(Clone, Debug)]
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    /// A number in `0..end`; 0 once the choices are used up.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let chosen = self.0 % end;
        self.0 /= end;
        chosen
    }

    /// One of several; `None` of none.
    pub(crate) fn one_of<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        from.get(self.below(from.len() as u64) as usize).cloned()
    }

    /// True once in `times`; false if there are no choices left.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == times - 1
    }
}
