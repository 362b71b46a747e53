//! One join: the spans of a slot with everything that touches it.

use std::sync::Arc;

use spandrel_attribution::{Attributed, ProcessSpans, Rules, attribute};
use spandrel_model::TaskRecording;

use super::held_spans::{JoinSpans, Place};

/// Everything that one join of one slot needs.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) place: Place,
    pub(super) spans: JoinSpans,
    /// Recordings of the process that touch them.
    pub(super) recordings: Vec<Arc<TaskRecording>>,
}

/// Attributes the spans of a join. The result depends on nothing else.
pub(super) fn run_join(join: &Join, rules: &Rules) -> Attributed {
    if join.spans.spans.is_empty() {
        return Attributed::default();
    }
    let spans = ProcessSpans {
        process: join.place.process.clone(),
        spans: join.spans.spans.iter().map(AsRef::as_ref).collect(),
        context: join.spans.context.iter().map(AsRef::as_ref).collect(),
    };
    let recordings: Vec<&TaskRecording> = join.recordings.iter().map(AsRef::as_ref).collect();
    attribute(&spans, &recordings, rules)
}
