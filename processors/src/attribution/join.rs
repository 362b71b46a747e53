//! One join: the spans of a slot with everything that touches it.

use std::sync::Arc;

use spandrel_attribution::{Attributed, ProcessSpans, Rules, attribute};
use spandrel_model::TaskRecording;
use spandrel_profiles::go_execution_trace::StateRules;

use super::held_spans::{JoinSpans, Place};
use super::recording_source::RecordingSource;

/// Everything that one join of one slot needs.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) place: Place,
    pub(super) spans: JoinSpans,
    /// Recordings of the process that touch them.
    pub(super) recordings: Vec<RecordingSource>,
}

impl Join {
    /// Opens the recordings, of those on disk as many as fit into `limit_bytes` of memory. Returns how many were left out:
    /// because of the limit, or because they cannot be read. Then only spans are joined that have no rows yet, so that
    /// nothing known before is lost.
    pub(super) fn open_recordings(
        &mut self,
        state_rules: &StateRules,
        limit_bytes: u64,
    ) -> (Vec<Arc<TaskRecording>>, u64) {
        let (mut opened, mut left_out, mut bytes) = (Vec::with_capacity(self.recordings.len()), 0, 0);
        for source in &self.recordings {
            bytes += source.restored_bytes();
            let fits = opened.is_empty() || bytes <= limit_bytes;
            match fits.then(|| source.open(state_rules)) {
                Some(Ok(recording)) => opened.push(recording),
                Some(Err(error)) => {
                    left_out += 1;
                    tracing::error!(source = %source.name(), "a runtime profile is left out of a join: {error}");
                }
                None => left_out += 1,
            }
        }
        if left_out > 0 {
            let joined_before = self.spans.spans.split_off(self.spans.due);
            self.spans.context.extend(joined_before);
        }
        (opened, left_out)
    }
}

/// Attributes the spans of a join. The result depends on nothing else.
pub(super) fn run_join(join: &Join, recordings: &[Arc<TaskRecording>], rules: &Rules) -> Attributed {
    if join.spans.spans.is_empty() {
        return Attributed::default();
    }
    let spans = ProcessSpans {
        process: join.place.process.clone(),
        spans: join.spans.spans.iter().map(AsRef::as_ref).collect(),
        context: join.spans.context.iter().map(AsRef::as_ref).collect(),
    };
    let recordings: Vec<&TaskRecording> = recordings.iter().map(AsRef::as_ref).collect();
    attribute(&spans, &recordings, rules)
}
