//! One step of a script: who can do it, and what is done.

use super::machine::{Doing, GoroutineInfo, Machine, ProcState, Thread};
use super::script::{Action, Choices, Step};
use super::text::{BLOCK_REASONS, STOP_REASONS, STW_KINDS};

/// First version with coroutine switches and experiments.
const GO_WITH_COROUTINES: u32 = 23;
const PROCS_MAX: u64 = 5;

impl Machine {
    /// Does what a step says, if something can do it.
    pub(super) fn step(&mut self, step: Step) {
        let mut choices = Choices(step.choices);
        self.now_ticks += choices.below(32);
        let _ = self.perform(step.action, &mut choices);
    }

    fn perform(&mut self, action: Action, choices: &mut Choices) -> Option<()> {
        match action {
            Action::StartProc | Action::StopProc | Action::StealProc => self.perform_on_proc(action, choices),
            Action::StartGoroutine | Action::Create | Action::Unblock => self.perform_on_goroutine(action, choices),
            Action::BeginSyscall | Action::EndSyscall | Action::BeginCallback | Action::EndCallback => {
                self.perform_syscall(action, choices)
            }
            Action::CreateCoroutine | Action::Switch => self.perform_coroutine(action, choices),
            Action::Block | Action::Stop | Action::Destroy => {
                let thread = self.pick(choices, Self::may_leave)?;
                self.perform_leaving(action, thread, choices)
            }
            Action::AdvanceGeneration => {
                self.advance_generation(choices);
                Some(())
            }
            Action::ReportHeap | Action::Sweep => {
                let thread = self.pick(choices, Self::has_running_proc)?;
                match action {
                    Action::ReportHeap => self.report_heap(thread, choices),
                    _ if self.sweeps(thread) => self.end_sweep(thread),
                    _ => self.begin_sweep(thread, choices),
                }
                Some(())
            }
            Action::SampleCpu => {
                let thread = self.pick(choices, |_, _| true)?;
                self.sample_cpu(thread, choices);
                Some(())
            }
            Action::Allocate if self.minor >= GO_WITH_COROUTINES => {
                let thread = self.pick(choices, Self::has_running_proc)?;
                self.allocate(thread, choices);
                Some(())
            }
            Action::Allocate => None,
            _ => {
                let thread = self.pick(choices, Self::runs)?;
                self.perform_running(action, thread, choices)
            }
        }
    }

    /// One of the threads of which something holds.
    fn pick(&self, choices: &mut Choices, are: impl Fn(&Self, Thread) -> bool) -> Option<Thread> {
        choices.one_of(&self.threads_that(are))
    }

    fn perform_on_proc(&mut self, action: Action, choices: &mut Choices) -> Option<()> {
        match action {
            Action::StartProc => {
                let proc = choices.one_of(&self.procs_that(|state| state == ProcState::Idle))?;
                let thread = self.spare_thread(choices)?;
                self.start_proc(thread, proc);
            }
            Action::StopProc => {
                let thread = self.pick(choices, |machine, thread| {
                    machine.schedules(thread) && !machine.sweeps(thread)
                })?;
                self.stop_proc(thread);
            }
            _ => {
                let proc = choices.one_of(&self.stealable())?;
                let thief = match self.pick(choices, Self::runs) {
                    Some(thread) if choices.once_in(2) => thread,
                    _ => self.spare_thread(choices)?,
                };
                self.steal(thief, proc);
            }
        }
        Some(())
    }

    fn perform_on_goroutine(&mut self, action: Action, choices: &mut Choices) -> Option<()> {
        match action {
            Action::StartGoroutine => {
                let thread = self.pick(choices, |machine, thread| {
                    machine.schedules(thread) && !machine.startable_on(thread).is_empty()
                })?;
                let id = choices.one_of(&self.startable_on(thread))?;
                self.start(thread, id);
            }
            Action::Create => {
                let thread = self.pick(choices, Self::has_running_proc)?;
                if self.has_room_for_goroutines() {
                    self.create(thread, false, choices);
                }
            }
            _ => {
                let waiting = self.goroutines_that(|goroutine| goroutine.doing == Doing::Waiting);
                let id = choices.one_of(&waiting)?;
                let thread = match self.pick(choices, Self::has_running_proc) {
                    Some(thread) if !choices.once_in(4) => thread,
                    _ => self.spare_thread(choices)?,
                };
                self.unblock(thread, id, choices);
            }
        }
        Some(())
    }

