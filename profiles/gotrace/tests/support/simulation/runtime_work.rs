//! Garbage collection, stopped worlds and what else the runtime does (runtime/mgc*.go, `stopTheWorld` and
//! `procresize` in runtime/proc.go).

use gotrace::WireEvent;

use super::machine::{Machine, ProcState, Thread};
use super::script::Choices;
use super::text::{LABELS, shown};
use super::tracer::number;
use super::truth::Scope;
use crate::support::writer::{Experiment, Sample};

impl Machine {
    /// A running goroutine stops the world for a reason, does something, and starts the world again.
    pub(super) fn stop_the_world(
        &mut self,
        thread: Thread,
        kind: &str,
        choices: &mut Choices,
        work: impl FnOnce(&mut Self, &mut Choices),
    ) {
        self.announce_running(thread);
        let id = self.on(thread);
        let line = self.line(Some(thread), "STWBegin").saying(kind);
        let place = self.write_user(
            thread,
            WireEvent::StwBegin,
            vec![Self::named(kind)],
            line,
            Some(choices),
        );
        let scope = Scope::StoppedWorld(id);
        self.record
            .truth
            .range_begins(scope, format!("stop the world: {kind}"), &place);
        for other in (0..self.threads.len()).filter(|other| *other != thread) {
            self.end_sweep(other);
            if self.runs(other) {
                self.stop(other, "preempted", choices);
            }
            if self.schedules(other) {
                self.stop_proc(other);
            }
        }
        for proc in self.stealable() {
            self.steal(thread, proc);
        }
        work(self, choices);
        let line = self.line(Some(thread), "STWEnd");
        let at = self.write(thread, WireEvent::StwEnd, Vec::new(), line);
        self.record.truth.range_ends(scope, None, at);
    }

    /// GOMAXPROCS changes while the world is stopped. The goroutine that does it may have to move to the first proc.
    pub(super) fn change_procs(&mut self, thread: Thread, count: usize, choices: &mut Choices) {
        let line = self.line(Some(thread), "ProcsChange").saying(count.to_string());
        let args = vec![number(count as u64)];
        self.write_user(thread, WireEvent::ProcsChange, args, line, Some(choices));
        let held = self.threads[thread].proc.expect("the goroutine runs");
        if held >= count {
            let id = self.on(thread);
            self.stop(thread, "runtime.Gosched", choices);
            self.stop_proc(thread);
            self.start_proc(thread, 0);
            self.start(thread, id);
        }
        self.set_procs_count(count);
    }

    pub(super) fn begin_marking(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let sequence = self.next_gc_sequence();
        let line = self.line(Some(thread), "GCBegin");
        let place = self.write_user(thread, WireEvent::GcBegin, vec![number(sequence)], line, Some(choices));
        self.record
            .truth
            .range_begins(Scope::Marking, "mark".to_owned(), &place);
        self.marking = true;
        self.has_marked = true;
    }

    pub(super) fn end_marking(&mut self, thread: Thread) {
        self.announce_running(thread);
        let sequence = self.next_gc_sequence();
        let line = self.line(Some(thread), "GCEnd");
        let at = self.write(thread, WireEvent::GcEnd, vec![number(sequence)], line);
        self.record.truth.range_ends(Scope::Marking, None, at);
        self.marking = false;
    }

    /// The goroutine on a thread begins to assist, or ends that.
    pub(super) fn assist(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let id = self.on(thread);
        let scope = Scope::Assist(id);
        let begins = !self.goroutines[&id].assisting;
        if begins {
            let line = self.line(Some(thread), "GCMarkAssistBegin").about_goroutine(id);
            let place = self.write_user(thread, WireEvent::GcMarkAssistBegin, Vec::new(), line, Some(choices));
            self.record.truth.range_begins(scope, "mark assist".to_owned(), &place);
        } else {
            let line = self.line(Some(thread), "GCMarkAssistEnd").about_goroutine(id);
            let at = self.write(thread, WireEvent::GcMarkAssistEnd, Vec::new(), line);
            self.record.truth.range_ends(scope, None, at);
        }
        self.goroutine(id).assisting = begins;
    }

