//! Of which process a recording is: the spans of those that its sender can have meant are asked.

use std::sync::Arc;

use spandrel_attribution::{ProcessChoice, ProcessSpans, Rules, choose_process};
use spandrel_model::{Interval, ProcessIdentity, Span};
use spandrel_profiles::go_execution_trace::StateRules;
use thiserror::Error;

use super::held_profile::HeldProfile;
use super::recording_source::{RecordingSource, UnreadableRecording};

/// A question to the spans: of which of their processes is this recording?
#[derive(Debug)]
pub(super) struct Choosing {
    pub(super) profile: HeldProfile,
    pub(super) source: RecordingSource,
    /// Time that the recording covers.
    pub(super) window: Interval,
    /// The processes that may be the recorded one, with their spans in this time, which are filled in one process at a
    /// time.
    pub(super) candidates: Vec<(Arc<ProcessIdentity>, Vec<Arc<Span>>)>,
    /// Whether the recording has waited long enough, so that its rows are handed out in any case.
    pub(super) is_last: bool,
    /// Whether spans of a process that it fits came at any time.
    pub(super) is_known: bool,
}

impl Choosing {
    /// Takes long where many spans of several processes are candidates.
    pub(super) fn answer(&self, rules: &Rules, state_rules: &StateRules) -> Result<Arc<ProcessIdentity>, Unchosen> {
        let recording = self.source.open(state_rules)?;
        let processes: Vec<ProcessSpans<'_>> = (self.candidates.iter())
            .map(|(process, spans)| ProcessSpans {
                process: process.clone(),
                spans: spans.iter().map(AsRef::as_ref).collect(),
                context: Vec::new(),
            })
            .collect();
        match choose_process(&recording, &processes, rules) {
            ProcessChoice::Chosen { index, .. } => Ok(processes[index].process.clone()),
            undecided => Err(Unchosen::Undecided(undecided)),
        }
    }
}

/// Why the process of a recording is not known.
#[derive(Debug, Error)]
pub(super) enum Unchosen {
    /// The spans do not tell.
    #[error("{0}")]
    Undecided(ProcessChoice),
    /// The recording is on disk and cannot be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableRecording),
}
