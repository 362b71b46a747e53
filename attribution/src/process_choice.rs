//! Which process a recording belongs to, when its identity fits several.
//!
//! A recording fetched from a configured target may know its service and no more, while several instances of the service
//! report spans. Then the spans decide: they only bind to the recording of their own process. Where the recording's
//! clock is not known either, only the spans of its own process agree on an offset.

use std::fmt;

use spandrel_model::{Binding, BindingKind, OffsetEstimate, ProcessIdentity, TaskRecording, UnanchoredRecording};
use thiserror::Error;

use crate::bind;
use crate::spans::SpanSet;
use crate::{NoOffset, ProcessSpans, Rules, StackLayers, Timeline, estimate_offset};

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

/// The process of an unanchored recording, and what its spans say about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Index among the processes asked about.
    pub index: usize,
    /// The offset.
    pub estimate: OffsetEstimate,
}

/// Why an unanchored recording has no process or no offset. To be tried again when more spans have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAnchored {
    /// No process may be the recorded one.
    #[error("{}", ProcessChoice::NoneCompatible)]
    NoneCompatible,
    /// The spans of the process do not show the offset.
    #[error("its clock cannot be tied to the wall clock: {0}")]
    NoOffset(NoOffset),
    /// The spans of several processes show an offset.
    #[error("the spans of {compatible} processes fit its user tasks; set service.instance.id on the target")]
    Undecided {
        /// How many.
        compatible: usize,
    },
}

/// Finds the process that an unanchored recording is of, and the offset of its clock: of those that may be, the one
/// whose spans show an offset.
///
/// # Errors
/// There is none, or several.
pub fn choose_anchor(recording: &UnanchoredRecording, processes: &[ProcessSpans<'_>]) -> Result<Anchor, NotAnchored> {
    let identity = recording.process();
    let candidates = same(identity, processes).map_or_else(|| compatible(identity, processes), |index| vec![index]);
    let (mut anchors, mut reason) = (Vec::new(), NotAnchored::NoneCompatible);
    for index in candidates {
        match estimate_offset(&processes[index], recording) {
            Ok(estimate) => anchors.push(Anchor { index, estimate }),
            Err(why) => reason = NotAnchored::NoOffset(why),
        }
    }
    match anchors[..] {
        [] => Err(reason),
        [anchor] => Ok(anchor),
        _ => Err(NotAnchored::Undecided {
            compatible: anchors.len(),
        }),
    }
}

/// The only process with exactly this identity.
fn same(identity: &ProcessIdentity, processes: &[ProcessSpans<'_>]) -> Option<usize> {
    let mut same = (0..processes.len()).filter(|index| *processes[*index].process == *identity);
    same.next().filter(|_| same.next().is_none())
}

fn compatible(identity: &ProcessIdentity, processes: &[ProcessSpans<'_>]) -> Vec<usize> {
    (0..processes.len())
        .filter(|index| processes[*index].process.is_compatible_with(identity))
        .collect()
}

/// Finds the process that `recording` is of.
pub fn choose_process(recording: &TaskRecording, processes: &[ProcessSpans<'_>], rules: &Rules) -> ProcessChoice {
    let identity = &recording.process;
    if let Some(index) = same(identity, processes) {
        let reason = ChoiceReason::SameIdentity;
        return ProcessChoice::Chosen { index, reason };
    }
    let compatible = compatible(identity, processes);
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
    let timeline = Timeline::new(&[recording], &StackLayers::none());
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
        .iter()
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