    /// A thread with a proc begins to sweep for it.
    pub(super) fn begin_sweep(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let proc = self.threads[thread].proc.expect("the thread has a proc");
        let line = self.line(Some(thread), "GCSweepBegin").about_proc(proc);
        let place = self.write_user(thread, WireEvent::GcSweepBegin, Vec::new(), line, Some(choices));
        let scope = Scope::Sweep(proc as u64);
        self.record.truth.range_begins(scope, "sweep 0 0".to_owned(), &place);
        self.procs[proc].sweeping = true;
    }

    /// Ends the sweep of a thread, if it has begun one.
    pub(super) fn end_sweep(&mut self, thread: Thread) {
        if !self.sweeps(thread) {
            return;
        }
        self.announce_running(thread);
        let proc = self.threads[thread].proc.expect("the thread sweeps");
        let bytes = [self.now_ticks % 4096, self.now_ticks % 64];
        let text = format!("{} {}", bytes[0], bytes[1]);
        let line = self.line(Some(thread), "GCSweepEnd").about_proc(proc).saying(&*text);
        let args = bytes.map(number).to_vec();
        let at = self.write(thread, WireEvent::GcSweepEnd, args, line);
        let scope = Scope::Sweep(proc as u64);
        self.record.truth.range_ends(scope, Some(format!("sweep {text}")), at);
        self.procs[proc].sweeping = false;
    }

    pub(super) fn report_heap(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let (event, name) = match choices.below(2) {
            0 => (WireEvent::HeapAlloc, "HeapAlloc"),
            _ => (WireEvent::HeapGoal, "HeapGoal"),
        };
        let bytes = choices.below(1 << 40);
        let line = self.line(Some(thread), name).saying(bytes.to_string());
        self.write(thread, event, vec![number(bytes)], line);
    }

    pub(super) fn label(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let label = choices.one_of(LABELS).expect("there are labels");
        let line = self.line(Some(thread), "GoLabel").saying(label);
        self.write(thread, WireEvent::GoLabel, vec![Self::named(label)], line);
    }

    /// A CPU profile samples a thread.
    pub(super) fn sample_cpu(&mut self, thread: Thread, choices: &mut Choices) {
        self.now_ticks += 1;
        let stack = self.stack_on(thread, choices);
        let state = &self.threads[thread];
        let sample = Sample {
            ticks: self.now_ticks,
            thread: state.id,
            proc: state.proc.map(|proc| proc as u64),
            goroutine: state.goroutine,
            stack,
        };
        let mut line = self.line(Some(thread), "CPUSample").at(sample.stack.as_ref());
        // A sample says what the signal handler saw, whatever the rest of the trace tells.
        line.proc = sample.proc;
        line.goroutine = sample.goroutine;
        self.record.sample(sample, line);
    }

    /// An event, and a batch, of the experiment that traces allocations.
    pub(super) fn allocate(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let event = choices.one_of(ALLOCATION_EVENTS).expect("there are events");
        let spec = WireEvent::spec_of(event.byte()).expect("every event has a row");
        let values: Vec<u64> = spec.args.iter().skip(1).map(|_| choices.below(1 << 12)).collect();
        let mut shown = values.clone();
        shown.resize(3, 0);
        let line = self.line(Some(thread), event.name()).saying(format!("{shown:?}"));
        let thread_id = self.threads[thread].id;
        self.write(thread, event, values.into_iter().map(number).collect(), line);
        let length = choices.below(64);
        let data = (0..length).map(|byte| (byte * 7) as u8).collect();
        self.record.open().experiments.push(Experiment {
            thread: thread_id,
            data,
        });
    }

    /// Whether marking may begin. A reader takes the first beginning that it meets as the first there is, so the first
    /// generation that has any has one only, unless times can be trusted.
    pub(super) fn may_begin_marking(&self) -> bool {
        !self.marking && (self.clocks_agree || self.had_marked || !self.has_marked)
    }