    fn perform_syscall(&mut self, action: Action, choices: &mut Choices) -> Option<()> {
        match action {
            Action::BeginSyscall => {
                let thread = self.pick(choices, Self::may_leave)?;
                let blocks = choices.once_in(4);
                self.begin_syscall(thread, blocks, choices);
            }
            Action::EndSyscall => {
                let thread = self.pick(choices, Self::is_in_syscall)?;
                self.end_syscall(thread, choices);
            }
            Action::BeginCallback => {
                let thread = self.spare_thread(choices)?;
                if self.has_room_for_goroutines() {
                    self.begin_callback(thread, choices);
                }
            }
            _ => {
                let thread = self.pick(choices, Self::may_return_to_c)?;
                self.end_callback(thread);
            }
        }
        Some(())
    }

    fn may_return_to_c(&self, thread: Thread) -> bool {
        let is_callback = |goroutine: &GoroutineInfo| goroutine.callback_of.is_some() && !goroutine.assisting;
        self.is_in_syscall(thread) && is_callback(&self.goroutines[&self.on(thread)])
    }

    fn perform_coroutine(&mut self, action: Action, choices: &mut Choices) -> Option<()> {
        if self.minor < GO_WITH_COROUTINES {
            return None;
        }
        let thread = self.pick(choices, Self::may_leave)?;
        if action == Action::CreateCoroutine {
            if self.has_room_for_goroutines() {
                self.create(thread, true, choices);
            }
            return Some(());
        }
        let to = choices.one_of(&self.goroutines_that(|goroutine| goroutine.doing == Doing::Suspended))?;
        let ends = self.may_end(thread) && choices.once_in(3);
        // A goroutine bound to a thread's callback comes back to that thread only by the scheduler.
        if !ends && self.goroutines[&self.on(thread)].callback_of.is_some() {
            return None;
        }
        self.switch(thread, to, ends);
        Some(())
    }

    fn may_end(&self, thread: Thread) -> bool {
        let goroutine = &self.goroutines[&self.on(thread)];
        !goroutine.assisting && goroutine.callback_of.is_none()
    }

    fn perform_leaving(&mut self, action: Action, thread: Thread, choices: &mut Choices) -> Option<()> {
        match action {
            Action::Block => {
                let reason = choices.one_of(BLOCK_REASONS)?;
                self.block(thread, reason, choices);
            }
            Action::Stop => {
                let reason = choices.one_of(STOP_REASONS)?;
                self.stop(thread, reason, choices);
            }
            _ if self.may_end(thread) => self.destroy(thread),
            _ => {}
        }
        Some(())
    }

    fn perform_running(&mut self, action: Action, thread: Thread, choices: &mut Choices) -> Option<()> {
        match action {
            Action::StopTheWorld if !self.sweeps(thread) => {
                let kind = choices.one_of(STW_KINDS)?;
                self.stop_the_world(thread, kind, choices, |machine, choices| {
                    machine.report_heap(thread, choices)
                });
            }
            Action::ChangeProcs if !self.sweeps(thread) => {
                let count = choices.below(PROCS_MAX) as usize + 1;
                self.stop_the_world(thread, "GOMAXPROCS", choices, |machine, choices| {
                    machine.change_procs(thread, count, choices);
                });
            }
            Action::BeginMarking if self.may_begin_marking() && !self.sweeps(thread) => {
                self.stop_the_world(thread, "GC sweep termination", choices, |machine, choices| {
                    machine.begin_marking(thread, choices);
                });
            }
            Action::EndMarking if self.marking => self.end_marking(thread),
            Action::Assist if self.marking || self.goroutines[&self.on(thread)].assisting => {
                self.assist(thread, choices);
            }
            Action::BeginTask => self.begin_task(thread, choices),
            Action::EndTask if self.next_task > 1 => self.end_task(thread, choices),
            Action::BeginRegion => self.begin_region(thread, choices),
            Action::EndRegion => self.end_region(thread, choices),
            Action::Log => self.log(thread, choices),
            Action::Label => self.label(thread, choices),
            _ => {}
        }
        Some(())
    }
}
