//! One join: the spans of a slot, with everything that touches it and what other processes did for them.

use std::sync::Arc;

use spandrel_attribution::{Attributed, ProcessInput, ProcessSpans, Rules, attribute_together};
use spandrel_model::{CpuProfile, ProcessIdentity, Span, TaskRecording};
use spandrel_profiles::go_execution_trace::StateRules;

use super::recording_source::RecordingSource;
use super::relatives::Place;

/// Everything that one join of one slot needs.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) place: Place,
    /// How many spans yield rows for the first time.
    pub(super) due: usize,
    /// The process of the slot, and those that its spans have called.
    pub(super) parts: Vec<Part>,
}

/// What a join needs of one process.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) process: Arc<ProcessIdentity>,
    /// Spans that yield rows, those that are due first. None in processes that were called.
    pub(super) spans: Vec<Arc<Span>>,
    /// Spans that do not.
    pub(super) context: Vec<Arc<Span>>,
    /// Recordings that touch them.
    pub(super) recordings: Vec<RecordingSource>,
    /// CPU profiles that touch them, if any of the spans yield rows.
    pub(super) cpu_profiles: Vec<Arc<CpuProfile>>,
}

/// Recordings of each part of a join, in memory.
#[derive(Debug)]
pub(super) struct Opened {
    recordings: Vec<Vec<Arc<TaskRecording>>>,
    /// Recordings that do not fit into memory or cannot be read.
    pub(super) left_out: u64,
    /// Spans joined before that are not joined anew, because the result would be worse than before.
    pub(super) uncorrected: u64,
}

impl Join {
    /// Opens the recordings, of those on disk as many as fit into `limit_bytes` of memory, and one in any case. If some are
    /// left out, only spans are joined that have no rows yet, so that nothing known before is lost. Another try would leave
    /// out as many.
    pub(super) fn open_recordings(&mut self, state_rules: &StateRules, limit_bytes: u64) -> Opened {
        let (mut left_out, mut uncorrected, mut bytes) = (0, 0, 0);
        let mut open = |source: &RecordingSource| {
            let more_bytes = source.loaded_bytes();
            let fits = bytes == 0 || more_bytes == 0 || bytes + more_bytes <= limit_bytes;
            let opened = fits.then(|| source.open(state_rules));
            match opened {
                Some(Ok(recording)) => {
                    bytes += more_bytes;
                    return Some(recording);
                }
                Some(Err(error)) => {
                    tracing::error!(source = %source.name(), "a runtime profile is left out of a join: {error}");
                }
                None => {}
            }
            left_out += 1;
            None
        };
        let recordings = (self.parts.iter())
            .map(|part| part.recordings.iter().filter_map(&mut open).collect())
            .collect();
        if left_out > 0
            && let Some(own) = self.parts.first_mut()
        {
            let joined_before = own.spans.split_off(self.due);
            uncorrected = joined_before.len() as u64;
            own.context.extend(joined_before);
        }
        Opened {
            recordings,
            left_out,
            uncorrected,
        }
    }
}

/// Attributes the spans of a join. The result depends on nothing else.
pub(super) fn run_join(join: &Join, opened: &Opened, rules: &Rules) -> Attributed {
    if join.parts.first().is_none_or(|own| own.spans.is_empty()) {
        return Attributed::default();
    }
    let parts = join.parts.iter().zip(&opened.recordings);
    let inputs: Vec<ProcessInput<'_>> = parts
        .map(|(part, recordings)| ProcessInput {
            spans: ProcessSpans {
                process: part.process.clone(),
                spans: part.spans.iter().map(AsRef::as_ref).collect(),
                context: part.context.iter().map(AsRef::as_ref).collect(),
            },
            recordings: recordings.iter().map(AsRef::as_ref).collect(),
            cpu_profiles: part.cpu_profiles.iter().map(AsRef::as_ref).collect(),
        })
        .collect();
    let results = attribute_together(&inputs, rules);
    results.into_iter().next().unwrap_or_default()
}