    /// Whether a thread has a proc that runs Go code.
    pub(super) fn has_running_proc(&self, thread: Thread) -> bool {
        let proc = self.threads[thread].proc;
        proc.is_some_and(|proc| self.procs[proc].state == ProcState::Running(thread))
    }
}

const ALLOCATION_EVENTS: &[WireEvent] = &[
    WireEvent::HeapObjectAlloc,
    WireEvent::HeapObjectFree,
    WireEvent::HeapObject,
    WireEvent::Span,
    WireEvent::SpanAlloc,
    WireEvent::SpanFree,
    WireEvent::GoroutineStack,
    WireEvent::GoroutineStackAlloc,
    WireEvent::GoroutineStackFree,
];

/// What programs write with `runtime/trace`.
impl Machine {
    /// The goroutine on a thread begins a task.
    pub(super) fn begin_task(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let id = self.next_task;
        self.next_task += 1;
        let parent = choices.below(id);
        let name = choices.one_of(super::text::NAMES).expect("there are names");
        let shown_parent = if parent == 0 {
            "none".to_owned()
        } else {
            parent.to_string()
        };
        let shown_name = shown(name.as_bytes());
        let line = self.line(Some(thread), "UserTaskBegin");
        let line = line.saying(format!("{id} in {shown_parent}: {shown_name}"));
        let args = vec![number(id), number(parent), Self::named(name)];
        let place = self.write_user(thread, WireEvent::UserTaskBegin, args, line, Some(choices));
        let parent = Some(parent).filter(|parent| *parent != 0);
        self.record.truth.task_begins(id, parent, shown_name, place);
    }

    /// The goroutine on a thread ends a task, maybe once more.
    pub(super) fn end_task(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let id = self.next_task - 1 - choices.below(self.next_task - 1);
        let line = self.line(Some(thread), "UserTaskEnd").saying(id.to_string());
        let place = self.write_user(thread, WireEvent::UserTaskEnd, vec![number(id)], line, Some(choices));
        self.record.truth.task_ends(id, place);
    }

    pub(super) fn begin_region(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let id = self.on(thread);
        let task = choices.below(self.next_task);
        let name = choices.one_of(super::text::NAMES).expect("there are names");
        let shown_name = shown(name.as_bytes());
        let line = self
            .line(Some(thread), "UserRegionBegin")
            .saying(format!("{task}: {shown_name}"));
        let args = vec![number(task), Self::named(name)];
        let place = self.write_user(thread, WireEvent::UserRegionBegin, args, line, Some(choices));
        self.goroutine(id).regions.push((task, name));
        self.record.truth.region_begins(id, task, shown_name, &place);
    }

    /// The goroutine on a thread ends its innermost region, if it has one.
    pub(super) fn end_region(&mut self, thread: Thread, choices: &mut Choices) {
        let id = self.on(thread);
        let Some((task, name)) = self.goroutine(id).regions.pop() else {
            return;
        };
        self.announce_running(thread);
        let shown_name = shown(name.as_bytes());
        let line = self
            .line(Some(thread), "UserRegionEnd")
            .saying(format!("{task}: {shown_name}"));
        let args = vec![number(task), Self::named(name)];
        let place = self.write_user(thread, WireEvent::UserRegionEnd, args, line, Some(choices));
        self.record.truth.region_ends(id, task, shown_name, place.at);
    }

    pub(super) fn log(&mut self, thread: Thread, choices: &mut Choices) {
        self.announce_running(thread);
        let task = choices.below(self.next_task);
        let key = choices.one_of(super::text::NAMES).expect("there are names");
        let value = super::text::message(choices);
        let (shown_key, shown_value) = (shown(key.as_bytes()), shown(&value));
        let line = self.line(Some(thread), "UserLog");
        let line = line.saying(format!("{task}: {shown_key} = {shown_value}"));
        let args = vec![
            number(task),
            Self::named(key),
            crate::support::writer::Arg::Unique(value),
        ];
        let place = self.write_user(thread, WireEvent::UserLog, args, line, Some(choices));
        self.record.truth.logged(task, shown_key, shown_value, place);
    }
}
