//! Which process a recording belongs to, when its identity fits several.
//!
//! A recording fetched from a configured target may know its service and no more, while several instances of the service
//! report spans. Then the spans decide: they only bind to the recording of their own process.

use std::fmt;

use spandrel_model::{Binding, BindingKind, TaskRecording};

use crate::bind;
use crate::spans::SpanSet;
use crate::{ProcessSpans, Rules, Timeline};

/// The process of a recording, or why there is none. [`fmt::Display`] says it for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessChoice {
    /// The recording belongs to this process.
    Chosen {
        /// Index among the processes asked about.
        index: usize,
        /// Why.
        reason: ChoiceReason,
    },
    /// No process may be the recorded one.
    NoneCompatible,
    /// Several may be, and none has more spans in the recording than every other.
    Undecided {
        /// How many may be.
        compatible: usize,
        /// The most spans of one of them that are bound to tasks of the recording.
        bound: usize,
    },
}

/// Why a process was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceReason {
    /// It alone has exactly the recording's identity.
    SameIdentity,
    /// It alone may be the recorded one.
    OnlyCompatible,
    /// Of several, it has strictly the most spans bound to tasks of the recording.
    MostBoundTasks {
        /// Its spans bound.
        bound: usize,
        /// The next one's.
        runner_up: usize,
    },
}

/// Finds the process that `recording` is of.
pub fn choose_process(recording: &TaskRecording, processes: &[ProcessSpans<'_>], rules: &Rules) -> ProcessChoice {
    let identity = &recording.process;
    let mut same = (0..processes.len()).filter(|index| processes[*index].process == *identity);
    if let (Some(index), None) = (same.next(), same.next()) {
        let reason = ChoiceReason::SameIdentity;
        return ProcessChoice::Chosen { index, reason };
    }
    let compatible: Vec<usize> = (0..processes.len())
        .filter(|index| processes[*index].process.is_compatible_with(identity))
        .collect();
    match compatible[..] {
        [] => ProcessChoice::NoneCompatible,
        [index] => ProcessChoice::Chosen {
            index,
            reason: ChoiceReason::OnlyCompatible,
        },
        _ => choose_by_bound_tasks(recording, processes, &compatible, rules),
    }
}

fn choose_by_bound_tasks(
    recording: &TaskRecording,
    processes: &[ProcessSpans<'_>],
    compatible: &[usize],
    rules: &Rules,
) -> ProcessChoice {
    let timeline = Timeline::new(&[recording]);
    let mut counts: Vec<(usize, usize)> = compatible
        .iter()
        .map(|index| (bound_spans(&processes[*index], &timeline, rules), *index))
        .collect();
    counts.sort_unstable_by_key(|(bound, index)| (std::cmp::Reverse(*bound), *index));
    match counts[..] {
        [(bound, index), (runner_up, _), ..] if bound > runner_up => ProcessChoice::Chosen {
            index,
            reason: ChoiceReason::MostBoundTasks { bound, runner_up },
        },
        _ => ProcessChoice::Undecided {
            compatible: counts.len(),
            bound: counts.first().map_or(0, |(bound, _)| *bound),
        },
    }
}

/// Spans bound by what only their own process can have recorded. Goroutine ids do not count: every process of a service
/// has the same small ones.
fn bound_spans(process: &ProcessSpans<'_>, timeline: &Timeline, rules: &Rules) -> usize {
    let spans = SpanSet::new(process);
    bind::bind(&spans, timeline, &rules.windows)
        .into_iter()
        .filter(|binding| match binding {
            Binding::Bound { kind, .. } => matches!(kind, BindingKind::LoggedId | BindingKind::UserTask),
            Binding::Unbound(_) => false,
        })
        .count()
}

impl fmt::Display for ProcessChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen { reason, .. } => write!(f, "chosen because {reason}"),
            Self::NoneCompatible => f.write_str(
                "no process that reports spans fits the recording's resource attributes; set service.name, and \
                 service.instance.id where there are several instances, to what the service itself reports",
            ),
            Self::Undecided { compatible, bound } => write!(
                f,
                "{compatible} processes fit the recording's resource attributes and none has more than {bound} spans \
                 in it alone; set service.instance.id on the target, or host.name and process.pid"
            ),
        }
    }
}

impl fmt::Display for ChoiceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameIdentity => f.write_str("its resource attributes are those of the recording"),
            Self::OnlyCompatible => f.write_str("no other process fits the recording's resource attributes"),
            Self::MostBoundTasks { bound, runner_up } => {
                write!(
                    f,
                    "{bound} of its spans are in the recording, {runner_up} of the next process"
                )
            }
        }
    }
}
